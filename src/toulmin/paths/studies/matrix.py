"""The study ``paths.matrix``: every head's direct effect through the inputs of every later head, and on the logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from toulmin.evidence import Figure, Table
from toulmin.faults import FaultError
from toulmin.paths.effect_matrix import Matrix
from toulmin.paths.metric_change import change_unit, find_change
from toulmin.paths.studies.evaluate import PATH_DOUBTS
from toulmin.studies import Cost, Items, Json, MeasureSpec, Run, Summary, keep_piece
from toulmin.tasks import PromptStudy, clusters_of

if TYPE_CHECKING:
    from toulmin.tasks import Pair, Prompts

Component = Literal["Q", "K", "V"]


class MatrixStudy(PromptStudy):
    """The direct effects of every head on every later head and on the logits, with intervals over clean prompts."""

    kind: ClassVar = "paths.matrix"
    version: ClassVar = 1
    measures: ClassVar = {
        "strongest": MeasureSpec("metric", "neither", "mean over clean prompts of the cell of largest absolute mean"),
        "strongest_to_logits": MeasureSpec("metric", "neither", "the same of the direct effects on the logits"),
    }
    presets: ClassVar = {
        "tiny": {"subject": "embedded:induction-2l", "task": "induction", "n": 8},
        "demo": {"subject": "embedded:induction-2l", "task": "induction", "n": 100},
        "full": {"subject": "embedded:induction-2l", "task": "induction", "n": 500},
    }

    doubts: ClassVar = PATH_DOUBTS

    components: tuple[Component, ...] = ("Q", "K", "V")  #: of later heads; none: only the logits
    metric: str = "logit_diff"  #: whose change is shown, patched minus clean
    batch: int = Field(default=1024, ge=1)  #: pairs in one evaluation; activations are bounded by max_megabytes
    max_megabytes: int = Field(default=1024, ge=1)

    @model_validator(mode="after")
    def _checked(self) -> Self:
        try:
            find_change(self.metric, signed=True)
        except FaultError as error:
            raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
        return self

    @property
    def _unit(self) -> str:
        return change_unit(find_change(self.metric, signed=True), signed=True)

    def measure_specs(self) -> dict[str, MeasureSpec]:
        """With the unit of the metric chosen; without components there is nothing but the logits."""
        unit, lacking = self._unit, () if self.components else ("strongest",)
        return {name: replace(spec, unit=unit) for name, spec in self.measures.items() if name not in lacking}

    def cost(self) -> Cost:
        """A fraction of a forward pass for each cell and pair."""
        return Cost(seconds=4 + 0.01 * self.count * len(self.components), bytes=self.max_megabytes * 2**20)

    def collect(self, run: Run) -> Items:
        """The mean effect of each cell on each clean prompt."""
        from toulmin.paths.matrix import sender_to_logits

        prompts = self.load(run)
        model, pairs = prompts.model, prompts.pairs(seed=run.seed)
        options: dict[str, Any] = {"metric": self.metric, "max_bytes": self.max_megabytes * 2**20, "batch": self.batch}
        config = model.config
        layers, heads = config.n_layers, config.n_heads
        # the cells of a receiver in layer l are run through what comes after it, and share what their streams share
        cells = sum(heads * heads * layer * (layers - layer) / layers for layer in range(1, layers))
        prompts.announce(run, pairs, (5 + 0.35 * cells * len(self.components)) * len(pairs))
        direct = sender_to_logits(model, pairs, **options)
        columns: dict[str, Any] = {"logits": np.nan_to_num(direct.per_prompt)}
        arrays: dict[str, Any] = {"exists/logits": ~np.isnan(direct.per_prompt[0])}
        names = list(dict.fromkeys(direct.units))
        parts: list[tuple[Component, int]] = [(c, layer) for c in self.components for layer in range(1, layers)]
        found = {part: self._layer(prompts, pairs, *part, run, options) for part in run.track(parts, "layers")}
        for component in self.components:
            senders = heads * (layers - 1)
            cells_of = [np.full((len(names), senders, heads), np.nan) for _ in range(1, layers)]
            for layer, values in enumerate(cells_of, start=1):
                values[:, : heads * layer] = found[component, layer]
            whole = np.concatenate(cells_of, axis=2)
            columns[f"[{component}]"] = np.nan_to_num(whole)
            arrays[f"exists/[{component}]"] = ~np.isnan(whole[0])
        shape = {"layers": layers, "heads": heads, "mlp": config.d_mlp > 0}
        contents, about = prompts.contents(pairs), {**shape, **prompts.about(pairs)}
        clusters = clusters_of(names, pairs)
        return Items(names, columns, clusters, arrays, metadata=about, contents=[contents[name] for name in names])

    def _layer(
        self, prompts: Prompts, pairs: Sequence[Pair], component: Component, layer: int, run: Run, options: Any
    ) -> np.ndarray[Any, Any]:
        """[n, senders, heads] the cells whose receivers are in ``layer``; kept in the work folder, so that a study
        that is run again after it was stopped goes on with the layer it was at."""
        from toulmin.paths.matrix import head_to_head

        def make() -> Json:
            receivers = [f"L{layer}.H{head}" for head in range(prompts.model.config.n_heads)]
            found = head_to_head(prompts.model, pairs, component, receivers=receivers, **options)
            return {"cells": found.per_prompt.tolist()}

        return np.array(keep_piece(run.workdir, f"{component}-{layer}", make)["cells"])

    def summarise(self, items: Items) -> Summary:
        """A heatmap and the strongest cells of each component."""
        layers, heads, mlp = (items.metadata[name] for name in ("layers", "heads", "mlp"))
        head = [f"L{layer}.H{h}" for layer in range(layers) for h in range(heads)]
        names = {f"[{c}]": (head[:-heads], head[heads:], ("sender", f"receiver [{c}]")) for c in self.components}
        parts = [f"H{h}" for h in range(heads)] + (["mlp"] if mlp else [])
        names["logits"] = (["embed", *(f"L{layer}" for layer in range(layers))], parts, ("layer", "component"))
        tables: list[Table] = []
        figures: list[Figure] = []
        best: dict[str, np.ndarray[Any, Any]] = {}
        for name, (rows, columns, axes) in names.items():
            cells = np.where(items[f"exists/{name}"][None], items[name], np.nan)
            title = (
                "Direct effect on the logits" if name == "logits" else f"Effect through {name[1]} of each later head"
            )
            labels = tuple(rows), tuple(columns)
            matrix = Matrix(title, *labels, cells, tuple(items.units), self.metric, self._unit, axes)
            tables.append(matrix.strongest())
            figures.append(matrix.heatmap())
            flat = int(np.nanargmax(np.abs(matrix.mean)))
            best[name] = cells.reshape(len(cells), -1)[:, flat]
        strongest = {"strongest_to_logits": best["logits"]}
        if self.components:
            to_heads = [best[f"[{c}]"] for c in self.components]
            strongest["strongest"] = max(to_heads, key=lambda values: abs(float(values.mean())))
        measures = {name: self.measure(name, values, items) for name, values in strongest.items()}
        return Summary(measures, tables=tables, figures=figures)
