"""The grammar of criteria, and what a comparison with an interval decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toulmin.case import CriterionError, Outcome, compare_criteria, parse_criterion
from toulmin.case.argument.reasons import _why_not
from toulmin.case.argument.verdict import Comparison
from toulmin.case.evidence.criterion import comparisons_of, decide, measures_of
from toulmin.evidence import Interval, Measure


def measure(low: float, high: float, n: int = 100) -> Measure:
    return Measure(value=(low + high) / 2, unit="1", n=n, interval=Interval(low=low, high=high, method="given"))


@pytest.mark.parametrize(
    ("text", "low", "high", "outcome"),
    [
        ("x.low >= 0.8", 0.8, 0.9, "pass"),
        ("x.low >= 0.8", 0.7, 0.79, "fail"),
        ("x.low >= 0.8", 0.7, 0.8, "inconclusive"),
        ("x >= 0.8", 0.79, 0.9, "inconclusive"),
        ("x > 0.8", 0.8, 0.9, "inconclusive"),
        ("x > 0.8", 0.7, 0.8, "fail"),
        ("x.high <= 0.1", 0.0, 0.1, "pass"),
        ("x.high < 0.1", 0.1, 0.2, "fail"),
        ("x.value < 0.1", 0.05, 0.2, "inconclusive"),
        ("x == 1", 1.0, 1.0, "pass"),
        ("x != 1", 1.0, 1.0, "fail"),
        ("x >= .8 and n >= 50", 0.8, 0.9, "pass"),
        ("x >= .8 and n >= 200", 0.8, 0.9, "inconclusive"),
        ("x >= .8 and n >= 200", 0.1, 0.2, "inconclusive"),  # too few decide nothing, not even a failure
        ("x >= .8 and x.n >= 100", 0.1, 0.2, "fail"),
        ("x >= .8 or x <= 0.3", 0.1, 0.2, "pass"),
        ("x >= .8 or x >= 0.7", 0.1, 0.2, "fail"),
        ("(x >= .8 or x >= 0.1) and seeds >= 1", 0.1, 0.2, "pass"),
        ('"x".low >= 0.8', 0.8, 0.9, "pass"),
        ("x >= -1e-3", 0.0, 0.1, "pass"),
        ("y >= 0", 0.0, 0.1, "error"),
    ],
)
def test_decisions(text, low, high, outcome):
    found, comparisons = decide(parse_criterion(text), {"x": measure(low, high)}, n=100, seeds=1)
    assert found is Outcome(outcome)
    assert len(comparisons) == len(comparisons_of(parse_criterion(text)))


def test_a_bound_needs_an_interval_and_the_value_does_not():
    exact = {"x": Measure(value=3, unit="edges", n=1, no_interval="a count")}
    assert decide(parse_criterion("x >= 3"), exact, 1)[0] is Outcome.PASS
    outcome, (comparison,) = decide(parse_criterion("x.low >= 3"), exact, 1)
    assert outcome is Outcome.INCONCLUSIVE
    assert "a count" in comparison.note


@pytest.mark.parametrize(
    "text",
    ["", " ", "x", "x >=", ">= 3", "x >= y", "x > = 3", "x >= 3 and", "and >= 3", "(x >= 3", "x >= 3)", "x >= 3 x",
     "not x",      "x.low <= 3", "x.high >= 3", "x.low == 3", "__import__('os') >= 1", "x >= 1e999", "x>=3 && y>=2",
     "(" * 60 + "x>=1" + ")" * 60,
     "x >= 1" + " and x >= 1" * 500, "x >= 0x10", "x >= 1_000", "x >= nan", "x => 3"],
)  # fmt: skip
def test_refused(text):
    with pytest.raises(CriterionError):
        parse_criterion(text)


def test_names_with_dots_dashes_and_slashes():
    text = 'fa.ith-ful/ness.low >= 0.1 and "odd name (2)".high <= 3 and a.b.n >= 2'
    assert measures_of(parse_criterion(text)) == {"fa.ith-ful/ness", "odd name (2)", "a.b"}


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused(text):
    try:
        found = parse_criterion(text)
    except CriterionError:
        return
    assert comparisons_of(found)


@given(st.floats(-10, 10), st.floats(-10, 10), st.floats(-10, 10), st.sampled_from([">=", ">", "<=", "<"]))
def test_pass_and_fail_are_each_others_mirror(a, b, threshold, op):
    low, high = sorted((a, b))
    x = {"x": measure(low, high)}
    opposite = {">=": "<", ">": "<=", "<=": ">", "<": ">="}[op]
    one = decide(parse_criterion(f"x {op} {threshold!r}"), x, 1)[0]
    other = decide(parse_criterion(f"x {opposite} {threshold!r}"), x, 1)[0]
    mirror = {Outcome.PASS: Outcome.FAIL, Outcome.FAIL: Outcome.PASS, Outcome.INCONCLUSIVE: Outcome.INCONCLUSIVE}
    assert mirror[one] is other


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("x.low >= 0.8", "x.low>=.8", "same"),
        ("x.low >= 0.8", "x.low >= 0.7", "loosened"),
        ("x.low >= 0.8", "x.low >= 0.9", "tightened"),
        ("x.high <= 0.1", "x.high <= 0.2", "loosened"),
        ("x.low > 0.8", "x.low >= 0.8", "loosened"),
        ("x.low >= 0.8", "x >= 0.8", "loosened"),  # the interval is no longer demanded
        ("x >= 0.8 and n >= 200", "x >= 0.8", "loosened"),
        ("x >= 0.8", "x >= 0.8 and n >= 200", "tightened"),
        ("x >= 0.8 and n >= 200", "x >= 0.9 and n >= 100", "loosened"),
        ("x >= 0.8 or y >= 1", "x >= 0.8 or y >= 0", "changed"),
        ("x >= 0.8 or y >= 1", "x>=0.8 or y>=1", "same"),
        ("x == 1", "x == 2", "changed"),
    ],
)
def test_changes_of_a_criterion(old, new, change):
    assert compare_criteria(old, new) == change


def test_a_comparison_says_its_number_its_interval_and_what_was_noted() -> None:
    missed = Comparison("rate.low >= 0.9", "rate", "low", ">=", 0.9, Outcome.FAIL, 0.81234, 0.75, 0.875)
    assert _why_not(missed) == "fail: 0.8123 [0.75, 0.875]"
    assert _why_not(replace(missed, low=None, high=None, note="seeds disagree")) == "fail: 0.8123, seeds disagree"
