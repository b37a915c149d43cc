"""The statistics of the hypothesis tests: p-values by counting outcomes, corrections, dependence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError

from toulmin.circuits.faithfulness.statistics import (
    TestSettings,
    adjust,
    equivalence,
    hsic,
    independence,
    minimality,
    partial_necessity,
    sufficiency,
)
from toulmin.faults import FaultError


def test_equivalence_accepts_the_model_and_rejects_what_always_loses() -> None:
    rng = np.random.default_rng(0)
    full = rng.normal(size=100)
    assert equivalence(full, full).passes
    assert equivalence(full + rng.normal(size=100), full).passes
    assert not equivalence(full - 1, full).passes
    assert equivalence(full - 1, full).p_value < 1e-6
    # the binomial tail itself, at the edge of the null: 70 of 100 with P = 0.6 or 0.4
    c = full + np.where(np.arange(100) < 70, 1.0, -1.0)
    assert equivalence(c, full, epsilon=0.1).p_value == pytest.approx(0.02478, abs=1e-4)


def test_independence_sees_dependence_only() -> None:
    rng = np.random.default_rng(1)
    full = rng.normal(size=60)
    assert independence(rng.normal(size=60), full, rng).passes
    assert not independence(full**2 + 0.1 * rng.normal(size=60), full, rng).passes
    assert hsic(full, full) > hsic(rng.normal(size=60), full)


def test_equivalence_by_counting_outcomes() -> None:
    """P-values by summing the binomial by hand; ties count half."""

    def tail(hits: int, n: int, p: float) -> float:
        return sum(math.comb(n, k) * p**k * (1 - p) ** (n - k) for k in range(hits, n + 1))

    full = np.arange(10.0)
    for wins, ties, hits in ((8, 0, 8), (1, 0, 9), (5, 0, 5), (5, 4, 7), (0, 10, 5)):
        change = np.array([1.0] * wins + [0.0] * ties + [-1.0] * (10 - wins - ties))
        for epsilon in (0.1, 0.2):
            found = equivalence(full + change, full, epsilon=epsilon)
            assert found.statistic == pytest.approx((wins + ties / 2) / 10)
            expected = tail(hits, 10, 0.5 + epsilon) + tail(hits, 10, 0.5 - epsilon)
            assert found.p_value == pytest.approx(min(1.0, expected))
            assert found.smallest_p == pytest.approx((0.5 + epsilon) ** 10 + (0.5 - epsilon) ** 10)
            assert found.n == 10
    with pytest.raises(FaultError, match="unequal lengths"):
        equivalence(full, full[1:])
    for broken in ([], [np.nan, 1.0], [[1.0]]):
        with pytest.raises(FaultError, match="finite numbers"):
            equivalence(broken, broken)


def test_the_other_p_values_by_counting() -> None:
    drawn = np.array([1.0, 2.0, 2.0, 3.0] * 10)
    enough = sufficiency(2.0, drawn, share=0.5)
    assert (enough.statistic, enough.n) == (0.25, 40)
    assert enough.p_value == pytest.approx(sum(math.comb(40, k) for k in range(10, 41)) / 2**40)
    needed = partial_necessity(2.0, drawn, share=0.5)
    assert needed.statistic == 0.25
    assert needed.p_value == enough.p_value
    assert enough.smallest_p == needed.smallest_p == pytest.approx(0.5**40)
    assert partial_necessity(0.5, drawn, share=0.5).p_value == 1.0
    np.testing.assert_allclose(minimality([2.0, 0.5, 3.5], drawn), [31 / 41, 1.0, 1 / 41])
    rng = np.random.default_rng(0)
    same = independence(np.arange(30.0), np.arange(30.0), rng, permutations=99)
    assert same.p_value == same.smallest_p == pytest.approx(1 / 100)
    assert independence(np.zeros(30), np.arange(30.0), rng, permutations=99).p_value == 1.0
    assert (same.n, same.rejected, same.passes) == (30, True, False)


def test_hsic_by_its_sums() -> None:
    """The biased estimate as three sums over pairs of kernel values, with the width set to the median distance."""
    rng = np.random.default_rng(4)
    a, b = rng.normal(size=9), rng.normal(size=9) ** 3

    def kernel(x: np.ndarray) -> np.ndarray:
        squared = np.array([[(p - q) ** 2 for q in x] for p in x])
        return np.exp(-squared / np.median([squared[i, j] for i in range(9) for j in range(9) if i != j]))

    k, h = kernel(a), kernel(b)
    expected = (k * h).mean() + k.mean() * h.mean() - 2 * (k.mean(0) * h.mean(0)).mean()
    assert hsic(a, b) == pytest.approx(expected, rel=1e-12)
    assert independence(a, b, rng).statistic == pytest.approx(expected, rel=1e-12)


def test_random_circuit_tests() -> None:
    rng = np.random.default_rng(2)
    randoms = 1 + rng.random(100)
    assert sufficiency(0.5, randoms).passes
    assert not sufficiency(1.5, randoms).passes
    assert partial_necessity(3.0, randoms).passes
    assert not partial_necessity(1.5, randoms).passes
    p = minimality([5.0, 1.5, 0.0], randoms)
    assert p[0] == pytest.approx(1 / 101)
    assert p[2] == 1.0
    with pytest.raises(FaultError):
        sufficiency(0.5, [])


def test_corrections_for_many_tests() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    np.testing.assert_allclose(adjust(p, "bonferroni"), [0.04, 0.16, 0.12, 0.02])
    np.testing.assert_allclose(adjust(p, "holm"), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(adjust(p, "benjamini-hochberg"), [0.02, 0.04, 0.04, 0.02])


def test_settings_are_fixed_once_made() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        TestSettings().alpha = 0.5
