"""Transformers whose components are split into terms, run edge by edge, as the definition says."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toulmin.patching import Graph
from toulmin.subjects import Transformer

Functions = dict[str, dict[str, Callable[[Tensor], Tensor]]]


def dictionary(seed: int, features: int = 3, width: int = 12) -> dict[str, Callable[[Tensor], Tensor]]:
    """ReLU features of a random dictionary, and the error that is left: together the activation itself."""
    generator = torch.Generator().manual_seed(seed)
    encoder, decoder = (torch.randn(features, width, generator=generator, dtype=torch.float64) * 0.3 for _ in range(2))

    def feature(number: int, x: Tensor) -> Tensor:
        return torch.relu(x @ encoder[number] - 0.1)[..., None] * decoder[number]

    terms: dict[str, Callable[[Tensor], Tensor]] = {
        f"f{number}": (lambda x, number=number: feature(number, x)) for number in range(features)
    }
    return terms | {"error": lambda x: x - sum(feature(number, x) for number in range(features))}


TERMS: Functions = {"L0.mlp": dictionary(1), "L0.H1": dictionary(2, 2), "embed": dictionary(4, 1)}
MODELS = {
    "plain": {},
    "attention only": {"d_mlp": 0},
    "parallel": {"parallel": True},
    "llama": {"positions": "rotary", "norm": "rms", "gated": True, "n_kv_heads": 2, "activation": "silu"},
}


def terms_of(kind: str) -> Functions:
    return {name: parts for name, parts in TERMS.items() if kind != "attention only" or name != "L0.mlp"}


def by_hand(
    model: Transformer,
    graph: Graph,
    terms: Functions,
    tokens: Tensor,
    values: Tensor,
    mask: Tensor,
    scored: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One circuit, edge by edge: every receiver sums the terms it reads, every component is computed on its own.

    Returns the logits at ``scored`` (default the last position), [B, V], and what each source wrote, [S, B, T, D].
    """
    at, config = model.positions(tokens.shape[-1]), model.config
    written: dict[str, Tensor] = {}

    def write(component: str, value: Tensor) -> None:
        for term, function in terms.get(component, {"": lambda x: x}).items():
            written[f"{component}:{term}" if term else component] = function(value)

    def read(receiver: str, biases: int) -> Tensor:
        column, total = graph.receivers.index(receiver), torch.zeros(())
        for layer in model.layers[:biases]:
            total = total + layer.attn.b_O if layer.attn.b_O is not None else total
        for number, name in enumerate(graph.sources):
            if graph.allowed[number, column]:
                m = mask[number, column]
                total = total + (1 - m) * written[name] + m * values[number]
        return total

    write("embed", model.start(tokens, at))
    for index, layer in enumerate(model.layers):
        made = {}
        for head in range(config.n_heads):
            q, k, v = (layer.norm1(read(f"L{index}.H{head}[{slot}]", index)) for slot in "QKV")
            a = layer.attn
            z = a.attend(a.q(q, at, [head]), a.k(k, at, [head]), a.v(v, at, [head]), at)
            made[f"L{index}.H{head}"] = a.result(z, [head])[..., 0, :]
        if layer.mlp is not None and config.parallel:
            made[f"L{index}.mlp"] = layer.mlp_out(read(f"L{index}.mlp", index))
        for name, value in made.items():
            write(name, value)
        if layer.mlp is not None and not config.parallel:
            write(f"L{index}.mlp", layer.mlp_out(read(f"L{index}.mlp", index + 1)))
    place = torch.full((len(tokens),), tokens.shape[1] - 1) if scored is None else scored
    logits = model.unembed(read("logits", config.n_layers)[torch.arange(len(tokens)), place])
    return logits, torch.stack([written[name] for name in graph.sources])
