"""The tree against exhaustive search on noughts and crosses, and the search settings against their formulas."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pytest

from toulmin.go.search.settings import SearchSettings, Temperature
from toulmin.go.search.tree import BUSY, FINISHED, NEW, Forest, selection_rule

LINES = ((0, 1, 2), (3, 4, 5), (6, 7, 8), (0, 3, 6), (1, 4, 7), (2, 5, 8), (0, 4, 8), (2, 4, 6))
Position = tuple[int, ...]


def winner(position: Position) -> int:
    return next((position[a] for a, b, c in LINES if position[a] == position[b] == position[c] != 0), 0)


def after(position: Position, action: int) -> Position:
    mover = 1 if position.count(1) == position.count(2) else 2
    return (*position[:action], mover, *position[action + 1 :])


def moves(position: Position) -> list[int]:
    return [] if winner(position) else [cell for cell in range(9) if position[cell] == 0]


@cache
def minimax(position: Position) -> int:
    """The value for player 1."""
    if not moves(position):
        return {0: 0, 1: 1, 2: -1}[winner(position)]
    values = [minimax(after(position, action)) for action in moves(position)]
    return max(values) if position.count(1) == position.count(2) else min(values)


def search(positions: list[Position], visits: int, leaves: int = 1, **settings: Any) -> Forest:
    """Uniform priors, value 0 at every leaf that is not the end of the game."""
    rule = selection_rule(SearchSettings(**settings))
    forest = Forest(len(positions), visits + leaves + 1, 9)
    states: list[dict[int, Position]] = [{0: position} for position in positions]

    def prior_of(position: Position) -> np.ndarray:
        row = np.full(9, -1.0, np.float32)
        row[moves(position)] = 1 / max(len(moves(position)), 1)
        return row

    def mover_of(position: Position) -> int:
        return 1 if position.count(1) == position.count(2) else 2

    forest.plant(
        np.stack([prior_of(p) for p in positions]),
        np.array([mover_of(p) for p in positions]),
        np.zeros((len(positions), 1)),
    )
    trees = np.repeat(np.arange(len(positions)), leaves)
    while forest.visits[:, 0].min() < visits:
        descent = forest.descend(trees, rule)
        values = np.zeros((len(trees), 1))
        for which, tree in enumerate(trees):
            node = int(descent.node[which])
            if descent.kind[which] == NEW:
                position = after(states[tree][int(descent.parent[which])], int(descent.action[which]))
                states[tree][node] = position
                forest.expand(
                    np.array([tree]),
                    np.array([node]),
                    prior_of(position)[None],
                    np.array([mover_of(position)]),
                    np.array([not moves(position)]),
                )
            if descent.kind[which] != BUSY:
                position = states[tree][node]
                values[which] = 0.0 if moves(position) else minimax(position)
        forest.backup(descent, values)
    return forest


@pytest.mark.parametrize("leaves", [1, 3])
def test_search_finds_the_minimax_value_of_noughts_and_crosses(leaves):
    rng = np.random.default_rng(5)
    positions = [(0,) * 9]
    while len(positions) < 12:
        position: Position = (0,) * 9
        for _ in range(int(rng.integers(2, 6))):
            if moves(position):
                position = after(position, int(rng.choice(moves(position))))
        if moves(position) and position not in positions:
            positions.append(position)
    forest = search(positions, visits=1500, leaves=leaves)
    best = forest.root_visits().argmax(axis=1)
    for position, action in zip(positions, best, strict=True):
        assert minimax(after(position, int(action))) == minimax(position), position
    decided = [index for index, position in enumerate(positions) if minimax(position) != 0]
    assert decided
    for index in decided:
        assert forest.means()[index, 0] * minimax(positions[index]) > 0.6
    assert not forest.pending.any()
    children = forest.root_visits().sum(axis=1)
    assert (forest.visits[:, 0] == children + 1).all()


def test_trees_do_not_know_of_each_other():
    positions = [(0,) * 9, (1, 2, 0, 0, 0, 0, 0, 0, 0), (1, 2, 1, 0, 2, 0, 0, 0, 0)]
    together = search(positions, 200)
    for index, position in enumerate(positions):
        alone = search([position], 200)
        assert (together.root_visits()[index] == alone.root_visits()[0]).all()
        assert together.means()[index, 0] == alone.means()[0, 0]


def test_selection_is_the_formula():
    """One level, known priors and values: the visit counts equal those of the formula written out in Python."""
    rng = np.random.default_rng(2)
    actions, visits = 12, 400
    prior = rng.dirichlet(np.ones(actions)).astype(np.float32)
    prior[3] = -1
    value = rng.uniform(-0.5, 0.5, actions)
    for mover in (1, 2):
        for noise in (False, True):
            settings = SearchSettings(cpuct=1.3, cpuct_log=0.5, cpuct_base=40, fpu_reduction=0.9, noise=noise)
            forest = Forest(1, visits + 2, actions)
            forest.plant(prior[None], np.array([mover]), np.array([[0.1]]))
            sign = 1 if mover == 1 else -1
            count, total, root = np.zeros(actions), np.zeros(actions), 0.1
            while forest.visits[0, 0] < visits:
                descent = forest.descend(np.array([0]), selection_rule(settings))
                below = count.sum()
                scale = (1.3 + 0.5 * math.log((below + 40) / 40)) * math.sqrt(below + 0.01)
                reduction = 0.0 if noise else 0.1
                urgency = sign * root / (below + 1) - reduction * math.sqrt(prior[count > 0].sum())
                mean = np.where(count > 0, sign * total / np.maximum(count, 1), urgency)
                score = np.where(prior >= 0, mean + scale * prior / (1 + count), -np.inf)
                want = int(score.argmax())
                reached = int(np.flatnonzero(forest.child[0, 0] == descent.node[0])[0])
                assert reached == want
                if descent.kind[0] == NEW:
                    forest.expand(
                        np.array([0]),
                        descent.node,
                        np.full((1, actions), -1.0, np.float32),
                        np.array([1]),
                        np.array([True]),
                    )
                else:
                    assert descent.kind[0] == FINISHED
                forest.backup(descent, np.array([[value[want]]]))
                count[want] += 1
                total[want] += value[want]
                root += value[want]
            assert (forest.root_visits()[0] == count).all()
            np.testing.assert_allclose(forest.root_means()[0][count > 0], value[count > 0], atol=1e-12)
            assert np.isnan(forest.root_means()[0][3])


def test_a_busy_leaf_is_left_alone():
    forest = Forest(1, 8, 1)
    forest.plant(np.ones((1, 1), np.float32), np.array([1]), np.zeros((1, 1)))
    descent = forest.descend(np.array([0, 0]), selection_rule(SearchSettings()))
    assert descent.kind.tolist() == [NEW, BUSY]
    forest.expand(np.array([0]), descent.node[:1], np.ones((1, 1), np.float32), np.array([2]), np.array([False]))
    forest.backup(descent, np.full((2, 1), 1.0))
    assert forest.visits[0, :2].tolist() == [2, 1]
    assert not forest.pending.any()


def test_temperature_halves_its_distance_every_halflife_of_a_19x19_board():
    schedule = Temperature(early=0.8, late=0.2, halflife=19)
    assert schedule.at(0, 19) == pytest.approx(0.8)
    assert schedule.at(19, 19) == pytest.approx(0.5)
    assert schedule.at(9, 9) == pytest.approx(0.5)
    assert schedule.at(10_000, 9) == pytest.approx(0.2)
