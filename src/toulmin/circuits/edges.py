"""Edges by name, over the graph of :mod:`toulmin.patching`: parsing, tables ``[S, R]``, the order of removal. No
torch."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import Fault, FaultError
from toulmin.patching import Graph

BoolTable = NDArray[np.bool_]
Pair = tuple[int, int]
_PATH_FORM = re.compile(r"^\s*(\S+?)\s*->\s*\[([QKV])\]\s*(\S+)\s*$")


def edge_name(graph: Graph, source: int, receiver: int) -> str:
    """``embed->L0.H3[Q]``."""
    return f"{graph.sources[source]}->{graph.receivers[receiver]}"


def parse_edge(graph: Graph, name: str) -> Pair:
    """(source, receiver) of an edge: ``embed->L0.H3[Q]`` or, as in path hypotheses, ``embed -> [Q] L0.H3``.

    :raises FaultError: the graph has no such edge; the nearest names are listed.
    """
    form = _PATH_FORM.match(name)
    edge = graph.edges[graph.edge_index(f"{form[1]}->{form[3]}[{form[2]}]" if form else name)]
    return edge.source, edge.receiver


def parse_edges(graph: Graph, names: Iterable[str]) -> list[Pair]:
    """Edges from names; every unknown name is reported, not only the first.

    :raises FaultError: some names are no edges of this graph.
    """
    faults: list[Fault] = []
    found: list[Pair] = []
    for name in names:
        try:
            found.append(parse_edge(graph, name))
        except FaultError as error:
            faults += error.faults
    if faults:
        raise FaultError(faults)
    return found


def table_of(graph: Graph, edges: Iterable[Pair]) -> BoolTable:
    """``[S, R]``, true at the given edges."""
    table = np.zeros(graph.allowed.shape, dtype=bool)
    for source, receiver in edges:
        table[source, receiver] = True
    return table


def removal_order(graph: Graph) -> list[Pair]:
    """The documented order of ACDC: receivers from the logits backwards, sources from the last to the first."""
    return [(edge.source, edge.receiver) for edge in reversed(graph.edges)]


@lru_cache(maxsize=64)
def receiver_components(graph: Graph) -> tuple[str, ...]:
    """The component each receiver belongs to: ``L0.H3`` for ``L0.H3[Q]``."""
    owner = {name: component.name for component in graph.all_components for name in component.inputs}
    return tuple(owner[name] for name in graph.receivers)


@lru_cache(maxsize=64)
def component_sources(graph: Graph) -> dict[str, list[int]]:
    """By component, the numbers of its sources: several where its output is split into terms, none for the output."""
    return {c.name: [graph.source_number[name] for name in c.sources] for c in graph.all_components}


def attends(graph: Graph, receiver: int) -> bool:
    """Whether what this receiver reads at one position reaches its component's output at others (K, V, merged)."""
    name = graph.receivers[receiver]
    return name.endswith(("[K]", "[V]")) or (graph.merged_qkv and ".H" in name)
