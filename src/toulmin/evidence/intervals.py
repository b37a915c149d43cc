r"""Intervals for proportions and for statistics of independent units.

Proportions, k of n at confidence 1 - a:

- Wilson (1927): (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).
- Clopper-Pearson (1934): the p at which the binomial tails P(X >= k) and P(X <= k) are a/2; never covers less than
  1 - a.
- no failure in n: the one-sided upper bound 1 - a^(1/n) (0 of 50: 5.8%; 0 of 300: 1.0%).

Everything else: the bootstrap over clusters of units (Efron 1987). What belongs together is drawn together: a cluster
is one draw, and the numerator and denominator of a ratio come from the same draw. BCa corrects the percentiles by the
median bias z0 and the acceleration a of the jackknife over clusters.

A bootstrap says nothing of what it has not seen: of fewer than 10 clusters, or of clusters that are all alike, it gives
an interval that is too narrow or has no width. :func:`mean_interval` is the one rule for means that go into evidence:
for values 0 and 1 an interval that is exact over clusters, else none (and the reason) below 10 clusters or without
variance, else the bootstrap. :class:`toulmin.evidence.Measure` refuses any other bootstrap.

Means over a few training runs are close to normal: :func:`interval_over_seeds` is Student's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.evidence.interval import Interval, why_no_bootstrap
from toulmin.faults import ExitCode, Fault, FaultError

Array = NDArray[np.float64]
Labels = Sequence[str] | Sequence[int] | NDArray[Any]
Sides = Literal["two", "lower", "upper"]
BootstrapMethod = Literal["bca", "percentile"]

_CHUNK = 1 << 22  # drawn indices held at once
_NORMAL = NormalDist()  # importing scipy.special costs 0.2 s, and every check of a case summarises evidence again


def _normal_cdf(x: float) -> float:
    return 0.5 * math.erfc(-x / math.sqrt(2))  # NormalDist.cdf loses the lower tail before Python 3.12


def _check_counts(successes: int, n: int, level: float) -> None:
    if n < 1 or not 0 <= successes <= n or not 0 < level < 1:
        message = f"{successes} of {n} at level {level} is not a proportion"
        raise FaultError(Fault("interval.counts", message), ExitCode.NUMERICAL)


def _tails(level: float, sides: Sides) -> tuple[float, float]:
    alpha = 1 - level
    return {"two": (alpha / 2, alpha / 2), "lower": (alpha, 0.0), "upper": (0.0, alpha)}[sides]


def wilson(successes: int, n: int, level: float = 0.95, sides: Sides = "two") -> Interval:
    """Wilson's score interval for ``successes`` of ``n`` independent units.

    :raises FaultError: the counts are not 0 <= successes <= n with n >= 1.
    """
    _check_counts(successes, n, level)
    p = successes / n
    ends = [0.0, 1.0]
    for side, tail in enumerate(_tails(level, sides)):
        if tail:
            z = -_NORMAL.inv_cdf(tail)
            centre, spread = p + z * z / (2 * n), z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
            ends[side] = float((centre + (spread if side else -spread)) / (1 + z * z / n))
    low = 0.0 if successes == 0 else max(0.0, min(ends[0], p))
    high = 1.0 if successes == n else min(1.0, max(ends[1], p))
    return Interval(low=low, high=high, level=level, method=f"wilson, {sides}-sided")


def clopper_pearson(successes: int, n: int, level: float = 0.95, sides: Sides = "two") -> Interval:
    """The exact interval of Clopper and Pearson for ``successes`` of ``n`` independent units.

    7 of 100 with ``sides="upper"`` gives 12.7%.

    :raises FaultError: the counts are not 0 <= successes <= n with n >= 1.
    """
    _check_counts(successes, n, level)
    below, above = _tails(level, sides)
    low = _p_at_tail(successes, n, below) if below and successes else 0.0
    high = 1 - _p_at_tail(n - successes, n, above) if above and successes < n else 1.0
    return Interval(low=low, high=high, level=level, method=f"clopper-pearson, {sides}-sided")


def _p_at_tail(k: int, n: int, tail: float) -> float:
    """The p with P(X >= k) = tail for X binomial(n, p), k >= 1, by bisection in ln(p / (1 - p))."""
    counts = np.arange(k, n + 1)
    weights = np.array([math.lgamma(n + 1) - math.lgamma(c + 1) - math.lgamma(n - c + 1) for c in counts.tolist()])
    low, high = -100.0, 100.0
    for _ in range(80):
        middle = 0.5 * (low + high)
        log_p, log_q = -math.log1p(math.exp(-middle)), -math.log1p(math.exp(middle))
        above = float(np.exp(weights + counts * log_p + (n - counts) * log_q).sum())
        low, high = (middle, high) if above < tail else (low, middle)
    return 1 / (1 + math.exp(-0.5 * (low + high)))


def zero_failure_upper(n: int, level: float = 0.95) -> float:
    """The one-sided upper bound on a failure rate after ``n`` independent trials without one: 1 - (1-level)^(1/n).

    :raises FaultError: n < 1.
    """
    _check_counts(0, n, level)
    return float(-np.expm1(np.log1p(-level) / n))


def _cluster_members(n: int, clusters: Labels | None) -> list[NDArray[np.intp]]:
    if clusters is None:
        return [np.array([i], dtype=np.intp) for i in range(n)]
    if len(clusters) != n:
        raise FaultError(
            Fault("interval.clusters", f"{len(clusters)} cluster labels for {n} units"), ExitCode.NUMERICAL
        )
    members: dict[Any, list[int]] = {}
    for index, label in enumerate(clusters):
        members.setdefault(label, []).append(index)
    return [np.array(indices, dtype=np.intp) for indices in members.values()]


def _checked(columns: Sequence[Any]) -> list[Array]:
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    if not arrays or any(a.ndim < 1 or len(a) != len(arrays[0]) for a in arrays) or not len(arrays[0]):
        raise FaultError(Fault("interval.shape", "columns of unequal or zero length"), ExitCode.NUMERICAL)
    if not all(np.isfinite(a).all() for a in arrays):
        raise FaultError(Fault("interval.not_finite", "a value is NaN or infinite"), ExitCode.NUMERICAL)
    return arrays


def _ends(draws: Array, jackknife: Array, point: float, level: float, method: BootstrapMethod) -> tuple[float, float]:
    probabilities = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca" and np.ptp(draws) > 0:
        share = (np.count_nonzero(draws < point) + 0.5 * np.count_nonzero(draws == point)) / len(draws)
        z0 = _NORMAL.inv_cdf(float(np.clip(share, 0.5 / len(draws), 1 - 0.5 / len(draws))))
        deviation = jackknife.mean() - jackknife
        scale = np.sum(deviation**2) ** 1.5
        acceleration = np.sum(deviation**3) / (6 * scale) if scale > 0 else 0.0
        tail = _NORMAL.inv_cdf((1 - level) / 2)
        z = z0 + np.array([tail, -tail])
        probabilities = np.array([_normal_cdf(x) for x in (z0 + z / (1 - acceleration * z)).tolist()])
    low, high = np.quantile(draws, probabilities)
    return float(low), float(high)


def _interval(
    draws: Array, jackknife: Array, point: float, level: float, method: BootstrapMethod, clusters: int
) -> Interval:
    if not (np.isfinite(draws).all() and np.isfinite(jackknife).all() and np.isfinite(point)):
        raise FaultError(
            Fault("interval.not_finite", "the statistic is NaN or infinite on a resample (a denominator near zero?)"),
            ExitCode.NUMERICAL,
        )
    if not 0 < level < 1:
        raise FaultError(Fault("interval.level", f"{level} is not between 0 and 1"), ExitCode.NUMERICAL)
    low, high = _ends(draws, jackknife, point, level, method)
    return Interval(
        low=low,
        high=high,
        level=level,
        method=f"{method} bootstrap, {len(draws)} resamples of {clusters} units",
        units=clusters,
    )


def bootstrap(
    statistic: Callable[..., float],
    *columns: Any,
    clusters: Labels | None = None,
    level: float = 0.95,
    method: BootstrapMethod = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The bootstrap interval of ``statistic(*columns)``; each column has one entry (row) a unit.

    Units with the same label in ``clusters`` are drawn together. For means and ratios use :func:`bootstrap_mean` and
    :func:`bootstrap_ratio`, which are much faster and equal.

    :raises FaultError: unequal lengths, or NaN in the columns or in a resampled statistic.
    """
    arrays = _checked(columns)
    members = _cluster_members(len(arrays[0]), clusters)
    generator = np.random.default_rng(seed)
    k = len(members)
    drawn = generator.integers(0, k, size=(resamples, k))

    def evaluate(chosen: NDArray[np.intp]) -> float:
        rows: NDArray[np.intp] = np.concatenate([members[int(i)] for i in chosen])
        return float(statistic(*(a[rows] for a in arrays)))

    draws = np.array([evaluate(row) for row in drawn])
    everything = np.arange(k)
    jack = np.array([evaluate(np.delete(everything, i)) for i in range(k)]) if k > 1 else np.zeros(1)
    return _interval(draws, jack, float(statistic(*arrays)), level, method, k)


