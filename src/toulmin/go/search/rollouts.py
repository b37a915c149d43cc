"""An evaluator without a net: uniform priors, and the mean of random games played to the end.

It is weak and needs no file; its evaluation of a position depends on the position and the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Floats = NDArray[np.float32]

_ODD, _STEP = np.uint64(0xD1B54A32D192ED03), np.uint64(0xAEF17502108EF2D9)  # odd: distinct playouts, distinct seeds


@dataclass(frozen=True)
class Guess:
    """The mover's view of B positions, in the form of :class:`toulmin.go.search.mcts.EvaluationProtocol`."""

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
        from toulmin.go.engine.playouts import random_playouts

        asked = games.take(np.arange(games.batch) if rows is None else np.asarray(rows, np.int64))
        legal = asked.legal()
        sign = np.where(asked.to_move == 1, 1.0, -1.0)
        # seeds from the positions themselves: the same position has the same evaluation in any batch
        each = asked.situation.astype(np.uint64)[:, None] ^ np.uint64(self.seed % 2**64)
        seeds = (each * _ODD + np.arange(1, self.playouts + 1, dtype=np.uint64) * _STEP).ravel()
        ends = asked.take(np.repeat(np.arange(asked.batch), self.playouts))
        scores = random_playouts(ends, seeds, max_moves=3 * games.size * games.size)[:, 0]
        lead = -sign[:, None] * scores.reshape(asked.batch, self.playouts)
        area = ends.area("tromp_taylor").reshape(asked.batch, self.playouts, games.size, games.size)
        owned = sign[:, None, None] * ((area == 1).mean(axis=1) - (area == 2).mean(axis=1))
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
