"""What a cut edge carries: another run, zeros, or means.

Under resampling the counterfactual run is a state of the same model, so a node all of whose inputs are counterfactual
has its cached value. Zeros and means are no run: a node reached by a live edge is recomputed from its inputs even if
all of them are cut, and nothing is pruned across it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.patching.cache import source_values
from toulmin.patching.graph import Graph

if TYPE_CHECKING:
    from toulmin.subjects import Transformer


def zero_values(model: Transformer, *, graph: Graph | None = None) -> Float[Tensor, "S 1 1 D"]:
    """Zeros for every source."""
    graph = graph or Graph.of(model)
    return model.W_E.new_zeros(len(graph.sources), 1, 1, model.config.d_model)


def resample_values(
    model: Transformer, tokens: Int[Tensor, "B T"], *, graph: Graph | None = None
) -> Float[Tensor, "S B T D"]:
    """What every source writes on other tokens."""
    return source_values(model, tokens, graph=graph).values


def mean_values(
    model: Transformer,
    batches: Iterable[Int[Tensor, "B T"]],
    *,
    graph: Graph | None = None,
    per_position: bool = True,
) -> Float[Tensor, "S 1 T D"]:
    """The mean of every source over all rows of all batches, at each position or ([S, 1, 1, D]) over all positions.

    :raises FaultError: ``patching.values`` where there are no batches, or per-position means of unequal lengths are
        asked.
    """
    total: Tensor | None = None
    count = 0
    for tokens in batches:
        values = source_values(model, tokens, graph=graph).values
        part = values.sum(1, keepdim=True) if per_position else values.sum((1, 2), keepdim=True)
        if total is not None and total.shape != part.shape:
            raise FaultError(Fault("patching.values", "means at each position need sequences of one length"))
        total = part if total is None else total + part
        count += tokens.shape[0] if per_position else tokens.numel()
    if total is None:
        raise FaultError(Fault("patching.values", "a mean over no data"))
    return total / torch.tensor(count, dtype=total.dtype)
