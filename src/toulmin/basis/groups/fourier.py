r"""Features of modular addition in the Fourier basis: which frequency each one is about.

A function f(a, b) on pairs modulo p is a sum of waves exp(2 pi i (k a + l b) / p). What modular addition computes with
has k = 0, l = 0 or k = +-l (Nanda et al. 2023, "Progress measures for grokking via mechanistic interpretability"):
waves of a, of b, of a + b and of a - b with a frequency from 1 to (p - 1) / 2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

KINDS = ("a", "b", "a+b", "a-b")


@dataclass(frozen=True)
class FourierShares:
    """``shares`` [F, K, 4]: of each feature's variance over all pairs, in each frequency from 1 (last axis: of a, of b,
    of a + b, of a - b)."""

    shares: Float[np.ndarray, "F K 4"]

    @property
    def by_frequency(self) -> Float[np.ndarray, "F K"]:
        """The share of each frequency."""
        return self.shares.sum(2)

    def labels(self, least: float = 0.1) -> list[str]:
        """The strongest frequency and kind of each feature with the share of its variance, such as ``17 (a+b) 0.93``;
        ``mixed`` where none has ``least``, ``-`` for a constant."""
        found: list[str] = []
        for feature in self.shares:
            frequency, kind = np.unravel_index(int(feature.argmax()), feature.shape)
            share = float(feature[frequency, kind])
            if feature.sum() == 0:
                found.append("-")
            elif share < least:
                found.append("mixed")
            else:
                found.append(f"{frequency + 1} ({KINDS[int(kind)]}) {share:.2f}")
        return found


def fourier_shares(features: Float[np.ndarray, "P P F"]) -> FourierShares:
    """The shares of features [a, b, feature] on all pairs."""
    p = len(features)
    waves = np.square(np.abs(np.fft.fft2(features, axes=(0, 1))))
    waves[0, 0] = 0
    total = waves.sum((0, 1))
    total = np.where(total > 1e-20 * max(float(total.max()), 1e-300), total, np.inf)
    k = np.arange(1, (p - 1) // 2 + 1)
    parts = [
        waves[k, 0] + waves[-k, 0],
        waves[0, k] + waves[0, -k],
        waves[k, k] + waves[-k, -k],
        waves[k, -k] + waves[-k, k],
    ]
    return FourierShares((np.stack(parts, 2) / total[None, :, None]).transpose(1, 0, 2))


def main_frequencies(features: Float[np.ndarray, "P P F"], share: float) -> Int[np.ndarray, "M"]:
    """The fewest frequencies, from 1 and ascending, whose waves hold this share of the energy of all such waves, summed
    over features."""
    energy = np.square(features - features.mean((0, 1))).sum((0, 1))
    power = (fourier_shares(features).by_frequency * energy[:, None]).sum(0)
    order = power.argsort()[::-1]
    enough = int(np.searchsorted(power[order].cumsum() / power.sum(), share)) + 1
    return np.sort(order[:enough]) + 1


def community_shares(by_frequency: Float[np.ndarray, "F K"], communities: np.ndarray) -> Float[np.ndarray, "K"]:
    """For each frequency the largest share of its energy, over features, that falls in one community.

    Features without a community (-1) are left out, a frequency without energy gives zero.
    """
    inside = communities >= 0
    energy, members = by_frequency[inside], communities[inside]
    total = energy.sum(0)
    each = np.stack([energy[members == c].sum(0) for c in np.unique(members)]) if inside.any() else energy[:0]
    return each.max(0, initial=0.0) / np.where(total > 0, total, 1)
