"""Multiply-add counts of training, in floating-point operations (2 a multiply-add), so that runs of equal cost can be
compared and speeds put beside what is unavoidable."""

from __future__ import annotations

from toulmin.dictionaries.objective import Objective
from toulmin.subjects import TransformerConfig


def layer_flops(config: TransformerConfig, length: int) -> float:
    """B: one layer's forward pass for one token of a row of ``length``; attention looks at half the row on average."""
    width, heads = config.d_model, config.n_heads * config.d_head
    kv = config.kv_heads * config.d_head
    mlp = (3 if config.gated else 2) * width * config.d_mlp
    return 2 * (width * (2 * heads + 2 * kv) + mlp) + 2 * length * heads


def floor_flops(config: TransformerConfig, layer: int, objective: Objective, features: int, length: int) -> float:
    """What training one dictionary at ``L{layer}.resid_pre`` must cost a token.

    Local: l B + 10 d F (the dictionary's five matrix products, two forward and three backward). End to end:
    l B + 3 [(L - l) B + U] + 10 d F + (L - l) 4 T d, the three for the original's suffix, the inserted pass and its
    backward pass with respect to activations, the last term for attention's two-sided backward. A downstream loss
    without an output loss leaves U out.
    """
    block, width = layer_flops(config, length), config.d_model
    dictionary = 10.0 * width * features
    if not objective.end_to_end:
        return layer * block + dictionary
    after = config.n_layers - layer
    unembed = 2.0 * width * config.vocab_out if objective.of_output else 0.0
    return layer * block + 3 * (after * block + unembed) + dictionary + after * 4.0 * length * width
