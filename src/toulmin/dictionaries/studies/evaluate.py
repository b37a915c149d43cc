"""The study ``dictionary.evaluate``: do features mean something? Against known truth, and above random directions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from toulmin.dictionaries.studies.base import CONTROLS, LOCAL, DictionaryStudy, ObjectiveSetting
from toulmin.dictionaries.studies.train import judge
from toulmin.evidence import Chart, Items, Measure, Table
from toulmin.studies import Cost, Input, MeasureSpec, Run, Summary

if TYPE_CHECKING:
    from toulmin.dictionaries.architectures.dictionary import Dictionary

_SMALL: dict[str, Any] = {"truth": "synthetic", "architecture": "topk", "k": 4, "features": 64, "world_features": 48}


class EvaluateDictionary(DictionaryStudy):
    """What a dictionary recovers of a known truth, less what controls of equal budget recover.

    ``truth="synthetic"``: worlds of known features (:class:`toulmin.dictionaries.SyntheticFeatures`), one dictionary
    trained on each; worlds are the independent units. ``truth="stories"``: the factors of storyworld (roles of words,
    topics) on the activations of a language model; factors are the units, and ``dictionary`` may name a dictionary that
    exists already.
    """

    kind: ClassVar = "dictionary.evaluate"
    version: ClassVar = 1
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "mcc": MeasureSpec("1", "higher", "mean over units of the matched |cosine| or |correlation|", 0.0, 1.0),
        "f1": MeasureSpec("1", "higher", "mean over units of F1: of recovery, or of the best single feature", 0.0, 1.0),
        "mcc_above_control": MeasureSpec(
            "1", "higher", "mean over units of mcc less that of the frozen-decoder control", -1.0, 1.0
        ),
        "f1_above_control": MeasureSpec(
            "1", "higher", "mean over units of f1 less that of the frozen-decoder control", -1.0, 1.0
        ),
    }
    presets: ClassVar = {
        "tiny": {**_SMALL, "worlds": 3, "steps": 30, "batch": 256, "rows": 10, "world_width": 24},
        "demo": {**_SMALL, "features": 256, "world_features": 192, "k": 8, "worlds": 10, "steps": 500, "batch": 512},
        "full": {"truth": "stories", "objective": LOCAL.model_dump(), "sparsity": 4.0, "steps": 3000, "rows": 512},
    }

    truth: Literal["synthetic", "stories"] = "synthetic"
    objective: ObjectiveSetting = LOCAL
    sparsity: float = Field(default=0.0, ge=0)
    controls: tuple[Literal["frozen_decoder", "soft_frozen_decoder", "frozen_encoder"], ...] = Field(
        default=CONTROLS, min_length=1
    )  #: the first is what is subtracted
    dictionary: str | None = None  #: reference of a dictionary to evaluate; stories only
    worlds: int = Field(default=10, ge=1)  #: synthetic worlds
    world_width: int = Field(default=64, ge=2)
    world_features: int = Field(default=256, ge=2)
    world_l0: float = Field(default=6.0, gt=0)

    def inputs(self) -> tuple[Input, ...]:
        """The subject and the dictionary, for stories; synthetic worlds are generated."""
        if self.truth == "synthetic":
            return ()
        found = super().inputs()
        return found if self.dictionary is None else (*found, self.input("dictionary", self.dictionary))

    def cost(self) -> Cost:
        """A dictionary and its controls for each world."""
        runs = (1 + len(self.controls)) * (self.worlds if self.truth == "synthetic" else 1)
        tokens = self.steps * self.batch * (1 if self.truth == "synthetic" else self.length)
        return Cost(seconds=4 + 3e-5 * runs * tokens)

    def collect(self, run: Run) -> Items:
        """The recovery of every unit by the dictionary and by each control."""
        return self._synthetic(run) if self.truth == "synthetic" else self._stories(run)

    def _synthetic(self, run: Run) -> Items:
        from toulmin.dictionaries.controls import train_beside_controls
        from toulmin.dictionaries.recovery import measure_recovery
        from toulmin.dictionaries.synthetic import SyntheticFeatures

        run.prepare_torch()
        columns: dict[str, list[float]] = {}
        first = self.start_seed + run.seed * self.worlds
        for seed in run.track(range(first, first + self.worlds), "worlds"):
            world = SyntheticFeatures(self.world_width, self.world_features, self.world_l0, seed=seed)
            config = self.shape().config(self.world_width)
            made = train_beside_controls(
                config,
                self.objective.make(self.sparsity),
                world.batches(self.batch),
                self.shape().schedule(self.steps),
                self.controls,
                seed=seed,
            )
            x, _ = world.sample(10**6, 4096)
            for name, dictionary in made.items():
                found = measure_recovery(dictionary, x, world.directions)
                for key in ("mcc", "f1", "precision", "recall", "uniqueness", "dead", "shrinkage", "l0"):
                    columns.setdefault(f"{name}/{key}", []).append(getattr(found, key))
                columns.setdefault(f"{name}/explained_variance", []).append(found.explained_variance)
        units = [f"world-{seed}" for seed in range(first, first + self.worlds)]
        return Items(units, {name: np.array(values) for name, values in columns.items()}, metadata={"units": "worlds"})

    def _stories(self, run: Run) -> Items:
        import torch

        from toulmin.dictionaries.formats.own import load_dictionary
        from toulmin.dictionaries.recovery import match_correlations, recover_labels
        from toulmin.dictionaries.sites import clean_pass, find_sites
        from toulmin.dictionaries.story_truth import story_factors
        from toulmin.dictionaries.sweep import SweepRun, train_sweep
        from toulmin.tasks import Stories

        subject, split = self.load(run)
        model, seed = subject.model, self.start_seed + run.seed
        objective = self.objective.make(self.sparsity)
        runs = [SweepRun("trained", objective, seed)] if self.dictionary is None else []
        runs += [SweepRun(control, objective, seed, control=control) for control in self.controls]
        work = run.workdir / f"evaluate-{self.study_hash()[:16]}-{seed}"
        results = train_sweep(model, split, self.shape(), runs, workdir=work)
        made: dict[str, Dictionary] = {result.run.mode: result.dictionary for result in results}
        if self.dictionary is not None:
            made["trained"] = load_dictionary(self.resolver.locate(self.dictionary)).dictionary.to(model.W_E.device)
        (site,) = find_sites([self.site], model.config)
        columns: dict[str, Any] = {}
        names: tuple[str, ...] = ()
        source = split.held_out
        assert isinstance(source, Stories)
        rows, labels, names = story_factors(source, self.rows)
        acts = torch.cat([
            clean_pass(model, part, [site.reads], (), whole=False).activations[site.reads].flatten(0, 1)
            for part in rows.to(model.W_E.device).split(16)
        ])  # fmt: skip
        half = len(acts) // 2
        for name, dictionary in made.items():
            with torch.no_grad():
                codes = dictionary.eval().encode(acts).cpu()
            active = codes > 0
            found = recover_labels((active[:half], labels[:half]), (active[half:], labels[half:]), names)
            columns |= {f"{name}/f1": found.f1, f"{name}/union_f1": found.union_f1, f"{name}/needed": found.needed}
            columns[f"{name}/mcc"] = match_correlations(codes[half:], labels[half:])
            columns[f"{name}/l0"] = np.full(len(names), float(active.sum(1).double().mean()))
        return Items(list(names), columns, metadata={"units": "factors"})

    def summarise(self, items: Items) -> Summary:
        """Recovery, what is above the first control, and every control beside it."""
        of, control = str(items.metadata["units"]), self.controls[0]
        found: dict[str, Measure] = {}
        for name in ("mcc", "f1"):
            trained, random = items[f"trained/{name}"], items[f"{control}/{name}"]
            found[name] = self.measure(name, trained, items, n_of=of)
            found[f"{name}_above_control"] = self.measure(f"{name}_above_control", trained - random, items, n_of=of)
        keys = sorted({name.split("/", 1)[1] for name in items.columns})
        rows = [
            (name.replace("_", " "), *(float(items[f"{name}/{key}"].mean()) for key in keys))
            for name in ("trained", *self.controls)
        ]
        claim = f"recovers more than the {control.replace('_', '-')} control"
        caption = judge(found["mcc_above_control"], claim)
        interval = found["mcc_above_control"].interval
        if interval is not None and interval.low <= 0 <= interval.high:
            caption = f"No evidence of feature recovery. {caption}"
        table = Table(title="Recovery of the truth", columns=("dictionary", *keys), rows=tuple(rows), caption=caption)
        values = {n.replace("_", " "): items[f"{n}/mcc"] for n in ("trained", control)}
        chart = Chart.histogram(values, title=f"Matched similarity of {of}", unit="MCC", bins=20)
        return Summary(found, tables=[table], figures=[chart])
