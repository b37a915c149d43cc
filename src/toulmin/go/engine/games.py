"""Many games of one board size in lockstep, each a value in three arrays.

There is no undo: a position is kept by copying its row (:meth:`Games.take`, :meth:`Games.assign`). The work is done by
the compiled kernels of :mod:`toulmin.go.engine.turns` and :mod:`toulmin.go.engine.score`, one call for all rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine import board, score, turns
from toulmin.go.engine.points import LARGEST, SMALLEST, vertex_of
from toulmin.go.engine.rules import BLACK, WHITE, Rules

Rows = NDArray[np.int64] | Sequence[int] | None
Setup = tuple[tuple[int, ...], tuple[int, ...], int]
AreaKind = Literal["pass_alive", "tromp_taylor"]
_ODD = np.int64(0x2545F4914F6CDD1D)  # spreads the marks of bans, so that they do not cancel recapture blocks
_EXTRA = board.ZOBRIST_BLOCK[-5:] | 1


class Games:
    """``batch`` games on boards of ``size``, each with its own rules and komi.

    ``rules`` is one value for all or one per game. ``capacity`` is how many moves are stored at first; it grows by
    itself.
    Raises :class:`FaultError` (``go.size``) outside 2 to 19.
    """

    def __init__(
        self, batch: int, size: int = 19, rules: Rules | Sequence[Rules] | None = None, capacity: int | None = None
    ) -> None:
        if not SMALLEST <= size <= LARGEST:
            raise FaultError(Fault("go.size", f"a board of {size} is not between {SMALLEST} and {LARGEST}"))
        self.size = size
        one = Rules() if rules is None else rules
        self.rules: tuple[Rules, ...] = (one,) * batch if isinstance(one, Rules) else tuple(one)
        if len(self.rules) != batch:
            raise FaultError(Fault("go.rules", f"{len(self.rules)} rules were given for {batch} games"))
        self.cells = np.zeros((batch, board.PLANES, (size + 1) * (size + 2) + 1), np.int16)
        self.meta = np.zeros((batch, turns.META), np.int64)
        self.past = np.zeros((batch, (capacity or 64) + 2, 3), np.int64)
        self.komi = np.array([r.komi for r in self.rules], np.float64)
        self._placed: dict[int, Setup] = {}
        self.restart()

    # -- shape and state --------------------------------------------------------------------------------------------

    @property
    def batch(self) -> int:
        """How many games there are."""
        return len(self.meta)

    @property
    def actions(self) -> int:
        """Actions of this board: every point, and the pass (the last)."""
        return self.size * self.size + 1

    @property
    def to_move(self) -> NDArray[np.int64]:
        """The colour to move in each game: 1 Black, 2 White."""
        return self.meta[:, turns.TO_MOVE].copy()

    @property
    def move_count(self) -> NDArray[np.int64]:
        """Moves played in each game, passes included, set-up stones not."""
        return self.meta[:, turns.MOVES].copy()

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Which games are over."""
        return self.meta[:, turns.FINISHED] == 1

    @property
    def no_result(self) -> NDArray[np.bool_]:
        """Which games ended void, in a long cycle."""
        return self.meta[:, turns.VOID] == 1

    @property
    def phase(self) -> NDArray[np.int64]:
        """0 in ordinary play; 1 and 2 in the encores of territory scoring."""
        return self.meta[:, turns.PHASE].copy()

    @property
    def captures(self) -> NDArray[np.int64]:
        """Stones that (Black, White) lost so far, ``[B, 2]``."""
        return self.meta[:, [turns.LOST_BLACK, turns.LOST_WHITE]]

    @property
    def hash(self) -> NDArray[np.int64]:
        """Hash of the stones on each board."""
        return self.meta[:, turns.HASH].copy()

    @property
    def situation(self) -> NDArray[np.int64]:
        """Hash of the stones, the mover, the bans of ko and superko, the phase and the passes of each game."""
        turns.find_legal_rows(self.cells, self.meta, self.past, self._rows(None))
        m = self.meta
        bans = (self.cells[:, board.BANNED] != 0) * board.ZOBRIST_BLOCK[: self.cells.shape[2]]
        marks = np.bitwise_xor.reduce(bans, axis=1) ^ np.where(
            m[:, turns.KO] > 0, board.ZOBRIST_BLOCK[m[:, turns.KO]], 0
        )
        extra = m[:, [turns.PHASE, turns.PASSES, turns.BUTTON, turns.FINISHED, turns.BONUS2]] @ _EXTRA
        return (
            (m[:, turns.HASH] ^ board.ZOBRIST_PLAYER[m[:, turns.TO_MOVE]] ^ m[:, turns.BLOCKS]) ^ (marks * _ODD) ^ extra
        )

    def stones(self) -> NDArray[np.int8]:
        """The boards: 0 empty, 1 black, 2 white, ``[B, size, size]`` with row 0 at the top."""
        return self._inside(board.COLOR)

    def _inside(self, plane: int) -> NDArray[np.int8]:
        return self._square(self.cells[:, plane]).astype(np.int8)

    def _square(self, planes: NDArray[np.int16]) -> NDArray[np.int16]:
        """Padded planes ``[B, point]`` without their border, ``[B, size, size]``."""
        w = self.size + 1
        return planes[:, w : w + self.size * w].reshape(len(planes), self.size, w)[:, :, 1:]

    def _rows(self, rows: Rows) -> NDArray[np.int64]:
        return np.arange(self.batch, dtype=np.int64) if rows is None else np.asarray(rows, np.int64)

    # -- playing ----------------------------------------------------------------------------------------------------

    def restart(self, rows: Rows = None) -> None:
        """Empty boards, Black to move."""
        by_rules: dict[Rules, list[int]] = {}
        for b in self._rows(rows).tolist():
            self._placed.pop(b, None)
            by_rules.setdefault(self.rules[b], []).append(b)
        for rules, same in by_rules.items():
            first = same[0]
            self.cells[first] = board.empty_board(self.size)
            m = self.meta[first]
            m[:] = 0
            m[turns.SIZE] = self.size
            m[turns.TO_MOVE] = BLACK
            m[turns.R_KO : turns.FILTER] = rules.codes()
            m[turns.BUTTON] = int(rules.button)
            self._begin(first)
            self.cells[same], self.meta[same] = self.cells[first], m
            self.past[same, 0] = self.past[first, 0]

    def _begin(self, b: int) -> None:
        """Initialise the counters and hashes of a position without a move before it."""
        cells, m = self.cells[b], self.meta[b]
        colors = cells[board.COLOR]
        black, white = int((colors == BLACK).sum()), int((colors == WHITE).sum())
        cells[board.TOUCHED] = (colors == BLACK) | (colors == WHITE)
        cells[board.BEFORE1] = cells[board.BEFORE2] = colors
        m[turns.BONUS2] = 2 * (black - white) if m[turns.R_SCORING] == turns.TERRITORY else 0
        m[turns.SETUP_STONES] = -1 if white else black
        m[turns.HASH] = board.hash_of(colors)
        m[[turns.LEGAL_KNOWN, turns.LADDER_KNOWN, turns.LADDER1_KNOWN, turns.LADDER2_KNOWN]] = 0
        turns.remember(m, self.past[b])

    def place(self, row: int, black: Sequence[int] = (), white: Sequence[int] = (), to_move: int | None = None) -> None:
        """Set stones up (handicap, a problem) before the first move of game ``row``; earlier stones stay.

        Raises :class:`FaultError` (``go.setup``) once a move was made, for a point used twice, or a chain with no
        liberty.
        """
        faults = []
        if self.meta[row, turns.MOVES] > 0:
            faults.append(Fault("go.setup", "stones are set up before the first move"))
        colors = self.cells[row, board.COLOR].copy()
        w = self.size + 1
        for color, actions in ((BLACK, black), (WHITE, white)):
            for action in actions:
                p = int(self._points(np.array([action]))[0])
                if not 0 <= action < self.size * self.size or colors[p] != board.EMPTY:
                    name = vertex_of(int(action), self.size) if 0 <= action < self.size * self.size else str(action)
                    faults.append(Fault("go.setup", "no free point for a stone", name=name))
                else:
                    colors[p] = color
        trial = self.cells[row].copy()
        if not faults:
            trial[board.COLOR] = colors
            board.rebuild(trial, w)
            on = (trial[board.COLOR] == BLACK) | (trial[board.COLOR] == WHITE)
            if (trial[board.LIBERTIES][trial[board.HEAD][on]] == 0).any():
                faults.append(Fault("go.setup", "a chain that was set up has no liberty"))
        if faults:
            raise FaultError(faults)
        self.cells[row] = trial
        if to_move is not None:
            self.meta[row, turns.TO_MOVE] = to_move
        earlier = self.setup(row)
        placed = (*earlier[0], *map(int, black)), (*earlier[1], *map(int, white)), int(self.meta[row, turns.TO_MOVE])
        self._placed[row] = placed
        self._begin(row)

    def setup(self, row: int) -> Setup:
        """What :meth:`place` set up in game ``row``: black stones, white stones (actions), and who moved first."""
        return self._placed.get(row, ((), (), BLACK))

    def set_to_move(self, rows: Rows | int, colors: NDArray[np.int64] | int) -> None:
        """Let these colours move next in these games (a record with two moves of one colour in a row)."""
        chosen = np.atleast_1d(np.asarray(rows, np.int64)) if rows is not None else self._rows(None)
        wanted = np.broadcast_to(np.asarray(colors, np.int64), chosen.shape)
        change = self.meta[chosen, turns.TO_MOVE] != wanted
        self.meta[chosen[change], turns.TO_MOVE] = wanted[change]
        self.meta[chosen[change], turns.LEGAL_KNOWN] = 0

    def legal(self, rows: Rows = None) -> NDArray[np.bool_]:
        """Which actions are legal now, ``[len(rows), size * size + 1]``; none in a finished game."""
        chosen = self._rows(rows)
        turns.find_legal_rows(self.cells, self.meta, self.past, chosen)
        planes = self.cells[chosen, board.LEGAL]
        out = np.empty((len(chosen), self.actions), np.bool_)
        out[:, :-1] = self._square(planes).reshape(len(chosen), self.actions - 1)
        out[:, -1] = planes[:, 0]
        return out

    def play(self, actions: NDArray[np.int64] | Sequence[int], rows: Rows = None) -> None:
        """Play ``actions[i]`` in game ``rows[i]`` (distinct rows; all games where ``rows`` is None).

        A negative action leaves its game as it is.

        :raises FaultError: ``go.illegal``, for every action that is illegal or whose game is over; nothing is played.
        """
        chosen = self._rows(rows)
        given = np.asarray(actions, np.int64)
        if given.shape != chosen.shape:
            raise ValueError(f"actions of shape {given.shape} for {len(chosen)} games")
        self._make_room()
        turns.find_legal_rows(self.cells, self.meta, self.past, chosen)
        points = self._points(given)
        bad = (given >= self.actions) | ((given >= 0) & (self.cells[chosen, board.LEGAL, points] == 0))
        if bad.any():
            raise FaultError([self._illegal(int(chosen[i]), int(given[i])) for i in np.flatnonzero(bad)])
        turns.advance_rows(self.cells, self.meta, self.past, chosen, np.where(given < 0, -1, points))

    def _points(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        """Padded points of actions; 0 for the pass and for what is no action."""
        inside = (actions >= 0) & (actions < self.size * self.size)
        return np.where(inside, (actions // self.size + 1) * (self.size + 1) + actions % self.size + 1, 0)

    def _illegal(self, b: int, action: int) -> Fault:
        name = vertex_of(action, self.size) if action < self.actions else str(action)
        why = "the game is over" if self.meta[b, turns.FINISHED] else f"{name} is illegal"
        return Fault("go.illegal", f"game {b}, move {int(self.meta[b, turns.MOVES]) + 1}: {why}", name=name)

    def _make_room(self) -> None:
        longest = int(self.meta[:, turns.MOVES].max(initial=0))
        if longest + 2 >= self.past.shape[1]:
            self._reserve(2 * self.past.shape[1])

    def _reserve(self, room: int) -> None:
        if room > self.past.shape[1]:
            grown = np.zeros((self.batch, room, 3), np.int64)
            grown[:, : self.past.shape[1]] = self.past
            self.past = grown

    def history(self, b: int) -> list[tuple[int, int]]:
        """The moves of game ``b`` as (colour, action)."""
        w, found = self.size + 1, []
        for packed in self.past[b, : self.meta[b, turns.MOVES], turns.MOVE].tolist():
            p = packed & turns.POINT_BITS
            action = self.size * self.size if p == 0 else (p // w - 1) * self.size + p % w - 1
            found.append((packed >> turns.COLOR_SHIFT & 3, action))
        return found

    def pass_would_end(self) -> NDArray[np.bool_]:
        """In which games a pass by the side to move ends the game."""
        out = np.empty(self.batch, np.bool_)
        turns.passes_that_end(self.meta, self.past, out)
        return out

    # -- counting ---------------------------------------------------------------------------------------------------

    def scores(self) -> NDArray[np.float64]:
        """White's lead if the game stopped here, ``[B, 2]``: Tromp-Taylor, and pass-alive-aware under the rules.

        Komi, handicap compensation and the button count in both (a button that was not taken goes to the side to
        move); the group tax and the point that each move costs under territory scoring in the second only.
        """
        m = self.meta
        button = np.where(m[:, turns.BUTTON] == 1, np.where(m[:, turns.TO_MOVE] == WHITE, 0.5, -0.5), 0.0)
        moves = np.where(m[:, turns.R_SCORING] == turns.AREA, 0.0, m[:, turns.BONUS2] / 2)
        extra = self.white_bonus() + button
        plain, _ = self._owners(score.TROMP_TAYLOR)
        aware, groups = self._owners(score.BY_RULES)
        tax = np.where(m[:, turns.R_TAX] == 2, -2 * groups, 0)
        return np.stack([_balance(plain) + extra - moves, _balance(aware) + tax + extra], axis=1)

    def white_bonus(self, rows: Rows = None) -> NDArray[np.float64]:
        """What White has on top of the board's points: komi, handicap compensation, button, moves under territory."""
        chosen = slice(None) if rows is None else self._rows(rows)
        m = self.meta[chosen]
        stones = np.where(m[:, turns.SETUP_STONES] < 0, 0, m[:, turns.SETUP_STONES] + m[:, turns.LEAD])
        stones = np.where(stones > 1, stones, 0)
        bonus = np.choose(m[:, turns.R_BONUS], [0 * stones, np.maximum(stones - 1, 0), stones])
        return self.komi[chosen] + bonus + m[:, turns.BONUS2] / 2

    def area(self, kind: AreaKind = "pass_alive") -> NDArray[np.int8]:
        """The owner of every point (0, 1, 2), as the score of that name counts it, ``[B, size, size]``."""
        number = {"tromp_taylor": score.TROMP_TAYLOR, "pass_alive": score.BY_RULES}[kind]
        return self._square(self._owners(number)[0]).astype(np.int8)

    def pass_alive(self) -> NDArray[np.int8]:
        """Benson's unconditionally alive stones and their territory, by owner, ``[B, size, size]``."""
        return self._square(self._owners(score.PASS_ALIVE)[0]).astype(np.int8)

    def _owners(
        self, kind: int, rows: Rows = None, *, with_suicide: bool = False
    ) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
        chosen = self._rows(rows)
        planes = np.empty((len(chosen), self.cells.shape[2]), np.int16)
        groups = np.empty(len(chosen), np.int64)
        work = score.room_to_work(self.cells.shape[2])
        score.own_rows(self.cells, self.meta, chosen, kind, with_suicide, planes, groups, work)
        return planes, groups

    # -- copying ----------------------------------------------------------------------------------------------------

    def take(self, rows: Rows) -> Games:
        """A copy of some games, in that order; a row may be taken more than once."""
        chosen = self._rows(rows)
        new = Games.__new__(Games)
        new.size = self.size
        new.rules = tuple(self.rules[int(b)] for b in chosen)
        new.cells, new.meta, new.past = self.cells[chosen], self.meta[chosen], self.past[chosen]
        new.komi = self.komi[chosen]
        new._placed = {}
        new._copy_setup(range(len(chosen)), self, chosen.tolist())
        return new

    def _copy_setup(self, to: Iterable[int], source: Games, of: Iterable[int]) -> None:
        if not self._placed and not source._placed:
            return
        for row, found in zip(to, [source._placed.get(b) for b in of], strict=True):
            self._placed.pop(row, None)
            if found is not None:
                self._placed[row] = found

    def assign(self, rows: Rows, source: Games, source_rows: Rows) -> None:
        """Overwrite games ``rows`` by ``source_rows`` of another batch with the same board size, rules and komi too."""
        if source.size != self.size:
            raise FaultError(
                Fault("go.size", f"a game on {source.size} cannot be copied to boards of {self.size}"), ExitCode.INVALID
            )
        to, of = self._rows(rows), source._rows(source_rows)
        self._reserve(source.past.shape[1])
        used = int(source.meta[of, turns.MOVES].max(initial=0)) + 1
        self.cells[to], self.meta[to], self.komi[to] = source.cells[of], source.meta[of], source.komi[of]
        self.past[to, :used] = source.past[of, :used]
        changed = list(self.rules)
        for a, b in zip(to.tolist(), of.tolist(), strict=True):
            changed[a] = source.rules[b]
        self.rules = tuple(changed)
        self._copy_setup(to.tolist(), source, of.tolist())


def _balance(planes: NDArray[np.int16]) -> NDArray[np.int64]:
    """White's points minus Black's in each plane of owners."""
    return (planes == WHITE).sum(axis=1) - (planes == BLACK).sum(axis=1)
