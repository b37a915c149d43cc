"""What is left out when few edges are cut or few are left: the same logits, and work that was not done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.faults import FaultError
from toulmin.patching import Graph, SourceValues, run_circuits, source_values
from toulmin.patching.plan import WHOLE
from toulmin.patching.plan_circuits import plan_circuits
from toulmin.subjects import Transformer, TransformerConfig

SHAPES = {
    "plain": {},
    "attention_only": {"d_mlp": 0},
    "parallel": {"parallel": True},
    "split embedding": {"positions": "learned"},
}


def small(**changes: Any) -> Transformer:
    settings: dict[str, Any] = {
        "n_layers": 3,
        "d_model": 12,
        "n_heads": 3,
        "d_head": 4,
        "d_vocab": 17,
        "n_ctx": 8,
        "d_mlp": 20,
    }
    model = Transformer(TransformerConfig(norm="layer", **{**settings, **changes}), torch.Generator().manual_seed(3))
    with torch.no_grad():
        for layer in model.layers:
            assert layer.attn.b_O is not None
            layer.attn.b_O.normal_(generator=torch.Generator().manual_seed(1))
    return model.double()


def tokens_of(seed: int) -> torch.Tensor:
    return torch.randint(17, (3, 6), generator=torch.Generator().manual_seed(seed))


def close(a: torch.Tensor, b: torch.Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("share", [0.01, 0.2, 0.8, 0.99])
@pytest.mark.parametrize("max_bytes", [2**30, 150_000, 30_000])
def test_a_run_as_the_values_of_cut_edges(kind: str, share: float, max_bytes: int) -> None:
    model = small(**SHAPES[kind])
    graph = Graph.of(model, split_embed=kind == "split embedding")
    clean, other = tokens_of(0), tokens_of(1)
    masks = torch.rand(7, *graph.allowed.shape, generator=torch.Generator().manual_seed(5)) < share
    masks[0] = False
    masks[1] = True
    wanted = run_circuits(model, clean, source_values(model, other, graph=graph).values, masks.double(), graph=graph)
    run = source_values(model, other, graph=graph)
    close(run_circuits(model, clean, run, masks, graph=graph, max_bytes=max_bytes), wanted)
    close(wanted[0], model(clean)[:, -1])
    close(wanted[1], model(other)[:, -1])


def test_what_nothing_reads_is_not_computed() -> None:
    """A cut into L0.H1 changes what the heads of layer 1 read, of which only L1.H1 is read by anything."""
    graph = Graph.of(small())
    masks = graph.mask_from_edges([graph.edge_index("embed->L0.H1[Q]")])[None]
    for head in ("L1.H0", "L1.H2"):
        number = graph.sources.index(head)
        masks[0, number] = graph.allowed[number]
    plan = plan_circuits(graph, masks, counterfactual_is_run=True)
    copies = {stage.stage.name: [copy.component for copy in stage.copies] for stage in plan.stages}
    assert (copies["L0.attn"], copies["L1.attn"]) == ([1], [1])


def test_layers_of_heads_that_read_one_stream_are_computed_together() -> None:
    """A cut into one head of the first layer changes the stream of all later layers, for all of their heads."""
    model = small()
    graph, clean, other = Graph.of(model), tokens_of(0), tokens_of(1)
    edges = [graph.edge_index(f"embed->L0.H{head}[{slot}]") for head in range(3) for slot in "QKV"]
    masks = np.stack([graph.mask_from_edges([edge]) for edge in edges])
    plan = plan_circuits(graph, masks, counterfactual_is_run=True)
    assert [len(stage.groups) for stage in plan.stages if stage.stage.kind == "attn"] == [0, 9, 9]
    assert all(set(own) <= {WHOLE} for stage in plan.stages for own in stage.group_slots)
    run = source_values(model, other)
    close(run_circuits(model, clean, run, masks), run_circuits(model, clean, run.values, masks.astype(float)))


def test_heads_of_a_block_that_are_read_apart() -> None:
    model = small()
    graph, clean, other = Graph.of(model), tokens_of(0), tokens_of(1)
    first = graph.edge_index("embed->L0.H0[V]")
    masks = np.stack([graph.mask_from_edges([first, graph.edge_index(f"L1.H{head}->logits")]) for head in range(3)])
    plan = plan_circuits(graph, masks, counterfactual_is_run=True)
    assert any(set(own) - {WHOLE} for stage in plan.stages for own in stage.group_slots)
    run = source_values(model, other)
    close(run_circuits(model, clean, run, masks), run_circuits(model, clean, run.values, masks.astype(float)))


def made(run: SourceValues) -> tuple[int, int]:
    """How many stages of a run were made, and how many single heads."""
    return run.computed, len(run._made)


def test_a_sparse_circuit_does_not_run_the_model_it_leaves() -> None:
    """One live path: of the plain run only the embedding is needed, and of the other run no single head is."""
    model = small()
    graph, clean, other = Graph.of(model), tokens_of(0), tokens_of(1)
    live = [graph.edge_index(name) for name in ("embed->L1.H2[V]", "L1.H2->logits")]
    masks = ~graph.mask_from_edges(live)[None]
    a, b = source_values(model, clean), source_values(model, other)
    got = run_circuits(model, clean, b, masks, clean=a)
    assert made(a) == (0, 0)
    assert made(b) == (6, 1)  # every stream, and the one head whose place the copy takes
    close(got, run_circuits(model, clean, source_values(model, other).values, masks.astype(float)))


def test_a_run_of_another_model_is_values_and_no_more() -> None:
    """A head whose inputs are all cut is computed by the model at hand, not taken from the other model's run."""
    model, twin = small(), small()
    with torch.no_grad():
        twin.layers[1].attn.W_V.mul_(2.0)
    graph, clean, other = Graph.of(model), tokens_of(0), tokens_of(1)
    masks = torch.rand(5, *graph.allowed.shape, generator=torch.Generator().manual_seed(2)) < 0.8
    masks[0] = True
    masks[0, :, -1] = False  # every input cut, every output alive
    run = source_values(twin, other)
    close(run_circuits(model, clean, run, masks), run_circuits(model, clean, run.values, masks.double()))


