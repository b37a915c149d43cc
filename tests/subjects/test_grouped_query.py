"""Grouped-query attention against a forward pass of its own: loops over heads and positions, no code of ours."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from toulmin.subjects import Transformer, TransformerConfig

HEADS, TOKENS = 8, torch.tensor([[3, 1, 4, 1, 5], [2, 7, 1, 0, 6]])


def given(weight: Tensor | None) -> Tensor:
    assert weight is not None
    return weight


def make(kv_heads: int, *, rms: bool) -> Transformer:
    """RMSNorm, gated, rotary without biases; or LayerNorm, GELU, learned positions with biases."""
    kind: dict[str, Any] = (
        {"positions": "rotary", "norm": "rms", "gated": True, "activation": "silu", "biases": ()}
        if rms
        else {"positions": "learned", "norm": "layer", "activation": "gelu"}
    )
    config = TransformerConfig(
        n_layers=2, d_model=24, n_heads=HEADS, n_kv_heads=kv_heads, d_head=4, d_vocab=9, n_ctx=8, d_mlp=16, **kind
    )
    generator = torch.Generator().manual_seed(kv_heads)
    model = Transformer(config, generator).double()
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norm weights too
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return model


def norm_by_hand(x: Tensor, norm: torch.nn.Module, *, rms: bool) -> Tensor:
    state = dict(norm.named_parameters())
    centred = x if rms else x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt() * state["w"]
    return scaled if rms else scaled + state["b"]


def turned(x: Tensor, position: int) -> Tensor:
    """One head's vector [E], its halves turned pairwise by position / 10000 ** (2 i / E)."""
    out, half = x.clone(), len(x) // 2
    for i in range(half):
        angle = position / 10_000.0 ** (2 * i / len(x))
        a, b = x[i], x[i + half]
        out[i], out[i + half] = a * math.cos(angle) - b * math.sin(angle), b * math.cos(angle) + a * math.sin(angle)
    return out


def forward_by_hand(model: Transformer, tokens: Tensor, *, rms: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits [T, V] of one sequence, and what each head writes [T, D]."""
    group = HEADS // model.config.kv_heads
    stream, written = model.W_E[tokens], dict[str, Tensor]()
    length = len(tokens)
    if not rms:
        stream = stream + given(model.W_pos)[:length]
    for number, layer in enumerate(model.layers):
        attn, x = layer.attn, norm_by_hand(stream, layer.norm1, rms=rms)
        attended = torch.zeros_like(stream)
        for head in range(HEADS):
            shared = head // group
            q, k, v = x @ attn.W_Q[head], x @ attn.W_K[shared], x @ attn.W_V[shared]
            if rms:
                q, k = (torch.stack([turned(row, p) for p, row in enumerate(part)]) for part in (q, k))
            else:
                q, k, v = q + given(attn.b_Q)[head], k + given(attn.b_K)[shared], v + given(attn.b_V)[shared]
            rows = []
            for i in range(length):
                weights = torch.stack([q[i] @ k[j] / 2.0 for j in range(i + 1)]).softmax(0)
                rows.append(sum(weights[j] * v[j] for j in range(i + 1)))
            written[f"L{number}.H{head}"] = torch.stack(rows) @ attn.W_O[head]
            attended = attended + written[f"L{number}.H{head}"]
        stream = stream + attended + (0 if attn.b_O is None else attn.b_O)
        x, mlp = norm_by_hand(stream, layer.norm2, rms=rms), layer.mlp
        assert mlp is not None
        if rms:
            gate = x @ given(mlp.W_gate)
            stream = stream + (gate * torch.sigmoid(gate) * (x @ mlp.W_in)) @ mlp.W_out
        else:
            pre = x @ mlp.W_in + given(mlp.b_in)
            post = pre * 0.5 * (1 + torch.erf(pre / math.sqrt(2)))
            stream = stream + post @ mlp.W_out + given(mlp.b_out)
    logits = norm_by_hand(stream, model.final_norm, rms=rms) @ model.W_U
    return (logits if rms else logits + given(model.b_U)), written


CASES = list(product((1, 2, 4, 8), (True, False)))


@pytest.mark.parametrize(("kv_heads", "rms"), CASES)
@torch.no_grad()
def test_logits_and_heads(kv_heads: int, rms: bool) -> None:
    model = make(kv_heads, rms=rms)
    fused = model(TOKENS)
    logits, cache = model.run_with_cache(TOKENS)
    for row, tokens in enumerate(TOKENS):
        wanted, written = forward_by_hand(model, tokens, rms=rms)
        torch.testing.assert_close(fused[row], wanted, rtol=0, atol=1e-12)
        torch.testing.assert_close(logits[row], wanted, rtol=0, atol=1e-12)
        for name, value in written.items():
            torch.testing.assert_close(cache[name][row], value, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kv_heads", "rms"), CASES)
@torch.no_grad()
def test_heads_on_streams_of_their_own(kv_heads: int, rms: bool) -> None:
    """What patching uses: chosen heads in another order, each with its own input, equal the whole layer's."""
    model = make(kv_heads, rms=rms)
    _, cache = model.run_with_cache(TOKENS)
    at, chosen, layer = model.positions(5), [5, 0, 7, 2, 2], model.layers[1]
    x = layer.norm1(cache["L1.resid_pre"])
    for per_head in (False, True):
        own = x.unsqueeze(-2).expand(-1, -1, len(chosen), -1) if per_head else x
        q, k, v = (part(own, at, chosen, per_head=per_head) for part in (layer.attn.q, layer.attn.k, layer.attn.v))
        result = layer.attn.result(layer.attn.attend(q, k, v, at, heads=chosen), chosen)
        for place, head in enumerate(chosen):
            torch.testing.assert_close(result[..., place, :], cache[f"L1.H{head}"], rtol=0, atol=1e-12)
    every = x.unsqueeze(-2).expand(-1, -1, HEADS, -1)
    k = layer.attn.k(every, at, per_head=True)
    torch.testing.assert_close(k, layer.attn.expand(layer.attn.k(x, at), HEADS), rtol=0, atol=1e-12)
