"""An evaluator without a net: uniform priors, and the mean of random games played to the end.

It is weak, costs nothing to ship, and its opinion of a position depends on the position and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toulmin.go.games import Games

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Guess:
    """The mover's view of B positions, in the form of :class:`toulmin.go.search.Opinion`."""

    policy: Floats
    win: Floats
    loss: Floats
    no_result: Floats
    lead: Floats
    score_mean: Floats
    score_stdev: Floats
    ownership: Floats


class Rollouts:
    """Evaluates by ``playouts`` uniformly random games from each position, to both passes.

    Draws count half. Ownership is the mean Tromp-Taylor owner at the ends of these games. The settings that concern
    nets (symmetry and so on) are accepted and have no effect: a random game has no orientation.
    """

    def __init__(self, playouts: int = 8, seed: int = 0) -> None:
        if playouts < 1:
            raise ValueError(f"{playouts} playouts: at least one is needed")
        self.playouts, self.seed = playouts, seed

    def evaluate(self, games: Games, rows: NDArray[np.int64] | None = None, **_: object) -> Guess:
        """Evaluate ``rows`` (all games where ``None``)."""
        from toulmin.go.playouts import random_playouts

        asked = games.take(np.arange(games.batch) if rows is None else np.asarray(rows, np.int64))
        legal = asked.legal()
        sign = np.where(asked.to_move == 1, 1.0, -1.0)
        lead = np.empty((asked.batch, self.playouts))
        owned = np.empty((asked.batch, games.size, games.size))
        limit = 3 * games.size * games.size
        for row, situation in enumerate(asked.situation):
            # a seed from the position itself: the same position means the same opinion in any batch
            seed = int(situation) % 2**61 ^ self.seed
            ends = asked.take(np.full(self.playouts, row))
            lead[row] = -sign[row] * random_playouts(ends, seed, max_moves=limit)[:, 0]
            area = ends.area("tromp_taylor")
            owned[row] = sign[row] * ((area == 1).mean(axis=0) - (area == 2).mean(axis=0))
        win = ((lead > 0) + 0.5 * (lead == 0)).mean(axis=1)
        policy = legal / np.maximum(legal.sum(axis=1, keepdims=True), 1)
        return Guess(
            policy=policy.astype(np.float32),
            win=win.astype(np.float32),
            loss=(1 - win).astype(np.float32),
            no_result=np.zeros(len(win), np.float32),
            lead=lead.mean(axis=1).astype(np.float32),
            score_mean=lead.mean(axis=1).astype(np.float32),
            score_stdev=lead.std(axis=1).astype(np.float32),
            ownership=owned.astype(np.float32),
        )