def test_runs_that_do_not_fit_and_runs_that_break_are_refused() -> None:
    model = small()
    graph, clean = Graph.of(model), tokens_of(0)
    masks = np.zeros((1, *graph.allowed.shape), dtype=np.bool_)
    masks[0, 1, -1] = True
    with pytest.raises(FaultError, match=r"patching\.values.*\(3, 5\)"):
        run_circuits(model, clean, source_values(model, clean[:, :5]), masks)
    split = Graph.of(model, split_embed=True)
    with pytest.raises(FaultError, match=r"patching\.values.*graph=graph"):
        run_circuits(model, clean, source_values(model, clean, graph=split), masks)
    with pytest.raises(FaultError, match=r"patching\.values.*graph=graph"):
        run_circuits(model, clean, source_values(model, clean), masks, clean=source_values(model, clean, graph=split))
    with torch.no_grad():
        model.layers[0].attn.W_V.fill_(torch.nan)
    with pytest.raises(FaultError, match=r"patching\.nan"):
        run_circuits(model, clean, source_values(model, tokens_of(1)), masks)


def test_a_few_cut_edges_run_the_other_only_as_far_as_they_reach() -> None:
    model = small()
    graph, clean, other = Graph.of(model), tokens_of(0), tokens_of(1)
    masks = graph.mask_from_edges([graph.edge_index("L0.H1->L2.H0[K]")])[None]
    b = source_values(model, other)
    got = run_circuits(model, clean, b, masks)
    assert made(b) == (1, 1)
    close(got, run_circuits(model, clean, b.values, masks.astype(float)))
