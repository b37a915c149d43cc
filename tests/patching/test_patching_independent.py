"""Circuits, masks and edge gradients against an independent forward pass, at 1e-12 in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.patching.builders import close, small_transformer, two_runs
from tests.patching.independent import Independent
from torch import Tensor

from toulmin.patching import GradientRules, Graph, edge_gradients, run_circuits, source_values
from toulmin.subjects import Transformer

LLAMA: dict[str, Any] = {
    "positions": "rotary", "norm": "rms", "gated": True, "activation": "silu", "n_heads": 8, "d_head": 4,
}  # fmt: skip
MODELS: dict[str, dict[str, Any]] = {
    "LayerNorm, GELU": {"activation": "gelu"},
    "LayerNorm, GELU, parallel": {"activation": "gelu", "parallel": True},
    "no norm, ReLU": {"activation": "relu", "norm": "none"},
    **{f"RMSNorm, gated, {heads} key/value heads of 8": LLAMA | {"n_kv_heads": heads} for heads in (1, 2, 4, 8)},
}
POST = {"post_norms": True, "norm": "rms"}
MODELS |= {
    "post-norms, gated, 2 key/value heads of 8": LLAMA | POST | {"n_kv_heads": 2},
    "post-norms, biases, parallel": POST | {"activation": "gelu", "parallel": True},
    "norms after only, joint QK-norm": LLAMA
    | POST
    | {"pre_norms": False, "qk_norm": True, "qk_norm_joint": True, "n_kv_heads": 4, "biases": ()},
}
SCORED = torch.tensor([5, 2, 4])
ROWS = torch.arange(3)


def loss_of(logits: Tensor) -> Tensor:
    """A loss with curvature, at the scored positions [B, V]."""
    return logits.log_softmax(-1)[:, 1].sum() + 0.1 * (logits[:, 3] ** 2).sum()


def independent_gradients(
    model: Transformer, clean: Tensor, values: Tensor, mix: float, *, rules: GradientRules = "gradient", **more: Any
) -> tuple[Tensor, Tensor]:
    """d loss / d mask of every edge where all masks are ``mix``, by autograd through each receiver's own sum."""
    second = Independent(model, relp=rules != "gradient", patterns=rules == "relp_patterns")
    mask = torch.full((len(second.sources), len(second.receivers)), mix, dtype=torch.float64, requires_grad=True)
    logits, _ = second.run(clean, values, mask, **more)
    loss = loss_of(logits[ROWS, SCORED])
    (table,) = torch.autograd.grad(loss, mask)
    return table, loss.detach()


@pytest.mark.parametrize("kind", MODELS)
def test_plain_runs(kind: str) -> None:
    model = small_transformer(**MODELS[kind])
    clean, _ = two_runs()
    second, graph = Independent(model), Graph.of(model)
    assert (tuple(second.sources), tuple(second.receivers)) == (graph.sources, graph.receivers)
    logits, written = second.run(clean, torch.zeros(len(second.sources), 1, 1, 12), torch.zeros(graph.allowed.shape))
    close(model(clean), logits, 1e-12)
    run = source_values(model, clean, scored="all")
    close(run.values, torch.stack([written[name] for name in second.sources]), 1e-12)
    close(run.logits, logits, 1e-12)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
def test_circuits(kind: str, share: float) -> None:
    """By a plan (with a run and with fixed values) and densely; every key/value head is read by its own query heads."""
    model = small_transformer(**MODELS[kind])
    clean, counterfactual = two_runs()
    second, run = Independent(model), source_values(model, counterfactual)
    generator = torch.Generator().manual_seed(1)
    masks = torch.rand(3, *Graph.of(model).allowed.shape, generator=generator) < share
    for values in (run.values, 0.5 * run.values):
        expected = [second.run(clean, values, mask.double())[0][:, -1] for mask in masks]
        given = run if values is run.values else values
        for found in (run_circuits(model, clean, given, masks), run_circuits(model, clean, values, masks.double())):
            close(found, torch.stack(expected), 1e-11)


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_one_head_at_a_time_with_grouped_queries(heads: int) -> None:
    """Few copies of few heads take another way through the projections than many: each head by each of its inputs."""
    model = small_transformer(**LLAMA, n_kv_heads=heads)
    clean, counterfactual = two_runs()
    second, run, graph = Independent(model), source_values(model, counterfactual), Graph.of(model)
    for head in range(8):
        for slot in "QKV":
            mask = torch.from_numpy(graph.mask_from_edges([graph.edge_index(f"L0.mlp->L1.H{head}[{slot}]")]))
            expected, _ = second.run(clean, run.values, mask.double())
            close(run_circuits(model, clean, run, mask[None])[0], expected[:, -1], 1e-12)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("rules", ["gradient", "relp", "relp_patterns"])
