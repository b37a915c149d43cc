"""The board within the tensors of a network."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Extent(NamedTuple):
    """The board within the tensor: points per board, what pools scale by, and 1 on the board where some is off it.

    With d = sqrt(area) - 14: ``slope`` is d / 10, ``curve`` d^2 / 100 - 0.1.
    """

    area: Float[Tensor, "B 1"]
    slope: Float[Tensor, "B 1"]
    curve: Float[Tensor, "B 1"]
    mask: Float[Tensor, "B 1 Y X"] | None

    @classmethod
    def of(cls, area: Float[Tensor, "B 1"], mask: Float[Tensor, "B 1 Y X"] | None = None) -> Extent:
        """The extent of boards with ``area`` points."""
        d = area.sqrt() - 14
        return cls(area, d / 10, d * d / 100 - 0.1, mask)
