"""The hard-coded players of Wang et al. 2022, section 5.4 (baseline attacks), and a corner player.

All but ``pass`` keep to legal moves that are not suicide, and pass in three cases: there is no such move; the opponent
has just passed and the Tromp-Taylor score makes the pass win at once; or the opponent has just passed after more than
211 moves on 19x19 (in proportion to the area on other boards), since otherwise a game of bad moves need not end.

- ``random``: uniform.
- ``edge``: uniform over the outermost ring of the board that has a move.
- ``spiral``: in the outermost ring with a move, the point of largest angle around the centre: a fixed spiral inwards.
- ``mirror``: the opponent's move reflected in the main diagonal (in the other diagonal where it lies on the main one),
  or the nearest move to that by L1 distance; the centre as a first move; a random move after a pass.
- ``pass``: always passes.
- ``corner``: random moves in the quarter of the board at the lower left, and a pass when that is full. It is the shape
  of the paper's pass-based attack (a small corner of one's own, then passes) without any skill.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.passing import without_suicide
from toulmin.go.players.player import Choice

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Points = NDArray[np.int64]
Policy = Callable[[int, Points, int | None, np.random.Generator], int]
"""(size, moves that may be chosen, the opponent's last action or None, generator) -> action."""


def _ring(size: int, moves: Points) -> Points:
    """The distance of each move from the centre in the L-infinity norm, in half lines (whole for even sizes too)."""
    row, column = np.divmod(moves, size)
    return np.maximum(abs(2 * row - size + 1), abs(2 * column - size + 1))


def _outermost(size: int, moves: Points) -> Points:
    ring = _ring(size, moves)
    return moves[ring == ring.max()]


def _random(size: int, moves: Points, last: int | None, generator: np.random.Generator) -> int:
    return int(generator.choice(moves))


def _edge(size: int, moves: Points, last: int | None, generator: np.random.Generator) -> int:
    return int(generator.choice(_outermost(size, moves)))


def _spiral(size: int, moves: Points, last: int | None, generator: np.random.Generator) -> int:
    outer = _outermost(size, moves)
    row, column = np.divmod(outer, size)
    return int(outer[np.arctan2(2 * row - size + 1, 2 * column - size + 1).argmax()])


def _mirror(size: int, moves: Points, last: int | None, generator: np.random.Generator) -> int:
    if last == size * size:
        return int(generator.choice(moves))
    if last is None:
        row = column = size // 2
    else:
        column, row = divmod(last, size)
        if row == column:
            row = column = size - 1 - row
    rows, columns = np.divmod(moves, size)
    return int(moves[(abs(rows - row) + abs(columns - column)).argmin()])


def _corner(size: int, moves: Points, last: int | None, generator: np.random.Generator) -> int:
    row, column = np.divmod(moves, size)
    inside = moves[(row >= size - (size + 1) // 2) & (column < (size + 1) // 2)]
    return int(generator.choice(inside)) if len(inside) else size * size


POLICIES: dict[str, Policy] = {
    "random": _random,
    "edge": _edge,
    "spiral": _spiral,
    "mirror": _mirror,
    "corner": _corner,
}


class HardCoded:
    """One of the players named in the module; ``kind`` is a key of :data:`POLICIES` or ``pass``."""

    def __init__(self, kind: str) -> None:
        if kind not in (*POLICIES, "pass"):
            raise ValueError(f"no hard-coded player is called {kind!r}")
        self.name = kind

    def choose(self, games: Games, rows: NDArray[np.int64], generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice a row."""
        if self.name == "pass":
            return [Choice(games.size**2) for _ in rows]
        return [
            Choice(self._action(games, int(row), legal, generator))
            for row, legal, generator in zip(rows, games.legal(rows), generators, strict=True)
        ]

    def close(self) -> None:
        """Nothing to let go of."""

    def _action(self, games: Games, row: int, legal: NDArray[np.bool_], generator: np.random.Generator) -> int:
        size = games.size
        history = games.history(row)
        last = history[-1][1] if history else None
        if last == size * size and self._may_end(games, row, len(history)):
            return size * size
        moves = np.flatnonzero(without_suicide(games, row, legal)[: size * size])
        return POLICIES[self.name](size, moves, last, generator) if len(moves) else size * size

    @staticmethod
    def _may_end(games: Games, row: int, moves: int) -> bool:
        if moves > 211 * games.size**2 / 361:
            return True
        white_leads = games.take(np.array([row])).scores()[0, 0]
        return bool(white_leads > 0 if games.to_move[row] == 2 else white_leads < 0)
