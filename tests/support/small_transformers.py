"""The small model that the tests of paths share."""

from __future__ import annotations

from typing import Any

import torch

from toulmin.subjects import Transformer, TransformerConfig


def model_of(**changes: Any) -> Transformer:
    """A Transformer of two layers of two heads and an MLP, in float64, as it is initialised."""
    settings: dict[str, Any] = {"n_layers": 2, "d_model": 12, "n_heads": 2, "d_head": 4, "d_mlp": 16}
    settings |= {"d_vocab": 17, "n_ctx": 8}
    return Transformer(TransformerConfig(**(settings | changes)), torch.Generator().manual_seed(3)).double()
