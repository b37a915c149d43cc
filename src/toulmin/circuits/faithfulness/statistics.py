r"""The statistics of the claim "this edge set is a circuit" (Shi et al. 2024, "Hypothesis Testing the Circuit
Hypothesis in LLMs"), from numbers alone: no model, no tensors.

- Equivalence (their section 4.1): the circuit and the model are as likely to beat one another. H0: |P(c_i > f_i) -
  1/2| <= epsilon. p = P(|Bin(n, 1/2 + epsilon)/n - 1/2| >= observed), so a *small* p speaks against the circuit.
- Independence (4.2): with the circuit knocked out, what is left carries no information on the model's output. H0:
  HSIC = 0, by permuting prompts. A small p speaks against the circuit's completeness.
- Minimality (4.3): every edge matters more than a random edge added to the circuit would. H0 for edge e: its effect
  is that of a random addition. Edges whose H0 is not rejected (after correction for many tests) may be superfluous.
- Sufficiency (5.1): more faithful than a share q of random circuits of equal size. H0: P(a random one is worse) <= q.
- Partial necessity (5.2): knocking it out hurts more than knocking out random edges outside of it. H0: the share <= q.

**A test that cannot reject says nothing.** Each test has a smallest p-value that its data could give: q^n for
sufficiency and necessity with n random circuits, 1 / (m + 1) for an edge's minimality with m random additions, times
the number of edges under Bonferroni or Holm. :meth:`TestSettings.check` refuses settings under which it exceeds alpha,
and says how many random circuits, additions, permutations or prompts are needed.

**Why Benjamini-Hochberg for minimality.** All edges share one reference distribution: the effects of the edges outside
of the circuit, each added to it and cut again, drawn without replacement, so there are at most as many as edges
outside. Holm's smallest p is then edges / (outside + 1): a circuit of 60 of 257 edges gives 0.30 and can never pass.
Benjamini-Hochberg keeps 1 / (additions + 1) and controls the expected share of false rejections, which is what
"the share of edges that matter" is about. Bonferroni and Holm remain for small circuits of large graphs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from toulmin.faults import ExitCode, Fault, FaultError

Array = NDArray[np.float64]
Correction = Literal["bonferroni", "holm", "benjamini-hochberg"]


class TestSettings(BaseModel):
    """What the hypothesis tests draw and decide with."""

    __test__ = False  # not a pytest class
    model_config = ConfigDict(frozen=True, extra="forbid")

    randoms: int = Field(default=100, ge=1)  #: random circuits, and random knock-outs
    additions: int = Field(default=1000, ge=1)  #: random edges added to the circuit; all edges outside if fewer
    permutations: int = Field(default=500, ge=1)  #: of the independence test
    alpha: float = Field(default=0.05, gt=0, lt=1)
    epsilon: float = Field(default=0.1, ge=0, lt=0.5)  #: of equivalence
    share: float = Field(default=0.9, gt=0, lt=1)  #: q of sufficiency and partial necessity
    correction: Correction = "benjamini-hochberg"  #: of minimality, for testing many edges

    def check(self, *, units: int, edges: int | None = None, outside: int | None = None) -> None:
        """Refuse settings under which some test could not reject whatever the data.

        :param units: independent prompts. :param edges: in the circuit, where known. :param outside: edges outside of
            it, where known.
        :raises FaultError: one fault a test, with what it needs.
        """
        faults = [*self._prompts(units), *self._randoms()]
        if edges is not None:
            faults += self._additions(edges, outside)
        if faults:
            raise FaultError(faults)

    def _fault(self, test: str, smallest: float, hint: str) -> Fault:
        message = f"this test cannot reject at alpha {self.alpha:g}: the smallest p-value it can give is {smallest:.3g}"
        return Fault("circuits.undecidable", message, name=test, hint=hint)

    def _prompts(self, units: int) -> list[Fault]:
        faults: list[Fault] = []
        smallest = smallest_equivalence_p(units, self.epsilon)
        if smallest > self.alpha:
            needed = next(n for n in range(1, 10**6) if smallest_equivalence_p(n, self.epsilon) <= self.alpha)
            faults.append(self._fault("equivalence", smallest, f"at least {needed} independent prompts are needed"))
        smallest = smallest_independence_p(units, self.permutations)
        if smallest > self.alpha:
            prompts = next(n for n in range(1, 171) if 1 / math.factorial(n) <= self.alpha)
            draws = _ceil(1 / self.alpha) - 1
            hint = f"at least {prompts} independent prompts and {draws} permutations are needed"
            faults.append(self._fault("independence", smallest, hint))
        return faults

    def _randoms(self) -> list[Fault]:
        smallest = self.share**self.randoms
        if smallest <= self.alpha:
            return []
        hint = f"at least {_ceil(math.log(self.alpha) / math.log(self.share))} randoms are needed"
        return [self._fault(test, smallest, hint) for test in ("sufficiency", "partial necessity")]

    def _additions(self, edges: int, outside: int | None) -> list[Fault]:
        if edges == 0 or outside == 0:
            message = f"a circuit of {'no edge' if edges == 0 else 'all edges'} has no random circuits to compare with"
            return [Fault("circuits.undecidable", message, name="sufficiency, partial necessity, minimality")]
        if outside is not None:
            # sets of edges from outside or, above half of the graph, of the circuit's edges that join all outside
            distinct = math.comb(max(edges, outside), edges if edges <= outside else edges - outside)
            if distinct < self.randoms:
                message = f"{distinct} distinct random knock-outs of {edges} edges, and {self.randoms} are asked for"
                return [Fault("circuits.undecidable", message, name="partial necessity")]
        available = self.additions if outside is None else min(self.additions, outside)
        smallest = smallest_minimality_p(edges, available, self.correction)
        if smallest <= self.alpha:
            return []
        needed = _ceil((1 if self.correction == "benjamini-hochberg" else edges) / self.alpha) - 1
        hint = f"at least {needed} random additions are needed"
        if outside is not None and needed > outside:
            hint += f", and there are {outside} edges outside of the circuit"
            hint += "" if self.correction == "benjamini-hochberg" else "; use correction = 'benjamini-hochberg'"
        return [self._fault("minimality", smallest, hint)]


def _ceil(number: float) -> int:
    return math.ceil(number - 1e-9)  # 3 / 0.05 is a little above 60


def smallest_equivalence_p(n: int, epsilon: float) -> float:
    """The p-value of :func:`equivalence` where one side wins on every one of n prompts."""
    return min(1.0, (0.5 + epsilon) ** n + (0.5 - epsilon) ** n)


def smallest_independence_p(n: int, permutations: int) -> float:
    """1 / (permutations + 1), or 1 / n! where n prompts have fewer orders than that."""
    return max(1 / (1 + permutations), 1 / math.factorial(min(n, 170)))


def smallest_minimality_p(edges: int, additions: int, correction: Correction) -> float:
    """The smallest adjusted p-value an edge can get: where all edges (or, for Holm, one) beat every addition."""
    return min(1.0, (1 if correction == "benjamini-hochberg" else edges) / (additions + 1))


@dataclass(frozen=True)
class TestResult:
    """One hypothesis test: its null hypothesis in words, statistic, p-value, and what a rejection says of the
    circuit.

    ``smallest_p`` is the smallest p-value that a test on as many units could have given.
    """

    name: str
    null: str
    statistic: float
    p_value: float
    alpha: float
    rejecting_is: Literal["for the circuit", "against the circuit"]
    n: int
    smallest_p: float

    def __post_init__(self) -> None:
        if self.smallest_p > self.alpha:
            message = f"{self.n} units cannot reject at alpha {self.alpha:g}: p is at least {self.smallest_p:.3g}"
            raise FaultError(Fault("circuits.undecidable", message, name=self.name), ExitCode.NUMERICAL)

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

    return 1.0 if successes <= 0 else float(bdtrc(successes - 1, n, p))


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
    smallest = smallest_equivalence_p(n, epsilon)
    return TestResult("equivalence", null, share, min(1.0, p), alpha, "against the circuit", n, smallest)


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
    smallest = smallest_independence_p(n, permutations)
    return TestResult("independence", null, observed / n**2, p, alpha, "against the circuit", n, smallest)


def minimality(effects: object, added: object) -> Array:
    """For each edge, the p-value of "its effect is that of a random addition": (1 + #{added >= effect}) / (1 + #added).

    :param effects: |change| when the edge is cut from the circuit, ``[E]``. :param added: the same for random edges
        cut from the circuit enlarged by them, ``[M]``.
    """
    found, drawn = _column(effects, "effects"), np.sort(_column(added, "added"))
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
    return TestResult("sufficiency", null, worse / n, p, alpha, "for the circuit", n, share**n)


def partial_necessity(knocked_out: float, randoms: object, *, share: float = 0.9, alpha: float = 0.05) -> TestResult:
    """Whether knocking out the circuit hurts more than knocking out as many random edges outside of it.

    :param knocked_out: distance to the model without the circuit; ``randoms``: without each random set.
    """
    drawn = _column(randoms, "randoms")
    milder, n = int((drawn < knocked_out).sum()), len(drawn)
    p = _binomial_tail(milder, n, share)
    null = f"at most {share:.0%} of random knock-outs hurt less"
    return TestResult("partial necessity", null, milder / n, p, alpha, "for the circuit", n, share**n)


def adjust(p_values: object, how: Correction = "benjamini-hochberg") -> Array:
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
