"""Games of SGF files as figures: positions, both scores, an evaluator's curve and ownership, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from toulmin.cli.go import app
from toulmin.faults import FaultError
from toulmin.go import Games
from toulmin.go.replays import board_of_files, replay_figure
from toulmin.go.search.rollouts import Guess
from toulmin.go.sgf import read_sgf

GAME = b"""(;GM[1]FF[4]SZ[5]KM[0.5]RU[koPOSITIONALscoreAREAtaxNONEsui1]PB[one]PW[two]RE[B+24.5]
;B[cc];W[aa];B[ba];W[];B[ab];W[];B[])"""
OTHER = b"(;GM[1]FF[4]SZ[7]KM[7.5]RU[Tromp-Taylor];B[cc])"


class Counting:
    """Black wins with probability (black stones) / 25, and owns the points with black stones."""

    def evaluate(self, games: Games, rows: np.ndarray | None = None, **_: object) -> Guess:
        chosen = games.take(np.arange(games.batch) if rows is None else rows)
        stones = (chosen.stones() == 1).sum(axis=(1, 2)) / 25
        win = np.where(chosen.to_move == 1, stones, 1 - stones).astype(np.float32)
        sign = np.where(chosen.to_move == 1, 1, -1)[:, None, None]
        zero = np.zeros(chosen.batch, np.float32)
        owned = (sign * (chosen.stones() == 1)).astype(np.float32)
        return Guess(chosen.legal().astype(np.float32), win, 1 - win, zero, zero, zero, zero, owned)


def test_a_game_with_an_opinion_of_every_position():
    record = read_sgf(GAME)[0]
    figure = replay_figure("game", record, Counting(), "counting", ownership_every=2)
    assert [(m.colour, m.x, m.y) for m in figure.moves[:3]] == [("b", 2, 2), ("w", 0, 0), ("b", 1, 0)]
    assert (figure.moves[3].colour, figure.moves[3].x) == ("w", None)
    assert (figure.black, figure.white, figure.result, figure.komi) == ("one", "two", "B+24.5", 0.5)
    # White's stone is captured by A4: everything is Black's
    assert figure.score_area == 24.5
    assert figure.score_pass_alive == 24.5
    want = [0.0, 0.04, 0.04, 0.08, 0.08, 0.12, 0.12, 1.0]
    np.testing.assert_allclose(np.array(figure.win_estimates["counting"], float), want, atol=1e-6)
    assert [owned.move for owned in figure.ownership] == [0, 2, 4, 6]
    assert sum(figure.ownership[-1].values) == 3


def test_files_become_a_page(tmp_path):
    first, second = tmp_path / "a.sgf", tmp_path / "b.sgf"
    first.write_bytes(GAME + b"\n" + GAME)
    second.write_bytes(GAME)
    board = board_of_files([first, second])
    assert [game.name for game in board.games] == ["a 1", "a 2", "b"]
    assert not board.games[0].win_estimates
    page = tmp_path / "page.html"
    result = CliRunner().invoke(app, ["replay", str(first), "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert "2 games" in result.output
    assert "<html" in page.read_text()


def test_every_bad_file_is_named(tmp_path):
    good, other, broken = tmp_path / "good.sgf", tmp_path / "other.sgf", tmp_path / "broken.sgf"
    good.write_bytes(GAME)
    other.write_bytes(OTHER)
    broken.write_bytes(b"(;GM[1]SZ[5];B[zz")
    with pytest.raises(FaultError) as caught:
        board_of_files([good, other, broken, tmp_path / "absent.sgf"])
    text = str(caught.value)
    assert "broken.sgf" in text
    assert "absent.sgf" in text
    assert "one size of board" in text
    broken.write_bytes(GAME.replace(b";W[aa]", b";W[cc]"))
    with pytest.raises(FaultError, match="illegal"):
        board_of_files([broken])
