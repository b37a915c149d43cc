"""Games played to their end with uniformly random legal moves, each move drawn by rejection. Compiled.

An action is drawn from all points and the pass until one is legal: that is uniform over the legal ones, and finds a
move without looking at the others.

Area scoring under superko is played on a board of its own that does less. Its chains know the number, the sum and the
sum of squares of their pseudo-liberties (the pairs of a stone and an empty point beside it): by Cauchy and Schwarz
number · squares = sum² exactly where all pairs share one point, so that atari is recognised from three numbers; and
the hash of their stones, so that the hash after a capture is computed without playing it. The moves are those of the
ordinary rules, drawn from the same random numbers. Games under other rules are played by
:mod:`toulmin.go.engine.turns`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine import turns
from toulmin.go.engine.board import (
    COLOR,
    COUNT,
    EMPTY,
    HEAD,
    LIBERTIES,
    NEXT,
    TOUCHED,
    WALL,
    WHITE,
    ZOBRIST,
    ZOBRIST_PLAYER,
)
from toulmin.go.engine.compiled import kernel
from toulmin.go.engine.games import Games
from toulmin.go.engine.turns import (
    AREA,
    BUTTON,
    COLOR_SHIFT,
    FILTER,
    FINISHED,
    HASH,
    KO,
    KO_HASH,
    LADDER1_KNOWN,
    LADDER_KNOWN,
    LEAD,
    LEGAL_KNOWN,
    LOST_BLACK,
    LOST_WHITE,
    MOVE,
    MOVES,
    PASSES,
    PHASE,
    POSITION,
    POSITIONAL,
    R_KO,
    R_SCORING,
    R_SUICIDE,
    SITUATIONAL,
    SIZE,
    TO_MOVE,
    TURNS,
    WHITE_MOVED,
    advance,
    find_legal,
    may_play,
    occurred,
)

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)

# columns of a chain's numbers: its pseudo-liberties, and its stones
_PAIRS, _SUM, _SQUARES, _STONES = 0, 1, 2, 3


@kernel
def _mix(state):
    """The output of splitmix64 in this state."""
    z = (state ^ (state >> np.uint64(30))) * _MIX1
    z = (z ^ (z >> np.uint64(27))) * _MIX2
    return z ^ (z >> np.uint64(31))


@kernel
def _in_atari(chains, h):
    total = np.int64(chains[h, _SUM])
    return np.int64(chains[h, _PAIRS]) * chains[h, _SQUARES] == total * total


@kernel
def _load(s, w, color, head, after, chains, hashes):
    """Copy the stones of a game; every other point has head 0, a wall, whose numbers are never read."""
    for p in range(s.shape[1]):
        color[p], after[p] = s[COLOR, p], s[NEXT, p]
        head[p] = 0 if color[p] == EMPTY or color[p] == WALL else s[HEAD, p]
        hashes[p] = 0
        for i in range(4):
            chains[p, i] = 0
    for p in range(w, s.shape[1] - w):
        c = color[p]
        if c == EMPTY or c == WALL:
            continue
        h = head[p]
        chains[h, _STONES] += 1
        hashes[h] ^= ZOBRIST[p, c]
        for i in range(4):
            q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
            if color[q] == EMPTY:
                chains[h, _PAIRS] += 1
                chains[h, _SUM] += q
                chains[h, _SQUARES] += q * q


@kernel
def _fate(color, head, chains, p, player, w):
    """What becomes of a stone at the empty point ``p``: it lives (0), dies with friends (1) or alone (2)."""
    if color[p + 1] == EMPTY or color[p - 1] == EMPTY or color[p + w] == EMPTY or color[p - w] == EMPTY:
        return 0
    friends = False
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = color[q]
        if c != WALL:
            if (c == player) != _in_atari(chains, head[q]):
                return 0
            if c == player:
                friends = True
    return 1 if friends else 2


@kernel
def _change(color, head, chains, hashes, p, player, w, dies):
    """The change of the position's hash by a stone at ``p`` that lives, or ``dies`` with its friends."""
    whose = player if dies else 3 - player
    change = np.int64(0) if dies else ZOBRIST[p, player]
    h0, h1, h2 = 0, 0, 0
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        if color[q] == whose:
            h = np.int64(head[q])
            if h != h0 and h != h1 and h != h2 and _in_atari(chains, h):
                h2, h1, h0 = h1, h0, h
                change ^= hashes[h]
    return change


