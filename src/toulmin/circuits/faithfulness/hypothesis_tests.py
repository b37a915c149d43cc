r"""Tests of the claim "this is a circuit", after Shi et al. 2024, "Hypothesis Testing the Circuit Hypothesis in LLMs".

From per-prompt numbers only (no tensors); :mod:`toulmin.circuits.faithfulness.test_data` runs the model for them.

- Equivalence (their section 4.1): the circuit and the model are as likely to beat one another. H0: |P(c_i > f_i) -
  1/2| <= epsilon. p = P(|Bin(n, 1/2 + epsilon)/n - 1/2| >= observed), so a *small* p speaks against the circuit.
- Independence (4.2): with the circuit knocked out, what is left carries no information on the model's output. H0:
  HSIC = 0, by permuting prompts. A small p speaks against the circuit's completeness.
- Minimality (4.3): every edge matters more than a random edge added to the circuit would. H0 for edge e: its effect
  is that of a random addition. Edges whose H0 is not rejected (after correction for many tests) may be superfluous.
- Sufficiency (5.1): more faithful than a share q of random circuits of equal size. H0: P(a random one is worse) <= q.
- Partial necessity (5.2): knocking it out hurts more than knocking out random edges outside of it. H0: the share <= q.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError

Array = NDArray[np.float64]
Correction = Literal["bonferroni", "holm", "benjamini-hochberg"]


@dataclass(frozen=True)
class TestResult:
    """One hypothesis test: its null hypothesis in words, statistic, p-value, and what a rejection says of the
    circuit."""

    name: str
    null: str
    statistic: float
    p_value: float
    alpha: float
    rejecting_is: Literal["for the circuit", "against the circuit"]
    n: int

    @property
    def rejected(self) -> bool:
        """Whether the null hypothesis is rejected at ``alpha``."""
        return self.p_value <= self.alpha

    @property
    def passes(self) -> bool:
        """Whether the outcome speaks for the circuit (a null that speaks for it is not rejected, or the other is)."""
        return self.rejected == (self.rejecting_is == "for the circuit")


TestResult.__test__ = False  # type: ignore[attr-defined]  # not a pytest class


def _column(values: object, name: str) -> Array:
    column = np.asarray(values, dtype=np.float64)
    if column.ndim != 1 or not len(column) or not np.isfinite(column).all():
        raise FaultError(
            Fault("circuits.test", f"{name}: finite numbers, one a unit, at least one"), ExitCode.NUMERICAL
        )
    return column


def _binomial_tail(successes: int, n: int, p: float) -> float:
    """P(Bin(n, p) >= successes)."""
    from scipy.special import bdtrc

    return 1.0 if successes <= 0 else 0.0 if successes > n else float(bdtrc(successes - 1, n, p))


def equivalence(circuit: object, full: object, *, epsilon: float = 0.1, alpha: float = 0.05) -> TestResult:
    """Whether circuit and model beat one another equally often, on the per-prompt score (ties count half).

    :param circuit: c_i; ``full``: f_i; the same task score, ``[N]``.
    """
    c, f = _column(circuit, "circuit"), _column(full, "full")
    if len(c) != len(f):
        raise FaultError(Fault("circuits.test", "circuit and full have unequal lengths"), ExitCode.NUMERICAL)
    n, ties = len(c), np.isclose(c, f, rtol=1e-9, atol=1e-12)
    wins = float((c > f)[~ties].sum() + 0.5 * ties.sum())
    extreme = round(max(wins, n - wins) + 1e-9)
    share = wins / n
    # the least favourable null has probability 1/2 + epsilon on one side
    p = _binomial_tail(extreme, n, 0.5 + epsilon) + _binomial_tail(extreme, n, 0.5 - epsilon)
    null = f"circuit and model beat one another equally often, within {epsilon:g} of 1/2"
    return TestResult("equivalence", null, share, min(1.0, p), alpha, "against the circuit", n)


def _gaussian_gram(values: Array) -> Array:
    points = values.reshape(len(values), -1)
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    off = squared[~np.eye(len(points), dtype=bool)]
    width = float(np.median(off[off > 0])) if (off > 0).any() else 1.0
    return np.exp(-squared / width)


def hsic(a: Array, b: Array) -> float:
    """The biased Hilbert-Schmidt independence criterion, Gaussian kernels with the median heuristic (Gretton 2005)."""
    centre = np.eye(len(a)) - 1.0 / len(a)
    return float(np.trace(_gaussian_gram(a) @ centre @ _gaussian_gram(b) @ centre)) / len(a) ** 2


def independence(
    complement: object, full: object, rng: np.random.Generator, *, permutations: int = 500, alpha: float = 0.05
) -> TestResult:
    """Whether the knocked-out model's score still carries information on the full model's: HSIC, permuting prompts."""
    a, b = _column(complement, "complement"), _column(full, "full")
    if len(a) != len(b):
        raise FaultError(Fault("circuits.test", "complement and full have unequal lengths"), ExitCode.NUMERICAL)
    n = len(a)
    centre = np.eye(n) - 1.0 / n
    left, right = centre @ _gaussian_gram(a) @ centre, _gaussian_gram(b)
    observed = float((left * right).sum())
    drawn = np.array([(left * right[np.ix_(p, p)]).sum() for p in (rng.permutation(n) for _ in range(permutations))])
    p = (1 + int((drawn >= observed - 1e-12).sum())) / (1 + permutations)
    null = "with the circuit knocked out, the score is independent of the model's"
    return TestResult("independence", null, observed / n**2, p, alpha, "against the circuit", n)


def minimality(effects: object, reference: object) -> Array:
    """For each edge, the p-value of "its effect is that of a random addition": (1 + #{ref >= effect}) / (1 + #ref).

    :param effects: |change| when the edge is cut from the circuit, ``[E]``; ``reference``: the same for random edges
        cut from the circuit enlarged by them, ``[M]``.
    """
    found, drawn = _column(effects, "effects"), np.sort(_column(reference, "reference"))
    at_least = len(drawn) - np.searchsorted(drawn, found, side="left")
    return np.asarray((1.0 + at_least) / (1.0 + len(drawn)), dtype=np.float64)


def sufficiency(circuit: float, randoms: object, *, share: float = 0.9, alpha: float = 0.05) -> TestResult:
    """Whether the circuit is more faithful than ``share`` of random circuits of its size (unfaithfulness: lower is
    better).

    :param circuit: the circuit's distance to the model; ``randoms``: those of random circuits of equal size.
    """
    drawn = _column(randoms, "randoms")
    worse, n = int((drawn > circuit).sum()), len(drawn)
    p = _binomial_tail(worse, n, share)
    null = f"at most {share:.0%} of random circuits of its size are less faithful"
    return TestResult("sufficiency", null, worse / n, p, alpha, "for the circuit", n)


def partial_necessity(knocked_out: float, randoms: object, *, share: float = 0.9, alpha: float = 0.05) -> TestResult:
    """Whether knocking out the circuit hurts more than knocking out as many random edges outside of it.

    :param knocked_out: distance to the model without the circuit; ``randoms``: without each random set.
    """
    drawn = _column(randoms, "randoms")
    milder, n = int((drawn < knocked_out).sum()), len(drawn)
    p = _binomial_tail(milder, n, share)
    null = f"at most {share:.0%} of random knock-outs hurt less"
    return TestResult("partial necessity", null, milder / n, p, alpha, "for the circuit", n)


def adjust(p_values: object, how: Correction = "holm") -> Array:
    """p-values adjusted for testing many hypotheses, in the order given.

    Bonferroni and Holm control the chance of any false rejection, Benjamini-Hochberg the share of false rejections.
    """
    p = _column(p_values, "p-values")
    n = len(p)
    if how == "bonferroni":
        return np.minimum(1.0, p * n)
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(n)
    if how == "holm":
        adjusted[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * (n - np.arange(n))))
    else:
        scaled = p[order] * n / np.arange(1, n + 1)
        adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted
