"""Gates, learned constants, completeness, and the tests of Shi et al. on a trained model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import (
    Circuit,
    CircuitRunner,
    EapIg,
    EdgeProbing,
    Methodology,
    TestSettings,
    faithfulness_card,
    hypothesis_tests,
    learn_constants,
    sweep_sizes,
)
from toulmin.circuits.discovery import CircuitProbing
from toulmin.circuits.discovery.hard_concrete import HardConcrete
from toulmin.circuits.faithfulness import compare_knockouts, random_knockouts, worst_knockout
from toulmin.circuits.faithfulness.completeness import _start
from toulmin.circuits.faithfulness.statistics import equivalence
from toulmin.faults import FaultError
from toulmin.subjects import load
from toulmin.tasks import find_task


@pytest.fixture(scope="module")
def runner() -> CircuitRunner:
    subject: Any = load("embedded:induction-2l")
    pairs = find_task("induction", subject, length=16).generate(16, 0)
    return CircuitRunner(subject.model, pairs)


def test_gates_have_their_distribution() -> None:
    gate, generator = HardConcrete(), torch.Generator().manual_seed(0)
    a = torch.full((20_000,), gate.start)
    drawn = gate.sample(a, generator)
    assert float(torch.sigmoid(a[0]) * 1.2 - 0.1) == pytest.approx(0.9, abs=1e-6)
    assert float((drawn > 0).float().mean()) == pytest.approx(float(gate.open_probability(a)[0]), abs=0.01)
    assert float((drawn == 1).float().mean()) > 0.3
    closed = gate.sample(torch.full((20_000,), -2.0), generator)
    assert float((closed > 0).float().mean()) == pytest.approx(
        float(gate.open_probability(torch.tensor(-2.0))), abs=0.01
    )


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_gates_start_where_they_cut_so_many_edges(share: float) -> None:
    gate = HardConcrete()
    assert float(gate.open_probability(torch.tensor(_start(gate, share)))) == pytest.approx(share, abs=1e-6)


@pytest.mark.slow
def test_probing_finds_a_better_circuit_than_chance(runner: CircuitRunner) -> None:
    size = 60
    method = CircuitProbing(size=size, epochs=30, seed=1)
    scores, again = method.scores(runner), method.scores(runner)
    np.testing.assert_array_equal(scores.values, again.values)
    rng = np.random.default_rng(0)
    circuits = [scores.top(size), *(Circuit.random(runner.graph, size, rng) for _ in range(4))]
    kl = runner.scores(circuits, Methodology(), ["kl"])["kl"].mean(1)
    assert kl[0] < 0.8 * kl[1:].min()
    sparse = EdgeProbing(penalty=20.0, epochs=30).discover(runner).circuit
    assert len(sparse) < runner.graph.n_edges / 2


def test_learned_constants_hurt_less_than_means(runner: CircuitRunner) -> None:
    circuit = EapIg(steps=3).scores(runner).top(80)
    losses = learn_constants(runner, circuit, steps=40)
    assert losses[-1] < losses[0]
    kl = {
        value: runner.scores([circuit], Methodology(ablation=value), ["kl"])["kl"].mean()
        for value in ("learned", "mean_counterfactual", "zero")
    }
    assert kl["learned"] < min(kl["mean_counterfactual"], kl["zero"])
    fresh = CircuitRunner(runner.model, runner.pairs)
    with pytest.raises(FaultError, match="no constants"):
        fresh.scores([circuit], Methodology(ablation="learned"), ["kl"])


def test_completeness_of_the_whole_model_and_of_a_part(runner: CircuitRunner) -> None:
    rng = np.random.default_rng(0)
    full, part = Circuit.full(runner.graph), EapIg(steps=3).scores(runner).top(60)
    whole = compare_knockouts(runner, full, random_knockouts(full, 3, rng))
    assert max(k.incompleteness for k in whole) < 1e-5
    knockouts = random_knockouts(part, 3, rng)
    found = compare_knockouts(runner, part, knockouts)
    assert min(k.incompleteness for k in found) > 0.01
    worst = worst_knockout(runner, part, size=10, steps=10)
    assert len(worst) == 10
    assert worst <= part
    with pytest.raises(FaultError, match="outside of the circuit"):
        compare_knockouts(runner, part, [full])


def test_random_circuits_fail_and_the_model_passes(runner: CircuitRunner) -> None:
    method = Methodology()
    full_scores = runner.full_scores(["logit_diff"])["logit_diff"]
    rng = np.random.default_rng(0)
    size = runner.graph.n_edges // 3
    circuits = [Circuit.full(runner.graph), Circuit.random(runner.graph, size, rng)]
    scores = runner.scores(circuits, method, ["logit_diff"])["logit_diff"]
    assert equivalence(scores[0], full_scores).passes
    assert not equivalence(scores[1], full_scores).passes
    settings = TestSettings(randoms=30, share=0.8)
    good = hypothesis_tests(runner, EapIg(steps=3).scores(runner).top(60), settings)
    assert good.sufficiency.passes
    assert good.minimal_edges
    chance = hypothesis_tests(runner, Circuit.random(runner.graph, 60, rng), settings)
    assert not chance.sufficiency.passes
    assert len(chance.minimal_edges) < len(good.minimal_edges)
    assert len(good.data.effects) == 60
    assert good.data.knocked_out > good.data.distance


def test_the_card_of_a_circuit_moves_with_the_methodology(runner: CircuitRunner) -> None:
    circuit = EapIg(steps=3).scores(runner).top(60)
    card = faithfulness_card(runner, circuit, metrics=("logit_diff", "kl"), resamples=100)
    assert card.n == 16
    assert card.lowest.value < card.highest.value
    whole = faithfulness_card(runner, Circuit.full(runner.graph), metrics=("logit_diff",), resamples=100)
    assert {round(row.value, 3) for row in whole.rows} == {100.0}
    assert not whole.flips


def test_the_curve_ends_at_the_model(runner: CircuitRunner) -> None:
    scores = EapIg(steps=3).scores(runner)
    sweep = sweep_sizes(runner, scores, [0, 30, 120, runner.graph.n_edges])
    faithful = sweep.faithfulness("logit_diff")
    assert faithful[0] == pytest.approx(0, abs=1e-6)
    assert faithful[-1] == pytest.approx(1, abs=1e-5)
    assert faithful[1] < faithful[2] < 1.2
    np.testing.assert_allclose(sweep.scores["kl"][-1], 0, atol=1e-5)