@kernel
def _remove(color, head, after, chains, h, w):
    """Take the chain of ``h`` off the board."""
    q = np.int64(h)
    while True:
        color[q] = EMPTY
        head[q] = 0
        square = q * q
        for i in range(4):
            g = head[q + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)]
            chains[g, _PAIRS] += 1
            chains[g, _SUM] += q
            chains[g, _SQUARES] += square
        q = np.int64(after[q])
        if q == h:
            return


@kernel
def _put(color, head, after, chains, hashes, p, player, w):
    """Play the stone; returns (stones captured, own stones lost, the simple-ko point or 0, change of the hash)."""
    other = 3 - player
    change = ZOBRIST[p, player]
    pairs, total, squares = 0, 0, 0
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        free = np.int64(color[q] == EMPTY)  # no branches: they could not be predicted
        pairs += free
        total += free * q
        squares += free * q * q
        h = head[q]
        chains[h, _PAIRS] -= 1
        chains[h, _SUM] -= p
        chains[h, _SQUARES] -= p * p
    color[p], head[p], after[p] = player, p, p
    hashes[p] = change
    chains[p, _PAIRS], chains[p, _SUM], chains[p, _SQUARES], chains[p, _STONES] = pairs, total, squares, 1
    if pairs == 4:
        return 0, 0, 0, change
    own = p
    captured, ko = 0, 0
    for i in range(4):
        q = p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)
        c = color[q]
        h = np.int64(head[q])
        if c == player:
            if h == own:
                continue
            if chains[h, _STONES] > chains[own, _STONES]:  # the smaller chain joins the larger
                h, own = own, h
            for column in range(4):
                chains[own, column] += chains[h, column]
            hashes[own] ^= hashes[h]
            stone = h
            while True:
                head[stone] = own
                stone = np.int64(after[stone])
                if stone == h:
                    break
            after[h], after[own] = after[own], after[h]
        elif c == other and chains[h, _PAIRS] == 0:
            captured += chains[h, _STONES]
            change ^= hashes[h]
            ko = q
            _remove(color, head, after, chains, h, w)
    lost = 0
    if chains[own, _PAIRS] == 0:
        lost = chains[own, _STONES]
        change ^= hashes[own]
        _remove(color, head, after, chains, own, w)
    if captured != 1 or chains[own, _STONES] != 1 or chains[own, _PAIRS] != 1:
        ko = 0
    return captured, lost, ko, change


@kernel
def _store(s, w, color, head, after, chains):
    """Write the stones and their chains, with exact liberties, back into the game."""
    for p in range(s.shape[1]):
        s[COLOR, p], s[HEAD, p], s[NEXT, p] = color[p], head[p], after[p]
        s[COUNT, p] = chains[p, _STONES]
        s[LIBERTIES, p] = 0
    for p in range(w, s.shape[1] - w):
        if color[p] == EMPTY:
            h0, h1, h2 = 0, 0, 0
            for i in range(4):
                h = head[p + (1 if i == 0 else -1 if i == 1 else w if i == 2 else -w)]
                if h != 0 and h != h0 and h != h1 and h != h2:
                    s[LIBERTIES, h] += 1
                    h2, h1, h0 = h1, h0, h


