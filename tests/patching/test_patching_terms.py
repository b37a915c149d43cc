"""Components of a Transformer split into dictionary-like terms: edge circuits, EAP scores and path sets over them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.patching.builders import close, small_transformer, two_runs
from tests.patching.terms_by_hand import MODELS, TERMS, by_hand, terms_of
from torch import Tensor

from toulmin.faults import FaultError
from toulmin.patching import (
    ROOT,
    Graph,
    PositionClasses,
    edge_gradients,
    refine,
    run_circuits,
    run_paths,
    source_values,
    zero_values,
)


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_circuits_over_terms_against_an_edge_by_edge_run(kind: str, share: float) -> None:
    """Boolean masks (with a run, and with values that are no run) and real masks give what the definition says."""
    model, terms = small_transformer(**MODELS[kind]), terms_of(kind)
    clean, counterfactual = two_runs()
    graph = Graph.of(model, terms=terms)
    assert {"embed:f0", "embed:error", "L0.H1:f1"} <= set(graph.sources)
    run = source_values(model, counterfactual, graph=graph, terms=terms)
    biases = [layer.attn.b_O for layer in model.layers if layer.attn.b_O is not None]
    close(sum(biases, run.values.sum(0)), model.run_to(counterfactual, 2))
    generator = torch.Generator().manual_seed(5)
    masks = torch.rand(4, *graph.allowed.shape, generator=generator) < share
    masks[0] = False
    settings = {"graph": graph, "terms": terms}
    for values in (run.values, run.values * 0.5):
        given = run if values is run.values else values
        found = run_circuits(model, clean, given, masks, **settings)
        for row, mask in zip(found, masks.double(), strict=True):
            close(row, by_hand(model, graph, terms, clean, values, mask)[0])
        close(run_circuits(model, clean, values, masks.double(), **settings), found)
        close(run_circuits(model, clean, given, masks, max_bytes=200_000, **settings), found)
    real = torch.rand(2, *graph.allowed.shape, generator=generator, dtype=torch.float64)
    for row, mask in zip(run_circuits(model, clean, run.values, real, **settings), real, strict=True):
        close(row, by_hand(model, graph, terms, clean, run.values, mask)[0])
    close(run_circuits(model, clean, run, masks[:1], **settings)[0], model(clean)[:, -1])


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("merged", [False, True])
def test_edge_gradients_of_terms(kind: str, merged: bool) -> None:
    """Attribution scores of edges out of terms: the gradients of real masks, at both ends of the line and between."""
    model, terms = small_transformer(**MODELS[kind]), terms_of(kind)
    clean, counterfactual = two_runs()
    graph = Graph.of(model, merged_qkv=merged, terms=terms)
    values = source_values(model, counterfactual, graph=graph, terms=terms).values.detach()

    def loss(logits: Tensor) -> Tensor:
        return logits.log_softmax(-1)[:, 1].sum()

    for mix in (0.0, 0.4, 1.0):
        masks = torch.full((1, *graph.allowed.shape), mix, dtype=torch.float64, requires_grad=True)
        loss(run_circuits(model, clean, values, masks, graph=graph, terms=terms)[0]).backward()
        assert masks.grad is not None
        found = edge_gradients(model, clean, loss, values=values, mix=mix, graph=graph, terms=terms)
        close(found.table, masks.grad[0] * torch.from_numpy(graph.allowed), 1e-11)
    whole = edge_gradients(model, clean, loss, values=source_values(model, counterfactual).values, merged_qkv=merged)
    split = edge_gradients(model, clean, loss, values=values, graph=graph, terms=terms)
    for name in Graph.of(model).sources:  # scores of a component's terms sum to the component's
        rows = [number for number, source in enumerate(graph.sources) if source.split(":")[0] == name]
        close(split.table[rows].sum(0), whole.table[Graph.of(model).sources.index(name)], 1e-11)


def test_position_gradients_and_masks_of_terms() -> None:
    model, terms = small_transformer(), TERMS
    clean, counterfactual = two_runs()
    graph = Graph.of(model, terms=terms)
    run = source_values(model, counterfactual, graph=graph, terms=terms)
    masks = torch.rand(3, *graph.allowed.shape, 6, generator=torch.Generator().manual_seed(2)) < 0.3
    settings = {"graph": graph, "terms": terms}
    wanted = run_circuits(model, clean, run.values, masks.double(), **settings)
    close(run_circuits(model, clean, run, masks, **settings), wanted)
    placed = edge_gradients(
        model, clean, lambda logits: logits[:, 2].sum(), values=run.values, per_position=True, **settings
    )
    summed = edge_gradients(model, clean, lambda logits: logits[:, 2].sum(), values=run.values, **settings)
    close(placed.table.sum(-1), summed.table)


def test_path_sets_and_circuits_over_terms_agree() -> None:
    """Under resampling a circuit is the set of all paths along its edges: both evaluators, the same logits."""
    model, terms = small_transformer(), TERMS
    clean, counterfactual = two_runs()
    graph = Graph.of(model, terms=terms)
    dag = refine(graph, PositionClasses.uniform(6))
    generator = np.random.default_rng(3)
    masks = generator.random((3, *graph.allowed.shape)) < 0.4
    number = {pair: index for index, pair in enumerate(graph.split_terms[source] for source in graph.sources)}
    sets = []
    for mask in masks:

        def live(link, mask=mask) -> bool:
            if link.receiver == ROOT:
                return True
            receiver = link.receiver if link.label.slot == "in" else f"{link.receiver}[{link.label.slot}]"
            return not mask[number[link.sender, link.label.term], graph.receivers.index(receiver)]

        sets.append(dag.along(live))
    run = source_values(model, counterfactual, graph=graph, terms=terms)
    expected = run_circuits(model, clean, run, masks, graph=graph, terms=terms)
    close(run_paths(model, sets, clean, counterfactual, graph=graph, terms=terms), expected)


def test_terms_that_do_not_fit_are_refused() -> None:
    model = small_transformer()
    clean, counterfactual = two_runs()
    wrong = {"L0.mlp": {"a": lambda x: 0.5 * x, "b": lambda x: 0.4 * x}}
    graph = Graph.of(model, terms=wrong)
    masks = graph.mask_from_edges([graph.edge_index("L0.mlp:a->logits")])[None]
    with pytest.raises(FaultError, match=r"\[L0.mlp\]: the terms do not sum to the component's output"):
        run_circuits(model, clean, source_values(model, counterfactual, graph=graph, terms=wrong), masks, terms=wrong)
    with pytest.raises(FaultError, match=r"\[L0.mlp\]: give the terms' functions"):
        run_circuits(model, clean, zero_values(model, graph=graph), masks, graph=graph)
    with pytest.raises(FaultError, match=r"\[L0.mpl\]: no such component \(nearest: L0.mlp"):
        Graph.of(model, terms={"L0.mpl": ["a", "b"]})
    with pytest.raises(FaultError, match="distinct names"):
        Graph.of(model, terms={"L0.mlp": ["a", "a"]})
    with pytest.raises(FaultError, match="split already"):
        Graph.of(model, terms={"L0.mlp": ["a", "b"]}).split({"L0.mlp": ["c", "d"]})


def test_a_computation_split_in_two_steps_is_split_once() -> None:
    model = small_transformer()
    clean, counterfactual = two_runs()
    once = source_values(model, counterfactual, terms=TERMS)
    first, second = {"L0.mlp": TERMS["L0.mlp"]}, {name: TERMS[name] for name in ("L0.H1", "embed")}
    twice = source_values(source_values(model, clean, terms=first).computation.split(second), counterfactual)
    assert twice.graph == once.graph
    close(twice.values, once.values)
    masks = torch.rand(2, *once.graph.allowed.shape, generator=torch.Generator().manual_seed(2)) < 0.3
    found = run_circuits(twice.computation, clean, twice, masks)
    close(found, run_circuits(model, clean, once, masks, terms=TERMS))
