"""Sensitivity of a case: what becomes of the conclusion if one leaf fails, and which leaves several branches share.

For each leaf, what becomes of the root if it alone is refuted, unsupported, or stale; the minimal sets of leaves whose
failure sinks the root; assumptions and leaves that several branches share; and how far each quantified leaf swings the
root's interval.

The effect of one leaf is found without evaluating the whole argument again. A claim's health as a function of one
child's is a clamp between two order statistics of the others, so where every vertex above has one parent the root's
answer is composed of clamps, top down; elsewhere only the vertices above the leaf are evaluated again.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from toulmin.case.argument.confidence import Quantities, propagate
from toulmin.case.argument.cutsets import CutSets, cut_sets
from toulmin.case.argument.evaluate import Evaluation, Snapshot, evaluate, local_health, update
from toulmin.case.argument.freshness import staleness
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Freshness, Health, combine, needed, of_support
from toulmin.case.argument.verdict import UNKNOWN, Probability

MAX_BARS = 200
_ALL = tuple(Health)
Response = tuple[Health, ...]


@dataclass(frozen=True, slots=True)
class LeafEffect:
    """The root's health if one leaf is refuted or unsupported, and its freshness if the leaf is stale."""

    id: str
    if_refuted: Health
    if_unsupported: Health
    if_stale: Freshness


@dataclass(frozen=True, slots=True)
class Hinge:
    """An assumption or other element that several branches rest on."""

    id: str
    used_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TornadoBar:
    """A bar of the tornado: the root's interval with one leaf surely false, and surely true."""

    id: str
    if_false: Probability
    if_true: Probability

    @property
    def swing(self) -> float:
        """How far the ends move in all."""
        return abs(self.if_true.low - self.if_false.low) + abs(self.if_true.high - self.if_false.high)


@dataclass(frozen=True)
class Sensitivity:
    """Effects of leaves, minimal cut sets, hinges and tornado."""

    leaves: tuple[LeafEffect, ...]
    cut_sets: CutSets
    hinges: tuple[Hinge, ...]
    tornado: tuple[TornadoBar, ...]


def analyse(argument: Argument, state: Evaluation, stale: frozenset[str], quantities: Quantities) -> Sensitivity:
    """Everything the conclusion hinges on."""
    return Sensitivity(
        leaf_effects(argument, state, stale),
        cut_sets(argument, state),
        hinges(argument),
        tornado(argument, state, stale, quantities),
    )


def leaves_of(argument: Argument) -> list[str]:
    """Evidence, modules, assumptions, claims without support, and defeaters without support that attack defeaters."""
    vertices = argument.vertices
    answers = {a for v in vertices.values() if v.type == "defeater" for a in v.attackers}
    return [
        identifier
        for identifier, vertex in vertices.items()
        if vertex.base is not None
        or vertex.type == "assumption"
        or (vertex.type in ("goal", "strategy") and not vertex.children)
        or (identifier in answers and not vertex.children)
    ]


def effect_of(argument: Argument, state: Evaluation, stale: frozenset[str], identifier: str) -> LeafEffect | None:
    """The root under each change of one leaf; None of an element that is no leaf."""
    if identifier not in leaves_of(argument):
        return None
    refuted, unsupported = (root_if(argument, state, identifier, own) for own in _TRIED)
    return LeafEffect(identifier, refuted, unsupported, _freshness_if(argument, state, stale, identifier))


def leaf_effects(argument: Argument, state: Evaluation, stale: frozenset[str]) -> tuple[LeafEffect, ...]:
    """The root under each single change of a leaf."""
    responses = _responses(argument, state)
    alone = not any(vertex.stale for vertex in argument.vertices.values())
    effects: list[LeafEffect] = []
    for leaf in leaves_of(argument):
        response = responses.get(leaf)
        if response is not None:
            vertex = argument.vertices[leaf]
            # what the leaf has of itself is still under its control and its attackers
            answers = {own: response[local_health(vertex, state.low, state.caps, 0, own)] for own in _ALL}
        else:
            answers = {own: root_if(argument, state, leaf, own) for own in _TRIED}
        if alone and response is not None:
            moves = leaf == argument.root or len(set(answers.values())) > 1
            if_stale = Freshness.STALE if moves else Freshness.CURRENT
        else:
            if_stale = _freshness_if(argument, state, stale, leaf)
        effects.append(LeafEffect(leaf, answers[Health.REFUTED], answers[Health.UNSUPPORTED], if_stale))
    return tuple(effects)


_TRIED = (Health.REFUTED, Health.UNSUPPORTED)


