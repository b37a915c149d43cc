"""Games played to their end with uniformly random legal moves, each move drawn by rejection. Compiled.

An action is drawn from all points and the pass until one is legal: that is uniform over the legal ones, and finds a
move without looking at the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toulmin.go import turns
from toulmin.go.compiled import kernel
from toulmin.go.games import Games
from toulmin.go.turns import FINISHED, MOVES, PHASE, SIZE, advance, find_legal, may_play

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


@kernel
def _play_rows(cells, meta, past, states, most):
    for b in range(len(meta)):
        s, m, t = cells[b], meta[b], past[b]
        size = m[SIZE]
        state = states[b]
        last = m[MOVES] + most
        while m[FINISHED] == 0 and m[MOVES] < last:
            state += _STEP  # splitmix64
            z = (state ^ (state >> np.uint64(30))) * _MIX1
            z = (z ^ (z >> np.uint64(27))) * _MIX2
            z ^= z >> np.uint64(31)
            action = np.int64(((z >> np.uint64(32)) * np.uint64(size * size + 1)) >> np.uint64(32))
            p = 0
            if action < size * size:
                p = (action // size + 1) * (size + 1) + action % size + 1
                if m[PHASE] == 0:
                    if not may_play(s, m, t, p):
                        continue
                else:
                    find_legal(s, m, t)
                    if s[turns.LEGAL, p] == 0:
                        continue
            advance(s, m, t, p, True)


def random_playouts(games: Games, seed: int | NDArray[np.uint64], max_moves: int | None = None) -> NDArray[np.float64]:
    """Play every game on with uniformly random legal moves until it ends, or for ``max_moves`` more (2 * points).

    In place; the games can then be scored, but show no history to a network. Returns :meth:`Games.scores`. The same
    games and seed give the same moves, whatever else is in the batch: game b is drawn from (seed, b), or from
    ``seed[b]`` where each game has a seed of its own.
    """
    most = 2 * games.size**2 if max_moves is None else max_moves
    games._reserve(int(games.meta[:, MOVES].max(initial=0)) + most + 2)
    if isinstance(seed, np.ndarray):
        states = seed.astype(np.uint64)
    else:
        states = np.random.SeedSequence(seed).generate_state(games.batch, np.uint64)
    _play_rows(games.cells, games.meta, games.past, states, most)
    return games.scores()
