"""Issue 11: tests that could not decide went into evidence; knock-outs, clusters and small denominators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import Circuit, CircuitRunner, EapIg, Methodology, TestSettings, hypothesis_tests
from toulmin.circuits.faithfulness import worst_knockout
from toulmin.circuits.faithfulness.card import PromptValues, make_card
from toulmin.circuits.faithfulness.completeness import knockout_masks
from toulmin.circuits.faithfulness.recovered import recovered
from toulmin.circuits.faithfulness.statistics import adjust, minimality, partial_necessity, sufficiency
from toulmin.circuits.faithfulness.tests import TestData, evaluate_tests, random_knockout, random_part
from toulmin.evidence import bootstrap_ratio
from toulmin.faults import FaultError
from toulmin.patching.graph import Graph
from toulmin.studies import find_study
from toulmin.subjects import load
from toulmin.tasks import find_task

GRAPH = Graph.transformer(2, 2)


@pytest.fixture(scope="module")
def runner() -> CircuitRunner:
    subject: Any = load("embedded:induction-2l")
    return CircuitRunner(subject.model, find_task("induction", subject, length=16).generate(16, 0))


@pytest.mark.parametrize("preset", ["tiny", "demo", "full"])
def test_every_preset_can_reject_every_null_hypothesis(preset: Any) -> None:
    """On the most extreme data these settings can see: the circuit loses everywhere, its edges beat every addition."""
    study: Any = find_study("circuits.tests").preset(preset)
    n, edges, randoms = study.n, study.method.size, study.randoms
    outside = 257 - edges  # of embedded:induction-2l
    added = np.arange(min(study.additions, outside), dtype=float)
    full = np.random.default_rng(0).normal(size=n)
    data = TestData(
        edges=tuple(map(str, range(edges))), units=tuple(map(str, range(n))), full=full, circuit=full - 1,
        complement=full, effects=np.full(edges, 1e6), added=added, distance=0.0, random_distances=np.ones(randoms),
        knocked_out=2.0, random_knocked_out=np.ones(randoms),
    )  # fmt: skip
    found = evaluate_tests(data, study)
    assert all(test.rejected for test in found.results)
    assert len(found.minimal_edges) == edges


@pytest.mark.parametrize(
    ("settings", "sizes", "test", "needed"),
    [
        ({"randoms": 28}, {}, "sufficiency", "at least 29 randoms"),
        ({"randoms": 28}, {}, "partial necessity", "at least 29 randoms"),
        ({"share": 0.95}, {"randoms": 58}, "sufficiency", "at least 59 randoms"),
        ({"correction": "holm"}, {"edges": 12, "additions": 238}, "minimality", "at least 239 random additions"),
        ({"correction": "bonferroni"}, {"edges": 60, "outside": 197}, "minimality", "197 edges outside"),
        ({}, {"edges": 60, "additions": 18}, "minimality", "at least 19 random additions"),
        ({}, {"units": 6}, "equivalence", "at least 7 independent prompts"),
        ({"permutations": 18}, {}, "independence", "19 permutations"),
        ({"alpha": 0.5}, {"units": 1}, "independence", "at least 2 independent prompts and 1 permutations"),
        ({}, {"units": 3}, "independence", "at least 4 independent prompts"),
        ({}, {"edges": 128, "outside": 128}, "partial necessity", "1 distinct random knock-outs"),
        ({}, {"edges": 257, "outside": 0}, "sufficiency", "all edges"),
    ],
)
def test_settings_that_cannot_decide_are_refused_with_what_they_need(
    settings: dict[str, Any], sizes: dict[str, Any], test: str, needed: str
) -> None:
    sizes = {"units": 40, "edges": 12, "outside": 245, **sizes}
    drawn = {key: sizes.pop(key) for key in ("randoms", "additions") if key in sizes}
    with pytest.raises(FaultError) as caught:
        TestSettings(**{**settings, **drawn}).check(**sizes)
    found = [f for f in caught.value.faults if test in (f.name or "")]
    assert found
    assert any(needed in f"{f.message} {f.hint}" for f in found)


def test_the_needed_number_is_enough() -> None:
    TestSettings(randoms=29).check(units=7, edges=60, outside=197)
    TestSettings(correction="holm", additions=239).check(units=7, edges=12, outside=245)
    TestSettings(additions=19, permutations=19).check(units=7, edges=60, outside=197)
    assert sufficiency(0.0, np.ones(29)).rejected
    assert adjust(minimality([2.0, *[0.0] * 11], np.ones(239)), "holm")[0] <= 0.05
    assert adjust(minimality(np.full(60, 2.0), np.ones(19))).max() <= 0.05


def test_a_test_on_too_few_units_is_refused() -> None:
    with pytest.raises(FaultError, match="cannot reject"):
        sufficiency(0.0, np.ones(28))
    with pytest.raises(FaultError, match="cannot reject"):
        partial_necessity(2.0, np.ones(28))


def test_the_study_refuses_such_settings_before_it_runs() -> None:
    study = find_study("circuits.tests")
    tiny = dict(study.presets["tiny"])
    with pytest.raises(ValueError, match="at least 29 randoms"):
        study.model_validate({**tiny, "randoms": 20})
    with pytest.raises(ValueError, match="1199 random additions"):
        study.model_validate({**tiny, "method": {"name": "eap_ig", "size": 60}, "correction": "holm"})


def test_hypothesis_tests_refuse_before_any_circuit_runs(runner: CircuitRunner) -> None:
    class Untouched(CircuitRunner):
        def scores(self, *args: Any, **options: Any) -> Any:
            raise AssertionError("a circuit was run")

    untouched = Untouched(runner.model, runner.pairs)
    circuit = Circuit.random(runner.graph, 20, np.random.default_rng(0))
    with pytest.raises(FaultError, match="cannot reject"):
        hypothesis_tests(untouched, circuit, TestSettings(randoms=5))
    with pytest.raises(FaultError, match="all edges"):
        hypothesis_tests(untouched, Circuit.full(runner.graph))


def test_additions_are_distinct_edges_and_all_of_the_outside_where_it_is_small(runner: CircuitRunner) -> None:
    circuit = EapIg(steps=2).scores(runner).top(runner.graph.n_edges - 40)
    found = hypothesis_tests(runner, circuit, TestSettings(randoms=29, additions=1000))
    outside = ~circuit
    whole = runner.scores([circuit], Methodology(), ["logit_diff"])["logit_diff"].mean()
    singles = [circuit | Circuit.of(runner.graph, [name]) for name in outside]
    expected = np.abs(runner.scores(singles, Methodology(), ["logit_diff"])["logit_diff"].mean(1) - whole)
    np.testing.assert_allclose(np.sort(found.data.added), np.sort(expected), atol=1e-5)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.95])
@pytest.mark.parametrize("positions", [None, 3])
def test_a_random_knockout_is_as_large_as_the_circuit_and_lies_outside_as_far_as_it_can(
    share: float, positions: int | None
) -> None:
    rng = np.random.default_rng(0)
    whole = Circuit.full(GRAPH, positions)
    circuit = random_part(whole, round(share * len(whole)), rng)
    draws = [random_knockout(circuit, rng) for _ in range(20)]
    inside = max(0, len(circuit) - len(~circuit))
    for draw in draws:
        assert len(draw) == len(circuit)
        assert len(draw & circuit) == inside
    if len(circuit) != len(~circuit):
        assert len(set(draws)) > 1
    if inside:
        assert all(~circuit <= draw for draw in draws)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_the_circuits_that_the_tests_run(runner: CircuitRunner, share: float) -> None:
    class Recording(CircuitRunner):
        ran: list[Circuit] = []  # noqa: RUF012  # of the one instance below

        def scores(self, circuits: Any, *args: Any, **options: Any) -> Any:
            self.ran.extend(circuits)
            return super().scores(circuits, *args, **options)

    recording = Recording(runner.model, runner.pairs[:8])
    whole = Circuit.full(runner.graph)
    circuit = random_part(whole, round(share * len(whole)), np.random.default_rng(0))
    data = hypothesis_tests(recording, circuit, TestSettings(randoms=29, additions=30)).data
    size, ran = len(circuit), recording.ran
    assert ran[:2] == [circuit, ~circuit]
    without, enlarged, random, knocked = (
        ran[2 : 2 + size], ran[2 + size : 32 + size], ran[32 + size : 61 + size], ran[61 + size :],
    )  # fmt: skip
    assert [next(iter(circuit - one)) for one in without] == list(data.edges) == list(circuit)
    assert all(circuit <= one and len(one) == size + 1 for one in enlarged)
    assert len(set(enlarged)) == 30
    assert all(len(one) == size for one in random)
    assert len(set(random)) == len(set(knocked)) == 29
    inside = max(0, size - len(~circuit))
    assert all(len(~one) == size and len(~one & circuit) == inside for one in knocked)
    found = runner.__class__(runner.model, runner.pairs[:8])
    kl = found.scores([circuit, ~circuit, *random, *knocked], Methodology(), ["kl"])["kl"].mean(1)
    np.testing.assert_allclose(
        [data.distance, data.knocked_out, *data.random_distances, *data.random_knocked_out], kl, atol=1e-5
    )


def test_the_tests_count_units_and_not_prompts() -> None:
    rng = np.random.default_rng(0)
    full = rng.normal(size=10)
    circuit = full - np.where(np.arange(10) < 9, 1.0, -1.0)

    def data(copies: int) -> TestData:
        return TestData(
            edges=("a",), units=tuple(str(i) for i in range(10) for _ in range(copies)), full=np.repeat(full, copies),
            circuit=np.repeat(circuit, copies), complement=np.repeat(-full, copies), effects=np.ones(1),
            added=np.zeros(30), distance=0.0, random_distances=np.ones(29), knocked_out=2.0,
            random_knocked_out=np.ones(29),
        )  # fmt: skip

    once, fivefold = evaluate_tests(data(1)), evaluate_tests(data(5))
    assert once.equivalence.n == fivefold.equivalence.n == 10
    assert once.equivalence.p_value == pytest.approx(fivefold.equivalence.p_value)
    assert once.independence.p_value == pytest.approx(fivefold.independence.p_value)


def test_intervals_of_faithfulness_and_card_resample_clusters() -> None:
    rng = np.random.default_rng(1)
    full = 4 + rng.random(12)
    circuit = full * rng.uniform(0.2, 1.2, size=12)
    copies, units = 6, [f"unit {i}" for i in range(12)]
    many = PromptValues(np.repeat(circuit, copies), np.repeat(full, copies), np.zeros(12 * copies))
    labels = [unit for unit in units for _ in range(copies)]
    for aggregation in ("mean_of_percents", "percent_of_means"):
        once = recovered(circuit, full, np.zeros(12), aggregation).interval
        clustered = recovered(many.circuit, many.full, many.ablated, aggregation, clusters=labels).interval
        ignored = recovered(many.circuit, many.full, many.ablated, aggregation).interval
        assert once is not None
        assert clustered is not None
        assert ignored is not None
        assert clustered.high - clustered.low == pytest.approx(once.high - once.low, rel=1e-6)
        assert ignored.high - ignored.low < 0.7 * (once.high - once.low)
    card = make_card({(Methodology(), "logit_diff"): many}, clusters=labels, resamples=2000)
    row = card.find(Methodology(), "logit_diff", "percent_of_means", "ablated")
    expected = bootstrap_ratio(100 * circuit, full, resamples=2000)
    assert row.interval is not None
    assert (row.interval.low, row.interval.high) == pytest.approx((expected.low, expected.high))


def test_small_denominators_are_counted_by_size_and_not_by_sign() -> None:
    full = np.array([-4.0, -4.0, -4.0, 0.01, -0.01])
    found = recovered(full, full, np.zeros(5), "mean_of_percents")
    assert found.small == 2
    assert recovered(-full, -full, np.zeros(5), "mean_of_percents").small == 2
    many = np.array([1.0] * 98 + [0.06, 0.04])  # 5% of the mean absolute effect is 0.049
    assert recovered(many, many, np.zeros(100), "percent_of_means").small == 1


def divergence(runner: CircuitRunner, circuit: Circuit, knockout: Circuit, method: Methodology) -> float:
    """Mean KL(model without K || circuit without K), prompt by prompt."""
    whole, total = Circuit.full(runner.graph), 0.0
    for _, logits in runner.run([whole - knockout, circuit - knockout], method):
        model, part = logits.double().log_softmax(-1)
        total += float((model.exp() * (model - part)).sum())
    return total / runner.n


@pytest.mark.parametrize("direction", ["noising", "denoising"])
def test_the_gates_of_a_knockout_replace_the_edges_that_the_runner_replaces(
    runner: CircuitRunner, direction: Any
) -> None:
    method, rng = Methodology(direction=direction), np.random.default_rng(0)
    circuit = Circuit.random(runner.graph, 80, rng)
    knockout = random_part(circuit, 30, rng)
    allowed, inside = (torch.from_numpy(np.array(t)) for t in (runner.graph.allowed, circuit.table))
    found = knockout_masks(allowed, inside, torch.from_numpy(knockout.table.astype(float)), method)
    expected = runner.masks([circuit - knockout, Circuit.full(runner.graph) - knockout], method, runner.lengths[0])
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("direction", ["noising", "denoising"])
def test_the_learned_knockout_is_worse_than_every_random_one(runner: CircuitRunner, direction: Any) -> None:
    method = Methodology(direction=direction)
    circuit = EapIg(steps=3).scores(runner).top(80)
    worst = worst_knockout(runner, circuit, size=12, method=method)
    assert len(worst) == 12
    assert worst <= circuit
    rng = np.random.default_rng(1)
    drawn = [divergence(runner, circuit, random_part(circuit, 12, rng), method) for _ in range(20)]
    assert divergence(runner, circuit, worst, method) > max(drawn)
    untrained = worst_knockout(runner, circuit, size=12, steps=1, randoms=20, method=method, seed=3)
    assert divergence(runner, circuit, untrained, method) < divergence(runner, circuit, worst, method)
