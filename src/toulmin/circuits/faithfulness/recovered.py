r"""Faithfulness numbers from per-prompt values, and the ways of averaging them.

For a prompt i let f_i be the full model's value of a metric, e_i that of the fully ablated model (no edge kept) and
c_i the circuit's. Recovered, with baseline ``"ablated"``: r_i = (c_i - e_i) / (f_i - e_i) (Mueller et al. 2025); with
baseline ``"zero"``: r_i = c_i / f_i (Miller et al. 2024, Wang et al. 2022). For a distance to the full model (KL),
f_i = 0.

- ``"mean_of_percents"``: 100 mean_i r_i.
- ``"percent_of_means"``: 100 mean_i (c_i - e_i) / mean_i (f_i - e_i).

They differ without bound when some |f_i - e_i| is small: such prompts are counted in every result. A prompt whose
f_i - e_i is exactly zero has no percentage: it is left out of the mean of percentages, which then has no interval.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.evidence import Interval, bootstrap_mean, bootstrap_ratio
from toulmin.faults import ExitCode, Fault, FaultError

Array = NDArray[np.float64]
Aggregation = Literal["mean_of_percents", "percent_of_means"]
Baseline = Literal["ablated", "zero"]
AGGREGATIONS: tuple[Aggregation, ...] = ("mean_of_percents", "percent_of_means")
#: a denominator below this share of the mean absolute denominator is called small
SMALL = 0.05


@dataclass(frozen=True)
class PromptValues:
    """One metric under one methodology, ``[N]`` each: circuit c_i, full model f_i, no edge kept e_i.

    ``shares``: one prompt's percentage has a meaning (of an accuracy, 0 or 1, it has none). ``from_zero``: the ratio to
    the full model's own value has one (of a distance or a loss, where lower is better, it has none).
    """

    circuit: Array
    full: Array
    ablated: Array
    shares: bool = True
    from_zero: bool = True


@dataclass(frozen=True)
class Recovered:
    """Percent of the full model's effect that the circuit recovers, with its interval over prompts.

    ``percents``: r_i in percent, one a prompt (``nan`` where the denominator is exactly zero). ``small``: how many
    prompts have a denominator below :data:`SMALL` of the mean absolute denominator.
    """

    value: float
    interval: Interval | None
    aggregation: Aggregation
    baseline: Baseline
    percents: Array
    small: int
    why_no_interval: str | None = None


def recovered(
    circuit: Array,
    full: Array,
    ablated: Array,
    aggregation: Aggregation,
    *,
    baseline: Baseline = "ablated",
    clusters: list[str] | None = None,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Recovered:
    """Percent recovered, with a bootstrap interval over prompts (numerator and denominator drawn together).

    :param circuit: c_i, full: f_i, ablated: e_i; ``[N]`` each.
    :raises FaultError: unequal lengths or NaN; a mean denominator of zero (exit code NUMERICAL): the behaviour is not
        there.
    """
    columns = [np.asarray(column, dtype=np.float64) for column in (circuit, full, ablated)]
    if len({column.shape for column in columns}) != 1 or columns[0].ndim != 1 or not len(columns[0]):
        raise FaultError(Fault("circuits.values", "the three columns have unequal or no length"), ExitCode.NUMERICAL)
    if not all(np.isfinite(column).all() for column in columns):
        raise FaultError(Fault("circuits.values", "a value is NaN or infinite"), ExitCode.NUMERICAL)
    start = columns[2] if baseline == "ablated" else np.zeros_like(columns[0])
    top, bottom = columns[0] - start, columns[1] - start
    scale = float(np.abs(bottom).mean())
    if scale == 0.0:
        message = "the full and the ablated model have the same value on every prompt: nothing to recover"
        raise FaultError(Fault("circuits.no_effect", message), ExitCode.NUMERICAL)
    with np.errstate(divide="ignore", invalid="ignore"):
        percents = np.where(bottom == 0, np.nan, 100 * top / bottom)
    small = int((np.abs(bottom) < SMALL * scale).sum())
    value, interval, why = _aggregate(top, bottom, percents, aggregation, clusters, level, resamples, seed)
    return Recovered(value, interval, aggregation, baseline, percents, small, why)


def _aggregate(
    top: Array,
    bottom: Array,
    percents: Array,
    aggregation: Aggregation,
    clusters: list[str] | None,
    level: float,
    resamples: int,
    seed: int,
) -> tuple[float, Interval | None, str | None]:
    if aggregation == "mean_of_percents":
        usable = np.isfinite(percents)
        if not usable.all():
            missing = int((~usable).sum())
            why = f"{missing} prompts have a denominator of zero; the mean is over the other {int(usable.sum())}"
            return float(percents[usable].mean()), None, why
        interval = bootstrap_mean(percents, clusters=clusters, level=level, resamples=resamples, seed=seed)
        return float(percents.mean()), interval, None
    if bottom.sum() == 0:
        raise FaultError(Fault("circuits.no_effect", "the mean effect to recover is zero"), ExitCode.NUMERICAL)
    value = float(100 * top.sum() / bottom.sum())
    if abs(bottom.mean()) < SMALL * np.abs(bottom).mean():
        return value, None, "the mean effect is near zero: a ratio of means has no stable interval"
    try:
        interval = bootstrap_ratio(100 * top, bottom, clusters=clusters, level=level, resamples=resamples, seed=seed)
    except FaultError:
        return value, None, "the mean effect is zero on a resample"
    return value, interval, None
