"""Exact intervals for differences of paired yes/no outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from toulmin.evidence import Interval, clopper_pearson


def paired_difference(first: ArrayLike, second: ArrayLike, level: float = 0.95) -> tuple[float, Interval]:
    """The mean of ``first - second`` over n pairs of 0/1 outcomes, with an interval that covers it at least ``level``.

    With b pairs (1, 0) and c pairs (0, 1) the difference is (b - c) / n. b and c are binomial; with Clopper-Pearson
    intervals [b0, b1] and [c0, c1] of b/n and c/n at level (1 + level) / 2 each (Bonferroni), the difference lies in
    [b0 - c1, b1 - c0] with probability at least ``level``, whatever the dependence of b and c. So pairs that all agree
    still leave an interval: of 0 discordant pairs in 300, -0.015 to 0.015.
    """
    a, b = np.asarray(first).astype(bool), np.asarray(second).astype(bool)
    n = len(a)
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    each = (1 + level) / 2
    more, fewer = clopper_pearson(only_first, n, each), clopper_pearson(only_second, n, each)
    ends = more.low - fewer.high, more.high - fewer.low
    method = "two exact intervals of discordant pairs, Bonferroni"
    return (only_first - only_second) / n, Interval(low=ends[0], high=ends[1], level=level, method=method)


def largest_rate(outcomes: Sequence[ArrayLike], level: float = 0.95, *, choices: int = 1) -> tuple[float, Interval]:
    """The largest of several rates, each the mean of 0/1 outcomes, with an interval that covers it at least ``level``.

    Of m rates each has a Clopper-Pearson interval at 1 - (1 - level) / m (Bonferroni): all m cover with probability at
    least ``level``, and then the largest rate lies between the largest lower and the largest upper end. ``choices``:
    each rate is itself the largest of so many that were measured on the same units, which counts as so many rates.
    """
    each = 1 - (1 - level) / (len(outcomes) * choices)
    counted = [(int(np.sum(hits)), len(np.asarray(hits))) for hits in outcomes]
    around = [clopper_pearson(k, n, each) for k, n in counted]
    method = f"clopper-pearson, Bonferroni over {len(outcomes) * choices}"
    ends = max(i.low for i in around), max(i.high for i in around)
    return max(k / n for k, n in counted), Interval(low=ends[0], high=ends[1], level=level, method=method)
