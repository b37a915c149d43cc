"""Which elements are stale: those whose health could change if the stale evidence below them were made again.

What is stale of itself (evidence of other inputs, an expired assumption, a stale module) may come out as anything. A
claim above it is stale only if its own health could then be another one: not where a sibling carries it, and not where
a cap (an assumption, a standing defeater, an undeveloped mark) holds it where it is.

The range of each element is derived bottom up from the ranges of what it depends on. Where no defeater depends on
something stale, health rises with the health of every leaf, and the ends of the range are reached: the answer is exact.
Elsewhere the range may be too wide, so the values of the stale leaves are enumerated as far as that is affordable.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import product

from toulmin.case.argument.evaluate import Caps, Evaluation, Snapshot, evaluate, local_health, update
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health

MAX_UPDATES = 60_000  #: of vertices in an enumeration: about a quarter of a second


class _Overlay(dict[str, Health]):
    """The health of a few elements over that of all others."""

    def __init__(self, below: Mapping[str, Health]) -> None:
        super().__init__()
        self._below = below

    def __missing__(self, key: str) -> Health:
        return self._below[key]


class _Caps(dict[str, Caps]):
    """What defeaters leave of their targets at each end of the range: those that cannot change leave what they do."""

    def __init__(self, below: Mapping[str, Caps]) -> None:
        super().__init__()
        self._below = below

    def __missing__(self, key: str) -> Caps:
        cap = self._below[key][0]
        return cap, cap


def staleness(argument: Argument, state: Evaluation, also: Collection[str] = ()) -> frozenset[str]:
    """The vertices that are stale, if those of ``also`` are as well as the leaves that are marked so."""
    leaves = {identifier for identifier, vertex in argument.vertices.items() if vertex.stale} | set(also)
    if not leaves:
        return frozenset()
    cone = _above(argument, leaves)
    stale = _by_ranges(argument, state, leaves, cone)
    argued = any(argument.vertices[identifier].type == "defeater" for identifier in cone)
    circular = not argument.circular.isdisjoint(cone)
    updates = len(Health) ** len(leaves) * len(argument.vertices if circular else cone)
    if argued and updates <= MAX_UPDATES:
        return frozenset(leaves | (stale & _by_enumeration(argument, state, sorted(leaves), cone, circular)))
    return frozenset(stale)


def _above(argument: Argument, leaves: Iterable[str]) -> list[str]:
    """The leaves and everything derived from them, dependencies first."""
    seen, queue = set(leaves), list(leaves)
    while queue:
        for above in argument.dependents[queue.pop()]:
            if above not in seen:
                seen.add(above)
                queue.append(above)
    return sorted(seen, key=argument.places.__getitem__)


def _by_ranges(argument: Argument, state: Evaluation, leaves: set[str], cone: list[str]) -> set[str]:
    low, high, caps = _Overlay(state.low), _Overlay(state.low), _Caps(state.caps)
    stale: set[str] = set()
    touched = set(leaves)
    for identifier in cone:
        vertex = argument.vertices[identifier]
        if identifier in argument.circular:
            touched.add(identifier)
        elif identifier not in leaves and touched.isdisjoint(vertex.depends_on()):
            continue
        if vertex.type == "defeater":
            touched.add(identifier)
            stale.add(identifier)
            caps[identifier] = _worst_cap(vertex), Health.SUPPORTED
            low[identifier], high[identifier] = Health.REFUTED, Health.SUPPORTED
            continue
        ends = (Health.REFUTED, Health.SUPPORTED) if identifier in leaves else (None, None)
        first, last = (local_health(vertex, (low, high)[side], caps, side, ends[side]) for side in (0, 1))
        if identifier in argument.circular:
            first, last = Health.REFUTED, Health.SUPPORTED
        if first is not last:
            touched.add(identifier)
            stale.add(identifier)
            low[identifier], high[identifier] = first, last
            if vertex.type != "evidence" and first is Health.REFUTED:
                # refuted counts above as unsupported, which is better than undermined
                low[identifier], high[identifier] = Health.UNDERMINED, max(last, Health.UNSUPPORTED)
    return stale | leaves


def _worst_cap(vertex: Vertex) -> Health:
    if vertex.accepted:
        return Health.CONDITIONAL
    return Health.REFUTED if vertex.kind == "rebut" and vertex.children else Health.UNDERMINED


def _by_enumeration(
    argument: Argument, state: Evaluation, leaves: list[str], cone: list[str], circular: bool
) -> set[str]:
    """Everything of the cone that differs from ``state`` under some values of the leaves."""
    before = {identifier: state.of(identifier) for identifier in cone}
    changed: set[str] = set()
    for values in product(list(Health), repeat=len(leaves)):
        what_if = dict(zip(leaves, values, strict=True))
        found = evaluate(argument, what_if) if circular else state
        for identifier in cone:
            if not circular:
                update(argument.vertices[identifier], state, what_if)
            if _seen(found.of(identifier)) != _seen(before[identifier]):
                changed.add(identifier)
    for identifier, snapshot in before.items():
        state.restore(identifier, snapshot)
    return changed


def _seen(snapshot: Snapshot) -> tuple[object, ...]:
    """What a reader sees of a vertex: health; of a defeater also whether it stands, and on whose word."""
    low, _, label, _, caveat = snapshot
    return low, label, caveat
