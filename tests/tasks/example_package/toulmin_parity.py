"""A task, a metric, a kind of subject and a study, as an outside package adds them."""

import numpy as np

from toulmin.studies import Doubt, Items, MeasureSpec, ReferenceKind, Summary
from toulmin.tasks import Metric, Pair, PromptStudy, Task


def parity(subject, *, length: int = 6) -> Task:
    """The parity of random bits; counterfactual: the last bit is flipped."""

    def make(n, seed, split):
        rows = np.random.default_rng(seed).integers(0, 2, (n, length)).tolist()
        return [Pair(r, (*r[:-1], 1 - r[-1]), (sum(r) % 2,), (1 - sum(r) % 2,)) for r in rows]

    return Task("parity", make)


def _load(path, dtype):
    import torch

    from toulmin.subjects import Subject, Transformer, TransformerConfig

    config = TransformerConfig(n_layers=2, d_model=8, n_heads=2, d_head=4, d_vocab=4, n_ctx=8)
    return Subject(Transformer(config, torch.Generator().manual_seed(int(path.read_text()))).to(dtype))


MARGIN = Metric("margin", lambda logits, batch, clean: logits.amax(-1) - logits.mean(-1), "logits", needs_clean=False)
SEEDED = ReferenceKind(lambda ref, resolver: resolver.base / ref.name, load=_load)


class Margin(PromptStudy):
    """How far the most likely token stands out, by the metric above, averaged over prompts."""

    kind = "parity.margin"
    version = 1
    measures = {"margin": MeasureSpec("logits", "higher", "mean over prompts")}
    doubts = (Doubt("length", "Longer rows may be harder.", "the margin at twice the length"),)
    presets = {"tiny": {"subject": "seeded:seed.txt", "task": "parity", "n": 12}}

    def collect(self, run):
        from toulmin.circuits import CircuitRunner

        prompts = self.load(run)
        pairs = prompts.pairs(seed=run.seed)
        margins = CircuitRunner(prompts.model, pairs, batch=self.batch).full_scores(["margin"])
        return Items([f"pair-{i}" for i in range(len(pairs))], margins, contents=[str(pair.clean) for pair in pairs])

    def summarise(self, items):
        return Summary({"margin": self.measure("margin", items["margin"], items)})
