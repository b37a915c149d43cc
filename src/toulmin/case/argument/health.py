"""Health and freshness, the two axes of a verdict, and how a claim's health follows from its children's.

Health says what the argument shows; freshness says whether it was shown of what is there now. They are never merged:
a stale claim keeps the health its evidence gave it.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, IntEnum


class Health(IntEnum):
    """What the argument shows of a node; larger is better."""

    REFUTED = 0  #: its own evidence, or a rebuttal that stands on evidence, shows the contrary
    UNDERMINED = 1  #: a defeater is open
    UNSUPPORTED = 2  #: evidence is missing, in error or inconclusive
    UNDEVELOPED = 3  #: declared as not argued yet
    CONDITIONAL = 4  #: holds if what it rests on holds
    SUPPORTED = 5  #: holds

    @property
    def word(self) -> str:
        """The name as people read it."""
        return _WORDS[self]


_WORDS = {health: health.name.lower() for health in Health}


class Freshness(Enum):
    """Whether a node speaks of the subject, data and criteria as they are now."""

    CURRENT = "current"
    STALE = "stale"


class Label(Enum):
    """State of a defeater in the grounded extension."""

    IN = "in"  #: stands: every attack on it is answered, or there is none
    OUT = "out"  #: defeated, accepted by a person, or its own evidence shows the contrary
    UNDECIDED = "undecided"  #: neither follows: its support decides nothing, or a circle of attacks


class Outcome(Enum):
    """What a piece of evidence says of its criterion."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    MISSING = "missing"
    ERROR = "error"
    UNDEVELOPED = "undeveloped"

    @property
    def health(self) -> Health:
        """pass is supported, fail is refuted, an unwritten binding is undeveloped; all else is unsupported."""
        return _HEALTH_OF.get(self, Health.UNSUPPORTED)


_HEALTH_OF = {
    Outcome.PASS: Health.SUPPORTED,
    Outcome.FAIL: Health.REFUTED,
    Outcome.UNDEVELOPED: Health.UNDEVELOPED,
}


def of_support(health: Health) -> Health:
    """What a refuted claim or module is worth to what it supports: its being false leaves the parent unsupported.

    Only what is shown of a claim itself refutes it: its own evidence failing, or a rebuttal.
    """
    return Health.UNSUPPORTED if health is Health.REFUTED else health


def needed(mode: str | int, children: int) -> int:
    """How many of ``children`` must hold: ``"all"``, ``"any"``, or the k of k-of-n."""
    if mode == "all":
        return children
    return 1 if mode == "any" else int(mode)


def combine(healths: Sequence[Health], mode: str | int) -> Health:
    """Health of a claim from its children's.

    The k-th best child: the worst for ``"all"``, the best for ``"any"``. No children is undeveloped; fewer than k is
    unsupported.
    """
    if not healths:
        return Health.UNDEVELOPED
    k = needed(mode, len(healths))
    if k > len(healths):
        return Health.UNSUPPORTED
    return sorted(healths, reverse=True)[k - 1]
