"""``TrainedPromptStudy``: a :class:`PromptStudy` that trains something on other pairs than those it measures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field

from toulmin.evidence import content_of
from toulmin.studies import Items, Run
from toulmin.tasks.pair import Pair, clusters_of
from toulmin.tasks.prompt_study import Prompts, PromptStudy


class TrainedPromptStudy(PromptStudy):
    """A study that trains on ``n_train`` pairs, of a split of their own if the task has splits, and measures others."""

    train_split: str | None = None  #: of the task, for the pairs to train on; default the split of the measured ones
    n_train: int = Field(default=600, ge=2)  #: pairs to train on

    def open_prompts(self, run: Run) -> tuple[Prompts, tuple[Pair, ...], tuple[Pair, ...]]:
        """The subject, the pairs to train on, and those to measure; no two of them share a unit."""
        loaded = self.load(run)
        if self.train_split in (None, self.split):
            training, measured = loaded.disjoint_pairs((self.n_train, self.count), run.seed)
            return loaded, training, measured
        others = Prompts(self.model_copy(update={"split": self.train_split}), loaded.subject)
        return loaded, others.pairs(self.n_train, 2 * run.seed + 1), loaded.pairs(self.count, 2 * run.seed)


def prompt_items(pairs: Sequence[Pair], columns: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Items:
    """Items with one row a pair, clustered by template; rows that share a unit are told apart by their number."""
    units = [pair.unit or f"pair-{index}" for index, pair in enumerate(pairs)]
    ids = units if len(set(units)) == len(units) else [f"{unit}#{index}" for index, unit in enumerate(units)]
    labels = clusters_of(units, pairs) or units
    contents = [content_of(list(pair.clean)) for pair in pairs]
    return Items(ids, columns, None if labels == ids else labels, metadata=dict(about), contents=contents)
