"""Circuits from several scores, and circuits that hang together: ensembles and greedy construction.

:func:`combine_scores` averages what several methods say of an edge, each method's scores divided by their own largest
absolute value or replaced by ranks, as the best entries of MIB's 2025 shared task did. :func:`greedy_circuit` takes
edges from the output backwards: only an edge into something from which a kept path leads to the output can be taken, so
that no edge is spent on what nobody reads (Hanna et al. 2024, section 3).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Literal

import numpy as np

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.faults import Fault, FaultError


def combine_scores(
    scores: Sequence[EdgeScores], *, how: Literal["scaled", "ranks"] = "scaled", weights: Sequence[float] | None = None
) -> EdgeScores:
    """The weighted mean over methods of each edge's score.

    ``scaled``: scores divided by the method's largest absolute score, so that signs count and opposite signs cancel.
    ``ranks``: the rank of the absolute score divided by the number of edges, 1 for the largest.

    :raises FaultError: ``circuits.combine``: no scores, scores of different graphs or positions, weights of another
        number, or that sum to zero, or a method whose scores are all zero.
    """
    faults: list[Fault] = []
    if not scores:
        faults.append(Fault("circuits.combine", "there are no scores"))
    if len({(one.graph, one.positions) for one in scores}) > 1:
        faults.append(Fault("circuits.combine", "the scores are of different graphs or positions"))
    shares = np.ones(len(scores)) if weights is None else np.array(weights, dtype=np.float64)
    if len(shares) != len(scores) or (len(shares) and not shares.sum()):
        faults.append(Fault("circuits.combine", f"{len(shares)} weights for {len(scores)} methods", name="weights"))
    faults += [
        Fault("circuits.combine", "all scores are zero", name=one.method) for one in scores if not one.values.any()
    ]
    if faults:
        raise FaultError(faults)
    total = np.zeros(scores[0].values.shape)
    for one, share in zip(scores, shares / shares.sum(), strict=True):
        if how == "scaled":
            total += share * one.values / np.abs(one.values).max()
        else:
            order, places = one.order(), one.places()
            ranks = np.empty(len(order))
            ranks[order] = np.arange(len(order), 0, -1) / len(order)
            total[tuple(places.T)] += share * ranks
    return EdgeScores(scores[0].graph, total, f"{how} mean of {', '.join(one.method for one in scores)}")


def greedy_circuit(scores: EdgeScores, size: int, *, signed: bool = False) -> Circuit:
    """``size`` edges, taken one by one: the best among those into the output or into a component that is kept already.

    A component is kept once an edge out of it is. The circuit may be smaller, where no such edge is left.

    :param signed: the largest scores instead of the largest absolute ones.
    :raises FaultError: ``circuits.size``; ``circuits.greedy``: scores of edges at positions.
    """
    graph = scores.graph
    if scores.positions is not None:
        raise FaultError(Fault("circuits.greedy", "scores of edges at positions", hint="scores.summed()"))
    if not 0 <= size <= graph.n_edges:
        raise FaultError(Fault("circuits.size", f"a circuit of {size} edges, {graph.n_edges} are scored"))
    values = scores.values if signed else np.abs(scores.values)
    component_of = [name.split("[")[0] for name in graph.receivers]
    inputs: dict[str, list[int]] = {}
    for receiver, name in enumerate(component_of):
        inputs.setdefault(name, []).append(receiver)
    waiting: list[tuple[float, int, int]] = []
    kept = set[str]()

    def keep(component: str) -> None:
        if component in kept:
            return
        kept.add(component)
        for receiver in inputs.get(component, ()):
            for source in np.flatnonzero(graph.allowed[:, receiver]).tolist():
                heapq.heappush(waiting, (-float(values[source, receiver]), source, receiver))

    keep(component_of[-1])
    table = np.zeros(graph.allowed.shape, dtype=bool)
    while waiting and table.sum() < size:
        _, source, receiver = heapq.heappop(waiting)
        table[source, receiver] = True
        keep(graph.sources[source].split(":")[0])
    return Circuit(graph, table)
