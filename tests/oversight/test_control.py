"""Control on scripted scores: closed forms, and an optimised attack that lowers safety below the naive one."""

from __future__ import annotations

import numpy as np
import pytest

from toulmin.faults import FaultError
from toulmin.oversight.control import (
    AttackPolicy,
    Traffic,
    audit_threshold,
    find_attack,
    scaled_usefulness,
    unnoticed_attempts,
    worst_case,
)
from toulmin.oversight.protocols import Protocol, builder_breaker, protocol_rates


def uniform(a: float, n: int = 20_000, noise: float | None = 0.0, seed: int = 0) -> Traffic:
    """Honest scores uniform on [0, 1], attacks uniform on [a, 1]; the attacker knows its score up to noise."""
    rng = np.random.default_rng(seed)
    attack = a + (1 - a) * rng.random(n)
    believed = rng.random(n) if noise is None else attack + noise * rng.standard_normal(n)
    return Traffic((rng.permutation(n) + 0.5) / n, attack, believed)


def test_the_threshold_audits_at_most_the_budget_and_no_less_than_ties_allow() -> None:
    scores = np.array([0.1, 0.2, 0.2, 0.3, 0.9])
    assert audit_threshold(scores, 0.2) == 0.3
    assert audit_threshold(scores, 0.4) == 0.2
    assert audit_threshold(scores, 0.0) == 0.9
    assert audit_threshold(scores, 1.0) == -np.inf
    ties = np.ones(10)
    assert (ties > audit_threshold(ties, 0.5)).sum() == 0
    with pytest.raises(FaultError):
        audit_threshold(scores, 1.5)


@pytest.mark.parametrize("a", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("budget", [0.05, 0.2, 0.5])
def test_naive_attacks_pass_as_the_closed_form_says(a: float, budget: float) -> None:
    traffic = uniform(a)
    threshold = audit_threshold(traffic.honest, budget)
    assert threshold == pytest.approx(1 - budget, abs=1e-4)
    expected = max(0.0, 1 - budget - a) / (1 - a)
    spread = 4 * np.sqrt(0.25 / len(traffic.attack))
    found = protocol_rates(traffic, AttackPolicy(), Protocol("audit", budget), threshold)
    assert found.harm == pytest.approx(expected, abs=spread)
    assert found.safety == 1 - found.harm
    assert found.audited == pytest.approx(1 - expected, abs=spread)


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_auditing_the_top_q_of_n_at_an_attack_rate(rate: float) -> None:
    traffic, budget = uniform(0.5), 0.1
    protocol = Protocol("audit", budget)
    found = protocol_rates(traffic, AttackPolicy(rate=rate), protocol, audit_threshold(traffic.honest, budget))
    assert found.attacks == rate
    assert found.harm == pytest.approx(rate * 0.8, abs=0.02)
    assert found.audited == pytest.approx(rate * 0.2 + (1 - rate) * budget, abs=0.02)


def test_an_attacker_who_knows_the_scores_passes_always_and_one_who_knows_nothing_gains_nothing() -> None:
    for noise, expected in ((0.0, 1.0), (None, 0.8)):
        search, check = uniform(0.5, noise=noise), uniform(0.5, noise=noise, seed=1)
        threshold = audit_threshold(search.honest, 0.1)
        best = find_attack(search, threshold)
        assert best.tried == 50
        held = unnoticed_attempts(check, best.policy, threshold)
        assert held == pytest.approx(expected, abs=0.03)
        assert best.policy.chosen(search).mean() >= 0.1
    assert unnoticed_attempts(search, AttackPolicy(below=-1.0), threshold) == 0.0


def test_the_best_attack_attacks_as_much_as_passes() -> None:
    """Knowing the scores exactly, every attack below the threshold passes: 80% of them, not the least 10%."""
    traffic = uniform(0.5)
    best = find_attack(traffic, audit_threshold(traffic.honest, 0.1))
    assert best.policy.chosen(traffic).mean() == pytest.approx(0.8, abs=0.03)


def test_rounds_end_at_the_first_protocol_that_holds_and_keep_what_was_rejected() -> None:
    search, check = uniform(0.6, noise=0.05), uniform(0.6, noise=0.05, seed=1)
    protocols = [Protocol("audit", 0.05), Protocol("resample", 0.05, 2), Protocol("defer", 0.5), Protocol("audit", 1.0)]
    ledger = builder_breaker(search, check, protocols, goal=0.9)
    assert [p.side for p in ledger] == ["builder", "breaker"] * 3
    assert [p.text for p in ledger if p.side == "builder"] == ["audit at 5.0%", "resample 2x at 5.0%", "defer at 50.0%"]
    assert [p.accepted for p in ledger] == [False, True, False, True, True, False]
    assert ledger[-1].safety == 1.0


def test_union_bound_and_usefulness() -> None:
    assert worst_case(0.001, 100) == pytest.approx(0.1)
    assert worst_case(0.1, 100) == 1.0
    assert scaled_usefulness(0.8, 0.6, 1.0) == pytest.approx(0.5)
    with pytest.raises(FaultError):
        scaled_usefulness(0.5, 0.6, 0.6)
    with pytest.raises(FaultError):
        Traffic(np.zeros(3), np.zeros(2), np.zeros(3))
