"""The example runs, and is short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_the_example_runs() -> None:
    file = Path(__file__).parents[2] / "examples" / "circuits.py"
    assert len(file.read_text().splitlines()) < 80
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True, env=environment)
    assert "numbers, lowest" in done.stdout
    assert done.stdout.count("rows say faithful") == 3


@pytest.mark.slow
def test_a_circuit_of_a_real_model_in_fifteen_lines(smollm2: object) -> None:
    file = Path(__file__).parents[2] / "examples" / "real_circuit.py"
    body = file.read_text().split('"""')[2]
    assert len([line for line in body.splitlines() if line.strip()]) <= 15
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True, env=environment)
    assert "Circuit(2000 of 123211 edges)" in done.stdout
    assert "choices that flip the verdict" in done.stdout
    assert done.stdout.rstrip().endswith("True")
