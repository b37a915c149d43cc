r"""Intervals for the probability that a claim is true, and how they combine.

Nothing is assumed of how claims depend on each other unless somebody declares it. With marginals in [l_i, u_i]:

- all:         [max(0, sum l - (n - 1)), min u]                          (Frechet 1935)
- any:         [max l, min(1, sum u)]
- at least k:  upper min_{j<k} (sum of the n - j smallest u) / (k - j)   (Rueger 1978; sharp, and both the above)
               lower by complement: 1 - upper(at least n - k + 1 of the 1 - l)
- independent: the Poisson-binomial tail at the lower and at the upper ends
- chain:       each claim's interval is conditional on the earlier ones failing, so harm needs every one to fail:
               [1 - prod (1 - l_i), 1 - prod (1 - u_i)] by the chain rule, without independence.
               P(harm) <= P(can) P(will | can) P(harm | will).

From a count to a claim (conservative Bayesian inference; Bishop et al. 2011, Zhao et al. 2020): with prior probability
theta that the failure rate is at most p_l, and no failure in n independent trials, the claim "the rate is at most p*"
has probability at least

    theta (1 - p_l)^n / (theta (1 - p_l)^n + (1 - theta) (1 - p*)^n).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from toulmin.case.argument.health import needed
from toulmin.case.argument.verdict import Probability


def bound_all(parts: Sequence[Probability]) -> Probability:
    """Frechet's bounds for all of the claims."""
    return Probability(max(0.0, math.fsum(p.low for p in parts) - (len(parts) - 1)), min(p.high for p in parts))


def bound_any(parts: Sequence[Probability]) -> Probability:
    """Frechet's bounds for at least one of the claims."""
    return Probability(max(p.low for p in parts), min(1.0, math.fsum(p.high for p in parts)))


def _upper_at_least(k: int, marginals: Sequence[float]) -> float:
    ordered = sorted(marginals)
    n = len(ordered)
    sums = [0.0]
    for value in ordered:
        sums.append(sums[-1] + value)
    return min(1.0, *(sums[n - j] / (k - j) for j in range(k)))


def bound_at_least(k: int, parts: Sequence[Probability]) -> Probability:
    """Rueger's sharp bounds for at least ``k`` of the claims; k of more than there are is impossible."""
    n = len(parts)
    if k > n:
        return Probability(0.0, 0.0)
    if k == n:
        return bound_all(parts)
    if k == 1:
        return bound_any(parts)
    low = 1.0 - _upper_at_least(n - k + 1, [1.0 - p.low for p in parts])
    return Probability(max(0.0, low), _upper_at_least(k, [p.high for p in parts]))


def _tail(k: int, marginals: Sequence[float]) -> float:
    # chance[j]: exactly j of those seen hold, everything from k on in chance[k]
    chance = [1.0] + [0.0] * k
    for p in marginals:
        for j in range(k, 0, -1):
            stay = chance[j] if j == k else chance[j] * (1.0 - p)
            chance[j] = stay + chance[j - 1] * p
        chance[0] *= 1.0 - p
    return min(1.0, max(0.0, chance[k]))


def combine_independent(mode: str | int, parts: Sequence[Probability]) -> Probability:
    """The Poisson-binomial tail; right only for independent claims, which the case must declare and justify."""
    k = needed(mode, len(parts))
    if k > len(parts):
        return Probability(0.0, 0.0)
    return Probability(_tail(k, [p.low for p in parts]), _tail(k, [p.high for p in parts]))


def combine_chain(parts: Sequence[Probability]) -> Probability:
    """Claims each conditional on the failure of those before it, of which one must hold."""
    return Probability(1.0 - math.prod(1.0 - p.low for p in parts), 1.0 - math.prod(1.0 - p.high for p in parts))


def combine_bounds(mode: str | int, parts: Sequence[Probability]) -> Probability:
    """Bounds for "all", "any" or k of the claims, whatever their dependence."""
    return bound_at_least(needed(mode, len(parts)), parts)


def conservative_bayes(theta: float, p_l: float, p_star: float, n: int) -> float:
    """Least probability that the failure rate is at most ``p_star`` after no failure in ``n`` trials.

    With theta 0.5, p_l 0, p* 1%: n = 50 gives 0.62, n = 300 gives 0.953. Needs 0 < theta < 1 and 0 <= p_l <= p* < 1.
    """
    # in logarithms, since (1 - p*)^n underflows for large n
    odds = math.log1p(-theta) - math.log(theta) + n * (math.log1p(-p_star) - math.log1p(-p_l))
    return 1.0 / (1.0 + math.exp(odds)) if odds < 700 else 0.0


def passes_unseen(rate: float, n: int) -> float:
    """Probability that a model failing at ``rate`` passes ``n`` independent tests; rate 1/n gives about 37%."""
    return (1.0 - rate) ** n
