"""The examples run, and say what the documentation says they say."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def run(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    path = EXAMPLES / name
    assert len(path.read_text().splitlines()) <= 80
    monkeypatch.setattr(sys, "argv", [str(path)])
    monkeypatch.setenv("COLUMNS", "140")  # tables fold their cells in a narrow terminal
    runpy.run_path(str(path), run_name="__main__")
    return capsys.readouterr().out


def test_path_patching(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = run("path_patching.py", monkeypatch, capsys)
    assert "no set of edges" in said
    assert "all three: explains 0.43" in said
    # two classes of offsets, so 5 ways into a head (Q, K and V twice); 1 + 8 * 5 ways to layer 1; L1.H1 reads each
    # in 5 ways; the other seven heads read the embedding through V or Q, and two heads' V@i-1 through K
    paths = (1 + 8 * 5) * (1 + 5) + 7 * (2 + 1 + 2 * 2)
    assert f"\n {paths} " in said  # the table of what it takes
    assert said.count(f"{paths} paths") == 1  # where it is evaluated


def test_number_completion(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = run("number_completion.py", monkeypatch, capsys)
    assert "L3      mlp" in said
    assert "through these heads, any way on over" in said
    assert "clean prompts" in said
