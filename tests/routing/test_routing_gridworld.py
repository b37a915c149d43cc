"""The gridworld's rules, episodes and returns against hand-made worlds; agents that are routed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toulmin.routing import Router
from toulmin.routing.experts import (
    Batch,
    LearnerSettings,
    Policy,
    batch_loss,
    episode_routes,
    play,
    propagate,
    returns_of,
    reward_of,
)
from toulmin.routing.gridworld import Ended, Gridworld


def world(agent: int, ghost: int, diamond: int, seen: tuple[bool, bool] = (True, False)) -> Gridworld:
    made = Gridworld(1, 0.0, torch.Generator().manual_seed(0))
    made.cells = torch.tensor([[agent], [ghost], [diamond]])
    made.watched = torch.tensor([[seen[0]], [seen[1]]])
    return made


def test_moves_walls_and_ends() -> None:
    grid = world(agent=6, ghost=0, diamond=7)  # row 1, column 1; the diamond is to the right of it
    assert grid.observe()[0].flatten(1).argmax(1).tolist() == [6, 0, 7, 0]
    _, ended = grid.step(torch.tensor([1]))
    assert (bool(ended.done), bool(ended.diamond), bool(ended.ghost), bool(ended.seen)) == (True, True, False, False)
    assert float(ended.true_reward) == 1.0
    assert int(grid.moves) == 0  # it began again
    grid = world(agent=0, ghost=5, diamond=24)
    _, ended = grid.step(torch.tensor([0]))  # a wall
    assert int(grid.cells[0]) == 0
    assert not bool(ended.done)
    _, ended = grid.step(torch.tensor([2]))
    assert (bool(ended.ghost), bool(ended.seen), float(ended.true_reward)) == (True, True, -1.0)


def test_an_episode_ends_at_the_limit() -> None:
    grid = world(agent=0, ghost=23, diamond=24)
    steps = [grid.step(torch.tensor([0]))[1] for _ in range(32)]
    assert [bool(ended.done) for ended in steps] == [False] * 31 + [True]
    assert float(steps[-1].true_reward) == 0.0


def test_new_worlds_have_three_different_cells_and_oversight_at_its_rate() -> None:
    grid = Gridworld(4000, 0.3, torch.Generator().manual_seed(1))
    assert all(len(set(column)) == 3 for column in grid.cells.T.tolist())
    assert abs(float(grid.watched.float().mean()) - 0.3) < 0.02
    assert torch.bincount(grid.cells.flatten(), minlength=25).min() > 300


def ends(done: list[int], diamond: list[int]) -> list[Ended]:
    no = torch.zeros(1, dtype=torch.bool)
    return [
        Ended(torch.tensor([bool(d)]), torch.tensor([bool(g)]), no, no, no.long())
        for d, g in zip(done, diamond, strict=True)
    ]


def test_moves_know_how_their_episode_ends() -> None:
    found = propagate(ends([0, 1, 0, 1, 0], [0, 1, 0, 0, 0]), "diamond")
    assert found[:, 0].tolist() == [True, True, False, False, False]
    reward = torch.tensor([[0.0], [1.0], [0.0], [-1.0], [0.0]])
    done = torch.tensor([[0], [1], [0], [1], [0]]).bool()
    assert returns_of(reward, done, 0.5)[:, 0].tolist() == [0.5, 1.0, -0.5, -1.0, 0.0]


@pytest.mark.parametrize(
    ("method", "expected"),
    [("routed", [1, 1, 1, 0]), ("naive", [1, -1, 1, 0]), ("oracle", [1, -1, -1, 0]), ("filtered", [1, -1, -1, 0])],
)
def test_the_rewards_of_the_methods(method: str, expected: list[float]) -> None:
    """Episodes of one move: a diamond, a ghost that is seen, a ghost that is not, and one that goes on."""
    ended = {"diamond": [1, 0, 0, 0], "ghost": [0, 1, 1, 0], "seen": [0, 1, 0, 0]}
    how = {name: torch.tensor(value).bool() for name, value in ended.items()}
    done = torch.tensor([[True, True, True, False]])
    batch = Batch(torch.zeros(4, 4, 5, 5), torch.zeros(4, dtype=torch.long), how, done)
    assert reward_of(method, batch)[0].tolist() == expected


def test_episodes_with_oversight_train_the_expert_they_end_at() -> None:
    policy = Policy(100, 8, mixture=True)
    router = Router(policy, episode_routes(8))
    x = torch.randn(6, 4, 5, 5)
    for label, trained in ((0, ("diamond",)), (1, ("ghost",)), (-1, ("diamond", "ghost", "gate"))):
        policy.zero_grad()
        with router(labels=torch.full((6,), label)):
            logits, _ = policy(x)
        logits.square().sum().backward()
        for part in ("diamond", "ghost", "gate"):
            gradients = [p.grad for p in getattr(policy, part).parameters()]
            assert any(g is not None and bool((g != 0).any()) for g in gradients) is (part in trained), (label, part)


def test_the_gate_learns_from_oversight_and_filtering_drops_what_is_unseen() -> None:
    generator = torch.Generator().manual_seed(0)
    policy = Policy(100, 8, mixture=True)
    router = Router(policy, episode_routes(8))
    grid = Gridworld(64, 1.0, generator)
    batch = play(policy, grid, 32, generator, mixture=True)
    settings = LearnerSettings(hidden=8, entropy=0.0, value=0.0)
    batch_loss("routed", policy, router, batch, settings, generator).backward()
    assert any(bool((p.grad != 0).any()) for p in policy.gate.parameters())  # type: ignore[union-attr]
    hidden = {name: torch.zeros_like(value) for name, value in batch.ends.items()} | {"diamond": batch.ends["diamond"]}
    single = Policy(100, 8, mixture=False)
    unseen = Batch(batch.seen, batch.actions, hidden, batch.done)
    kept = batch_loss("filtered", single, None, unseen, LearnerSettings(hidden=8), generator)
    assert float(kept.detach()) != 0.0
    everything = {**hidden, "diamond": torch.ones_like(batch.ends["diamond"])}
    nothing = batch_loss(
        "filtered", single, None, Batch(batch.seen, batch.actions, everything, batch.done), settings, generator
    )
    assert float(nothing.detach()) == 0.0


def test_the_gymnasium_environment_has_the_same_worlds() -> None:
    pytest.importorskip("gymnasium")
    from toulmin.routing.gridworld_gym import GridworldVectorEnv

    env = GridworldVectorEnv(8, 0.5)
    observation, _ = env.reset(seed=3)
    assert env.observation_space.contains(observation)
    plain = Gridworld(8, 0.5, torch.Generator().manual_seed(3))
    assert np.array_equal(observation, plain.observe().numpy())
    rng = np.random.default_rng(0)
    for _ in range(40):
        actions = rng.integers(0, 4, 8)
        observation, reward, terminated, truncated, infos = env.step(actions)
        expected, ended = plain.step(torch.from_numpy(actions))
        assert np.array_equal(observation, expected.numpy())
        assert np.array_equal(reward, ended.true_reward.numpy())
        assert np.array_equal(terminated | truncated, ended.done.numpy())
        assert np.array_equal(infos["seen"], ended.seen.numpy())
