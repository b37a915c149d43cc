r"""Activations whose features are known: a generator in the manner of SynthSAEBench (Chanin et al. 2026).

G true features, unit directions in D dimensions, random and as nearly orthogonal as chance makes them:

    chance of feature g      p_g = min(1/2, L0 r_g^-s / sum r^-s),  r_g its rank (Zipf), sum p_g = L0 where no p is cut
    correlations             u is Gaussian with covariance (1 - a) I + a Z Z^T, Z of low rank with rows of unit length;
                             feature g fires where Phi(u_g) < p_g
    hierarchy                a child fires only if its parent does
    magnitude                |1 + 0.2 normal| where it fires
    x                        sum over g of magnitude_g direction_g + noise

So precision and recall of any dictionary's features are exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from toulmin.faults import Fault, FaultError
from toulmin.training import IndexedBatches


@dataclass(frozen=True)
class SyntheticFeatures:
    """A world of known features.

    :param width: D.
    :param features: G.
    :param l0: features that fire on an input, on average (before the hierarchy removes some).
    :param exponent: s of the Zipf law; 0: all fire equally often.
    :param parents: share of features that have children; each of the others is the child of one of them with
        probability ``children``.
    :param correlation: a, from 0 (independent) to below 1; ``rank`` the rank of Z.
    :param noise: standard deviation added to every coordinate of x.
    :raises FaultError: (``dictionaries.synthetic``) a value out of range.
    """

    width: int = 64
    features: int = 256
    l0: float = 8.0
    exponent: float = 0.5
    parents: float = 0.1
    children: float = 0.5
    correlation: float = 0.2
    rank: int = 8
    noise: float = 0.01
    seed: int = 0

    def __post_init__(self) -> None:
        checks = [
            (self.width >= 2 and self.features >= 2, "width", "width and features are at least 2"),
            (0 < self.l0 <= self.features / 2, "l0", "is above 0 and at most half the features"),
            (self.exponent >= 0, "exponent", "is not negative"),
            (0 <= self.parents <= 1 and 0 <= self.children <= 1, "parents", "parents and children are shares"),
            (0 <= self.correlation < 1 and self.rank >= 1, "correlation", "is from 0 to below 1, with a rank of 1"),
            (self.noise >= 0, "noise", "is not negative"),
        ]
        faults = [Fault("dictionaries.synthetic", text, name=name) for good, name, text in checks if not good]
        if faults:
            raise FaultError(faults)

    @cached_property
    def directions(self) -> Float[Tensor, "G D"]:
        """The true directions, of unit length."""
        return functional.normalize(torch.randn(self.features, self.width, generator=self._generator(1)), dim=1)

    @cached_property
    def chances(self) -> Float[Tensor, " G"]:
        """p_g, before the hierarchy."""
        weights = torch.arange(1, self.features + 1, dtype=torch.float64) ** -self.exponent
        order = torch.randperm(self.features, generator=self._generator(2))
        return (self.l0 * weights / weights.sum()).clamp(max=0.5)[order].float()

    @cached_property
    def parent(self) -> Tensor:
        """[G] the parent of each feature, or -1."""
        generator = self._generator(3)
        above = torch.rand(self.features, generator=generator) < self.parents
        chosen = (torch.rand(self.features, generator=generator) < self.children) & ~above
        found = torch.full((self.features,), -1)
        places = torch.nonzero(above)[:, 0]
        if len(places):
            drawn = torch.randint(0, len(places), (self.features,), generator=generator)
            found = torch.where(chosen, places[drawn], found)
        return found

    @cached_property
    def _loadings(self) -> Tensor:
        return functional.normalize(torch.randn(self.features, self.rank, generator=self._generator(4)), dim=1)

    def _generator(self, *index: int) -> torch.Generator:
        seed = self.seed
        for part in index:
            seed = (seed * 1_000_003 + part + 1) % (1 << 62)
        return torch.Generator().manual_seed(seed)

    def sample(self, index: int, n: int) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n G"]]:
        """Batch ``index`` of n inputs and the magnitudes of their features (0 where a feature does not fire)."""
        generator = self._generator(5, index)
        own = torch.randn(n, self.features, generator=generator)
        shared = torch.randn(n, self.rank, generator=generator) @ self._loadings.T
        latent = (1 - self.correlation) ** 0.5 * own + self.correlation**0.5 * shared
        fires: Bool[Tensor, "n G"] = torch.special.ndtr(latent) < self.chances
        has = self.parent >= 0
        fires = fires & (fires[:, self.parent.clamp(min=0)] | ~has)
        magnitude = (1 + 0.2 * torch.randn(n, self.features, generator=generator)).abs() * fires
        x = magnitude @ self.directions + self.noise * torch.randn(n, self.width, generator=generator)
        return x, magnitude

    def batches(self, size: int, start: int = 0) -> IndexedBatches[Tensor]:
        """Batches of inputs for :func:`toulmin.dictionaries.train_on_activations`."""
        return IndexedBatches(lambda i: self.sample(start + i, size)[0])
