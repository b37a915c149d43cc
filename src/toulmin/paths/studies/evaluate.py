"""The study ``paths.evaluate``: the proportion of an effect that a ladder of hypotheses explains."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from toulmin.evidence import Figure, Interval, Measure
from toulmin.faults import FaultError
from toulmin.patching import Graph
from toulmin.paths.diagram import draw_in
from toulmin.paths.explained import explain_ladder
from toulmin.paths.hypothesis import Hypothesis, hypothesis
from toulmin.paths.metric_change import change_unit, find_change
from toulmin.paths.space import make_space
from toulmin.studies import Cost, Doubt, Items, MeasureSpec, Run, Summary
from toulmin.tasks import PromptStudy, clusters_of

INDUCTION = "L1.H{0,2-7}"
PREVIOUS = "L0.H{1,3}"


class Rung(BaseModel):
    """One hypothesis of a ladder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    text: str = Field(min_length=1)

    @model_validator(mode="after")
    def _parses(self) -> Self:
        try:
            hypothesis(self.text)
        except FaultError as error:
            raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
        return self


def induction_ladder(heads: str, previous: str, earlier: str = "L0.H*") -> tuple[dict[str, str], ...]:
    """The hypotheses of Goldowsky-Dill et al. 2023, section 4, about induction heads.

    Every hypothesis contains all paths that avoid the heads. The first three restrict what the heads read through V, Q
    or K and leave the other two whole, "all three" is their intersection, and the refinements add paths to it.
    """
    rest = f"!{heads}"
    value = f"embed -> [V] {heads} -> logits"
    query = f"embed -> [Q] {heads} -> logits"
    key = f"embed -> {previous}[V@i-1] -> [K] {heads} -> logits"
    together = [rest, value, query, key]
    positional = [f"embed@i-1..i -> {previous}[QK] -> [K] {heads} -> logits"]
    window = [f"embed -> {earlier}[V@i-3..i] -> [K] {heads} -> logits", f"embed -> [K] {heads} -> logits"]
    parroting = [f"embed -> {earlier}[V@i] -> [QV] {heads} -> logits"]
    rungs = {
        "direct V": [rest, value, f"embed ~> [QK] {heads} -> logits"],
        "direct Q": [rest, query, f"embed ~> [KV] {heads} -> logits"],
        "previous-token K": [rest, key, f"embed ~> [QV] {heads} -> logits"],
        "all three": together,
        "+ positional": together + positional,
        "+ window of 3": together + positional + window,
        "+ parroting": together + positional + window + parroting,
    }
    return tuple({"name": name, "text": "\n".join(lines)} for name, lines in rungs.items())


_LADDER = {
    "subject": "embedded:induction-2l",
    "task": "induction",
    "baseline": f"!{INDUCTION}",
    "hypotheses": induction_ladder(INDUCTION, PREVIOUS),
}


PATH_DOUBTS = (
    Doubt(
        "baseline",
        "The proportion explained depends on the baseline and the counterfactual distribution chosen.",
        "the same hypothesis under another baseline or counterfactual distribution",
    ),
    Doubt(
        "uniqueness",
        "Another hypothesis may explain as much: explaining does not show uniqueness.",
        "rival hypotheses evaluated on the same pairs, or a claim that does not need uniqueness",
    ),
)


