r"""ACDC (Conmy et al. 2023, Algorithm 1): remove edges one after the other while the output hardly changes.

Edges are visited in a fixed order, by default receivers from the logits backwards and sources from the last to the
first (:func:`toulmin.circuits.edges.removal_order`). With d(R) the mean distance of the model without the edges R to
the full model, an edge e is removed iff d(R + e) - d(R) < tau; R then grows. The decision on each edge depends on
those before it, so the definition runs one circuit an edge. Here K edges are decided at once: guess each decision,
run the K cumulative sets that the guesses imply as one batch, and accept up to and including the first wrong guess.
Every accepted decision compares the very sets that the definition compares, so the kept edges are the same (up to a
distance within rounding of tau). K makes the expected cost of a decision least: with e_k the chance that guess k is
wrong, (BATCH + K) / sum_{j<=K} prod_{k<j} (1 - e_k). An edge into an input that no longer reaches the logits changes
nothing, exactly: it is removed without a run.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edges import parse_edges, removal_order
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.graph import Graph
from toulmin.tasks import Metric, find_metric

#: masks [K, S, R] of removed edges to the mean distance to the full model of each, [K]
Distance = Callable[[NDArray[np.bool_]], NDArray[np.float64]]
Decision = tuple[int, int]
#: what a batch costs beside its circuits, in circuits
BATCH = 3
#: no guess is surer than this, nor less sure than a coin
SUREST = 0.02


@dataclass(frozen=True)
class Removal:
    """What ACDC did: the circuit kept, the distance after each accepted removal, and how many circuits were run for it.

    ``circuits_run`` against ``edges``, the number the sequential definition would run. ``changes`` is d(R + e) - d(R)
    for each edge in the order visited.
    """

    circuit: Circuit
    distance: float
    changes: NDArray[np.float64]
    circuits_run: int
    batches_run: int
    edges: int


def acdc(
    runner: CircuitRunner,
    tau: float,
    *,
    metric: str | Metric = "kl",
    ablation: Ablation = "resample",
    order: Sequence[str] | None = None,
    speculate: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Removal:
    """The edges that ACDC keeps at threshold ``tau``.

    :param metric: the distance; of a metric that the full model does not have at 0, its absolute mean change.
    :param order: edge names in the order to visit; default the documented one.
    :param speculate: the most circuits to run at once; 1 is the sequential definition, which runs every edge.
    :param progress: called with how many more edges are decided.
    :raises FaultError: an order that does not name every edge once; tau not positive and finite; NaN.
    """
    found = find_metric(metric)
    full = runner.full_scores([found])[found.name].mean()
    method = Methodology(ablation=ablation)

    def distance(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
        total = np.zeros(len(masks))
        for index, batch in enumerate(runner.batches):
            logits = runner.run_masks(index, masks, method)
            total += found(logits, batch, runner.full(index)).double().sum(1).cpu().numpy()
        mean = total / runner.n
        return mean if found.distance else np.abs(mean - full)

    edges = _ordered(runner, order)
    removed, changes, run, batches, last = _remove(runner.graph, edges, distance, tau, speculate, progress)
    return Removal(Circuit(runner.graph, runner.graph.allowed & ~removed), last, changes, run, batches, len(edges))


def _ordered(runner: CircuitRunner, order: Sequence[str] | None) -> list[Decision]:
    if order is None:
        return removal_order(runner.graph)
    edges = parse_edges(runner.graph, order)
    if len(set(edges)) != runner.graph.n_edges or len(edges) != runner.graph.n_edges:
        raise FaultError(Fault("circuits.order", f"the order names {len(set(edges))} of {runner.graph.n_edges} edges"))
    return edges


def _remove(
    graph: Graph,
    edges: Sequence[Decision],
    distance: Distance,
    tau: float,
    speculate: int,
    progress: Callable[[int], None] | None,
) -> tuple[NDArray[np.bool_], NDArray[np.float64], int, int, float]:
    if not (np.isfinite(tau) and tau > 0) or speculate < 1:
        raise FaultError(Fault("circuits.tau", f"tau {tau:g} must be positive, and speculate {speculate} at least 1"))
    removed = np.zeros(graph.allowed.shape, dtype=bool)
    changes = np.zeros(len(edges))
    guesses, waiting = _Guesses(graph), list(range(len(edges)))
    previous, run, batches = 0.0, 0, 0
    while waiting:
        before = len(waiting)
        if speculate > 1:
            waiting = _without_idle(graph, edges, waiting, removed)
        chances = [guesses.removal(edges[place]) for place in waiting[:speculate]]
        if not chances:
            break
        ahead = [edges[place] for place in waiting[: _batch_size(chances)]]
        guessed = [chance >= 0.5 for chance in chances]
        masks = np.repeat(removed[None], len(ahead), 0)
        for row, edge in enumerate(ahead):
            masks[row, edge[0], edge[1]] = True  # the trial of this edge ...
            if guessed[row]:
                masks[row + 1 :, edge[0], edge[1]] = True  # ... and its guessed removal in all later trials
        found = distance(masks)
        run, batches = run + len(ahead), batches + 1
        if not np.isfinite(found).all():
            edge = ahead[int(np.nonzero(~np.isfinite(found))[0][0])]
            raise FaultError(
                Fault("circuits.nan", f"the distance is NaN on the trial of edge {edge}"), ExitCode.NUMERICAL
            )
        accepted = 0
        for row, edge in enumerate(ahead):
            changes[waiting[row]] = found[row] - previous
            remove = bool(found[row] - previous < tau)
            if remove:
                removed[edge] = True
                previous = float(found[row])
            guesses.learn(edge, remove)
            accepted += 1
            if remove != guessed[row]:
                break
        waiting = waiting[accepted:]
        if progress is not None:
            progress(before - len(waiting))
    return removed, changes, run, batches, previous


def _without_idle(graph: Graph, edges: Sequence[Decision], waiting: list[int], removed: NDArray[np.bool_]) -> list[int]:
    """Remove, without a run, the waiting edges into inputs that no longer reach the logits; what still waits."""
    useful = Circuit(graph, graph.allowed & ~removed).useful_receivers()
    still: list[int] = []
    for place in waiting:
        if useful[edges[place][1]]:
            still.append(place)
        else:
            removed[edges[place]] = True
    return still


def _batch_size(chances: Sequence[float]) -> int:
    """How many edges to run together, given the chance that each is removed: the least expected cost of a decision."""
    best, size, right, decided = np.inf, 1, 1.0, 0.0
    for count, chance in enumerate(chances, 1):
        decided += right
        if (cost := (BATCH + count) / decided) < best:
            best, size = cost, count
        right *= 1 - max(SUREST, min(chance, 1 - chance))
    return size


class _Guesses:
    """The chance that an edge is removed: the recent decisions on edges between such components, and on all edges."""

    def __init__(self, graph: Graph) -> None:
        self._rates: dict[tuple[str, str], float] = {}
        self._sources = graph.sources
        head = re.compile(r"\.H\d+")
        self._kinds = [head.sub(".H", name) for name in graph.sources]
        self._inputs = [head.sub(".H", name) for name in graph.receivers]

    def removal(self, edge: Decision) -> float:
        known = [self._rates[key] for key in self._keys(edge) if key in self._rates]
        return sum(known) / len(known) if known else 0.5

    def learn(self, edge: Decision, removed: bool) -> None:
        for key in self._keys(edge):
            self._rates[key] = 0.7 * self._rates.get(key, float(removed)) + 0.3 * removed

    def _keys(self, edge: Decision) -> tuple[tuple[str, str], ...]:
        into = self._inputs[edge[1]]
        return (self._kinds[edge[0]], into), (self._sources[edge[0]], into), ("", "")
