"""Minimal cut sets: the smallest sets of leaves whose failure sinks the root.

Read from the argument's structure, bottom up, as in fault-tree analysis (MOCUS): an "all" falls with any child, an
"any" with every child, k of n with n - k + 1 of them; a claim falls with an assumption in its context; and an answered
attack opens again when everything that answers it fails. Every leaf is taken to hold at first, and attacks that are
open now are taken to be answered: the question is what the finished argument would hinge on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from toulmin.case.argument.evaluate import Evaluation
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Label, needed

MAX_ORDER = 3
MAX_SETS = 200
MAX_COMBINATIONS = 200
MAX_PRODUCTS = 4000
Family = frozenset[frozenset[str]]
_NOTHING: Family = frozenset()


def _proper_subsets(items: frozenset[str]) -> Iterator[frozenset[str]]:
    for size in range(len(items)):
        yield from map(frozenset, combinations(items, size))


@dataclass(frozen=True)
class CutSets:
    """Minimal cut sets, smallest first; ``truncated`` where larger or more numerous ones were left out."""

    sets: tuple[tuple[str, ...], ...]
    truncated: bool

    def __iter__(self) -> Iterator[tuple[str, ...]]:
        return iter(self.sets)

    def __len__(self) -> int:
        return len(self.sets)


class _Families:
    """Families of sets, kept minimal and within the limits."""

    def __init__(self, max_order: int, max_sets: int) -> None:
        self.max_order, self.max_sets, self.truncated = max_order, max_sets, False

    def minimal(self, sets: Iterable[frozenset[str]]) -> Family:
        within: set[frozenset[str]] = set()
        for candidate in sets:
            if len(candidate) <= self.max_order:
                within.add(candidate)
            else:
                self.truncated = True
        # a set of three has six smaller ones: looking those up beats comparing with every other set
        kept = [s for s in within if not any(p in within for p in _proper_subsets(s))]
        return self._smallest(kept, self.max_sets)

    def _smallest(self, sets: Collection[frozenset[str]], count: int) -> Family:
        if len(sets) <= count:
            return frozenset(sets)
        self.truncated = True
        return frozenset(sorted(sets, key=lambda s: (len(s), sorted(s)))[:count])

    def all_of(self, families: Sequence[Family]) -> Family:
        """Every one of them falls."""
        result: Family = frozenset({frozenset()})
        for family in sorted(families, key=len):
            if len(result) * len(family) > MAX_PRODUCTS:
                side = int(MAX_PRODUCTS**0.5)
                result, family = self._smallest(result, side), self._smallest(family, side)
            result = self.minimal(a | b for a in result for b in family)
            if not result:
                break
        return result

    def fallen(self, families: Sequence[Family], mode: str | int) -> Family:
        """Too few of them hold."""
        n = len(families)
        must_fall = n - needed(mode, n) + 1
        if must_fall <= 0:
            return frozenset({frozenset()})
        if must_fall == 1:
            return self.minimal(s for family in families for s in family)
        if must_fall > self.max_order and must_fall < n:
            # with shared leaves fewer could do, but not of disjoint branches: say that some may be missing
            self.truncated = True
            return _NOTHING
        if comb(n, must_fall) > MAX_COMBINATIONS:
            self.truncated = True
            return _NOTHING
        return self.minimal(s for several in combinations(families, must_fall) for s in self.all_of(several))


def cut_sets(argument: Argument, state: Evaluation, max_order: int = MAX_ORDER, max_sets: int = MAX_SETS) -> CutSets:
    """The minimal cut sets of the root, of at most ``max_order`` leaves."""
    families = _Families(max_order, max_sets)
    falls: dict[str, Family] = {}
    opens: dict[str, Family] = {}
    for component in argument.order:
        for identifier in component:
            vertex = argument.vertices[identifier]
            if vertex.type == "defeater":
                falls[identifier] = _answer_falls(vertex, state, families, falls, opens)
                opens[identifier] = _doubt_opens(vertex, state, families, falls)
            else:
                falls[identifier] = _falls(vertex, families, falls, opens)
    found = falls.get(argument.root, _NOTHING)
    ordered = sorted((tuple(sorted(s)) for s in found), key=lambda s: (len(s), s))
    return CutSets(tuple(ordered), families.truncated)


def _falls(vertex: Vertex, families: _Families, falls: dict[str, Family], opens: dict[str, Family]) -> Family:
    leaf: Family = frozenset({frozenset({vertex.id})})
    parts: list[Family] = []
    if vertex.children:
        children: list[Family] = []
        for child in vertex.children:
            attacks = [opens.get(a, _NOTHING) for a in vertex.link_attackers.get(child, ())]
            own = falls.get(child, _NOTHING)
            children.append(families.minimal(s for f in (own, *attacks) for s in f) if attacks else own)
        parts.append(families.fallen(children, vertex.mode))
    elif vertex.type not in ("context", "justification"):
        parts.append(leaf)
    below = [*vertex.contexts, *([vertex.control] if vertex.control else [])]
    parts += [falls.get(identifier, _NOTHING) for identifier in below]
    parts += [opens.get(attacker, _NOTHING) for attacker in vertex.attackers]
    return parts[0] if len(parts) == 1 else families.minimal(s for part in parts for s in part)


def _answer_falls(
    vertex: Vertex, state: Evaluation, families: _Families, falls: dict[str, Family], opens: dict[str, Family]
) -> Family:
    """A defeater that stands no longer does: its support fails, or an attack on it opens."""
    if state.labels[vertex.id] is not Label.IN:
        return frozenset({frozenset()})
    if not vertex.children:
        own: Family = frozenset({frozenset({vertex.id})})
    else:
        own = families.fallen([falls.get(child, _NOTHING) for child in vertex.children], "all")
    return families.minimal(s for f in (own, *(opens.get(a, _NOTHING) for a in vertex.attackers)) for s in f)


def _doubt_opens(vertex: Vertex, state: Evaluation, families: _Families, falls: dict[str, Family]) -> Family:
    """A defeater that is out because of its answers stands again: every answer fails."""
    if state.labels[vertex.id] is not Label.OUT:
        return _NOTHING
    answers = [falls.get(a, _NOTHING) for a in vertex.attackers if state.labels[a] is Label.IN]
    if answers:
        return families.all_of(answers)
    return frozenset({frozenset({vertex.id})}) if vertex.accepted else _NOTHING
