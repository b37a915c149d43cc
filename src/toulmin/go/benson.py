"""Unconditional life (Benson 1976) and the areas that follow from it. Compiled.

For one colour, the regions are the connected sets of points without a stone of it. A region is *vital* to a chain when
all its points are liberties of the chain (where suicide is illegal only its empty points need be: the opponent cannot
fill the last one). Chains with fewer than two vital regions are struck out, and with them the vitality of every region
they border, until nothing changes: what is left is pass-alive. Its territory are the regions bordered by surviving
chains only, with at most one point that touches no stone of the colour: no second eye fits there.
"""

from __future__ import annotations

import numpy as np

from toulmin.go.board import COLOR, EMPTY, HEAD, LIBERTIES, NEXT, WALL
from toulmin.go.compiled import kernel


@kernel
def _touches(s, p, head, color, w):
    """Whether point ``p`` is next to a stone of the chain ``head`` of ``color``."""
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        if s[COLOR, q] == color and s[HEAD, q] == head:
            return True
    return False


@kernel
def _mark_one(s, color, w, safe_big, unsafe_big, suicide, out):
    """Mark in ``out`` the pass-alive stones and territory of ``color``, and the bigger empty territories asked for."""
    n = s.shape[1]
    region = np.full(n, -1, np.int32)  # region number of each point without a stone of ``color``
    member = np.empty(n, np.int32)  # points in order of region
    first = np.empty(n + 1, np.int32)  # where each region starts in ``member``
    vital = np.empty((n, 4), np.int32)  # chains that each region is vital for
    vitals = np.zeros(n, np.int32)
    inner = np.zeros(n, np.int32)  # points of the region that touch no stone of the colour
    has_enemy = np.zeros(n, np.bool_)
    regions, filled = 0, 0
    stones = 0
    for start in range(w, n - w):
        if s[COLOR, start] == color:
            stones += 1
        if s[COLOR, start] != EMPTY or region[start] != -1:
            continue
        k = regions
        regions += 1
        first[k] = filled
        count = 0
        for i in range(4):
            q = start + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, q] == color:
                h = s[HEAD, q]
                new = True
                for j in range(count):
                    if vital[k, j] == h:
                        new = False
                if new:
                    vital[k, count] = h
                    count += 1
        member[filled] = start
        filled += 1
        region[start] = k
        walk = first[k]
        while walk < filled:
            p = member[walk]
            walk += 1
            if suicide or s[COLOR, p] == EMPTY:
                kept = 0
                for j in range(count):
                    if _touches(s, p, vital[k, j], color, w):
                        vital[k, kept] = vital[k, j]
                        kept += 1
                count = kept
            if s[COLOR, p] != EMPTY:
                has_enemy[k] = True
            alone = True
            for i in range(4):
                q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
                c = s[COLOR, q]
                if c == color:
                    alone = False
                elif c != WALL and region[q] == -1:
                    region[q] = k
                    member[filled] = q
                    filled += 1
            if alone:
                inner[k] += 1
        vitals[k] = count
    first[regions] = filled
    if stones == 0:
        return

    lives = np.zeros(n, np.int32)  # vital regions of each chain; -1 where struck out
    for k in range(regions):
        for j in range(vitals[k]):
            lives[vital[k, j]] += 1
    broken = np.zeros(n, np.bool_)  # regions that border a chain struck out
    changed = True
    while changed:
        changed = False
        for h in range(w, n - w):
            if s[COLOR, h] != color or s[HEAD, h] != h or lives[h] < 0 or lives[h] >= 2:
                continue
            lives[h] = -1000
            changed = True
            stone = h
            while True:
                for i in range(4):
                    q = stone + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
                    k = region[q]
                    if k >= 0 and not broken[k]:
                        broken[k] = True
                        for j in range(vitals[k]):
                            lives[vital[k, j]] -= 1
                stone = s[NEXT, stone]
                if stone == h:
                    break
    for p in range(w, n - w):
        if s[COLOR, p] == color and lives[s[HEAD, p]] >= 2:
            out[p] = color
    for k in range(regions):
        ours = not broken[k] and (inner[k] <= 1 or (safe_big and not has_enemy[k]))
        # an empty region inside a group that the opponent has already claimed as dead stays the opponent's
        loose = unsafe_big and not has_enemy[k]
        for j in range(first[k], first[k + 1]):
            if ours or (loose and out[member[j]] == EMPTY):
                out[member[j]] = color


@kernel
def mark_area(s, w, stones_too, safe_big, unsafe_big, suicide, out):
    """Owner of every point: pass-alive areas, and as asked empty regions of one colour and all other stones.

    ``out`` is one plane. ``safe_big``: also empty regions bordered by pass-alive chains only; ``unsafe_big``: all empty
    regions that border one colour; ``stones_too``: every remaining stone for its own colour.
    """
    out[:] = EMPTY
    _mark_one(s, 1, w, safe_big, unsafe_big, suicide, out)
    _mark_one(s, 2, w, safe_big, unsafe_big, suicide, out)
    if stones_too:
        for p in range(w, s.shape[1] - w):
            if out[p] == EMPTY and s[COLOR, p] != WALL:
                out[p] = s[COLOR, p]


@kernel
def _flood(basic, w, start, mark, queue):
    """Mark everything of one owner that is connected to ``start``."""
    owner = basic[start]
    mark[start] = True
    queue[0] = start
    tail, walk = 1, 0
    while walk < tail:
        p = queue[walk]
        walk += 1
        for i in range(4):
            q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if basic[q] == owner and not mark[q]:
                mark[q] = True
                queue[tail] = q
                tail += 1


@kernel
def mark_independent(s, w, territories, stones, suicide, out):
    """Owner of every point where points in seki do not count; returns White's minus Black's independent groups.

    A connected area is in seki when it touches a neutral point or holds a stone of its own in atari. ``territories`` and
    ``stones`` put back the empty (and dead) points, or the stones, that this removed.
    """
    n = s.shape[1]
    basic = np.zeros(n, np.int16)
    mark_area(s, w, True, True, True, suicide, basic)
    out[:] = EMPTY
    seki = np.zeros(n, np.bool_)
    done = np.zeros(n, np.bool_)
    queue = np.empty(n, np.int32)
    for p in range(w, n - w):
        if basic[p] == EMPTY or seki[p]:
            continue
        found = s[COLOR, p] == basic[p] and s[LIBERTIES, s[HEAD, p]] == 1
        for i in range(4):
            q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, q] == EMPTY and basic[q] == EMPTY:
                found = True
        if found:
            _flood(basic, w, p, seki, queue)
    groups = 0
    for p in range(w, n - w):
        if basic[p] != EMPTY and not seki[p]:
            if not done[p]:
                groups += 1 if basic[p] == 2 else -1
                _flood(basic, w, p, done, queue)
            out[p] = basic[p]
    for p in range(w, n - w):
        if basic[p] != EMPTY and ((territories and basic[p] != s[COLOR, p]) or (stones and basic[p] == s[COLOR, p])):
            out[p] = basic[p]
    return groups
