"""Unconditional life by known answers, and by what it promises: no sequence of opposing moves captures it."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.go import Games, Rules


def alive(rows, suicide=True):
    text = "".join(rows)
    games = Games(1, len(rows), Rules(suicide=suicide))
    games.place(0, [i for i, c in enumerate(text) if c == "X"], [i for i, c in enumerate(text) if c == "O"])
    return games.pass_alive()[0]


def test_two_eyes_live_and_one_does_not():
    assert (alive([".X.X.", "XXXX.", ".....", ".....", "....."])[:2, :4] == 1).all()
    assert not alive([".X...", "XX...", ".....", ".....", "....."]).any()
    assert alive([".X.X.", "XXXX.", ".....", ".....", "....."])[4, 4] == 0  # the outside is not yet anybody's


def test_eyes_that_chains_share():
    """Two chains around the same two eyes live; a ring with one eye does not, whatever its shape."""
    assert (alive([".XX..", "X.X..", "XXX..", ".....", "....."])[:3, :3] == 1).all()
    assert not alive([".X...", "X.X..", ".X...", ".....", "....."]).any()


def test_a_big_eye_with_the_opponent_inside():
    """Two points of eye space, one with a white stone: vital, as both its points touch the chain."""
    rows = ["O.X.X", "XXXXX", ".....", ".....", "....."]
    assert (alive(rows)[:2] == 1).all()


@pytest.mark.parametrize(("suicide", "lives"), [(True, False), (False, True)])
def test_without_suicide_only_empty_points_need_touch_the_chain(suicide, lives):
    """White's stone at A5 touches no black stone; it could fill the eye only by suicide."""
    inside = ["OOX.X", "O.XXX", ".XX..", "XX...", "....."]
    assert bool(alive(inside, suicide)[0, 2]) == lives


def test_territory_of_the_living_may_hold_one_inner_point():
    """Inside are points that touch no black stone: one (A4) leaves no room for an eye, three do."""
    one = [".X.....", "XXX....", "..X....", "..X....", "..X....", "XXX....", ".X....."]
    assert (alive(one)[:, :2] == 1).all()
    three = [".X.....", "XXXXX..", "....X..", "....X..", "....X..", "XXXXX..", ".X....."]
    marks = alive(three)
    assert (marks[1, :5] == 1).all()
    assert (marks[2:5, :4] == 0).all()


@pytest.mark.parametrize("suicide", [True, False])
def test_what_is_alive_survives_an_opponent_who_moves_alone(suicide):
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(60):
        size = int(rng.integers(4, 7))
        colors = rng.choice([0, 1, 1, 1, 2], size=size * size)
        games = Games(1, size, Rules(suicide=suicide, ko="simple"))
        for action in np.flatnonzero(colors):
            if colors[action] == 1:
                games.set_to_move(0, 1)
                if games.legal()[0, action]:
                    games.play([int(action)])
        marks = games.pass_alive()[0]
        stones = (games.stones()[0] == 1) & (marks == 1)
        found += bool(stones.any())
        for _ in range(4 * size * size):
            games.set_to_move(0, 2)
            choices = np.flatnonzero(games.legal()[0][:-1])
            if not len(choices) or games.finished[0]:
                break
            games.play([rng.choice(choices)])
        assert (games.stones()[0][stones] == 1).all()
    assert found >= 10
