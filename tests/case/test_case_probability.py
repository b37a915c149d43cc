"""Probability intervals: closed forms, sharpness against a linear program, and what refuses to be multiplied."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.case import Health, Probability, conservative_bayes
from toulmin.case.argument.confidence import Quantities, propagate
from toulmin.case.argument.evaluate import evaluate
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.probability import (
    bound_all,
    bound_any,
    bound_at_least,
    combine_chain,
    combine_independent,
    passes_unseen,
)

intervals = st.tuples(st.floats(0, 1), st.floats(0, 1)).map(lambda p: Probability(*sorted(p)))


def test_conservative_bayesian_inference():
    assert conservative_bayes(0.5, 0.0, 0.01, 50) == pytest.approx(0.623, abs=5e-4)
    assert conservative_bayes(0.5, 0.0, 0.01, 300) == pytest.approx(0.953, abs=5e-4)
    assert conservative_bayes(0.5, 0.0, 0.01, 0) == pytest.approx(0.5)
    assert conservative_bayes(0.3, 0.001, 0.01, 10**6) == pytest.approx(1.0)
    theta, p_l, p, n = 0.2, 0.002, 0.03, 77
    direct = theta * (1 - p_l) ** n / (theta * (1 - p_l) ** n + (1 - theta) * (1 - p) ** n)
    assert conservative_bayes(theta, p_l, p, n) == pytest.approx(direct, rel=1e-12)


def test_a_rare_failure_passes():
    for n in (50, 300, 10_000):
        assert passes_unseen(1 / n, n) == pytest.approx(math.exp(-1), abs=0.005)


@given(st.lists(intervals, min_size=1, max_size=6))
def test_at_least_k_contains_both_ends(parts):
    assert bound_at_least(len(parts), parts) == bound_all(parts)
    assert bound_at_least(1, parts) == bound_any(parts)
    ladder = [bound_at_least(k, parts) for k in range(1, len(parts) + 1)]
    assert all(a.low >= b.low - 1e-9 and a.high >= b.high - 1e-9 for a, b in itertools.pairwise(ladder))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, max_size=4), st.integers(1, 4))
def test_bounds_are_sharp(marginals, k):
    from scipy.optimize import linprog  # every joint distribution with these marginals

    n = len(marginals)
    k = min(k, n)
    worlds = list(itertools.product((0, 1), repeat=n))
    hits = np.array([sum(world) >= k for world in worlds], float)
    constraints = np.array([[world[i] for world in worlds] for i in range(n)] + [[1] * len(worlds)], float)
    ends = []
    for sign in (1, -1):
        solved = linprog(sign * hits, A_eq=constraints, b_eq=[*marginals, 1.0], bounds=(0, 1), method="highs")
        ends.append(sign * solved.fun)
    found = bound_at_least(k, [Probability(p, p) for p in marginals])
    assert found.low == pytest.approx(ends[0], abs=1e-6)
    assert found.high == pytest.approx(ends[1], abs=1e-6)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5), st.integers(1, 5))
def test_independent_claims_by_enumeration(marginals, k):
    k = min(k, len(marginals))
    expected = sum(
        math.prod(p if held else 1 - p for p, held in zip(marginals, world, strict=True))
        for world in itertools.product((0, 1), repeat=len(marginals))
        if sum(world) >= k
    )
    found = combine_independent(k, [Probability(p, p) for p in marginals])
    assert found.low == pytest.approx(expected, abs=1e-9) == found.high


def test_chain_is_the_product_of_the_steps_to_harm():
    # P(can) <= 0.5, P(will | can) <= 0.1, P(harm | will) <= 0.2
    steps = [Probability(0.5, 1.0), Probability(0.9, 1.0), Probability(0.8, 1.0)]
    assert combine_chain(steps) == pytest.approx((1 - 0.5 * 0.1 * 0.2, 1.0))


def argument(**options: object) -> Argument:
    vertices = {
        "g": Vertex("g", "goal", ("e", "f"), contexts=("a",)),
        "e": Vertex("e", "evidence", base=Health.SUPPORTED),
        "f": Vertex("f", "evidence", base=Health.SUPPORTED),
        "a": Vertex("a", "assumption"),
        "d": Vertex("d", "defeater", ("f",), kind="rebut"),
    }
    vertices["d"].accepted = bool(options.get("accepted"))
    if options.get("attacked"):
        vertices["g"].attackers.append("d")
    return Argument(vertices, "g")


def interval(
    found: Argument, leaves: dict[str, Probability], stale: frozenset[str] = frozenset(), *, given: bool = False
):
    return propagate(found, evaluate(found), stale, Quantities(leaves), given=given)["g"]


def test_what_is_not_quantified_is_nothing_known():
    both = {"e": Probability(0.9, 1.0), "f": Probability(0.8, 0.9)}
    assert interval(argument(), {}) is None
    assert interval(argument(), both) == (0.0, 0.9)  # the assumption has no number
    assert interval(argument(), both, given=True) == pytest.approx((0.7, 0.9))
    assert interval(argument(), {**both, "a": Probability(0.95, 1.0)}) == pytest.approx((0.65, 0.9))
    assert interval(argument(), {"e": Probability(0.9, 1.0)}, given=True) == (0.0, 1.0)
    assert interval(argument(), both, frozenset({"e"}), given=True) == (0.0, 0.9)  # stale
    assert interval(argument(attacked=True), both, given=True) == (0.0, 0.9)  # an attack that stands
    assert interval(argument(attacked=True, accepted=True), both) == (0.0, 0.9)
    assert interval(argument(attacked=True, accepted=True), both, given=True) == pytest.approx((0.7, 0.9))