@pytest.mark.parametrize("mix", [0.0, 0.25, 1.0])
def test_edge_gradients(kind: str, rules: GradientRules, mix: float) -> None:
    """EAP (mix 0), points of the line of masks, and RelP with constant and with differentiated patterns, all edges."""
    model = small_transformer(**MODELS[kind])
    clean, counterfactual = two_runs()
    values = source_values(model, counterfactual).values.detach()
    expected, loss = independent_gradients(model, clean, values, mix, rules=rules)
    found = edge_gradients(model, clean, loss_of, values=values, mix=mix, scored=SCORED, rules=rules)
    scale = float(expected.abs().max())
    close(found.table / scale, expected / scale, 1e-12)
    close(found.loss, loss, 1e-11)
    allowed = torch.from_numpy(Graph.of(model).allowed)
    assert not bool(found.table[~allowed].any())


@pytest.mark.parametrize("kind", ["LayerNorm, GELU", "RMSNorm, gated, 2 key/value heads of 8"])
def test_relevance_rules_change_what_they_should(kind: str) -> None:
    """Queries and keys get nothing; the final norm is linearised too; the forward pass is equal."""
    model = small_transformer(**MODELS[kind])
    clean, counterfactual = two_runs()
    values = source_values(model, counterfactual).values.detach()
    graph = Graph.of(model)
    gradient, relp = (
        edge_gradients(model, clean, loss_of, values=values, rules=rules) for rules in ("gradient", "relp")
    )
    close(gradient.loss, relp.loss, 1e-12)
    through_pattern = torch.tensor([name.endswith(("[Q]", "[K]")) for name in graph.receivers])
    assert not bool(relp.table[:, through_pattern].any())
    assert bool(gradient.table[:, through_pattern].any())
    last = graph.edges[graph.edge_index("L1.mlp->logits")]
    assert float(relp.table[last.source, last.receiver]) != pytest.approx(
        float(gradient.table[last.source, last.receiver]), rel=1e-3
    )


@pytest.mark.parametrize("kind", ["LayerNorm, GELU", "RMSNorm, gated, 2 key/value heads of 8"])
@pytest.mark.parametrize("stage", ["embed", "L0.attn", "L0.mlp", "L1.attn", "L1.mlp"])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_gradients_with_a_stage_moved(kind: str, stage: str, alpha: float) -> None:
    """What EAP-IG sums: one stage's write on the line from counterfactual (0) to clean (1), differences of the ends."""
    model = small_transformer(**MODELS[kind])
    clean, counterfactual = two_runs()
    graph = Graph.of(model)
    ends = [source_values(model, tokens).values.detach() for tokens in (counterfactual, clean)]
    stages = {one.name: one.sources for one in graph.stages} | {"embed": ("embed",)}
    rows = [graph.sources.index(name) for name in stages[stage]]
    moved = (ends[0][rows] + alpha * (ends[1][rows] - ends[0][rows])).sum(0)
    differences = ends[0] - ends[1]
    found = edge_gradients(
        model, clean, loss_of, differences=differences, scored=SCORED, replace={stage: moved.clone()}
    ).table

    second = Independent(model)
    zero = torch.zeros(len(graph.sources), len(graph.receivers), dtype=torch.float64)
    with torch.no_grad():
        _, written = second.run(clean, ends[0], zero, {stage: moved})
    mask = zero.clone().requires_grad_()
    # values that differ from this run's writes by the differences of the end points
    values = torch.stack([written[name] for name in second.sources]) + differences
    logits, _ = second.run(clean, values, mask, {stage: moved})
    (expected,) = torch.autograd.grad(loss_of(logits[ROWS, SCORED]), mask)
    scale = float(expected.abs().max())
    close(found / scale, expected / scale, 1e-12)
    if alpha == 1.0:  # nothing was moved; but no gradient flows through what was put in place of the stage
        plain = edge_gradients(model, clean, loss_of, differences=differences, scored=SCORED).table
        close(found[rows] / scale, plain[rows] / scale, 1e-12)
