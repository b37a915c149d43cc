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
    *rises, cosine, placebo = [float(value) for value in re.findall(r"seeds \[(.*)\]", done.stdout)]
    assert len(rises) == 4
    assert rises[3] == pytest.approx(rises[0] - max(rises[1:3]), abs=0.011)
    assert any(value != 0 for value in rises)
    assert 0 < cosine <= 1
    assert 0 < placebo <= 1


def test_the_example_of_access_profiles_prints_every_set_of_regions() -> None:
    command = [sys.executable, str(EXAMPLE.with_name("access_profiles.py")), "--seeds", "1", "--steps", "3"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, timeout=300)
    table = [line.split() for line in done.stdout.splitlines()[1:9]]
    assert len({tuple(row[:3]) for row in table}) == 8
    assert {mark for row in table for mark in row[:3]} == {"yes", "no"}
    losses = [float(row[3]) for row in table]
    assert max(losses) > min(losses) > 0
