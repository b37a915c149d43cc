"""Measures over seeds: each training run is one unit."""

from __future__ import annotations

from collections.abc import Iterable

from toulmin.evidence import Measure
from toulmin.studies.study import MeasureSpec


def seed_measure(spec: MeasureSpec, values: Iterable[float]) -> Measure:
    """The mean over seeds as a measure of evidence, with Student's interval or the reason why there is none."""
    each = [float(value) for value in values]
    from toulmin.evidence import interval_over_seeds  # numpy, which a check without evidence does not load

    interval, reason = interval_over_seeds(each)
    mean = sum(each) / len(each)
    return Measure(
        value=mean, unit=spec.unit, better=spec.better, interval=interval, no_interval=reason, n=len(each), n_of="seeds"
    )


def mean_over_seeds(values: Iterable[float]) -> tuple[float, float | None, float | None]:
    """Mean and Student's interval over seeds, for a row of a table; None for the ends where there is no interval."""
    from toulmin.evidence import interval_over_seeds

    each = [float(value) for value in values]
    interval, _ = interval_over_seeds(each)
    mean = sum(each) / len(each)
    return (mean, None, None) if interval is None else (mean, interval.low, interval.high)
