"""The rules of turn: who moves, ko and superko, passes, phases, and the end of a game. Compiled, one game per call.

A game is three arrays: the planes ``s`` of :mod:`toulmin.go.engine.board`, one row ``m`` of integers (named below), and
``past``: for every turn t the hash that the ko rule compares, the position hash, and the move played from there
(point, colour, flags packed). Every rule follows KataGo's: under superko a repeated position (with the player to
move, if situational) is banned; under simple ko a third occurrence voids the game; under Spight's rule and in the
encore a pass lifts the bans, and passing twice in the same situation ends the phase. Territory scoring has two encores
(``PHASE`` 1 and 2) in which kos may be retaken only after a "pass for ko".
"""

from __future__ import annotations

import numpy as np

from toulmin.go.engine.board import (
    BANNED,
    BEFORE1,
    BEFORE2,
    COLOR,
    COUNT,
    EMPTY,
    HEAD,
    LADDER,
    LADDER1,
    LADDER2,
    LEGAL,
    LIBERTIES,
    RECAPTURE,
    SECOND,
    TOUCHED,
    WALL,
    WHITE,
    ZOBRIST_BLOCK,
    ZOBRIST_PLAYER,
    hash_after,
    ko_capture,
    put,
    suicide_kind,
)
from toulmin.go.engine.compiled import kernel

# the row of integers of a game
(SIZE, TO_MOVE, MOVES, KO, PASSES, FINISHED, VOID, PHASE, BUTTON, KO_START) = range(10)
(PASS_START, PHASE_START, TURNS, BONUS2, BLOCKS, HASH, LOST_BLACK, LOST_WHITE) = range(10, 18)
(LEGAL_KNOWN, LADDER_KNOWN, LADDER1_KNOWN, LADDER2_KNOWN, KO1, KO2) = range(18, 24)
(SETUP_STONES, LEAD, WHITE_MOVED) = range(24, 27)
(R_KO, R_SUICIDE, R_SCORING, R_TAX, R_BUTTON, R_BONUS, R_FRIENDLY) = range(27, 34)
FILTER, FILTER_WORDS = 34, 64  # a Bloom filter of the ko hashes since KO_START
META = FILTER + FILTER_WORDS

SIMPLE, POSITIONAL, SITUATIONAL, SPIGHT = 0, 1, 2, 3
AREA, TERRITORY = 0, 1
KO_HASH, POSITION, MOVE = 0, 1, 2  # columns of ``past``
POINT_BITS, COLOR_SHIFT, CAPTURED_KO = 1023, 10, 1 << 12


@kernel
def _ko_hash(m, position, player):
    if m[PHASE] > 0 or m[R_KO] == SITUATIONAL or m[R_KO] == SIMPLE:
        return position ^ ZOBRIST_PLAYER[player] ^ m[BLOCKS]
    return position ^ m[BLOCKS]


@kernel
def remember(m, past):
    """Write the hashes of the present position into ``past`` and the filter."""
    value = _ko_hash(m, m[HASH], m[TO_MOVE])
    past[m[MOVES], KO_HASH] = value
    past[m[MOVES], POSITION] = m[HASH]
    if m[KO_START] >= m[MOVES]:
        for i in range(FILTER, FILTER + FILTER_WORDS):
            m[i] = 0
    for shift in (0, 24):
        m[FILTER + ((value >> shift) & 63)] |= np.int64(1) << ((value >> (shift + 6)) & 63)


@kernel
def occurred(m, past, moves, value):
    """Whether the ko hash ``value`` is among those from ``KO_START`` to after ``moves`` moves.

    The filter answers most questions about values that are not: the hashes themselves are read only where it cannot.
    """
    for shift in (0, 24):
        if not (m[FILTER + ((value >> shift) & 63)] >> ((value >> (shift + 6)) & 63)) & 1:
            return False
    for t in range(moves, m[KO_START] - 1, -1):
        if past[t, KO_HASH] == value:
            return True
    return False


@kernel
def _passes_clear(m):
    return m[PHASE] > 0 or m[R_KO] == SIMPLE or m[R_KO] == SPIGHT


@kernel
def passes_after(m):
    """Consecutive passes towards the end of the phase that there would be after one more."""
    return 0 if m[PHASE] == 0 and m[R_KO] == SPIGHT else m[PASSES] + 1


@kernel
def repeats_pass(m, past, player):
    """Whether ``player`` has already passed in this very situation, under rules where that ends the phase."""
    if not _passes_clear(m):
        return False
    now = _ko_hash(m, m[HASH], player)
    for t in range(m[PASS_START], m[MOVES]):
        move = past[t, MOVE]
        if move & POINT_BITS == 0 and move >> COLOR_SHIFT == player and past[t, KO_HASH] == now:
            return True
    return False


