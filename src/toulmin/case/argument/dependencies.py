"""What a conclusion rests on: the assumptions, accepted doubts and bare answers without which it would not hold.

A claim rests on the assumptions in its context, on what the children rest on that give it its health, and on the doubts
a person accepted and the bare answers that keep attacks off it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from toulmin.case.argument.evaluate import Evaluation, contrary_evidence
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Label


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
        against = [] if vertex.accepted else [child.id for child in contrary_evidence(vertex, state)]
        mask = 0 if beaten or against else bit(vertex.id)
        for attacker in (*beaten, *against):
            mask |= masks[attacker]
        return mask
    mask = 0 if vertex.children else bit(vertex.id)
    for below in (*vertex.children, *vertex.attackers):
        mask |= masks[below]
    return mask
