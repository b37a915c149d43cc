"""The choice by lower confidence bound, by hand, and evaluations kept from one search to the next."""

from __future__ import annotations

import numpy as np
import pytest
from small_nets import make_network

from toulmin.go import Evaluator, Games, PlayerSpec, Rollouts, Searched, SearchPlayer, SearchSettings, make_player
from toulmin.go.search.choice import choice_chances, choose_by_visits, lower_bounds, selection_weights
from toulmin.go.search.mcts import search
from toulmin.go.search.memory import Remembering

LCB = SearchSettings(choice="lcb")


def searched(visits, means, squares, mover=1, prior=None) -> Searched:
    """Three moves of one game on an imaginary board."""
    one = np.zeros(1)
    return Searched(
        visits=np.array([visits]),
        means=np.array([means], float),
        utility=one,
        black_wins=one,
        black_leads=one,
        ownership=np.zeros((1, 1, 1), np.float32),
        prior=np.array([prior or [0.5, 0.3, 0.2]], np.float32),
        squares=np.array([squares], float),
        mover=np.array([mover]),
    )


def test_bounds_by_hand():
    """Two visits of utility 0 and 1: the prior of weight 1/4 has the variance 1.4 squared."""
    found = searched([2, 0, 50], [0.5, np.nan, -0.2], [0.5, np.nan, 0.05])
    bound, radius = lower_bounds(found, 0, LCB)
    square = (0.5 * 2 + (0.25 + 1.96) / 4) / 2.25
    effective = 2.25**2 / (2 + 1 / 16)
    assert radius[0] == pytest.approx(5 * np.sqrt((square - 0.25) / effective), rel=1e-12)
    assert bound[0] == pytest.approx(0.5 - radius[0], rel=1e-12)
    assert (bound[1], radius[1]) == (-np.inf, np.inf)
    # with many visits the prior is forgotten: the standard error of the mean, five times
    assert radius[2] == pytest.approx(5 * np.sqrt((0.05 - 0.04) / 50), rel=0.02)
    other, _ = lower_bounds(searched([2, 0, 50], [-0.5, np.nan, 0.2], [0.5, np.nan, 0.05], mover=2), 0, LCB)
    np.testing.assert_allclose(other, bound)  # White's utility is the negative


def test_a_move_of_better_bound_is_preferred_to_the_most_visited():
    """60 visits of a poor move, 40 of a good one: by visits the first, by the bound the second."""
    found = searched([60, 40, 2], [0.0, 0.6, 0.9], [0.01, 0.37, 0.82])
    assert choose_by_visits(found, 0, 0.0, np.random.default_rng(0)) == 0
    assert choose_by_visits(found, 0, 0.0, np.random.default_rng(0), LCB) == 1
    weight = selection_weights(found, 0, LCB)
    bound, radius = lower_bounds(found, 0, LCB)
    excess = bound[1] - bound[0]
    factor = (radius[0] + excess) / (radius[0] + 0.2 * excess)
    assert weight.tolist() == pytest.approx([60, factor**2 * 60, 2])
    assert 60 < weight[1] < 25 * 60
    # a chance in proportion to the weight to the power 1/temperature
    half = choice_chances(found, 0, 0.5, LCB)
    np.testing.assert_allclose(half[1] / half[0], (weight[1] / 60) ** 2)


def test_a_move_of_few_visits_is_not_eligible():
    found = searched([60, 8, 0], [0.0, 0.9, np.nan], [0.01, 0.811, np.nan])
    assert choose_by_visits(found, 0, 0.0, np.random.default_rng(0), LCB) == 0
    few = LCB.model_copy(update={"lcb_least_visits": 0.1})
    assert choose_by_visits(found, 0, 0.0, np.random.default_rng(0), few) == 1
    raw = searched([0, 0, 0], [np.nan] * 3, [np.nan] * 3, prior=[0.1, 0.7, 0.2])
    assert choose_by_visits(raw, 0, 0.0, np.random.default_rng(0), LCB) == 1


def test_the_squares_of_a_search_are_those_of_its_leaves():
    """With two visits a move, mean square and mean are those of two leaves; of one visit the square of the mean."""
    games = Games(2, 3)
    found = search(games, np.arange(2), Rollouts(4, 1), SearchSettings(visits=30), [np.random.default_rng(0)] * 2)
    once = found.visits == 1
    assert once.any()
    np.testing.assert_allclose(found.squares[once], found.means[once] ** 2, rtol=1e-12)
    more = found.visits > 1
    assert more.any()
    assert (found.squares[more] >= found.means[more] ** 2 - 1e-12).all()
    assert np.isnan(found.squares[found.visits == 0]).all()


@pytest.mark.parametrize("games_at_once", [1, 5])
def test_a_search_that_remembers_visits_what_a_fresh_one_visits(games_at_once):
    evaluator = Evaluator(make_network(8, seed=3))
    settings = SearchSettings(visits=40)
    fresh, kept = SearchPlayer("fresh", evaluator, settings), None
    kept = SearchPlayer("kept", evaluator, settings.model_copy(update={"reuse": 10_000}))
    games, rows = Games(games_at_once, 5), np.arange(games_at_once)
    generators = [np.random.default_rng(row) for row in rows]
    for _ in range(6):
        one, other = (player.choose(games, rows, generators) for player in (fresh, kept))
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a.visits, b.visits)
            assert a.black_wins == pytest.approx(b.black_wins, abs=1e-6)
        games.play([choice.action for choice in one])
    memory = kept.evaluator
    assert isinstance(memory, Remembering)
    assert memory.known > 0.1 * memory.asked


def test_memory_is_bounded_and_tells_positions_apart():
    calls: list[int] = []

    class Noted(Rollouts):
        def evaluate(self, games, rows=None, **more):
            assert rows is not None
            calls.append(len(rows))
            return super().evaluate(games, rows, **more)

    memory = Remembering(Noted(2, 0), most=3)
    games = Games(2, 3)
    games.play([0, 4])
    first = memory.evaluate(games, np.array([0, 1, 0]))
    np.testing.assert_array_equal(first.policy[0], first.policy[2])
    assert calls == [2]  # one position is named twice
    games.play([4, 0])
    again = games.take([0, 1])
    memory.evaluate(games, np.array([0, 1]))
    assert calls == [2, 2]  # the same stones by another way: the network sees the last moves
    memory.evaluate(again, np.array([1]))
    assert calls == [2, 2]
    komi = games.take([1])
    komi.komi[0] += 1
    memory.evaluate(komi, np.array([0]))
    assert calls == [2, 2, 1]
    memory.evaluate(again, np.array([0]))
    assert calls == [2, 2, 1]
    fresh = Games(1, 3)
    fresh.play([0])
    memory.evaluate(fresh, np.array([0]))
    assert calls == [2, 2, 1, 1]  # the oldest was let go


def test_reuse_is_a_setting_of_a_player():
    spec = PlayerSpec.model_validate({"kind": "rollouts", "search": {"visits": 8, "reuse": 100}})
    player = make_player(spec, str)
    assert isinstance(player, SearchPlayer)
    assert isinstance(player.evaluator, Remembering)
