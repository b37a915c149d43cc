"""Exchanging features between two prompts: which features of a dictionary carry what a change of the prompt does?

Of a pair of prompts of equal length (a clean one, and a counterfactual one that differs from it in a few words) the
codes of chosen features at one layer are set, at every position, to their values in the counterfactual prompt:

    x' = x + sum over chosen f of (code_f(x_cf) - code_f(x)) direction_f

(interchange intervention of features; Marks et al. 2024, "Sparse feature circuits", section 2). What the dictionary
does not reconstruct stays as it is in the clean prompt. The features are those whose codes differ most between the
prompts of other pairs: no answer of the model is looked at to choose them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.subjects import Transformer
from toulmin.tasks import PairBatch

Streams = tuple[Float[Tensor, "B T D"], Float[Tensor, "B T D"]]


@torch.no_grad()
def pair_streams(model: Transformer, batches: Iterable[PairBatch], layer: int) -> list[Streams]:
    """The residual stream that ``layer`` reads, of the clean and of the counterfactual prompts of each batch."""
    return [(model.run_to(batch.clean, layer), model.run_to(batch.counterfactual, layer)) for batch in batches]


@torch.no_grad()
def code_differences(dictionary: Dictionary, streams: Iterable[Streams]) -> Float[Tensor, " F"]:
    """Mean over tokens of \\|code in the counterfactual prompt - code in the clean one\\| of every feature."""
    sums = [(dictionary.encode(b) - dictionary.encode(a)).abs().flatten(0, -2) for a, b in streams]
    return torch.cat(sums).mean(0)


@torch.no_grad()
def exchange_features(dictionary: Dictionary, streams: Streams, chosen: Tensor) -> Float[Tensor, "B T D"]:
    """The clean stream with the features ``chosen`` as they are in the counterfactual prompt."""
    clean, other = streams
    return clean + (dictionary.encode(other) - dictionary.encode(clean))[..., chosen] @ dictionary.directions[chosen]
