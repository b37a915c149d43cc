"""Who owns each point, at the end of a game or now: the planes from which both scores are counted. Compiled.

Tromp-Taylor: a stone counts for its colour, an empty region for the colour that alone borders it; nothing is ever dead.
By the rules: KataGo's pass-alive-aware count. With area scoring it differs from Tromp-Taylor only inside pass-alive
areas, where stones without hope count for the owner; with territory scoring it is counted as area, against which every
move has already cost its player a point.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.benson import QUEUE, SEKI, WORK, mark_area, remove_seki
from toulmin.go.engine.board import COLOR, EMPTY, SECOND, WALL
from toulmin.go.engine.compiled import kernel
from toulmin.go.engine.turns import AREA, PHASE, R_SCORING, R_SUICIDE, R_TAX, SIZE

TROMP_TAYLOR, BY_RULES, PASS_ALIVE = 0, 1, 2


def room_to_work(points: int) -> NDArray[np.int32]:
    """The work arrays of :func:`own_rows`, for boards of this many padded points."""
    return np.empty((WORK, points + 1), np.int32)


@kernel
def _mark_tromp_taylor(s, w, out, to, work):
    n = s.shape[1]
    for p in range(n):
        c = s[COLOR, p]
        out[to, p] = EMPTY if c == WALL else c
        work[SEKI, p] = 0  # here: seen
    for p in range(w, n - w):
        if s[COLOR, p] != EMPTY or work[SEKI, p] != 0:
            continue
        work[SEKI, p] = 1
        work[QUEUE, 0] = p
        tail, walk = 1, 0
        reached = 0  # bit 1: Black, bit 2: White
        while walk < tail:
            r = work[QUEUE, walk]
            walk += 1
            for i in range(4):
                q = r + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
                c = s[COLOR, q]
                if c == EMPTY:
                    if work[SEKI, q] == 0:
                        work[SEKI, q] = 1
                        work[QUEUE, tail] = q
                        tail += 1
                elif c != WALL:
                    reached |= c
        if reached == 1 or reached == 2:
            for i in range(tail):
                out[to, work[QUEUE, i]] = reached


@kernel
def mark_owners(s, m, kind, suicide, out, to, work):
    """Owner of every point of one game, into row ``to`` of ``out``; returns White's minus Black's living groups."""
    w = m[SIZE] + 1
    if kind == TROMP_TAYLOR:
        _mark_tromp_taylor(s, w, out, to, work)
        return 0
    by_rules = kind == BY_RULES
    mark_area(s, w, by_rules, by_rules, suicide, out, to, work)
    territory = m[R_SCORING] != AREA
    if not by_rules or (not territory and m[R_TAX] == 0):
        return 0
    groups = remove_seki(s, w, territory and m[R_TAX] == 0, not territory, out, to, work)
    if territory:
        for p in range(w, s.shape[1] - w):
            c = s[COLOR, p]
            if out[to, p] == EMPTY and c != EMPTY and c != WALL and (m[PHASE] < 2 or s[SECOND, p] == c):
                out[to, p] = c
    return groups


@kernel
def own_rows(cells, meta, rows, kind, with_suicide, out, groups, work):
    """Fill ``out[i]`` (padded planes) with the owners in game ``rows[i]`` and ``groups[i]`` with its group balance.

    ``work`` is :func:`room_to_work` for boards of this size.
    """
    for i in range(len(rows)):
        m = meta[rows[i]]
        suicide = with_suicide or m[R_SUICIDE] == 1
        groups[i] = mark_owners(cells[rows[i]], m, kind, suicide, out, i, work)
