"""KataGo's input features: each plane and number by a position made to show it."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.go import Game, Games, Rules, action_of, random_playouts
from toulmin.go.nets.features import input_features


def position(rows, rules=None, to_move=1):
    text = "".join(rows)
    black = [i for i, c in enumerate(text) if c == "X"]
    white = [i for i, c in enumerate(text) if c == "O"]
    return Game(len(rows), rules, black=black, white=white, to_move=to_move)


def features(game, **settings):
    planes, numbers = input_features(game.games, **settings)
    return planes[0].transpose(2, 0, 1), numbers[0]


def points(plane, size):
    return {size * int(y) + int(x) for y, x in np.argwhere(plane)}


def named(vertices, size):
    return {action_of(v, size) for v in vertices.split()}


KO = [".XO..", "XO.O.", ".XO..", ".....", "....."]


def test_stones_liberties_and_history_are_the_movers():
    game = Game(5).play("C3").play("C4").play("pass").play("A1").play("B4").play("E1")
    planes, numbers = features(game)
    assert planes[0].all()
    assert points(planes[1], 5) == named("C3 B4", 5)
    assert points(planes[2], 5) == named("C4 A1 E1", 5)
    assert points(planes[4], 5) == named("C4 A1 E1", 5)
    assert points(planes[5], 5) == named("C3 B4", 5)
    assert [points(planes[9 + i], 5) for i in range(5)] == [named(v, 5) for v in ("E1", "B4", "A1", "", "C4")]
    assert numbers[:5].tolist() == [0, 0, 0, 1, 0]


def test_history_stops_where_colours_fail_to_alternate():
    game = Game(5).play("C3").play("C4", 1).play("A1")
    planes, _ = features(game)
    assert [bool(planes[9 + i].any()) for i in range(5)] == [True, True, False, False, False]
    game.games.set_to_move(0, 2)
    assert not features(game)[0][9:14].any()


def test_ko_and_superko_points_are_banned():
    game = position(KO, Rules(ko="simple")).play("C4")
    assert points(features(game)[0][6], 5) == named("B4", 5)
    returned = position([".O.O.", "XXO..", ".....", ".....", "....."], Rules(), to_move=2).play("A5").play("C5")
    assert points(features(returned)[0][6], 5) == named("B5", 5)


def test_the_encore_marks_recapture_blocks_and_its_first_stones():
    game = position([".XO..", "XO.O.", ".XO..", ".....", "....."], Rules.japanese(komi=0))
    game.play("pass").play("pass")
    _, numbers = features(game)
    assert numbers[12:15].tolist() == [1, 0, 0]
    game.play("C4")  # a ko capture in the encore: it may not be retaken but by a pass for ko
    planes, _ = features(game)
    assert points(planes[7], 5) == named("C4", 5)
    assert not planes[6].any()
    assert game.is_legal("B4")
    game.play("B4")  # the pass for ko: nothing is captured, the block is gone
    assert game.games.captures[0].tolist() == [0, 1]
    assert not features(game)[0][7].any()
    game.play("pass").play("pass")
    planes, numbers = features(game)
    assert int(game.games.phase[0]) == 2
    assert numbers[12:14].tolist() == [1, 1]
    assert points(planes[20 if game.to_move == 1 else 21], 5) == points(game.games.stones()[0] == 1, 5)
    assert planes[18:20].any()


def test_numbers_say_the_rules():
    def numbers(rules, **settings):
        return features(Game(5, rules), **settings)[1].round(4).tolist()

    assert numbers(Rules(komi=7))[5] == pytest.approx(-0.35)
    assert numbers(Rules(komi=7), draw_equivalent_wins=1.0)[5] == pytest.approx(-0.375)
    assert numbers(Rules(komi=7.5), draw_equivalent_wins=1.0)[5] == pytest.approx(-0.375)
    assert numbers(Rules(komi=300))[5] == pytest.approx(-45 / 20)  # cut at 20 beyond the points of the board
    assert [numbers(Rules(ko=k))[6:8] for k in ("simple", "positional", "situational", "spight")] == [
        [0, 0],
        [1, 0.5],
        [1, -0.5],
        [1, 0.5],
    ]
    assert [numbers(Rules(suicide=s))[8] for s in (False, True)] == [0, 1]
    assert [numbers(Rules(tax=t))[10:12] for t in ("none", "seki", "all")] == [[0, 0], [1, 0], [1, 1]]
    assert numbers(Rules.japanese())[9] == 1
    assert numbers(Rules.japanese())[18] == 0
    assert numbers(Rules(button=True))[17] == 1
    assert numbers(Rules(), playout_doubling=1.5)[15:17] == [1, 0.75]
    # 25 points: a draw needs odd komi; seen by Black, komi is negative
    assert [numbers(Rules(komi=-k))[18] for k in (1.0, 1.5, 2.0, 2.5, 3.0)] == [0, 0.5, 0, -0.5, 0]


def test_territory_costs_a_point_a_move():
    game = Game(5, Rules.japanese(komi=0)).play("C3")
    assert features(game)[1][5] == pytest.approx(1 / 20)
    game.play("D3")
    assert features(game)[1][5] == 0
    assert not features(game)[0][18:20].any()


def test_a_pass_that_ends_the_game_can_be_hidden():
    game = Game(5).play("C3").play("pass")
    planes, numbers = features(game)
    assert (numbers[14], numbers[0]) == (1, 1)
    assert points(planes[10], 5) == named("C3", 5)
    planes, numbers = features(game, conservative_pass=True)
    assert (numbers[14], numbers[0]) == (0, 0)
    assert not planes[9:14].any()
    friendly = Game(5, Rules.chinese()).play("C3").play("pass")
    assert features(friendly)[1][14] == 0


def test_own_and_opposing_area():
    rows = [".X.O.", "XXOOO", "OOO..", ".....", "....."]
    planes, _ = features(position(rows, to_move=1))
    assert points(planes[18], 5) == named("A5 B5 A4 B4", 5)
    assert planes[19].sum() == 20
    taxed, _ = features(position(rows, Rules(tax="seki"), to_move=2))
    assert points(taxed[19], 5) == named("B5 A4 B4", 5)


CHASED = [".......", "..X....", ".XO....", "..XX...", ".......", ".......", "......."]


def test_ladders_now_before_and_the_moves_that_start_them():
    """White's stone in atari runs to D5, is turned back at E5, and dies on the edge."""
    game = position(CHASED, to_move=2)
    planes, _ = features(game)
    assert points(planes[14], 7) == named("C5", 7)
    assert not planes[17].any()  # the mover's own chain: nothing to be captured
    planes, _ = features(game.play("D5"))
    assert points(planes[14], 7) == named("C5 D5", 7)
    assert points(planes[15], 7) == points(planes[16], 7) == named("C5", 7)
    assert points(planes[17], 7) == named("E5", 7)  # D6 would let it out to the right
    broken = position(["...".ljust(7, "."), "..X.O..", *CHASED[2:]], to_move=2)
    assert not features(broken)[0][14].any()


def test_what_is_cached_is_what_is_computed_anew():
    """Ladders found for a position are handed on to the next ones; a fresh copy of the game finds the same."""
    rng = np.random.default_rng(8)
    games = Games(3, 7)
    for turn in range(50):
        legal = games.legal()
        games.play([rng.choice(np.flatnonzero(row)) if row.any() else -1 for row in legal])
        if turn % 3 == 0:
            planes, numbers = input_features(games)
        if turn % 10 == 9:
            planes, numbers = input_features(games)
            for b in range(3):
                fresh = Games(1, 7)
                for _, action in games.history(b):
                    fresh.play([action])
                again, others = input_features(fresh)
                assert (again[0] == planes[b]).all()
                assert (others[0] == numbers[b]).all()


def test_a_small_board_lies_in_the_corner_and_playouts_hide_history():
    games = Games(2, 5)
    random_playouts(games, 3, max_moves=8)
    planes, numbers = input_features(games, pad_to=9)
    assert planes.shape == (2, 9, 9, 22)
    assert not planes[:, 5:].any()
    assert not planes[:, :, 5:].any()
    assert (planes[:, :5, :5] == input_features(games)[0]).all()
    assert not planes[..., 9:14].any()
    assert not numbers[:, :5].any()
