"""Known answers: identities that hold for every model, and a brute force written from the definition."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from circuit_models import T, close, logits_of, model_of, pairs_of, some_circuits, swapped
from torch import Tensor
from torch.nn import functional

from toulmin.circuits import (
    Acdc,
    Circuit,
    CircuitRunner,
    Eap,
    EapIg,
    EdgeProbing,
    EdgeScores,
    ExactEffects,
    Methodology,
    Relp,
)
from toulmin.circuits.discovery import EapIgActivations, MaskGradient, MaskIg, exact_effects
from toulmin.circuits.edges import parse_edge, removal_order
from toulmin.faults import FaultError
from toulmin.patching.graph import Graph
from toulmin.subjects import Transformer
from toulmin.tasks import Pair, find_metric


def test_nothing_ablated_is_the_model_and_everything_is_the_counterfactual() -> None:
    pairs, model = pairs_of(), model_of()
    runner = CircuitRunner(model, pairs)
    at = torch.tensor([p.scored for p in pairs])
    clean, other = (
        model(torch.tensor([getattr(p, s) for p in pairs]))[torch.arange(6), at] for s in ("clean", "counterfactual")
    )
    for direction in ("noising", "denoising"):
        found = logits_of(
            runner, [Circuit.full(runner.graph), Circuit.empty(runner.graph)], Methodology(direction=direction)
        )
        close(found[0], clean)
        close(found[1], other)
    for value in ("zero", "mean_both", "batch_mean"):
        close(logits_of(runner, [Circuit.full(runner.graph)], Methodology(ablation=value))[0], clean)


def test_equal_prompts_give_zero_scores() -> None:
    pairs = [Pair(p.clean, p.clean, p.answers, p.wrong, at=p.at) for p in pairs_of()]
    runner = CircuitRunner(model_of(), pairs)
    for scores in (
        Eap().scores(runner),
        EapIg(steps=2).scores(runner),
        EapIgActivations(steps=2).scores(runner),
        MaskGradient(mix=0.5).scores(runner),
        Relp().scores(runner),
        exact_effects(runner),
    ):
        assert np.abs(scores.values).max() < 1e-13


@pytest.mark.parametrize("positions", [None, T])
def test_ablating_with_roles_swapped_is_restoring(positions: int | None) -> None:
    pairs, model = pairs_of(), model_of()
    runner, other = CircuitRunner(model, pairs), CircuitRunner(model, swapped(pairs))
    circuits = some_circuits(runner.graph, positions=positions)
    restored = logits_of(runner, circuits, Methodology(direction="denoising"))
    close(restored, logits_of(other, circuits, Methodology(ablate="circuit")))
    complements = [~c for c in circuits]
    close(restored, logits_of(other, complements, Methodology()))


@pytest.mark.parametrize("positions", [None, T])
@pytest.mark.parametrize(
    "changes", [{}, {"parallel": True}, {"causal": False}, {"positions": "shortformer", "d_mlp": 0}]
)
def test_pruning_dangling_edges_changes_nothing_under_resampling(
    positions: int | None, changes: dict[str, Any]
) -> None:
    runner = CircuitRunner(model_of(**changes), pairs_of())
    dangling = Circuit.of(runner.graph, ["L0.H1->logits"])  # of a head that nothing in the circuit reaches
    circuits = [*some_circuits(runner.graph, positions=positions), dangling.at_positions(T) if positions else dangling]
    pruned = [c.pruned(causal=runner.model.config.causal) for c in circuits]
    assert any(len(p) < len(c) for p, c in zip(pruned, circuits, strict=True))
    assert all(
        p <= c and p.pruned(causal=runner.model.config.causal) == p for p, c in zip(pruned, circuits, strict=True)
    )
    method = Methodology()
    close(logits_of(runner, circuits, method), logits_of(runner, pruned, method))
    zero = Methodology(ablation="zero")
    moved = (logits_of(runner, circuits, zero) - logits_of(runner, pruned, zero)).abs().max()
    assert moved > 1e-6  # what is reached only by cut edges is recomputed from them
    branches = Methodology(ablation="zero", granularity="branches")
    close(logits_of(runner, circuits, branches), logits_of(runner, pruned, zero))


def test_a_node_is_all_its_out_edges() -> None:
    pairs, model = pairs_of(), model_of()
    runner = CircuitRunner(model, pairs)
    tokens, at = torch.tensor([p.clean for p in pairs]), torch.tensor([p.scored for p in pairs])
    for node in ("L0.H1", "L0.mlp", "L1.H0"):
        kept = Circuit.of_nodes(runner.graph, [s for s in runner.graph.sources if s != node])
        found = logits_of(runner, [kept], Methodology(ablation="zero"))[0]
        edited, _ = model.run_with_cache(tokens, names=[], edits={node: torch.zeros_like})
        close(found, edited[torch.arange(6), at])
        few = Circuit.of(runner.graph, [f"{node}->logits"])
        close(
            logits_of(runner, [few], Methodology(granularity="nodes")),
            logits_of(runner, [Circuit.of_nodes(runner.graph, [node])], Methodology()),
        )


def brute_force(model: Transformer, clean: Tensor, other: Tensor, kept: np.ndarray) -> Tensor:
    """One prompt, edges kept per position, cut ones resampled: every sum written out, from the weights alone."""
    graph = Graph.of(model)

    def norm(x: Tensor, n: Any) -> Tensor:
        return functional.layer_norm(x, x.shape[-1:], n.w, n.b, n.eps)

    def write(tokens: Tensor, read: Any) -> dict[str, Tensor]:
        out = {"embed": model.W_E[tokens] + model.W_pos[:T]}  # type: ignore[index]
        for index, layer in enumerate(model.layers):
            a, new = layer.attn, {}
            for head in range(model.config.n_heads):
                x = {slot: norm(read(out, f"L{index}.H{head}[{slot}]", index), layer.norm1) for slot in "QKV"}
                q, k, v = (x[s] @ getattr(a, f"W_{s}")[head] + getattr(a, f"b_{s}")[head] for s in "QKV")
                z = torch.zeros_like(v)
                for t in range(T):
                    weights = torch.softmax(torch.stack([q[t] @ k[s] / q.shape[-1] ** 0.5 for s in range(t + 1)]), 0)
                    z[t] = sum(weights[s] * v[s] for s in range(t + 1))  # type: ignore[assignment]
                new[f"L{index}.H{head}"] = z @ a.W_O[head]
            out |= new
            m = layer.mlp
            x = norm(read(out, f"L{index}.mlp", index + 1), layer.norm2)
            out[f"L{index}.mlp"] = functional.gelu(x @ m.W_in + m.b_in, approximate="tanh") @ m.W_out + m.b_out  # type: ignore[union-attr]
        assert model.b_U is not None
        out["logits"] = norm(read(out, "logits", 2), model.final_norm) @ model.W_U + model.b_U
        return out

    def biases(layers: int) -> Tensor:
        found = [bias for layer in model.layers[:layers] if (bias := layer.attn.b_O) is not None]
        assert len(found) == layers
        return sum(found, torch.zeros(8, dtype=torch.float64))

    def whole(out: dict[str, Tensor], receiver: str, layers: int) -> Tensor:
        return sum(out.values(), torch.zeros(T, 8, dtype=torch.float64)) + biases(layers)

    cached = write(other, whole)

    def mixed(out: dict[str, Tensor], receiver: str, layers: int) -> Tensor:
        column, total = graph.receivers.index(receiver), torch.zeros(T, 8, dtype=torch.float64)
        for row, source in enumerate(graph.sources):
            if source in out:
                on = torch.tensor(kept[row, column])[:, None]
                total = total + torch.where(on, out[source], cached[source])
        return total + biases(layers)

    return write(clean, mixed)["logits"]


def test_edges_at_positions_against_a_brute_force() -> None:
    model, pairs = model_of(), pairs_of(3)
    runner = CircuitRunner(model, pairs)
    circuits = some_circuits(runner.graph, 3, positions=T)
    found = logits_of(runner, circuits, Methodology())
    for row, circuit in zip(found, circuits, strict=True):
        for logits, pair in zip(row, pairs, strict=True):
            expected = brute_force(model, torch.tensor(pair.clean), torch.tensor(pair.counterfactual), circuit.table)
            close(logits, expected[pair.scored])


def linear_model() -> Transformer:
    """No norm, no MLP, uniform attention: the logits are linear in every source."""
    model = model_of(norm="none", d_mlp=0)
    for layer in model.layers:
        layer.attn.W_Q.zero_()
        layer.attn.b_Q.zero_()  # type: ignore[union-attr]
    return model


def test_attributions_are_exact_on_a_linear_model() -> None:
    runner = CircuitRunner(linear_model(), pairs_of())
    exact = exact_effects(runner)
    assert np.abs(exact.values).max() > 0.01
    for scores in (
        Eap().scores(runner),
        Relp().scores(runner),
        EapIg(steps=3).scores(runner),
        EapIgActivations(steps=2).scores(runner),
    ):
        close(scores.values, exact.values)


def test_mask_integrated_gradients_sum_to_the_total_effect() -> None:
    runner = CircuitRunner(model_of(), pairs_of())
    ends = logits_of(runner, [Circuit.full(runner.graph), Circuit.empty(runner.graph)], Methodology())
    assert ends.shape[0] == 2
    scores = runner.scores([Circuit.full(runner.graph), Circuit.empty(runner.graph)], Methodology(), ["logit_diff"])
    total = float((scores["logit_diff"][0] - scores["logit_diff"][1]).mean())
    errors = [abs(MaskIg(steps=n, endpoints="midpoints").scores(runner).values.sum() - total) for n in (2, 8, 32)]
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.06 * abs(total)


def test_batch_size_and_position_sums_change_nothing() -> None:
    pairs, model = pairs_of(7), model_of()
    whole, split = CircuitRunner(model, pairs), CircuitRunner(model, pairs, batch=2)
    for method in (Eap(), Relp(), ExactEffects(), MaskIg(steps=2), EapIg(steps=2), EapIgActivations(steps=2)):
        close(method.scores(whole).values, method.scores(split).values)
        placed = method.model_copy(update={"per_position": True}).scores(whole)
        assert placed.positions == T
        if not isinstance(method, ExactEffects):  # gradients add up over positions, effects do not
            close(placed.values.sum(2), method.scores(whole).values)
    circuits = some_circuits(whole.graph)
    for value in ("resample", "zero", "mean_clean", "mean_counterfactual", "mean_both"):
        method = Methodology(ablation=value)
        close(logits_of(whole, circuits, method), logits_of(split, circuits, method))
    assert Acdc(tau=0.05).remove(whole).circuit == Acdc(tau=0.05).remove(split).circuit


def test_prompts_of_several_lengths_come_back_in_their_order() -> None:
    pairs = [*pairs_of(3), *pairs_of(3, seed=2, length=4)]
    mixed = [pairs[i] for i in (0, 3, 1, 4, 2, 5)]
    model = model_of()
    found = CircuitRunner(model, mixed).scores([Circuit.empty(Graph.of(model))], Methodology(), ["logit_diff"])[
        "logit_diff"
    ][0]
    alone = [
        CircuitRunner(model, [p]).scores([Circuit.empty(Graph.of(model))], Methodology(), ["logit_diff"])["logit_diff"][
            0, 0
        ]
        for p in mixed
    ]
    close(found, np.array(alone))


def test_identical_prompts_make_means_resamples() -> None:
    pairs = pairs_of(1) * 4
    runner = CircuitRunner(model_of(), pairs)
    circuits = some_circuits(runner.graph)
    expected = logits_of(runner, circuits, Methodology())
    for value in ("mean_counterfactual", "batch_mean"):
        close(logits_of(runner, circuits, Methodology(ablation=value)), expected)


@pytest.mark.parametrize("tau", [0.003, 0.05])
def test_speculative_acdc_is_sequential_acdc(tau: float) -> None:
    runner = CircuitRunner(model_of(), pairs_of())
    sequential = Acdc(tau=tau, speculate=1).remove(runner)
    assert 0 < len(sequential.circuit) < runner.graph.n_edges
    for speculate in (2, 7, 64):
        found = Acdc(tau=tau, speculate=speculate).remove(runner)
        assert found.circuit == sequential.circuit
        assert found.batches_run < sequential.batches_run
        np.testing.assert_allclose(found.changes, sequential.changes, atol=1e-11)


@pytest.mark.parametrize("per_position", [False, True])
def test_acdc_within_a_circuit_is_the_definition_with_all_else_removed(per_position: bool) -> None:
    runner, kl = CircuitRunner(model_of(), pairs_of(3)), find_metric("kl")
    start = Eap(size=25).discover(runner).circuit

    def distance(removed: np.ndarray) -> float:
        logits = runner.run_masks(0, removed[None], Methodology())
        return float(kl(logits, runner.batches[0], runner.full(0)).mean())

    places = [(*edge, at) for edge in removal_order(runner.graph) for at in reversed(range(T))]
    shape = (*runner.graph.allowed.shape, T) if per_position else runner.graph.allowed.shape
    visited = places if per_position else removal_order(runner.graph)
    removed = np.broadcast_to((~start.table)[:, :, None], shape).copy() if per_position else ~start.table
    last = distance(removed)
    for place in visited:
        if not removed[place]:
            removed[place] = True
            trial = distance(removed)
            removed[place], last = (True, trial) if trial - last < 0.02 else (False, last)
    method = Acdc(tau=0.02, within=Eap(size=25), per_position=per_position)
    told: list[int] = []
    found = method.remove(runner, told.append)
    allowed = runner.graph.allowed[:, :, None] if per_position else runner.graph.allowed
    np.testing.assert_array_equal(found.circuit.table, allowed & ~removed)
    assert 0 < len(found.circuit) < len(start) * (T if per_position else 1)
    assert found.distance == pytest.approx(last, abs=1e-12)
    assert sum(told) == method.steps_on(runner)
    assert method.label == "ACDC (tau 0.02, metric kl, ablation resample{}) within 25 edges of {}".format(
        ", per_position" if per_position else "", Eap().label
    )


def test_acdc_within_a_circuit_at_positions_asks_for_positions() -> None:
    with pytest.raises(FaultError, match=r"circuits\.positions"):
        Acdc(within=Eap(size=25, per_position=True)).discover(CircuitRunner(model_of(), pairs_of(3)))


def test_acdc_within_a_method_that_draws_passes_the_seed_on() -> None:
    method = Acdc(within=EdgeProbing())
    assert getattr(method.with_seed(7).within, "seed") == 7  # noqa: B009
    assert Acdc().with_seed(7) == Acdc()


def test_acdc_does_not_depend_on_the_hash_seed() -> None:
    code = (
        f"import importlib.util as u; s = u.spec_from_file_location('k', {__file__!r}); k = u.module_from_spec(s); "
        "s.loader.exec_module(k); "
        "print(k.Acdc(tau=0.05).remove(k.CircuitRunner(k.model_of(), k.pairs_of())).circuit.digest())"
    )
    own = Acdc(tau=0.05).discover(CircuitRunner(model_of(), pairs_of())).circuit.digest()
    for seed in ("77",):
        path = os.pathsep.join(sys.path)  # with the folder of the shared builders
        environment = {**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == own


def test_bad_input_is_refused() -> None:
    model = model_of()
    runner = CircuitRunner(model, pairs_of())
    with pytest.raises(FaultError, match=r"(?s)L9.*nonsense"):
        Circuit.of(runner.graph, ["embed->L9.H0[Q]", "embed->L0.H0[Q]", "nonsense"])
    with pytest.raises(FaultError, match="no prompts"):
        CircuitRunner(model, [])
    with pytest.raises(FaultError, match="length"):
        Pair((1, 2), (1, 2, 3), (1,))
    with pytest.raises(FaultError, match="no metric of that name"):
        Eap(metric="happiness")
    with pytest.raises(FaultError, match="no gradient"):
        Eap(metric="accuracy")
    with pytest.raises(FaultError, match="order names"):
        Acdc(order=("embed->logits",)).discover(runner)
    with pytest.raises(FaultError, match="greater than 0"):
        Acdc(tau=-1.0)
    with pytest.raises(FaultError, match="another model"):
        runner.scores([Circuit.empty(Graph.transformer(3, 2))], Methodology(), ["kl"])
    with pytest.raises(FaultError, match="edges at 4 positions"):
        runner.scores([Circuit.empty(runner.graph, 4)], Methodology(), ["kl"])
    with pytest.raises(FaultError, match="not a finite number"):
        EdgeScores(runner.graph, np.full(runner.graph.allowed.shape, np.nan), "x")
    broken = model_of()
    broken.W_E[3] = torch.nan
    with pytest.raises(FaultError, match="NaN"):
        CircuitRunner(broken, [Pair((3,) * T, (2,) * T, (1,), (2,))]).full_scores(["kl"])
    with pytest.raises(FaultError, match="outside the vocabulary"):
        CircuitRunner(model, [Pair((99,) * T, (2,) * T, (1,), (2,))]).full_scores(["kl"])


def test_scores_order_is_total() -> None:
    graph = Graph.transformer(2, 2)
    flat = EdgeScores(graph, np.ones(graph.allowed.shape), "ties")
    assert list(flat.top(3)) == ["embed->L0.H0[Q]", "embed->L0.H0[K]", "embed->L0.H0[V]"]
    scores = EdgeScores.random(graph, np.random.default_rng(0))
    circuits = scores.sweep([0, 5, 9, graph.n_edges])
    assert [len(c) for c in circuits] == [0, 5, 9, graph.n_edges]
    assert circuits[1] <= circuits[2]
    best = max(scores.by_name(), key=lambda name: scores.by_name()[name])
    assert best in circuits[1]
    assert scores.at(best) == scores.values[parse_edge(graph, best)]
