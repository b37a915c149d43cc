"""Discovery at token positions: each method against its definition, one edge at one position at a time."""

from __future__ import annotations

import numpy as np
import pytest
from circuit_models import T, model_of, pairs_of

from toulmin.circuits import Acdc, Circuit, CircuitRunner, EdgeProbing, ExactEffects, Methodology
from toulmin.circuits.discovery import exact_effects
from toulmin.tasks import Pair, find_metric


@pytest.mark.parametrize("tau", [0.003, 0.05])
def test_acdc_at_positions_is_the_definition(tau: float) -> None:
    """Algorithm 1 edge by edge and position by position, each removal run alone, against the speculative batches."""
    runner = CircuitRunner(model_of(n_layers=1), pairs_of(3))
    kl = find_metric("kl")

    def distance(removed: np.ndarray) -> float:
        logits = runner.run_masks(0, removed[None], Methodology())
        return float(kl(logits, runner.batches[0], runner.full(0)).mean())

    removed, last = np.zeros((*runner.graph.allowed.shape, T), dtype=bool), 0.0
    for receiver in reversed(range(len(runner.graph.receivers))):
        for source in reversed(np.nonzero(runner.graph.allowed[:, receiver])[0].tolist()):
            for position in reversed(range(T)):
                removed[source, receiver, position] = True
                trial = distance(removed)
                if trial - last < tau:
                    last = trial
                else:
                    removed[source, receiver, position] = False
    found = Acdc(tau=tau, per_position=True).remove(runner)
    assert 0 < len(found.circuit) < T * runner.graph.n_edges
    np.testing.assert_array_equal(found.circuit.table, runner.graph.allowed[:, :, None] & ~removed)
    assert found.distance == pytest.approx(last, abs=1e-12)
    assert found.circuits_run < found.edges == T * runner.graph.n_edges
    sequential = Acdc(tau=tau, per_position=True, speculate=1).remove(runner)
    assert sequential.circuit == found.circuit
    assert sequential.circuits_run == sequential.batches_run == found.edges


def test_exact_effects_at_positions_cut_one_edge_at_one_position() -> None:
    runner = CircuitRunner(model_of(), pairs_of(3))
    scores = ExactEffects(per_position=True, ablation="zero").scores(runner)
    rng, full = np.random.default_rng(0), runner.full_scores(["logit_diff"])["logit_diff"]
    places = [tuple(place) for place in rng.permutation(scores.places())[:8].tolist()]
    cut = []
    for place in places:
        table = Circuit.full(runner.graph, T).table.copy()
        table[place] = False
        cut.append(Circuit(runner.graph, table))
    expected = full.mean() - runner.scores(cut, Methodology(ablation="zero"), ["logit_diff"])["logit_diff"].mean(1)
    np.testing.assert_allclose([scores.values[place] for place in places], expected, atol=1e-12)
    some = exact_effects(runner, ablation="zero", edges=places)
    np.testing.assert_allclose(some.values.sum(), sum(scores.values[place] for place in places), atol=1e-12)
    lower = exact_effects(runner, "loss", ablation="zero", edges=places)  # a metric that should be low: worse is higher
    loss = runner.scores(cut, Methodology(ablation="zero"), ["loss"])["loss"].mean(1)
    worse = loss - runner.full_scores(["loss"])["loss"].mean()
    np.testing.assert_allclose([lower.values[place] for place in places], worse, atol=1e-12)


def test_gates_after_the_scored_position_only_feel_the_penalty() -> None:
    """Edges into later positions change nothing, so their gates close alike; some edge before them stays open."""
    pairs = [Pair(p.clean, p.counterfactual, p.answers, p.wrong, at=2) for p in pairs_of(4)]
    runner = CircuitRunner(model_of(), pairs)
    method = EdgeProbing(epochs=25, per_position=True, penalty=3.0, samples=2, seed=1)
    scores = method.scores(runner)
    flat = scores.flat().reshape(-1, T)
    late, early = flat[:, 3:], flat[:, :3]
    assert np.ptp(late) < 1e-12
    assert late.max() < 0.9 < early.max()
    assert 0.6 < late.max() < 0.7
    found = EdgeProbing(epochs=25, per_position=True, penalty=3.0, samples=2, seed=1, threshold=0.7).discover(runner)
    np.testing.assert_array_equal(found.circuit.table, scores.values > 0.7)
    assert 0 < len(found.circuit) < len(flat) * T


def test_an_order_of_edges_is_followed() -> None:
    runner = CircuitRunner(model_of(n_layers=1), pairs_of(3))
    names = list(Circuit.full(runner.graph))
    forward, backward = Acdc(tau=0.05, order=tuple(names)), Acdc(tau=0.05, order=tuple(reversed(names)))
    assert backward.remove(runner).circuit == Acdc(tau=0.05).remove(runner).circuit
    assert forward.remove(runner).changes[0] == pytest.approx(
        runner.scores([~Circuit.of(runner.graph, names[:1])], Methodology(), ["kl"])["kl"].mean(), abs=1e-12
    )
