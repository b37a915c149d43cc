"""PPO: the losses against their formula, and a game whose best response is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_nets import make_network
from stopping import StopAt

from toulmin.adversary import Attack, Decisions, PpoSettings, ppo_step, train_adversary
from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.go import Games, PlayerSpec, Rules, SearchSettings, make_player, read_network
from toulmin.go.nets import Evaluator, TrainableNetwork, input_features
from toulmin.go.players.hardcoded import HardCoded
from toulmin.studies import Run, execute, read_study
from toulmin.training import Checkpoint, State

PASS = PlayerSpec(kind="pass")


def some_decisions(size=3, count=6) -> Decisions:
    games = Games(count, size, Rules(komi=0.5))
    random = np.random.default_rng(0)
    for row in range(count):
        for _ in range(row):
            games.play([random.choice(np.flatnonzero(games.legal([row])[0]))], [row])
    planes, numbers = input_features(games)
    legal = games.legal()
    action = np.array([np.flatnonzero(row)[-2] for row in legal])
    log_chance = random.normal(-2.2, 0.6, count).astype(np.float32)
    advantage, target = random.normal(size=(2, count)).astype(np.float32)
    return Decisions(planes, numbers, legal, action, log_chance, advantage, target)


def test_the_losses_are_those_of_the_formula():
    batch = some_decisions()
    file = make_network(8, seed=2)
    module = TrainableNetwork(file)
    state = State(module, torch.optim.SGD(module.parameters(), lr=0.0))
    settings = PpoSettings(minibatch=6, epochs=1, value_weight=0.7, entropy_weight=0.03)
    found = ppo_step(settings, torch.device("cpu"), 0)(state, batch)
    games = Games(6, 3, Rules(komi=0.5))
    view = Evaluator(file).evaluate(games, inputs=(batch.planes.copy(), batch.numbers.copy()))
    logits = np.where(batch.legal, view.logits, -np.inf)  # the raw logits: every point is legal on the empty board
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    ratio = chances[np.arange(6), batch.action] / np.exp(batch.log_chance)
    a = (batch.advantage - batch.advantage.mean()) / batch.advantage.std()
    assert ((ratio > 1.4) & (a > 0)).any()  # both ends of the clip decide something
    assert ((ratio < 0.8) & (a < 0)).any()
    gain = np.minimum(ratio * a, np.clip(ratio, 0.8, 1.2) * a).mean()
    value = np.square(view.win - view.loss - batch.target).mean()
    entropy = -(chances * np.log(np.where(chances > 0, chances, 1))).sum(axis=1).mean()
    assert float(found["entropy"]) == pytest.approx(entropy, abs=1e-5)
    assert float(found["value_loss"]) == pytest.approx(value, abs=1e-5)
    assert float(found["kl"]) == pytest.approx((ratio - 1 - np.log(ratio)).mean(), abs=1e-5)
    assert float(found["loss"]) == pytest.approx(0.7 * value - gain - 0.03 * entropy, abs=1e-5)


def test_bfloat16_gives_the_losses_and_the_gradient_within_its_rounding():
    """bfloat16 keeps 8 bits: losses within 0.02, the gradient within 15% of its length, and not equal to float32's."""
    batch = some_decisions()
    losses, gradients = [], []
    for precision in ("float32", "bfloat16"):
        module = TrainableNetwork(make_network(8, seed=2))
        state = State(module, torch.optim.SGD(module.parameters(), lr=0.0))
        settings = PpoSettings(minibatch=6, epochs=1, gradient_clip=1e9, precision=precision)
        found = ppo_step(settings, torch.device("cpu"), 0)(state, batch)
        losses.append({name: float(value) for name, value in found.items()})
        grads = [one.grad for one in module.parameters() if one.grad is not None]
        assert all(grad.dtype == torch.float32 for grad in grads)
        gradients.append(torch.cat([grad.flatten() for grad in grads]))
    assert losses[1] == pytest.approx(losses[0], abs=0.02)
    apart = float((gradients[1] - gradients[0]).norm() / gradients[0].norm())
    assert 1e-6 < apart < 0.15


def test_epochs_end_where_the_policy_has_moved_too_far():
    module = TrainableNetwork(make_network(8, seed=2))
    updates = []
    for target in (1e-9, 1e9):
        state = State(module, torch.optim.Adam(module.parameters(), lr=1e-4))
        ppo_step(PpoSettings(minibatch=3, epochs=4, kl_target=target), torch.device("cpu"), 0)(state, some_decisions())
        updates.append(int(next(iter(state.optimizer.state.values()))["step"]))
    assert updates == [2, 8]


