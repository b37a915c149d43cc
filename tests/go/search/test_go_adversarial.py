"""A-MCTS: a tree worked by hand, an independent implementation in plain Python, and expectations in closed form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from toulmin.go import Evaluation, Games, PolicyModel, Rules, SearchModel, adversarial_search
from toulmin.go.search.adversarial import described, tempered
from toulmin.go.search.mcts import Rows, search
from toulmin.go.search.settings import SearchSettings, Temperature
from toulmin.go.search.tree import BUSY, NEW, Forest, selection_rule

MASK = (1 << 64) - 1
PLAIN: dict[str, Any] = {"static_score": 0.0, "dynamic_score": 0.0}


def uniform(key: int, depth: int) -> float:
    """SplitMix64 on Python integers."""
    z = (key + (depth + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return ((z ^ (z >> 31)) >> 11) / 2**53


def key_for(low: float, high: float, depth: int = 1) -> int:
    return next(key for key in range(10_000) if low <= uniform(key, depth) < high)


# -- by hand


def test_a_tree_by_hand():
    """Root with moves A and B (prior 3/4, 1/4); after A the victim answers x (1/4) or y (3/4), after B always z.

    Our leaves: x 1, y -1, z 0.5. Constant exploration 1. The three playouts, each one joined path of three nodes:
      1. both moves have the urgency of the root, A by its prior; the key draws y: the path is worth -1.
      2. A -1 + 3/4/2 = -0.6, B: 0 - 1/2 + 1/4 = -0.25: B (sqrt(N) = 1.005): z, 0.5.
      3. A -1 + 3/4/2 sqrt(2) = -0.47, B 0.5 + 1/4/2 sqrt(2) = 0.68: B, z again, whose own leaf below is new: 0.1.
    """
    rule = selection_rule(SearchSettings(cpuct=1, cpuct_log=0, root_fpu_reduction=0, fpu_reduction=0))
    forest = Forest(1, 16, 2)
    tree = np.array([0])

    def expand(node, prior, mover, sampled=False):
        row = np.array([prior], np.float32)
        forest.expand(tree, np.array([node]), row, np.array([mover]), np.array([False]), sampled=sampled)

    forest.plant(np.array([[0.75, 0.25]], np.float32), np.array([1]), np.array([[0.0]]))

    def playout(key, victim_prior, leaf):
        descent = forest.descend(tree, rule, np.array([key], np.uint64))
        assert descent.kind[0] == NEW
        if victim_prior is not None:
            node = int(descent.node[0])
            assert (forest.visits[0, node], forest.pending[0, node]) == (0, 1)
            expand(node, victim_prior, 2, sampled=True)
            forest.descend_on(descent, np.array([0]), rule)
            assert descent.kind[0] == NEW
            assert forest.visits[0, node] == 0  # its making is no visit
        expand(int(descent.node[0]), [0.5, 0.5], 1)
        forest.backup(descent, np.array([[leaf]]))
        return [int(n) for n in descent.path[0, : descent.length[0]]], int(descent.action[0])

    assert playout(key_for(0.25, 1.0), [0.25, 0.75], -1.0) == ([0, 1, 2], 1)
    assert playout(key_for(0.0, 1.0), [1.0, -1.0], 0.5) == ([0, 3, 4], 0)
    assert playout(key_for(0.0, 1.0), None, 0.1)[0] == [0, 3, 4, 5]
    assert forest.root_visits().tolist() == [[1, 2]]
    np.testing.assert_allclose(forest.root_means(), [[-1.0, 0.3]])
    assert forest.means()[0, 0] == pytest.approx((0 - 1 + 0.5 + 0.1) / 4)
    assert forest.visits[0, :6].tolist() == [4, 1, 1, 2, 2, 1]
    assert not forest.pending.any()
    # two descents at once: the second comes to the victim node that the first has made and waits
    both = Forest(1, 16, 2)
    both.plant(np.array([[1.0, -1.0]], np.float32), np.array([1]), np.array([[0.0]]))
    descent = both.descend(np.array([0, 0]), rule, np.zeros(2, np.uint64))
    assert descent.kind.tolist() == [NEW, BUSY]


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_the_value_of_a_random_victim_is_the_expectation(chance):
    """One move of ours, a victim that answers x with ``chance``, ends of games worth 1 and -1: 2 chance - 1."""
    rule = selection_rule(SearchSettings())
    forest = Forest(1, 8, 2)
    tree, random = np.array([0]), np.random.default_rng(0)
    forest.plant(np.array([[1.0, -1.0]], np.float32), np.array([1]), np.array([[0.0]]))
    count = 4000
    for _ in range(count):
        descent = forest.descend(tree, rule, random.integers(1 << 63, size=1).astype(np.uint64))
        if descent.kind[0] == NEW and descent.length[0] == 2:
            prior = np.array([[chance or -1.0, (1 - chance) or -1.0]], np.float32)
            forest.expand(tree, descent.node, prior, np.array([2]), np.array([False]), sampled=True)
            forest.descend_on(descent, tree, rule)
        value = 1.0 if forest.child[0, 1, 0] == descent.node[0] else -1.0
        if descent.kind[0] == NEW:
            forest.expand(tree, descent.node, np.full((1, 2), -1, np.float32), np.array([1]), np.array([True]))
        forest.backup(descent, np.array([[value]]))
    found = forest.root_means()[0, 0]
    assert found == pytest.approx(2 * chance - 1, abs=4 * 2 * math.sqrt(chance * (1 - chance) / count) + 1e-12)


# -- against another implementation, on the real game


class MadeUp:
    """Policies and values that are random numbers of the position, in the board's own orientation or another."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def evaluate(self, games: Games, rows: Rows | None = None, *, symmetry: int | NDArray[np.int64] = 0, **_: Any):
        asked = games.take(np.arange(games.batch) if rows is None else rows)
        base = Evaluation.uniform(asked)
        marks = asked.situation.astype(np.uint64).tolist()
        draws = [np.random.default_rng((self.seed, mark, int(np.max(symmetry)))) for mark in marks]
        logits = np.stack([one.normal(size=asked.actions) for one in draws])
        weight = np.where(asked.legal(), np.exp(logits), 0)
        win = np.array([one.random() for one in draws], np.float32)
        total = np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)
        values = vars(base) | {"policy": (weight / total).astype(np.float32), "win": win, "loss": 1 - win}
        return Evaluation(**values)


