"""Positions evaluated ahead change how many evaluations a batch has, and nothing that a search finds."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.go import Games, Rules
from toulmin.go.search.mcts import Searched, search
from toulmin.go.search.rollouts import Guess, Rollouts
from toulmin.go.search.settings import SearchSettings


class Counting(Rollouts):
    """Rollouts, whose opinion depends on the position alone, with batches counted; the policy is not uniform."""

    def __init__(self, good_batch: int) -> None:
        super().__init__(2, 3)
        self.good_batch = good_batch
        self.batches: list[int] = []

    def evaluate(self, games: Games, rows=None, **_: object) -> Guess:
        found = super().evaluate(games, rows)
        self.batches.append(len(found.win))
        skew = np.linspace(1, 4, found.policy.shape[1], dtype=np.float32)
        policy = found.policy * skew
        policy /= policy.sum(axis=1, keepdims=True)
        return Guess(**{**vars(found), "policy": policy})


def positions(size: int, count: int, moves: int) -> Games:
    rng = np.random.default_rng(moves)
    games = Games(count, size, Rules(komi=0.5))
    for _ in range(moves):
        games.play([rng.choice(np.flatnonzero(row)) for row in games.legal()])
    assert not games.finished.any()
    return games


def run(evaluator: Counting, games: Games, settings: SearchSettings) -> Searched:
    generators = [np.random.default_rng(b) for b in range(games.batch)]
    return search(games, np.arange(games.batch), evaluator, settings, generators)


@pytest.mark.parametrize(("size", "moves"), [(3, 2), (3, 7), (5, 9)])
@pytest.mark.parametrize("count", [1, 3])
def test_the_search_is_the_same_and_the_batches_are_fewer(size, moves, count):
    games = positions(size, count, moves)
    settings = SearchSettings(visits=120)
    plain, ahead = Counting(1), Counting(8)
    one, two = run(plain, games, settings), run(ahead, games, settings)
    np.testing.assert_array_equal(one.visits, two.visits)
    for name in ("means", "utility", "black_wins", "black_leads", "prior"):  # a batch changes the last bits of sums
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), rtol=1e-12, atol=1e-12)
    assert max(plain.batches) == count
    assert max(ahead.batches) > count
    assert len(ahead.batches) < (0.8 if count == 1 else 1.0) * len(plain.batches)
    assert two.evaluations == sum(ahead.batches)


def test_ends_of_games_are_met_ahead_too():
    """A pass has been played: passing again ends the game, and both searches count the same visits there."""
    games = positions(3, 1, 4)
    games.play([9])
    one, two = (run(Counting(batch), games, SearchSettings(visits=200)) for batch in (1, 6))
    assert one.visits[0, 9] > 0
    np.testing.assert_array_equal(one.visits, two.visits)
    np.testing.assert_allclose(one.means, two.means, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    "settings", [SearchSettings(visits=40, leaves=4), SearchSettings(visits=40, symmetry="random")]
)
def test_nothing_is_evaluated_ahead_where_the_order_matters(settings):
    games = positions(3, 1, 2)
    plain, ahead = Counting(1), Counting(8)
    one, two = run(plain, games, settings), run(ahead, games, settings)
    assert plain.batches == ahead.batches
    np.testing.assert_array_equal(one.visits, two.visits)
