"""The study ``circuits.card``: a circuit's faithfulness under every methodology, and which verdicts flip."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from pydantic import Field

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.faithfulness.card import Card, Values, make_card
from toulmin.circuits.methodology import Methodology, grid
from toulmin.circuits.pictures import draw_card, draw_circuit, draw_percents
from toulmin.circuits.studies.base import CircuitStudy, items_of
from toulmin.evidence import Items, Measure, Table, bootstrap_mean
from toulmin.patching.graph import Graph
from toulmin.studies import Cost, MeasureSpec, Run, Summary

METRICS = ("logit_diff", "prob_diff", "kl", "loss", "choice_accuracy")
_INDUCTION = {"subject": "embedded:induction-2l", "task": "induction", "method": "eap_ig"}
_TWO_NAME = {"subject": "embedded:story-4l", "task": "story.two_name", "method": "eap_ig", "size": 150}
_EXTREME = "an extreme over cells, each of which has its own interval in the table"


class FaithfulnessCard(CircuitStudy):
    """Every faithfulness number of one circuit: methodology x metric x aggregation x baseline, with intervals."""

    kind: ClassVar = "circuits.card"
    version: ClassVar = 1
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "recovered": MeasureSpec(
            "%", "higher", "percent of means of logit_diff, edges, resampled complement, from ablated"
        ),
        "kl": MeasureSpec("nats", "lower", "mean over prompts of KL(model || circuit), edges, resampled complement"),
        "lowest": MeasureSpec("%", "higher", "the smallest percentage on the card"),
        "highest": MeasureSpec("%", "neither", "the largest percentage on the card"),
        "spread": MeasureSpec("%", "lower", "largest less smallest percentage on the card"),
        "faithful_cells": MeasureSpec("1", "higher", "share of cells whose interval is above the threshold"),
        "unfaithful_cells": MeasureSpec("1", "lower", "share of cells whose interval is below the threshold"),
        "flips": MeasureSpec("1", "lower", "1 where some cells say faithful and others unfaithful"),
        "edges": MeasureSpec("1", "lower", "edges in the circuit"),
    }
    presets: ClassVar = {
        "tiny": {**_INDUCTION, "n": 8, "n_discover": 4, "size": 40, "resamples": 100, "metrics": ["logit_diff", "kl"]},
        "demo": {**_TWO_NAME, "n": 60, "n_discover": 24, "resamples": 500},
        "full": {**_TWO_NAME, "n": 400, "n_discover": 64},
    }

    metrics: tuple[str, ...] = METRICS
    threshold: float = 80.0  #: percent
    ceiling: float | None = None  #: percent
    resamples: int = Field(default=1000, ge=50)

    def cost(self) -> Cost:
        """A few hundred forward passes' worth for each hundred prompts."""
        return Cost(seconds=5 + 0.2 * self.n)

    def _grid(self) -> tuple[Methodology, ...]:
        return grid()

    def collect(self, run: Run) -> Items:
        """c_i, f_i, e_i of every methodology and metric on each prompt."""
        from toulmin.circuits.faithfulness.measure import card_values

        first, second = self.prepare(run)
        circuit, scores = self.find_circuit(first, run)
        columns: dict[str, np.ndarray] = {}
        for method in run.track(self._grid(), "methodologies"):
            for (_, metric), entry in card_values(circuit, second, [method], self.metrics).items():
                columns[f"full {metric}"] = entry.full
                columns[f"circuit {method} {metric}"] = entry.circuit
                columns[f"ablated {method} {metric}"] = entry.ablated
        arrays = {"edges": circuit.table.astype(np.int64), "graph": _graph_row(circuit.graph)}
        arrays |= {} if scores is None else {"scores": scores.values}
        return items_of(second.pairs, columns, arrays, run, circuit)

    def card(self, items: Items) -> Card:
        """The card of the items."""
        values = {
            (method, metric): Values(
                items[f"circuit {method} {metric}"], items[f"full {metric}"], items[f"ablated {method} {metric}"]
            )
            for method in self._grid()
            for metric in self.metrics
        }
        return make_card(
            values,
            threshold=self.threshold,
            ceiling=self.ceiling,
            clusters=items.clusters or items.units,
            resamples=self.resamples,
        )

    def summarise(self, items: Items) -> Summary:
        """The cells with their verdicts, what flips them, and the pictures."""
        card = self.card(items)
        circuit, scores = circuit_of(items)
        plain = card.find(Methodology(), "logit_diff", "percent_of_means", "ablated")
        clusters = None if items.clusters is None else list(items.clusters)
        kl = items[f"circuit {Methodology()} kl"]
        n, cells = items.n, len(card.cells)

        def percent(cell_value: float, better: str, **more: object) -> Measure:
            return Measure.model_validate({"value": cell_value, "unit": "%", "better": better, "n": n, **more})

        measures = {
            "recovered": percent(
                plain.value, "higher", interval=plain.interval,
                no_interval=None if plain.interval is not None else plain.why_no_interval,
            ),
            "kl": Measure(
                value=float(kl.mean()), unit="nats", better="lower", n=n,
                interval=bootstrap_mean(kl, clusters=clusters, resamples=self.resamples),
            ),
            "lowest": percent(card.lowest.value, "higher", no_interval=_EXTREME),
            "highest": percent(card.highest.value, "neither", no_interval=_EXTREME),
            "spread": percent(card.spread, "lower", no_interval=_EXTREME),
            "faithful_cells": _count(card.count("faithful") / cells, "higher", n, "a count of verdicts"),
            "unfaithful_cells": _count(card.count("unfaithful") / cells, "lower", n, "a count of verdicts"),
            "flips": _count(float(card.flips), "lower", n, "a comparison of verdicts"),
            "edges": _count(float(len(circuit)), "lower", n, "an exact count"),
        }  # fmt: skip
        figures = (draw_card(card), draw_circuit(circuit, scores), draw_percents(card))
        return Summary(measures, (table_of_cells(card), table_of_flips(card)), figures)


