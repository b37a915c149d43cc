"""Scores of edges: what a discovery method returns, and the circuits of every size that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edges import edge_name, parse_edge
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.graph import Graph

FloatTable = NDArray[np.float64]


class EdgeScores:
    """One number for each edge: ``values`` is ``[S, R]`` or ``[S, R, T]`` in float64, zero where there is no edge.

    ``method`` names what made them, with its settings. A circuit of size k is the k edges of largest absolute value (or
    largest value, ``signed=True``); ties fall to the edge that runs first, so the order is the same everywhere.

    :raises FaultError: wrong shape, or a value that is not finite (exit code NUMERICAL).
    """

    __slots__ = ("graph", "method", "values")

    def __init__(self, graph: Graph, values: NDArray[Any], method: str) -> None:
        values = np.array(values, dtype=np.float64)
        if values.shape[:2] != graph.allowed.shape or values.ndim not in (2, 3):
            raise FaultError(
                Fault("circuits.shape", f"scores of this graph are {graph.allowed.shape}, not {values.shape}")
            )
        allowed = graph.allowed if values.ndim == 2 else graph.allowed[:, :, None]
        values = np.where(allowed, values, 0.0)
        if not np.isfinite(values).all():
            bad = [edge_name(graph, int(at[0]), int(at[1])) for at in np.argwhere(~np.isfinite(values))[:5]]
            raise FaultError(
                [Fault("circuits.score", "not a finite number", name=name) for name in bad], ExitCode.NUMERICAL
            )
        values.setflags(write=False)
        self.graph, self.values, self.method = graph, values, method

    @property
    def positions(self) -> int | None:
        """The number of token positions, when edges are scored per position."""
        return self.values.shape[2] if self.values.ndim == 3 else None

    def summed(self) -> EdgeScores:
        """Per-position scores added up over positions."""
        return self if self.values.ndim == 2 else EdgeScores(self.graph, self.values.sum(2), self.method)

    def at(self, edge: str) -> float:
        """The score of one edge, by name."""
        return float(self.summed().values[parse_edge(self.graph, edge)])

    def by_name(self) -> dict[str, float]:
        """All scores, by edge name."""
        values = self.summed().values
        return {
            edge_name(self.graph, e.source, e.receiver): float(values[e.source, e.receiver]) for e in self.graph.edges
        }

    def flat(self) -> FloatTable:
        """``[n_edges]`` (times T) in the graph's edge order."""
        return self.values.swapaxes(0, 1)[self.graph.allowed.T].reshape(-1)

    def order(self, *, signed: bool = False) -> NDArray[np.int64]:
        """Flat indices of the edges, best first; ties in running order."""
        flat = self.flat()
        return np.argsort(-(flat if signed else np.abs(flat)), kind="stable")

    def top(self, size: int, *, signed: bool = False) -> Circuit:
        """The circuit of the ``size`` best edges.

        :raises FaultError: fewer edges exist.
        """
        return self.sweep([size], signed=signed)[0]

    def sweep(self, sizes: Sequence[int], *, signed: bool = False) -> list[Circuit]:
        """The circuits of each size, nested."""
        order, places = self.order(signed=signed), self._places()
        circuits: list[Circuit] = []
        for size in sizes:
            if not 0 <= size <= len(order):
                raise FaultError(Fault("circuits.size", f"a circuit of {size} edges, {len(order)} are scored"))
            table = np.zeros(self.values.shape, dtype=bool)
            table[tuple(places[order[:size]].T)] = True
            circuits.append(Circuit(self.graph, table))
        return circuits

    def _places(self) -> NDArray[np.int64]:
        receivers, sources = np.nonzero(self.graph.allowed.T)
        places = np.stack([sources, receivers], 1)
        if self.positions is None:
            return places
        repeated = np.repeat(places, self.positions, 0)
        return np.concatenate([repeated, np.tile(np.arange(self.positions), len(places))[:, None]], 1)

    def __repr__(self) -> str:
        return f"EdgeScores({self.method}, {self.graph.n_edges} edges)"


def random_scores(graph: Graph, rng: np.random.Generator) -> EdgeScores:
    """The baseline any method must beat: uniform scores."""
    values = np.zeros(graph.allowed.shape)
    values[graph.allowed] = rng.random(graph.n_edges)
    return EdgeScores(graph, values, "random")


def reference_scores(circuit: Circuit) -> EdgeScores:
    """A known circuit as scores: 1 for its edges, 0 for the others (the ground-truth 'method')."""
    return EdgeScores(circuit.graph, circuit.table.astype(np.float64), "reference")
