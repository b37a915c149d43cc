r"""The faithfulness card: one circuit, every number its faithfulness could have been.

Miller et al. 2024 find that the same circuit scores from below 0% to above 100% with the ablation methodology, the
metric and the way of averaging. The card evaluates methodology x metric x aggregation x baseline on the same prompts,
one row for each combination, with a bootstrap interval over prompts, and says which verdicts flip for a threshold that
the user names.

A row's verdict: ``"faithful"`` if its whole interval lies at or above the threshold (and at or below the ceiling, if
there is one), ``"unfaithful"`` if it lies wholly below (or above the ceiling), otherwise ``"undecided"``; a row without
interval is undecided. The card *flips* when some rows say faithful and others unfaithful.

:func:`faithfulness_card` runs the model; :func:`make_card` works from per-prompt values, so that evidence can be
derived again without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.checks import check_runner
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.faithfulness.recovered import AGGREGATIONS, Aggregation, Baseline, PromptValues, recovered
from toulmin.circuits.faithfulness.worst_case_search import WorstCaseSearch
from toulmin.circuits.methodology import Methodology, grid
from toulmin.circuits.pictures import draw_card, draw_percents, round_percent
from toulmin.evidence import Figure, Interval, Table, TabularResult, format_number
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks import MetricLike, find_metric

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

Array = NDArray[np.float64]
Verdict = Literal["faithful", "unfaithful", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("faithful", "undecided", "unfaithful")
CARD_METRICS = ("logit_diff", "prob_diff", "kl", "loss", "choice_accuracy")


@dataclass(frozen=True)
class CardRow:
    """One faithfulness number, with all that made it. ``percents`` has one entry a prompt."""

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

    def __str__(self) -> str:
        ends = ""
        if self.interval is not None:
            low, high = (format_number(round_percent(end)) for end in (self.interval.low, self.interval.high))
            ends = f" [{low}, {high}]"
        return f"{format_number(round_percent(self.value))}%{ends}, {self.verdict}: {self.name}"


@dataclass(frozen=True)
class Card(TabularResult):
    """Every row, and the threshold (and ceiling) in percent that the verdicts are about.

    ``skipped`` names the combinations that have no number, and why (the methodology destroys nothing to recover).
    ``worst``: the row of the worst case, if it was searched for, with the ``budget`` of the search: not everything
    outside of the circuit is cut, but the set of outside edges, of those tried, for which the result is worst.
    """

    rows: tuple[CardRow, ...]
    threshold: float
    ceiling: float | None
    n: int
    skipped: Mapping[str, str]
    worst: CardRow | None = None
    budget: str = ""

    @property
    def lowest(self) -> CardRow:
        """The row with the smallest number."""
        return min(self.rows, key=lambda row: row.value)

    @property
    def highest(self) -> CardRow:
        """The row with the largest number."""
        return max(self.rows, key=lambda row: row.value)

    @property
    def spread(self) -> float:
        """Largest minus smallest number, in percentage points: how far the methodology moves it."""
        return self.highest.value - self.lowest.value

    @property
    def flips(self) -> bool:
        """Whether some rows say faithful and others unfaithful."""
        return {"faithful", "unfaithful"} <= {row.verdict for row in self.rows}

    def count(self, verdict: Verdict) -> int:
        """How many rows give this verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def flipped_by(self) -> dict[str, int]:
        """For each choice (granularity, ablation, ...), pairs of rows that differ in it alone and disagree."""
        found: dict[str, int] = dict.fromkeys(_choices(self.rows[0]), 0)
        decided = [(row.verdict, _choices(row)) for row in self.rows if row.verdict != "undecided"]
        for i, (verdict, a) in enumerate(decided):
            for other, b in decided[i + 1 :]:
                if verdict != other:
                    differing = [key for key in found if a[key] != b[key]]
                    if len(differing) == 1:
                        found[differing[0]] += 1
        return found

    def find(self, methodology: Methodology, metric: str, aggregation: Aggregation, baseline: Baseline) -> CardRow:
        """The row of these choices.

        :raises FaultError: the card has no such row; says why, if it was skipped.
        """
        wanted = f"{methodology} {metric} {aggregation} {baseline}"
        for row in self.rows:
            if row.name == wanted:
                return row
        raise FaultError(Fault("circuits.card_row", self.skipped.get(wanted, "the card has no such row"), name=wanted))

    def overview(self) -> tuple[Table, ...]:
        """One line a methodology, the choices that flip the verdict, and the worst case if it was searched for."""
        worst = () if self.worst is None else (self.table_of_worst(self.worst),)
        return (self.table_of_methodologies(), self.table_of_flips(), *worst)

    def tables(self) -> tuple[Table, ...]:
        """The overview, and every row."""
        return (*self.overview(), self.table_of_rows())

    def figures(self) -> tuple[Figure, ...]:
        """The card as a heatmap, and how the per-prompt percentages spread."""
        return (draw_card(self), draw_percents(self))

    def table_of_methodologies(self) -> Table:
        """For each methodology: the lowest and highest percentage over its rows, and how many rows say what."""
        groups: dict[str, list[CardRow]] = {}
        for row in self.rows:
            groups.setdefault(str(row.methodology), []).append(row)
        lines = tuple(
            (
                name,
                round_percent(min(row.value for row in rows)),
                round_percent(max(row.value for row in rows)),
                *(sum(row.verdict == verdict for row in rows) for verdict in VERDICTS),
            )
            for name, rows in groups.items()
        )
        return Table(
            title=f"faithfulness card, {self.n} prompts",
            columns=("methodology", "lowest %", "highest %", *VERDICTS),
            rows=lines,
            caption=f"Lowest: {self.lowest}. Highest: {self.highest}. {self._threshold()}",
        )

    def table_of_worst(self, row: CardRow) -> Table:
        """The worst case beside the average case of the same methodology, metric and aggregation."""
        average = self.find(row.methodology, row.metric, row.aggregation, row.baseline)
        lines = tuple(
            (
                name,
                one.value,
                None if one.interval is None else one.interval.low,
                None if one.interval is None else one.interval.high,
                one.verdict,
            )
            for name, one in (("everything outside", average), ("the worst set found", row))
        )
        caption = f"{row.name}. Search: {self.budget}. One set for all prompts, chosen on them; a worse one may exist."
        columns = ("edges cut", "percent", "low", "high", "verdict")
        return Table(title="worst case", columns=columns, rows=lines, caption=caption)

    def table_of_rows(self) -> Table:
        """Every row: what was done, the percentage, its interval and verdict, how many prompts have a small effect."""
        lines = tuple(
            (
                str(row.methodology),
                row.metric,
                row.aggregation,
                row.baseline,
                row.value,
                None if row.interval is None else row.interval.low,
                None if row.interval is None else row.interval.high,
                row.verdict,
                row.small,
                row.why_no_interval or "",
            )
            for row in self.rows
        )
        columns = (
            "methodology", "metric", "aggregation", "baseline", "percent", "low", "high", "verdict", "small", "remark",
        )  # fmt: skip
        small = "small: prompts whose own effect is below 5% of the mean absolute effect."
        skipped = "; ".join(f"{name}: {why}" for name, why in self.skipped.items())
        return Table(
            title="every faithfulness number",
            columns=columns,
            rows=lines,
            caption=f"{self._threshold()} {small}" + (f" Skipped: {skipped}" if skipped else ""),
        )

    def table_of_flips(self) -> Table:
        """For each choice, pairs of rows that differ in it alone and say opposite things."""
        counts = ", ".join(f"{self.count(verdict)} {verdict}" for verdict in VERDICTS)
        return Table(
            title="choices that flip the verdict",
            columns=("choice", "pairs of rows with opposite verdicts"),
            rows=tuple(self.flipped_by().items()),
            caption=f"Of {len(self.rows)} rows: {counts}.",
        )

    def _threshold(self) -> str:
        above = "" if self.ceiling is None else f", ceiling {self.ceiling:g}%"
        return f"Threshold {self.threshold:g}%{above}."


