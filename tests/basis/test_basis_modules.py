"""Modules that were planted, and graphs without any."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch

from toulmin.basis import (
    InteractionGraph,
    Rotation,
    interaction_weights,
    local_interaction_basis,
    modularity,
    modules,
    neuron_basis,
    pca_basis,
)
from toulmin.basis.modules import find_communities, rewire
from toulmin.basis.planted import MODULE_SIZES, planted_modules
from toulmin.faults import FaultError


def graph_weights(graph: InteractionGraph) -> list[np.ndarray]:
    """Weights of all interactions that are not numerical noise."""
    strongest = max(float(e.max()) for e in graph.edges)
    return interaction_weights(graph, [1e-9 * strongest] * len(graph.edges))


def found_in(weights: list[np.ndarray]) -> list[int]:
    """Sizes of the communities in the first hidden layer, without the constant."""
    return sorted(np.unique(find_communities(weights)[0][1][1:], return_counts=True)[1].tolist())


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_two_planted_modules_hidden_by_a_map_are_found_exactly(seed: int) -> None:
    chain, x = planted_modules(seed)
    graph = local_interaction_basis(chain, [x])
    weights = graph_weights(graph)
    result = modules(weights, rewired=10, seed=seed)
    assert result.count == 2
    assert result.p_value == pytest.approx(1 / 11)
    assert result.excess > 0.15
    # each feature is a function of the inputs of its own module alone: constant along the other axis of the design
    features = chain.activations(x)[1][:, 0] @ graph.rotations[1].C
    varies = torch.stack([features.unflatten(0, (40, 40)).std(axis).amax(0) > 1e-6 for axis in (0, 1)], 1)[1:]
    members = result.communities[1][1:]
    assert sorted(np.bincount(members).tolist()) == list(MODULE_SIZES)
    for community in (0, 1):
        inside = varies[torch.from_numpy(members == community)]
        assert (inside == inside[0]).all()
        assert int(inside[0].sum()) == 1


def test_graphs_rewired_with_the_same_degrees_and_weights_do_not_have_the_planted_modules() -> None:
    chain, x = planted_modules()
    weights = graph_weights(local_interaction_basis(chain, [x]))
    rng = np.random.default_rng(0)
    assert found_in(weights) == list(MODULE_SIZES)
    for _ in range(5):
        assert found_in([rewire(w, rng) for w in weights]) != list(MODULE_SIZES)


@pytest.mark.parametrize("basis", [pca_basis, neuron_basis])
def test_other_bases_do_not_find_what_an_affine_map_hides(basis) -> None:
    chain, x = planted_modules()
    assert found_in(graph_weights(basis(chain, [x]))) != list(MODULE_SIZES)


def test_modularity_is_its_definition_and_leidens() -> None:
    rng = np.random.default_rng(1)
    weights = [rng.random((4, 3)) * (rng.random((4, 3)) > 0.3), rng.random((2, 4))]
    found, quality = find_communities(weights)
    A = np.zeros((9, 9))
    A[3:7, :3], A[7:, 3:7] = weights
    A = A + A.T
    labels = np.concatenate(found)
    s, two_m = A.sum(0), A.sum()
    same = labels[:, None] == labels
    assert quality == pytest.approx(float(((A - np.outer(s, s) / two_m) * same).sum() / two_m))
    native: Any = import_module("graspologic_native")  # it has no types

    edges = [(str(i), str(j), A[i, j]) for i in range(9) for j in range(i) if A[i, j]]
    named = {str(i): int(c) for i, c in enumerate(labels)}
    assert quality == pytest.approx(native.modularity(edges, named))
    assert modularity(weights, [np.zeros(n, dtype=int) for n in (3, 4, 2)]) == pytest.approx(0, abs=1e-12)


def test_rewiring_keeps_degrees_and_weights() -> None:
    rng = np.random.default_rng(2)
    w = rng.random((8, 9)) * (rng.random((8, 9)) > 0.6)
    other = rewire(w, rng)
    assert ((other > 0).sum(0) == (w > 0).sum(0)).all()
    assert ((other > 0).sum(1) == (w > 0).sum(1)).all()
    np.testing.assert_allclose(np.sort(other[other > 0]), np.sort(w[w > 0]))
    assert ((other > 0) != (w > 0)).any()
    assert not np.allclose(other.sum(1), w.sum(1))  # the weights are shuffled too


def test_weights_are_logarithms_without_the_constant() -> None:
    eye = torch.eye(2)
    rotation = Rotation("a", eye, eye, torch.ones(2), torch.ones(2), 2, True)
    edges = torch.tensor([[5.0, 100.0], [5.0, 0.01]])
    np.testing.assert_allclose(interaction_weights(InteractionGraph((rotation,), (edges,)), [0.1])[0], [[0, 3], [0, 0]])
    # between two sites with a constant, neither what comes from one nor what goes to one counts
    graph = InteractionGraph((rotation, rotation), (edges.T.contiguous(), edges))
    np.testing.assert_allclose([w.sum() for w in interaction_weights(graph, [0.001, 0.1])], [1, 3])
    for smallest in ([], [0.1], [0.1, 0.0]):
        with pytest.raises(FaultError, match=r"basis\.modules"):
            interaction_weights(graph, smallest)
    with pytest.raises(FaultError, match="no edges"):
        modules([np.zeros((2, 2))])


def test_a_higher_resolution_gives_more_communities_and_weighs_the_null_term() -> None:
    blocks = np.kron(np.eye(4), np.ones((3, 3)))
    blocks[:6, :6] += 0.5
    blocks[6:, 6:] += 0.5
    assert modules([blocks], rewired=1, resolution=0.5).count == 2
    assert modules([blocks], rewired=1, resolution=1.5).count == 4
    halves = [np.repeat([0, 1], 6)] * 2  # all weight within, half of it in each
    assert modularity([blocks], halves, resolution=1.5) == pytest.approx(1 - 1.5 / 2)
    uneven = np.zeros((7, 7))
    uneven[:2, :2] = uneven[2:, 2:] = 1
    assert find_communities([uneven])[0][0].tolist() == [1, 1, 0, 0, 0, 0, 0]  # the largest is number 0
    # features without an edge belong to no community and change nothing
    wider = [np.pad(blocks, ((0, 1), (0, 1)))]
    found, quality = find_communities(wider)
    assert (found[0][-1], found[1][-1]) == (-1, -1)
    assert quality == pytest.approx(find_communities([blocks])[1])


def test_the_excess_is_over_the_mean_of_rewired_graphs_whose_communities_are_kept() -> None:
    rng = np.random.default_rng(3)
    weights = [rng.random((7, 6)) * (rng.random((7, 6)) > 0.5), rng.random((5, 7)) * (rng.random((5, 7)) > 0.5)]
    result = modules(weights, rewired=4, trials=2, seed=5)
    assert len(set(result.null.tolist())) > 1
    assert result.excess == pytest.approx(result.modularity - result.null.mean())
    rng = np.random.default_rng(5)
    for number, (quality, communities) in enumerate(zip(result.null, result.null_communities, strict=True)):
        again, expected = find_communities([rewire(w, rng) for w in weights], trials=2, seed=5 + number)
        assert quality == expected
        assert all((a == b).all() for a, b in zip(communities, again, strict=True))
