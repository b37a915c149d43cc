"""Pareto curves of dictionaries: what they cost the model (CE increase) against L0 or the number of alive features.

A curve is made of runs of one mode and seed at several sparsities. Where it is not monotone only its frontier counts:
the points that no other point beats on both axes. Between points of the frontier the cost is interpolated linearly in
the logarithm of both axes; outside them nothing is said. Two modes are compared over a stated range, as the mean of the
ratio at points spaced evenly in the logarithm (Braun et al. 2024, section 3, do so without the bootstrap).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toulmin.evidence import Interval
from toulmin.faults import ExitCode, Fault, FaultError

Array = NDArray[np.float64]
POINTS = 40  #: at which two curves are compared
RESAMPLES = 2000


def frontier(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """The points that no other beats on both axes (smaller is better on both), by ascending x; y descends strictly."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    order = np.lexsort((ys, xs))
    keep: list[int] = []
    for index in order:
        if not keep or ys[index] < ys[keep[-1]]:
            keep.append(int(index))
    return xs[keep], ys[keep]


def interpolate(x: ArrayLike, y: ArrayLike, at: ArrayLike) -> Array:
    """The frontier of (x, y) at ``at``, linear in logarithms; NaN outside it and where y is not positive."""
    xs, ys = frontier(x, y)
    good = (ys > 0) & (xs > 0)
    where = np.asarray(at, float)
    if good.sum() < 2:
        return np.full(where.shape, np.nan)
    xs, ys = np.log(xs[good]), np.log(ys[good])
    places = np.log(where)
    return np.where((places < xs[0] - 1e-9) | (places > xs[-1] + 1e-9), np.nan, np.exp(np.interp(places, xs, ys)))


@dataclass(frozen=True)
class Curve:
    """The runs of one mode and seed: ``x`` (L0 or alive features) and ``y`` (CE increase), one entry a sparsity."""

    x: Array
    y: Array


@dataclass(frozen=True)
class Ratio:
    """The mean ratio of two modes over a range: of costs at equal x, or of the x needed at equal cost.

    ``low`` and ``high`` are the ends of the range that was stated, ``covered`` the share of it that both curves reach;
    ``interval`` resamples the seeds of each mode, None for a single seed.
    """

    value: float
    interval: tuple[float, float] | None
    low: float
    high: float
    covered: float
    seeds: int

    def as_interval(self) -> Interval | None:
        """For evidence, which calls a bootstrap of fewer than ten seeds none."""
        if self.interval is None:
            return None
        method = f"percentile bootstrap, {RESAMPLES} resamples of {self.seeds} seeds of each mode"
        return Interval(low=self.interval[0], high=self.interval[1], method=method, units=self.seeds)


def mean_ratio(
    local: Mapping[int, Curve], other: Mapping[int, Curve], low: float, high: float, *, swapped: bool = False
) -> Ratio:
    """The mean over [low, high] of other's cost over local's at equal x; ``swapped``: of x needed at equal cost.

    Seeds are independent in the two modes, so that each pair of seeds gives a ratio, and the value is their mean; the
    interval draws the seeds of each mode with replacement.

    :raises FaultError: ``dictionaries.range`` (exit NUMERICAL): in no part of the range do both modes have a curve.
    """
    at = np.geomspace(low, high, POINTS)

    def curve(one: Curve) -> Array:
        return interpolate(one.y, one.x, at) if swapped else interpolate(one.x, one.y, at)

    ours, theirs = (np.array([curve(one) for one in curves.values()]) for curves in (other, local))
    ratios = np.full((len(ours), len(theirs)), np.nan)
    shares = np.zeros_like(ratios)
    for i, j in product(range(len(ours)), range(len(theirs))):
        both = np.isfinite(ours[i]) & np.isfinite(theirs[j])
        shares[i, j] = both.mean()
        if both.any():
            ratios[i, j] = (ours[i][both] / theirs[j][both]).mean()
    if np.isnan(ratios).any():
        text = f"the curves do not both reach any part of [{low:g}, {high:g}]"
        fault = Fault("dictionaries.range", text, hint="other sparsities, or another range")
        raise FaultError(fault, ExitCode.NUMERICAL)
    interval = None
    if min(ratios.shape) > 1:
        generator = np.random.default_rng(0)
        rows = generator.integers(0, len(ours), (RESAMPLES, len(ours)))
        columns = generator.integers(0, len(theirs), (RESAMPLES, len(theirs)))
        draws = np.array([ratios[np.ix_(r, c)].mean() for r, c in zip(rows, columns, strict=True)])
        interval = (float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975)))
    return Ratio(float(ratios.mean()), interval, low, high, float(shares.mean()), min(ratios.shape))
