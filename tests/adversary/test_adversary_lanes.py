"""Games in lanes: the same in any number of processes, and a run of them resumes to the same bytes."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError
from small_attacks import AMCTS, attack_on
from small_nets import make_network

from toulmin.adversary import Attack, ReplayBuffer, train_adversary
from toulmin.adversary.amcts import Replay
from toulmin.adversary.lanes import Lanes
from toulmin.go import PlayerSpec
from toulmin.studies import Pool, ProcessPool


def attack(victim: PlayerSpec, **more) -> Attack:
    return attack_on(victim, **{"lanes": 3, "learner": {"decisions": 60}, "opening_moves": 1, **more})


def lanes(plan: Attack, folder, seed: int = 2) -> Lanes:
    network = make_network(8, seed=5)
    replay = Replay(ReplayBuffer(folder, 60), plan.learner, seed) if plan.learner.method == "amcts" else None
    located = {reference: reference for reference in plan.references()}
    return Lanes(plan, lambda: network, located, Pool(), seed=seed, replay=replay)


def assert_equal(one, other) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_each_lane_has_its_share_and_a_seed_of_its_own(victim, tmp_path):
    one, other = (lanes(attack(victim, learner={"decisions": 61}), tmp_path, seed) for seed in (2, 3))
    assert (one.lane.slots, one.lane.learner.decisions) == (2, 21)
    assert len({*one.seeds, *other.seeds}) == 6


def test_games_in_lanes_begin_with_the_positions_given(victim, tmp_path):
    positions = tmp_path / "positions.sgf"
    positions.write_bytes(b"(;GM[1]SZ[3]AB[aa]AW[cc]PL[W])(;GM[1]SZ[3];B[bb])")
    games = lanes(attack(victim, positions=str(positions)), tmp_path)
    next(games)
    slots = [slot for position in games.positions if position for slot in position["slots"]]
    assert {slot["start"] for slot in slots} == {0, 1}
    assert all(slot["moves"][0] == 4 for slot in slots if slot["start"] == 1)


def test_a_batch_is_that_of_every_lane_and_all_games_count(victim, tmp_path):
    games = lanes(attack(victim), tmp_path)
    batch = next(games)
    assert len(batch.action) == games.decisions >= 60
    assert games.finished == len(games.last)
    assert {outcome.colour for outcome in games.last} == {1, 2}
    assert None not in games.positions
    first = [position["slots"][0]["moves"] for position in games.positions if position]
    assert len({json.dumps(moves) for moves in first}) > 1  # lanes draw numbers of their own
    assert games.evaluations == sum(position["evaluations"] for position in games.positions if position)


@pytest.mark.parametrize("learner", [{"decisions": 60}, AMCTS])
def test_a_stream_goes_on_bit_for_bit_from_its_position(victim, tmp_path, learner):
    plan = attack(victim, learner=learner)
    one = lanes(plan, tmp_path / "one")
    next(one)
    kept = json.loads(json.dumps(one.position()))
    other = lanes(plan, tmp_path / "one")
    other.seek(kept)
    for _ in range(2):
        expected, found = next(one), next(other)
        for a, b in zip(expected, found, strict=True) if isinstance(expected, list) else [(expected, found)]:
            assert_equal(a, b)
    assert other.position() == one.position()


def test_the_next_victim_comes_in_every_lane(victim, tmp_path):
    stages = [{"victim": {"kind": "random"}, "threshold": 0.0, "window": 4}, {"victim": victim.model_dump()}]
    fields = {"size": 3, "komi": 0.5, "slots": 6, "lanes": 3, "stages": stages, "learner": {"decisions": 60}}
    games = lanes(Attack.model_validate(fields), tmp_path)
    next(games)
    assert games.stage == 1
    assert {outcome.stage for outcome in games.last} == {0}  # those games had begun
    for _ in range(3):
        next(games)
    assert None not in games.positions
    assert {slot["stage"] for position in games.positions if position for slot in position["slots"]} == {1}


@pytest.mark.parametrize("learner", [{"decisions": 60, "minibatch": 30}, AMCTS])
def test_two_processes_train_what_one_trains(victim, tmp_path, learner):
    plan = attack(victim, learner=learner, updates=2)
    trained = [
        train_adversary(plan, tmp_path / name, str, seed=4, pool=pool)
        for name, pool in (("one", None), ("two", ProcessPool(2)))
    ]
    assert trained[0].network.read_bytes() == trained[1].network.read_bytes()
    assert trained[0].curve == trained[1].curve


RAY = """
import pathlib, sys
from toulmin.adversary import Attack, train_adversary
from toulmin.studies import RayPool
train_adversary(Attack.model_validate_json(sys.argv[1]), pathlib.Path(sys.argv[2]), str, seed=4, pool=RayPool(2))
"""


@pytest.mark.slow
def test_two_ray_workers_train_what_one_process_trains(victim, tmp_path):
    pytest.importorskip("ray")
    plan = attack(victim, updates=2)
    one = train_adversary(plan, tmp_path / "one", str, seed=4)
    # a program of its own: Ray leaves processes behind that a test may not leave
    command = [sys.executable, "-c", RAY, plan.model_dump_json(), str(tmp_path / "two")]
    subprocess.run(command, check=True, timeout=300)
    assert one.network.read_bytes() == (tmp_path / "two" / "adversary.bin.gz").read_bytes()
    assert (tmp_path / "one" / "curve.jsonl").read_bytes() == (tmp_path / "two" / "curve.jsonl").read_bytes()


@pytest.mark.parametrize("fields", [{"lanes": 4}, {"lanes": 6}])
def test_lanes_share_the_slots_evenly(victim, fields):
    with pytest.raises(ValidationError, match="slots cannot be shared"):
        Attack.against(victim, slots=6, **fields)
    with pytest.raises(ValidationError, match="one lane"):
        Attack.against(PlayerSpec(kind="gtp", command=("gnugo",)), slots=6, lanes=2)


def test_the_published_curricula_are_checkpoints_then_visits():
    attack = Attack.curriculum("cyclic", ["file:a", "file:b"], (2, 4, 16), size=9, komi=6.5)
    faced = [(stage.victim.net, stage.victim.search.visits, stage.victim.passing) for stage in attack.stages]
    hard = "avoid_pass_alive"
    assert faced == [("file:a", 2, hard), ("file:b", 2, hard), ("file:b", 4, hard), ("file:b", 16, hard)]
    assert {stage.threshold for stage in attack.stages} == {0.75}
    assert attack.learner.method == "amcts"
    assert (attack.learner.method, attack.learner.search.visits, attack.learner.search.noise) == ("amcts", 600, True)
    assert attack.parsed_rules().suicide
    simple = Attack.curriculum("pass", ["file:a"], (1,), learner={"method": "ppo"})
    assert (simple.victim.passing, simple.learner.method) == ("standard", "ppo")
