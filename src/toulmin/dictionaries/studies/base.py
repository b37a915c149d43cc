"""What the studies of dictionaries share: the subject, the tokens, the dictionary's shape. No torch at the top."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from toulmin.studies import Doubt, Input, Run, Study

if TYPE_CHECKING:
    from toulmin.dictionaries.objective import Objective
    from toulmin.dictionaries.sources import TokenSplit
    from toulmin.dictionaries.sweep import SweepShape
    from toulmin.subjects import Subject, Transformer

CONTROLS = ("frozen_decoder", "soft_frozen_decoder", "frozen_encoder")
Dtype = Literal["float32", "bfloat16", "float64"]


class ObjectiveSetting(BaseModel):
    """The coefficients of an objective (``toulmin.dictionaries.Objective``); sparsities are given beside it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    local: float = Field(default=0.0, ge=0)
    downstream: float = Field(default=0.0, ge=0)
    kl: float = Field(default=0.0, ge=0)
    ce: float = Field(default=0.0, ge=0)
    aux: float = Field(default=0.0, ge=0)
    balanced: bool = False
    p: float = Field(default=1.0, gt=0)
    form: Literal["reference", "paper"] = "reference"

    def make(self, sparsity: float, skip_first: int = 0, skip_norm_above: float | None = None) -> Objective:
        """The objective."""
        from toulmin.dictionaries.objective import Objective

        return Objective(sparsity=sparsity, **self.model_dump(), skip_first=skip_first, skip_norm_above=skip_norm_above)


LOCAL, E2E = ObjectiveSetting(local=1.0), ObjectiveSetting(kl=1.0)


class DictionaryStudy(Study):
    """Fields of every study that trains dictionaries on a language model's activations."""

    doubts: ClassVar = (
        Doubt(
            "random_directions",
            "Dictionaries with random, frozen directions reconstruct and are interpreted nearly as well "
            "(Korznikov et al. 2026): low cost does not show that the features are the model's.",
            "what the trained dictionary has above the frozen-decoder control, with its interval",
        ),
        Doubt(
            "uniqueness",
            "Another seed or size gives other features: a dictionary is one decomposition of many.",
            "the share of features found again by other seeds",
        ),
    )

    subject: str = "embedded:story-4l"  #: reference of the model
    site: str = "L2.resid_pre"  #: where the dictionary stands
    tokens: str = "stories"  #: what it is trained on: stories, or a reference of token ids or of a text
    length: int = Field(default=64, ge=2)  #: tokens of a row
    features: int = Field(default=512, ge=1)
    architecture: Literal["relu", "topk", "batch_topk", "jumprelu", "matryoshka"] = "relu"
    k: int | None = Field(default=None, ge=1)  #: of topk, batch_topk and matryoshka
    batch: int = Field(default=32, ge=1)  #: rows in one update
    steps: int = Field(default=400, ge=1)
    lr: float = Field(default=3e-3, gt=0)
    warmup: float = Field(default=0.05, ge=0, lt=1)  #: share of the steps
    floor: float = Field(default=0.1, ge=0, le=1)  #: the last learning rate, as a share of ``lr``
    clip: float | None = 10.0
    rows: int = Field(default=128, ge=10)  #: rows that are evaluated
    dtype: Dtype = "float32"  #: of the model's parameters
    start_seed: int = 0  #: of the first run's weights and data

    def inputs(self) -> tuple[Input, ...]:
        """The subject, and the file of tokens if there is one."""
        found = [self.input("subject", self.subject)]
        if self.tokens != "stories":
            found.append(self.input("tokens", self.tokens))
        return tuple(found)

    def load(self, run: Run) -> tuple[Subject[Transformer], TokenSplit]:
        """The subject on the run's device, and its tokens.

        :raises FaultError: either cannot be had.
        """
        import torch

        from toulmin.dictionaries.sources import split_tokens
        from toulmin.subjects import load

        device = run.prepare_torch()
        subject = load(self.subject, self.resolver, dtype=getattr(torch, self.dtype))
        subject.model.to(device).eval()
        split = split_tokens(self.tokens, subject, self.length, self.rows, self.resolver, self.start_seed + run.seed)
        return subject, split

    def shape(self) -> SweepShape:
        """The dictionary and the training run."""
        from toulmin.dictionaries.sweep import SweepShape

        return SweepShape(
            self.site, self.architecture, self.features, self.k, self.batch, self.steps, self.lr, self.warmup,
            self.floor, self.clip,
        )  # fmt: skip


class SkippingStudy(DictionaryStudy):
    """A study that can leave tokens of very large activations without a dictionary, as real language models need."""

    skip_first: int = Field(default=0, ge=0)  #: positions at the beginning of every row
    skip_norm_above: float | None = Field(default=None, gt=0)  #: a norm, 10 times the median say

    def make(self, objective: ObjectiveSetting, sparsity: float) -> Objective:
        """An objective about the other tokens."""
        return objective.make(sparsity, self.skip_first, self.skip_norm_above)


def as_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers as plain floats."""
    return {name: float(value) if hasattr(value, "item") else value for name, value in values.items()}
