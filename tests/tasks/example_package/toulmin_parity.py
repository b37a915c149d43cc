"""A task, a metric, a kind of subject and a study, as an outside package adds them."""

from typing import ClassVar

import numpy as np

from toulmin.studies import Doubt, Items, MeasureSpec, ReferenceKind, Summary
from toulmin.tasks import Metric, Pair, PromptStudy, Task


def parity(subject, *, length: int = 6) -> Task:
    """The parity of random bits; counterfactual: the last bit is flipped."""

    def make(n, seed, split):
        rows = np.random.default_rng(seed).integers(0, 2, (n, length)).tolist()
        return [Pair(r, [*r[:-1], 1 - r[-1]], [sum(r) % 2], [1 - sum(r) % 2]) for r in rows]

    return Task("parity", make)


def _margin(logits, batch, clean):
    return logits.gather(-1, batch.answers.expand(*logits.shape[:-1], 1))[..., 0] - logits.mean(-1)


MARGIN = Metric("margin", _margin, "logits", needs_clean=False)


def _load(path, dtype):
    import torch

    from toulmin.subjects import Subject, Transformer, TransformerConfig

    config = TransformerConfig(n_layers=2, d_model=8, n_heads=2, d_head=4, d_vocab=4, n_ctx=8)
    return Subject(Transformer(config, torch.Generator().manual_seed(int(path.read_text()))).to(dtype))


SEEDED = ReferenceKind(lambda ref, resolver: resolver.base / ref.name, load=_load)


class Margin(PromptStudy):
    """Mean margin over prompts."""

    kind: ClassVar = "parity.margin"
    version: ClassVar = 1
    measures: ClassVar = {"margin": MeasureSpec("logits", "higher", "mean over prompts")}
    doubts: ClassVar = (Doubt("length", "Longer rows may be harder.", "the margin at twice the length"),)
    presets: ClassVar = {"tiny": {"subject": "seeded:seed.txt", "task": "parity", "n": 12}}

    def collect(self, run):
        from toulmin.circuits import Circuit, CircuitRunner, Methodology

        prompts = self.load(run)
        runner = CircuitRunner(prompts.model, prompts.pairs(seed=run.seed), batch=self.batch)
        scores = runner.scores([Circuit.full(runner.graph)], Methodology(), ["margin"])["margin"]
        return Items([f"pair-{i}" for i in range(runner.n)], {"margin": scores[0]})

    def summarise(self, items):
        return Summary({"margin": self.measure("margin", items["margin"], items)})
