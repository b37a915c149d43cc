"""Games from set-up stones and given moves, and places of finished games that are taken by others."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from toulmin.faults import FaultError
from toulmin.go import Games, Match, Opening, PlayerSpec, Rules, draw_opening, read_openings, read_sgf, replay, sgf_of
from toulmin.go.gtp.player import EnginePlayer
from toulmin.go.match.figures import replay_of
from toulmin.go.match.game_record import GameRecord
from toulmin.go.match.play import Pairing, play_games
from toulmin.go.players.hardcoded import HardCoded
from toulmin.go.players.player import Choice
from toulmin.studies import Resolver, Run

# White to move, then a white stone; and Black to move after three stones
WALLS = b"(;GM[1]SZ[5]AB[ba:be]AW[da:de]PL[W];W[cc])\n(;GM[1]SZ[5]AB[bb][dd]AW[cc])\n"
GNUGO = shutil.which("gnugo") or shutil.which("gnugo", path="/usr/games")


@pytest.fixture
def walls(tmp_path):
    path = tmp_path / "walls.sgf"
    path.write_bytes(WALLS)
    return path


def test_a_game_from_set_up_stones_by_hand(walls):
    """Both pass at once: Black has two columns, White two and a stone in the middle, the rest of it is neutral."""
    first, second = read_openings(walls, 5, Rules())
    assert first == Opening((12,), (1, 6, 11, 16, 21), (3, 8, 13, 18, 23), 2)
    assert second == Opening((), (6, 18), (12,), 1)
    record = play_games([Pairing(HardCoded("pass"), HardCoded("pass"), first)], 5, Rules(komi=0.5))[0]
    assert record.moves == ("C3", "pass", "pass")
    assert [record.mover(number) for number in range(3)] == ["w", "b", "w"]
    assert record.score_area == 10 - 11 - 0.5
    assert record.black_stones == ("B5", "B4", "B3", "B2", "B1")
    assert record.opening == 1
    assert GameRecord.from_json(record.to_json()) == record


def test_the_sgf_and_the_figure_of_such_a_game_hold_its_stones(walls):
    opening = read_openings(walls, 5, Rules())[0]
    record = play_games([Pairing(HardCoded("random"), HardCoded("edge"), opening, (4,))], 5, Rules(komi=0.5))[0]
    (read,) = read_sgf(sgf_of(record))
    assert (read.black, read.white, read.to_move) == (opening.black, opening.white, 2)
    assert -replay(read).scores().tromp_taylor == record.score_area
    figure = replay_of(record, "game")
    assert len(figure.setup) == 10
    assert [move.colour for move in figure.moves[:3]] == ["w", "b", "w"]


def test_a_record_from_before_set_up_stones_is_read(walls):
    record = play_games([Pairing(HardCoded("pass"), HardCoded("pass"))], 5, Rules(komi=0.5))[0]
    data = json.loads(record.to_json())
    for name in ("black_stones", "white_stones", "first"):
        del data[name]
    assert GameRecord.from_json(json.dumps(data)) == record
    other = play_games([Pairing(HardCoded("pass"), HardCoded("pass"), Opening(to_move=2))], 5, Rules(komi=0.5))[0]
    assert other.moves == record.moves
    assert other.digest != record.digest


def test_white_may_move_first_on_an_empty_board():
    games = Games(1, 5)
    Opening((12,), to_move=2).begin(games, 0)
    assert games.history(0) == [(2, 12)]


@pytest.mark.parametrize(
    ("sgf", "why"),
    [
        (b"(;GM[1]SZ[7];B[aa])", "its board is 7x7"),
        (b"(;GM[1]SZ[5];B[aa];B[bb])", "do not alternate"),
        (b"(;GM[1]SZ[5];B[];W[])", "the game is over"),
        (b"(;GM[1]SZ[5];B[aa];W[aa])", "illegal"),
        (b"(;GM[1]SZ[5]AB[ab][ba]AW[aa])", "no liberty"),
    ],
)
def test_what_cannot_be_a_starting_position_is_refused(tmp_path, sgf, why):
    path = tmp_path / "positions.sgf"
    path.write_bytes(sgf + b"\n" + WALLS)
    with pytest.raises(FaultError, match=why):
        read_openings(path, 5, Rules())


def test_random_moves_follow_the_position():
    start = Opening((12,), (1,), (3,), 2)
    drawn = draw_opening(2, 5, Rules(), np.random.default_rng(0), start)
    assert drawn.moves[:1] == (12,)
    assert len(drawn.moves) == 3
    assert (drawn.black, drawn.white, drawn.to_move) == ((1,), (3,), 2)
    games = Games(1, 5)
    drawn.begin(games, 0)
    assert games.setup(0) == ((1,), (3,), 2)
    assert [colour for colour, _ in games.history(0)] == [2, 1, 2]


def test_copies_of_games_keep_what_was_set_up():
    games = Games(2, 5)
    games.place(1, [3], [4], 2)
    assert games.take([1, 0, 1]).setup(2) == ((3,), (4,), 2)
    other = Games(2, 5)
    other.assign([0], games, [1])
    assert other.setup(0) == ((3,), (4,), 2)
    other.assign([0], games, [0])
    assert other.setup(0) == ((), (), 1)
    games.restart([1])
    assert games.setup(1) == ((), (), 1)


def test_a_match_plays_its_positions_in_turn(walls, tmp_path):
    players = (PlayerSpec(kind="random"), PlayerSpec(kind="edge"))
    study = Match(size=5, komi=0.5, players=players, games=8, opening_moves=1, positions=f"file:{walls}")
    assert [one.role for one in study.at(Resolver()).inputs()] == ["positions"]
    items = study.at(Resolver()).collect(Run(tmp_path))
    records = [GameRecord.from_json(text) for text in items["record"].tolist()]
    assert [(len(one.black_stones), one.first, one.opening) for one in records] == [(5, "w", 2)] * 2 + [
        (2, "b", 1)
    ] * 2 + [(5, "w", 2)] * 2 + [(2, "b", 1)] * 2
    assert [one.black for one in records] == ["random", "edge"] * 4
    assert len(set(items.contents or ())) == 4


class Counted(HardCoded):
    """A random player that notes how many games it was asked about at once."""

    def __init__(self) -> None:
        super().__init__("random")
        self.asked: list[int] = []

    def choose(self, games, rows, generators) -> list[Choice]:
        self.asked.append(len(rows))
        return super().choose(games, rows, generators)


def test_the_place_of_a_finished_game_is_taken_by_the_next():
    def play(parallel):
        player = Counted()
        pairings = [Pairing(player, player, seed=(number,)) for number in range(12)]
        return play_games(pairings, 3, Rules(komi=0.5), parallel=parallel), player.asked

    at_once, _ = play(None)
    some, asked = play(3)
    assert some == at_once  # a game depends on no other
    lengths = [len(record.moves) for record in some]
    assert len(set(lengths)) > 1
    assert max(asked) == 3
    groups = sum(max(lengths[start : start + 3]) for start in range(0, 12, 3))
    assert len(asked) < groups  # rounds that groups of three would have taken, each waiting for its longest
    assert asked[: len(asked) - max(lengths)] == [3] * (len(asked) - max(lengths))


@pytest.mark.skipif(GNUGO is None, reason="GNU Go is not installed")
def test_an_engine_is_told_of_set_up_stones(walls):
    opening = read_openings(walls, 5, Rules())[0]
    engine = EnginePlayer("gnugo", [str(GNUGO), "--mode", "gtp", "--level", "1", "--chinese-rules"])
    games = Games(1, 5, Rules(suicide=False))
    opening.begin(games, 0)
    try:
        (choice,) = engine.choose(games, np.array([0]), [np.random.default_rng(0)])
        assert games.legal()[0, choice.action], choice.reason
        told = engine._engines[0]
        assert sorted(told.send("list_stones", "white").split())[:5] == ["C3", "D1", "D2", "D3", "D4"]
        assert "B3" in told.send("list_stones", "black")
    finally:
        engine.close()
