"""A run that is killed at random moments ends as one that was not."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

PROGRAM = """
import sys, pathlib, torch
torch.set_num_threads(1)
from toulmin.adversary import Attack, train_adversary
from toulmin.go import PlayerSpec
attack = Attack.against(PlayerSpec(kind="random"), size=4, komi=0.5, slots=8, shape={"blocks": 1, "channels": 8},
                        learner={"decisions": 120, "minibatch": 120}, updates=400, checkpoint_every=1)
train_adversary(attack, pathlib.Path(sys.argv[1]), str)
"""


def rows(curve: Path) -> int:
    return len(curve.read_text().splitlines()) if curve.exists() else 0


@pytest.mark.slow
def test_ten_kills_change_nothing(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-c", PROGRAM]
    subprocess.run([*command, str(whole)], check=True, timeout=600)
    random, curve = np.random.default_rng(5), broken / "curve.jsonl"
    for _ in range(10):
        done = rows(curve)
        process = subprocess.Popen([*command, str(broken)])
        while rows(curve) < done + 1 and process.poll() is None:
            time.sleep(0.05)
        time.sleep(float(random.uniform(0, 1)))  # anywhere in the work that follows: playing, learning, writing
        assert process.poll() is None
        process.kill()
        process.wait()
    subprocess.run([*command, str(broken)], check=True, timeout=600)
    assert (broken / "adversary.bin.gz").read_bytes() == (whole / "adversary.bin.gz").read_bytes()
    assert (broken / "curve.jsonl").read_text() == (whole / "curve.jsonl").read_text()
    assert not list(broken.glob(".adversary*"))
