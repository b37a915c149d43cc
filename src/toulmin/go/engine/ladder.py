"""Which chains are caught in a ladder, by search. Compiled.

A chain with one liberty is searched with its defender to move, one with two liberties after each of the attacker's two
ataris. The defender may extend or capture a chain in atari around it, the attacker plays on the two liberties; three
liberties are an escape, one at the attacker's turn is a capture. Ko favours the defender: the ko point is lifted at the
root, and a ko left open by the attacker counts as an escape, except for a chain both of whose liberties are ko
captures ("double ko death"). These are the conventions of KataGo's ladder features, among them the bound of 25,000
nodes, beyond which the chain counts as free. Positions on the search's path are kept as copies, not undone.
"""

from __future__ import annotations

from toulmin.go.engine.board import (
    BEFORE1,
    BEFORE2,
    BLACK,
    COLOR,
    COUNT,
    EMPTY,
    HEAD,
    LADDER,
    LADDER1,
    LADDER2,
    LIBERTIES,
    NEXT,
    WALL,
    WHITE,
    WORKING,
    ko_capture,
    put,
    rebuild,
    suicide_kind,
)
from toulmin.go.engine.compiled import kernel
from toulmin.go.engine.turns import KO, KO1, KO2, LADDER1_KNOWN, LADDER2_KNOWN, LADDER_KNOWN, SIZE

NODES = 25_000
CHAIN_PLANES = 5
# rows of the table kept by depth
AT, START, LENGTH, KO_AT, MOVES_ROW = 0, 1, 2, 3, 4
TABLE_ROWS = 5


@kernel
def _try(stack, table, d, p, color, w):
    """Copy the position at depth ``d`` to ``d + 1`` and play there; returns the liberties of the stone's chain."""
    s, t = stack[d], stack[d + 1]
    for plane in range(CHAIN_PLANES):
        for q in range(s.shape[1]):
            t[plane, q] = s[plane, q]
    _, lost, ko, _ = put(t, p, color, w)
    table[KO_AT, d + 1] = ko
    return 0 if lost else t[LIBERTIES, t[HEAD, p]]


@kernel
def _add_liberties(s, p, w, table, start, end):
    """Append the liberties of the chain at ``p`` that are not yet among the moves from ``start``; returns the end."""
    stone = p
    while True:
        for i in range(4):
            q = stone + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, q] == EMPTY:
                new = True
                for j in range(start, end):
                    if table[MOVES_ROW, j] == q:
                        new = False
                        break
                if new:
                    table[MOVES_ROW, end] = q
                    end += 1
        stone = s[NEXT, stone]
        if stone == p:
            return end


@kernel
def _add_captures(s, p, w, table, start):
    """List the moves that capture a chain in atari next to the chain at ``p``; returns the end of the list."""
    end = start
    other = 3 - s[COLOR, p]
    stone = p
    while True:
        for i in range(4):
            q = stone + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if s[COLOR, q] == other and s[LIBERTIES, s[HEAD, q]] == 1:
                end = _add_liberties(s, q, w, table, start, end)
        stone = s[NEXT, stone]
        if stone == p:
            return end


@kernel
def _empty_around(s, p, w):
    free = 0
    for i in range(4):
        if s[COLOR, p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)] == EMPTY:
            free += 1
    return free


@kernel
def _bounds(s, p, color, w):
    """Fewest and most liberties that a stone of ``color`` at ``p`` could have, without looking for overlaps."""
    free, captures, gained, joined, largest = 0, 0, 0, 0, 0
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = s[COLOR, q]
        if c == EMPTY:
            free += 1
        elif c == color:
            more = s[LIBERTIES, s[HEAD, q]] - 1
            joined += more
            largest = max(largest, more)
        elif c != WALL and s[LIBERTIES, s[HEAD, q]] == 1:
            captures += 1
            gained += s[COUNT, s[HEAD, q]]
    return captures + max(largest, free), free + gained + joined


@kernel
def _promise(s, p, color, w):
    """How good an escape ``p`` looks to ``color``: twice the liberties around and behind it."""
    value = 2 * _empty_around(s, p, w)
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        if s[COLOR, q] == color and s[LIBERTIES, s[HEAD, q]] > 1:
            value += 2 * s[LIBERTIES, s[HEAD, q]] - 3
    return value


@kernel
def _defend(s, p, w, table, d):
    """List the defender's moves at depth ``d``; returns 1 or -1 where the chain is already caught or free, else 0."""
    start = table[START, d]
    if s[LIBERTIES, s[HEAD, p]] >= 2 or table[KO_AT, d] != 0:
        return -1
    end = _add_captures(s, p, w, table, start)
    end = _add_liberties(s, p, w, table, start, end)
    low, high = _bounds(s, table[MOVES_ROW, end - 1], s[COLOR, p], w)
    table[LENGTH, d] = end - start
    if low >= 3:
        return -1
    return 1 if end - start == 1 and high <= 1 else 0