@kernel
def _play_quickly(s, m, past, state, last, points, color, head, after, chains, hashes):
    """Play one game under area scoring and superko until it ends or ``last`` moves are played."""
    w = m[SIZE] + 1
    _load(s, w, color, head, after, chains, hashes)
    touched = s[TOUCHED]
    many = np.uint64(len(points))
    situational = m[R_KO] == SITUATIONAL
    may_die = m[R_SUICIDE] == 1
    player, ko, n, value, passes = m[TO_MOVE], m[KO], m[MOVES], m[HASH], m[PASSES]
    start = n
    if m[FINISHED] == 1:
        return
    while passes < 2 and n < last:
        state += _STEP
        p = np.int64(points[((_mix(state) >> np.uint64(32)) * many) >> np.uint64(32)])
        if p != 0:
            if color[p] != EMPTY or p == ko:
                continue
            fate = _fate(color, head, chains, p, player, w)
            if fate == 2 or (fate == 1 and not may_die):
                continue
            if touched[p] != 0 or fate == 1:  # a stone where never one stood makes a new position, unless it dies
                after_it = value ^ _change(color, head, chains, hashes, p, player, w, fate == 1)
                if occurred(m, past, n, after_it ^ ZOBRIST_PLAYER[3 - player] if situational else after_it):
                    continue
            captured, lost, ko, change = _put(color, head, after, chains, hashes, p, player, w)
            value ^= change
            touched[p] = 1
            if captured + lost > 0:
                m[LOST_BLACK] += captured if player == WHITE else lost
                m[LOST_WHITE] += lost if player == WHITE else captured
            if player == WHITE:
                m[WHITE_MOVED] = 1
            elif m[WHITE_MOVED] == 0:
                m[LEAD] += 1
            passes = 0
        else:
            ko = 0
            passes += 1
        mark = value ^ ZOBRIST_PLAYER[3 - player] if situational else value
        past[n, MOVE] = p | (player << COLOR_SHIFT)
        n += 1
        past[n, KO_HASH] = mark
        past[n, POSITION] = value
        for shift in (0, 24):
            m[FILTER + ((mark >> shift) & 63)] |= np.int64(1) << ((mark >> (shift + 6)) & 63)
        player = 3 - player
    if n > start:
        m[TO_MOVE], m[KO], m[MOVES], m[HASH], m[PASSES] = player, ko, n, value, passes
        m[FINISHED] = 1 if passes >= 2 else 0
        m[TURNS] = 0
        m[LEGAL_KNOWN] = m[LADDER_KNOWN] = m[LADDER1_KNOWN] = 0
        _store(s, w, color, head, after, chains)


@kernel
def _play_by_turns(s, m, past, state, last):
    """Play one game under any rules until it ends or ``last`` moves are played."""
    size = m[SIZE]
    while m[FINISHED] == 0 and m[MOVES] < last:
        state += _STEP
        action = np.int64(((_mix(state) >> np.uint64(32)) * np.uint64(size * size + 1)) >> np.uint64(32))
        p = 0
        if action < size * size:
            p = (action // size + 1) * (size + 1) + action % size + 1
            if m[PHASE] == 0:
                if not may_play(s, m, past, p):
                    continue
            else:
                find_legal(s, m, past)
                if s[turns.LEGAL, p] == 0:
                    continue
        advance(s, m, past, p, True)


@kernel
def _play_rows(cells, meta, past, states, most, ordinary, points, color, head, after, chains, hashes):
    for b in range(len(meta)):
        s, m, t = cells[b], meta[b], past[b]
        last = m[MOVES] + most
        superko = m[R_KO] == POSITIONAL or m[R_KO] == SITUATIONAL
        if superko and m[R_SCORING] == AREA and m[BUTTON] == 0 and not ordinary:
            _play_quickly(s, m, t, states[b], last, points, color, head, after, chains, hashes)
        else:
            _play_by_turns(s, m, t, states[b], last)


def play_rows(games: Games, states: NDArray[np.uint64], most: int, *, ordinary: bool = False) -> None:
    """Play every game on for ``most`` moves at most, from these states of the random generator.

    ``ordinary`` plays all of them on the board of :mod:`toulmin.go.engine.turns`: the same moves, more slowly (tests).
    """
    games._reserve(int(games.meta[:, MOVES].max(initial=0)) + most + 2)
    n = games.cells.shape[2]
    points = np.append(games._points(np.arange(games.size**2)), 0).astype(np.int16)  # of each action; 0 for the pass
    color, head, after = np.empty(n, np.uint8), np.empty(n, np.int16), np.empty(n, np.int16)
    chains, hashes = np.empty((n, 4), np.int32), np.empty(n, np.int64)
    _play_rows(games.cells, games.meta, games.past, states, most, ordinary, points, color, head, after, chains, hashes)


def random_playouts(games: Games, seed: int | NDArray[np.uint64], max_moves: int | None = None) -> NDArray[np.float64]:
    """Play every game on with uniformly random legal moves until it ends, or for ``max_moves`` more (2 * points).

    In place; the games can then be scored, but show no history to a network. Returns :meth:`Games.scores`. The same
    games and seed give the same moves, whatever else is in the batch: game b is drawn from (seed, b), or from
    ``seed[b]`` where each game has a seed of its own.
    """
    most = 2 * games.size**2 if max_moves is None else max_moves
    if isinstance(seed, np.ndarray):
        states = seed.astype(np.uint64)
    else:
        states = np.random.SeedSequence(seed).generate_state(games.batch, np.uint64).astype(np.uint64)
    play_rows(games, states, most)
    return games.scores()
