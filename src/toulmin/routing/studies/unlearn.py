"""The study ``routing.unlearn``: Expand, Route, Ablate against its rivals, with attacks (Cloud et al. 2024, 4.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from toulmin.evidence import Chart, Items, Table
from toulmin.faults import Fault, FaultError
from toulmin.studies import (
    Cost,
    Doubt,
    Input,
    Json,
    MeasureSpec,
    Run,
    Study,
    Summary,
    keep_piece,
    mean_over_seeds,
    seed_measure,
)

ROUTED = ("parameter", "activation", "forward", "random_labels", "random_region")
AFTERWARDS = ("rmu", "undo", "tuned_away")
WORDS = "words"  #: the labels that a short list of words gives
AT = (0, 1, 2, 5, 10, 20, 40, 80, 160, 320)  #: relearning steps at which the loss is read
NUMBERS = (
    "forget_before",
    "retain_before",
    "forget_ablated",
    "retain_ablated",
    "forget",
    "retain",
    "calibrated",
    "steered",
)
SHAPES: Mapping[str, dict[str, Any]] = {
    "small": {},
    "story-4l": {"layers": 4, "width": 128, "heads": 8, "mlp": 512, "region": 128, "lr": 1.5e-3},
}
_NATS = "nats/token"


class Unlearn(Study):
    """Losses on a topic to forget and on the rest, after unlearning and under attack, over label errors.

    ``text`` names a JSON file of real stories (``file:PATH``), whose theme is animals; without it the text is
    storyworld, and ``topic`` one of its ten. Conditions are the methods at each recall and precision of the labels;
    what unlearns after training (``rmu``, ``undo``, ``tuned_away``) runs at the first pair. With ``words`` the rows of
    a real text are labelled by a short list of words, whose recall and precision are measured, at these last.
    """

    kind: ClassVar = "routing.unlearn"
    version: ClassVar = 3
    measures: ClassVar = {}
    presets: ClassVar = {
        "tiny": {"seeds": 2, "rows": 3600, "steps": 8, "methods": ["base", "filtered", "parameter", "random_labels"],
                 "afterwards": [], "absorption": False, "relearning": 2, "tuning": 1},
        "demo": {"seeds": 2, "steps": 250, "methods": ["base", "filtered", "parameter", "random_labels"],
                 "afterwards": ["rmu"], "absorption": False},
        "full": {"seeds": 5, "steps": 3000, "rows": 60000, "errors": [
            [1.0, 1.0], [0.98, 1.0], [0.95, 1.0], [0.9, 1.0], [0.8, 1.0], [0.5, 1.0],
            [1.0, 0.9], [0.98, 0.9], [0.95, 0.9], [0.9, 0.9], [0.8, 0.9], [0.5, 0.9]]},
    }  # fmt: skip
    doubts: ClassVar = (
        Doubt(
            "attack",
            "Relearning on a few rows and one steering vector are two attacks; a stronger one may recover the topic.",
            "an attack with more steps, data or parameters, tuned against this model",
        ),
        Doubt(
            "toy",
            "The text is generated, or a thousand stories, and the model has at most 0.2 million parameters.",
            "the same measurement on a model and text of the claim's own size",
        ),
    )

    text: str | None = None
    topic: int = Field(default=7, ge=0, le=9)
    rows: int = Field(default=6000, ge=1200)
    length: int = Field(default=24, ge=8, le=64)
    shape: Literal["small", "story-4l"] = (
        "small"  #: 2 layers, width 32; or 4 layers, width 128, with its own learning rate
    )
    seeds: int = Field(default=5, ge=1, le=100)
    errors: tuple[tuple[float, float], ...] = ((1.0, 1.0),)  #: (recall, precision) of the labels
    words: bool = False  #: also label a real text by a short list of words
    methods: tuple[str, ...] = ("base", "filtered", *ROUTED)
    afterwards: tuple[str, ...] = AFTERWARDS
    absorption: bool = True
    steps: int = Field(default=400, ge=1)
    tuning: int = Field(default=20, ge=0)
    relearning: int = Field(default=40, ge=1, le=320)  #: steps of the attack
    documents: int = Field(default=16, ge=1, le=256)  #: rows of the topic that the attacker has
    tolerance: float = Field(default=0.1, ge=0)  #: nats a token of retain loss that tuned RMU may cost

    @property
    def _at(self) -> tuple[int, ...]:
        return tuple(step for step in AT if step <= self.relearning)

    def _labels(self) -> list[str]:
        """The names of the labellings: RECALL/PRECISION, or words."""
        return [f"{recall:g}/{precision:g}" for recall, precision in self.errors] + [WORDS] * self.words

    def _conditions(self) -> list[tuple[str, str]]:
        """Methods and labellings; what knows no labels, or runs once, is under the first labelling."""
        labels = self._labels()
        made = [(method, given) for given in labels for method in self.methods if method != "base"]
        return [("base", labels[0]), *made, *((method, labels[0]) for method in self.afterwards)]

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """Losses of each condition after unlearning and after the strongest relearning, and the gaps of the claims."""
        specs: dict[str, MeasureSpec] = {}
        for method, given in self._conditions():
            name = f"{method}@{given}"
            for part, better in (("forget", "higher"), ("retain", "lower"), ("relearned", "higher")):
                specs[f"{part}:{name}"] = MeasureSpec(_NATS, better, f"mean over seeds: {_TEXT[part]} of {name}", 0.0)  # type: ignore[arg-type]
        if self.words and self.text is None:
            raise FaultError(Fault("routing.words", "a list of words labels real text: give text", name="words"))
        if "parameter" in self.methods and "random_labels" in self.methods:
            text = "mean over seeds of the forget loss of parameter less the larger of the placebos'"
            specs["placebo_gap"] = MeasureSpec(_NATS, "higher", text)
        if "parameter" in self.methods and "filtered" in self.methods:
            text = "mean over seeds of the relearned forget loss of parameter less that of filtered, last label errors"
            specs["filter_gap"] = MeasureSpec(_NATS, "higher", text)
        if "parameter" in self.methods and "rmu" in self.afterwards:
            text = "mean over seeds of relearning steps to the base model's forget loss, parameter over tuned RMU; "
            text += "where parameter does not come to it the last step that was looked at, so at least this"
            specs["steps_ratio"] = MeasureSpec("1", "higher", text, 0.0)
        if self.absorption:
            for how in ("word", "random"):
                text = "mean over seeds of the loss on unlabelled topic tokens after routing and ablating the others, "
                specs[f"absorption_{how}"] = MeasureSpec(_NATS, "higher", text + f"less after filtering them; by {how}")
        return specs

    def inputs(self) -> tuple[Input, ...]:
        """The text, where it is a file."""
        return () if self.text is None else (self.input("text", self.text),)

    def cost(self) -> Cost:
        """About 15 ms a training step of one core, and 6 s of attacks a model; 6 times that for story-4l's."""
        runs = len(self._conditions()) + 5 * self.absorption
        times = 6 if self.shape == "story-4l" else 1
        return Cost(seconds=3 + self.seeds * runs * times * (0.015 * self.steps + 6))

    def collect(self, run: Run) -> Items:
        """Every condition of every seed, one piece each."""
        run.prepare_torch()
        pieces: dict[tuple[int, str], Json] = {}
        wanted = [(seed, c) for seed in range(self.seeds) for c in self._conditions()]
        for seed, (method, given) in run.track(wanted, "models"):
            number = run.seed * 1000 + seed
            pieces[seed, f"{method}@{given}"] = keep_piece(
                run.workdir,
                f"{method}-{given.replace('/', '-')}-{number}",
                lambda m=method, g=given, n=number: self._one(m, g, n),
            )
        columns: dict[str, Any] = {}
        for name in dict.fromkeys(name for _, name in pieces):
            for number_name in pieces[0, name]:
                if number_name != "sweep":
                    values = [pieces[seed, name][number_name] for seed in range(self.seeds)]
                    columns[f"{name}/{number_name}"] = np.array(values)
        if self.absorption:
            for how in ("word", "random"):
                made = [
                    keep_piece(run.workdir, f"absorption-{how}-{s}", lambda h=how, n=s: self._absorb(h, n))
                    for s in range(run.seed * 1000, run.seed * 1000 + self.seeds)
                ]
                columns |= {f"absorption/{how}/{k}": np.array([m[k] for m in made]) for k in made[0]}
        if self.words:
            found = [self._word_errors(run.seed * 1000 + s) for s in range(self.seeds)]
            columns |= {f"words/{k}": np.array([f[i] for f in found]) for i, k in enumerate(("recall", "precision"))}
        sweeps = {name: pieces[0, name]["sweep"] for _, name in pieces if "sweep" in pieces[0, name]}
        units = [f"seed {run.seed * 1000 + s}" for s in range(self.seeds)]
        return Items(units, columns, metadata={"rmu_sweep": next(iter(sweeps.values()), [])})

    def _setting(self, seed: int) -> tuple[Any, Any]:
        from toulmin.routing.corpora import storyworld_corpus, text_corpus
        from toulmin.routing.unlearning import Recipe

        sizes = SHAPES[self.shape]
        recipe = Recipe(steps=self.steps, tuning=self.tuning, relearning=self.relearning, **sizes)
        if self.text is not None:
            return text_corpus(self.resolver.locate(self.text), self.length, seed, relearn=self.documents), recipe
        return storyworld_corpus(self.rows, self.length, self.topic, seed, relearn=self.documents), recipe

    def _word_errors(self, seed: int) -> tuple[float, float]:
        from toulmin.routing.corpora import measured_errors

        corpus, _ = self._setting(seed)
        return measured_errors(corpus.quick, corpus.about)

    def _one(self, method: str, given: str, seed: int) -> Json:
        from toulmin.routing import baselines, unlearning
        from toulmin.routing.corpora import label_rows

        corpus, recipe = self._setting(seed)
        labelled = corpus.quick
        if given != WORDS:
            recall, precision = map(float, given.split("/"))
            labelled = label_rows(corpus.about, recall, precision, seed)
        trained = "base" if method in AFTERWARDS else method
        model = unlearning.train_model(corpus, labelled, trained, recipe, seed)
        found: Json = {}

        def measure(suffix: str, now: Any) -> None:
            found[f"forget{suffix}"] = unlearning.mean_loss(now, corpus.test_forget)
            found[f"retain{suffix}"] = unlearning.mean_loss(now, corpus.test_retain)

        measure("_before", model)
        gone = final = model
        if method in ROUTED:
            gone, final = unlearning.remove_region(model, corpus, labelled, method, recipe, seed, "zero")
            _, again = unlearning.remove_region(model, corpus, labelled, method, recipe, seed, "reinit")
            found["curve_reinit"] = unlearning.relearning_curve(again, corpus, recipe, seed, self._at)
        elif method in ("rmu", "undo"):
            gone, sweep = baselines.tuned_rmu(model, corpus, labelled, recipe, seed, tolerance=self.tolerance)
            found["sweep"] = [[t.scale, t.weight, t.forget, t.retain] for t in sweep]
            final = gone
            if method == "undo":
                final = baselines.undo(gone, corpus.train[~labelled], recipe, seed, self.steps // 2)
        elif method == "tuned_away":
            final = baselines.tuned_away(model, corpus, labelled, recipe, seed, self.steps // 4)
        measure("_ablated", gone)
        measure("", final)
        found["calibrated"] = unlearning.calibrated_loss(final, corpus)
        found["steered"] = unlearning.steered_loss(final, corpus)
        found["curve"] = unlearning.relearning_curve(final, corpus, recipe, seed, self._at)
        found.setdefault("curve_reinit", found["curve"])
        return found

    def _absorb(self, how: str, seed: int) -> Json:
        """Losses on the half of the topic's tokens that is never labelled: base, filtered, routed and ablated."""
        import torch

        from toulmin.routing import unlearning

        corpus, recipe = self._setting(seed)
        chosen = torch.rand(corpus.vocabulary, generator=torch.Generator().manual_seed(seed)) < 0.5
        mask = corpus.topic_tokens & chosen if how == "word" else chosen
        left = corpus.topic_tokens & ~mask
        found: Json = {}
        for method in ("base", "filtered", "parameter"):
            model = unlearning.train_model(corpus, corpus.about, method, recipe, seed, mask)
            if method == "parameter":
                model, _ = unlearning.remove_region(model, corpus, corpus.about, method, recipe, seed, "zero")
            with torch.no_grad():
                losses = unlearning.token_losses(model, corpus.test_forget)
            found[method] = float(losses[left[corpus.test_forget[:, 1:]]].mean())
            found[f"{method}_retain"] = unlearning.mean_loss(model, corpus.test_retain)
        return found

    def summarise(self, items: Items) -> Summary:
        """Losses, gaps, relearning curves, and the sweep of RMU."""
        specs = self.measure_specs()
        values: dict[str, np.ndarray] = {}
        rows: list[tuple[Any, ...]] = []
        names = [f"{method}@{given}" for method, given in self._conditions()]
        for name in names:
            values[f"forget:{name}"], values[f"retain:{name}"] = items[f"{name}/forget"], items[f"{name}/retain"]
            strongest = np.minimum(items[f"{name}/curve"].min(1), items[f"{name}/curve_reinit"].min(1))
            values[f"relearned:{name}"] = strongest
            row: list[Any] = [name]
            for quantity in NUMBERS:
                row.append(float(items[f"{name}/{quantity}"].mean()))
            rows.append((*row, *mean_over_seeds(strongest)))
        first, last = (f"@{self._labels()[i]}" for i in (0, -1))
        if "placebo_gap" in specs:
            placebos = [items[f"{m}{first}/forget"] for m in ("random_labels", "random_region") if m in self.methods]
            values["placebo_gap"] = items[f"parameter{first}/forget"] - np.max(placebos, axis=0)
        if "filter_gap" in specs:
            values["filter_gap"] = values[f"relearned:parameter{last}"] - values[f"relearned:filtered{last}"]
        if "steps_ratio" in specs:
            target = items[f"base{first}/forget"]
            ours, theirs = (_steps(items, f"{m}{first}", target, self._at) for m in ("parameter", "rmu"))
            values["steps_ratio"] = ours / np.maximum(theirs, 1.0)
        for how in ("word", "random") if self.absorption else ():
            routed, filtered = items[f"absorption/{how}/parameter"], items[f"absorption/{how}/filtered"]
            values[f"absorption_{how}"] = routed - filtered
        measures = {name: seed_measure(specs[name], v) for name, v in values.items()}
        caption = "Nats a token on held-out rows, mean over seeds; intervals over seeds, 95%."
        columns = ("condition", *NUMBERS, "relearned", "low", "high")
        tables = [Table(title="Losses", columns=columns, rows=tuple(rows), caption=caption)]
        if sweep := items.metadata.get("rmu_sweep"):
            cells = tuple(tuple(row) for row in sweep)
            tables.append(
                Table(title="Sweep of RMU, first seed", columns=("c", "alpha", "forget", "retain"), rows=cells)
            )
        if self.words:
            cells = tuple((k, *mean_over_seeds(items[f"words/{k}"])) for k in ("recall", "precision"))
            title = "Labels by the short list of words"
            tables.append(Table(title=title, columns=("measured", "mean over seeds", "low", "high"), rows=cells))
        return Summary(measures, tables=tables, figures=self._figures(items, names, values))

    def _figures(self, items: Items, names: list[str], values: dict[str, np.ndarray]) -> list[Chart]:
        charts = []
        for precision in dict.fromkeys(q for _, q in self.errors):
            recalls = sorted(r for r, q in self.errors if q == precision)
            series = {
                method: (recalls, [float(values[f"relearned:{method}@{r:g}/{precision:g}"].mean()) for r in recalls])
                for method in self.methods
                if method != "base"
            }
            title = f"Forget loss after relearning over the labels' recall, precision {precision:g}"
            if len(recalls) > 1:
                charts.append(
                    Chart.curves(series, title=title, x="recall", y="lowest held-out forget loss, nats/token")
                )
        for suffix, text in (("curve", "the region left at zero"), ("curve_reinit", "the region drawn afresh")):
            series = {name: (self._at, items[f"{name}/{suffix}"].mean(0)) for name in names}
            title = f"Relearning, {text}"
            charts.append(Chart.curves(series, title=title, x="relearning steps", y="held-out forget loss, nats/token"))
        return charts


_TEXT = {
    "forget": "held-out forget loss after unlearning",
    "retain": "held-out retain loss after unlearning",
    "relearned": "lowest held-out forget loss under relearning, region at zero or drawn afresh,",
}


def _steps(items: Items, name: str, target: np.ndarray, at: tuple[int, ...]) -> np.ndarray:
    """Relearning steps until the base model's forget loss; the last of ``at`` where it is not reached."""
    from toulmin.routing.relearning import steps_to

    curves = np.minimum(items[f"{name}/curve"], items[f"{name}/curve_reinit"])
    return np.array([steps_to(curve, at, float(t)) for curve, t in zip(curves, target, strict=True)])


__all__ = ["Unlearn"]