def bootstrap_mean(
    values: Any,
    *,
    clusters: Labels | None = None,
    level: float = 0.95,
    method: BootstrapMethod = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The bootstrap interval of the mean of ``values`` [N] over units or clusters of units.

    :raises FaultError: no values, NaN, or labels of another length.
    """
    (array,) = _checked([values])
    ones = np.ones_like(array)
    return bootstrap_ratio(array, ones, clusters=clusters, level=level, method=method, resamples=resamples, seed=seed)


def mean_interval(
    values: Any,
    *,
    clusters: Labels | None = None,
    weights: Any = None,
    shares: bool | None = None,
    differences: bool = False,
    level: float = 0.95,
    method: BootstrapMethod = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[Interval | None, str | None]:
    """The interval of a mean that goes into evidence, or the reason why there is none.

    Of values 0 and 1: the exact interval of Clopper and Pearson, with clusters for trials. Clusters of several sizes or
    with both values are bootstrapped, and the interval is widened to hold

    - the exact upper end for the clusters that hold only 1 (one that was not seen may), the lower end for those that
      hold any: so a failure in part of a cluster never gives a smaller bound than no failure;
    - below 10 clusters, or where all are alike, the exact interval for the sum of the clusters' means, rounded outward;
    - the mean itself.

    Of other values: the bootstrap over clusters, from 10 clusters on and where they differ. Of ``differences`` between
    two outcomes of 0 and 1, a sign that was not seen may occur: where clusters are -1, 0 or 1, and no -1 or no 1 is
    among them, the interval is made of the exact intervals of the shares of 1 and of -1, each at half the error.

    :param weights: of each value in the mean (default: all alike), such as :attr:`toulmin.evidence.Items.weights`.
    :param shares: whether values between 0 and 1 are means of zeros and ones, such as grades over epochs; by default,
        where all are 0 or 1. False: a value may be any number, whatever these are.
    :param differences: values are differences of two such outcomes, from -1 to 1.
    :raises FaultError: no values, NaN, or labels of another length.
    """
    array, weight = _checked([values, np.ones(len(values)) if weights is None else weights])
    if array.ndim != 1:
        raise FaultError(Fault("interval.shape", "values of more than one axis"), ExitCode.NUMERICAL)
    members = _cluster_members(len(array), clusters)
    sizes = np.array([weight[m].sum() for m in members])
    means = np.array([(weight[m] * array[m]).sum() for m in members]) / sizes
    n, alike = len(means), bool(np.ptp(means) == 0)
    reason = why_no_bootstrap(n, alike=alike)
    if differences:
        apart = _difference_interval(means, sizes, level)
        if apart is not None:
            return apart, None
    binary = bool(np.isin(array, (0.0, 1.0)).all()) if shares is None and not differences else bool(shares)
    ones, some = int(np.count_nonzero(means >= 1)), int(np.count_nonzero(means > 0))
    if binary and ones == some and (np.allclose(sizes, sizes[0]) or alike):
        return clopper_pearson(ones, n, level), None
    if reason and not binary:
        return None, reason
    drawn = bootstrap_ratio(
        weight * array, weight, clusters=clusters, level=level, method=method, resamples=resamples, seed=seed
    )
    if not binary:
        return drawn, None
    if reason:
        ones, some = math.ceil(float(means.sum()) - 1e-9), math.floor(float(means.sum()) + 1e-9)
    mean = float(np.average(array, weights=weight))
    low = min(clopper_pearson(some, n, level).low, drawn.low, mean)
    high = max(clopper_pearson(ones, n, level).high, drawn.high, mean)
    how = f"clopper-pearson over {n} clusters, and the {drawn.method}: the wider at each end"
    return Interval(low=low, high=high, level=level, method=how), None


def _difference_interval(means: Array, sizes: Array, level: float) -> Interval | None:
    """Of clusters of equal size that are -1, 0 or 1, without any -1 or without any 1; None of others."""
    more, fewer = int((means == 1).sum()), int((means == -1).sum())
    if not np.isin(means, (-1.0, 0.0, 1.0)).all() or not np.allclose(sizes, sizes[0]) or (more and fewer):
        return None
    n, each = len(means), (1 + level) / 2
    up, down = clopper_pearson(more, n, each), clopper_pearson(fewer, n, each)
    method = "two exact intervals of discordant pairs, Bonferroni"
    return Interval(low=up.low - down.high, high=up.high - down.low, level=level, method=method)


def _unchanged(ratio: Array) -> Array:
    return ratio


def bootstrap_ratio(
    numerator: Any,
    denominator: Any,
    *,
    transform: Callable[[Array], Array] | None = None,
    clusters: Labels | None = None,
    level: float = 0.95,
    method: BootstrapMethod = "bca",
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The interval of sum(numerator) / sum(denominator), both from the same draw of units.

    ``transform`` is applied to the ratio elementwise (proportion explained: ``lambda r: 1 - r``).

    :raises FaultError: unequal lengths, NaN, or a denominator that is zero in a resample.
    """
    top, bottom = _checked([numerator, denominator])
    members = _cluster_members(len(top), clusters)
    k = len(members)
    tops = np.array([top[m].sum() for m in members]) if clusters is not None else top
    bottoms = np.array([bottom[m].sum() for m in members]) if clusters is not None else bottom
    change = transform or _unchanged
    generator = np.random.default_rng(seed)
    step = max(1, _CHUNK // k)
    sums = np.empty((2, resamples))
    for start in range(0, resamples, step):
        rows = generator.integers(0, k, size=(min(step, resamples - start), k))
        sums[:, start : start + len(rows)] = tops[rows].sum(1), bottoms[rows].sum(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        draws = change(sums[0] / sums[1])
        left_out = (tops.sum() - tops) / (bottoms.sum() - bottoms) if k > 1 else np.zeros(1)
        point = float(change(np.array([tops.sum() / bottoms.sum()]))[0])
        jack = change(left_out)
    return _interval(draws, jack, point, level, method, k)


def interval_over_seeds(values: Iterable[float], level: float = 0.95) -> tuple[Interval | None, str | None]:
    """Student's t interval of the mean over independent training runs, or the reason why there is none.

    mean +- t(level, n - 1) s / sqrt(n): runs of a few seeds are too few for a bootstrap, and their means are close to
    normal; whoever doubts that reads the values themselves in the items.
    """
    array = np.array(list(values), dtype=float)
    if len(array) < 2:
        return None, "one training run says nothing of how far another one would differ"
    if np.ptp(array) == 0:
        return None, f"all {len(array)} training runs gave the same number"
    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

    half = float(stdtrit(len(array) - 1, (1 + level) / 2)) * float(array.std(ddof=1)) / math.sqrt(len(array))
    mean = float(array.mean())
    return Interval(low=mean - half, high=mean + half, level=level, method=f"Student t over {len(array)} seeds"), None
