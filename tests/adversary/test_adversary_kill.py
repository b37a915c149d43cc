"""A run that is killed at random moments ends as one that was not, and its buffer is whole at every moment."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from small_nets import make_network

from toulmin.adversary import ReplayBuffer
from toulmin.go import write_network

START = """
import sys, pathlib, torch
torch.set_num_threads(1)
from toulmin.adversary import Attack, train_adversary
from toulmin.go import PlayerSpec
"""
PPO = """
attack = Attack.against(PlayerSpec(kind="random"), size=4, komi=0.5, slots=8, shape={"blocks": 1, "channels": 8},
                        learner={"decisions": 120, "minibatch": 120}, updates=400, checkpoint_every=1)
train_adversary(attack, pathlib.Path(sys.argv[1]), str)
"""
# A-MCTS in two lanes from set-up stones: the buffer, the curriculum and the lanes all have to go on
AMCTS = """
victim = {"kind": "net", "net": sys.argv[2], "search": {"visits": 1}}
stages = [{"victim": victim, "threshold": 0.2, "window": 20}, {"victim": {**victim, "passing": "avoid_pass_alive"}}]
learner = {"method": "amcts", "decisions": 30, "minibatch": 16, "minibatches": 2, "kept": 150, "search": {"visits": 3}}
attack = Attack(size=3, komi=0.5, stages=stages, slots=8, lanes=2, shape={"blocks": 1, "channels": 8}, opening_moves=1,
                learner=learner, positions=sys.argv[3], updates=24, checkpoint_every=1)
train_adversary(attack, pathlib.Path(sys.argv[1]), str)
"""
LIMIT = 300.0  # seconds of any one program


def rows(curve: Path) -> int:
    return len(curve.read_text().splitlines()) if curve.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize(("program", "longest"), [(PPO, 1.0), (AMCTS, 0.3)], ids=["ppo", "amcts"])
def test_ten_kills_change_nothing(tmp_path: Path, program: str, longest: float) -> None:
    net, positions = tmp_path / "net.bin.gz", tmp_path / "positions.sgf"
    net.write_bytes(write_network(make_network(8, seed=9)))
    positions.write_bytes(b"(;GM[1]SZ[3]AB[aa]AW[cc]PL[W])(;GM[1]SZ[3];B[bb])")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    command = [sys.executable, "-c", START + program]
    more = [str(net), str(positions)]
    subprocess.run([*command, str(whole), *more], check=True, timeout=LIMIT)
    random, curve = np.random.default_rng(5), broken / "curve.jsonl"
    kills = 0
    for _ in range(10):
        done, end = rows(curve), time.monotonic() + LIMIT
        process = subprocess.Popen([*command, str(broken), *more])
        while rows(curve) < done + 1 and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(float(random.uniform(0, longest)))  # anywhere in the work that follows: playing, learning, writing
        kills += process.poll() is None
        process.kill()
        process.wait(timeout=LIMIT)
        updates = sorted(int(path.stem[6:]) for path in (broken / "buffer").glob("moves-*.npz"))
        if updates:  # every file of the buffer can be read
            assert len(ReplayBuffer(broken / "buffer", 10**9).newest(updates[-1]).result) >= 30
    assert kills >= 8  # else the run was over before it was broken often enough to say anything
    subprocess.run([*command, str(broken), *more], check=True, timeout=LIMIT)
    assert (broken / "adversary.bin.gz").read_bytes() == (whole / "adversary.bin.gz").read_bytes()
    assert (broken / "curve.jsonl").read_text() == (whole / "curve.jsonl").read_text()
    assert not list(broken.glob(".adversary*"))
    buffers = [sorted(path.name for path in (one / "buffer").glob("*")) for one in (whole, broken)]
    assert buffers[0] == buffers[1]