def _responses(argument: Argument, state: Evaluation) -> dict[str, Response]:
    """For vertices with a single way up: the root's health for each health of theirs."""
    responses: dict[str, Response] = {argument.root: _ALL}
    for component in reversed(argument.order):
        parent = component[0]
        vertex = argument.vertices[parent]
        if parent not in responses or parent in argument.circular:
            continue
        response, low = responses[parent], state.low
        caps = [state.caps[attacker][0] for attacker in vertex.attackers]
        if vertex.undeveloped:
            caps.append(Health.UNDEVELOPED)
        cap = min([*caps, *(of_support(low[context]) for context in vertex.contexts)], default=Health.SUPPORTED)
        for child, (floor, ceiling) in _clamps(vertex, _child_healths(vertex, state)).items():
            if argument.dependents[child] == (parent,) and child not in vertex.link_attackers:
                worth = _ALL if child in vertex.direct else tuple(of_support(h) for h in _ALL)
                responses[child] = tuple(response[min(cap, max(floor, min(h, ceiling)))] for h in worth)
        combined = local_health(vertex, low, state.caps)
        for context in vertex.contexts:
            if argument.dependents[context] == (parent,):
                others = [of_support(low[other]) for other in vertex.contexts if other != context]
                rest = min([*caps, *others, _combined_alone(vertex, state, combined)])
                responses[context] = tuple(response[min(rest, of_support(h))] for h in _ALL)
    return responses


def _child_healths(vertex: Vertex, state: Evaluation) -> list[Health]:
    """What each child is worth to the vertex."""
    low = state.low
    worth = {c: low[c] if c in vertex.direct else of_support(low[c]) for c in vertex.children}
    return [min([worth[c], *(state.caps[a][0] for a in vertex.link_attackers.get(c, ()))]) for c in vertex.children]


def _combined_alone(vertex: Vertex, state: Evaluation, otherwise: Health) -> Health:
    return combine(_child_healths(vertex, state), vertex.mode) if vertex.children else otherwise


def _clamps(vertex: Vertex, healths: Sequence[Health]) -> dict[str, tuple[Health, Health]]:
    """For each child, (floor, ceiling): the combination is the child's health clamped between them.

    With o the other children from the best down, the k-th best of all is max(o[k], min(child, o[k - 1])).
    """
    k, n = needed(vertex.mode, len(healths)), len(healths)
    if not n or k > n:
        return {}
    ordered = sorted(healths, reverse=True)
    clamps: dict[str, tuple[Health, Health]] = {}
    for child, health in zip(vertex.children, healths, strict=True):
        # removing the child shifts everything after it by one; which of equals is removed does not matter
        place = ordered.index(health)
        ceiling = Health.SUPPORTED if k == 1 else ordered[k - 2 if k - 2 < place else k - 1]
        floor = Health.REFUTED if k == n else ordered[k - 1 if k - 1 < place else k]
        clamps[child] = (floor, ceiling)
    return clamps


def root_if(argument: Argument, state: Evaluation, leaf: str, own: Health) -> Health:
    """The root's health with one leaf changed, by evaluating again what is above it."""
    if argument.circular:
        return evaluate(argument, {leaf: own}).low[argument.root]
    what_if = {leaf: own}
    undo: dict[str, Snapshot] = {}
    place = argument.places
    queue = [(place[leaf], leaf)]
    queued = {leaf}
    while queue:
        _, identifier = heapq.heappop(queue)
        undo[identifier] = state.of(identifier)
        if update(argument.vertices[identifier], state, what_if):
            for above in argument.dependents[identifier]:
                if above not in queued:
                    queued.add(above)
                    heapq.heappush(queue, (place[above], above))
    result = state.low[argument.root]
    for identifier, before in undo.items():
        state.restore(identifier, before)
    return result


def _freshness_if(argument: Argument, state: Evaluation, stale: frozenset[str], leaf: str) -> Freshness:
    """The root's freshness with one more leaf stale."""
    root = argument.root
    return Freshness.STALE if root in stale or root in staleness(argument, state, {leaf}) else Freshness.CURRENT


def hinges(argument: Argument) -> tuple[Hinge, ...]:
    """Assumptions first, then other elements, that more than one element rests on; most used first."""
    shared = [
        Hinge(identifier, above)
        for identifier, above in argument.dependents.items()
        if len(above) > 1 and argument.vertices[identifier].type not in ("context", "justification")
    ]
    rank = {"assumption": 0}
    return tuple(sorted(shared, key=lambda h: (rank.get(argument.vertices[h.id].type, 1), -len(h.used_by), h.id)))


def tornado(
    argument: Argument, state: Evaluation, stale: frozenset[str], quantities: Quantities
) -> tuple[TornadoBar, ...]:
    """Bars of the quantified leaves, widest first; at most 200."""
    bars: list[TornadoBar] = []
    for leaf in sorted(quantities.leaves)[:MAX_BARS]:
        ends: list[Probability] = []
        for certain in (Probability(0.0, 0.0), Probability(1.0, 1.0)):
            changed = Quantities({**quantities.leaves, leaf: certain}, quantities.rules)
            ends.append(propagate(argument, state, stale, changed)[argument.root] or UNKNOWN)
        bars.append(TornadoBar(leaf, ends[0], ends[1]))
    return tuple(sorted(bars, key=lambda bar: (-bar.swing, bar.id)))