def by_hand(games, own, model, settings, seed):
    """A-MCTS on dictionaries: one playout after the other, recursion over nothing but a path."""
    us = int(games.to_move[0])
    keys = np.random.default_rng(seed)

    def value_of(state):
        if state.finished[0]:
            lead = -state.scores()[0, 1]
            return float(np.sign(lead))
        view = own.evaluate(state)
        return float(view.win[0] - view.loss[0]) * (1 if state.to_move[0] == 1 else -1)

    def make(state):
        theirs = state.to_move[0] != us
        prior = None
        if not state.finished[0]:
            prior = model.chances(state, np.array([0]))[0] if theirs else own.evaluate(state).policy[0]
        return {"state": state, "theirs": theirs, "prior": prior, "child": {}, "n": 0, "sum": 0.0}

    def pick(node, depth, key):
        prior = np.asarray(node["prior"], np.float32)
        if node["theirs"]:
            some = np.flatnonzero(prior > 0)
            below = np.cumsum(prior[some].astype(np.float64))
            return int(some[min(np.searchsorted(below, uniform(key, depth) * below[-1], side="right"), len(some) - 1)])
        sign = 1 if us == 1 else -1
        total = sum(child["n"] for child in node["child"].values())
        mass = sum(float(prior[a]) for a in node["child"])
        scale = settings.cpuct + settings.cpuct_log * math.log((total + settings.cpuct_base) / settings.cpuct_base)
        scale *= math.sqrt(total + 0.01)
        reduction = settings.root_fpu_reduction if depth == 0 else settings.fpu_reduction
        urgency = sign * node["sum"] / node["n"] - reduction * math.sqrt(mass)
        best, found = -1e300, -1
        for action in np.flatnonzero(prior > 0).tolist():
            child = node["child"].get(action)
            value, n = (sign * child["sum"] / child["n"], child["n"]) if child else (urgency, 0)
            score = value + scale * float(prior[action]) / (1 + n)
            if score > best:
                best, found = score, action
        return found

    root = make(games.take([0]))
    root["n"], root["sum"] = 1, value_of(root["state"])
    while root["n"] < settings.visits:
        key, node, path = int(keys.integers(1 << 63)), root, [root]
        while not node["state"].finished[0]:
            action = pick(node, len(path) - 1, key)
            if action in node["child"]:
                node = node["child"][action]
                path.append(node)
                continue
            state = node["state"].take([0])
            state.play([action])
            node["child"][action] = node = make(state)
            path.append(node)
            if not node["theirs"]:
                break
        value = value_of(node["state"])
        for one in path:
            one["n"] += 1
            one["sum"] += value
    return root


