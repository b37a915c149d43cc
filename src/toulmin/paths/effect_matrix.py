"""A matrix of effects with intervals over references. Pure NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from toulmin.evidence import Heatmap, Table
from toulmin.tasks import find_metric

RESAMPLES = 1000


@dataclass(frozen=True, eq=False)
class Matrix:
    """Effects ``per_pair`` [n, rows, columns], NaN where there is no cell, and the reference of each pair."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    per_pair: NDArray[np.float64]
    references: tuple[str, ...]
    measure: str
    axes: tuple[str, str] = ("", "")
    seed: int = 0

    @cached_property
    def per_reference(self) -> NDArray[np.float64]:
        """[u, rows, columns] the mean over the pairs of each reference."""
        names = {name: index for index, name in enumerate(dict.fromkeys(self.references))}
        number = np.array([names[name] for name in self.references])
        totals = np.zeros((len(names), *self.per_pair.shape[1:]))
        np.add.at(totals, number, self.per_pair)
        return totals / np.bincount(number)[:, None, None]

    @property
    def mean(self) -> NDArray[np.float64]:
        """[rows, columns] the mean over references."""
        return self.per_reference.mean(0)

    @cached_property
    def interval(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """95% percentile bootstrap over references, low and high, all cells from the same draws."""
        cells = self.per_reference
        n = len(cells)
        draws = np.random.default_rng(self.seed).multinomial(n, np.full(n, 1 / n), size=RESAMPLES) / n
        means = np.tensordot(draws, np.nan_to_num(cells), axes=1)
        low, high = np.quantile(means, [0.025, 0.975], axis=0)
        missing = np.isnan(self.mean)
        low[missing] = high[missing] = np.nan
        return low, high

    def strongest(self, count: int = 10) -> Table:
        """The cells of largest absolute mean."""
        low, high = self.interval
        order = np.argsort(-np.abs(np.nan_to_num(self.mean)), axis=None)[:count]
        found: list[tuple[str, str, float, float, float]] = []
        for place in order.tolist():
            r, c = divmod(place, len(self.columns))
            if not np.isnan(self.mean[r, c]):
                found.append(
                    (self.rows[r], self.columns[c], float(self.mean[r, c]), float(low[r, c]), float(high[r, c]))
                )
        return Table(
            title=f"{self.title}: strongest",
            columns=(self.axes[0] or "row", self.axes[1] or "column", "effect", "low", "high"),
            rows=tuple(found),
        )

    def heatmap(self) -> Heatmap:
        """The figure, with intervals."""
        low, high = self.interval
        unit = find_metric(self.measure).unit
        top = self.strongest(1).rows[0]
        return Heatmap(
            title=self.title,
            caption=f"Mean change ({self.measure}) over {len(self.per_reference)} references, "
            "95% percentile bootstrap over references.",
            alt=f"Strongest cell: {top[0]}, {top[1]}, {top[2]:.3g} {unit}.",
            x_labels=self.columns,
            y_labels=self.rows,
            values=_grid(self.mean),
            low=_grid(low),
            high=_grid(high),
            x_title=self.axes[1],
            y_title=self.axes[0],
            unit=unit,
            centre=0.0,
        )


def _grid(values: NDArray[np.float64]) -> tuple[tuple[float | None, ...], ...]:
    return tuple(tuple(None if np.isnan(cell) else float(cell) for cell in row) for row in values)
