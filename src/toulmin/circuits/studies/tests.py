"""The study ``circuits.tests``: is it a circuit? The hypothesis tests of Shi et al. 2024."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field

from toulmin.circuits.faithfulness.hypothesis_tests import (
    TestResult,
    adjust,
    equivalence,
    independence,
    minimality,
    partial_necessity,
    sufficiency,
)
from toulmin.circuits.pictures import draw_circuit
from toulmin.circuits.studies.base import CircuitStudy, items_of
from toulmin.circuits.studies.card import circuit_of
from toulmin.evidence import Chart, Items, Measure, Table, wilson
from toulmin.studies import Cost, MeasureSpec, Run, Summary

_INDUCTION = {"subject": "embedded:induction-2l", "task": "induction", "method": "eap_ig"}


class CircuitTests(CircuitStudy):
    """Equivalence, independence, minimality, sufficiency and partial necessity of a circuit."""

    kind: ClassVar = "circuits.tests"
    version: ClassVar = 1
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "beats_model": MeasureSpec(
            "1", "neither", "share of prompts on which the circuit beats the model; 1/2 is equivalent"
        ),
        "equivalence_p": MeasureSpec("1", "higher", "p of 'circuit and model are equivalent', within epsilon"),
        "independence_p": MeasureSpec("1", "higher", "p of 'the knocked-out model is independent of the model' (HSIC)"),
        "minimal_edges": MeasureSpec(
            "1", "higher", "share of edges that matter more than random additions, after correction"
        ),
        "beats_random": MeasureSpec("1", "higher", "share of random circuits of its size that are less faithful (KL)"),
        "sufficiency_p": MeasureSpec("1", "lower", "p of 'at most a share of random circuits are less faithful'"),
        "necessity": MeasureSpec("1", "higher", "share of random knock-outs that hurt less than its own"),
        "necessity_p": MeasureSpec("1", "lower", "p of 'at most a share of random knock-outs hurt less'"),
        "passed": MeasureSpec("1", "higher", "how many of the four single tests speak for the circuit"),
    }
    presets: ClassVar = {
        "tiny": {**_INDUCTION, "n": 12, "n_discover": 4, "size": 12, "randoms": 20},
        "demo": {**_INDUCTION, "n": 60, "n_discover": 24, "size": 60, "randoms": 60},
        "full": {**_INDUCTION, "n": 200, "n_discover": 64, "size": 60, "randoms": 200},
    }

    randoms: int = Field(default=100, ge=10)  #: random circuits, additions and knock-outs
    alpha: float = Field(default=0.05, gt=0, lt=1)
    epsilon: float = Field(default=0.1, ge=0, lt=0.5)  #: of equivalence
    share: float = Field(default=0.9, gt=0, lt=1)  #: of sufficiency and partial necessity
    correction: Literal["bonferroni", "holm", "benjamini-hochberg"] = "holm"

    def cost(self) -> Cost:
        """About three hundred circuits for a hundred random ones."""
        return Cost(seconds=5 + 0.002 * self.n * self.randoms)

    def collect(self, run: Run) -> Items:
        """Per-prompt metrics of circuit, model and complement; distances of the random circuits."""
        from toulmin.circuits.faithfulness.test_data import collect_test_data

        first, second = self.prepare(run)
        circuit, scores = self.find_circuit(first, run)
        data = collect_test_data(second, circuit, metric=self.metric, randoms=self.randoms, seed=run.seed)
        columns = {"full": data.full, "circuit": data.circuit, "complement": data.complement}
        graph = circuit.graph
        arrays = {
            "edges": circuit.table.astype(np.int64),
            "graph": np.array([graph.n_layers, graph.n_heads, graph.has_mlp, graph.parallel, graph.merged_qkv]),
            "effects": data.effects,
            "added": data.added,
            "distances": np.array([data.distance, data.knocked_out]),
            "random_distances": data.random_distances,
            "random_knocked_out": data.random_knocked_out,
        }
        arrays |= {} if scores is None else {"scores": scores.values}
        return items_of(second.pairs, columns, arrays, run, circuit)

    def tests(self, items: Items) -> list[TestResult]:
        """The four single tests (minimality is one test an edge)."""
        rng = np.random.default_rng(0)
        distance, knocked = items["distances"]
        return [
            equivalence(items["circuit"], items["full"], epsilon=self.epsilon, alpha=self.alpha),
            independence(items["complement"], items["full"], rng, alpha=self.alpha),
            sufficiency(float(distance), items["random_distances"], share=self.share, alpha=self.alpha),
            partial_necessity(float(knocked), items["random_knocked_out"], share=self.share, alpha=self.alpha),
        ]

    def summarise(self, items: Items) -> Summary:
        """Each test's statistic and p-value, and every edge's."""
        circuit, scores = circuit_of(items)
        same, apart, enough, needed = found = self.tests(items)
        adjusted = adjust(minimality(items["effects"], items["added"]), self.correction)
        minimal = int((adjusted <= self.alpha).sum())
        no_p = "a p-value is itself a statement about chance"

        def measure(name: str, value: float, n: int, of: str, hits: int | None = None) -> Measure:
            spec = self.measures[name]
            interval = None if hits is None else wilson(hits, n)
            why = None if interval is not None else no_p
            return Measure(
                value=value, unit=spec.unit, better=spec.better, n=n, n_of=of, interval=interval, no_interval=why
            )

        draws = self.randoms
        measures = {
            "beats_model": measure("beats_model", same.statistic, items.n, "prompts", round(same.statistic * items.n)),
            "equivalence_p": measure("equivalence_p", same.p_value, items.n, "prompts"),
            "independence_p": measure("independence_p", apart.p_value, items.n, "prompts"),
            "minimal_edges": measure("minimal_edges", minimal / len(adjusted), len(adjusted), "edges", minimal),
            "beats_random": measure(
                "beats_random", enough.statistic, draws, "random circuits", round(enough.statistic * draws)
            ),
            "sufficiency_p": measure("sufficiency_p", enough.p_value, draws, "random circuits"),
            "necessity": measure(
                "necessity", needed.statistic, needed.n, "random knock-outs", round(needed.statistic * needed.n)
            ),
            "necessity_p": measure("necessity_p", needed.p_value, needed.n, "random knock-outs"),
            "passed": Measure(
                value=float(sum(test.passes for test in found)), unit="1", better="higher", n=items.n,
                no_interval="a count of tests",
            ),
        }  # fmt: skip
        rows = tuple(
            (t.name, t.null, t.statistic, t.p_value, "rejected" if t.rejected else "not rejected",
             t.rejecting_is, "yes" if t.passes else "no")
            for t in found
        )  # fmt: skip
        tests = Table(
            title="is it a circuit?",
            columns=("test", "null hypothesis", "statistic", "p", f"at alpha {self.alpha:g}", "rejecting is", "passes"),
            rows=rows,
        )
        edge_rows = tuple(
            (name, float(effect), float(p)) for name, effect, p in zip(circuit, items["effects"], adjusted, strict=True)
        )
        edges = Table(
            title="minimality of each edge",
            columns=("edge", f"|change of {self.metric}| without it", f"p, {self.correction}"),
            rows=edge_rows,
        )
        picture = Chart.histogram(
            {
                "random circuits of its size": items["random_distances"],
                "random knock-outs": items["random_knocked_out"],
            },
            title="Distance to the model of random circuits",
            unit="nats",
            threshold=float(items["distances"][0]),
            caption=f"Circuit {items['distances'][0]:.3g} nats from the model, without it {items['distances'][1]:.3g}.",
            alt=f"The circuit is at {items['distances'][0]:.3g} nats.",
        )
        return Summary(measures, (tests, edges), (picture, draw_circuit(circuit, scores)))
