"""The study ``tasks.behaviour``: how a subject does on a task.

For each pair, at the scored position of the clean prompt: is the most likely next token right (accuracy), -ln p(right)
(loss, nats a token), mean logit of the right tokens minus that of the wrong ones (logit_diff); and how much of that
logit difference goes when the counterfactual prompt is read instead (contrast). Accuracy has Wilson's interval over
units, the means a BCa bootstrap over units; a unit with several pairs counts once, by its mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from toulmin.evidence import Chart, Table, average_by_unit
from toulmin.studies import Cost, Doubt, Items, MeasureSpec, Run, Summary
from toulmin.tasks.metrics import find_metric
from toulmin.tasks.pair import clusters_of
from toulmin.tasks.prompt_study import PromptStudy


class Behaviour(PromptStudy):
    """How a subject does on a task: accuracy, loss, logit difference, with intervals over prompts."""

    kind: ClassVar = "tasks.behaviour"
    version: ClassVar = 1
    measures: ClassVar = {
        "accuracy": MeasureSpec("1", "higher", "share of prompts whose most likely next token is right", 0.0, 1.0),
        "loss": MeasureSpec("nats/token", "lower", "mean over prompts of -ln p(right tokens)", 0.0),
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
    doubts: ClassVar = (
        Doubt(
            "distribution",
            "The prompts are a sample of one distribution; the claim may be read as about the deployment's.",
            "a context that limits the claim to this distribution, or evidence on the deployment's",
        ),
    )

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """Windows of a text name no wrong token, so that they have no logit difference."""
        lacking = ("logit_diff", "contrast") if self.text is not None else ()
        return {name: spec for name, spec in self.measures.items() if name not in lacking}

    def cost(self) -> Cost:
        """A few milliseconds a prompt for the embedded subjects."""
        return Cost(seconds=3 + 0.01 * self.count)

    def collect(self, run: Run) -> Items:
        """Scores of each pair; a unit that several pairs share is averaged."""
        import torch

        from toulmin.tasks import accuracy, at_position, cross_entropy, logit_diff

        prompts = self.load(run)
        pairs, model = prompts.pairs(seed=run.seed), prompts.model
        chosen = self.measure_specs()
        if "logit_diff" in chosen:
            find_metric("logit_diff").check((pair.unit, len(pair.wrong)) for pair in pairs)
        scores = {name: np.zeros(len(pairs)) for name in ("accuracy", "loss")}
        scores |= {name: np.zeros(len(pairs)) for name in ("logit_diff", "counterfactual") if "logit_diff" in chosen}
        prompts.announce(run, pairs, (2 if "logit_diff" in chosen else 1) * len(pairs))
        batches = list(prompts.batches(pairs))
        with torch.inference_mode():
            for batch in run.track(batches, "scoring prompts"):
                rows = np.array(batch.index)
                clean = at_position(model(batch.clean), batch.at).double()
                found = {"accuracy": accuracy(clean, batch.answers), "loss": cross_entropy(clean, batch.answers)}
                if "logit_diff" in chosen:
                    counterfactual = at_position(model(batch.counterfactual), batch.at).double()
                    found["logit_diff"] = logit_diff(clean, batch.answers, batch.wrong)
                    found["counterfactual"] = logit_diff(counterfactual, batch.answers, batch.wrong)
                for name, values in found.items():
                    scores[name][rows] = values.cpu().numpy()
        units, means = average_by_unit([pair.unit or f"pair-{i}" for i, pair in enumerate(pairs)], scores)
        contents = prompts.contents(pairs)
        about = prompts.about(pairs)
        clusters = clusters_of(units, pairs)
        return Items(units, means, clusters, metadata=about, contents=[contents[unit] for unit in units])

    def summarise(self, items: Items) -> Summary:
        """Means with intervals over units, and the distribution of the logit differences."""
        means = {"accuracy": items["accuracy"], "loss": items["loss"]}
        if "logit_diff" in items.columns:
            means["logit_diff"] = items["logit_diff"]
            means["contrast"] = items["logit_diff"] - items["counterfactual"]
        measures = {name: self.measure(name, values, items) for name, values in means.items()}
        rows = tuple(
            (name, m.value, m.interval.low, m.interval.high, m.unit)
            for name, m in measures.items()
            if m.interval is not None
        )
        table = Table(title="behaviour", columns=("measure", "value", "low", "high", "unit"), rows=rows)
        if "logit_diff" not in means:
            return Summary(measures, tables=(table,))
        figure = Chart.histogram(
            {"clean": items["logit_diff"], "counterfactual": items["counterfactual"]},
            title="Logit difference of each prompt",
            unit="logits",
            caption="Right minus wrong answer of the clean prompt, read from the clean and from the counterfactual.",
            alt=f"Histogram: clean mean {means['logit_diff'].mean():.2f}, "
            f"counterfactual mean {items['counterfactual'].mean():.2f} logits.",
        )
        return Summary(measures, tables=(table,), figures=(figure,))
