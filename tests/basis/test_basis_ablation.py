"""Ablations: the reference's accuracies on modular addition, and planted edges."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.basis import (
    Rotation,
    ablate_edges,
    ablate_nodes,
    accuracy_of,
    edges_needed,
    folded_chain,
    neuron_basis,
    site_inputs,
    strongest_edges,
    transformer_chain,
    with_constant,
)
from toulmin.faults import FaultError
from toulmin.subjects import load

SITES = ["L0.resid_pre", "L0.resid_mid", "L0.resid_post", "logits"]
NAMES = ["ln1.0", "ln2.0", "unembed"]


class Reference:
    """The reference's bases and edges on our chain, on the held-out pairs; float32, as it computed."""

    def __init__(self, shared: Path) -> None:
        with np.load(shared / "golden/basis/modadd_seed0.npz") as file:
            golden = {key: torch.from_numpy(file[key]) for key in file.files}
        with np.load(shared / "golden/basis/modadd_split.npz") as file:
            test = torch.from_numpy(file["test"])
        pairs = torch.cartesian_prod(torch.arange(113), torch.arange(113))[test]
        folder = shared / "data/modadd/lr-0.001_bs-10000_norm-None_2023-11-28_16-07-19"
        model = load(f"dir:{folder}").model
        self.chain = transformer_chain(model, SITES, 3, last_position=SITES[1])
        tokens = torch.cat([pairs, torch.full((len(pairs), 1), 113)], 1)
        with torch.no_grad():
            self.x = site_inputs(model, tokens, SITES[0])
        self.score = accuracy_of(pairs.sum(1) % 113)
        self.edges = [golden[f"E_{name}"] for name in ("ln1_0", "ln2_0", "unembed")]
        self.rotations = []
        for site, name in zip(SITES, ("ln1_0", "ln2_0", "unembed"), strict=False):
            C, inverse, strength = (golden[f"{kind}_{name}"] for kind in ("C", "C_pinv", "Lambda"))
            self.rotations.append(Rotation(site, C, inverse, strength[: C.shape[1]], strength, C.shape[1], True))


@pytest.fixture(scope="module")
def reference(shared: Path) -> Reference:
    return Reference(shared)


@pytest.mark.slow
def test_nodes_of_modular_addition_as_the_reference(reference: Reference, shared: Path) -> None:
    path = shared / "golden/basis/modular_arithmetic_node_rib_seed0_rib_ablation_results.json"
    for number, name in enumerate(NAMES):
        recorded = {int(k): v for k, v in json.loads(path.read_text())["results"][name].items()}
        found = ablate_nodes(reference.chain, reference.x, reference.rotations[number], list(recorded), reference.score)
        assert found == pytest.approx(recorded, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1, 2])
def test_edges_of_modular_addition_as_the_reference(number: int, reference: Reference, shared: Path) -> None:
    """Equal at every recorded point and the same path of bisection; two of the three masks it stores lack an edge."""
    path = shared / "golden/basis/modular_arithmetic_rib_seed0_edge_ablation_results.json"
    golden = json.loads(path.read_text())
    name = NAMES[number]
    recorded = {int(k): v for k, v in golden["results"][name].items()}
    found = edges_needed(
        reference.chain, reference.x, reference.rotations, reference.edges, number, reference.score, tolerance=1e-3
    )
    assert found.count == golden["n_edges_required"][name] == (133, 82, 633)[number]
    assert {k: found.tested[k] for k in recorded} == pytest.approx(recorded, abs=1e-12)
    assert found.score == pytest.approx(recorded[found.count], abs=1e-12)
    assert int(found.mask[:, 1:].sum()) == found.count
    theirs = np.array(golden["edge_masks"][name][str(found.count)])
    assert int(theirs[:, 1:].sum()) == found.count - (1, 0, 1)[number]
    assert not (theirs & ~found.mask.numpy()).any()


def planted() -> tuple:
    """A linear section of a permutation: each output reads one input, so four edges are all there is."""
    weight = torch.zeros(5, 4, dtype=torch.float64)
    weight[[2, 0, 3, 1], [0, 1, 2, 3]] = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x = with_constant(torch.randn(400, 1, 4, generator=generator, dtype=torch.float64))
    chain = folded_chain([weight])
    return chain, x, neuron_basis(chain, [x], centred=False), chain.sections[0](x)


def test_edges_that_carry_nothing_are_not_needed() -> None:
    chain, x, graph, target = planted()

    def error(outputs: torch.Tensor) -> float:
        return float((outputs - target).square().mean())

    needed = edges_needed(chain, x, graph.rotations, graph.edges, 0, error, tolerance=1e-9, lower_is_better=True)
    assert needed.count == 4
    assert needed.whole == 0
    for most in (1, 2):  # the first scores of the same bisection, and the fewest edges among them that were enough
        early = edges_needed(
            chain, x, graph.rotations, graph.edges, 0, error, tolerance=1e-9, lower_is_better=True, most=most
        )
        assert list(early.tested.items()) == list(needed.tested.items())[: most + 1]
        assert early.count == min(count for count, score in early.tested.items() if score < 1e-9)
    curve = ablate_edges(chain, x, graph.rotations, graph.edges, 0, [0, 1, 2, 3, 4, 30], error)
    assert curve[4] < 1e-20
    assert curve[30] == 0
    assert [curve[n] > curve[n + 1] for n in range(4)] == [True] * 4
    # keeping n edges loses the variance of the rest, E of (1, 2, 3, 4) squared over four outputs
    powers = x[..., [1, 3, 0, 2]].square().mean((0, 1)) * torch.tensor([1.0, 4.0, 9.0, 16.0], dtype=torch.float64)
    assert curve[3] == pytest.approx(float(powers[0]) / 4, rel=0.05)


def test_all_nodes_change_nothing_and_none_leave_nothing() -> None:
    chain, x, graph, target = planted()
    kept = ablate_nodes(
        chain, x, graph.rotations[0], [0, 4, 9], lambda outputs: float((outputs - target).square().mean())
    )
    assert kept[9] == 0
    assert kept[4] < 1e-20  # the constant, which nothing reads
    assert kept[0] == pytest.approx(float(target.square().mean()))


def test_the_edges_of_the_constant_are_kept_and_not_counted() -> None:
    edges = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6], [0.7, 0.8, 0.9]])
    mask = strongest_edges(edges, 2, constant=True)
    assert mask.tolist() == [[True, False, False], [True, False, False], [True, True, True]]
    assert strongest_edges(edges, 2, constant=False).sum() == 2
    assert strongest_edges(edges, 0, constant=False).sum() == 0
    assert strongest_edges(edges, 99, constant=True).all()
    chain, x, graph, _ = planted()
    with pytest.raises(FaultError, match=r"basis\.count"):
        ablate_edges(chain, x, graph.rotations, graph.edges, 0, [-1], lambda outputs: 0.0)
