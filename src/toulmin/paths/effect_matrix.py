"""A matrix of effects with intervals over clean prompts. Pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from toulmin.evidence import Figure, Heatmap, Table, TabularResult, average_by_unit, why_no_bootstrap

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Matrix(TabularResult):
    """Effects ``per_pair`` [n, rows, columns], NaN where there is no cell, and the clean prompt (unit) of each pair.

    ``metric`` and ``unit`` name what was measured; ``axes`` the rows and the columns. Prints as the table of its
    strongest cells; :meth:`heatmap` is the figure.
    """

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    per_pair: NDArray[np.float64]
    units: tuple[str, ...]
    metric: str
    unit: str
    axes: tuple[str, str] = ("", "")
    seed: int = 0

    @cached_property
    def per_prompt(self) -> NDArray[np.float64]:
        """[u, rows, columns] the mean over the pairs of each clean prompt."""
        return average_by_unit(self.units, {"effect": self.per_pair})[1]["effect"]

    @property
    def mean(self) -> NDArray[np.float64]:
        """[rows, columns] the mean over clean prompts."""
        return self.per_prompt.mean(0)

    @cached_property
    def interval(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """95% percentile bootstrap over clean prompts, low and high, all cells from the same draws.

        Of fewer than ten prompts it says too little: tables and figures then leave it out, and say so.
        """
        cells = self.per_prompt
        n = len(cells)
        draws = np.random.default_rng(self.seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
        means = np.tensordot(draws, np.nan_to_num(cells), axes=1)
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        missing = np.isnan(self.mean)
        low[missing] = high[missing] = np.nan
        return low, high

    def strongest(self, count: int = 10) -> Table:
        """The cells of largest absolute mean."""
        reason = why_no_bootstrap(len(self.per_prompt), alike=False)
        order = np.argsort(-np.abs(np.nan_to_num(self.mean)), axis=None)[:count]
        found: list[tuple[str | float | None, ...]] = []
        for place in order.tolist():
            r, c = divmod(place, len(self.columns))
            if not np.isnan(self.mean[r, c]):
                ends = (None, None) if reason else tuple(float(end[r, c]) for end in self.interval)
                found.append((self.rows[r], self.columns[c], float(self.mean[r, c]), *ends))
        return Table(
            title=f"{self.title}: strongest",
            columns=(self.axes[0] or "row", self.axes[1] or "column", "effect", "low", "high"),
            rows=tuple(found),
            caption=f"Mean change of {self.metric} ({self.unit}) over {len(self.per_prompt)} clean prompts, "
            + (f"no intervals: {reason}." if reason else "95% percentile bootstrap over clean prompts."),
        )

    def tables(self) -> tuple[Table, ...]:
        """The strongest cells."""
        return (self.strongest(),)

    def figures(self) -> tuple[Figure, ...]:
        """The heatmap."""
        return (self.heatmap(),)

    def heatmap(self) -> Heatmap:
        """The whole matrix as a figure, with intervals where there are prompts enough."""
        few = why_no_bootstrap(len(self.per_prompt), alike=False) is not None
        low, high = (None, None) if few else (_grid(end) for end in self.interval)
        top = self.strongest(1)
        row, column, effect = top.rows[0][:3]
        return Heatmap(
            title=self.title,
            caption=top.caption,
            alt=f"Strongest cell: {row}, {column}, {effect:.3g} {self.unit}.",
            x_labels=self.columns,
            y_labels=self.rows,
            values=_grid(self.mean),
            low=low,
            high=high,
            x_title=self.axes[1],
            y_title=self.axes[0],
            unit=self.unit,
            centre=0.0,
        )


def _grid(values: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if np.isnan(cell) else float(cell) for cell in row) for row in values)
