"""The exact interval of a paired difference covers what it should, also where all pairs agree."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.oversight import paired_difference


def test_known_answers() -> None:
    value, interval = paired_difference([1, 1, 0, 0], [1, 0, 0, 1])
    assert value == 0.0
    assert interval.low == pytest.approx(-interval.high)
    value, interval = paired_difference(np.ones(300), np.zeros(300))
    assert value == 1.0
    assert interval.low > 0.97
    value, interval = paired_difference(np.zeros(400), np.zeros(400))
    assert value == 0.0
    assert 0.01 < interval.high - interval.low < 0.05
    assert paired_difference([1] * 30, [0] * 30)[1].low == -paired_difference([0] * 30, [1] * 30)[1].high


@pytest.mark.parametrize("shares", [(0.02, 0.01), (0.3, 0.1), (0.0, 0.05)])
def test_coverage(shares: tuple[float, float]) -> None:
    rng, n = np.random.default_rng(0), 60
    more, fewer = shares
    hits = 0
    for _ in range(400):
        drawn = rng.random(n)
        first, second = drawn < more, (drawn >= more) & (drawn < more + fewer)
        interval = paired_difference(first, second)[1]
        hits += interval.low <= more - fewer <= interval.high
    assert hits / 400 >= 0.95