def models():
    victim = MadeUp(9)
    warm = Temperature(early=0.8, late=0.3)
    few = SearchSettings(visits=6, **PLAIN)
    return {
        "S": PolicyModel(victim, warm),
        "S, hardened": PolicyModel(victim, Temperature(), "avoid_pass_alive"),
        "S++": PolicyModel(victim, warm, symmetries=8),
        "R": SearchModel(victim, few),
    }


@pytest.mark.parametrize("variant", ["S", "S, hardened", "S++", "R"])
@pytest.mark.parametrize("colour", [1, 2])
def test_the_tree_is_that_of_another_implementation(variant, colour):
    model = models()[variant]
    assert described(model) == variant.split(",")[0]
    games = Games(2, 3, Rules(komi=0.5))
    games.play([4, 4])
    games.play([0, 5])
    if colour == 2:
        games.play([8, 8])
    own, settings = MadeUp(4), SearchSettings(visits=60, **PLAIN)
    generators = [np.random.default_rng((1, row)) for row in range(2)]
    found = adversarial_search(games, np.arange(2), own, model, settings, generators)
    for row in range(2):
        root = by_hand(games.take([row]), own, model, settings, (1, row))
        counts = np.zeros(10, int)
        for action, child in root["child"].items():
            counts[action] = child["n"]
            assert found.means[row, action] == pytest.approx(child["sum"] / child["n"], abs=1e-6)
        assert found.visits[row].tolist() == counts.tolist()
        assert found.utility[row] == pytest.approx(root["sum"] / root["n"], abs=1e-6)
    # a search depends on no other game in its batch
    alone = adversarial_search(games, np.array([1]), own, model, settings, [np.random.default_rng((1, 1))])
    assert (alone.visits[0] == found.visits[1]).all()


def test_several_leaves_at_once_end_with_as_many_visits():
    games = Games(2, 3, Rules(komi=0.5))
    settings = SearchSettings(visits=40, leaves=4, **PLAIN)
    generators = [np.random.default_rng(row) for row in range(2)]
    found = adversarial_search(games, np.arange(2), MadeUp(4), models()["S"], settings, generators)
    assert (found.visits.sum(axis=1) == 39).all()


def test_models_are_what_the_victim_plays():
    victim = MadeUp(9)
    games = Games(3, 3, Rules(komi=0.5))
    games.play([0, 4, 8])
    rows, legal = np.arange(3), games.legal()
    policy = victim.evaluate(games).policy.astype(float)
    np.testing.assert_allclose(
        PolicyModel(victim, Temperature(early=1, late=1)).chances(games, rows), policy, atol=1e-6
    )
    cold = PolicyModel(victim).chances(games, rows)
    assert (cold.argmax(axis=1) == policy.argmax(axis=1)).all()
    assert (cold.max(axis=1) == 1).all()
    mean = np.mean([victim.evaluate(games, symmetry=k).policy for k in range(8)], axis=0)
    found = PolicyModel(victim, Temperature(early=1, late=1), symmetries=8).chances(games, rows)
    np.testing.assert_allclose(found, mean, atol=1e-6)
    settings = SearchSettings(visits=20, **PLAIN)
    visits = search(games, rows, victim, settings, [np.random.default_rng(0)] * 3).visits
    assert (SearchModel(victim, settings).chances(games, rows).argmax(axis=1) == visits.argmax(axis=1)).all()
    squared = tempered(policy, legal, np.full(3, 0.5))
    np.testing.assert_allclose(squared, policy**2 / (policy**2).sum(axis=1, keepdims=True), atol=1e-6)