@kernel
def _attack(stack, p, w, table, d):
    """List the attacker's moves at depth ``d``; returns 1 or -1 where the chain is already caught or free, else 0."""
    s = stack[d]
    start = table[START, d]
    libs = s[LIBERTIES, s[HEAD, p]]
    if libs != 2:
        return 1 if libs <= 1 else -1
    _add_liberties(s, p, w, table, start, start)
    table[LENGTH, d] = 2
    a, b = table[MOVES_ROW, start], table[MOVES_ROW, start + 1]
    color = s[COLOR, p]
    free_a, free_b = _empty_around(s, a, w), _empty_around(s, b, w)
    if (
        free_a == 0
        and free_b == 0
        and ko_capture(s, a, 3 - color, w) != 0
        and ko_capture(s, b, 3 - color, w) != 0
        and _add_captures(s, p, w, table, start + 2) == start + 2
    ):
        most = 0
        for i in range(2):
            most = max(most, _try(stack, table, d, table[MOVES_ROW, start + i], color, w))
        if most <= 2:
            return 1
    gap = abs(a - b)
    if gap != 1 and gap != w:  # filling one liberty takes nothing from the other
        if free_a >= 3 and free_b >= 3:
            return -1
        if free_a >= 3 or free_b >= 3:
            table[LENGTH, d] = 1
            if free_b >= 3:
                table[MOVES_ROW, start] = b
            return 0
    if _promise(s, b, color, w) > _promise(s, a, color, w):
        table[MOVES_ROW, start], table[MOVES_ROW, start + 1] = b, a
    return 0


@kernel
def _is_caught(stack, p, w, table, root):
    """Whether the chain at ``p`` in ``stack[root]``, its defender to move, is captured in a ladder."""
    color = stack[root, COLOR, p]
    if stack[root, LIBERTIES, stack[root, HEAD, p]] > 1:
        return False
    table[KO_AT, root] = 0
    table[AT, root] = -1
    table[START, root] = 0
    d = root
    nodes = 0
    caught = False
    deepest = root + (w - 1) * (w - 1) * 3 // 2
    while d >= root:
        if nodes >= NODES:
            return False
        if d >= deepest or table[START, d] + 4 * w * w >= table.shape[1]:
            caught = True
            d -= 1
            continue
        defending = (d - root) % 2 == 0
        if table[AT, d] == -1:
            verdict = _defend(stack[d], p, w, table, d) if defending else _attack(stack, p, w, table, d)
            if verdict != 0:
                caught = verdict == 1
                d -= 1
                continue
        elif caught != defending:  # the move tried last was good enough
            d -= 1
            continue
        table[AT, d] += 1
        if table[AT, d] >= table[LENGTH, d]:
            caught = defending
            d -= 1
            continue
        move = table[MOVES_ROW, table[START, d] + table[AT, d]]
        mover = color if defending else 3 - color
        if move == table[KO_AT, d] or suicide_kind(stack[d], move, mover, w) != 0:
            caught = defending
            continue
        _try(stack, table, d, move, mover, w)
        nodes += 1
        table[AT, d + 1] = -1
        table[START, d + 1] = table[START, d] + table[LENGTH, d]
        d += 1
    return caught


@kernel
def _find_on(s, source, ko, to, w, stack, table):
    """Mark in plane ``to`` the laddered chains of the stones in plane ``source``, and their working moves."""
    base = stack[0]
    for p in range(s.shape[1]):
        base[COLOR, p] = s[source, p]
        s[to, p] = 0
        if to == LADDER:
            s[WORKING, p] = 0
    rebuild(base, w)
    for head in range(w, s.shape[1] - w):
        color = base[COLOR, head]
        stone = color == BLACK or color == WHITE
        if (color != BLACK and color != WHITE) or base[HEAD, head] != head or base[LIBERTIES, head] > 2:
            continue
        caught = False
        move = 0
        choices = base[LIBERTIES, head]
        first = 0
        second = 0
        if choices == 2:
            _add_liberties(base, head, w, table, 0, 0)
            first, second = table[MOVES_ROW, 0], table[MOVES_ROW, 1]
        for i in range(choices):
            if choices == 2:
                move = first if i == 0 else second
                if move == ko or suicide_kind(base, move, 3 - color, w) != 0:
                    continue
                _try(stack, table, 0, move, 3 - color, w)
            if _is_caught(stack, head, w, table, choices - 1):
                caught = True
                if choices == 2 and to == LADDER:
                    s[WORKING, move] |= color
        if caught:
            stone = head
            while True:
                s[to, stone] = 1
                stone = base[NEXT, stone]
                if stone == head:
                    break


@kernel
def find_ladders_rows(cells, meta, rows, turns_back, stack, table):
    """Fill planes ``LADDER``, ``WORKING``, and as far back as ``turns_back[i]`` asks ``LADDER1``, ``LADDER2``.

    ``WORKING`` has bit 1 where a move captures a two-liberty black chain in a ladder, bit 2 for a white one.
    """
    for i in range(len(rows)):
        s, m = cells[rows[i]], meta[rows[i]]
        w = m[SIZE] + 1
        for back in range(turns_back[i] + 1):
            known = LADDER_KNOWN if back == 0 else LADDER1_KNOWN if back == 1 else LADDER2_KNOWN
            if m[known] == 0:
                m[known] = 1
                source = COLOR if back == 0 else BEFORE1 if back == 1 else BEFORE2
                ko = KO if back == 0 else KO1 if back == 1 else KO2
                to = LADDER if back == 0 else LADDER1 if back == 1 else LADDER2
                _find_on(s, source, m[ko], to, w, stack, table)
