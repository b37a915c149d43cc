"""Ranks, read from a spectrum at a relative threshold, with the gap that they are read from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

#: smaller than this share of the largest singular value counts as zero
RELATIVE = 1e-7


@dataclass(frozen=True)
class Rank:
    """A rank and how safely it can be read.

    :ivar spectrum: all singular values, descending.
    :ivar rank: those above ``threshold`` times the largest.
    :ivar gap: log10 of the last kept over the first dropped; infinite where nothing is dropped, or only exact zeros.
    """

    spectrum: Float[Tensor, "K"]
    rank: int
    threshold: float
    gap: float

    @property
    def dropped(self) -> int:
        """The number of singular values that count as zero."""
        return len(self.spectrum) - self.rank


def rank_of(spectrum: Float[Tensor, "K"], threshold: float = RELATIVE) -> Rank:
    """The rank that a spectrum of singular values shows."""
    values = spectrum.sort(descending=True).values
    largest = float(values[0]) if len(values) else 0.0
    rank = int((values > threshold * largest).sum()) if largest > 0 else 0
    if rank == len(values) or rank == 0 or float(values[rank]) == 0.0:
        gap = math.inf
    else:
        gap = math.log10(float(values[rank - 1]) / float(values[rank]))
    return Rank(values, rank, threshold, gap)


def rank_of_matrix(matrix: Float[Tensor, "M K"], threshold: float = RELATIVE) -> Rank:
    """The rank of a matrix, by its singular values in float64."""
    if not matrix.numel():
        return rank_of(torch.zeros(0, dtype=torch.float64), threshold)
    return rank_of(torch.linalg.svdvals(matrix.double()), threshold)


def rank_of_gram(gram: Float[Tensor, "K K"], threshold: float = RELATIVE) -> Rank:
    """The rank of a matrix from its Gram matrix: singular values are the roots of eigenvalues, so rounding hides those
    below about 1e-8 of the largest."""
    if not gram.numel():
        return rank_of(torch.zeros(0, dtype=torch.float64), threshold)
    return rank_of(torch.linalg.eigvalsh(gram.double()).clamp(min=0).sqrt(), threshold)
