"""Unconditional life (Benson 1976) and the areas that follow from it. Compiled.

For one colour, the regions are the connected sets of points without a stone of it. A region is *vital* to a chain when
all its points are liberties of the chain (where suicide is illegal only its empty points need be: the opponent cannot
fill the last one). Chains with fewer than two vital regions are struck out, and with them the vitality of every region
they border, until nothing changes: what is left is pass-alive. Its territory are the regions bordered by surviving
chains only, with at most one point that touches no stone of the colour: no second eye fits there.

The kernels share one ``work`` array of ``WORK`` rows, so that they allocate nothing.
"""

from __future__ import annotations

from toulmin.go.engine.board import COLOR, EMPTY, HEAD, LIBERTIES, NEXT, WALL
from toulmin.go.engine.compiled import kernel

# rows of ``work``: by point
REGION, MEMBER, LIVES = 0, 1, 2
# by region
FIRST, VITALS, INNER, ENEMY, BROKEN, VITAL = 3, 4, 5, 6, 7, 8  # VITAL has four rows
# of the areas without seki
BASIC, SEKI, QUEUE = 12, 13, 14
WORK = 15
STRUCK = -1000


@kernel
def _touches(s, p, head, color, w):
    """Whether point ``p`` is next to a stone of the chain ``head`` of ``color``."""
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        if s[COLOR, q] == color and s[HEAD, q] == head:
            return True
    return False


@kernel
def _find_region(s, color, w, suicide, start, k, filled, work):
    """Collect region ``k`` from the empty point ``start``, with the chains it is vital for; returns its end."""
    work[FIRST, k] = filled
    work[INNER, k] = 0
    work[ENEMY, k] = 0
    work[BROKEN, k] = 0
    count = 0
    for i in range(4):
        q = start + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        if s[COLOR, q] == color:
            new = True
            for j in range(count):
                if work[VITAL + j, k] == s[HEAD, q]:
                    new = False
            if new:
                work[VITAL + count, k] = s[HEAD, q]
                count += 1
    work[MEMBER, filled] = start
    work[REGION, start] = k
    walk = filled
    filled += 1
    while walk < filled:
        p = work[MEMBER, walk]
        walk += 1
        if suicide or s[COLOR, p] == EMPTY:
            kept = 0
            for j in range(count):
                if _touches(s, p, work[VITAL + j, k], color, w):
                    work[VITAL + kept, k] = work[VITAL + j, k]
                    kept += 1
            count = kept
        if s[COLOR, p] != EMPTY:
            work[ENEMY, k] = 1
        alone = 1
        for i in range(4):
            q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            c = s[COLOR, q]
            if c == color:
                alone = 0
            elif c != WALL and work[REGION, q] == -1:
                work[REGION, q] = k
                work[MEMBER, filled] = q
                filled += 1
        work[INNER, k] += alone
    work[VITALS, k] = count
    return filled


@kernel
def _strike(s, color, w, work):
    """Strike out the chains without two vital regions, and the regions they border, until nothing changes."""
    n = s.shape[1]
    changed = True
    while changed:
        changed = False
        for h in range(w, n - w):
            if s[COLOR, h] != color or s[HEAD, h] != h or work[LIVES, h] < 0 or work[LIVES, h] >= 2:
                continue
            work[LIVES, h] = STRUCK
            changed = True
            stone = h
            while True:
                for i in range(4):
                    k = work[REGION, stone + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)]
                    if k >= 0 and work[BROKEN, k] == 0:
                        work[BROKEN, k] = 1
                        for j in range(work[VITALS, k]):
                            work[LIVES, work[VITAL + j, k]] -= 1
                stone = s[NEXT, stone]
                if stone == h:
                    break


@kernel
def _mark_one(s, color, w, big, suicide, out, to, work):
    """Mark the pass-alive stones and territory of ``color``, and with ``big`` its other empty territories."""
    n = s.shape[1]
    for p in range(n):
        work[REGION, p] = -1
        work[LIVES, p] = 0
    regions, filled, stones = 0, 0, 0
    for p in range(w, n - w):
        if s[COLOR, p] == color:
            stones += 1
        elif s[COLOR, p] == EMPTY and work[REGION, p] == -1:
            filled = _find_region(s, color, w, suicide, p, regions, filled, work)
            for j in range(work[VITALS, regions]):
                work[LIVES, work[VITAL + j, regions]] += 1
            regions += 1
    if stones == 0:
        return
    work[FIRST, regions] = filled
    _strike(s, color, w, work)
    for p in range(w, n - w):
        if s[COLOR, p] == color and work[LIVES, s[HEAD, p]] >= 2:
            out[to, p] = color
    for k in range(regions):
        empty = big and work[ENEMY, k] == 0
        ours = work[BROKEN, k] == 0 and (work[INNER, k] <= 1 or empty)
        for j in range(work[FIRST, k], work[FIRST, k + 1]):
            p = work[MEMBER, j]
            # an empty region among stones that the opponent has already claimed as dead stays the opponent's
            if ours or (empty and out[to, p] == EMPTY):
                out[to, p] = color


@kernel
def mark_area(s, w, big, stones_too, suicide, out, to, work):
    """Owner of every point, into row ``to`` of ``out``: the pass-alive areas of both colours.

    ``big``: also every empty region that borders one colour; ``stones_too``: and every remaining stone for its colour.
    """
    for p in range(s.shape[1]):
        out[to, p] = EMPTY
    for color in range(1, 3):
        _mark_one(s, color, w, big, suicide, out, to, work)
    if stones_too:
        for p in range(w, s.shape[1] - w):
            if out[to, p] == EMPTY and s[COLOR, p] != WALL:
                out[to, p] = s[COLOR, p]


@kernel
def remove_seki(s, w, territories, stones, out, to, work):
    """Take the areas in seki out of the owners in row ``to`` of ``out``; returns White's minus Black's groups left.

    A connected area is in seki when it touches a neutral point or holds a stone of its own in atari. ``territories``
    and ``stones`` leave the empty (and dead) points, or the stones, of such areas in.
    """
    n = s.shape[1]
    for p in range(n):
        work[BASIC, p] = out[to, p]
        work[SEKI, p] = 0
    groups = 0
    for mark in range(1, 3):  # first what is in seki, then the groups that are not
        for p in range(w, n - w):
            owner = work[BASIC, p]
            if owner == EMPTY or work[SEKI, p] != 0:
                continue
            found = mark == 2 or (s[COLOR, p] == owner and s[LIBERTIES, s[HEAD, p]] == 1)
            for i in range(4):
                q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
                if s[COLOR, q] == EMPTY and work[BASIC, q] == EMPTY:
                    found = True
            if not found:
                continue
            if mark == 2:
                groups += 1 if owner == 2 else -1
            work[SEKI, p] = mark
            work[QUEUE, 0] = p
            tail, walk = 1, 0
            while walk < tail:
                r = work[QUEUE, walk]
                walk += 1
                for i in range(4):
                    q = r + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
                    if work[BASIC, q] == owner and work[SEKI, q] == 0:
                        work[SEKI, q] = mark
                        work[QUEUE, tail] = q
                        tail += 1
    for p in range(w, n - w):
        stays = stones if work[BASIC, p] == s[COLOR, p] else territories
        if work[SEKI, p] == 1 and not stays:
            out[to, p] = EMPTY
    return groups
