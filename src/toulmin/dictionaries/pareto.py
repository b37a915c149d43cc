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
    _check_common(ratios, low, high)
    return _over_seeds(ratios, low, high, float(shares.mean()))


def gap_closed(
    local: Mapping[int, Curve], changed: Mapping[int, Curve], other: Mapping[int, Curve], low: float, high: float
) -> Ratio:
    """The share of the gap in cost between local and other that ``changed`` closes, at equal x over [low, high].

    ``sum (local - changed) / sum (local - other)`` over the points that all three curves reach: 0 where nothing
    changed, 1 where it costs what other does. ``changed`` are the local dictionaries of the same seeds after something
    was done to them (a finetuning), so that the two are resampled together, and ``other`` by itself.

    :raises FaultError: ``dictionaries.range`` (exit NUMERICAL): the curves have no part of the range in common.
    """
    at = np.geomspace(low, high, POINTS)
    curves = [{seed: interpolate(c.x, c.y, at) for seed, c in mode.items()} for mode in (local, changed, other)]
    seeds = [seed for seed in curves[0] if seed in curves[1]]
    ratios, shares = np.full((len(seeds), len(other)), np.nan), np.zeros((len(seeds), len(other)))
    for (i, seed), (j, theirs) in product(enumerate(seeds), enumerate(curves[2].values())):
        before, after = curves[0][seed], curves[1][seed]
        all_three = np.isfinite(before) & np.isfinite(after) & np.isfinite(theirs)
        shares[i, j] = all_three.mean()
        if all_three.any():
            ratios[i, j] = (before - after)[all_three].sum() / (before - theirs)[all_three].sum()
    _check_common(ratios, low, high)
    return _over_seeds(ratios, low, high, float(shares.mean()))


def _check_common(ratios: Array, low: float, high: float) -> None:
    if not ratios.size or np.isnan(ratios).any():
        text = f"the curves do not all reach any part of [{low:g}, {high:g}]"
        fault = Fault("dictionaries.range", text, hint="other sparsities, or another range")
        raise FaultError(fault, ExitCode.NUMERICAL)


def _over_seeds(ratios: Array, low: float, high: float, covered: float) -> Ratio:
    """The mean over pairs of seeds, with the interval that draws the seeds of rows and of columns with replacement."""
    interval = None
    if min(ratios.shape) > 1:
        generator = np.random.default_rng(0)
        rows = generator.integers(0, ratios.shape[0], (RESAMPLES, ratios.shape[0]))
        columns = generator.integers(0, ratios.shape[1], (RESAMPLES, ratios.shape[1]))
        draws = np.array([ratios[np.ix_(r, c)].mean() for r, c in zip(rows, columns, strict=True)])
        interval = (float(np.quantile(draws, 0.025)), float(np.quantile(draws, 0.975)))
    return Ratio(float(ratios.mean()), interval, low, high, covered, min(ratios.shape))
