"""The example runs, and is short."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_the_example_runs() -> None:
    file = Path(__file__).parents[2] / "examples" / "circuits.py"
    assert len(file.read_text().splitlines()) < 80
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True, env=environment)
    assert "numbers, lowest" in done.stdout
    assert done.stdout.count("rows say faithful") == 3
