"""Boards of several sizes in one attack: shares of games, tensors that are masked, and going on bit for bit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_nets import make_network

from toulmin.adversary import (
    AdversaryTraining,
    AmctsSettings,
    Attack,
    BoardShare,
    Decisions,
    PpoSettings,
    SearchedMoves,
    train_adversary,
)
from toulmin.adversary.amcts import imitation_losses
from toulmin.adversary.lanes import games_of
from toulmin.adversary.mixture import MixedGames, pad_batch
from toulmin.adversary.ppo import ppo_step
from toulmin.evidence import Store
from toulmin.go import Evaluator, Games, PlayerSpec, Rules, TrainableNetwork, input_features, make_player
from toulmin.studies import Run, execute, re_derive
from toulmin.training import State

RANDOM = PlayerSpec(kind="random")
AMCTS = {"method": "amcts", "decisions": 24, "minibatch": 8, "minibatches": 2, "kept": 60, "search": {"visits": 3}}
PPO = {"decisions": 60, "minibatch": 30}


def mixture(victim: PlayerSpec = RANDOM, **more: Any) -> Attack:
    fields = {"sizes": [[2, 1, 0.5], [4, 3, 1.5]], "slots": 12, "shape": {"blocks": 1, "channels": 8}, "learner": PPO}
    return Attack.against(victim, **{**fields, **more})


def games(attack: Attack) -> MixedGames:
    network = make_network(8, seed=5)
    found = games_of(attack, lambda: Evaluator(network), [make_player(attack.victim, str, 0)], None, None, seed=3)
    assert isinstance(found, MixedGames)
    return found


def test_each_size_gets_its_share_of_the_games_however_long_they_are():
    stream = games(mixture(learner={"decisions": 900}))
    next(stream)
    sizes = [outcome.size for outcome in stream.last]
    moves = {size: np.mean([one.moves for one in stream.last if one.size == size]) for size in (2, 4)}
    assert moves[4] > 2 * moves[2]
    assert sizes.count(4) / len(sizes) == pytest.approx(0.75, abs=0.06)  # slots in lockstep end a few at once
    assert [one.games.komi[0] for one in stream.streams] == [0.5, 1.5]
    assert len(stream.last) == stream.finished
    assert {outcome.colour for outcome in stream.last if outcome.size == 2} == {1, 2}


def test_slots_are_shared_in_pairs_by_share():
    boards = mixture(sizes=[[2, 1, 0.5], [3, 1, 0.5], [4, 6, 0.5]], slots=20).boards()
    assert [one.slots for one in boards] == [4, 4, 12]
    assert [(one.size, one.komi, one.sizes) for one in boards] == [(2, 0.5, ()), (3, 0.5, ()), (4, 0.5, ())]
    uneven = Attack.curriculum("cyclic", ["file:a"], (1,), slots=65).boards()
    assert sum(one.slots for one in uneven) == 64
    assert min(one.slots for one in uneven) == 2


def positions(size: int, count: int, seed: int) -> tuple[Games, np.random.Generator]:
    played, random = Games(count, size, Rules(komi=0.5)), np.random.default_rng(seed)
    for row in range(count):
        for _ in range(row):
            played.play([random.choice(np.flatnonzero(played.legal([row])[0]))], [row])
    return played, random


def decisions(size: int, count: int, seed: int) -> Decisions:
    played, random = positions(size, count, seed)
    planes, numbers = input_features(played)
    legal = played.legal()
    action = np.array([random.choice(np.flatnonzero(row)) for row in legal])
    numbers_of = random.normal(size=(3, count)).astype(np.float32)
    # advantages of mean 0 and variance 1 in each part, so that normalising the whole leaves them as they are
    advantage = (numbers_of[1] - numbers_of[1].mean()) / numbers_of[1].std()
    return Decisions(planes, numbers, legal, action, -np.abs(numbers_of[0]), advantage, numbers_of[2])


def searched(size: int, count: int, seed: int) -> SearchedMoves:
    played, random = positions(size, count, seed)
    planes, numbers = input_features(played)
    legal = played.legal()
    policy = np.where(legal, random.random(legal.shape), 0).astype(np.float32)
    owner = random.integers(-1, 2, (count, size, size)).astype(np.float32)
    result = random.integers(-1, 2, count).astype(np.float32)
    score = random.normal(0, 5, count).astype(np.float32)
    return SearchedMoves(planes, numbers, legal, policy / policy.sum(1, keepdims=True), result, score, owner)


def joined(parts: list[Any], to: int) -> Any:
    padded = [pad_batch(part, to) for part in parts]
    return type(padded[0])(*(np.concatenate(column) for column in zip(*padded, strict=True)))


def test_a_mixed_batch_has_the_losses_of_its_parts_by_ppo():
    parts = [decisions(3, 6, 1), decisions(5, 6, 2)]

    def loss(batch: Decisions) -> dict[str, float]:
        module = TrainableNetwork(make_network(8, seed=2))
        state = State(module, torch.optim.SGD(module.parameters(), lr=0.0))
        found = ppo_step(PpoSettings(minibatch=12, epochs=1), torch.device("cpu"), 0)(state, batch)
        return {name: float(value) for name, value in found.items()}

    small, large, both = loss(parts[0]), loss(parts[1]), loss(joined(parts, 5))
    assert small["loss"] != pytest.approx(large["loss"], abs=0.01)
    for name, value in both.items():
        assert value == pytest.approx((small[name] + large[name]) / 2, abs=2e-5), name


def test_a_mixed_batch_has_the_losses_and_gradients_of_its_parts_by_amcts():
    parts = [searched(3, 4, 1), searched(5, 4, 2)]

    def gradients(batch: SearchedMoves) -> tuple[dict[str, float], torch.Tensor]:
        module = TrainableNetwork(make_network(8, seed=2))
        state = State(module, torch.optim.SGD(module.parameters(), lr=0.0))
        losses = imitation_losses(state, batch, AmctsSettings(), torch.device("cpu"))
        losses["loss"].backward()
        flat = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in module.parameters()]
        return {name: float(value.detach()) for name, value in losses.items()}, torch.cat(flat)

    (small, a), (large, b), (both, c) = gradients(parts[0]), gradients(parts[1]), gradients(joined(parts, 5))
    for name, value in both.items():
        assert value == pytest.approx((small[name] + large[name]) / 2, abs=2e-5), name
    torch.testing.assert_close(c, (a + b) / 2, atol=2e-5, rtol=1e-3)


def test_padding_keeps_points_where_they_are():
    batch = decisions(3, 5, 6)
    padded = pad_batch(batch, 5)
    assert padded.planes.shape == (5, 5, 5, 22)
    np.testing.assert_array_equal(padded.planes[:, :3, :3], batch.planes)
    assert not padded.planes[:, 3:].any()
    assert not padded.planes[:, :, 3:].any()
    for old, new, legal_old, legal_new in zip(batch.action, padded.action, batch.legal, padded.legal, strict=True):
        assert new == (25 if old == 9 else old // 3 * 5 + old % 3)
        assert legal_new[new]
        assert legal_new.sum() == legal_old.sum()
        assert legal_new[25] == legal_old[9]
    assert pad_batch(batch, 3) is batch


@pytest.mark.parametrize(("learner", "lanes"), [(PPO, 1), (AMCTS, 2)], ids=["ppo", "amcts"])
def test_a_run_that_stops_often_trains_what_one_run_trains(victim, tmp_path, learner, lanes):
    plan = mixture(victim, learner=learner, lanes=lanes, updates=2, checkpoint_every=1)
    whole = train_adversary(plan, tmp_path / "whole", str, seed=4)
    stopped = train_adversary(plan, tmp_path / "stopped", str, seed=4, seconds=1e-9)
    while stopped.updates < 2:
        stopped = train_adversary(plan, tmp_path / "stopped", str, seed=4, seconds=0.01)
    assert stopped.network.read_bytes() == whole.network.read_bytes()
    assert stopped.curve == whole.curve


def test_the_curve_tells_the_win_rate_by_size(tmp_path: Path):
    trained = train_adversary(mixture(updates=2), tmp_path, str)
    for row in trained.curve:
        assert row["played_2"] + row["played_4"] == row["played"]
        assert row["won_2"] + row["won_4"] == row["won"]
        assert row["played_2"] > 0


def test_the_study_measures_every_board(tmp_path: Path):
    attack = mixture(updates=1).model_dump()
    study = AdversaryTraining.model_validate({"attack": attack, "victims": [RANDOM.model_dump()], "games": 6})
    store = Store(tmp_path / "store")
    evidence = execute(study, store, Run(tmp_path / "work"))
    assert (study.size, study.komi) == (4, 1.5)
    small = evidence.measures["win_rate:2x2"]
    table = next(one for one in evidence.tables if one.title == "By size of board")
    rows = {row[0]: row for row in table.rows}
    assert list(rows) == ["2x2", "4x4"]
    assert rows["2x2"][5:7] == (small.n, round(small.value, 4))
    assert rows["4x4"][6] == round(evidence.measures["win_rate"].value, 4)
    assert int(rows["2x2"][3] or 0) > 0
    assert re_derive(evidence, store) == []


def test_a_stage_ends_by_the_games_of_all_sizes():
    stages = [{"victim": {"kind": "random"}, "threshold": 0.0, "window": 6}, {"victim": {"kind": "pass"}}]
    plan = Attack.model_validate({**mixture(learner={"decisions": 250}).model_dump(), "stages": stages})
    network, players = make_network(8, seed=5), [make_player(one.victim, str, 0) for one in plan.stages]
    stream, other = (games_of(plan, lambda: Evaluator(network), players, None, None, seed=3) for _ in range(2))
    next(stream)
    assert stream.stage == 1
    other.seek(json.loads(json.dumps(stream.position())))
    for _ in range(3):
        for one, again in zip(next(stream), next(other), strict=True):
            np.testing.assert_array_equal(one, again)
    assert {(1, 2), (1, 4)} <= {(outcome.stage, outcome.size) for outcome in stream.last}
    assert other.position() == stream.position()


def test_published_boards_and_komi():
    plan = Attack.curriculum("pass", ["file:a"], (1,))
    assert [(one.size, one.komi) for one in plan.sizes[:3]] == [(7, 8.5), (8, 9.5), (9, 6.5)]
    assert {one.komi for one in plan.sizes[2:]} == {6.5}
    assert (plan.size, plan.komi) == (19, 6.5)
    assert plan.sizes[-1].share / sum(one.share for one in plan.sizes) == 0.35
    assert Attack.curriculum("cyclic", ["file:a"], (1,), size=9, komi=6.5).sizes == ()
    assert Attack.model_validate_json(plan.model_dump_json()) == plan
    assert BoardShare.model_validate([7, 0.3]).komi == 8.5
    assert "sizes" not in Attack.against(RANDOM).model_dump()  # a run from before there were mixtures goes on


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sizes": [[5, 1]]}, "no published komi of 5x5"),
        ({"sizes": [[7, 1], [7, 2]]}, "stands twice"),
        ({"sizes": [[7, 1], [9, 2]], "size": 8}, "8x8 with komi 0 is not among"),
        ({"sizes": [[7, 1], [9, 2]], "komi": 7.5}, "9x9 with komi 7.5 is not among"),
        ({"sizes": [[7, 1], [9, 2]], "positions": "file:p.sgf"}, "positions are of one size"),
        ({"sizes": [[7, 1], [9, 2]], "slots": 6, "lanes": 2}, "6 slots are too few"),
        ({"sizes": [[7, -1], [9, 2]]}, "greater than 0"),
    ],
)
def test_a_mixture_that_makes_no_sense_is_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        Attack.against(RANDOM, **fields)
