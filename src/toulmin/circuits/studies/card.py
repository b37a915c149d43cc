"""The study ``circuits.card``: a circuit's faithfulness under every methodology, and which verdicts flip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.faithfulness.card import CARD_METRICS, Card, PromptValues, make_card
from toulmin.circuits.faithfulness.worst_case_search import WorstCaseSearch
from toulmin.circuits.methodology import Methodology, grid
from toulmin.circuits.pictures import draw_circuit
from toulmin.circuits.studies.base import CircuitStudy, Prepared, discovery_of, items_of
from toulmin.evidence import Items, Measure
from toulmin.studies import Cost, MeasureSpec, Run, Summary
from toulmin.tasks import find_metric

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

_TINY = {"subject": "embedded:induction-2l", "task": "induction", "method": {"name": "eap_ig", "size": 40}}
_TWO_NAME = {"subject": "embedded:story-4l", "task": "story.two_name", "method": {"name": "eap_ig", "size": 150}}
_EXTREME = "an extreme over rows, each of which has its own interval in the table"


class FaithfulnessCard(CircuitStudy):
    """Every faithfulness number of one circuit: methodology x metric x aggregation x baseline, with intervals."""

    kind: ClassVar = "circuits.card"
    version: ClassVar = 2
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "recovered": MeasureSpec(
            "%", "higher", "percent of means of logit_diff, edges, resampled complement, from ablated"
        ),
        "kl": MeasureSpec(
            "nats", "lower", "mean over prompts of KL(model || circuit), edges, resampled complement", 0.0
        ),
        "lowest": MeasureSpec("%", "higher", "the smallest percentage on the card"),
        "highest": MeasureSpec("%", "neither", "the largest percentage on the card"),
        "spread": MeasureSpec("%", "lower", "largest less smallest percentage on the card", 0.0),
        "faithful_rows": MeasureSpec("1", "higher", "share of rows whose interval is above the threshold", 0.0, 1.0),
        "unfaithful_rows": MeasureSpec("1", "lower", "share of rows whose interval is below the threshold", 0.0, 1.0),
        "flips": MeasureSpec("1", "lower", "1 where some rows say faithful and others unfaithful", 0.0, 1.0),
        "edges": MeasureSpec("1", "lower", "edges in the circuit", 0.0),
    }
    worst_measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "worst_case": MeasureSpec(
            "%", "higher", "recovered where the worst set of outside edges found is cut, instead of all of them"
        ),
    }
    presets: ClassVar = {
        "tiny": {**_TINY, "n": 8, "n_discover": 4, "resamples": 100, "metrics": ["logit_diff", "kl"]},
        "demo": {**_TWO_NAME, "n": 60, "n_discover": 24, "resamples": 500},
        "full": {**_TWO_NAME, "n": 400, "n_discover": 64},
    }

    metrics: tuple[str, ...] = CARD_METRICS
    threshold: float = 80.0  #: percent
    ceiling: float | None = None  #: percent
    resamples: int = Field(default=1000, ge=50)
    worst_case: WorstCaseSearch | None = None  #: also the worst case, searched with this budget; a table of settings

    @model_validator(mode="after")
    def _measured(self) -> Self:
        missing = {"logit_diff", "kl"} - set(self.metrics)
        if missing:
            raise ValueError(f"metrics must include {' and '.join(sorted(missing))}: measures are made of them")
        return self

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """The card's measures, and that of the worst case where it is searched for."""
        return {**self.measures, **(self.worst_measures if self.worst_case is not None else {})}

    def cost(self) -> Cost:
        """A few hundred forward passes' worth for each hundred prompts."""
        return Cost(seconds=5 + 0.2 * self.n)

    def collect(self, run: Run) -> Items:
        """c_i, f_i, e_i of every methodology and metric on each prompt."""
        return self.card_items(self.prepare(run), run)

    def card_items(self, prepared: Prepared, run: Run) -> Items:
        """The same, where the circuit has been found."""
        from toulmin.circuits.faithfulness.card import card_values

        circuit, methodologies = prepared.found.circuit, methodologies_of(prepared.found.circuit)
        columns: dict[str, np.ndarray] = {}
        with run.progress.task("methodologies", len(methodologies)) as advance:
            values = card_values(prepared.measuring, circuit, methodologies, self.metrics, progress=advance)
        for (method, metric), entry in values.items():
            columns[f"full {metric}"] = entry.full
            columns[f"circuit {method} {metric}"] = entry.circuit
            columns[f"ablated {method} {metric}"] = entry.ablated
        arrays: dict[str, np.ndarray] = {}
        if self.worst_case is not None:
            from toulmin.circuits.faithfulness.worst_case import worst_values

            worst, removed = worst_values(prepared.measuring, circuit, self.worst_case)
            columns |= {"worst circuit": worst.circuit, "worst full": worst.full, "worst ablated": worst.ablated}
            arrays["worst_removed"] = removed.table.astype(np.int64)
        return items_of(prepared.measuring.pairs, columns, arrays, run, prepared.found, prepared.about)

    def measuring_passes(self, discovering: CircuitRunner, measuring: CircuitRunner) -> float:
        """Half a pass for each run of the card; the gradients and runs of the search for the worst case."""
        card = 0.5 * len(methodologies_of(Circuit.full(measuring.graph))) * measuring.n
        return card + (0.0 if self.worst_case is None else self.worst_case.passes * measuring.n)

    def card(self, items: Items) -> Card:
        """The card of the items, each clean prompt once."""
        items = items.distinct()
        values = {
            (method, metric): PromptValues(
                items[f"circuit {method} {metric}"],
                items[f"full {metric}"],
                items[f"ablated {method} {metric}"],
                shares=find_metric(metric).shares,
                from_zero=find_metric(metric).better == "higher",
            )
            for method in methodologies_of(discovery_of(items).circuit)
            for metric in self.metrics
        }
        worst = None
        if self.worst_case is not None:
            worst = PromptValues(items["worst circuit"], items["worst full"], items["worst ablated"])
        return make_card(
            values,
            threshold=self.threshold,
            ceiling=self.ceiling,
            clusters=items.clusters or items.units,
            resamples=self.resamples,
            worst=worst,
            budget=self.worst_case.budget if self.worst_case is not None else "",
        )

    def summarise(self, items: Items) -> Summary:
        """The rows with their verdicts, what flips them, and the figures."""
        card = self.card(items)
        found = discovery_of(items)
        plain = card.find(Methodology(), "logit_diff", "percent_of_means", "ablated")
        kl = items[f"circuit {Methodology()} kl"]
        rows, units = len(card.rows), {"n": items.n, "n_of": self.resampled(items)}

        def percent(cell_value: float, better: str, **more: object) -> Measure:
            return Measure.model_validate({"value": cell_value, "unit": "%", "better": better, **units, **more})

        def count(value: float, better: str, why: str) -> Measure:
            return Measure.model_validate({"value": value, "unit": "1", "better": better, "no_interval": why, **units})

        measures = {
            "recovered": percent(
                plain.value, "higher", interval=plain.interval,
                no_interval=None if plain.interval is not None else plain.why_no_interval,
            ),
            "kl": self.measure("kl", kl, items),
            "lowest": percent(card.lowest.value, "higher", no_interval=_EXTREME),
            "highest": percent(card.highest.value, "neither", no_interval=_EXTREME),
            "spread": percent(card.spread, "lower", no_interval=_EXTREME),
            "faithful_rows": count(card.count("faithful") / rows, "higher", "a count of verdicts"),
            "unfaithful_rows": count(card.count("unfaithful") / rows, "lower", "a count of verdicts"),
            "flips": count(float(card.flips), "lower", "a comparison of verdicts"),
            "edges": count(float(len(found.circuit)), "lower", "an exact count"),
        }  # fmt: skip
        if card.worst is not None:
            interval = card.worst.interval
            measures["worst_case"] = percent(
                card.worst.value, "higher", interval=interval,
                no_interval=None if interval is not None else card.worst.why_no_interval,
            )  # fmt: skip
        figures = (*card.figures(), draw_circuit(found.circuit, found.scores))
        return Summary(measures, card.tables(), figures)


def methodologies_of(circuit: Circuit) -> tuple[Methodology, ...]:
    """The methodologies that a card of the circuit compares; with positions, also all of them kept at every one."""
    return grid(all_positions=circuit.positions is not None)
