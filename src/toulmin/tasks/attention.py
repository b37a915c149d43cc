"""The study ``tasks.attention``: which heads complete repetitions, and which look at the token before.

On random tokens that are repeated once, of every head: how much attention goes to the token after an earlier
occurrence of the present one (prefix matching, 1 for an ideal induction head; Olsson et al. 2022,
https://arxiv.org/abs/2209.11895), and how much to the token before. Each sequence gives one number a head, and
intervals resample sequences. A pattern says where a head looks, not what this does to the output: see ``paths``.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.evidence import Heatmap, Table, content_of
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Cost, Doubt, Input, Items, MeasureSpec, Run, Study, Summary

SCORES = {"prefix_matching": "Attention to what followed the token before", "previous_token": "Attention one back"}
_SHOWN = 10  # heads in a table


class Attention(Study):
    """Which heads complete repetitions of random tokens, and which look at the token before."""

    kind: ClassVar = "tasks.attention"
    version: ClassVar = 1
    measures: ClassVar = {
        "prefix_matching": MeasureSpec(
            "1", "neither", "mean over sequences, of the head where it is largest: attention to induction's token", 0, 1
        ),
        "previous_token": MeasureSpec(
            "1", "neither", "mean over sequences, of the head where it is largest: attention to the token before", 0, 1
        ),
    }
    presets: ClassVar = {
        "tiny": {"subject": "embedded:induction-2l", "n": 4, "half": 10},
        "demo": {"subject": "embedded:induction-2l", "n": 32, "half": 20},
        "full": {"subject": "embedded:induction-2l", "n": 200, "half": 30},
    }
    doubts: ClassVar = (
        Doubt(
            "looking",
            "Attention says where a head looks on random tokens, not what it writes, nor what it does on text.",
            "patching of the head's paths on the prompts of the claim",
        ),
    )

    subject: str  #: reference of the model
    n: int = Field(default=32, ge=2)  #: sequences
    half: int = Field(default=50, ge=2)  #: random tokens that are repeated once
    #: the token in front: true for the tokenizer's first one, false for none, or an id; default: as the tokenizer does
    bos: bool | Annotated[int, Field(ge=0)] | None = None
    batch: int = Field(default=4, ge=1)  #: sequences in one forward pass

    def inputs(self) -> tuple[Input, ...]:
        """The subject."""
        return (self.input("subject", self.subject),)

    def seed_changes_data(self) -> bool:
        """The tokens are drawn."""
        return True

    def cost(self) -> Cost:
        """A few milliseconds a sequence for the embedded subjects."""
        return Cost(seconds=3 + 0.01 * self.n)

    def collect(self, run: Run) -> Items:
        """[n, heads] both scores of each sequence.

        :raises FaultError: the subject cannot be loaded, or is no transformer; ``tasks.length`` (exit SUBJECT): the
            sequences are longer than what it reads; ``tasks.attention``: it has no token ``bos``.
        """
        import torch

        from toulmin.subjects import load
        from toulmin.tasks import prefix_matching_score, previous_token_score, repeated_tokens

        device = run.prepare_torch()
        subject = load(self.subject, self.resolver)
        model, tokenizer = subject.model.to(device).eval(), subject.tokenizer
        size = model.config.d_vocab if tokenizer is None else min(model.config.d_vocab, len(tokenizer))
        bos = self._bos(tokenizer, size)
        length = 2 * self.half + (bos is not None)
        if length > model.config.n_ctx:
            text = f"sequences of {length} tokens, and the model reads {model.config.n_ctx}"
            raise FaultError(Fault("tasks.length", text, name="half"), ExitCode.SUBJECT)
        tokens = repeated_tokens(self.n, self.half, size, run.seed, bos=bos).to(device)
        found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in SCORES}
        with torch.inference_mode():
            for part in run.track(tokens.split(self.batch), "reading sequences"):
                _, cache = model.run_with_cache(part, ["L*.pattern"])
                layers = [cache[f"L{layer}.pattern"] for layer in range(model.config.n_layers)]
                for row in range(len(part)):
                    one = part[row : row + 1]
                    scores = {
                        "prefix_matching": [
                            prefix_matching_score(layer[row : row + 1], one, skip_bos=bos is not None)
                            for layer in layers
                        ],
                        "previous_token": [previous_token_score(layer[row : row + 1]) for layer in layers],
                    }
                    for name, parts in scores.items():
                        found[name].append(torch.cat(parts).double().cpu().numpy())
        shape = {"layers": model.config.n_layers, "heads": model.config.n_heads}
        columns: dict[str, Any] = {name: np.stack(rows) for name, rows in found.items()}
        contents = [content_of(row) for row in tokens.tolist()]
        return Items([f"sequence-{i}" for i in range(self.n)], columns, metadata=shape, contents=contents)

    def _bos(self, tokenizer: Any, size: int) -> int | None:
        """The id of the token in front, if there is one.

        :raises FaultError: ``tasks.attention``: the vocabulary has no such token; the tokenizer has none of its own.
        """
        from toulmin.tasks.text import start_of_text

        if isinstance(self.bos, int) and not isinstance(self.bos, bool):
            if self.bos >= size:
                raise FaultError(Fault("tasks.attention", f"the vocabulary has {size} tokens", name=f"bos {self.bos}"))
            return self.bos
        if tokenizer is None:  # such a subject begins with token 0, as the embedded ones do
            return None if self.bos is False else 0
        start = start_of_text(tokenizer, self.bos)
        return start[0] if start else None

    def summarise(self, items: Items) -> Summary:
        """Both scores of the best head, a table of the ten best, and a map of all heads."""
        layers, heads = items.metadata["layers"], items.metadata["heads"]
        names = [f"L{layer}.H{head}" for layer in range(layers) for head in range(heads)]
        measures: dict[str, Any] = {}
        tables: list[Table] = []
        figures: list[Heatmap] = []
        for name, title in SCORES.items():
            means = items[name].mean(0)
            best = np.argsort(-means, kind="stable")[:_SHOWN].tolist()
            measures[name] = self.measure(name, items[name][:, best[0]], items, n_of="sequences")
            found = {names[head]: self.measure(name, items[name][:, head], items) for head in best}
            rows = tuple((head, one.value, *one.ends) for head, one in found.items())
            caption = f"Mean over {items.n} sequences of {2 * self.half} tokens."
            about = f"{caption} Low, high: 95% over sequences, not given below ten of them."
            tables.append(Table(title=title, columns=("head", name, "low", "high"), rows=rows, caption=about))
            grid = means.reshape(layers, heads).tolist()
            figures.append(
                Heatmap(
                    title=title,
                    caption=caption,
                    alt=f"Largest: {names[best[0]]}, {means[best[0]]:.2f}.",
                    x_labels=tuple(f"H{head}" for head in range(heads)),
                    y_labels=tuple(f"L{layer}" for layer in range(layers)),
                    values=tuple(tuple(row) for row in grid),
                    x_title="head",
                    y_title="layer",
                )
            )
        return Summary(measures, tables=tables, figures=figures)
