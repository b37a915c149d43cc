"""Issue 13, section 4 (d): probing that starts from attribution scores, on circuits whose truth is planted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import CircuitRunner, Eap, EapIg
from toulmin.circuits.discovery import CircuitProbing
from toulmin.circuits.discovery.hard_concrete import HardConcrete
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import Pair

TRUTH = {"embed->L0.H1[V]", "L0.H1->logits"}


@pytest.fixture(scope="module")
def runner() -> CircuitRunner:
    """Of six heads only L0.H1 writes anything, evenly from all tokens before, and the logits read nothing else.

    What it writes is orthogonal to the embedding, and W_U reads that part of the stream alone, so the true circuit are
    the two edges of one path. All other edges carry nothing, or what nobody reads.
    """
    config = TransformerConfig(
        2, 16, 3, 4, 9, 8, positions="none", norm="none", biases=(), d_vocab_out=9
    )  # attention only
    model = Transformer(config, torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        for layer in model.layers:
            layer.attn.W_O.zero_()
            layer.attn.W_Q.zero_()
        model.W_E[:, 8:] = 0.0
        model.layers[0].attn.W_O[1, :, 8:] = 9 * torch.randn(4, 8, generator=torch.Generator().manual_seed(1)).double()
        assert model._W_U is not None
        model._W_U[:8] = 0.0
    rng = np.random.default_rng(0)
    pairs = [Pair(tuple(rng.integers(0, 9, 5)), tuple(rng.integers(0, 9, 5)), (1,), (2,)) for _ in range(8)]
    return CircuitRunner(model.requires_grad_(False), pairs)


def test_the_gates_start_with_the_scores_and_with_as_many_open_as_wanted(runner: CircuitRunner) -> None:
    """Without learning the probabilities are those of the formula, in the order of the scores."""
    method = CircuitProbing(size=8, epochs=1, learning_rate=1e-12, warm_start="eap")
    found = method.scores(runner)
    scores = method.warm_scores(runner)
    assert scores is not None
    assert np.array_equal(scores.values, Eap().scores(runner).values)
    rank = (np.arange(runner.graph.n_edges) + 0.5) / 8
    expected = np.clip(np.where(rank <= 1, 1 - rank / 2, np.exp(2 - 2 * rank) / 2), 0.01, 0.99)
    np.testing.assert_allclose(found.flat()[scores.order()], expected, atol=1e-6)
    assert expected[rank < 3].sum() == pytest.approx(8, rel=0.05)
    assert found.top(8) == scores.top(8)


def test_parameters_are_those_of_the_probabilities() -> None:
    gate, likely = HardConcrete(), torch.tensor([0.01, 0.3, 0.5, 0.97])
    torch.testing.assert_close(gate.open_probability(gate.parameter(likely)), likely)


@pytest.mark.parametrize("start", ["eap", "eap_ig", "mask_ig", "relp"])
def test_the_planted_circuit_is_found_in_few_steps(runner: CircuitRunner, start: Any) -> None:
    found = CircuitProbing(size=2, epochs=5, warm_start=start).discover(runner).circuit
    assert set(found) == TRUTH


def test_learning_leaves_a_wrong_start(runner: CircuitRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """From scores that put a useless edge before one of the two true ones, training exchanges them."""
    scores = EapIg().scores(runner)
    wrong = np.where(scores.values != 0, 0.5, 0.0)
    for number, name in enumerate(("embed->L1.H2[V]", "L0.H1->logits")):
        edge = runner.graph.edges[runner.graph.edge_index(name)]
        wrong[edge.source, edge.receiver] = 1.0 + number
    planted = type(scores)(runner.graph, wrong, "wrong on purpose")
    monkeypatch.setattr(CircuitProbing, "warm_scores", lambda self, runner: planted)
    method = CircuitProbing(size=2, epochs=150, samples=4, penalty=1.0, warm_start="eap")
    assert set(planted.top(2)) != TRUTH
    assert set(method.discover(runner).circuit) == TRUTH


def test_a_cold_start_is_what_it_was(runner: CircuitRunner) -> None:
    found = CircuitProbing(size=2, epochs=1, learning_rate=1e-12).scores(runner)
    gate = HardConcrete()
    expected = float(gate.open_probability(torch.tensor(gate.start)))
    np.testing.assert_allclose(found.flat(), expected, atol=1e-6)
