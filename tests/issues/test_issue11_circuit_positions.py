"""Issue 11: a circuit whose edges have token positions ran with its edges at every position, without a word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toulmin.circuits import Circuit, CircuitRunner, Eap, EdgeScores, Methodology, TestSettings, sweep_sizes
from toulmin.circuits.faithfulness.card import card_values
from toulmin.circuits.faithfulness.tests import collect_test_data
from toulmin.faults import FaultError
from toulmin.subjects import load
from toulmin.tasks import find_task


@pytest.fixture(scope="module")
def runner() -> CircuitRunner:
    subject: Any = load("embedded:induction-2l")
    return CircuitRunner(subject.model, find_task("induction", subject, length=12).generate(8, 0))


@pytest.fixture(scope="module")
def scores(runner: CircuitRunner) -> EdgeScores:
    return Eap(per_position=True).scores(runner)


def logit_diff(runner: CircuitRunner, kept: np.ndarray) -> np.ndarray:
    """The logit difference with exactly the edges ``kept`` ([S, R, T]) alive, from masks written out here."""
    allowed = runner.graph.allowed[:, :, None]
    found = np.zeros(runner.n)
    for index, batch in enumerate(runner.batches):
        logits = runner.run_masks(index, (allowed & ~kept)[None], Methodology())[0].numpy()
        rows = np.arange(len(batch))
        answer, wrong = batch.answers.numpy()[:, 0], batch.wrong.numpy()[:, 0]
        found[list(batch.index)] = logits[rows, answer] - logits[rows, wrong]
    return found


def best(scores: EdgeScores, size: int) -> np.ndarray:
    """The table of the ``size`` (edge, position) pairs of largest absolute score, without our own ordering."""
    table = np.zeros(scores.values.shape, dtype=bool)
    flat = np.argsort(-np.abs(scores.values).reshape(-1), kind="stable")[:size]
    table.reshape(-1)[flat] = True
    return table


def test_a_sweep_over_scores_per_position_runs_edges_at_their_positions(
    runner: CircuitRunner, scores: EdgeScores
) -> None:
    size = 60
    table = best(scores, size)
    sweep = sweep_sizes(runner, scores, [size], metrics=["logit_diff"])
    np.testing.assert_allclose(sweep.scores["logit_diff"][0], logit_diff(runner, table), atol=1e-4)
    assert sweep.n_edges == runner.graph.n_edges * table.shape[2]
    everywhere = np.repeat(table.any(2, keepdims=True), table.shape[2], axis=2)
    widened = sweep_sizes(runner, scores, [size], Methodology(positions="all"), ["logit_diff"])
    np.testing.assert_allclose(widened.scores["logit_diff"][0], logit_diff(runner, everywhere), atol=1e-4)
    assert np.abs(widened.scores["logit_diff"] - sweep.scores["logit_diff"]).max() > 0.1


def test_the_runner_keeps_the_positions_of_a_circuit(runner: CircuitRunner, scores: EdgeScores) -> None:
    circuit, plain = scores.top(40), scores.summed().top(40)
    assert circuit.positions is not None
    found = runner.scores([circuit, plain], Methodology(), ["logit_diff"])["logit_diff"]
    np.testing.assert_allclose(found[0], logit_diff(runner, circuit.table), atol=1e-4)
    everywhere = np.repeat(plain.table[:, :, None], circuit.positions, axis=2)
    np.testing.assert_allclose(found[1], logit_diff(runner, everywhere), atol=1e-4)
    with pytest.raises(FaultError, match="positions"):
        runner.scores([Circuit.empty(runner.graph, 5)], Methodology(), ["logit_diff"])


def test_nodes_are_kept_at_the_positions_at_which_they_have_an_edge(runner: CircuitRunner) -> None:
    graph, length = runner.graph, runner.lengths[0]
    table = np.zeros((*graph.allowed.shape, length), dtype=bool)
    source, receiver = graph.sources.index("L0.H1"), graph.receivers.index("logits")
    table[source, receiver, length - 1] = True
    expected = np.zeros_like(table)
    expected[source, :, length - 1] = graph.allowed[source]
    nodes = Methodology(granularity="nodes")
    kept = nodes.kept(Circuit(graph, table))
    np.testing.assert_array_equal(kept.table, expected)
    found = runner.scores([Circuit(graph, table)], nodes, ["logit_diff"])["logit_diff"][0]
    np.testing.assert_allclose(found, logit_diff(runner, expected), atol=1e-4)


def test_the_card_keeps_positions_and_says_what_it_is_without_them(runner: CircuitRunner, scores: EdgeScores) -> None:
    circuit = scores.top(40)
    values = card_values(runner, circuit, metrics=["logit_diff"])
    assert len({method for method, _ in values}) == 46
    own = values[Methodology(), "logit_diff"]
    np.testing.assert_allclose(own.circuit, logit_diff(runner, circuit.table), atol=1e-4)
    widened = values[Methodology(positions="all"), "logit_diff"]
    assert np.abs(widened.circuit - own.circuit).max() > 0.1
    np.testing.assert_array_equal(widened.ablated, own.ablated)


def test_the_hypothesis_tests_run_edges_at_their_positions(runner: CircuitRunner, scores: EdgeScores) -> None:
    circuit = scores.top(6)
    data = collect_test_data(runner, circuit, TestSettings(randoms=29, additions=200, epsilon=0.1))
    assert all("@" in name for name in data.edges)
    np.testing.assert_allclose(data.circuit, logit_diff(runner, circuit.table), atol=1e-4)
    name, position = data.edges[2].split("@")
    table = circuit.table.copy()
    source, receiver = name.split("->")
    place = runner.graph.sources.index(source), runner.graph.receivers.index(receiver), int(position)
    assert table[place]
    table[place] = False
    effect = abs(float(logit_diff(runner, table).mean() - data.circuit.mean()))
    assert data.effects[2] == pytest.approx(effect, abs=1e-4)
