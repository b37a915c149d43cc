"""The real model's benchmark: files in pieces for a machine that takes small ones, and measurements that are kept."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location(
        "real_model_benchmark", Path(__file__).parents[2] / "benchmarks/real_model.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_in_pieces_come_together_again(script: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "PIECE", 10)
    contents = {"weights": bytes(range(35)), "exact": b"0123456789", "empty": b""}
    for name, data in contents.items():
        (tmp_path / name).write_bytes(data)
    script.pack(tmp_path / "pieces", [tmp_path / name for name in contents])
    sizes = sorted(path.stat().st_size for path in (tmp_path / "pieces").iterdir() if path.name != "files.json")
    assert sizes == [0, 5, 10, 10, 10, 10]
    script.unpack(tmp_path / "pieces", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == contents
    (tmp_path / "pieces/weights.001").write_bytes(b"x" * 10)
    with pytest.raises(SystemExit, match="weights is not what was packed"):
        script.unpack(tmp_path / "pieces", tmp_path / "out")
    (tmp_path / "pieces/weights.001").unlink()
    with pytest.raises(SystemExit, match=r"missing: weights\.001"):
        script.unpack(tmp_path / "pieces", tmp_path / "out")


def test_what_was_measured_is_not_measured_again(
    script: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    line = {"name": "SmolLM2: EAP", "seconds": 4.0, "peak": 2e9, "loaded": 1e9, "on": "a card"}
    out.write_text(json.dumps(line) + "\n")
    script.run(out, ["SmolLM2: EAP"], "cached:smollm2-135m", "cpu", 8.0)
    assert capsys.readouterr().out == "done\n"
    script.run(out, ["SmolLM2: EAP", "SmolLM2: EAP-IG"], "cached:smollm2-135m", "cpu", -1.0)
    assert capsys.readouterr().out.startswith("the piece is over")
    script.report(out)
    assert "| SmolLM2: EAP | 4.0 | 2.0 | a card |" in capsys.readouterr().out
