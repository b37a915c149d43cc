"""Issue 13, section 1: models that normalise what their heads write (Gemma, OLMo-2) in circuits and paths.

Circuits and gradients against brute force stand in tests/patching/test_patching_independent.py.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.patching.builders import close, small_transformer, two_runs
from torch import Tensor

from toulmin.circuits import Circuit, CircuitRunner, discover, faithfulness_card
from toulmin.faults import FaultError
from toulmin.patching import Graph, run_circuits, source_values
from toulmin.paths import activation_patching, evaluate, head_to_head
from toulmin.subjects import Transformer
from toulmin.tasks import Pair

GEMMA: dict[str, Any] = {
    "n_layers": 2, "norm": "rms", "post_norms": True, "positions": "rotary", "gated": True, "biases": (),
    "attn_softcap": 5.0, "logit_softcap": 8.0, "windows": (3, None), "n_kv_heads": 2, "qk_norm": True,
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Transformer:
    return small_transformer(**GEMMA).requires_grad_(False)


def pairs(count: int = 4) -> list[Pair]:
    rng = np.random.default_rng(5)
    return [Pair(tuple(rng.integers(0, 17, 6)), tuple(rng.integers(0, 17, 6)), (1,), (2,)) for _ in range(count)]


def test_the_heads_sum_to_what_the_layer_writes(model: Transformer) -> None:
    clean, _ = two_runs()
    run, graph = source_values(model, clean), Graph.of(model)
    _, cache = model.run_with_cache(clean, ["L*.attn_out", "L*.mlp_out", "embed"])
    for layer in range(2):
        heads = torch.stack([run.value(graph.source_number[f"L{layer}.H{head}"]) for head in range(4)])
        close(heads.sum(0), cache[f"L{layer}.attn_out"], 1e-12)
        close(run.value(graph.source_number[f"L{layer}.mlp"]), cache[f"L{layer}.mlp_out"], 1e-12)


def test_one_cut_edge_by_hand(model: Transformer) -> None:
    """L0.H1 is given another value where the logits read it: they read the clean stream plus the difference."""
    clean, counterfactual = two_runs()
    graph, other = Graph.of(model), source_values(model, counterfactual)
    mask = graph.mask_from_edges([graph.edge_index("L0.H1->logits")])[None]

    def written(tokens: Tensor) -> Tensor:
        _, cache = model.run_with_cache(tokens, ["L0.result"])
        result, norm = cache["L0.result"], model.layers[0].post_norm1
        whole = result.sum(-2)
        scale = (whole.square().mean(-1, keepdim=True) + norm.eps).sqrt()
        return result[..., 1, :] / scale * norm.w  # type: ignore[operator]

    stream = model.run_to(clean, 2) + written(counterfactual) - written(clean)
    close(run_circuits(model, clean, other, mask)[0], model.unembed(stream[:, -1]), 1e-12)


def test_all_and_no_edges_are_the_two_runs_at_positions(model: Transformer) -> None:
    clean, counterfactual = two_runs()
    graph, other = Graph.of(model), source_values(model, counterfactual)
    masks = np.stack([graph.allowed & cut for cut in (False, True)])
    expected = torch.stack([model(tokens)[:, -1] for tokens in (clean, counterfactual)])
    close(run_circuits(model, clean, other, masks), expected, 1e-12)
    close(run_circuits(model, clean, other, np.repeat(masks[..., None], 6, -1)), expected, 1e-12)


@pytest.mark.parametrize("method", ["acdc", "eap_ig", "eap_ig_activations", "exact", "mask_ig", "relp"])
def test_every_discovery_method_runs(model: Transformer, method: str) -> None:
    assert len(discover(CircuitRunner(model, pairs()), method).circuit) > 0


def test_a_circuit_is_read_back_and_its_card_is_made(model: Transformer) -> None:
    runner = CircuitRunner(model, pairs(), merged_qkv=True)
    circuit = discover(runner, "eap", size=30).circuit
    assert Circuit.from_json(circuit.to_json()) == circuit
    assert faithfulness_card(runner, circuit, resamples=20).rows
    whole = faithfulness_card(runner, Circuit.full(runner.graph), resamples=20)
    rows = [row for row in whole.rows if row.methodology.ablate == "complement" and row.metric == "logit_diff"]
    assert all(abs(row.value - 100) < 1e-8 for row in rows if row.baseline == "ablated")


def test_matrices_run_and_path_sets_are_refused_with_the_reason(model: Transformer) -> None:
    found = head_to_head(model, pairs(), "K").per_pair
    one, other = pairs()[0].clean, pairs()[0].counterfactual
    graph, run = Graph.of(model), source_values(model, torch.tensor([other]))
    mask = graph.mask_from_edges([graph.edge_index("L0.H2->L1.H3[K]")])[None]
    logits = torch.cat([run_circuits(model, torch.tensor([one]), run, mask)[0], model(torch.tensor([one]))[:, -1]])
    change = (logits[0] - logits[1])[1] - (logits[0] - logits[1])[2]
    assert found[0, 2, 3] == pytest.approx(float(change), abs=1e-10)
    assert np.isfinite(activation_patching(model, pairs(), "heads").mean).any()
    with pytest.raises(FaultError, match="read from all heads of the layer"):
        evaluate(model, "L0.H1 -> logits", pairs(), baseline="everything")
