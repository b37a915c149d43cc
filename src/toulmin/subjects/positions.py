"""Where tokens stand: what a layer needs to know of positions, whichever way the model encodes them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Positions:
    """The positions of a run of tokens, prepared once for all layers (:meth:`Transformer.positions`).

    :param index: [T] the position numbers.
    :param shortformer: [T, D] what is added to the inputs of Q and K, or None.
    """

    index: Int[Tensor, " T"]
    shortformer: Float[Tensor, "T D"] | None = None

    def __len__(self) -> int:
        return self.index.shape[0]

    def at(self, which: Int[Tensor, " S"] | slice) -> Positions:
        """A subset of these positions, for evaluating a layer at some positions only."""
        return Positions(
            index=self.index[which],
            shortformer=None if self.shortformer is None else self.shortformer[which],
        )


def may_attend(query: Int[Tensor, " T"], key: Int[Tensor, " S"], *, causal: bool, window: int | None) -> Tensor | None:
    """[T, S] true where a query may look at a key; None where every query may look at every key."""
    if not causal and window is None:
        return None
    back = query[:, None] - key[None, :]
    allowed = torch.ones_like(back, dtype=torch.bool)
    if causal:
        allowed = back >= 0
    if window is not None:
        allowed = allowed & (back.abs() < window)
    return allowed
