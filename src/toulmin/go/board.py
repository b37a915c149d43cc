"""Stones on one board: chains with exact liberties, captures, position hashes. Compiled; no rules of turn or ko here.

A board is a two-dimensional ``int16`` array ``s[plane, point]`` that can be copied as a value; points carry a border of
walls, with one shared border column: point = (y + 1) * w + x + 1 with stride w = size + 1. A chain is a circular list
through ``NEXT`` whose ``HEAD`` holds its number of liberties and stones. Playing a stone adds it to the largest
adjacent chain and then moves the stones of the others over one at a time, so that a liberty is counted once: when the
chain first touches it.
"""

from __future__ import annotations

import numpy as np

from toulmin.go.compiled import kernel

EMPTY, BLACK, WHITE, WALL = 0, 1, 2, 3
NOWHERE = 0  # point 0 is a wall: it also stands for "pass" and for "no ko"

# planes of a board; the first five are the chains and all that a ladder search needs
COLOR, HEAD, NEXT, LIBERTIES, COUNT = 0, 1, 2, 3, 4
# planes of a game, kept beside them (see turns and features)
TOUCHED, RECAPTURE, SECOND, BEFORE1, BEFORE2, BANNED, LADDER, LADDER1, LADDER2, WORKING = (
    5,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
    14,
)
PLANES = 15

_draw = np.random.default_rng(20221101)
#: random words of the position hash: [point, colour] for the largest board, then players, phases, recapture blocks
ZOBRIST = _draw.integers(-(2**63), 2**63 - 1, size=(421, 3), dtype=np.int64)
ZOBRIST_PLAYER = _draw.integers(-(2**63), 2**63 - 1, size=3, dtype=np.int64)
ZOBRIST_BLOCK = _draw.integers(-(2**63), 2**63 - 1, size=421, dtype=np.int64)


@kernel
def clear(s, size):
    """Make ``s`` an empty board of ``size``: walls around, every plane zero."""
    w = size + 1
    s[:, :] = 0
    for p in range(s.shape[1]):
        s[COLOR, p] = WALL
    for y in range(size):
        for x in range(size):
            s[COLOR, (y + 1) * w + x + 1] = EMPTY


@kernel
def liberties(s, p):
    """Liberties of the chain with a stone at ``p``."""
    return s[LIBERTIES, s[HEAD, p]]


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
    captured, ko = 0, 0
    change = ZOBRIST[p, color]
    s[COLOR, p] = color
    s[HEAD, p] = p
    s[NEXT, p] = p
    s[COUNT, p] = 1
    own = 0
    free = 0
    h0, h1, h2 = 0, 0, 0  # enemy chains already told of the lost liberty
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = s[COLOR, q]
        if c == EMPTY:
            free += 1
        elif c == color:
            h = s[HEAD, q]
            if own == 0 or s[COUNT, h] > s[COUNT, own]:
                own = h
        elif c == other:
            h = s[HEAD, q]
            if h != h0 and h != h1 and h != h2:
                s[LIBERTIES, h] -= 1
                h2, h1, h0 = h1, h0, h
    s[LIBERTIES, p] = free
    if own != 0:
        # every distinct adjacent own chain loses the liberty p before the joining
        f0, f1, f2 = 0, 0, 0
        for i in range(4):
            q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, q] == color:
                h = s[HEAD, q]
                if h != f0 and h != f1 and h != f2:
                    s[LIBERTIES, h] -= 1
                    f2, f1, f0 = f1, f0, h
        s[HEAD, p] = 0
        _adjoin(s, own, p, own, w)
        for i in range(4):
            q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, q] == color and s[HEAD, q] != own:
                stone = q
                while True:
                    following = s[NEXT, stone]
                    _adjoin(s, own, stone, own, w)
                    stone = following
                    if stone == q:
                        break
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        if s[COLOR, q] == other and s[LIBERTIES, s[HEAD, q]] == 0:
            captured += s[COUNT, s[HEAD, q]]
            change ^= _lift(s, q, w)
            ko = q
    head = s[HEAD, p]
    if captured != 1 or s[COUNT, head] != 1 or s[LIBERTIES, head] != 1:
        ko = 0
    lost = 0
    if s[LIBERTIES, head] == 0:
        lost = s[COUNT, head]
        change ^= _lift(s, p, w)
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
def rebuild(s, colors, w):
    """Set ``s`` to the stones of ``colors`` (one plane), with chains and liberties made anew."""
    n = s.shape[1]
    for p in range(n):
        s[COLOR, p] = colors[p]
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


@kernel
def hash_of(s):
    """The position hash from scratch."""
    value = np.int64(0)
    for p in range(s.shape[1]):
        c = s[COLOR, p]
        if c == BLACK or c == WHITE:
            value ^= ZOBRIST[p, c]
    return value
