"""The outputs of a network for positions, as probabilities and points."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.games import Games, Rows
from toulmin.go.engine.rules import WHITE

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Evaluation:
    """The view of B positions, from the side to move's perspective unless :meth:`white` made it.

    ``policy [B, size * size + 1]``: probabilities of the legal actions, 0 for the others; ``logits`` the same before
    the softmax (-inf where illegal). ``win``, ``loss``, ``no_result`` ``[B]``. ``lead``, ``score_mean``,
    ``score_stdev`` ``[B]`` in points. ``ownership [B, size, size]`` in [-1, 1].
    """

    policy: Floats
    logits: Floats
    win: Floats
    loss: Floats
    no_result: Floats
    lead: Floats
    score_mean: Floats
    score_stdev: Floats
    ownership: Floats

    def white(self, to_move: NDArray[np.int64]) -> Evaluation:
        """The same seen by White; ``to_move [B]`` are the colours it was seen by."""
        is_white = np.asarray(to_move) == WHITE
        sign = np.where(is_white, 1, -1).astype(np.float32)
        return replace(
            self,
            win=np.where(is_white, self.win, self.loss),
            loss=np.where(is_white, self.loss, self.win),
            lead=self.lead * sign,
            score_mean=self.score_mean * sign,
            ownership=self.ownership * sign[:, None, None],
        )

    @classmethod
    def uniform(cls, games: Games, rows: Rows = None) -> Evaluation:
        """Uninformed values: equal probabilities of the legal actions, and an even game."""
        legal = games.legal(rows)
        count = len(legal)
        policy = (legal / np.maximum(legal.sum(axis=1, keepdims=True), 1)).astype(np.float32)
        half, zero = np.full(count, 0.5, np.float32), np.zeros(count, np.float32)
        logits = np.where(legal, 0.0, -np.inf).astype(np.float32)
        return cls(
            policy, logits, half, half, zero, zero, zero, zero, np.zeros((count, games.size, games.size), np.float32)
        )
