"""Issue 12, section 1: criteria and statistics that cannot fail. Each test stops one route past the gate."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from toulmin.case import CriterionError, parse_criterion
from toulmin.case.argument.health import Outcome
from toulmin.case.evidence.criterion import decide, vacuous_branches
from toulmin.evidence import Interval, Items, Measure, bootstrap_mean, clopper_pearson, content_of, mean_interval
from toulmin.evidence.items import read_items, write_items
from toulmin.external import JsonUnits
from toulmin.studies import MeasureSpec, Resolver, Run
from toulmin.tasks import Pair
from toulmin.tasks.prompt_study import joined_units

SPECS = {
    "value": MeasureSpec("1", "higher", "a mean"),
    "accuracy": MeasureSpec("1", "higher", "a share", 0.0, 1.0),
    "loss": MeasureSpec("nats", "lower", "a mean", 0.0),
}


@pytest.mark.parametrize(
    ("criterion", "vacuous"),
    [
        ("n >= 1", ["n >= 1"]),
        ("seeds >= 0", ["seeds >= 0"]),
        ("value.low >= .99 or n >= 1", ["n >= 1"]),
        ("value >= -1e9", ["value >= -1e9"]),
        ("accuracy >= 0", ["accuracy >= 0"]),
        ("accuracy <= 1 and n >= 200", ["accuracy <= 1 and n >= 200"]),
        ("loss >= 0 or loss < 2", ["loss >= 0"]),
        ("accuracy != 0.5", ["accuracy != 0.5"]),
        ("(accuracy.low >= .9 or seeds >= 1) and n >= 3", ["seeds >= 1 and n >= 3"]),
        ("accuracy.n >= 10", ["accuracy.n >= 10"]),
        ("accuracy.low >= 0.9 and n >= 200", []),
        ("value.low >= -3", []),
        ("accuracy > 0", []),
        ("loss.high < 2 or accuracy.low > .5", []),
        ("accuracy == 1", []),
    ],
)
def test_a_criterion_must_be_able_to_fail(criterion: str, vacuous: list[str]) -> None:
    assert vacuous_branches(parse_criterion(criterion), SPECS) == vacuous


@pytest.mark.parametrize(
    ("criterion", "vacuous"),
    [
        ("value >= 0.5 or value < 0.5", True),
        ("value.low >= 0.5 or value.high <= 0.5", True),  # an interval narrow enough always passes
        ("(value > 0.5 or value <= 0.5) and n >= 3", True),
        ("(value > 0.5 or value <= 0.5) and accuracy > 0.5", False),
        ("value > 0.5 or value < 0.5", False),
        ("value > 0.6 or value < 0.5", False),
        ("accuracy >= 0.2 or accuracy < 0.1 or accuracy < 0.3", True),
        ("accuracy >= 0.2 and loss < 2 or accuracy < 0.2 and loss < 3", False),
        ("accuracy >= 0.2 and loss < 2 or accuracy < 0.2 or loss >= 2", True),
    ],
)
def test_a_criterion_whose_branches_cover_every_value_cannot_fail(criterion: str, vacuous: bool) -> None:
    assert bool(vacuous_branches(parse_criterion(criterion), SPECS)) == vacuous


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_random_criteria_can_fail_exactly_where_brute_force_finds_values_that_fail(data: st.DataObject) -> None:
    """Over a grid finer than the thresholds: a branch is vacuous if it always passes, so is the whole criterion."""
    comparison = st.builds(
        lambda m, op, t: f"{m} {op} {t}",
        st.sampled_from(["accuracy", "loss"]),
        st.sampled_from([">=", ">", "<=", "<"]),
        st.sampled_from([0, 0.25, 0.5, 0.75, 1]),
    )
    branches = data.draw(st.lists(st.lists(comparison, min_size=1, max_size=3), min_size=1, max_size=4))
    specs = {name: MeasureSpec("1", "higher", "a share", 0.0, 1.0) for name in ("accuracy", "loss")}
    grid = [i / 8 for i in range(9)]

    def always_met(text: str) -> bool:
        for accuracy in grid:
            for loss in grid:
                values = {"accuracy": accuracy, "loss": loss}
                exact = {k: Measure(value=v, unit="1", n=1, no_interval="exact") for k, v in values.items()}
                if decide(parse_criterion(text), exact, 1)[0] is not Outcome.PASS:
                    return False
        return True

    texts = [" and ".join(branch) for branch in branches]
    whole = " or ".join(texts)
    expected = [text for text in texts if always_met(text)]
    found = vacuous_branches(parse_criterion(whole), specs)
    assert found == (expected or ([whole] if always_met(whole) else []))


def test_a_criterion_of_too_many_branches_is_refused() -> None:
    clause = "(" + " or ".join(["value > 0"] * 10) + ")"
    with pytest.raises(CriterionError, match="more than 1000 ways"):
        vacuous_branches(parse_criterion(" and ".join([clause] * 4)), SPECS)


def test_digits_are_ascii() -> None:
    for text in ("accuracy >= \u0660.9", "accuracy >= 0.\u0669", "n >= \uff11"):
        with pytest.raises(CriterionError):
            parse_criterion(text)


def test_an_interval_of_low_confidence_decides_nothing() -> None:
    for level, outcome in ((0.5, Outcome.INCONCLUSIVE), (0.89, Outcome.INCONCLUSIVE), (0.9, Outcome.PASS)):
        measure = Measure(value=0.95, unit="1", n=50, interval=Interval(low=0.94, high=0.96, level=level, method="x"))
        found, (comparison,) = decide(parse_criterion("accuracy.low >= 0.9"), {"accuracy": measure}, 50)
        assert found is outcome
        assert (f"{level:.0%}" in comparison.note) == (outcome is Outcome.INCONCLUSIVE)


def test_no_failure_in_two_never_claims_one_percent() -> None:
    interval, reason = mean_interval(np.zeros(2))
    assert reason is None
    assert interval is not None
    assert interval == clopper_pearson(0, 2)
    assert interval.high > 0.8


@pytest.mark.parametrize("k", [0, 1, 7, 50, 99, 100])
def test_the_exact_interval_is_that_of_the_beta_quantiles(k: int) -> None:
    from scipy.special import betaincinv

    found = clopper_pearson(k, 100)
    assert found.low == pytest.approx(betaincinv(k, 101 - k, 0.025) if k else 0.0, abs=1e-10)
    assert found.high == pytest.approx(betaincinv(k + 1, 100 - k, 0.975) if k < 100 else 1.0, abs=1e-10)


def test_few_clusters_and_equal_clusters_have_no_interval() -> None:
    assert mean_interval(np.arange(9.0))[0] is None
    assert mean_interval(np.arange(10.0))[0] is not None
    interval, reason = mean_interval(np.full(40, 0.3))
    assert interval is None
    assert "alike" in str(reason)
    interval, reason = mean_interval(np.arange(200.0), clusters=["one"] * 200)
    assert interval is None
    assert "1 independent units" in str(reason)


def test_zeros_and_ones_of_unequal_clusters_are_not_counted_as_rows() -> None:
    """5 rows of one cluster and one of each of nine others: ten observations, not fourteen."""
    clusters = ["big"] * 5 + [f"c{i}" for i in range(9)]
    assert mean_interval(np.ones(14), clusters=clusters)[0] == clopper_pearson(10, 10)
    values = np.ones(14)
    values[-1] = 0.0  # a failure in fourteen rows, and in ten clusters
    interval, _ = mean_interval(values, clusters=clusters)
    assert interval is not None
    exact = clopper_pearson(9, 10)
    assert interval.low <= exact.low
    assert interval.high >= max(exact.high, 13 / 14)
    interval, _ = mean_interval(np.ones(20), clusters=[f"c{i // 2}" for i in range(20)])
    assert interval == clopper_pearson(10, 10)


def test_a_failure_in_part_of_a_cluster_never_makes_the_bound_smaller_than_no_failure() -> None:
    """A bootstrap that saw one cluster fail in one of ten rows gave a tenth of the bound of no failure at all."""
    clusters = [f"c{i // 10}" for i in range(3000)]
    values = np.zeros(3000)
    none, _ = mean_interval(values, clusters=clusters)
    assert none is not None
    assert none.high == clopper_pearson(0, 300).high
    for failing in (1, 5, 20):  # clusters that fail in one row of ten
        values[: 10 * failing : 10] = 1.0
        some, _ = mean_interval(values, clusters=clusters)
        assert some is not None
        assert some.high >= none.high
        rows = values.reshape(300, 10).mean(1)  # the same, averaged beforehand, as epochs are
        assert mean_interval(rows, shares=True)[0] is not None
        assert mean_interval(rows, shares=True)[0].high >= none.high  # type: ignore[union-attr]
    half, _ = mean_interval(np.tile([0.0, 1.0], 40), clusters=[f"c{i // 2}" for i in range(80)])
    assert half is not None
    assert half.high - half.low > 0.2  # forty clusters that are alike are no proof of exactly a half


@pytest.mark.parametrize(("n", "size", "a", "b"), [(30, 1, 0.5, 9.5), (100, 5, 0.05, 4.95), (8, 5, 1, 1)])
def test_intervals_of_clustered_zeros_and_ones_cover_the_rate(n: int, size: int, a: float, b: float) -> None:
    """Beta-binomial clusters of a known mean rate: a bootstrap alone covers 76%, 93% and 94% of the time."""
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        values = rng.random((n, size)) < rng.beta(a, b, n)[:, None]
        clusters = np.repeat(np.arange(n), size)
        found, _ = mean_interval(values.ravel(), clusters=clusters, resamples=200, seed=trial)
        assert found is not None
        hits += found.low <= a / (a + b) <= found.high
    assert hits >= 188


def test_what_is_there_four_hundred_times_has_the_weight_of_one() -> None:
    """Repeating the prompts that pass raised the mean, and the interval with it, at the same n."""
    passing, failing = [f"p{i}" for i in range(30)], [f"f{i}" for i in range(30)]
    questions = passing * 40 + failing
    values = np.array([1.0] * 1200 + [0.0] * 30)
    items = Items([f"u{i}" for i in range(1230)], {"x": values}, contents=[content_of(q) for q in questions])
    interval, _ = mean_interval(values, clusters=items.clusters, weights=items.weights)
    assert interval == clopper_pearson(30, 60)
    assert np.average(values, weights=items.weights) == pytest.approx(0.5)
    once = items.distinct()
    assert (len(once.units), once["x"].mean(), once.repeats) == (60, 0.5, 0)


def test_a_measure_drops_a_bootstrap_of_too_little_and_a_forged_one_is_refused() -> None:
    short = bootstrap_mean(np.arange(4.0))
    measure = Measure(value=1.5, unit="1", n=4, interval=short)
    assert measure.interval is None
    assert "4 independent units" in str(measure.no_interval)
    with pytest.raises(ValidationError, match="4 independent units"):
        Measure.model_validate({"value": 1.5, "unit": "1", "n": 4, "interval": short.model_dump()})


def test_two_hundred_rows_of_one_cluster_are_one() -> None:
    units = [f"u{i}" for i in range(200)]
    assert Items(units, {"x": np.zeros(200)}, clusters=["one"] * 200).n == 1
    assert Items(units, {"x": np.zeros(200)}).n == 200


def test_units_of_one_content_are_one_whatever_their_ids(tmp_path: Path) -> None:
    units = [f"u{i}" for i in range(6)]
    contents = [content_of(text) for text in ("a", "a", "b", "c", "b", "d")]
    items = Items(units, {"x": np.arange(6.0)}, clusters=["1", "2", "3", "4", "5", "4"], contents=contents)
    assert items.clusters == ["1", "1", "3", "4", "3", "4"]
    assert (items.n, items.repeats) == (3, 2)
    write_items(items, tmp_path)
    again = read_items(tmp_path)
    assert (again.n, again.repeats, again.clusters) == (3, 2, items.clusters)


def test_one_prompt_four_hundred_times_counts_once() -> None:
    pairs = [Pair((1, 2, 3), (1, 2, 4), (5,), unit=f"id-{i}") for i in range(400)]
    other = Pair((7, 2, 3), (1, 2, 4), (5,), unit="id-7")  # shares a unit with one of them
    assert {pair.unit for pair in joined_units([*pairs, other])} == {"id-0"}
    distinct = [Pair((i, 2, 3), (1, 2, 4), (5,), unit=f"id-{i}") for i in range(10)]
    assert joined_units(distinct) == tuple(distinct)


def test_units_of_a_file_with_one_input_count_once(tmp_path: Path) -> None:
    units = [{"id": f"u{i}", "value": 0, "input": "the same prompt"} for i in range(400)]
    (tmp_path / "units.json").write_text(json.dumps({"units": units}))
    study = JsonUnits.model_validate({"report": "file:units.json", "unit": "1"}).at(Resolver(tmp_path))
    found = study.summarise(study.collect(Run(tmp_path))).measures["value"]
    assert found.n == 1
    assert found.interval is None or found.interval.high > 0.9
