"""The study ``circuits.discover``: find a circuit, and measure it on other prompts.

Beside the circuit's card it records the curve of faithfulness over circuit sizes, and how well the scores agree with
exact single-edge effects (attribution agreement).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.discovery.agreement import AttributionAgreement, compare_scores
from toulmin.circuits.faithfulness.curves import cmd, cpr, sizes_for
from toulmin.circuits.pictures import draw_agreement, draw_curves
from toulmin.circuits.studies.base import discovery_of
from toulmin.circuits.studies.card import FaithfulnessCard
from toulmin.evidence import Items, Measure, Table, bootstrap
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Cost, MeasureSpec, Run, Summary

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

_INDUCTION: dict[str, Any] = {"subject": "embedded:induction-2l", "task": "induction"}
_SIXTY = {"name": "eap_ig", "size": 60}


class CircuitDiscovery(FaithfulnessCard):
    """A discovered circuit with its card, its faithfulness at every size, and the agreement of its scores.

    Without scores of all edges (ACDC, or a circuit that is read) there is no curve and no agreement: ``cpr``, ``cmd``
    and ``agreement`` are not among the measures.
    """

    kind: ClassVar = "circuits.discover"
    version: ClassVar = 2
    curve_measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "cpr": MeasureSpec("1", "higher", "area under faithfulness over the share of edges (MIB), logit_diff"),
        "cmd": MeasureSpec("1", "lower", "area between faithfulness and 1 over the share of edges (MIB), logit_diff"),
        "agreement": MeasureSpec(
            "1", "higher", "rank correlation of |score| with |exact single-edge effect| over edges", -1.0, 1.0
        ),
    }
    presets: ClassVar = {
        "tiny": {
            **_INDUCTION, "method": {"name": "eap", "size": 40}, "n": 8, "n_discover": 4, "points": 4, "compared": 12,
            "resamples": 100, "metrics": ["logit_diff", "kl"],
        },
        "demo": {**_INDUCTION, "method": _SIXTY, "n": 100, "n_discover": 24},
        "full": {**_INDUCTION, "method": _SIXTY, "n": 400, "n_discover": 64, "points": 30, "compared": 400},
    }  # fmt: skip

    points: int = Field(default=16, ge=2)  #: sizes on the curve
    compared: int = Field(default=150, ge=3)  #: edges whose exact effect is measured

    @property
    def scored(self) -> bool:
        """Whether the circuit comes with scores of all edges."""
        return self.circuit is None and self.method.scored

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """The card's measures, and those of the curve and the agreement where there are scores."""
        return {**super().measure_specs(), **(self.curve_measures if self.scored else {})}

    def cost(self) -> Cost:
        """The card, the curve, the agreement."""
        return Cost(seconds=10 + 0.3 * self.n + 0.05 * self.compared)

    def measuring_passes(self, discovering: CircuitRunner, measuring: CircuitRunner) -> float:
        """Beside the card: a run for each size of the curve, a third of one for each exact effect."""
        curve = 0.7 * self.points * measuring.n + 0.3 * self.compared * discovering.n
        return super().measuring_passes(discovering, measuring) + (curve if self.scored else 0.0)

    def collect(self, run: Run) -> Items:
        """The card's items, and with scores: the metric at every size, and exact effects of a sample of edges."""
        from toulmin.circuits.discovery.agreement import attribution_agreement
        from toulmin.circuits.faithfulness.curves import sweep_sizes

        prepared = self.prepare(run)
        items, scores = self.card_items(prepared, run), prepared.found.scores
        if scores is None:
            return items
        sizes = sizes_for(len(scores.flat()), self.points)
        sweep = sweep_sizes(prepared.measuring, scores, sizes, metrics=["logit_diff", "kl"])
        with run.progress.task("exact effects", self.compared) as advance:
            found = attribution_agreement(
                prepared.discovering, scores, sample=self.compared, seed=run.seed, progress=advance
            )
        columns = {**items.columns, "sweep logit_diff": sweep.scores["logit_diff"].T, "sweep kl": sweep.scores["kl"].T}
        columns["sweep ablated"] = sweep.ablated["logit_diff"]
        arrays = {**items.arrays, "sizes": np.array(sizes)}
        arrays |= {"compared_edges": found.edges, "compared_effects": found.effects}
        return Items(items.units, columns, items.clusters, arrays, items.files, items.metadata, items.contents)

    def agreement(self, items: Items) -> AttributionAgreement:
        """The agreement, from the stored scores and effects.

        :raises FaultError: the circuit came without scores.
        """
        scores = discovery_of(items).scores
        if scores is None:
            raise FaultError(Fault("circuits.agreement", "this circuit has no scores"), ExitCode.EVIDENCE)
        return compare_scores(scores, items["compared_edges"], items["compared_effects"], resamples=200)

    def summarise(self, items: Items) -> Summary:
        """The card's summary, the curve and the agreement."""
        summary = super().summarise(items)
        if not self.scored:
            return summary
        items = items.distinct()
        full, none, sweep = items["full logit_diff"], items["sweep ablated"], items["sweep logit_diff"]
        sizes, found = items["sizes"], self.agreement(items)
        shares = sizes / sizes[-1]

        def faithfulness(c: NDArray[Any], f: NDArray[Any], e: NDArray[Any]) -> NDArray[Any]:
            return np.asarray((c.mean(0) - e.mean()) / (f.mean() - e.mean()))

        measures, clusters = dict(summary.measures), None if items.clusters is None else list(items.clusters)
        for name, area in (("cpr", cpr), ("cmd", cmd)):
            spec = self.curve_measures[name]

            def statistic(c: Any, f: Any, e: Any, area: Any = area) -> float:
                return area(shares, faithfulness(c, f, e))

            interval = bootstrap(statistic, sweep, full, none, clusters=clusters, method="percentile", resamples=300)
            measures[name] = Measure(
                value=statistic(sweep, full, none), unit=spec.unit, better=spec.better, n=items.n,
                n_of=self.resampled(items), interval=interval,
            )  # fmt: skip
        spec = self.curve_measures["agreement"]
        measures["agreement"] = Measure(
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
                {found.method: (sizes, curve)}, title="Faithfulness over circuit sizes", y="logit_diff recovered, %",
                threshold=self.threshold,
            ),
            draw_agreement(found),
        )  # fmt: skip
        return Summary(measures, (*summary.tables, *found.overview(), table), (*summary.figures, *figures))
