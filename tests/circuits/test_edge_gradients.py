"""Gradients of all edges: AutoCircuit's scores, the evaluator's own gradients, and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toulmin.circuits.edges import parse_edge
from toulmin.circuits.formats import from_autocircuit_name
from toulmin.faults import FaultError
from toulmin.patching.cache import source_values
from toulmin.patching.edge_gradients import edge_gradients
from toulmin.patching.graph import Graph
from toulmin.patching.run_circuits import run_circuits
from toulmin.subjects import Transformer, TransformerConfig

BATCHES = [slice(0, 4), slice(4, 8), slice(8, 12)]
READ = {"logit": lambda x: x, "prob": lambda x: x.softmax(-1), "logprob": lambda x: x.log_softmax(-1)}


def loss_of(kind: str, answers: Tensor, wrong: Tensor) -> Any:
    function, aim = kind.split("/")[:2]

    def loss(logits: Tensor) -> Tensor:
        values = READ[function](logits)
        right = values.gather(-1, answers).mean(-1)
        return -(right - values.gather(-1, wrong).mean(-1)).mean() if aim == "avg_diff" else -right.mean()

    return loss


def test_the_golden_scores(golden: Any) -> None:
    """All ten variants of AutoCircuit's mask gradients, all edges, within 1e-10."""
    graph, model = Graph.of(golden.model), golden.model
    everything = torch.stack([source_values(model, golden.corrupt[rows]).values for rows in BATCHES]).detach()
    for kind, expected in golden.case["eap"].items():
        where, value = kind.split("/")[2], kind.split("/")[3] if "IG" not in kind else kind.rsplit("/", 1)[1]
        mixes = np.linspace(0, 1, 11) if "IG" in kind else [float(where[-1])]
        total = torch.zeros(graph.allowed.shape, dtype=torch.float64)
        for index, rows in enumerate(BATCHES):
            values = {
                "RESAMPLE": everything[index],
                "ZERO": torch.zeros(1, dtype=torch.float64).expand_as(everything[index]),
                "TOKENWISE_MEAN_CORRUPT": everything.mean((0, 2)).unsqueeze(1).expand_as(everything[index]),
            }[value]
            loss = loss_of(kind, golden.answers[rows], golden.wrong[rows])
            for mix in mixes:
                total += edge_gradients(model, golden.clean[rows], loss, values=values, mix=float(mix)).table
        for name, score in expected.items():
            place = parse_edge(graph, from_autocircuit_name(name))
            assert float(total[place]) == pytest.approx(score, abs=1e-10), (kind, name)


ARCHITECTURES: dict[str, dict[str, Any]] = {
    "gpt2": {"d_mlp": 20},
    "attention only, no norm": {"norm": "none"},
    "parallel rotary": {"d_mlp": 20, "parallel": True, "positions": "rotary"},
    "llama": {"d_mlp": 20, "positions": "rotary", "norm": "rms", "gated": True, "n_kv_heads": 2, "activation": "silu"},
    "shortformer": {"positions": "shortformer"},
    "bidirectional": {"causal": False, "d_mlp": 20, "activation": "relu"},
    "query-key norm": {"norm": "rms", "qk_norm": True, "d_mlp": 20},
}


def tiny(changes: dict[str, Any]) -> tuple[Transformer, Tensor, Tensor]:
    config = TransformerConfig(n_layers=2, d_model=8, n_heads=4, d_head=4, d_vocab=13, n_ctx=7, **changes)
    generator = torch.Generator().manual_seed(3)
    model = Transformer(config, generator).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    clean, other = (torch.randint(0, 13, (3, 7), generator=generator) for _ in range(2))
    return model, clean, other


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("merged", [False, True])
def test_equal_to_the_evaluators_gradients(name: str, merged: bool) -> None:
    """d loss / d mask at equal masks m: one shared-input pass against the general evaluator with real masks."""
    model, clean, other = tiny(ARCHITECTURES[name])
    graph = Graph.of(model, merged_qkv=merged)
    values = source_values(model, other).values.detach()
    scored = torch.tensor([6, 2, 4])

    def loss(logits: Tensor) -> Tensor:
        return logits.softmax(-1)[:, 1].log().sum()

    for mix in (0.0, 0.3, 1.0):
        masks = torch.full((1, *graph.allowed.shape, 7), mix, dtype=torch.float64, requires_grad=True)
        loss(run_circuits(model, clean, values, masks, graph=graph, scored=scored)[0]).backward()
        assert masks.grad is not None
        expected = masks.grad[0] * torch.from_numpy(graph.allowed)[:, :, None]
        settings: dict[str, Any] = {"values": values, "mix": mix, "scored": scored, "merged_qkv": merged}
        placed = edge_gradients(model, clean, loss, per_position=True, **settings).table
        torch.testing.assert_close(placed, expected, rtol=0, atol=1e-11)
        summed = edge_gradients(model, clean, loss, **settings).table
        torch.testing.assert_close(summed, placed.sum(-1), rtol=0, atol=1e-11)


def test_equal_to_a_finite_difference() -> None:
    model, clean, other = tiny(ARCHITECTURES["gpt2"])
    graph, values = Graph.of(model), source_values(model, other).values.detach()

    def loss(logits: Tensor) -> Tensor:
        return logits[:, 3].sum()

    table = edge_gradients(model, clean, loss, values=values).table
    for edge in list(graph.edges)[::7]:
        masks = torch.zeros(2, *graph.allowed.shape, dtype=torch.float64)
        masks[0, edge.source, edge.receiver], masks[1, edge.source, edge.receiver] = 1e-5, -1e-5
        up, down = (loss(out) for out in run_circuits(model, clean, values, masks).detach())
        assert float(table[edge.source, edge.receiver]) == pytest.approx(float(up - down) / 2e-5, abs=1e-7)


def test_relevance_patching_is_the_gradient_of_a_linear_model() -> None:
    """No norm, ReLU without biases, uniform attention: RelP's rules leave the gradient of V, MLP and logits."""
    model, clean, other = tiny({"norm": "none", "d_mlp": 20, "activation": "relu"})
    with torch.no_grad():
        for layer in model.layers:
            layer.attn.W_Q.zero_()
            layer.attn.b_Q.zero_()  # type: ignore[union-attr]
            layer.mlp.b_in.zero_()  # type: ignore[union-attr]
    values = source_values(model, other).values.detach()

    def loss(logits: Tensor) -> Tensor:
        return logits[:, 3].sum()

    plain, relp = (edge_gradients(model, clean, loss, values=values, rules=r).table for r in ("gradient", "relp"))
    torch.testing.assert_close(plain, relp, rtol=0, atol=1e-12)
    assert plain.abs().sum() > 0


def test_refusals() -> None:
    model, clean, _ = tiny({"d_mlp": 20})
    with pytest.raises(FaultError, match="values that cut edges carry"):
        edge_gradients(model, clean, lambda logits: logits.sum())
    values = torch.zeros(1, 1, 1, 1, dtype=torch.float64)
    with pytest.raises(FaultError, match="NaN"):
        edge_gradients(model, clean, lambda logits: logits.sum() * torch.nan, values=values)
