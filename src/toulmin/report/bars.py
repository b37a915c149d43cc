"""Draws a measure, its interval and the threshold as a small bar beside the number."""

from __future__ import annotations

from dataclasses import dataclass

from toulmin.case import Comparison
from toulmin.evidence import Measure

_WIDTH = 160.0


@dataclass(frozen=True)
class Bar:
    """Positions in a strip 160 wide; ``threshold`` and ``zero`` where they lie within it."""

    low: float
    high: float
    value: float
    threshold: float | None = None
    zero: float | None = None


def bar(value: float, low: float, high: float, threshold: float | None = None) -> Bar:
    """The strip runs from 0 to 1 if everything lies there, else around what there is, with a little air."""
    given = [value, low, high, *([threshold] if threshold is not None else [])]
    start, end = min(0.0, *given), max(given)
    if start >= 0 and end <= 1:
        start, end = 0.0, 1.0
    else:
        air = (end - start or 1.0) * 0.06
        start, end = start - (air if start < 0 else 0.0), end + air

    def at(x: float) -> float:
        return round(3 + (x - start) / (end - start) * (_WIDTH - 6), 1)

    return Bar(
        at(low), at(high), at(value), None if threshold is None else at(threshold), at(0.0) if start < 0 else None
    )


def measure_bar(measure: Measure) -> Bar | None:
    """The strip of a measure, where it has an interval."""
    return bar(measure.value, measure.interval.low, measure.interval.high) if measure.interval else None


def comparison_bar(comparison: Comparison) -> Bar | None:
    """The strip of a comparison with its threshold, where the evidence had an interval."""
    if comparison.value is None or comparison.low is None or comparison.high is None:
        return None
    return bar(comparison.value, comparison.low, comparison.high, threshold_of(comparison))


def threshold_of(comparison: Comparison) -> float | None:
    """Where a comparison's threshold stands on the scale of its measure; None for one of a count."""
    return None if comparison.bound in ("n", "seeds") else comparison.threshold
