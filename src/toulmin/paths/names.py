"""Which components a name pattern means, and the nearest names where it means none. No tensors."""

from __future__ import annotations

import difflib
import re

from toulmin.faults import Fault, FaultError
from toulmin.patching.graph import Graph
from toulmin.paths.language import Element

_COMPONENT = re.compile(r"L(?P<layers>[^.]+)\.(?P<what>.+)")


def _split(text: str) -> list[str]:
    """The parts of a comma-separated list, not inside braces."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


def _numbers(text: str, size: int) -> set[int] | None:
    """The numbers below ``size`` that ``3``, ``*``, ``{1,4}``, ``<2``, ``>=1`` or ``2-4`` stand for, or None."""
    if text == "*":
        return set(range(size))
    if text.startswith("{") and text.endswith("}"):
        found: set[int] = set()
        for part in text[1:-1].split(","):
            numbers = _numbers(part.strip(), size)
            if numbers is None:
                return None
            found |= numbers
        return found
    if match := re.fullmatch(r"(\d+)-(\d+)", text):
        return set(range(int(match[1]), int(match[2]) + 1)) & set(range(size))
    if match := re.fullmatch(r"(<=|>=|<|>)(\d+)", text):
        edge = int(match[2])
        test = {"<": edge.__gt__, "<=": edge.__ge__, ">": edge.__lt__, ">=": edge.__le__}[match[1]]
        return {number for number in range(size) if test(number)}
    return {int(text)} & set(range(size)) if text.isdigit() else None


def components_of(pattern: str, graph: Graph) -> frozenset[str]:
    """The components of the graph that a pattern names; empty where there are none."""
    everything = (*graph.sources, "logits")
    if pattern == "*":
        return frozenset(everything)
    if pattern.startswith("{") and pattern.endswith("}"):
        return frozenset().union(*(components_of(part.strip(), graph) for part in _split(pattern[1:-1])))
    if pattern == "embed":
        return frozenset(graph.inputs)
    if pattern in everything:
        return frozenset({pattern})
    match = _COMPONENT.fullmatch(pattern)
    if match is None:
        return frozenset()
    layers = _numbers(match["layers"], graph.n_layers)
    if layers is None:
        return frozenset()
    found: set[str] = set()
    for layer in layers:
        if match["what"] in ("mlp", "*") and graph.has_mlp:
            found.add(f"L{layer}.mlp")
        heads = _numbers(match["what"][1:], graph.n_heads) if match["what"].startswith("H") else None
        if match["what"] == "*":
            heads = set(range(graph.n_heads))
        found |= {f"L{layer}.H{head}" for head in heads or ()}
    return frozenset(found)


def resolve(element: Element, graph: Graph) -> frozenset[str]:
    """The components an element names.

    :raises FaultError: ``paths.no_match`` with the nearest names.
    """
    found = components_of(element.names, graph)
    if not found:
        names = (*graph.sources, "logits")
        near = difflib.get_close_matches(element.names, names, n=3, cutoff=0.0)
        raise FaultError(
            Fault(
                "paths.no_match",
                f"matches no component (column {element.column})",
                line=element.line,
                name=element.names,
                hint=f"nearest: {', '.join(near)}; the model has {graph.n_layers} layers of {graph.n_heads} heads",
            )
        )
    if any(slot for slot, _ in element.slots) and not all(".H" in name for name in found):
        raise FaultError(
            Fault("paths.no_inputs", "only heads have the inputs Q, K, V", line=element.line, name=element.names)
        )
    return found
