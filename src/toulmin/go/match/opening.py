"""How a game of a match begins: stones set up, moves that are given, and random moves after them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine.games import Games
from toulmin.go.engine.passing import without_suicide
from toulmin.go.engine.rules import BLACK, WHITE, Rules


@dataclass(frozen=True)
class Opening:
    """The given part of a game: ``moves`` (actions, colours alternating) after stones set up, ``to_move`` first."""

    moves: tuple[int, ...] = ()
    black: tuple[int, ...] = ()
    white: tuple[int, ...] = ()
    to_move: int = BLACK

    def begin(self, games: Games, row: int) -> None:
        """Start game ``row`` with it.

        :raises FaultError: ``go.setup`` or ``go.illegal``.
        """
        games.restart([row])
        if self.black or self.white or self.to_move != BLACK:
            games.place(row, self.black, self.white, self.to_move)
        for action in self.moves:
            games.play([action], [row])


def read_openings(path: str | Path, size: int, rules: Rules) -> list[Opening]:
    """The games of an SGF file as openings: their set-up stones, who moves (PL), and the moves of their main line.

    Rules and komi are those of the match, not of the file.

    :raises FaultError: ``go.positions``, with every game that cannot be an opening: another size of board, moves that
        do not alternate or are illegal, a game that is over; faults of the file as :func:`toulmin.go.read_sgf`.
    """
    from toulmin.go.sgf import read_sgf

    found: list[Opening] = []
    faults: list[Fault] = []
    for number, game in enumerate(read_sgf(path), 1):
        turns = [BLACK if (game.to_move == BLACK) == (at % 2 == 0) else WHITE for at in range(len(game.moves))]
        opening = Opening(tuple(action for _, action in game.moves), game.black, game.white, game.to_move)
        if game.size != size:
            problem = f"its board is {game.size}x{game.size}, the match is on {size}x{size}"
        elif [colour for colour, _ in game.moves] != turns:
            problem = "its moves do not alternate between the colours"
        else:
            problem = _problem(opening, size, rules)
        if problem:
            faults.append(Fault("go.positions", problem, file=game.file, line=game.line, name=f"game {number}"))
        found.append(opening)
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return found


def _problem(opening: Opening, size: int, rules: Rules) -> str:
    """Why no game can go on from an opening; empty where one can."""
    games = Games(1, size, rules)
    try:
        opening.begin(games, 0)
    except FaultError as error:
        return "; ".join(fault.message for fault in error.faults)
    return "the game is over" if games.finished[0] else ""


def draw_opening(
    moves: int, size: int, rules: Rules, generator: np.random.Generator, start: Opening | None = None
) -> Opening:
    """``start`` (by default the empty board) and ``moves`` random legal moves after it (fewer if there are none left).

    Not suicide, and not on the first line of a board of 5 or more.
    """
    line = np.ones((size, size), bool)
    if size >= 5:
        line[1:-1, 1:-1] = False
    inner = np.append(~line.ravel() if size >= 5 else line.ravel(), False)
    start = start or Opening()
    games, actions = Games(1, size, rules), []
    start.begin(games, 0)
    while len(actions) < moves:
        open_ = np.flatnonzero(without_suicide(games, 0, games.legal()[0]) & inner)
        if not len(open_):
            break
        actions.append(int(generator.choice(open_)))
        games.play([actions[-1]])
    return Opening((*start.moves, *actions), start.black, start.white, start.to_move)


def draw_openings(
    count: int, moves: int, size: int, rules: Rules, seed: int, starts: Sequence[Opening] = ()
) -> list[Opening]:
    """``count`` openings (:func:`draw_opening`), distinct as long as chance finds new ones.

    They begin with ``starts`` in turn, by default with the empty board. Opening i depends on the seed and on i, and on
    the earlier ones only where it would repeat one.
    """
    found: list[Opening] = []
    for index in range(count):
        start = starts[index % len(starts)] if starts else None
        drawn = Opening()
        for attempt in range(50 if moves else 1):  # without random moves there is nothing to try again
            drawn = draw_opening(moves, size, rules, np.random.default_rng((seed, 7919, index, attempt)), start)
            if drawn not in found:
                break
        found.append(drawn)
    return found


__all__ = ["Opening", "draw_opening", "draw_openings", "read_openings"]
