"""Scores of edges: what most discovery methods return, and the circuits of every size that follow from them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edges import edge_name, parse_edge
from toulmin.circuits.methodology import Ablation
from toulmin.evidence import Table, TabularResult
from toulmin.faults import ExitCode, Fault, FaultError

if TYPE_CHECKING:
    from toulmin.patching import Graph
    from toulmin.tasks import Metric

FloatTable = NDArray[np.float64]
_SHOWN = 20  # edges in the printed table


class EdgeScores(TabularResult):
    """One number for each edge: ``values`` is ``[S, R]`` or ``[S, R, T]`` in float64, zero where there is no edge.

    ``method`` says what made them, with its settings. ``metric`` and ``ablation`` name the effect that the scores
    estimate, which is what :func:`~toulmin.circuits.attribution_agreement` compares them with; ``None`` where they
    estimate none. A circuit of size k is the k edges of largest absolute value (or largest value, ``signed=True``);
    ties fall to the edge that runs first, so that the order is the same everywhere.

    :raises FaultError: wrong shape, or a value that is not finite (exit code NUMERICAL).
    """

    __slots__ = ("ablation", "graph", "method", "metric", "values")

    def __init__(
        self,
        graph: Graph,
        values: NDArray[Any],
        method: str,
        *,
        metric: str | Metric | None = None,
        ablation: Ablation | None = None,
    ) -> None:
        values = np.array(values, dtype=np.float64)
        if values.shape[:2] != graph.allowed.shape or values.ndim not in (2, 3):
            raise FaultError(
                Fault("circuits.shape", f"scores of this graph are {graph.allowed.shape}, not {values.shape}")
            )
        allowed = graph.allowed if values.ndim == 2 else graph.allowed[:, :, None]
        values = np.where(allowed, values, 0.0)
        if not np.isfinite(values).all():
            bad = dict.fromkeys((int(at[0]), int(at[1])) for at in np.argwhere(~np.isfinite(values)))
            faults = [Fault("circuits.score", "not a finite number", name=edge_name(graph, *at)) for at in bad]
            raise FaultError(faults[:5], ExitCode.NUMERICAL)
        values.setflags(write=False)
        self.graph, self.values, self.method = graph, values, method
        self.metric: str | Metric | None = metric
        self.ablation: Ablation | None = ablation

    @classmethod
    def random(cls, graph: Graph, rng: np.random.Generator, positions: int | None = None) -> EdgeScores:
        """Scores drawn uniformly from [0, 1): the baseline that any method must beat."""
        circuit = Circuit.full(graph, positions)
        values = np.zeros(circuit.table.shape)
        values[circuit.table] = rng.random(len(circuit))
        return cls(graph, values, "random")

    @classmethod
    def of_circuit(cls, circuit: Circuit) -> EdgeScores:
        """A known circuit as scores, to compare others with: 1 for its edges, 0 for the others."""
        return cls(circuit.graph, circuit.table.astype(np.float64), "a known circuit")

    @property
    def positions(self) -> int | None:
        """The number of token positions, when edges are scored per position."""
        return self.values.shape[2] if self.values.ndim == 3 else None

    def summed(self) -> EdgeScores:
        """Per-position scores added up over positions."""
        if self.values.ndim == 2:
            return self
        return EdgeScores(self.graph, self.values.sum(2), self.method, metric=self.metric, ablation=self.ablation)

    def at(self, edge: str) -> float:
        """The score of one edge, by name; of per-position scores the sum."""
        return float(self.summed().values[parse_edge(self.graph, edge)])

    def by_name(self) -> dict[str, float]:
        """All scores, by edge name; of per-position scores the sums."""
        values = self.summed().values
        return {
            edge_name(self.graph, e.source, e.receiver): float(values[e.source, e.receiver]) for e in self.graph.edges
        }

    def flat(self) -> FloatTable:
        """``[n_edges]`` (times T) in the graph's edge order."""
        return self.values.swapaxes(0, 1)[self.graph.allowed.T].reshape(-1)

    def order(self, *, signed: bool = False) -> NDArray[np.int64]:
        """Indices into :meth:`flat`, best first; ties in running order."""
        flat = self.flat()
        return np.argsort(-(flat if signed else np.abs(flat)), kind="stable")

    def top(self, size: int, *, signed: bool = False) -> Circuit:
        """The circuit of the ``size`` best edges.

        :raises FaultError: fewer edges exist.
        """
        return self.sweep([size], signed=signed)[0]

    def sweep(self, sizes: Sequence[int], *, signed: bool = False) -> list[Circuit]:
        """The circuits of each size, nested."""
        order, places = self.order(signed=signed), self.places()
        circuits: list[Circuit] = []
        for size in sizes:
            if not 0 <= size <= len(order):
                raise FaultError(Fault("circuits.size", f"a circuit of {size} edges, {len(order)} are scored"))
            table = np.zeros(self.values.shape, dtype=bool)
            table[tuple(places[order[:size]].T)] = True
            circuits.append(Circuit(self.graph, table))
        return circuits

    def places(self) -> NDArray[np.int64]:
        """``[n_edges (times T), 2 or 3]``: source, receiver (and position) of each entry of :meth:`flat`."""
        receivers, sources = np.nonzero(self.graph.allowed.T)
        places = np.stack([sources, receivers], 1)
        if self.positions is None:
            return places
        repeated = np.repeat(places, self.positions, 0)
        return np.concatenate([repeated, np.tile(np.arange(self.positions), len(places))[:, None]], 1)

    def tables(self) -> tuple[Table, ...]:
        """The edges with the largest absolute scores."""
        order, places, flat = self.order(), self.places(), self.flat()
        rows = [(*self._named(places[i]), float(flat[i])) for i in order[:_SHOWN].tolist()]
        at = () if self.positions is None else ("position",)
        caption = f"{min(_SHOWN, len(flat))} of {len(flat)}, largest absolute scores first."
        return (Table(title=self.method, columns=("edge", *at, "score"), rows=tuple(rows), caption=caption),)

    def _named(self, place: NDArray[np.int64]) -> tuple[str | int, ...]:
        return edge_name(self.graph, int(place[0]), int(place[1])), *place[2:].tolist()

    def __repr__(self) -> str:
        return f"EdgeScores({self.method}, {len(self.flat())} edges)"
