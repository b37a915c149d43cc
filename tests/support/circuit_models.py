"""A small Transformer in float64, random pairs and circuits, shared by the tests of circuits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from toulmin.circuits import Circuit, CircuitRunner, Methodology
from toulmin.patching import Graph
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import Pair

V, T = 13, 6


def model_of(seed: int = 0, **changes: Any) -> Transformer:
    settings: dict[str, Any] = {
        "n_layers": 2,
        "d_model": 8,
        "n_heads": 2,
        "d_head": 4,
        "d_vocab": V,
        "n_ctx": T,
        "d_mlp": 12,
    }
    generator = torch.Generator().manual_seed(seed)
    model = Transformer(TransformerConfig(**{**settings, **changes}), generator).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return model.requires_grad_(False)


def pairs_of(n: int = 6, seed: int = 1, length: int = T) -> list[Pair]:
    rng = np.random.default_rng(seed)
    found = []
    for index in range(n):
        answer, wrong = rng.choice(V, 2, replace=False)
        clean, other = (tuple(int(t) for t in rng.integers(0, V, length)) for _ in range(2))
        found.append(
            Pair(clean, other, (int(answer),), (int(wrong),), unit=f"p{index}", at=int(rng.integers(2, length)))
        )
    return found


def swapped(pairs: list[Pair]) -> list[Pair]:
    return [Pair(p.counterfactual, p.clean, p.answers, p.wrong, unit=p.unit, at=p.at) for p in pairs]


def logits_of(runner: CircuitRunner, circuits: list[Circuit], method: Methodology) -> Tensor:
    return torch.cat([out for _, out in runner.run(circuits, method)], 1)


def close(a: Tensor | np.ndarray, b: Tensor | np.ndarray, atol: float = 1e-11) -> None:
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=atol)


def some_circuits(graph: Graph, count: int = 4, positions: int | None = None) -> list[Circuit]:
    rng = np.random.default_rng(5)
    shape = graph.allowed.shape + ((positions,) if positions else ())
    allowed = graph.allowed if positions is None else graph.allowed[:, :, None]
    return [Circuit(graph, allowed & (rng.random(shape) < share)) for share in np.linspace(0.1, 0.8, count)]