def _count(value: float, better: str, n: int, why: str) -> Measure:
    return Measure.model_validate({"value": value, "unit": "1", "better": better, "n": n, "no_interval": why})


def _graph_row(graph: Graph) -> np.ndarray:
    return np.array([graph.n_layers, graph.n_heads, graph.has_mlp, graph.parallel, graph.merged_qkv], dtype=np.int64)


def circuit_of(items: Items) -> tuple[Circuit, EdgeScores | None]:
    """The circuit and its scores as stored among the arrays of the items."""
    layers, heads, mlp, parallel, merged = (int(x) for x in items["graph"])
    graph = Graph(layers, heads, bool(mlp), bool(parallel), bool(merged))
    scores = EdgeScores(graph, items.arrays["scores"], "score") if "scores" in items.arrays else None
    return Circuit(graph, items["edges"]), scores


def table_of_cells(card: Card) -> Table:
    """Every cell: what was done, the percentage, its interval and verdict, and how many prompts have a small effect."""
    rows = tuple(
        (
            str(cell.methodology),
            cell.metric,
            cell.aggregation,
            cell.baseline,
            cell.value,
            None if cell.interval is None else cell.interval.low,
            None if cell.interval is None else cell.interval.high,
            cell.verdict,
            cell.small,
            cell.why_no_interval or "",
        )
        for cell in card.cells
    )
    columns = (
        "methodology", "metric", "aggregation", "baseline", "percent", "low", "high", "verdict", "small", "remark",
    )  # fmt: skip
    skipped = "; ".join(f"{name}: {why}" for name, why in card.skipped.items())
    caption = f"Threshold {card.threshold:g}%. small: prompts whose own effect is below 5% of the mean absolute effect."
    return Table(
        title="faithfulness card",
        columns=columns,
        rows=rows,
        caption=caption + (f" Skipped: {skipped}" if skipped else ""),
    )


def table_of_flips(card: Card) -> Table:
    """For each choice, pairs of cells that differ in it alone and say opposite things."""
    return Table(
        title="choices that flip the verdict",
        columns=("choice", "pairs of cells with opposite verdicts"),
        rows=tuple(card.flipped_by().items()),
        caption=f"{card.count('faithful')} cells say faithful, {card.count('unfaithful')} unfaithful, "
        f"{card.count('undecided')} are undecided.",
    )
