"""When a player may pass, and which stones would be suicide: masks over actions, for many games at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

Passing = Literal["standard", "last_resort", "avoid_pass_alive", "only_when_ahead", "only_when_behind"]
"""When a player may pass (Wang et al. 2022, section 5 and appendix C):

``standard``: whenever it is legal; ``last_resort``: only without another legal move; ``avoid_pass_alive``: only when
every other legal move is inside the player's own pass-alive territory, where it also never plays while it has another
move (the hardened victim); ``only_when_ahead`` / ``only_when_behind``: only when the game, if it ended now under
Tromp-Taylor scoring, would be won / lost or drawn, or without another legal move.
"""


def allowed_actions(games: Games, rows: Rows, passing: Passing = "standard") -> Mask:
    """The legal actions of each row that a player of this passing behaviour may choose, bool (len(rows), actions).

    Wang et al. 2022 harden their victim this way (``avoid_pass_alive``); the other behaviours are those of the paper's
    code. Never empty for a game that is not finished: the pass is allowed where nothing else is.
    """
    chosen = games.take(rows)
    allowed = chosen.legal()
    if passing == "standard":
        return allowed
    boards = allowed[:, :-1]
    if passing == "avoid_pass_alive":
        mine = chosen.pass_alive().reshape(len(rows), -1) == chosen.to_move[:, None]
        outside = boards & ~mine
        some = outside.any(axis=1)
        boards[some] = outside[some]
        # with nothing left outside one's own pass-alive territory there is nothing left to do
        allowed[:, -1] &= ~some
        boards[~some & allowed[:, -1]] = False
        return allowed
    if passing == "last_resort":
        allowed[:, -1] &= ~boards.any(axis=1)
        return allowed
    white_leads = chosen.scores()[:, 0]
    lead = np.where(chosen.to_move == 2, white_leads, -white_leads)
    may = lead > 0 if passing == "only_when_ahead" else lead <= 0
    allowed[:, -1] &= may | ~boards.any(axis=1)
    return allowed


def without_suicide(games: Games, row: int, allowed: Mask) -> Mask:
    """``allowed`` (one row, bool (actions,)) less the moves that would take the mover's own stones off the board."""
    size = games.size
    empty = np.pad(games.stones()[row] == 0, 1)
    breathes = empty[:-2, 1:-1] | empty[2:, 1:-1] | empty[1:-1, :-2] | empty[1:-1, 2:]
    doubtful = np.flatnonzero(allowed[: size * size] & ~breathes.ravel())
    if not len(doubtful):
        return allowed
    tried = games.take(np.full(len(doubtful), row))
    mover = int(games.to_move[row]) - 1
    before = tried.captures[:, mover].copy()
    tried.play(doubtful)
    kept = allowed.copy()
    kept[doubtful[tried.captures[:, mover] > before]] = False
    return kept