@kernel
def pass_ends_phase(m, past):
    """Whether a pass by the side to move would end the phase."""
    return passes_after(m) >= 2 or repeats_pass(m, past, m[TO_MOVE])


@kernel
def pass_ends_game(m, past):
    """Whether a pass by the side to move would end the game."""
    return (m[R_SCORING] == AREA or m[PHASE] >= 2) and pass_ends_phase(m, past)


@kernel
def _copy_plane(s, to, of):
    for p in range(s.shape[1]):
        s[to, p] = s[of, p]


@kernel
def _repeats(s, m, past, p, dies, w):
    """Whether superko bans the mover's stone at the empty point ``p``, which ``dies`` or not."""
    if p == m[KO] or (s[TOUCHED, p] == 0 and not dies):
        return False  # a stone where never one stood makes a new position, unless it is suicide
    after = m[HASH] ^ hash_after(s, p, m[TO_MOVE], w)
    if m[R_KO] == SITUATIONAL:
        after ^= ZOBRIST_PLAYER[3 - m[TO_MOVE]]
    return occurred(m, past, m[MOVES], after)


@kernel
def may_play(s, m, past, p):
    """Whether the mover may put a stone on point ``p`` in ordinary play (not the encore), for one point alone."""
    w = m[SIZE] + 1
    if s[COLOR, p] != EMPTY or p == m[KO]:
        return False
    kind = suicide_kind(s, p, m[TO_MOVE], w)
    if kind == 2 or (kind == 1 and m[R_SUICIDE] == 0):
        return False
    return m[R_KO] == SIMPLE or not _repeats(s, m, past, p, kind == 1, w)


@kernel
def _find_bans(s, m, past):
    """Fill plane ``BANNED``: the points that superko (or, in the encore, a second ko capture) forbids to the mover."""
    for p in range(s.shape[1]):
        s[BANNED, p] = 0
    n, player = m[MOVES], m[TO_MOVE]
    if m[PHASE] > 0:
        for t in range(m[PHASE_START], n):
            move = past[t, MOVE]
            if move & CAPTURED_KO and past[t, POSITION] == m[HASH] and (move >> COLOR_SHIFT) & 3 == player:
                s[BANNED, move & POINT_BITS] = 1
        return
    if m[R_KO] == SIMPLE:
        return
    w = m[SIZE] + 1
    for p in range(w, s.shape[1] - w):
        if s[LEGAL, p] != 0 and _repeats(s, m, past, p, s[LEGAL, p] == 2, w):
            s[BANNED, p] = 1


@kernel
def _blocked_ko(s, p, player, w):
    """The recapture-blocked stone that a move at ``p`` would unblock instead of being played (pass for ko), or 0."""
    if s[COLOR, p] == 3 - player:
        if s[RECAPTURE, p] and s[COUNT, s[HEAD, p]] == 1 and s[LIBERTIES, s[HEAD, p]] == 1:
            return p
        return 0
    taken = ko_capture(s, p, player, w)
    return taken if taken != 0 and s[RECAPTURE, taken] else 0


@kernel
def find_legal(s, m, past):
    """Fill planes ``BANNED`` and ``LEGAL`` for the mover; the pass, point 0, is always legal in an unfinished game."""
    if m[LEGAL_KNOWN] == 1:
        return
    m[LEGAL_KNOWN] = 1
    w = m[SIZE] + 1
    player = m[TO_MOVE]
    for p in range(s.shape[1]):
        s[LEGAL, p] = 0
        if s[COLOR, p] == EMPTY:
            kind = suicide_kind(s, p, player, w)
            if kind == 0:
                s[LEGAL, p] = 1
            elif kind == 1 and m[R_SUICIDE] == 1:
                s[LEGAL, p] = 2  # for now: the stone dies
    _find_bans(s, m, past)
    for p in range(s.shape[1]):
        if s[LEGAL, p]:
            s[LEGAL, p] = 0 if s[BANNED, p] or (m[PHASE] == 0 and p == m[KO]) else 1
        if m[PHASE] > 0 and s[COLOR, p] != WALL and _blocked_ko(s, p, player, w) != 0:
            s[LEGAL, p] = 1
        if m[FINISHED] == 1:
            s[LEGAL, p] = 0
    s[LEGAL, 0] = 1 - m[FINISHED]


@kernel
def _set_block(s, m, p, value):
    if s[RECAPTURE, p] != value:
        s[RECAPTURE, p] = value
        m[BLOCKS] ^= ZOBRIST_BLOCK[p]


