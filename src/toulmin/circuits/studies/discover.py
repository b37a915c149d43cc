"""The study ``circuits.discover``: find a circuit, and measure it on other prompts: card, curve over sizes, audit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.discovery.agreement import Audit, audit_scores
from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.faithfulness.curves import cmd, cpr, sizes_for
from toulmin.circuits.pictures import draw_audit, draw_curves
from toulmin.circuits.studies.card import FaithfulnessCard
from toulmin.evidence import Items, Measure, Table, bootstrap
from toulmin.patching.graph import Graph
from toulmin.studies import Cost, MeasureSpec, Run, Summary

_INDUCTION: dict[str, Any] = {"subject": "embedded:induction-2l", "task": "induction"}


class Discovery(FaithfulnessCard):
    """A discovered circuit with its card, its faithfulness at every size, and an audit of the scores it was cut from.

    Methods without scores (ACDC) have no curve and no audit: ``cpr``, ``cmd``, ``audit`` are not among their measures.
    """

    kind: ClassVar = "circuits.discover"
    version: ClassVar = 2
    curve_measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "cpr": MeasureSpec("1", "higher", "area under faithfulness over the share of edges (MIB), logit_diff"),
        "cmd": MeasureSpec("1", "lower", "area between faithfulness and 1 over the share of edges (MIB), logit_diff"),
        "audit": MeasureSpec("1", "higher", "rank correlation of |score| with |exact single-edge effect| over edges"),
    }
    presets: ClassVar = {
        "tiny": {
            **_INDUCTION, "method": "eap", "n": 8, "n_discover": 4, "size": 40, "points": 4, "audited": 12,
            "resamples": 100, "metrics": ["logit_diff", "kl"],
        },
        "demo": {**_INDUCTION, "method": "eap_ig", "n": 100, "n_discover": 24, "size": 60},
        "full": {
            **_INDUCTION, "method": "eap_ig", "n": 400, "n_discover": 64, "size": 60, "points": 30, "audited": 400,
        },
    }  # fmt: skip

    points: int = Field(default=16, ge=2)  #: sizes on the curve
    audited: int = Field(default=150, ge=3)  #: edges whose exact effect is measured

    @property
    def scored(self) -> bool:
        """Whether the circuit comes with scores of all edges."""
        return self.circuit is None and self.method != "acdc"

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """The card's measures, and those of the curve and the audit where there are scores."""
        return {**self.measures, **(self.curve_measures if self.scored else {})}

    def cost(self) -> Cost:
        """The card, the curve, the audit."""
        return Cost(seconds=10 + 0.3 * self.n + 0.05 * self.audited)

    def collect(self, run: Run) -> Items:
        """The card's items, and with scores: the metric at every size, and exact effects of a sample of edges."""
        from toulmin.circuits.discovery.agreement import audit
        from toulmin.circuits.faithfulness.curves import sweep_sizes

        items = super().collect(run)
        if not self.scored:
            return items
        first, second = self.prepare(run)
        _, scores = self.find_circuit(first, run)
        assert scores is not None
        sizes = sizes_for(second.graph.n_edges, self.points)
        sweep = sweep_sizes(second, scores, sizes, metrics=["logit_diff", "kl"])
        found = audit(first, scores, metric=self.metric, ablation=self.ablation, sample=self.audited, seed=run.seed)
        columns = {**items.columns, "sweep logit_diff": sweep.scores["logit_diff"].T, "sweep kl": sweep.scores["kl"].T}
        columns["sweep ablated"] = sweep.ablated["logit_diff"]
        arrays = {**items.arrays, "sizes": np.array(sizes)}
        arrays |= {"audit_edges": found.edges, "audit_effects": found.effects}
        return Items(items.units, columns, items.clusters, arrays, items.files)

    def audit_of(self, items: Items) -> Audit:
        """The audit, from the stored effects."""
        graph = _graph_of(items)
        exact = np.zeros(graph.allowed.shape)
        rows, columns = items["audit_edges"].T
        exact[rows, columns] = items["audit_effects"]
        scores = EdgeScores(graph, items["scores"], self.method)
        edges = [(int(s), int(r)) for s, r in items["audit_edges"]]
        return audit_scores(scores, EdgeScores(graph, exact, "exact"), edges, resamples=200)

    def summarise(self, items: Items) -> Summary:
        """The card's summary, the curve and the audit."""
        summary = super().summarise(items)
        if not self.scored:
            return summary
        full, none, sweep = items["full logit_diff"], items["sweep ablated"], items["sweep logit_diff"]
        sizes = items["sizes"]
        shares = sizes / _graph_of(items).n_edges

        def faithfulness(c: NDArray[Any], f: NDArray[Any], e: NDArray[Any]) -> NDArray[Any]:
            return np.asarray((c.mean(0) - e.mean()) / (f.mean() - e.mean()))

        measures, clusters = dict(summary.measures), None if items.clusters is None else list(items.clusters)
        for name, area in (("cpr", cpr), ("cmd", cmd)):
            spec = self.curve_measures[name]

            def statistic(c: Any, f: Any, e: Any, area: Any = area) -> float:
                return area(shares, faithfulness(c, f, e))

            interval = bootstrap(statistic, sweep, full, none, clusters=clusters, method="percentile", resamples=300)
            measures[name] = Measure(
                value=statistic(sweep, full, none), unit=spec.unit, better=spec.better, n=items.n, interval=interval
            )
        found = self.audit_of(items)
        spec = self.curve_measures["audit"]
        measures["audit"] = Measure(
            value=found.absolute_rank_correlation, unit=spec.unit, better=spec.better, n=found.n, n_of="edges",
            interval=found.absolute_rank_interval,
            no_interval=None if found.absolute_rank_interval is not None else "scores or effects are all equal",
        )  # fmt: skip
        curve = 100 * faithfulness(sweep, full, none)
        rows = tuple(
            (int(size), float(share), float(value), float(kl))
            for size, share, value, kl in zip(sizes, shares, curve, items["sweep kl"].mean(0), strict=True)
        )
        table = Table(
            title="faithfulness over sizes",
            columns=("edges", "share", "logit_diff recovered, %", "KL, nats"),
            rows=rows,
        )
        figures = (
            draw_curves(
                {self.method: (sizes, curve)}, title="Faithfulness over circuit sizes", y="logit_diff recovered, %",
                threshold=self.threshold,
            ),
            draw_audit(found),
        )  # fmt: skip
        return Summary(measures, (*summary.tables, table), (*summary.figures, *figures))


def _graph_of(items: Items) -> Graph:
    layers, heads, mlp, parallel, merged = (int(x) for x in items["graph"])
    return Graph.transformer(layers, heads, has_mlp=bool(mlp), parallel=bool(parallel), merged_qkv=bool(merged))
