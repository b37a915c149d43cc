"""The study ``tasks.behaviour``: how a subject does on a task.

For each pair, at the scored position of the clean prompt: is the most likely next token right (accuracy), -ln p(right)
(loss, nats a token), mean logit of the right tokens minus that of the wrong ones (logit_diff); and how much of that
logit difference goes when the counterfactual prompt is read instead (contrast). Accuracy has Wilson's interval over
units, the means a BCa bootstrap over units; a unit with several pairs counts once, by its mean.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from toulmin.evidence import Chart, Measure, Table, bootstrap_mean, wilson
from toulmin.studies import Cost, Input, Items, MeasureSpec, Run, Study, Summary

BATCH = 64


class Behaviour(Study):
    """How a subject does on a task: accuracy, loss, logit difference, with intervals over prompts."""

    kind: ClassVar = "tasks.behaviour"
    version: ClassVar = 1
    measures: ClassVar = {
        "accuracy": MeasureSpec("1", "higher", "share of prompts whose most likely next token is right"),
        "loss": MeasureSpec("nats/token", "lower", "mean over prompts of -ln p(right tokens)"),
        "logit_diff": MeasureSpec("logits", "higher", "mean over prompts of logit(right) - logit(wrong)"),
        "contrast": MeasureSpec(
            "logits", "higher", "mean over prompts of logit_diff on the clean less on the counterfactual prompt"
        ),
    }
    presets: ClassVar = {
        "tiny": {"subject": "embedded:induction-2l", "task": "induction", "n": 16},
        "demo": {"subject": "embedded:induction-2l", "task": "induction", "n": 200},
        "full": {"subject": "embedded:induction-2l", "task": "induction", "n": 2000},
    }

    subject: str  #: reference of the model
    task: str | None = None  #: a task of the catalogue
    options: dict[str, Any] = Field(default_factory=dict[str, Any])  #: of that task
    split: str | None = None
    n: int = Field(default=200, ge=2)  #: pairs to generate
    pairs: str | None = None  #: or: reference of a JSON-lines file of pairs

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.task is None) == (self.pairs is None):
            raise ValueError("give either task, or pairs")
        return self

    def inputs(self) -> tuple[Input, ...]:
        """The subject, and the pairs' file if there is one."""
        found = [self.input("subject", self.subject)]
        if self.pairs is not None:
            found.append(self.input("pairs", self.pairs))
        return tuple(found)

    def seed_changes_data(self) -> bool:
        """Whether the pairs are generated."""
        return self.task is not None

    def cost(self) -> Cost:
        """A few milliseconds a prompt for the embedded subjects."""
        return Cost(seconds=3 + 0.01 * self.n)

    def collect(self, run: Run) -> Items:
        """Scores of each pair; a unit that several pairs share is averaged."""
        import torch

        from toulmin.subjects import load
        from toulmin.tasks import accuracy, at_position, batch_pairs, cross_entropy, find_task, logit_diff, read_pairs

        device = run.prepare_torch()
        subject = load(self.subject, self.resolver)
        model = subject.model.to(device).eval()
        if self.task is not None:
            pairs = find_task(self.task, subject, **self.options).generate(self.n, run.seed, self.split)
        else:
            pairs = read_pairs(self.resolver.locate(self.pairs or ""), vocabulary=subject.transformer.config.d_vocab)
        scores = {name: np.zeros(len(pairs)) for name in ("accuracy", "loss", "logit_diff", "counterfactual")}
        batches = list(batch_pairs(pairs, BATCH))
        with torch.inference_mode():
            for batch in run.track(batches, "scoring prompts"):
                moved = batch.to(device)
                clean = at_position(model(moved.clean), moved.at).double()
                other = at_position(model(moved.counterfactual), moved.at).double()
                rows = np.array(moved.index)
                for name, values in (
                    ("accuracy", accuracy(clean, moved.answers)),
                    ("loss", cross_entropy(clean, moved.answers)),
                    ("logit_diff", logit_diff(clean, moved.answers, moved.wrong)),
                    ("counterfactual", logit_diff(other, moved.answers, moved.wrong)),
                ):
                    scores[name][rows] = values.cpu().numpy()
        return _by_unit([pair.unit for pair in pairs], scores)

    def summarise(self, items: Items) -> Summary:
        """Means with intervals over units, and the distribution of the logit differences."""
        n = items.n
        accuracy = items["accuracy"]
        hits = float(accuracy.sum())
        whole = bool(np.isin(accuracy, (0.0, 1.0)).all())
        contrast = items["logit_diff"] - items["counterfactual"]
        means = {"loss": items["loss"], "logit_diff": items["logit_diff"], "contrast": contrast}
        measures = {
            "accuracy": Measure(
                value=hits / n,
                unit="1",
                better="higher",
                n=n,
                interval=wilson(round(hits), n) if whole else bootstrap_mean(accuracy),
            )
        }
        for name, values in means.items():
            spec = self.measures[name]
            interval = bootstrap_mean(values)
            measures[name] = Measure(
                value=float(values.mean()), unit=spec.unit, better=spec.better, n=n, interval=interval
            )
        rows = tuple(
            (name, m.value, m.interval.low, m.interval.high, m.unit)
            for name, m in measures.items()
            if m.interval is not None
        )
        table = Table(title="behaviour", columns=("measure", "value", "low", "high", "unit"), rows=rows)
        figure = Chart.histogram(
            {"clean": items["logit_diff"], "counterfactual": items["counterfactual"]},
            title="Logit difference of each prompt",
            unit="logits",
            caption="Right minus wrong answer of the clean prompt, read from the clean and from the counterfactual.",
            alt=f"Histogram: clean mean {means['logit_diff'].mean():.2f}, "
            f"counterfactual mean {items['counterfactual'].mean():.2f} logits.",
        )
        return Summary(measures, tables=(table,), figures=(figure,))


def _by_unit(units: list[str], scores: dict[str, NDArray[np.float64]]) -> Items:
    names = list(dict.fromkeys(unit or f"pair-{i}" for i, unit in enumerate(units)))
    place = {name: i for i, name in enumerate(names)}
    index = np.array([place[unit or f"pair-{i}"] for i, unit in enumerate(units)])
    counts = np.bincount(index, minlength=len(names))
    return Items(names, {key: np.bincount(index, values, len(names)) / counts for key, values in scores.items()})
