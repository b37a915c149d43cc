r"""The faithfulness card: one circuit, every number its faithfulness could have been.

Miller et al. 2024 find that the same circuit scores from below 0% to above 100% with the ablation methodology, the
metric and the way of averaging. The card evaluates the grid of methodology x metric x aggregation x baseline on the
same prompts, with a bootstrap interval over prompts in each cell, and says which verdicts flip for a threshold that
the user names.

A cell's verdict: ``"faithful"`` if its whole interval lies at or above the threshold (and at or below the ceiling, if
there is one), ``"unfaithful"`` if it lies wholly below (or above the ceiling), otherwise ``"undecided"``; a cell
without interval is undecided. The card *flips* when some cells say faithful and others unfaithful.

No torch here: :func:`make_card` works from per-prompt values, so that evidence can be derived again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.faithfulness.recovered import AGGREGATIONS, Aggregation, Baseline, recovered
from toulmin.circuits.methodology import Methodology
from toulmin.evidence import Interval
from toulmin.faults import ExitCode, Fault, FaultError

Array = NDArray[np.float64]
Verdict = Literal["faithful", "unfaithful", "undecided"]
#: metrics of which a single prompt's percentage has no meaning (0 or 1), and those the full model has at 0
WHOLE_ONLY = frozenset({"accuracy", "choice_accuracy"})
DISTANCES = frozenset({"kl", "max_change"})
#: metrics whose ratio to the full model's value is no share of anything: lower is better
ABLATED_ONLY = DISTANCES | {"loss"}


@dataclass(frozen=True)
class Cell:
    """One number of the card, with all that made it. ``percents`` has one entry a prompt."""

    methodology: Methodology
    metric: str
    aggregation: Aggregation
    baseline: Baseline
    value: float
    interval: Interval | None
    why_no_interval: str | None
    small: int
    percents: Array
    verdict: Verdict

    @property
    def name(self) -> str:
        """``edges/resample/noising logit_diff percent_of_means ablated``."""
        return f"{self.methodology} {self.metric} {self.aggregation} {self.baseline}"


@dataclass(frozen=True)
class Values:
    """Per-prompt values of one methodology and metric: circuit c_i, full model f_i, nothing kept e_i; ``[N]`` each."""

    circuit: Array
    full: Array
    ablated: Array


@dataclass(frozen=True)
class Card:
    """The cells, and the threshold (and ceiling) in percent that the verdicts are about.

    ``skipped`` names the cells that have no number, and why (the methodology destroys nothing to recover).
    """

    cells: tuple[Cell, ...]
    threshold: float
    ceiling: float | None
    n: int
    skipped: Mapping[str, str]

    @property
    def lowest(self) -> Cell:
        """The cell with the smallest number."""
        return min(self.cells, key=lambda cell: cell.value)

    @property
    def highest(self) -> Cell:
        """The cell with the largest number."""
        return max(self.cells, key=lambda cell: cell.value)

    @property
    def spread(self) -> float:
        """Largest minus smallest number, in percentage points: how far the methodology moves it."""
        return self.highest.value - self.lowest.value

    @property
    def flips(self) -> bool:
        """Whether some cells say faithful and others unfaithful."""
        return {"faithful", "unfaithful"} <= {cell.verdict for cell in self.cells}

    def count(self, verdict: Verdict) -> int:
        """How many cells give this verdict."""
        return sum(cell.verdict == verdict for cell in self.cells)

    def flipped_by(self) -> dict[str, int]:
        """For each choice (granularity, ablation, ...), pairs of cells that differ in it alone and disagree."""
        found: dict[str, int] = dict.fromkeys(_choices(self.cells[0]), 0)
        for i, one in enumerate(self.cells):
            for other in self.cells[i + 1 :]:
                if {one.verdict, other.verdict} == {"faithful", "unfaithful"}:
                    a, b = _choices(one), _choices(other)
                    differing = [key for key in found if a[key] != b[key]]
                    if len(differing) == 1:
                        found[differing[0]] += 1
        return found

    def find(self, methodology: Methodology, metric: str, aggregation: Aggregation, baseline: Baseline) -> Cell:
        """The cell of these choices.

        :raises FaultError: the card has no such cell; says why, if it was skipped.
        """
        wanted = f"{methodology} {metric} {aggregation} {baseline}"
        for cell in self.cells:
            if cell.name == wanted:
                return cell
        raise FaultError(Fault("circuits.cell", self.skipped.get(wanted, "the card has no such cell"), name=wanted))


def _choices(cell: Cell) -> dict[str, str]:
    method = cell.methodology
    return {
        "granularity": method.granularity,
        "ablation": method.ablation,
        "direction": method.direction,
        "positions": method.positions,
        "metric": cell.metric,
        "aggregation": cell.aggregation,
        "baseline": cell.baseline,
    }


def judge(interval: Interval | None, threshold: float, ceiling: float | None) -> Verdict:
    """What an interval says of a threshold (and ceiling), in percent."""
    if interval is None:
        return "undecided"
    top = float("inf") if ceiling is None else ceiling
    if interval.low >= threshold and interval.high <= top:
        return "faithful"
    return "unfaithful" if interval.high < threshold or interval.low > top else "undecided"


def make_card(
    values: Mapping[tuple[Methodology, str], Values],
    *,
    threshold: float = 80.0,
    ceiling: float | None = None,
    aggregations: Sequence[Aggregation] = AGGREGATIONS,
    baselines: Sequence[Baseline] = ("ablated", "zero"),
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> Card:
    """The card of per-prompt values.

    :param values: by methodology and metric. :param clusters: the unit of each prompt; units are resampled.
    :raises FaultError: no cell can be evaluated.
    """
    cells: list[Cell] = []
    skipped: dict[str, str] = {}
    labels = None if clusters is None or len(set(clusters)) == len(clusters) else list(clusters)
    for ((method, metric), entry), aggregation, baseline in product(values.items(), aggregations, baselines):
        if metric in WHOLE_ONLY and aggregation == "mean_of_percents":
            continue
        if metric in ABLATED_ONLY and baseline == "zero":
            continue
        try:
            found = recovered(
                entry.circuit, entry.full, entry.ablated, aggregation,
                baseline=baseline, clusters=labels, level=level, resamples=resamples, seed=seed,
            )  # fmt: skip
        except FaultError as error:
            if any(fault.code != "circuits.no_effect" for fault in error.faults):
                raise
            skipped[f"{method} {metric} {aggregation} {baseline}"] = error.faults[0].message
            continue
        verdict = judge(found.interval, threshold, ceiling)
        cells.append(
            Cell(
                method, metric, aggregation, baseline, found.value, found.interval,
                found.why_no_interval, found.small, found.percents, verdict,
            )
        )  # fmt: skip
    if not cells:
        raise FaultError(
            Fault("circuits.no_effect", "no cell of the card has an effect to recover"), ExitCode.NUMERICAL
        )
    n = len(next(iter(values.values())).circuit)
    return Card(tuple(cells), threshold, ceiling, n, skipped)
