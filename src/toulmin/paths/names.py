"""Which components a name pattern means, and the nearest names where a part of it means none. No tensors."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from toulmin.faults import Fault, FaultError
from toulmin.patching import Graph
from toulmin.paths.hypothesis import Element

_COMPONENT = re.compile(r"L(?P<layers>[^.]+)\.(?P<what>.+)")


def nearest(name: str, names: Iterable[str], n: int = 3) -> str:
    """The ``n`` names most like ``name``, the most similar first, separated by commas."""
    return ", ".join(difflib.get_close_matches(name, list(names), n=n, cutoff=0.0))


def reads_from(graph: Graph, sender: str, receiver: str) -> bool:
    """Whether the graph has an edge from a component to (some input of) another."""
    if sender not in graph.sources:
        return False
    inputs = [number for number, name in enumerate(graph.receivers) if name.partition("[")[0] == receiver]
    return bool(graph.allowed[graph.sources.index(sender), inputs].any())


def _split(text: str) -> list[str]:
    """The parts of a comma-separated list, not inside braces."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def _braced(text: str) -> bool:
    return text.startswith("{") and text.endswith("}")


def _numbers(text: str, size: int) -> tuple[set[int], list[str]]:
    """The numbers below ``size`` that ``3``, ``*``, ``{1,4}``, ``<2`` or ``2-4`` mean, and the parts that mean none."""
    if text == "*":
        return set(range(size)), []
    if _braced(text):
        each = [_numbers(part, size) for part in _split(text[1:-1])]
        return {number for found, _ in each for number in found}, [part for _, absent in each for part in absent]
    if match := re.fullmatch(r"(\d+)-(\d+)", text):
        low, high = int(match[1]), int(match[2])
        found = set(range(low, min(high + 1, size)))
        if not found:
            return found, [text]
        return found, [str(size) if high == size else f"{size}-{high}"] if high >= size else []
    if match := re.fullmatch(r"(<=|>=|<|>)(\d+)", text):
        edge = int(match[2])
        test = {"<": edge.__gt__, "<=": edge.__ge__, ">": edge.__lt__, ">=": edge.__le__}[match[1]]
        found = {number for number in range(size) if test(number)}
        return found, [] if found else [text]
    found = {int(text)} & set(range(size)) if text.isdigit() else set[int]()
    return found, [] if found else [text]


def components_of(pattern: str, graph: Graph) -> tuple[frozenset[str], list[str]]:
    """The components of the graph that a pattern names, and the parts of it that name none."""
    everything = (*graph.sources, "logits")
    if pattern == "*":
        return frozenset(everything), []
    if _braced(pattern):
        each = [components_of(part, graph) for part in _split(pattern[1:-1])]
        return frozenset().union(*(found for found, _ in each)), [part for _, absent in each for part in absent]
    if pattern == "embed":
        return frozenset(graph.inputs), []
    if pattern in everything:
        return frozenset({pattern}), []
    match = _COMPONENT.fullmatch(pattern)
    if match is None:
        return frozenset(), [pattern]
    what = match["what"]
    layers, no_layers = _numbers(match["layers"], graph.n_layers)
    heads, no_heads = set[int](), list[str]()
    if what == "*" or what.startswith("H"):
        heads, no_heads = _numbers(what if what == "*" else what[1:], graph.n_heads)
    names = {f"L{layer}.H{head}" for layer in layers for head in heads}
    if what in ("mlp", "*") and graph.has_mlp:
        names |= {f"L{layer}.mlp" for layer in layers}
    absent = [f"L{part}.{what}" for part in no_layers] + [f"L{match['layers']}.H{part}" for part in no_heads]
    return frozenset(names), absent if names or absent else [pattern]


def resolve(element: Element, graph: Graph) -> frozenset[str]:
    """The components that an element names.

    :raises FaultError: ``paths.no_match`` for every name, member of braces and end of a range that matches nothing,
        with the nearest names; ``paths.no_inputs`` where something other than a head is given an input Q, K or V.
    """
    found, absent = components_of(element.names, graph)
    if absent:
        names, size = (*graph.sources, "logits"), f"the model has {graph.n_layers} layers of {graph.n_heads} heads"
        raise FaultError(
            [
                Fault(
                    "paths.no_match",
                    f"matches no component (column {element.column})",
                    line=element.line,
                    name=part,
                    hint=f"nearest: {nearest(part, names)}; {size}",
                )
                for part in absent
            ]
        )
    if element.slots and not all(".H" in name for name in found):
        raise FaultError(
            Fault("paths.no_inputs", "only heads have the inputs Q, K, V", line=element.line, name=element.names)
        )
    return found
