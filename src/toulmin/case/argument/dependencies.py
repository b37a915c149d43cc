"""What is carried upward beside health: what a conclusion rests on, and whether it is stale.

A claim rests on the assumptions in its context, on what the children rest on that give it its health, and on the doubts
a person accepted and the bare answers that keep attacks off it. It is stale where its health could change if its stale
parts were made again: combining stale children as refuted or as supported gives different results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from toulmin.case.argument.evaluate import Evaluation
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health, Label, combine


def resting(
    argument: Argument, state: Evaluation, of_modules: Mapping[str, frozenset[str]]
) -> dict[str, frozenset[str]]:
    """For each vertex, the ids of assumptions, accepted doubts and bare answers it rests on.

    ``of_modules`` gives what the goals of other cases rest on.
    """
    # Bits, because a case of ten thousand elements carries the same few assumptions everywhere.
    bits: dict[str, int] = {}
    names: list[str] = []

    def bit(name: str) -> int:
        if name not in bits:
            bits[name] = 1 << len(names)
            names.append(name)
        return bits[name]

    masks: dict[str, int] = dict.fromkeys(argument.vertices, 0)
    for component in argument.order:
        changed = True
        while changed:
            changed = False
            for identifier in component:
                vertex = argument.vertices[identifier]
                if vertex.type == "defeater":
                    mask = _of_defeater(vertex, state, masks, bit)
                else:
                    mask = _of_element(vertex, state, masks, bit, of_modules)
                if mask != masks[identifier]:
                    masks[identifier], changed = mask, len(component) > 1
    unpacked: dict[int, frozenset[str]] = {}
    for mask in masks.values():
        if mask not in unpacked:
            unpacked[mask] = frozenset(_names_of(mask, names))
    return {identifier: unpacked[mask] for identifier, mask in masks.items()}


def _names_of(mask: int, names: Sequence[str]) -> Iterator[str]:
    while mask:
        lowest = mask & -mask
        yield names[lowest.bit_length() - 1]
        mask ^= lowest


def _of_element(
    vertex: Vertex,
    state: Evaluation,
    masks: dict[str, int],
    bit: Callable[[str], int],
    of_modules: Mapping[str, frozenset[str]],
) -> int:
    mask = 0
    if vertex.type == "assumption":
        mask |= bit(vertex.id)
    for name in sorted(of_modules.get(vertex.id, ())):
        mask |= bit(name)
    bar = state.low[vertex.id]
    for child in vertex.children:
        if vertex.mode == "all" or state.low[child] >= bar:
            mask |= masks[child]
            for attacker in vertex.link_attackers.get(child, ()):
                mask |= masks[attacker] if state.labels[attacker] is Label.OUT else 0
    for below in (*vertex.contexts, *((vertex.control,) if vertex.control else ())):
        mask |= masks[below]
    for attacker in vertex.attackers:
        if state.labels[attacker] is Label.OUT:
            mask |= masks[attacker]
    return mask


def _of_defeater(vertex: Vertex, state: Evaluation, masks: dict[str, int], bit: Callable[[str], int]) -> int:
    """Of an attack that is OUT: what keeps it out. Of one that is IN: what it stands on."""
    label = state.labels[vertex.id]
    if label is Label.UNDECIDED or (label is Label.OUT and not state.caveats[vertex.id]):
        return 0
    if label is Label.OUT:
        beaten = [attacker for attacker in vertex.attackers if state.labels[attacker] is Label.IN]
        mask = 0 if beaten else bit(vertex.id)
        for attacker in beaten:
            mask |= masks[attacker]
        return mask
    mask = 0 if vertex.children else bit(vertex.id)
    for below in (*vertex.children, *vertex.attackers):
        mask |= masks[below]
    return mask


def staleness(argument: Argument, state: Evaluation) -> frozenset[str]:
    """The vertices that are stale."""
    stale: set[str] = set()
    for component in argument.order:
        changed = True
        while changed:
            changed = False
            for identifier in component:
                if identifier not in stale and is_stale(argument.vertices[identifier], state, stale):
                    stale.add(identifier)
                    changed = len(component) > 1
    return frozenset(stale)


def is_stale(vertex: Vertex, state: Evaluation, stale: set[str]) -> bool:
    """Whether a vertex is stale, given which others are."""
    if vertex.stale or vertex.control in stale or any(context in stale for context in vertex.contexts):
        return True
    if any(attacker in stale for attacker in vertex.attackers):
        return True
    touched = [child for child in vertex.children if child in stale]
    touched += [child for child, several in vertex.link_attackers.items() if any(a in stale for a in several)]
    if not touched:
        return False
    if vertex.type == "defeater":
        return True
    spread = [
        combine([value if child in touched else state.low[child] for child in vertex.children], vertex.mode)
        for value in (Health.REFUTED, Health.SUPPORTED)
    ]
    return spread[0] != spread[1]
