"""Who owns each point and by how much White leads, at the end of a game or now. Compiled, with both ways of counting.

Tromp-Taylor: a stone counts for its colour, an empty region for the colour that alone borders it; nothing is ever dead.
Pass-alive-aware: KataGo's count under the game's own rules. With area scoring it differs from Tromp-Taylor only inside
pass-alive areas, where stones without hope count for the owner; with territory scoring it is counted as area, against
which every move has already cost its player a point.
"""

from __future__ import annotations

import numpy as np

from toulmin.go.benson import mark_area, mark_independent
from toulmin.go.board import COLOR, EMPTY, SECOND, WALL, WHITE
from toulmin.go.compiled import kernel
from toulmin.go.turns import (
    AREA,
    BONUS2,
    BUTTON,
    LEAD,
    PHASE,
    R_BONUS,
    R_SCORING,
    R_SUICIDE,
    R_TAX,
    SETUP_STONES,
    SIZE,
    TO_MOVE,
)

TROMP_TAYLOR, PASS_ALIVE, BENSON = 0, 1, 2


@kernel
def mark_tromp_taylor(s, w, out):
    """Owner of every point by Tromp-Taylor's last rule: stones, and empty points that reach one colour only."""
    n = s.shape[1]
    out[:] = EMPTY
    seen = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int32)
    for p in range(w, n - w):
        if s[COLOR, p] == WALL:
            continue
        if s[COLOR, p] != EMPTY:
            out[p] = s[COLOR, p]
            continue
        if seen[p]:
            continue
        seen[p] = True
        queue[0] = p
        tail, walk = 1, 0
        reached = 0  # bit 1: Black, bit 2: White
        while walk < tail:
            r = queue[walk]
            walk += 1
            for i in range(4):
                q = r + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
                c = s[COLOR, q]
                if c == EMPTY:
                    if not seen[q]:
                        seen[q] = True
                        queue[tail] = q
                        tail += 1
                elif c != WALL:
                    reached |= c
        if reached == 1 or reached == 2:
            for i in range(tail):
                out[queue[i]] = reached


@kernel
def handicap_points_for_white(m):
    """Points that White receives for the handicap stones, set up or played before White's first stone."""
    stones = m[SETUP_STONES] + m[LEAD]
    if m[SETUP_STONES] < 0 or stones <= 1 or m[R_BONUS] == 0:
        return 0
    return stones - 1 if m[R_BONUS] == 1 else stones


@kernel
def mark_by_rules(s, m, out):
    """Owner of every point under the game's own rules; returns the group tax in points of White minus Black."""
    w = m[SIZE] + 1
    suicide = m[R_SUICIDE] == 1
    groups = 0
    if m[R_SCORING] == AREA:
        if m[R_TAX] == 0:
            mark_area(s, w, True, True, True, suicide, out)
        else:
            groups = mark_independent(s, w, False, True, suicide, out)
    else:
        groups = mark_independent(s, w, m[R_TAX] == 0, False, suicide, out)
        for p in range(w, s.shape[1] - w):
            c = s[COLOR, p]
            if out[p] == EMPTY and c != EMPTY and c != WALL and (m[PHASE] < 2 or s[SECOND, p] == c):
                out[p] = c
    return -2 * groups if m[R_TAX] == 2 else 0


@kernel
def balance(out):
    """White's points minus Black's in a plane of owners."""
    total = 0
    for p in range(len(out)):
        if out[p] == 2:
            total += 1
        elif out[p] == 1:
            total -= 1
    return total


@kernel
def score_rows(cells, meta, komi, out):
    """Fill ``out[b]`` with White's lead: (Tromp-Taylor, pass-alive-aware), komi and bonuses included."""
    plane = np.empty(cells.shape[2], np.int16)
    for b in range(len(meta)):
        m = meta[b]
        extra = komi[b] + handicap_points_for_white(m)
        button = 0.0
        if m[BUTTON] == 1:  # ended before anybody took it: it goes to the side to move
            button = 0.5 if m[TO_MOVE] == WHITE else -0.5
        mark_tromp_taylor(cells[b], m[SIZE] + 1, plane)
        # the point a move costs belongs to territory scoring only
        taken = m[BONUS2] / 2 if m[R_SCORING] == AREA else 0.0
        out[b, 0] = balance(plane) + extra + taken + button
        tax = mark_by_rules(cells[b], m, plane)
        out[b, 1] = balance(plane) + tax + extra + m[BONUS2] / 2 + button


@kernel
def area_rows(cells, meta, kind, out):
    """Fill ``out[b, y, x]`` with the owner of every point: kind 0 Tromp-Taylor, 1 by the rules, 2 pass-alive only."""
    plane = np.empty(cells.shape[2], np.int16)
    for b in range(len(meta)):
        m = meta[b]
        w = m[SIZE] + 1
        if kind == TROMP_TAYLOR:
            mark_tromp_taylor(cells[b], w, plane)
        elif kind == PASS_ALIVE:
            mark_by_rules(cells[b], m, plane)
        else:
            mark_area(cells[b], w, False, False, False, m[R_SUICIDE] == 1, plane)
        for y in range(m[SIZE]):
            for x in range(m[SIZE]):
                out[b, y, x] = plane[(y + 1) * w + x + 1]
