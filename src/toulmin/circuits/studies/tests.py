"""The study ``circuits.tests``: the hypothesis tests of Shi et al. 2024 on a circuit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np
from pydantic import model_validator

from toulmin.circuits.discovery.method import RankingMethod
from toulmin.circuits.faithfulness.statistics import TestSettings
from toulmin.circuits.faithfulness.tests import HypothesisTests, TestData, edge_labels, evaluate_tests
from toulmin.circuits.pictures import draw_circuit
from toulmin.circuits.studies.base import CircuitStudy, discovery_of, items_of
from toulmin.evidence import Items, Measure, wilson
from toulmin.faults import FaultError
from toulmin.studies import Cost, MeasureSpec, Run, Summary
from toulmin.tasks import find_metric

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

_INDUCTION = {"subject": "embedded:induction-2l", "task": "induction"}
_SIXTY = {"name": "eap_ig", "size": 60}


class CircuitTests(CircuitStudy, TestSettings):
    """Equivalence, independence, minimality, sufficiency and partial necessity of a circuit."""

    kind: ClassVar = "circuits.tests"
    version: ClassVar = 2
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "beats_model": MeasureSpec(
            "1", "neither", "share of prompts on which the circuit beats the model; 1/2 is equivalent", 0.0, 1.0
        ),
        "equivalence_p": MeasureSpec(
            "1", "higher", "p of 'circuit and model are equivalent', within epsilon", 0.0, 1.0
        ),
        "independence_p": MeasureSpec(
            "1", "higher", "p of 'the knocked-out model is independent of the model' (HSIC)", 0.0, 1.0
        ),
        "minimal_edges": MeasureSpec(
            "1", "higher", "share of edges that matter more than random additions, after correction", 0.0, 1.0
        ),
        "beats_random": MeasureSpec(
            "1", "higher", "share of random circuits of its size that are less faithful (KL)", 0.0, 1.0
        ),
        "sufficiency_p": MeasureSpec(
            "1", "lower", "p of 'at most a share of random circuits are less faithful'", 0.0, 1.0
        ),
        "necessity": MeasureSpec("1", "higher", "share of random knock-outs that hurt less than its own", 0.0, 1.0),
        "necessity_p": MeasureSpec("1", "lower", "p of 'at most a share of random knock-outs hurt less'", 0.0, 1.0),
        "passed": MeasureSpec("1", "higher", "how many of the four single tests speak for the circuit", 0.0, 4.0),
    }
    presets: ClassVar = {
        "tiny": {**_INDUCTION, "method": {"name": "eap_ig", "size": 12}, "n": 12, "n_discover": 4, "randoms": 30},
        "demo": {**_INDUCTION, "method": _SIXTY, "n": 60, "n_discover": 24, "randoms": 60},
        "full": {**_INDUCTION, "method": _SIXTY, "n": 200, "n_discover": 64, "randoms": 200},
    }

    metric: str = "logit_diff"  #: the task metric that is compared

    @model_validator(mode="after")
    def _decidable(self) -> Self:
        try:
            find_metric(self.metric)
            size = self.method.size if isinstance(self.method, RankingMethod) else None
            self.check(units=self.n, edges=None if self.circuit is not None else size)
        except FaultError as error:
            raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
        return self

    def cost(self) -> Cost:
        """Two random circuits for each of ``randoms``, and one for each random addition and each edge."""
        return Cost(seconds=5 + 0.002 * self.n * self.randoms)

    def collect(self, run: Run) -> Items:
        """Per-prompt metrics of circuit, model and complement; distances of the random circuits."""
        from toulmin.circuits.faithfulness.tests import collect_test_data

        prepared = self.prepare(run)
        runner, circuit = prepared.measuring, prepared.found.circuit
        data = collect_test_data(runner, circuit, self, metric=self.metric, seed=run.seed)
        columns = {"full": data.full, "circuit": data.circuit, "complement": data.complement}
        arrays = {
            "effects": data.effects,
            "added": data.added,
            "distances": np.array([data.distance, data.knocked_out]),
            "random_distances": data.random_distances,
            "random_knocked_out": data.random_knocked_out,
        }
        return items_of(runner.pairs, columns, arrays, run, prepared.found, prepared.about)

    def measuring_passes(self, discovering: CircuitRunner, measuring: CircuitRunner) -> float:
        """Half a pass for each random circuit, knock-out and addition, and for each edge left out."""
        size = len(measuring.graph.receivers) if self.circuit is not None else getattr(self.method, "size", None)
        return 0.5 * measuring.n * (3 * self.randoms + (size or measuring.graph.n_edges // 20))

    def tests(self, items: Items) -> HypothesisTests:
        """The tests of the stored numbers."""
        circuit = discovery_of(items).circuit
        distance, knocked = items["distances"]
        data = TestData(
            edges=edge_labels(circuit),
            units=tuple(items.clusters or items.units),
            full=items["full"],
            circuit=items["circuit"],
            complement=items["complement"],
            effects=items["effects"],
            added=items["added"],
            distance=float(distance),
            random_distances=items["random_distances"],
            knocked_out=float(knocked),
            random_knocked_out=items["random_knocked_out"],
        )
        return evaluate_tests(data, self)

    def summarise(self, items: Items) -> Summary:
        """Each test's statistic and p-value, and every edge's."""
        discovery = discovery_of(items)
        found = self.tests(items)
        same, enough, needed = found.equivalence, found.sufficiency, found.partial_necessity
        minimal, edges = len(found.minimal_edges), len(found.data.edges)
        no_p = "a p-value is itself a statement about chance"

        def measure(name: str, value: float, n: int, of: str, hits: int | None = None) -> Measure:
            spec = self.measures[name]
            interval = None if hits is None else wilson(hits, n)
            why = None if interval is not None else no_p
            return Measure(
                value=value, unit=spec.unit, better=spec.better, n=n, n_of=of, interval=interval, no_interval=why
            )

        measures = {
            "beats_model": measure("beats_model", same.statistic, same.n, "units", round(same.statistic * same.n)),
            "equivalence_p": measure("equivalence_p", same.p_value, same.n, "units"),
            "independence_p": measure("independence_p", found.independence.p_value, same.n, "units"),
            "minimal_edges": measure("minimal_edges", minimal / edges, edges, "edges", minimal),
            "beats_random": measure(
                "beats_random", enough.statistic, enough.n, "random circuits", round(enough.statistic * enough.n)
            ),
            "sufficiency_p": measure("sufficiency_p", enough.p_value, enough.n, "random circuits"),
            "necessity": measure(
                "necessity", needed.statistic, needed.n, "random knock-outs", round(needed.statistic * needed.n)
            ),
            "necessity_p": measure("necessity_p", needed.p_value, needed.n, "random knock-outs"),
            "passed": Measure(
                value=float(found.passed), unit="1", better="higher", n=same.n, n_of="units",
                no_interval="a count of tests",
            ),
        }  # fmt: skip
        return Summary(measures, found.tables(), (*found.figures(), draw_circuit(discovery.circuit, discovery.scores)))