class Evaluate(PromptStudy):
    """Proportion of an effect that hypotheses about paths explain, with intervals over references."""

    kind: ClassVar = "paths.evaluate"
    version: ClassVar = 1
    measures: ClassVar = {
        "pe": MeasureSpec("1", "higher", "1 - AUE/ATE of the last hypothesis, bootstrap over clean prompts", high=1.0),
        "aue": MeasureSpec(
            "metric", "lower", "mean change of the metric under the last hypothesis, over clean prompts"
        ),
        "ate": MeasureSpec("metric", "neither", "mean change of the metric under the baseline, over clean prompts"),
    }
    presets: ClassVar = {
        "tiny": {**_LADDER, "n": 12, "resamples": 200},
        "demo": {**_LADDER, "n": 100},
        "full": {**_LADDER, "n": 1000},
    }
    doubts: ClassVar = PATH_DOUBTS

    hypotheses: tuple[Rung, ...] = Field(min_length=1)  #: in order; the last one's numbers are the measures
    baseline: str = "everything"  #: what PE is a proportion of: everything patched, or a hypothesis
    metric: str = "kl"  #: what is compared: a distance of outputs, or a metric whose change is squared
    batch: int = Field(default=1024, ge=1)  #: pairs in one evaluation; activations are bounded by max_megabytes
    resamples: int = Field(default=2000, ge=10)
    max_copies: int = Field(default=20_000, ge=1)
    max_megabytes: int = Field(default=1024, ge=1)  #: bound on activations

    @model_validator(mode="after")
    def _checked(self) -> Self:
        names = [rung.name for rung in self.hypotheses]
        if len(set(names)) != len(names) or len({_slug(name) for name in names}) != len(names):
            raise ValueError("two hypotheses have the same name")
        try:
            find_change(self.metric, signed=False)
        except FaultError as error:
            raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
        if self.baseline != "everything":
            Rung(name="baseline", text=self.baseline)
        return self

    @property
    def _unit(self) -> str:
        return change_unit(find_change(self.metric, signed=False), signed=False)

    def measure_specs(self) -> dict[str, MeasureSpec]:
        """Those of the class, and the proportion of each rung."""
        each = {
            f"pe.{_slug(rung.name)}": MeasureSpec("1", "higher", f"1 - AUE/ATE of {rung.name!r}", high=1.0)
            for rung in self.hypotheses
        }
        unit = self._unit
        fixed = {
            name: replace(spec, unit=unit if spec.unit == "metric" else spec.unit)
            for name, spec in self.measures.items()
        }
        return {**fixed, **each}

    def cost(self) -> Cost:
        """About ten forward passes a hypothesis and pair."""
        return Cost(seconds=4 + 0.003 * self.count * len(self.hypotheses), bytes=self.max_megabytes * 2**20)

    def rungs(self) -> list[Hypothesis]:
        """The hypotheses, named."""
        return [hypothesis(rung.text, rung.name) for rung in self.hypotheses]

    def collect(self, run: Run) -> Items:
        """The mean effects on each clean prompt."""
        from toulmin.paths.evaluation import effects

        prompts = self.load(run)
        model, pairs = prompts.model, prompts.pairs(seed=run.seed)
        prompts.announce(run, pairs, (2.0 + len(self.hypotheses)) * len(pairs))
        found = effects(
            model,
            self.rungs(),
            pairs,
            metric=self.metric,
            baseline=self.baseline,
            max_copies=self.max_copies,
            max_bytes=self.max_megabytes * 2**20,
            batch=self.batch,
        )
        graph = Graph.of(model, split_embed=any(h.splits_embedding for h in self.rungs()))
        names, unexplained, total = found.by_prompt()
        columns = {"total": total, **{f"unexplained/{name}": values for name, values in unexplained.items()}}
        metadata = {
            "graph": graph.to_json(),
            "length": pairs[0].length,
            "paths": {name: str(count) for name, count in found.n_paths.items()},  # beyond what a JSON number holds
            "copies": dict(found.n_copies),
            "notes": {name: list(notes) for name, notes in found.notes.items()},
            **prompts.about(pairs),
        }
        contents = prompts.contents(pairs)
        clusters = clusters_of(names, pairs)
        return Items(names, columns, clusters, metadata=metadata, contents=[contents[name] for name in names])

    def summarise(self, items: Items) -> Summary:
        """PE of each rung with its interval, what each adds, the ladder, and the last hypothesis drawn."""
        found = explain_ladder(
            {rung.name: items[f"unexplained/{rung.name}"] for rung in self.hypotheses},
            items["total"],
            baseline=self.baseline,
            unit=self._unit,
            resamples=self.resamples,
            n_paths={name: int(count) for name, count in items.metadata["paths"].items()},
            n_copies=items.metadata["copies"],
            notes=items.metadata["notes"],
            clusters=items.clusters,
        )
        declared, last = self.measure_specs(), found[-1]
        # records of earlier versions counted clean prompts, whatever was resampled
        count: dict[str, Any] = {"n": last.n}
        if "resampled" in items.metadata:
            count = {"n": items.n, "n_of": self.resampled(items)}
        measures = {
            "pe": _measure(declared["pe"], last.pe, last.pe_interval, count),
            "aue": _measure(declared["aue"], last.aue, last.aue_interval, count),
            "ate": _measure(declared["ate"], last.ate, last.ate_interval, count),
        }
        for one in found:
            name = f"pe.{_slug(one.name)}"
            measures[name] = _measure(declared[name], one.pe, one.pe_interval, count)
        return Summary(measures, tables=found.tables(), figures=[*found.figures(), *self._drawn(items)])

    def _drawn(self, items: Items) -> list[Figure]:
        """The last hypothesis on the model, without what the baseline takes for granted; not with named positions."""
        graph = Graph.from_json(items.metadata["graph"])
        last = self.rungs()[-1]
        base = None if self.baseline == "everything" else hypothesis(self.baseline)
        try:
            space = make_space(graph, [last, *([base] if base else [])], items.metadata["length"])
        except FaultError as error:
            if {fault.code for fault in error.faults} == {"paths.unknown_position"}:
                return []
            raise
        return [draw_in(space, last, base)]


def _measure(spec: MeasureSpec, value: float, interval: Interval, count: dict[str, Any]) -> Measure:
    return Measure(value=value, unit=spec.unit, better=spec.better, interval=interval, **count)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
