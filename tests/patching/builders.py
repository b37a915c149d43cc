"""Small models and tokens that the tests of patching share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from toulmin.subjects import Transformer, TransformerConfig

VOCABULARY = 17


def small_transformer(**changes: Any) -> Transformer:
    """A Transformer of two layers in float64, every bias and norm weight away from its initial value."""
    settings: dict[str, Any] = {"n_layers": 2, "d_model": 12, "n_heads": 4, "d_head": 4, "d_mlp": 20, "norm": "layer"}
    settings |= {"d_vocab": VOCABULARY, "n_ctx": 8}
    config = TransformerConfig(**(settings | changes))
    generator = torch.Generator().manual_seed(3)
    model = Transformer(config, generator).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model


def two_runs(batch: int = 3, length: int = 6, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Clean and counterfactual tokens."""
    generator = torch.Generator().manual_seed(seed)
    clean, counterfactual = (torch.randint(VOCABULARY, (batch, length), generator=generator) for _ in range(2))
    return clean, counterfactual


def close(found: Tensor, expected: Tensor, atol: float = 1e-10) -> None:
    """Equal up to an absolute error."""
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)
