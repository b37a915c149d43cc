"""The study ``paths.matrix``: every head's direct effect through the inputs of every later head, and on the logits."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from toulmin.evidence import Figure, Measure, Table, bootstrap_mean
from toulmin.paths.effect_matrix import Matrix
from toulmin.studies import Cost, Items, MeasureSpec, Run, Summary
from toulmin.tasks import PromptStudy, find_metric


class MatrixStudy(PromptStudy):
    """Sender-receiver effects of all pairs of heads, with intervals over references."""

    kind: ClassVar = "paths.matrix"
    version: ClassVar = 1
    measures: ClassVar = {
        "strongest": MeasureSpec("delta", "neither", "mean over references of the cell of largest absolute mean"),
        "strongest_to_logits": MeasureSpec("delta", "neither", "the same of the direct effects on the logits"),
    }
    presets: ClassVar = {
        "tiny": {"subject": "embedded:induction-2l", "task": "induction", "n": 8},
        "demo": {"subject": "embedded:induction-2l", "task": "induction", "n": 100},
        "full": {"subject": "embedded:induction-2l", "task": "induction", "n": 500},
    }

    components: tuple[Literal["Q", "K", "V"], ...] = Field(default=("Q", "K", "V"), min_length=1)
    measure: str = Field(default="signed_logit_diff", pattern="^(signed_logit_diff|signed_loss|kl)$")
    batch: int = Field(default=1024, ge=1)  #: pairs in one evaluation; activations are bounded by max_megabytes
    max_megabytes: int = Field(default=1024, ge=1)

    def measure_specs(self) -> dict[str, MeasureSpec]:
        """With the unit of the measure chosen."""
        unit = find_metric(self.measure).unit
        return {name: MeasureSpec(unit, spec.better, spec.estimator) for name, spec in self.measures.items()}

    def cost(self) -> Cost:
        """A fraction of a forward pass for each cell and pair."""
        return Cost(seconds=4 + 0.01 * self.count * len(self.components), bytes=self.max_megabytes * 2**20)

    def collect(self, run: Run) -> Items:
        """Effects of each cell on each reference."""
        from toulmin.paths.matrix import head_to_head, sender_to_logits

        prompts = self.load(run)
        model, pairs = prompts.model, prompts.pairs(seed=run.seed)
        options: dict[str, Any] = {"measure": self.measure, "batch": self.batch}
        options["max_bytes"] = self.max_megabytes * 2**20
        found = {f"[{c}]": head_to_head(model, pairs, c, **options) for c in run.track(self.components, "components")}
        found["logits"] = sender_to_logits(model, pairs, **options)
        columns: dict[str, Any] = {}
        arrays: dict[str, Any] = {}
        names = list(dict.fromkeys(found["logits"].references))
        for name, matrix in found.items():
            columns[name] = np.nan_to_num(matrix.per_reference)
            arrays[f"exists/{name}"] = ~np.isnan(matrix.per_reference[0])
        config = model.config
        arrays["shape"] = np.array([config.n_layers, config.n_heads, config.d_mlp > 0], dtype=np.int64)
        return Items(names, columns, arrays=arrays)

    def summarise(self, items: Items) -> Summary:
        """A heatmap and the strongest cells of each component."""
        layers, heads, mlp = items["shape"].tolist()
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
            matrix = Matrix(title, tuple(rows), tuple(columns), cells, tuple(items.units), self.measure, axes)
            tables.append(matrix.strongest())
            figures.append(matrix.heatmap())
            flat = int(np.nanargmax(np.abs(matrix.mean)))
            best[name] = cells.reshape(len(cells), -1)[:, flat]
        heads_best = max((best[f"[{c}]"] for c in self.components), key=lambda values: abs(float(values.mean())))
        declared = self.measure_specs()
        measures = {
            key: Measure(
                value=float(values.mean()),
                unit=declared[key].unit,
                better="neither",
                n=items.n,
                interval=bootstrap_mean(values),
            )
            for key, values in (("strongest", heads_best), ("strongest_to_logits", best["logits"]))
        }
        return Summary(measures, tables=tables, figures=figures)
