"""KataGo's network inputs, version 7: 22 planes and 19 numbers for each position. Compiled.

What each plane and number means is said beside the line that sets it. History is hidden (and "a pass would end the
phase" with it) where a pass would end the game but is not meant to: at the root under ``conservative_pass``, and under
rules where dead stones may stay (``friendly_pass_ok``).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine import ladder, score, turns
from toulmin.go.engine.board import BANNED, COLOR, HEAD, LADDER, LADDER1, LADDER2, LIBERTIES, RECAPTURE, SECOND, WORKING
from toulmin.go.engine.compiled import kernel
from toulmin.go.engine.games import Games, Rows
from toulmin.go.engine.turns import (
    AREA,
    BUTTON,
    COLOR_SHIFT,
    FINISHED,
    KO,
    MOVE,
    MOVES,
    PHASE,
    POINT_BITS,
    R_BUTTON,
    R_FRIENDLY,
    R_KO,
    R_SCORING,
    R_SUICIDE,
    R_TAX,
    SIMPLE,
    SITUATIONAL,
    SIZE,
    TERRITORY,
    TO_MOVE,
    TURNS,
    pass_ends_game,
    pass_ends_phase,
    passes_after,
    repeats_pass,
)

PLANES, GLOBALS = 22, 19
KOMI_MARGIN = 20.0  # komi is cut this far beyond the number of points of the board
_LADDER_STACK_ROWS = 5
_LEAST_SHARE = 64  # positions that are worth a thread


@kernel
def _history_turns(m, past, conservative):
    """How many of the last moves the network may see; -1 where a pass that ends the game is to be hidden as well."""
    if pass_ends_game(m, past):
        friendly = m[R_FRIENDLY] == 1 and m[R_SCORING] == AREA and passes_after(m) == 2
        if conservative or (friendly and not repeats_pass(m, past, m[TO_MOVE])):
            return -1
    most = min(1 if m[FINISHED] == 1 else 5, m[TURNS])
    for back in range(most):
        mover = (past[m[MOVES] - 1 - back, MOVE] >> COLOR_SHIFT) & 3
        if (mover == m[TO_MOVE]) == (back % 2 == 0):  # the colours stop alternating
            return back
    return most


@kernel
def history_rows(meta, past, rows, conservative, out):
    """Fill ``out[i]`` with :func:`_history_turns` of game ``rows[i]``."""
    for i in range(len(rows)):
        out[i] = _history_turns(meta[rows[i]], past[rows[i]], conservative)


@kernel
def _set_points(s, m, owners, planes):
    """The planes that are a matter of each point."""
    n = m[SIZE]
    w = n + 1
    own = m[TO_MOVE]
    owned = m[R_SCORING] == AREA or m[PHASE] >= 2
    for y in range(n):
        for x in range(n):
            p = (y + 1) * w + x + 1
            f = planes[y, x]
            f[0] = 1.0
            c = s[COLOR, p]
            if c != 0:
                f[1 if c == own else 2] = 1.0
                libs = s[LIBERTIES, s[HEAD, p]]
                if libs <= 3:
                    f[2 + libs] = 1.0
            if s[BANNED, p] or (m[PHASE] == 0 and p == m[KO]):
                f[6] = 1.0
            if m[PHASE] > 0 and s[RECAPTURE, p]:
                f[7] = 1.0
            # 14..16: stones in laddered chains now and 1 and 2 moves ago; 17: moves that capture the opponent's
            f[14] = s[LADDER, p]
            f[15] = s[LADDER1, p]
            f[16] = s[LADDER2, p]
            if s[WORKING, p] & (3 - own):
                f[17] = 1.0
            if owned and owners[p] != 0:
                f[18 if owners[p] == own else 19] = 1.0
            if m[PHASE] >= 2 and s[SECOND, p] != 0:
                f[20 if s[SECOND, p] == own else 21] = 1.0


@kernel
def _parity_wave(area, komi):
    """Triangle wave of komi with period 2, highest half a point above a komi that allows a draw."""
    even = area % 2 == 0
    floor = np.floor(komi / 2) * 2 if even else np.floor((komi - 1) / 2) * 2 + 1
    above = komi - floor
    if above < 0.5:
        return above
    return 1 - above if above < 1.5 else above - 2


@kernel
def fill_rows(cells, meta, past, rows, owners, history, self_komi, doubling, planes, numbers):
    """Fill ``planes[i, y, x, 22]`` and ``numbers[i, 19]`` (both zero before) for game ``rows[i]``."""
    for i in range(len(rows)):
        s, m, t = cells[rows[i]], meta[rows[i]], past[rows[i]]
        f, g = planes[i], numbers[i]
        n = m[SIZE]
        w = n + 1
        _set_points(s, m, owners[i], f)
        seen = history[i]
        for back in range(max(seen, 0)):  # 9..13: the last five moves; globals 0..4: which of them were passes
            p = t[m[MOVES] - 1 - back, MOVE] & POINT_BITS
            if p == 0:
                g[back] = 1.0
            else:
                f[p // w - 1, p % w - 1, 9 + back] = 1.0
        for y in range(n):
            for x in range(n):  # unseen positions are shown as the oldest that is seen
                if seen < 1:
                    f[y, x, 15] = f[y, x, 14]
                if seen < 2:
                    f[y, x, 16] = f[y, x, 15]
        limit = n * n + KOMI_MARGIN
        komi = min(max(self_komi[i], -limit), limit)
        g[5] = komi / 20
        if m[R_KO] != SIMPLE:
            g[6] = 1.0
            g[7] = -0.5 if m[R_KO] == SITUATIONAL else 0.5
        g[8] = m[R_SUICIDE]
        g[9] = m[R_SCORING]
        g[10] = 1.0 if m[R_TAX] > 0 else 0.0
        g[11] = 1.0 if m[R_TAX] == 2 else 0.0
        g[12] = 1.0 if m[PHASE] > 0 else 0.0
        g[13] = 1.0 if m[PHASE] > 1 else 0.0
        g[14] = 1.0 if seen >= 0 and pass_ends_phase(m, t) else 0.0
        if doubling != 0:
            g[15] = 1.0
            g[16] = doubling / 2
        g[17] = m[BUTTON]
        if m[R_SCORING] != TERRITORY or m[PHASE] >= 2:
            g[18] = _parity_wave(n * n, komi)


def input_features(
    games: Games,
    rows: Rows = None,
    *,
    draw_equivalent_wins: float = 0.5,
    conservative_pass: bool = False,
    playout_doubling: float = 0.0,
    pass_alive_with_suicide: bool = False,
    pad_to: int | None = None,
    threads: int = 1,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """KataGo's inputs of the chosen games: planes ``[B, pad, pad, 22]`` (channels last) and numbers ``[B, 19]``.

    Own and opponent are the side to move's. ``draw_equivalent_wins`` is what a draw is worth to White, folded into an
    integer komi; ``playout_doubling`` the mover's advantage in search (log2), an input of the network. Boards smaller
    than ``pad_to`` lie in the top left corner. ``pass_alive_with_suicide`` computes pass-alive areas as if suicide were
    legal, which some networks since version 15 expect. What the ladder search finds is kept in ``games``. ``threads``
    share large batches (the kernels hold no lock); nothing depends on their number.
    """
    chosen = games._rows(rows)
    pad = pad_to or games.size
    draws = (games.komi[chosen] % 1 == 0) != (games.meta[chosen, R_BUTTON] == 1)  # the result is a whole number
    white_komi = games.white_bonus(chosen) + np.where(draws, draw_equivalent_wins - 0.5, 0.0)
    self_komi = np.where(games.meta[chosen, TO_MOVE] == 2, white_komi, -white_komi)
    planes = np.zeros((len(chosen), pad, pad, PLANES), np.float32)
    numbers = np.zeros((len(chosen), GLOBALS), np.float32)

    def fill(start: int, end: int) -> None:
        own, part = slice(start, end), chosen[start:end]
        turns.find_legal_rows(games.cells, games.meta, games.past, part)
        history = np.empty(len(part), np.int64)
        history_rows(games.meta, games.past, part, conservative_pass, history)
        stack = np.empty((games.size**2 * 3 // 2 + 4, _LADDER_STACK_ROWS, games.cells.shape[2]), np.int16)
        table = np.empty((ladder.TABLE_ROWS, 64 * games.cells.shape[2]), np.int32)
        ladder.find_ladders_rows(games.cells, games.meta, part, np.clip(history, 0, 2), stack, table)
        owners, _ = games._owners(score.BY_RULES, part, with_suicide=pass_alive_with_suicide)
        fill_rows(
            games.cells,
            games.meta,
            games.past,
            part,
            owners,
            history,
            self_komi[own],
            float(playout_doubling),
            planes[own],
            numbers[own],
        )

    shares = min(threads, len(chosen) // _LEAST_SHARE)
    # what is found of ladders is written to the game, so two threads may not have the same one
    if shares < 2 or len(np.unique(chosen)) < len(chosen):
        fill(0, len(chosen))
        return planes, numbers
    edges = np.linspace(0, len(chosen), shares + 1).astype(int).tolist()
    with ThreadPoolExecutor(shares) as pool:
        list(pool.map(fill, edges[:-1], edges[1:]))
    return planes, numbers
