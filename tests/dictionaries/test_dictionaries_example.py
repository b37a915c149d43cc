"""The example of a circuit of features runs, and trained features carry more of the head than random ones."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples/feature_circuit.py"


@pytest.mark.slow
def test_the_feature_circuit_and_its_cards() -> None:
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    shares = re.findall(r"(\w+) +16 features keep +(\d+)% \[(\d+)%, (\d+)%\]", done.stdout)
    (trained, _, low, _), (random, _, _, high) = shares
    assert (trained, random) == ("trained", "frozen_decoder")
    assert int(low) > int(high)
    counts = [int(n) for n in re.findall(r"card of .*: (\d+) of \d+ faithful", done.stdout)]
    assert len(counts) == 3  # trained, random, and the head cut whole
    assert counts[0] > counts[1] >= counts[2]
