"""Charts as data: a Vega-Lite specification with its rows inside, and constructors for the common shapes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from pydantic import JsonValue, model_validator

from toulmin.evidence import chart_specs
from toulmin.evidence.figure_base import FigureBase

if TYPE_CHECKING:
    from toulmin.evidence.record import Measure

Numbers: TypeAlias = "Sequence[float] | Any"  #: a sequence of numbers or a one-dimensional array


def _walk(value: JsonValue, key: str = "") -> Iterator[tuple[str, JsonValue]]:
    yield key, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, key)


class Chart(FigureBase):
    """A Vega-Lite specification with its data inside.

    ``spec`` names no colours of its own: the renderer supplies the theme. Data are lists of rows under ``values`` (or
    ``datasets``). The class methods build the common shapes.

    :raises pydantic.ValidationError: a number is NaN or infinite, there are no rows, or the specification refers to
        anything outside itself (``url``, ``href``).
    """

    kind: Literal["chart"] = "chart"
    spec: dict[str, JsonValue]

    @model_validator(mode="after")
    def _check(self) -> Chart:
        for key, value in _walk(self.spec):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"a number under {key!r} is not finite")
            if key in ("url", "href"):
                raise ValueError(f"{key!r} is not allowed: a chart carries its own data")
        if not self.rows():
            raise ValueError("the chart has no data: give rows under data.values")
        return self

    def rows(self) -> list[dict[str, JsonValue]]:
        """Every row of data in the chart, in order."""
        found: list[dict[str, JsonValue]] = []
        for key, value in _walk(self.spec):
            lists = (
                [value]
                if key == "values"
                else list(value.values())
                if key == "datasets" and isinstance(value, dict)
                else []
            )
            for rows in lists:
                if isinstance(rows, list):
                    found += [row for row in rows if isinstance(row, dict)]
        return found

    @classmethod
    def points_with_intervals(
        cls,
        labels: Sequence[str],
        values: Numbers,
        lows: Numbers,
        highs: Numbers,
        *,
        title: str,
        unit: str = "",
        groups: Sequence[str] | None = None,
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """A row for each label: its value a point, its interval [low, high] a line; a threshold is a rule."""
        rows = chart_specs.rows(label=labels, value=values, low=lows, high=highs, group=groups)
        return cls(title=title, caption=caption, alt=alt, spec=chart_specs.points(rows, unit, threshold))

    @classmethod
    def of_measures(
        cls,
        measures: Mapping[str, Measure],
        *,
        title: str,
        unit: str = "",
        threshold: float | None = None,
        caption: str = "",
    ) -> Chart:
        """:meth:`points_with_intervals` of measures by label; one without an interval is a point without a line."""
        found = measures.values()
        low, high = ([m.ends[side] for m in found] for side in (0, 1))
        rows = chart_specs.rows(label=list(measures), value=[m.value for m in found], low=low, high=high)
        alt = ", ".join(f"{label} {m.value:.2f}" for label, m in measures.items())
        return cls(title=title, caption=caption, alt=alt, spec=chart_specs.points(rows, unit, threshold))

    @classmethod
    def ladder(
        cls,
        rungs: Sequence[str],
        values: Numbers,
        lows: Numbers,
        highs: Numbers,
        *,
        title: str,
        unit: str = "",
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Ordered steps (growing hypotheses, search budgets) joined by a line, each with its interval."""
        rows = chart_specs.rows(rung=rungs, value=values, low=lows, high=highs)
        return cls(title=title, caption=caption, alt=alt, spec=chart_specs.ladder(rows, unit, threshold))

    @classmethod
    def curves(
        cls,
        series: Mapping[str, tuple[Numbers, Numbers] | tuple[Numbers, Numbers, Numbers, Numbers]],
        *,
        title: str,
        x: str = "x",
        y: str = "y",
        log_x: bool = False,
        log_y: bool = False,
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Lines: name -> (x, y) or (x, y, low, high), the interval drawn as a band. ``x``, ``y`` are axis titles."""
        rows: list[dict[str, JsonValue]] = []
        for name, columns in series.items():
            named = dict(zip(("x", "y", "low", "high"), columns, strict=False))
            rows += [{"series": name, **row} for row in chart_specs.rows(**named)]
        spec = chart_specs.curves(rows, x, y, log_x=log_x, log_y=log_y, threshold=threshold)
        return cls(title=title, caption=caption, alt=alt, spec=spec)

    @classmethod
    def histogram(
        cls,
        values: Numbers | Mapping[str, Numbers],
        *,
        title: str,
        unit: str = "",
        bins: int = 30,
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Counts of values (or of several named groups over common bins); binned here, so the figure stays small."""
        groups = cast("Mapping[str, Numbers]", values) if isinstance(values, Mapping) else {"": values}
        rows = chart_specs.binned(groups, bins)
        return cls(title=title, caption=caption, alt=alt, spec=chart_specs.histogram(rows, unit, threshold))

    @classmethod
    def scatter(
        cls,
        x_values: Numbers,
        y_values: Numbers,
        *,
        title: str,
        x: str = "x",
        y: str = "y",
        groups: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        log_x: bool = False,
        log_y: bool = False,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Points, optionally coloured by group and named by label."""
        rows = chart_specs.rows(x=x_values, y=y_values, group=groups, label=labels)
        spec = chart_specs.scatter(rows, x, y, log_x=log_x, log_y=log_y)
        return cls(title=title, caption=caption, alt=alt, spec=spec)