@kernel
def _play_stone(s, m, p, player, w):
    """Put the stone and update captures, hash and ko; returns 1 for a ko capture in the encore."""
    captured, lost, ko, change = put(s, p, player, w)
    m[HASH] ^= change
    m[KO] = ko
    if player == WHITE:
        m[LOST_BLACK] += captured
        m[LOST_WHITE] += lost
    else:
        m[LOST_WHITE] += captured
        m[LOST_BLACK] += lost
    took_ko = 0
    if m[PHASE] > 0:
        if ko != 0:  # the block replaces the simple-ko point
            _set_block(s, m, p, 1)
            m[KO] = 0
            took_ko = 1
        for q in range(s.shape[1]):
            if s[RECAPTURE, q] and s[COLOR, q] == EMPTY:
                _set_block(s, m, q, 0)
    return took_ko


@kernel
def _end_phase(s, m):
    """Two passes (or a repeated one): the game is over, or the next encore begins."""
    if m[R_SCORING] == AREA or m[PHASE] >= 2:
        m[FINISHED] = 1
        return
    m[PHASE] += 1
    m[TURNS] = 0
    m[PASSES] = 0
    if m[PHASE] == 2:
        _copy_plane(s, SECOND, COLOR)
    for p in range(s.shape[1]):
        s[RECAPTURE, p] = 0
    m[BLOCKS] = 0
    m[KO_START] = m[MOVES]
    m[PASS_START] = m[MOVES]
    m[PHASE_START] = m[MOVES]


@kernel
def keep_before(s, m):
    """Shift the two previous positions, and their ladders, by one move."""
    _copy_plane(s, BEFORE2, BEFORE1)
    _copy_plane(s, BEFORE1, COLOR)
    _copy_plane(s, LADDER2, LADDER1)
    _copy_plane(s, LADDER1, LADDER)
    m[KO2], m[KO1] = m[KO1], m[KO]
    m[LADDER2_KNOWN], m[LADDER1_KNOWN] = m[LADDER1_KNOWN], m[LADDER_KNOWN]


@kernel
def advance(s, m, past, p, light):
    """Play the mover's legal move at point ``p`` (0: pass) and everything that follows from it.

    ``light`` does not keep the positions before it, which the input features show; so it hides the history from them.
    """
    n, player = m[MOVES], m[TO_MOVE]
    w = m[SIZE] + 1
    if light:
        m[TURNS] = -1
        m[LADDER1_KNOWN] = 0
    else:
        keep_before(s, m)
    m[LADDER_KNOWN] = 0
    m[LEGAL_KNOWN] = 0
    repeated = False
    stone_played = False
    flags = 0
    if p != 0:
        m[PASSES] = 0
        unblocked = _blocked_ko(s, p, player, w) if m[PHASE] > 0 else 0
        if unblocked != 0:
            _set_block(s, m, unblocked, 0)
            m[KO] = 0
        else:
            stone_played = True
            flags = _play_stone(s, m, p, player, w) * CAPTURED_KO
        s[TOUCHED, p] = 1
    else:
        if m[BUTTON] == 1:
            m[BUTTON] = 0
            m[BONUS2] += 1 if player == WHITE else -1
            m[PASSES] = 0
            m[PASS_START] = n + 1
            m[KO_START] = n + 1
        else:
            if _passes_clear(m):
                m[KO_START] = n + 1
            m[PASSES] = passes_after(m)
            repeated = repeats_pass(m, past, player)
        m[KO] = 0
    past[n, MOVE] = p | (player << COLOR_SHIFT) | flags
    m[MOVES] = n + 1
    m[TURNS] += 1
    m[TO_MOVE] = 3 - player
    if stone_played:
        if m[R_SCORING] == TERRITORY and m[PHASE] <= 1:
            m[BONUS2] += -2 if player == WHITE else 2  # area with a point off per stone is territory
        if player == WHITE:
            m[WHITE_MOVED] = 1
        elif m[WHITE_MOVED] == 0:
            m[LEAD] += 1
    if m[PASSES] >= 2 or repeated:
        _end_phase(s, m)
    remember(m, past)
    if p != 0 and (m[PHASE] > 0 or m[R_KO] == SIMPLE):
        now = past[n + 1, KO_HASH]
        seen = 0
        for t in range(m[KO_START], n + 2):
            if past[t, KO_HASH] == now:
                seen += 1
        if seen >= 3:
            m[VOID] = 1
            m[FINISHED] = 1


@kernel
def find_legal_rows(cells, meta, past, rows):
    """:func:`find_legal` in each of the games ``rows``."""
    for b in rows:
        find_legal(cells[b], meta[b], past[b])


@kernel
def advance_rows(cells, meta, past, rows, points):
    """Play the legal move ``points[i]`` in game ``rows[i]``; nothing where it is negative."""
    for i in range(len(rows)):
        if points[i] >= 0:
            advance(cells[rows[i]], meta[rows[i]], past[rows[i]], points[i], False)


@kernel
def passes_that_end(meta, past, out):
    """Fill ``out[b]``: whether a pass by the side to move ends game b."""
    for b in range(len(meta)):
        out[b] = meta[b, FINISHED] == 0 and pass_ends_game(meta[b], past[b])
