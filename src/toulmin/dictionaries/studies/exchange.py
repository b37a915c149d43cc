"""The study ``dictionary.exchange``: do a few features of a dictionary carry what a change of the prompt does?

A TopK dictionary of the residual stream that one layer reads is trained on the prompts of some pairs, beside one whose
decoder stays random. The ``k`` features whose codes differ most between the two prompts of those pairs are set, in the
clean prompts of *other* pairs, to their values in the counterfactual prompt
(:mod:`toulmin.dictionaries.exchange`). ``turned`` is the share of prompts in which the preferred answer changes by
that; beside it the same of ``k`` random features of the same dictionary, of the frozen-decoder dictionary's features,
and of the whole stream, which is all that any features of the layer could do.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from toulmin.evidence import Chart, Table
from toulmin.studies import Cost, Doubt, Items, MeasureSpec, Run, Summary
from toulmin.tasks import TrainedPromptStudy, prompt_items

KINDS = ("features", "random_features", "frozen_features", "stream")
ROWS, LR = 1024, 3e-3


class FeatureExchange(TrainedPromptStudy):
    """Share of answers that change when k features take their values in the counterfactual prompt, beside placebos."""

    kind: ClassVar = "dictionary.exchange"
    version: ClassVar = 1
    measures: ClassVar = {
        "turned": MeasureSpec("1", "neither", "share of prompts whose answer changes with k features", 0.0, 1.0),
        "turned_random": MeasureSpec("1", "neither", "the same with k random features", 0.0, 1.0),
        "turned_frozen": MeasureSpec("1", "neither", "the same with k features of a frozen decoder", 0.0, 1.0),
        "turned_stream": MeasureSpec("1", "neither", "the same with the whole residual stream", 0.0, 1.0),
        "above_frozen": MeasureSpec("1", "neither", "turned less turned_frozen, paired over prompts", -1.0, 1.0),
    }
    presets: ClassVar = {
        "tiny": {"subject": "embedded:induction-2l", "task": "induction", "layer": 1, "n": 24, "n_train": 40,
                 "features": 64, "steps": 20},
        "demo": {"subject": "embedded:clerk-schemer", "task": "deskworld.oversight", "split": "test",
                 "train_split": "train"},
        "full": {"subject": "embedded:clerk-schemer", "task": "deskworld.oversight", "split": "test",
                 "train_split": "train", "n": 1000, "steps": 1000},
    }  # fmt: skip
    doubts: ClassVar = (
        Doubt(
            "dictionary",
            "Another dictionary (other seed, size, layer) has other features; what these do not carry others may.",
            "the whole stream of the layer exchanged (`turned_stream`) on a subject in which it does nothing",
        ),
    )

    n: int | None = Field(default=150, ge=2)  #: pairs that are measured
    layer: int = Field(default=2, ge=0)  #: which reads the residual stream of the dictionary
    features: int = Field(default=384, ge=2)  #: of the dictionary
    active: int = Field(default=12, ge=1)  #: features of a token, TopK
    k: int = Field(default=16, ge=1)  #: features exchanged
    steps: int = Field(default=300, ge=1)  #: of training, 1024 tokens each

    def cost(self) -> Cost:
        """About 25 ms a step, of both dictionaries together."""
        return Cost(seconds=2 + 0.025 * self.steps + 0.002 * self.count)

    def collect(self, run: Run) -> Items:
        """Of each prompt which answer is preferred: as it is, and after each exchange."""
        import torch

        from toulmin.dictionaries import DictionaryConfig, Objective, train_beside_controls
        from toulmin.dictionaries.exchange import code_differences, exchange_features, pair_streams
        from toulmin.tasks import find_metric
        from toulmin.training import IndexedBatches, Schedule

        loaded, training, measuring = self.open_prompts(run)
        model, prefers = loaded.model, find_metric("choice_accuracy")
        known = pair_streams(model, loaded.batches(training), self.layer)
        tokens = torch.cat([stream.flatten(0, 1) for streams in known for stream in streams])

        def draw(i: int) -> torch.Tensor:
            generator = torch.Generator().manual_seed(1000 * run.seed + i)
            return tokens[torch.randint(len(tokens), (ROWS,), generator=generator).to(tokens.device)]

        config = DictionaryConfig("topk", tokens.shape[1], self.features, k=self.active, start="tied")
        schedule = Schedule(self.steps, LR, "cosine")
        made = train_beside_controls(
            config, Objective(local=1.0), IndexedBatches(draw), schedule, ["frozen_decoder"], seed=run.seed
        )
        ranked = {name: code_differences(one, known).argsort(descending=True) for name, one in made.items()}
        drawn = torch.randperm(self.features, generator=torch.Generator().manual_seed(run.seed))
        own, frozen = made["trained"], made["frozen_decoder"]
        columns = {name: np.zeros(len(measuring)) for name in ("clean", *KINDS)}
        for batch in loaded.batches(measuring):
            ((clean, other),) = pair_streams(model, [batch], self.layer)
            changed = {
                "clean": clean,
                "features": exchange_features(own, (clean, other), ranked["trained"][: self.k]),
                "random_features": exchange_features(own, (clean, other), drawn[: self.k].to(clean.device)),
                "frozen_features": exchange_features(frozen, (clean, other), ranked["frozen_decoder"][: self.k]),
                "stream": other,
            }
            rows = torch.arange(len(batch), device=clean.device)
            for name, stream in changed.items():
                with torch.no_grad():
                    logits = model.run_from(stream, self.layer)[rows, batch.at]
                columns[name][list(batch.index)] = prefers(logits, batch, logits).cpu().numpy()
        return prompt_items(measuring, columns, loaded.about(measuring))

    def summarise(self, items: Items) -> Summary:
        """Shares of changed answers, with intervals over what the prompts were made from."""
        turned = {name: (items[name] != items["clean"]).astype(float) for name in KINDS}
        names = dict(zip(("turned", "turned_random", "turned_frozen", "turned_stream"), KINDS, strict=True))
        measures = {name: self.measure(name, turned[kind], items, shares=True) for name, kind in names.items()}
        measures["above_frozen"] = self.measure("above_frozen", turned["features"] - turned["frozen_features"], items)
        labels = (f"{self.k} features", f"{self.k} random features", f"{self.k} of a frozen decoder", "whole stream")
        found = {label: measures[name] for label, name in zip(labels, names, strict=True)}
        rows = tuple((label, m.value, *m.ends) for label, m in found.items())
        table = Table(title="answers that change", columns=("exchanged", "share", "low", "high"), rows=rows)
        chart = Chart.of_measures(
            found,
            title="Answers that change when features take their values in the counterfactual prompt",
            unit="share",
            caption=f"At layer {self.layer}; features chosen on other prompts.",
        )
        return Summary(measures, tables=(table,), figures=(chart,))
