"""Intervals: known values, agreement with slower definitions, and coverage by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.evidence import (
    bootstrap,
    bootstrap_mean,
    bootstrap_ratio,
    clopper_pearson,
    interval_over_seeds,
    mean_interval,
    wilson,
    zero_failure_upper,
)
from toulmin.evidence.intervals import _normal_cdf
from toulmin.faults import FaultError


def test_known_bounds() -> None:
    assert zero_failure_upper(50) == pytest.approx(0.058155, abs=1e-6)
    assert zero_failure_upper(300) == pytest.approx(0.0099361, abs=1e-6)
    assert clopper_pearson(0, 50).high == pytest.approx(0.071122, abs=1e-6)
    assert clopper_pearson(0, 50, sides="upper").high == pytest.approx(zero_failure_upper(50), abs=1e-12)
    assert clopper_pearson(7, 100, sides="upper").high == pytest.approx(0.1275, abs=5e-5)
    assert clopper_pearson(7, 100, sides="upper").low == 0.0
    # Newcombe 1998, table I: 81 of 263 by the score method without continuity correction
    assert wilson(81, 263).low == pytest.approx(0.2553, abs=1e-4)
    assert wilson(81, 263).high == pytest.approx(0.3662, abs=1e-4)
    assert wilson(0, 20).low == 0.0
    assert wilson(20, 20).high == 1.0


def test_clopper_pearson_inverts_the_binomial_tails() -> None:
    from scipy.special import bdtr, bdtrc

    for k, n in [(1, 7), (3, 10), (40, 90)]:
        interval = clopper_pearson(k, n)
        assert bdtr(k, n, interval.high) == pytest.approx(0.025, abs=1e-10)  # P(X <= k)
        assert bdtrc(k - 1, n, interval.low) == pytest.approx(0.025, abs=1e-10)  # P(X >= k)


def _coverage(function, p: float, n: int) -> float:
    """Exact coverage: the probability of every count times whether its interval holds p."""
    from scipy.special import gammaln

    counts = np.arange(n + 1)
    log = (
        gammaln(n + 1)
        - gammaln(counts + 1)
        - gammaln(n - counts + 1)
        + counts * np.log(p)
        + (n - counts) * np.log1p(-p)
    )
    held = np.array([function(int(k), n).low <= p <= function(int(k), n).high for k in counts])
    return float(np.exp(log)[held].sum())


@pytest.mark.parametrize("p", [0.02, 0.3, 0.5, 0.85])
def test_proportion_coverage(p: float) -> None:
    assert _coverage(clopper_pearson, p, 60) >= 0.95
    assert _coverage(wilson, p, 60) == pytest.approx(0.95, abs=0.035)


@pytest.mark.parametrize("method", ["bca", "percentile"])
def test_bootstrap_mean_covers(method) -> None:
    generator = np.random.default_rng(5)
    trials, held = 400, 0
    for trial in range(trials):
        values = generator.exponential(size=60)
        interval = bootstrap_mean(values, method=method, resamples=600, seed=trial)
        held += interval.low <= 1.0 <= interval.high
    assert held / trials == pytest.approx(0.94, abs=0.03)  # 60 skewed units undercover a little


def test_clustered_bootstrap_covers_and_the_unclustered_does_not() -> None:
    generator = np.random.default_rng(6)
    trials, held, naive = 300, 0, 0
    clusters = np.repeat(np.arange(40), 8)
    for trial in range(trials):
        values = np.repeat(generator.normal(size=40), 8) + 0.1 * generator.normal(size=320)
        wide = bootstrap_mean(values, clusters=clusters, resamples=400, seed=trial)
        narrow = bootstrap_mean(values, resamples=400, seed=trial)
        held += wide.low <= 0 <= wide.high
        naive += narrow.low <= 0 <= narrow.high
    assert held / trials > 0.9
    assert naive / trials < 0.7


def test_ratio_resamples_numerator_and_denominator_together() -> None:
    generator = np.random.default_rng(7)
    denominator = generator.lognormal(size=100)
    interval = bootstrap_ratio(0.3 * denominator, denominator, transform=lambda r: 1 - r)
    assert interval.low == pytest.approx(0.7, abs=1e-12)
    assert interval.high == pytest.approx(0.7, abs=1e-12)
    trials, held = 300, 0
    for trial in range(trials):
        bottom = generator.gamma(4.0, size=80)
        top = 0.5 * bottom + 0.3 * generator.normal(size=80)
        found = bootstrap_ratio(top, bottom, resamples=500, seed=trial)
        held += found.low <= 0.5 <= found.high
    assert held / trials == pytest.approx(0.95, abs=0.035)


def test_fast_forms_equal_the_general_one() -> None:
    generator = np.random.default_rng(8)
    values, weights = generator.normal(size=50), generator.gamma(3.0, size=50)
    labels = [f"c{i // 5}" for i in range(50)]
    for clusters in (None, labels):
        for method in ("bca", "percentile"):
            slow = bootstrap(np.mean, values, clusters=clusters, method=method, resamples=200, seed=3)
            fast = bootstrap_mean(values, clusters=clusters, method=method, resamples=200, seed=3)
            assert (fast.low, fast.high) == (pytest.approx(slow.low), pytest.approx(slow.high))
            slow = bootstrap(
                lambda a, b: a.sum() / b.sum(), values, weights, clusters=clusters, method=method, resamples=200, seed=3
            )
            fast = bootstrap_ratio(values, weights, clusters=clusters, method=method, resamples=200, seed=3)
            assert (fast.low, fast.high) == (pytest.approx(slow.low), pytest.approx(slow.high))


def test_constant_values_have_a_point_interval_and_seeds_repeat() -> None:
    interval = bootstrap_mean(np.ones(10))
    assert (interval.low, interval.high) == (1.0, 1.0)
    values = np.random.default_rng(0).normal(size=30)
    assert bootstrap_mean(values, seed=4) == bootstrap_mean(values, seed=4)
    assert bootstrap_mean(values, seed=4) != bootstrap_mean(values, seed=5)


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 1 - 1e-9])
def test_wilson_has_the_normal_quantiles_of_scipy(level: float) -> None:
    from scipy.special import ndtri

    z, p, n = -ndtri((1 - level) / 2), 0.3, 200
    half = z * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    found = wilson(60, n, level)
    ends = [(p + z * z / (2 * n) + side * half) / (1 + z * z / n) for side in (-1, 1)]
    assert [found.low, found.high] == pytest.approx(ends, rel=1e-12)


def test_bca_is_that_of_scipy() -> None:
    from scipy.special import ndtr
    from scipy.stats import bootstrap as reference

    values = np.random.default_rng(1).exponential(size=80)
    expected = reference((values,), np.mean, n_resamples=20_000, rng=2).confidence_interval
    ours = bootstrap_mean(values, resamples=20_000)
    assert [ours.low, ours.high] == pytest.approx([expected.low, expected.high], rel=0.02)  # other draws
    assert [_normal_cdf(x) for x in (-30.0, -3.0, 0.0, 2.0)] == pytest.approx(ndtr([-30, -3, 0, 2]), rel=1e-12)


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: wilson(3, 2), r"interval\.counts"),
        (lambda: zero_failure_upper(0), r"interval\.counts"),
        (lambda: bootstrap_mean([]), r"interval\.shape"),
        (lambda: bootstrap_mean([1.0, np.nan]), r"interval\.not_finite"),
        (lambda: bootstrap_mean([1.0, 2.0], clusters=["a"]), r"interval\.clusters"),
        (lambda: bootstrap_ratio([1.0], [1.0, 2.0]), r"interval\.shape"),
        (lambda: bootstrap_ratio([1.0, 2.0], [0.0, 0.0]), r"interval\.not_finite"),
        # the ratio itself is 4 / 2: only resamples that draw 1 and -1 equally often divide by zero
        (lambda: bootstrap_ratio(np.ones(4), [1.0, 1.0, 1.0, -1.0]), r"interval\.not_finite"),
        (lambda: bootstrap_mean([1.0, 2.0, 4.0], level=1.0), r"interval\.level"),
    ],
)
def test_nonsense_is_refused(call, code: str) -> None:
    with pytest.raises(FaultError, match=code):
        call()


def test_few_clusters_in_part_failed_have_the_exact_interval_of_their_sum() -> None:
    # means 0.75 and 0.25: one of two, as if one cluster had failed whole and the other not at all
    interval, why = mean_interval([1, 1, 1, 0, 1, 0, 0, 0], clusters=list("aaaabbbb"))
    assert why is None
    assert interval is not None
    exact = clopper_pearson(1, 2)
    assert [interval.low, interval.high] == pytest.approx([exact.low, exact.high], abs=1e-12)
    # a sum that is no whole number is rounded outward: 1.25 of 2 is at least one and at most two
    interval, _ = mean_interval([1, 1, 1, 1, 1, 0, 0, 0], clusters=list("aaaabbbb"))
    assert interval is not None
    assert interval.low == pytest.approx(clopper_pearson(1, 2).low, abs=1e-12)
    assert interval.high == clopper_pearson(2, 2).high == 1.0


def test_the_interval_over_seeds_is_students() -> None:
    interval, _ = interval_over_seeds([1.0, 2.0, 3.0, 4.0, 5.0])
    assert interval is not None
    assert interval.low == pytest.approx(3 - 2.7764451 * np.sqrt(2.5 / 5))  # t(0.975, 4) from a table
    assert interval_over_seeds([1.0])[0] is None
    assert interval_over_seeds([1.0, 1.0])[0] is None


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_may_have_the_sign_that_was_not_seen(sign):
    """Twenty pairs that all agree leave -0.20 to 0.20, not 0 to 0.17; some of one sign only bound it on both sides."""
    none, reason = mean_interval(np.zeros(20), differences=True)
    assert none is not None
    assert reason is None
    assert (none.low, none.high) == pytest.approx((-(1 - 0.0125 ** (1 / 20)), 1 - 0.0125 ** (1 / 20)))
    some, _ = mean_interval(sign * np.repeat([0.0, 1.0], [14, 6]), differences=True)
    exact, unseen = clopper_pearson(6, 20, 0.975), clopper_pearson(0, 20, 0.975)
    ends = (exact.low - unseen.high, exact.high)
    assert some is not None
    assert (some.low, some.high) == pytest.approx(ends if sign == 1 else (-ends[1], -ends[0]))
    both, _ = mean_interval(np.repeat([0.0, 1.0, -1.0], [10, 6, 4]), differences=True)
    assert both is not None
    assert "bca" in both.method


def test_numbers_that_happen_to_be_0_and_1_are_trials_only_where_they_may_be():
    found = np.repeat([0.0, 1.0], [10, 10])
    trials, numbers = mean_interval(found)[0], mean_interval(found, shares=False)[0]
    assert trials is not None
    assert trials.method.startswith("clopper")
    assert numbers is not None
    assert "bca" in numbers.method
    assert mean_interval(np.zeros(20), shares=False)[0] is None


def test_differences_in_clusters_of_several_sizes_are_no_trials():
    """The exact intervals count clusters as trials, which those of several sizes are not: a bootstrap, or none."""
    clusters = ["a", "a", *"bcdefghijkl"]
    some, _ = mean_interval(np.array([1.0, 1.0] + [0.0] * 8 + [1.0] * 3), clusters=clusters, differences=True)
    assert some is not None
    assert some.method.startswith("bca bootstrap"), some.method
    none, reason = mean_interval(np.zeros(13), clusters=clusters, differences=True)
    assert none is None
    assert "alike" in str(reason)