def _choices(row: CardRow) -> dict[str, str]:
    method = row.methodology
    return {
        "granularity": method.granularity,
        "ablation": method.ablation,
        "direction": method.direction,
        "positions": method.positions,
        "ablate": method.ablate,
        "metric": row.metric,
        "aggregation": row.aggregation,
        "baseline": row.baseline,
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
    values: Mapping[tuple[Methodology, str], PromptValues],
    *,
    threshold: float = 80.0,
    ceiling: float | None = None,
    aggregations: Sequence[Aggregation] = AGGREGATIONS,
    baselines: Sequence[Baseline] = ("ablated", "zero"),
    clusters: Sequence[str] | None = None,
    level: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
    worst: PromptValues | None = None,
    budget: str = "",
) -> Card:
    """The card of per-prompt values.

    :param worst: the logit difference of each prompt where the worst set found is cut, found with ``budget``.

    :param values: by methodology and name of the metric. :param clusters: the unit of each prompt; units are resampled.
    :raises FaultError: no row can be evaluated.
    """
    rows: list[CardRow] = []
    skipped: dict[str, str] = {}
    labels = None if clusters is None or len(set(clusters)) == len(clusters) else list(clusters)
    for ((method, metric), entry), aggregation, baseline in product(values.items(), aggregations, baselines):
        if aggregation == "mean_of_percents" and not entry.shares:
            continue
        if baseline == "zero" and not entry.from_zero:
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
        rows.append(
            CardRow(
                method, metric, aggregation, baseline, found.value, found.interval,
                found.why_no_interval, found.small, found.percents, verdict,
            )
        )  # fmt: skip
    if not rows:
        message = "no row of the card has an effect to recover"
        raise FaultError(Fault("circuits.no_effect", message), ExitCode.NUMERICAL)
    n = len(next(iter(values.values())).circuit)
    row = None
    if worst is not None:
        found = recovered(
            worst.circuit, worst.full, worst.ablated, "percent_of_means",
            clusters=labels, level=level, resamples=resamples, seed=seed,
        )  # fmt: skip
        row = CardRow(
            Methodology(), "logit_diff", "percent_of_means", "ablated", found.value, found.interval,
            found.why_no_interval, found.small, found.percents, judge(found.interval, threshold, ceiling),
        )  # fmt: skip
    return Card(tuple(rows), threshold, ceiling, n, skipped, row, budget)