def test_it_finds_the_best_response_to_a_victim_that_always_passes(tmp_path):
    """On 2x2 with komi 1.5, as Black any stone wins against a victim that passes, and passing back at once loses.

    The best response wins every game of both colours. Games of more than 2.5 size² moves are lost, so it also has to
    learn to pass once it is ahead.
    """
    attack = Attack.against(
        PASS,
        size=2,
        komi=1.5,
        slots=16,
        shape={"blocks": 1, "channels": 16},
        learner={"decisions": 128, "minibatch": 64, "lr": 3e-3, "epochs": 4, "kl_target": 0.1},
        updates=30,
        stop_at=1.0,
        window=100,
    )
    trained = train_adversary(attack, tmp_path, str, seed=1)
    early = trained.curve[0]
    assert early["won"] / early["played"] < 0.9
    wins = 0
    player = make_player(
        PlayerSpec(kind="net", net="n", search=SearchSettings(visits=1)), lambda _: str(trained.network)
    )
    for colour in (1, 2):
        games = Games(1, 2, attack.parsed_rules())
        while not games.finished[0] and games.move_count[0] < 10:
            mine = games.to_move[0] == colour
            games.play([player.choose(games, np.array([0]), [np.random.default_rng(0)])[0].action if mine else 4])
        wins += games.finished[0] and (games.scores()[0, 1] > 0) == (colour == 2)
    assert wins == 2


def test_a_run_that_stopped_goes_on_as_if_it_had_not(tmp_path):
    def attack(updates: int) -> Attack:
        shape = {"blocks": 1, "channels": 8}
        learner = {"decisions": 40, "minibatch": 20}
        more = {"size": 3, "komi": 0.5, "slots": 5, "shape": shape, "learner": learner, "checkpoint_every": 2}
        return Attack.against(PlayerSpec(kind="random"), updates=updates, **more)

    whole = train_adversary(attack(4), tmp_path / "whole", str)
    # the checkpoint of an unfinished run: the same attack, stopped after its second update
    folder = tmp_path / "stopped"

    with pytest.raises(KeyboardInterrupt):
        train_adversary(attack(4), folder, str, callbacks=[StopAt(3)])
    assert Checkpoint(folder / "checkpoints").steps() == [2]
    resumed = train_adversary(attack(4), folder, str)
    assert resumed.network.read_bytes() == whole.network.read_bytes()
    assert resumed.curve == whole.curve
    assert (resumed.games, resumed.updates) == (whole.games, 4)
    assert read_network(resumed.network).name == "adversary"
    with pytest.raises(FaultError, match="other_run"):
        train_adversary(attack(6), folder, str)


def test_networks_are_kept_on_the_way_and_self_play_makes_victims_from_a_file(tmp_path):
    """What ``toulmin run`` reads: self-play whose networks of several ages are the victims of a curriculum."""
    text = f"""
study = "adversary.train"
[configuration]
games = 2
checkpoints = "{(tmp_path / "run").as_posix()}"
victims = [{{ kind = "pass" }}]
[configuration.attack]
opponent = "itself"
size = 3
komi = 0.5
slots = 4
updates = 4
checkpoint_every = 1
snapshots = 2
shape = {{ blocks = 1, channels = 8 }}
learner = {{ decisions = 12, minibatch = 12 }}
stages = [{{ victim = {{ kind = "pass" }} }}]
"""
    (tmp_path / "selfplay.toml").write_text(text)
    study = read_study(tmp_path / "selfplay.toml")
    evidence = execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
    budget = next(table for table in evidence.tables if table.title == "Budget")
    assert [row[0] for row in budget.rows] == ["adversary"]  # self-play needs no null attacker
    kept = sorted((tmp_path / "run" / "adversary-0" / "networks").iterdir())
    assert [path.name for path in kept] == ["000002.bin.gz", "000004.bin.gz"]
    early, late = (read_network(path) for path in kept)
    assert (early.name, late.name) == ("adversary-2", "adversary-4")
    assert early.trunk.conv.weights.tobytes() != late.trunk.conv.weights.tobytes()
    last = read_network(tmp_path / "run" / "adversary-0" / "adversary.bin.gz")
    assert late.trunk.conv.weights.tobytes() == last.trunk.conv.weights.tobytes()
    nets = [f"file:{path}" for path in kept]
    assert Attack.curriculum("pass", nets, (1,), size=3, komi=0.5).stages[0].victim.net == nets[0]
    with pytest.raises(ValidationError, match="no multiple of 5"):
        Attack.against(PASS, snapshots=7)


def test_victims_are_closed_when_training_is_interrupted(tmp_path, monkeypatch):
    closed: list[str] = []
    monkeypatch.setattr(HardCoded, "close", lambda player: closed.append(player.name))
    attack = Attack.against(
        PlayerSpec(kind="random"), size=3, komi=0.5, slots=4, learner={"decisions": 20, "minibatch": 20}
    )
    with pytest.raises(KeyboardInterrupt):
        train_adversary(attack, tmp_path, str, callbacks=[StopAt(1)])
    assert closed == ["random"]
