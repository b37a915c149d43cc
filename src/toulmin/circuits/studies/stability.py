"""The study ``circuits.stability``: how much of a discovered circuit is found again when something else is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.eap_ig import EapIg
from toulmin.circuits.discovery.methods import MethodSetting
from toulmin.circuits.faithfulness.stability import CORE, Stability, stability
from toulmin.circuits.pictures import draw_stability
from toulmin.circuits.studies.base import CircuitStudy
from toulmin.evidence import Items, Measure, content_of
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching import Graph
from toulmin.studies import Cost, MeasureSpec, Run, Summary
from toulmin.tasks import PromptStudy, clusters_of

if TYPE_CHECKING:
    from toulmin.tasks import Pair

_INDUCTION: dict[str, Any] = {"subject": "embedded:induction-2l", "task": "induction"}
_NO_INTERVAL = "draws are of one pool of prompts, and each is in many pairs: the table has the least and the mean"


class CircuitStability(PromptStudy):
    """The same method on several draws: how often each edge is in, and how alike two circuits are (Jaccard).

    ``over`` says what a draw changes: ``prompts`` resamples the ``n`` prompts with replacement, ``templates`` whole
    templates (where the pairs name any), ``seeds`` the seed of the method alone, ``sizes`` the size of the circuit
    (``factors`` times that of the method) alone.
    """

    kind: ClassVar = "circuits.stability"
    version: ClassVar = 1
    doubts: ClassVar = CircuitStudy.doubts
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "jaccard": MeasureSpec("1", "higher", "mean over pairs of draws of |A and B| / |A or B|", 0.0, 1.0),
        "least_jaccard": MeasureSpec("1", "higher", "the least over pairs of draws", 0.0, 1.0),
        "core": MeasureSpec("1", "higher", f"edges in at least {CORE:.0%} of the draws", 0.0),
        "contingent": MeasureSpec("1", "lower", "edges in some draws, but in fewer", 0.0),
        "core_share": MeasureSpec("1", "higher", "core edges over the mean number of edges of a draw", 0.0),
    }
    presets: ClassVar = {
        "tiny": {**_INDUCTION, "method": {"name": "eap", "size": 40}, "n": 8, "draws": 4},
        "demo": {**_INDUCTION, "method": {"name": "eap_ig", "size": 60}, "n": 24, "draws": 10},
        "full": {**_INDUCTION, "method": {"name": "eap_ig", "size": 60}, "n": 64, "draws": 40},
    }

    n: int = Field(default=32, ge=2)  #: prompts  # pyright: ignore[reportIncompatibleVariableOverride]
    batch: int = Field(default=32, ge=1)  #: prompts in one forward pass
    method: MethodSetting = EapIg()  #: of discovery: a name, or a table of a name and settings
    over: Literal["prompts", "templates", "seeds", "sizes"] = "prompts"  #: what a draw changes
    draws: int = Field(default=10, ge=2)
    factors: tuple[float, ...] = (0.5, 0.71, 1.0, 1.41, 2.0)  #: with ``over = "sizes"``, one for each draw
    drawn: int = Field(default=400, ge=1)  #: edges in the figure

    def cost(self) -> Cost:
        """A discovery for each draw."""
        return Cost(seconds=4 + 0.1 * self.n * (1 if self.over == "sizes" else self.draws))

    def collect(self, run: Run) -> Items:
        """The circuit of each draw."""
        from toulmin.circuits.runner import CircuitRunner

        prompts = self.load(run)
        pairs = list(prompts.pairs(self.n, seed=run.seed))
        method, circuits = self.method.with_seed(run.seed), list[Circuit]()
        once = method.passes(CircuitRunner(prompts.model, pairs, batch=self.batch))
        prompts.announce(run, pairs, once * (1 if self.over == "sizes" else self.draws))
        if self.over == "sizes":
            found = method.discover(CircuitRunner(prompts.model, pairs, batch=self.batch)).scores
            if found is None:
                raise FaultError(Fault("circuits.stability", "this method scores no edges", name="method"))
            wanted = getattr(method, "size", None) or max(1, len(found.flat()) // 20)
            sizes = [min(len(found.flat()), max(1, round(factor * wanted))) for factor in self.factors]
            circuits = [found.top(size, signed=getattr(method, "signed", False)) for size in sizes]
        else:
            for chosen, seed in run.track(self._draws(pairs, run.seed), "draws"):
                runner = CircuitRunner(prompts.model, [pairs[index] for index in chosen], batch=self.batch)
                again = method if seed is None else method.model_copy(update={"seed": seed})
                circuits.append(again.discover(runner).circuit.without_positions())
        graph = circuits[0].graph
        tables = np.stack([one.table[graph.allowed] for one in circuits])
        compared = stability(circuits)
        others = (compared.jaccard.sum(1) - 1) / (len(circuits) - 1)
        ids = [f"draw-{index}" for index in range(len(circuits))]
        columns = {"edges": tables.sum(1).astype(np.float64), "jaccard": others}
        contents = [content_of([self.over, *map(int, np.flatnonzero(row))]) for row in tables]
        about = {"stability": {"graph": graph.to_json(), "method": method.label}, "data_notes": prompts.notes(pairs)}
        return Items(ids, columns, None, {"kept": np.packbits(tables, axis=1)}, {}, about, contents)

    def _draws(self, pairs: Sequence[Pair], seed: int) -> list[tuple[list[int], int | None]]:
        """By draw, the numbers of its prompts and the method's seed (None: as it is).

        :raises FaultError: ``circuits.stability``: pairs without templates, or a method that draws nothing.
        """
        rng, everything = np.random.default_rng(seed), list(range(len(pairs)))
        if self.over == "seeds":
            if "seed" not in type(self.method).model_fields:
                message = "this method draws nothing at random: all draws would be equal"
                raise FaultError(Fault("circuits.stability", message, name="over"), ExitCode.INVALID)
            return [(everything, int(own)) for own in rng.integers(0, 2**31, self.draws)]
        groups: dict[str, list[int]] = {}
        labels = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
        if self.over == "templates":
            named = clusters_of(labels, pairs)
            if named is None:
                message = "these pairs do not name at least ten templates"
                raise FaultError(Fault("circuits.stability", message, name="over"), ExitCode.INVALID)
            labels = list(named)
        for index, label in enumerate(labels):
            groups.setdefault(label, []).append(index)
        units = list(groups.values())
        picks = rng.integers(0, len(units), (self.draws, len(units)))
        return [([index for unit in pick for index in units[unit]], None) for pick in picks.tolist()]

    def compared(self, items: Items) -> Stability:
        """The comparison, from the stored circuits.

        :raises FaultError: the items hold no circuits.
        """
        about = items.metadata.get("stability")
        if not isinstance(about, dict) or not isinstance(about.get("graph"), dict):
            raise FaultError(Fault("circuits.items", "the items hold no circuits"), ExitCode.EVIDENCE)
        graph = Graph.from_json(about["graph"])
        kept: NDArray[Any] = np.unpackbits(items.arrays["kept"], axis=1)[:, : graph.n_edges].astype(bool)
        tables = np.zeros((len(kept), *graph.allowed.shape), dtype=bool)
        tables[:, graph.allowed] = kept
        return stability([Circuit(graph, table) for table in tables])

    def summarise(self, items: Items) -> Summary:
        """The measures, the tables, and the circuit with its core drawn apart."""
        found, n = self.compared(items), items.n
        pairs = found.jaccard[np.triu_indices(n, 1)]

        def measure(name: str, value: float, why: str) -> Measure:
            spec = self.measures[name]
            return Measure(value=value, unit=spec.unit, better=spec.better, n=n, n_of="draws", no_interval=why)

        core, count = len(found.core), "an exact count over the draws"
        measures = {
            "jaccard": measure("jaccard", found.mean_jaccard, _NO_INTERVAL),
            "least_jaccard": measure("least_jaccard", float(pairs.min()), _NO_INTERVAL),
            "core": measure("core", float(core), count),
            "contingent": measure("contingent", float(len(found.contingent)), count),
            "core_share": measure("core_share", core / float(np.mean(found.sizes)), count),
        }
        return Summary(measures, found.tables(), (draw_stability(found, most=self.drawn),))
