"""The example runs, and its number is what is left above the larger placebo."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/steering_scalar.py"


def test_the_example_takes_the_larger_placebo_away() -> None:
    command = [sys.executable, str(EXAMPLE), "--seeds", "1", "--steps", "3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    found = [float(value) for value in re.findall(r"seeds \[(.*)\]", done.stdout)]
    assert len(found) == 4
    assert found[3] == pytest.approx(found[0] - max(found[1:3]), abs=0.011)
    assert any(value != 0 for value in found)
