"""`toulmin demo --real`: a case about SmolLM2, and what it says where the model was not fetched."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def _demo(folder: Path, *more: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "toulmin", "demo", "--out", "demo", *more]
    env = {**os.environ, "NO_COLOR": "1", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env, check=False, timeout=1200)


def test_without_the_model_it_names_the_command_that_fetches_it_and_writes_nothing(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--real", TOULMIN_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 5
    assert "toulmin subjects get smollm2-135m" in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "demo").exists()


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    done = _demo(tmp_path, "--real", "--clerks")
    assert done.returncode == 2
    assert "two demos" in done.stderr


@pytest.mark.slow
def test_the_case_about_a_real_model(smollm2: object, tmp_path: Path) -> None:
    done = _demo(tmp_path, "--real")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "G is undermined, current" in done.stdout
    for words in ("E-movers", "E-random", "D-card"):
        assert words in done.stdout
    report = tmp_path / "demo" / "smollm2" / "report.html"
    assert done.stdout.rstrip().endswith(f"report: {report.resolve()}")
