"""Positions in path sets: which classes of positions and offsets a hypothesis tells apart.

A step of a path happens at a pair (i, j): the component that reads writes at position ``i`` and reads what was written
at ``j`` (``i == j`` except through the K and V inputs of a head). Selectors such as ``@i-1`` or ``@subject`` cut the
offsets ``i - j`` and the positions ``j`` into finitely many classes; within a class all copies are alike, so states are
automaton states times classes, never times positions. Nodes of the refined graph are (component, class of the position
it writes at), and edges exist where some pair of positions is of their classes. No tensors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.graph import Graph
from toulmin.patching.pathset import Dag, Link

ROOT = "(output)"  # no component has this name
MAX_LINKS = 2_000_000


class Port(NamedTuple):
    """The label of an edge: the input it enters, the class of its offset, and the term of the sender it carries."""

    slot: str
    offset: int = 0
    term: str = ""


@dataclass(frozen=True, eq=False)
class PositionClasses:
    """Classes of offsets and positions, for sequences of ``length`` tokens.

    :param offsets: [T] the class of each offset 0 … T−1 (of its absolute value, in models that look ahead too).
    :param places: [T] or [B, T] the class of each position; may differ from pair to pair (named positions).
    :param count: how many classes of positions there are, where not all of them occur.
    """

    length: int
    offsets: NDArray[np.int64]
    places: NDArray[np.int64]
    count: int | None = None

    @classmethod
    def uniform(cls, length: int) -> PositionClasses:
        """One class of each: no selectors."""
        return cls(length, np.zeros(length, dtype=np.int64), np.zeros(length, dtype=np.int64))

    @classmethod
    def everywhere(cls, length: int) -> PositionClasses:
        """Every position a class of its own, as explicit lists of positioned paths need."""
        return cls(length, np.zeros(length, dtype=np.int64), np.arange(length))

    @property
    def n_places(self) -> int:
        """How many classes of positions."""
        return int(self.places.max()) + 1 if self.count is None else self.count

    def of_rows(self, rows: slice) -> PositionClasses:
        """The same classes for some of the pairs."""
        places = self.places if self.places.ndim == 1 else self.places[rows]
        return PositionClasses(self.length, self.offsets, places, self.n_places)

    @property
    def n_offsets(self) -> int:
        """How many classes of offsets."""
        return int(self.offsets.max()) + 1

    @cached_property
    def across(self) -> frozenset[tuple[int, int, int]]:
        """(class of i, class of i − j, class of j) that occur for some j <= i."""
        rows = np.atleast_2d(self.places)
        found: set[tuple[int, int, int]] = set()
        for offset in range(self.length):
            pairs = np.stack([rows[:, offset:], rows[:, : self.length - offset]], -1).reshape(-1, 2)
            kind = int(self.offsets[offset])
            found |= {(int(i), kind, int(j)) for i, j in np.unique(pairs, axis=0)}
        return frozenset(found)


def node_name(component: str, place: int, n_places: int) -> str:
    """The node of the refined graph for a component writing at a class of positions."""
    return component if n_places == 1 else f"{component}@{place}"


def refine(graph: Graph, classes: PositionClasses, terms: Mapping[str, Sequence[str]] | None = None) -> Dag:
    """The graph whose paths the sets are made of: components times classes of positions, edges by port.

    In-edges of a head are listed by slot, class of offset, then sender; senders are in order of computation, so that
    what a receiver reads at one stage is a prefix of what it reads at the next.

    :param terms: names of the terms into which a source's output is split.
    :raises FaultError: ``pathset.links`` (exit LIMIT).
    """
    graph = graph.unmerged.split(terms or {})
    places, across = classes.n_places, classes.across
    here = sorted({i for i, _, _ in across})
    estimate = graph.n_edges * classes.n_offsets * max(1, len(across) // max(1, classes.n_offsets))
    if estimate > MAX_LINKS:
        raise FaultError(
            Fault("pathset.links", f"the graph would have about {estimate} edges", hint="use fewer position classes"),
            ExitCode.LIMIT,
        )
    links: dict[str, list[Link]] = {node_name(c.name, p, places): [] for c in graph.components for p in here}
    for stage in graph.stages:
        reads = set(stage.reads)
        senders = [graph.split_terms[source] for source in graph.sources if source in reads]
        for component in stage.components:
            for i in here:
                node = node_name(component.name, i, places)
                found = links[node] = []
                for slot in component.slots:
                    attends = stage.kind == "attn" and slot in ("K", "V")
                    for kind in range(classes.n_offsets) if attends else (0,):
                        for sender, term in senders:
                            for j in here:
                                if (i, kind, j) in across if attends else i == j:
                                    port = Port(slot, kind, term)
                                    found.append(Link(node_name(sender, j, places), node, port))
    output = graph.stages[-1].components[0].name
    links[ROOT] = [Link(node_name(output, i, places), ROOT, Port("out")) for i in here]
    return Dag(links, ROOT)


def split_name(node: str) -> tuple[str, int]:
    """The component and the class of positions of a node of the refined graph."""
    component, _, place = node.partition("@")
    return component, int(place or 0)