def card_values(
    runner: CircuitRunner,
    circuit: Circuit,
    methodologies: Sequence[Methodology] | None = None,
    metrics: Sequence[MetricLike] = CARD_METRICS,
    *,
    progress: Callable[[int], None] | None = None,
) -> dict[tuple[Methodology, str], PromptValues]:
    """c_i, f_i and e_i of every methodology and metric.

    Methodologies that ablate with the same value in the same direction are one batch, in which each distinct set of
    kept edges, the empty one included, is run once: 31 circuits for the 23 methodologies of :func:`grid`.

    :param progress: called with the number of methodologies done.
    :raises FaultError: unknown metrics, metrics the prompts have no wrong answers for, NaN, another model's circuit.
    """
    check_runner(runner)
    wanted = [find_metric(metric) for metric in metrics]
    full, causal = runner.full_scores(wanted), runner.model.config.causal
    chosen = methodologies or grid(all_positions=circuit.positions is not None)
    groups: dict[Methodology, list[Methodology]] = {}
    for method in chosen:
        groups.setdefault(Methodology(ablation=method.ablation, direction=method.direction), []).append(method)
    found: dict[tuple[Methodology, str], PromptValues] = {}
    for plain, methods in groups.items():
        kept = [_narrowed(method.kept(circuit, causal=causal)) for method in methods]
        places = {edges: place for place, edges in enumerate(dict.fromkeys([Circuit.empty(circuit.graph), *kept]))}
        scores = runner.scores(list(places), plain, wanted)
        for (method, edges), metric in product(zip(methods, kept, strict=True), wanted):
            values = scores[metric.name]
            higher = metric.better == "higher"
            found[method, metric.name] = PromptValues(
                values[places[edges]], full[metric.name], values[0], shares=metric.shares, from_zero=higher
            )
        if progress is not None:
            progress(len(methods))
    return {(method, metric.name): found[method, metric.name] for method in chosen for metric in wanted}


def _narrowed(circuit: Circuit) -> Circuit:
    """The same edges without positions, if they are the same at every position."""
    table = circuit.table
    return circuit.without_positions() if table.ndim == 3 and (table == table[:, :, :1]).all() else circuit


def faithfulness_card(
    runner: CircuitRunner,
    circuit: Circuit,
    *,
    methodologies: Sequence[Methodology] | None = None,
    metrics: Sequence[MetricLike] = CARD_METRICS,
    threshold: float = 80.0,
    ceiling: float | None = None,
    seed: int = 0,
    resamples: int = 1000,
    worst_case: WorstCaseSearch | None = None,
) -> Card:
    """Every faithfulness number of ``circuit`` on the runner's prompts: methodology x metric x aggregation x baseline.

    :param methodologies: default :func:`~toulmin.circuits.methodology.grid`; of a circuit whose edges have positions,
        each also with its edges kept at every position.
    :param metrics: names of the catalogue, or metrics of your own.
    :param threshold: percent from which a row counts as faithful; ``ceiling``: percent above which it does not.
    :param worst_case: also search for the worst set of outside edges (metric ``logit_diff``, resampled). It costs as
        many gradients of all masks as it has steps, each about that of a dense run of every receiver.
    :raises FaultError: unknown metrics, NaN, a circuit of another model; ``circuits.worst``.
    """
    values, worst = card_values(runner, circuit, methodologies, metrics), None
    if worst_case is not None:
        from toulmin.circuits.faithfulness.worst_case import worst_values

        worst = worst_values(runner, circuit, worst_case)[0]
    return make_card(
        values, threshold=threshold, ceiling=ceiling, clusters=runner.units, seed=seed, resamples=resamples,
        worst=worst, budget=worst_case.budget if worst_case is not None else "",
    )  # fmt: skip
