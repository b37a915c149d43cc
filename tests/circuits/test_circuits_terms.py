"""A ``CircuitRunner`` over components that are split into dictionary-like terms: runs, scores, discovery and card."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from circuit_models import close, logits_of, pairs_of, some_circuits
from tests.patching.builders import small_transformer
from tests.patching.terms_by_hand import MODELS, by_hand, terms_of
from torch import Tensor

from toulmin.circuits import (
    Acdc,
    Circuit,
    CircuitRunner,
    Discovery,
    Eap,
    ExactEffects,
    Methodology,
    attribution_agreement,
    discover,
    draw_circuit,
    faithfulness_card,
    grid,
    learn_constants,
    sweep_sizes,
    to_autocircuit,
    to_mib,
)
from toulmin.circuits.discovery import EapIgActivations
from toulmin.circuits.discovery.methods import METHODS
from toulmin.circuits.faithfulness import worst_knockout
from toulmin.faults import FaultError

HALVES: dict[str, dict[str, Callable[[Tensor], Tensor]]] = {
    name: {"a": lambda x: 0.25 * x, "b": lambda x: 0.75 * x} for name in ("embed", "L0.H1", "L0.mlp")
}


def runner_of(kind: str = "plain", *, merged: bool = False) -> CircuitRunner:
    model = small_transformer(**MODELS[kind]).requires_grad_(False)
    return CircuitRunner(model, pairs_of(5), batch=3, merged_qkv=merged, terms=terms_of(kind))


class ByHand:
    """Every batch of a runner, edge by edge."""

    def __init__(self, runner: CircuitRunner, kind: str) -> None:
        self.runner, self.terms = runner, terms_of(kind)

    def run(self, index: int, side: str, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        batch = self.runner.batches[index]
        tokens = batch.clean if side == "clean" else batch.counterfactual
        return by_hand(self.runner.model, self.runner.graph, self.terms, tokens, values, mask, batch.at)

    def written(self, index: int, side: str) -> Tensor:
        """What each source writes where nothing is cut."""
        shape = self.runner.graph.allowed.shape
        return self.run(index, side, torch.zeros(shape[0], dtype=torch.float64), torch.zeros(shape))[1]

    def values(self, index: int, ablation: str, side: str) -> Tensor:
        own = self.written(index, side)
        if ablation == "mean_counterfactual":
            every = [self.written(i, "counterfactual") for i in range(len(self.runner.batches))]
            return torch.cat(every, 1).mean(1, keepdim=True).expand_as(own)
        return own if ablation == "resample" else torch.zeros_like(own)

    def difference(self, index: int, logits: Tensor) -> Tensor:
        """The logit difference of each prompt, [B]."""
        batch = self.runner.batches[index]
        pairs = [self.runner.pairs[number] for number in batch.index]
        return torch.stack([row[p.answers[0]] - row[p.wrong[0]] for row, p in zip(logits, pairs, strict=True)])


@pytest.mark.parametrize("kind", MODELS)
def test_circuits_of_terms_run_as_they_are_defined(kind: str) -> None:
    runner = runner_of(kind)
    hand, circuits = ByHand(runner, kind), some_circuits(runner.graph)
    assert any(name.startswith("L0.H1:f0->") for name in circuits[-1])
    for ablation, direction in (
        ("resample", "noising"), ("zero", "noising"), ("mean_counterfactual", "noising"), ("resample", "denoising"),
    ):  # fmt: skip
        method = Methodology.model_validate({"ablation": ablation, "direction": direction})
        run, other = ("clean", "counterfactual") if direction == "noising" else ("counterfactual", "clean")
        scores = runner.scores(circuits, method, ["logit_diff"])["logit_diff"]
        for index, found in runner.run(circuits, method):
            values = hand.values(index, ablation, other)
            for row, circuit in enumerate(circuits):
                kept = torch.from_numpy(circuit.table.astype(float))
                logits = hand.run(index, run, values, 1 - kept if direction == "noising" else kept)[0]
                close(found[row], logits, 1e-10)
                numbers = list(runner.batches[index].index)
                close(scores[row, numbers], hand.difference(index, logits), 1e-10)


@pytest.mark.parametrize("kind", MODELS)
def test_scores_of_the_edges_out_of_terms(kind: str) -> None:
    """EAP is the gradient to the masks, exact effects are single cuts: both edge by edge."""
    runner = runner_of(kind)
    hand, graph = ByHand(runner, kind), runner.graph
    mask = torch.zeros(graph.allowed.shape, dtype=torch.float64, requires_grad=True)
    drops = torch.zeros(graph.n_edges, dtype=torch.float64)
    for index in range(len(runner.batches)):
        values = hand.values(index, "resample", "counterfactual")
        full = hand.difference(index, hand.run(index, "clean", values, mask)[0]).sum()
        (-full).backward()
        for number, edge in enumerate(graph.edges):
            cut = torch.from_numpy(graph.mask_from_edges([number]).astype(float))
            drops[number] += full.detach() - hand.difference(index, hand.run(index, "clean", values, cut)[0]).sum()
            assert cut[edge.source, edge.receiver] == 1
    assert mask.grad is not None
    close(Eap().scores(runner).values, mask.grad / runner.n, 1e-10)
    exact = ExactEffects().scores(runner).values
    close(np.array([exact[edge.source, edge.receiver] for edge in graph.edges]), drops / runner.n, 1e-10)
    whole = Eap().scores(CircuitRunner(runner.model, runner.pairs))
    for name, number in whole.graph.source_number.items():
        rows = [row for row, (component, _) in enumerate(graph.split_terms.values()) if component == name]
        close(Eap().scores(runner).values[rows].sum(0), whole.values[number])


def test_a_component_in_two_parts_is_the_component() -> None:
    """Parts that are kept or cut together are the whole component: every number of a card is the same."""
    model, pairs = small_transformer().requires_grad_(False), pairs_of(8)
    plain, split = CircuitRunner(model, pairs), CircuitRunner(model, pairs, terms=HALVES)
    rows = [plain.graph.source_number[component] for component, _ in split.graph.split_terms.values()]
    circuit = some_circuits(plain.graph)[2]
    same = Circuit(split.graph, circuit.table[rows])
    assert len(same) > len(circuit)
    for found, expected in zip(
        faithfulness_card(split, same).rows, faithfulness_card(plain, circuit).rows, strict=True
    ):
        assert found.name == expected.name
        assert found.value == pytest.approx(expected.value, abs=1e-8)
    for method in (Eap(), Eap(ablation="zero"), EapIgActivations(steps=2)):
        whole, parts = method.scores(plain).values[rows], method.scores(split).values
        share = np.array([{"a": 0.25, "b": 0.75}.get(term, 1.0) for _, term in split.graph.split_terms.values()])
        close(parts, share[:, None] * whole, 1e-10)
    assert same.pruned() == Circuit(split.graph, circuit.pruned().table[rows])
    assert [n.partition(":")[0] for n in same.nodes() if not n.endswith(":b")] == list(circuit.nodes())
    of_one, of_both = Circuit.of_nodes(split.graph, ["L0.mlp:a"]), Circuit.of_nodes(split.graph, ["L0.mlp"])
    assert len(of_both) == 2 * len(of_one) == 2 * len(Circuit.of_nodes(plain.graph, ["L0.mlp"]))
    (random,) = some_circuits(split.graph, 1, positions=6)
    close(
        logits_of(split, [random.pruned()], Methodology()), logits_of(split, [random], Methodology())
    )  # under resampling


@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("name", METHODS.names())
def test_every_method_discovers_circuits_of_terms(name: str, merged: bool) -> None:
    runner = runner_of(merged=merged)
    settings = {"acdc": {"tau": 0.3}, "edge_probing": {"epochs": 3}, "circuit_probing": {"epochs": 3, "size": 9}}
    found = discover(runner, name, **settings.get(name, {"size": 9}))
    assert found.circuit.graph == runner.graph
    assert "L0.mlp:f0" in found.circuit.graph.sources
    if name not in settings:
        assert len(found.circuit) == 9
    again = Discovery.from_json(found.to_json())
    assert again.circuit == found.circuit
    assert Circuit.from_json(found.circuit.to_json()) == found.circuit


def test_acdc_over_terms_removes_what_its_rule_says() -> None:
    runner, tau = runner_of("attention only"), 0.02
    found = Acdc(tau=tau).remove(runner)
    removed, distance = np.zeros(runner.graph.allowed.shape, dtype=bool), 0.0
    for edge in reversed(runner.graph.edges):
        removed[edge.source, edge.receiver] = True
        kept = Circuit(runner.graph, runner.graph.allowed & ~removed)
        value = float(runner.scores([kept], Methodology(), ["kl"])["kl"].mean())
        if value - distance < tau:
            distance = value
        else:
            removed[edge.source, edge.receiver] = False
    assert found.circuit == Circuit(runner.graph, runner.graph.allowed & ~removed)


def test_measures_of_circuits_of_terms() -> None:
    runner = runner_of()
    scores = Eap().scores(runner)
    circuit = scores.top(40)
    assert any(":" in name for name in circuit)
    card = faithfulness_card(runner, circuit)
    assert {row.methodology for row in card.rows} == set(grid())
    curve = sweep_sizes(runner, scores, sizes=[0, 40, runner.graph.n_edges])
    assert curve.tables()
    assert attribution_agreement(runner, scores, sample=30).tables()
    assert len(worst_knockout(runner, circuit, size=5, steps=5)) == 5
    assert len(learn_constants(runner, circuit, steps=3)) == 3
    learned = runner.scores([circuit], Methodology(ablation="learned"), ["kl"])["kl"]
    assert np.isfinite(learned).all()


def test_the_picture_joins_a_component_with_its_terms() -> None:
    graph = runner_of().graph
    circuit = Circuit.of(graph, ["embed:f0->L0.mlp", "L0.mlp:f2->L1.H0[K]", "L1.H0->logits"])
    drawn = draw_circuit(circuit)
    lines = {(edge.source, edge.target, edge.group) for edge in drawn.edges}
    assert {("embed:f0", "L0.mlp", "input"), ("L0.mlp:f2", "L1.H0", "K"), ("L0.mlp", "L0.mlp:f2", "term")} <= lines
    layers = {node.id: node.layer for node in drawn.nodes}
    assert layers["L0.mlp"] == layers["L0.mlp:f2"]
    assert circuit.nodes() == ("embed:f0", "L0.mlp:f2", "L1.H0", "logits")
    for write in (to_autocircuit, lambda c: to_mib(c, 12)):
        with pytest.raises(FaultError, match="one source a component"):
            write(circuit)


def test_terms_that_do_not_fit_are_refused() -> None:
    model, pairs = small_transformer().requires_grad_(False), pairs_of(2)
    with pytest.raises(FaultError, match=r"\[L0.mpl\]: no such component \(nearest: L0.mlp"):
        CircuitRunner(model, pairs, terms={"L0.mpl": HALVES["L0.mlp"]})
    for name in ("L0.mlp", "L1.H2"):
        with pytest.raises(FaultError, match=rf"\[{name}\]: the terms do not sum to the component's output"):
            CircuitRunner(model, pairs, terms={name: {"a": lambda x: 0.5 * x, "b": lambda x: 0.4 * x}})
