"""The A-MCTS learner: losses by their formula, what its moves hold, the buffer, curriculum and going on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_attacks import attack_on
from small_nets import make_network
from stopping import StopAt

from toulmin.adversary import AmctsSettings, ReplayBuffer, SearchedMoves, Stage, train_adversary
from toulmin.adversary.amcts import Replay, SearchedGames, imitation_losses, victim_model
from toulmin.faults import FaultError
from toulmin.go import (
    WHITE,
    Evaluator,
    Games,
    Opening,
    PlayerSpec,
    PolicyModel,
    Rules,
    SearchModel,
    SearchSettings,
    TrainableNetwork,
    input_features,
    make_player,
)
from toulmin.training import State


def stream(victim: PlayerSpec, folder, seed: int = 0, starts=(), **more) -> SearchedGames:
    module = TrainableNetwork(make_network(8, seed=4))
    plan = attack_on(victim, **more)
    assert isinstance(plan.learner, AmctsSettings)
    models = [victim_model(stage.victim, plan.learner, str) for stage in plan.stages]
    players = [make_player(stage.victim, str) for stage in plan.stages]
    replay = Replay(ReplayBuffer(folder, plan.learner.kept), plan.learner, seed)
    return SearchedGames(plan, lambda: Evaluator(module.export()), players, models, replay, seed=seed, starts=starts)


def test_the_variants_are_models_of_the_victim(victim):
    by = {v: victim_model(victim, AmctsSettings(variant=v, victim_visits=5), str) for v in ("S", "S++", "R")}
    assert isinstance(by["S"], PolicyModel)
    assert by["S"].symmetries == 1
    assert isinstance(by["S++"], PolicyModel)
    assert by["S++"].symmetries == 8
    assert isinstance(by["R"], SearchModel)
    assert by["R"].settings.visits == 5
    busy = victim.model_copy(update={"search": SearchSettings(visits=7)})
    own = victim_model(busy, AmctsSettings(variant="R"), str)
    assert isinstance(own, SearchModel)
    assert own.settings.visits == 7  # the victim's own, where nothing else is said
    with pytest.raises(ValueError, match="has none"):
        victim_model(PlayerSpec(kind="random"), AmctsSettings(), str)


@pytest.mark.parametrize("starts", [(), (Opening((), (0,), (8,), WHITE),)])
def test_moves_hold_visits_and_how_the_game_ended(victim, tmp_path, starts):
    games = stream(victim, tmp_path / "buffer", starts=starts)
    next(games)
    assert games.replay is not None
    kept = games.replay.buffer.newest(0)
    assert len(kept.result) >= 30
    np.testing.assert_allclose(kept.policy.sum(axis=1), 1, atol=1e-6)
    assert (kept.policy[~kept.legal] == 0).all()
    scored = np.sign(kept.score) == kept.result
    assert (scored | (kept.result == -1)).all()  # a game at the limit is lost whatever the score
    assert scored.any()
    # area scoring: the mover's points minus the other's, and komi to White
    balance = kept.ownership.sum(axis=(1, 2))
    assert set(np.round(kept.score - balance, 3).tolist()) <= {0.5, -0.5}
    is_black = kept.numbers[:, 5] < 0  # komi, seen by the mover
    assert (np.round(kept.score - balance, 3) == np.where(is_black, -0.5, 0.5)).all()


def test_the_null_attacker_searches_for_both_sides_and_models_nobody(victim, tmp_path):
    games = stream(victim, tmp_path / "buffer", opponent="itself")
    games.models = games.victims = [None]  # type: ignore[list-item]
    assert len(games.batch().result) >= 30
    before, rows = games.evaluations, np.array([0, 1])
    answers = games._answer(rows, None, games.evaluator())  # type: ignore[arg-type]
    assert games.games.legal(rows)[[0, 1], answers].all()
    assert games.evaluations >= before + 2  # the other side searches too


def test_the_losses_are_those_of_the_formula():
    games = Games(4, 3, Rules(komi=0.5))
    planes, numbers = input_features(games)
    random = np.random.default_rng(0)
    policy = random.dirichlet(np.ones(10), 4).astype(np.float32)
    result, score = np.array([1, -1, 0, 1], np.float32), np.array([3, -2, 0, 9], np.float32)
    owned = random.choice([-1, 0, 1], (4, 3, 3)).astype(np.float32)
    moves = SearchedMoves(planes, numbers, games.legal(), policy, result, score, owned)
    file = make_network(8, seed=2)
    module = TrainableNetwork(file)
    settings = AmctsSettings(value_weight=0.5, score_weight=0.2, ownership_weight=0.3)
    state = State(module, torch.optim.SGD(module.parameters(), lr=0.0))
    losses = imitation_losses(state, moves, settings, torch.device("cpu"))
    found = {name: loss.detach() for name, loss in losses.items()}
    view = Evaluator(file).evaluate(games)
    policy_loss = -(policy * np.log(view.policy)).sum(axis=1).mean()
    chance, owner = (1 + result) / 2, (1 + view.ownership) / 2
    value_loss = -(chance * np.log(view.win) + (1 - chance) * np.log(view.loss)).mean()
    score_loss = np.square((view.score_mean - score) / 20).mean()
    target = (1 + owned) / 2
    owner_loss = -(target * np.log(owner) + (1 - target) * np.log(1 - owner)).mean()
    for name, value in (
        ("policy", policy_loss),
        ("value", value_loss),
        ("score", score_loss),
        ("ownership", owner_loss),
    ):
        assert float(found[f"{name}_loss"]) == pytest.approx(float(value), abs=1e-5), name
    total = policy_loss + 0.5 * value_loss + 0.2 * score_loss + 0.3 * owner_loss
    assert float(found["loss"]) == pytest.approx(float(total), abs=1e-5)


def test_minibatches_are_drawn_anew_by_update_and_by_seed(tmp_path):
    shapes = {"planes": (2, 2, 22), "numbers": (19,), "legal": (5,), "policy": (5,), "ownership": (2, 2)}
    columns: Any = {name: np.zeros((20, *shapes.get(name, ())), np.float32) for name in SearchedMoves._fields}
    moves = SearchedMoves(**columns)._replace(result=np.arange(20, dtype=np.float32))

    def drawn(name: str, seed: int) -> list[list[float]]:
        replay = Replay(
            ReplayBuffer(tmp_path / name, kept=20), AmctsSettings(minibatch=8, minibatches=2, kept=20), seed
        )
        return [batch.result.tolist() for _ in range(3) for batch in replay(moves)]

    first = drawn("one", 1)
    assert first == drawn("again", 1)
    assert len({tuple(batch) for batch in [*first, *drawn("other", 2)]}) == 12
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["moves-000002.npz"]  # the newest 20 moves


def test_the_buffer_keeps_the_newest_moves_and_names_a_damaged_file(tmp_path):
    def moves(count: int, mark: float) -> SearchedMoves:
        shapes = {"planes": (2, 2, 22), "numbers": (19,), "legal": (5,), "policy": (5,), "ownership": (2, 2)}
        columns: Any = {
            name: np.full((count, *shapes.get(name, ())), mark, np.float32) for name in SearchedMoves._fields
        }
        return SearchedMoves(**columns)

    buffer = ReplayBuffer(tmp_path, kept=5)
    for number in range(4):
        buffer.write(number, moves(3, number))
        assert buffer.newest(number).result.tolist() == ([0] * 3 + [1] * 3 + [2] * 3 + [3] * 3)[: 3 * number + 3][-5:]
        buffer.prune(number)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moves-000002.npz", "moves-000003.npz"]
    (tmp_path / ".moves-000009.77.npz").write_bytes(b"half")  # of a run that was killed
    assert ReplayBuffer(tmp_path, kept=5).newest(3).result.tolist() == [2, 2, 3, 3, 3]
    assert not list(tmp_path.glob(".moves*"))
    damaged = tmp_path / "moves-000003.npz"
    damaged.write_bytes(damaged.read_bytes()[:200])
    with pytest.raises(FaultError, match=r"moves-000003.npz.*adversary.buffer"):
        buffer.newest(3)


def test_a_run_goes_on_with_the_same_bytes(victim, tmp_path):
    plan = attack_on(victim, updates=4, checkpoint_every=2)
    whole = train_adversary(plan, tmp_path / "whole", str)
    assert whole.curve[-1]["policy_loss"] > 0

    with pytest.raises(KeyboardInterrupt):
        train_adversary(plan, tmp_path / "stopped", str, callbacks=[StopAt(3)])
    resumed = train_adversary(plan, tmp_path / "stopped", str)
    assert resumed.network.read_bytes() == whole.network.read_bytes()
    assert resumed.curve == whole.curve


def test_a_curriculum_of_victims_is_modelled_stage_by_stage(victim, tmp_path):
    weak = victim.model_copy(update={"name": "weak", "search": victim.search.model_copy(update={"visits": 2})})
    stages = (Stage(victim=weak, threshold=0.0, window=4), Stage(victim=victim))
    plan = attack_on(victim).model_copy(update={"stages": stages})
    assert isinstance(plan.learner, AmctsSettings)
    module = TrainableNetwork(make_network(8, seed=4))
    models = [victim_model(stage.victim, plan.learner, str) for stage in stages]
    asked: list[int] = []

    class Noting:
        def __init__(self, model, stage):
            self.model, self.stage = model, stage

        def chances(self, games, rows):
            asked.append(self.stage)
            return self.model.chances(games, rows)

    noting = [Noting(model, stage) for stage, model in enumerate(models)]
    players = [make_player(stage.victim, str) for stage in stages]
    games = SearchedGames(
        plan,
        lambda: Evaluator(module.export()),
        players,
        noting,
        Replay(ReplayBuffer(tmp_path / "b", 50), plan.learner, 1),
        seed=1,
    )
    for _ in range(4):
        next(games)
    assert games.stage == 1
    assert asked[0] == 0
    assert asked[-1] == 1
