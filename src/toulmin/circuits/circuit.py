"""A circuit: a set of edges of a model, optionally at each token position.

Immutable and hashable; set algebra as in Python. A node circuit is an edge set too: keeping a component keeps all edges
out of it. :meth:`Circuit.pruned` removes edges that lie on no complete path from the embedding to the logits. Under
resampling with noising that changes no output (such an edge carries its counterfactual value either way). Under zero or
mean values it may, since a head reached only by cut edges is computed again from them; so nothing here prunes unasked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.edges import (
    BoolTable,
    attends,
    component_sources,
    edge_name,
    parse_edge,
    parse_edges,
    receiver_components,
    table_of,
)
from toulmin.evidence import canonical_json
from toulmin.faults import Fault, FaultError
from toulmin.patching import Graph


class Circuit:
    """Edges of ``graph``: ``table`` is ``[S, R]``, or ``[S, R, T]`` when edges are kept per token position.

    :raises FaultError: the table has the wrong shape, or names an edge that does not exist.
    """

    __slots__ = ("_table", "graph")

    def __init__(self, graph: Graph, table: NDArray[Any]) -> None:
        table = np.array(table, dtype=bool)
        if table.shape[:2] != graph.allowed.shape or table.ndim not in (2, 3):
            raise FaultError(
                Fault("circuits.shape", f"an edge table of this graph is {graph.allowed.shape}, not {table.shape}")
            )
        outside = table.reshape(*table.shape[:2], -1).any(-1) & ~graph.allowed
        if outside.any():
            names = [edge_name(graph, int(s), int(r)) for s, r in np.argwhere(outside)[:5]]
            raise FaultError([Fault("circuits.edge", "no such edge in this model", name=name) for name in names])
        table.setflags(write=False)
        self.graph = graph
        self._table = table

    @classmethod
    def empty(cls, graph: Graph, positions: int | None = None) -> Circuit:
        """No edge."""
        return cls(graph, np.zeros(graph.allowed.shape + ((positions,) if positions else ()), dtype=bool))

    @classmethod
    def full(cls, graph: Graph, positions: int | None = None) -> Circuit:
        """Every edge (at every position)."""
        table = graph.allowed
        return cls(graph, np.repeat(table[:, :, None], positions, axis=2) if positions else table)

    @classmethod
    def of(cls, graph: Graph, names: Iterable[str]) -> Circuit:
        """The edges with the given names.

        :raises FaultError: every unknown name, with the nearest known ones.
        """
        return cls(graph, table_of(graph, parse_edges(graph, names)))

    @classmethod
    def of_nodes(cls, graph: Graph, nodes: Iterable[str]) -> Circuit:
        """The circuit of the components ``nodes``: all edges out of each (the embedding only if named).

        Of a component that is split into terms, one term (``L0.mlp:f3``) or, by the component's name, all.
        """
        nodes, numbers = list(nodes), component_sources(graph)
        known = {name: [number] for name, number in graph.source_number.items()} | {
            name: found for name, found in numbers.items() if found
        }
        unknown = [name for name in nodes if name not in known]
        if unknown:
            raise FaultError([Fault("circuits.node", "no such component in this model", name=name) for name in unknown])
        keep = np.zeros(len(graph.sources), dtype=bool)
        keep[[number for name in nodes for number in known[name]]] = True
        return cls(graph, graph.allowed & keep[:, None])

    @classmethod
    def random(cls, graph: Graph, size: int, rng: np.random.Generator) -> Circuit:
        """``size`` edges drawn uniformly without replacement."""
        rows, columns = np.nonzero(graph.allowed)
        if not 0 <= size <= len(rows):
            raise FaultError(Fault("circuits.size", f"a circuit of {size} edges in a graph of {len(rows)}"))
        chosen = rng.choice(len(rows), size=size, replace=False)
        table = np.zeros(graph.allowed.shape, dtype=bool)
        table[rows[chosen], columns[chosen]] = True
        return cls(graph, table)

    @property
    def table(self) -> BoolTable:
        """``[S, R]`` or ``[S, R, T]``, read-only."""
        return self._table

    @property
    def positions(self) -> int | None:
        """The number of token positions, when edges are kept per position."""
        return self._table.shape[2] if self._table.ndim == 3 else None

    def at_positions(self, positions: int) -> Circuit:
        """The same edges at each of ``positions`` positions."""
        if self.positions is not None:
            self._check_positions(positions)
            return self
        return Circuit(self.graph, np.repeat(self._table[:, :, None], positions, axis=2))

    def without_positions(self) -> Circuit:
        """Every edge that is kept at some position."""
        return self if self.positions is None else Circuit(self.graph, self._any)

    def __len__(self) -> int:
        return int(self._table.sum())

    def __iter__(self) -> Iterator[str]:
        for receiver in range(len(self.graph.receivers)):
            for source in np.nonzero(self._any[:, receiver])[0]:
                yield edge_name(self.graph, int(source), receiver)

    def by_edge(self) -> dict[str, list[int]]:
        """For each edge name its token positions; no positions where edges are kept at every one."""
        if self.positions is None:
            return {name: [] for name in self}
        return {name: np.nonzero(self._table[parse_edge(self.graph, name)])[0].tolist() for name in self}

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self._any[parse_edge(self.graph, name)])

    @property
    def _any(self) -> BoolTable:
        return self._table if self._table.ndim == 2 else np.any(self._table, axis=2)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Circuit):
            return NotImplemented
        return (
            self.graph == other.graph
            and self._table.shape == other._table.shape
            and bool((self._table == other._table).all())
        )

    def __hash__(self) -> int:
        return hash((self.graph, self._table.shape, self._table.tobytes()))

    def __repr__(self) -> str:
        at = f" at {self.positions} positions" if self.positions else ""
        return f"Circuit({len(self)} of {self.graph.n_edges * (self.positions or 1)} edges{at})"

    def digest(self) -> str:
        """SHA-256 of graph and edges: the same in every process."""
        head = repr((canonical_json(self.graph.to_json()), self._table.shape)).encode()
        return hashlib.sha256(head + np.packbits(self._table).tobytes()).hexdigest()

    def _with(self, other: Circuit) -> tuple[BoolTable, BoolTable]:
        if self.graph != other.graph:
            raise FaultError(Fault("circuits.graph", "the two circuits are edge sets of different models"))
        if self.positions == other.positions:
            return self._table, other._table
        positions = self.positions or other.positions or 1
        return self.at_positions(positions)._table, other.at_positions(positions)._table

    def _check_positions(self, positions: int) -> None:
        if self.positions != positions:
            raise FaultError(
                Fault("circuits.positions", f"edges at {self.positions} positions, prompts of {positions}")
            )

    def __or__(self, other: Circuit) -> Circuit:
        a, b = self._with(other)
        return Circuit(self.graph, a | b)

    def __and__(self, other: Circuit) -> Circuit:
        a, b = self._with(other)
        return Circuit(self.graph, a & b)

    def __sub__(self, other: Circuit) -> Circuit:
        a, b = self._with(other)
        return Circuit(self.graph, a & ~b)

    def __invert__(self) -> Circuit:
        return Circuit.full(self.graph, self.positions) - self

    def __le__(self, other: Circuit) -> bool:
        a, b = self._with(other)
        return not bool((a & ~b).any())

    def nodes(self) -> tuple[str, ...]:
        """The components with an edge in the circuit, in the order they run.

        Of a component that is split into terms, the terms that an edge leaves; where none does, the component.
        """
        out_of, into = np.any(self._any, axis=1), np.any(self._any, axis=0)
        read = {name for name, used in zip(receiver_components(self.graph), into, strict=True) if used}
        found: list[str] = []
        for component, numbers in component_sources(self.graph).items():
            terms = [self.graph.sources[number] for number in numbers if out_of[number]]
            found += terms or ([component] if component in read else [])
        return tuple(found)

    def pruned(self, *, causal: bool = True) -> Circuit:
        """Without the edges that lie on no complete path from the embedding to the logits.

        With positions, an input K or V at position ``t`` serves its head's output at every position from ``t`` on (at
        every position, unless ``causal``), Q and everything else at its own.
        """
        table = (self._table if self._table.ndim == 3 else self._table[:, :, None]).copy()
        forward, backward = self._forward_alive(table, causal), self._backward_alive(table, causal)
        table &= forward[:, None, :] & backward[None, :, :]
        return Circuit(self.graph, table if self._table.ndim == 3 else table[:, :, 0])

    def useful_receivers(self, *, causal: bool = True, scored: Sequence[int] | None = None) -> BoolTable:
        """``[R]`` or ``[R, T]``: the inputs whose component reaches the logits through edges of the circuit.

        What any other input reads changes no output, whatever the ablated values.

        :param scored: with positions, those at which the logits are read; default all.
        """
        if self.positions is None:
            return self._backward_alive(self._table[:, :, None], causal=False)[:, 0]
        return self._backward_alive(self._table, causal, scored)

    def _forward_alive(self, table: BoolTable, causal: bool) -> BoolTable:
        """``[S, T]``: the source can differ from its ablated value through live edges."""
        alive = np.zeros((table.shape[0], table.shape[2]), dtype=bool)
        alive[: len(self.graph.inputs)] = True
        sources = component_sources(self.graph)
        for receiver, component in enumerate(receiver_components(self.graph)):
            if not sources[component]:
                continue
            reached = (table[:, receiver] & alive).any(0)
            if attends(self.graph, receiver):
                reached = np.logical_or.accumulate(reached) if causal else reached.any(keepdims=True)
            alive[sources[component]] |= reached
        return alive

    def _backward_alive(self, table: BoolTable, causal: bool, scored: Sequence[int] | None = None) -> BoolTable:
        """``[R, T]``: what the receiver reads can reach the logits through live edges."""
        useful = np.zeros((table.shape[1], table.shape[2]), dtype=bool)
        written = np.zeros((table.shape[0], table.shape[2]), dtype=bool)
        sources, components = component_sources(self.graph), receiver_components(self.graph)
        for receiver in range(table.shape[1] - 1, -1, -1):
            numbers = sources[components[receiver]]
            if not numbers:
                useful[receiver, slice(None) if scored is None else list(scored)] = True
            else:
                out = np.any(written[numbers], axis=0)
                if attends(self.graph, receiver):
                    out = np.logical_or.accumulate(out[::-1])[::-1] if causal else out.any(keepdims=True)
                useful[receiver] = out
            written |= table[:, receiver] & useful[receiver][None, :]
        return useful

    def to_json(self) -> dict[str, Any]:
        """Plain data: the graph, the edge names and, per edge, its positions if it has any."""
        data: dict[str, Any] = {"format": "toulmin.circuit/1", "graph": self.graph.to_json(), "edges": list(self)}
        if self.positions is not None:
            data["positions"] = self.positions
            data["at"] = list(self.by_edge().values())
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Circuit:
        """Read what :meth:`to_json` wrote.

        :raises FaultError: another format, missing keys, unknown edges.
        """
        if data.get("format") != "toulmin.circuit/1":
            raise FaultError(Fault("circuits.format", f"not a circuit: format {data.get('format')!r}"))
        try:
            graph = Graph.from_json(data["graph"])
            names = list(data["edges"])
            positions = int(data["positions"]) if "positions" in data else None
            places = [[int(at) for at in row] for row in data["at"]] if positions is not None else []
        except (KeyError, TypeError, ValueError) as error:
            raise FaultError(
                Fault("circuits.format", f"a circuit without a readable graph or edges: {error}")
            ) from None
        edges = parse_edges(graph, names)
        if positions is None:
            return cls(graph, table_of(graph, edges))
        if len(places) != len(edges) or any(not 0 <= at < positions for row in places for at in row):
            raise FaultError(Fault("circuits.positions", "one list of positions an edge, all inside the prompt"))
        table = np.zeros((*graph.allowed.shape, positions), dtype=bool)
        for (source, receiver), row in zip(edges, places, strict=True):
            table[source, receiver, row] = True
        return cls(graph, table)
