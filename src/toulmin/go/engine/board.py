"""Stones on one board: chains with exact liberties, captures, position hashes. Compiled; no rules of turn or ko here.

A board is a two-dimensional ``int16`` array ``s[plane, point]`` that can be copied as a value; points carry a border of
walls, with one shared border column: point = (y + 1) * w + x + 1 with stride w = size + 1. A chain is a circular list
through ``NEXT`` whose ``HEAD`` holds its number of liberties and stones. Playing a stone adds it to the largest
adjacent chain and then moves the stones of the others over one at a time, so that a liberty is counted once: when the
chain first touches it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.compiled import kernel

EMPTY, BLACK, WHITE, WALL = 0, 1, 2, 3
NOWHERE = 0  # point 0 is a wall: it also stands for "pass" and for "no ko"

# planes of a board; the first five are the chains and all that a ladder search needs
COLOR, HEAD, NEXT, LIBERTIES, COUNT = 0, 1, 2, 3, 4
# planes of a game, kept beside them (see turns and features)
(TOUCHED, RECAPTURE, SECOND, BEFORE1, BEFORE2, BANNED, LEGAL, LADDER, LADDER1, LADDER2, WORKING) = range(5, 16)
PLANES = 16

_draw = np.random.default_rng(20221101)
#: random words of the position hash: [point, colour] for the largest board, then players, phases, recapture blocks
ZOBRIST = _draw.integers(-(2**63), 2**63 - 1, size=(421, 3), dtype=np.int64)
ZOBRIST_PLAYER = _draw.integers(-(2**63), 2**63 - 1, size=3, dtype=np.int64)
ZOBRIST_BLOCK = _draw.integers(-(2**63), 2**63 - 1, size=421, dtype=np.int64)


def empty_board(size: int) -> NDArray[np.int16]:
    """The planes of an empty board of ``size``: walls around, everything else zero."""
    w = size + 1
    s = np.zeros((PLANES, w * (w + 1) + 1), np.int16)
    s[COLOR] = WALL
    s[COLOR, w : w + size * w].reshape(size, w)[:, 1:] = EMPTY
    return s


@kernel
def _adjoin(s, head, p, after, w):
    """Move the stone at ``p`` into the chain of ``head``, behind ``after``, with the liberties new to that chain."""
    gained = 0
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        if s[COLOR, q] == EMPTY:
            fresh = True
            for j in range(4):
                r = q + (1 if j == 0 else -1 if j == 1 else w if j == 2 else -w)
                if s[HEAD, r] == head and s[COLOR, r] == s[COLOR, p]:
                    fresh = False
                    break
            if fresh:
                gained += 1
    s[HEAD, p] = head
    s[LIBERTIES, head] += gained
    s[COUNT, head] += 1
    s[NEXT, p] = s[NEXT, after]
    s[NEXT, after] = p


@kernel
def _lift(s, p, w):
    """Take the chain at ``p`` off the board; returns the change of the position hash."""
    color = s[COLOR, p]
    other = 3 - color
    change = np.int64(0)
    q = p
    while True:
        s[COLOR, q] = EMPTY
        change ^= ZOBRIST[q, color]
        h0, h1, h2 = 0, 0, 0
        for i in range(4):
            r = q + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, r] == other:
                h = s[HEAD, r]
                if h != h0 and h != h1 and h != h2:
                    s[LIBERTIES, h] += 1
                    h2, h1, h0 = h1, h0, h
        following = s[NEXT, q]
        s[HEAD, q] = 0
        q = following
        if q == p:
            return change


@kernel
def put(s, p, color, w):
    """Play a stone of ``color`` on the empty point ``p``: captures, and lifts its own chain where it has no liberty.

    Returns (stones captured, own stones lost, the simple-ko point or 0, change of the position hash).
    """
    other = 3 - color
    s[COLOR, p] = color
    s[HEAD, p] = 0
    free = 0
    own = 0  # the largest own chain around, which the others join
    h0, h1, h2 = 0, 0, 0  # chains already told of the lost liberty
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = s[COLOR, q]
        if c == EMPTY:
            free += 1
        elif c != WALL:
            h = s[HEAD, q]
            if h != h0 and h != h1 and h != h2:
                s[LIBERTIES, h] -= 1
                h2, h1, h0 = h1, h0, h
            if c == color and (own == 0 or s[COUNT, h] > s[COUNT, own]):
                own = h
    if own == 0:
        own = p
        s[HEAD, p] = p
        s[NEXT, p] = p
        s[COUNT, p] = 1
        s[LIBERTIES, p] = free
    else:
        s[NEXT, p] = p
        for i in range(5):
            q = p + (0 if i == 0 else 1 if i == 1 else -1 if i == 2 else w if i == 3 else -w)
            if s[COLOR, q] == color and s[HEAD, q] != own:
                stone = q
                while True:
                    following = s[NEXT, stone]
                    _adjoin(s, own, stone, own, w)
                    stone = following
                    if stone == q:
                        break
    captured, lost, ko = 0, 0, 0
    change = ZOBRIST[p, color]
    for i in range(5):  # the enemy's chains first, then this one
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w if i == 3 else 0)
        c = s[COLOR, q]
        if (c == other or i == 4) and s[LIBERTIES, s[HEAD, q]] == 0:
            stones = s[COUNT, s[HEAD, q]]
            change ^= _lift(s, q, w)
            if i == 4:
                lost = stones
            else:
                captured += stones
                ko = q
    if captured != 1 or lost != 0 or s[COUNT, own] != 1 or s[LIBERTIES, own] != 1:
        ko = 0
    return captured, lost, ko, change


@kernel
def hash_after(s, p, color, w):
    """The change of the position hash that :func:`put` would make, without playing."""
    other = 3 - color
    change = ZOBRIST[p, color]
    h0, h1, h2 = 0, 0, 0
    breathes = False
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = s[COLOR, q]
        if c == EMPTY:
            breathes = True
        elif c == color:
            if s[LIBERTIES, s[HEAD, q]] > 1:
                breathes = True
        elif c == other:
            h = s[HEAD, q]
            if s[LIBERTIES, h] == 1:
                breathes = True
                if h != h0 and h != h1 and h != h2:
                    h2, h1, h0 = h1, h0, h
                    stone = q
                    while True:
                        change ^= ZOBRIST[stone, other]
                        stone = s[NEXT, stone]
                        if stone == q:
                            break
    if not breathes:
        change ^= ZOBRIST[p, color]
        h0, h1, h2 = 0, 0, 0
        for i in range(4):
            q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, q] == color:
                h = s[HEAD, q]
                if h != h0 and h != h1 and h != h2:
                    h2, h1, h0 = h1, h0, h
                    stone = q
                    while True:
                        change ^= ZOBRIST[stone, color]
                        stone = s[NEXT, stone]
                        if stone == q:
                            break
    return change


@kernel
def suicide_kind(s, p, color, w):
    """0: a stone at the empty point ``p`` would live or capture; 1: it would die with friends; 2: alone."""
    friends = False
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = s[COLOR, q]
        if c == EMPTY:
            return 0
        if c == WALL:
            continue
        low = s[LIBERTIES, s[HEAD, q]] == 1
        if c == color:
            friends = True
            if not low:
                return 0
        elif low:
            return 0
    return 1 if friends else 2


@kernel
def ko_capture(s, p, color, w):
    """The single stone that a ko capture at ``p`` by ``color`` would take, or 0 where it would not be one."""
    if s[COLOR, p] != EMPTY:
        return 0
    found = 0
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = s[COLOR, q]
        if c == WALL:
            continue
        if c != 3 - color:
            return 0
        if s[LIBERTIES, s[HEAD, q]] == 1:
            if found != 0:
                return 0
            found = q
    if found != 0 and s[COUNT, s[HEAD, found]] != 1:
        return 0
    return found


@kernel
def rebuild(s, w):
    """Make the chains and liberties of the stones of plane ``COLOR`` anew."""
    n = s.shape[1]
    for p in range(n):
        s[HEAD, p] = 0
    for p in range(n):
        c = s[COLOR, p]
        if (c != BLACK and c != WHITE) or s[HEAD, p] != 0:
            continue
        s[HEAD, p] = p
        s[NEXT, p] = p
        s[COUNT, p] = 1
        free = 0
        for i in range(4):
            if s[COLOR, p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)] == EMPTY:
                free += 1
        s[LIBERTIES, p] = free
        stone, last = p, p  # each stone found is put last, so one walk along the list meets them all
        while True:
            for i in range(4):
                q = stone + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
                if s[COLOR, q] == c and s[HEAD, q] == 0:
                    _adjoin(s, p, q, last, w)
                    last = q
            stone = s[NEXT, stone]
            if stone == p:
                break


def hash_of(colors: NDArray[np.int16]) -> int:
    """The position hash of one plane of colours, from scratch."""
    on = (colors == BLACK) | (colors == WHITE)
    return int(np.bitwise_xor.reduce(ZOBRIST[np.flatnonzero(on), colors[on]], initial=0))
