r"""ACDC (Conmy et al. 2023, Algorithm 1, https://arxiv.org/abs/2304.14997): remove edges while the output stays.

Edges are visited in a fixed order, by default receivers from the logits backwards and sources from the last to the
first (:func:`toulmin.circuits.edges.removal_order`); with ``per_position`` each edge at the last position first. With
d(R) the mean distance of the model without the edges R to the full model, an edge e is removed iff
d(R + e) - d(R) < tau; R then grows.

The decision on each edge depends on those before it, so the definition runs one circuit an edge. Here K edges are
decided at once: guess each decision, run the K cumulative sets that the guesses imply as one batch, and accept up to
and including the first wrong guess. Every accepted decision compares the very sets that the definition compares, so the
kept edges are the same (up to a distance within rounding of tau). K makes the expected cost of a decision least: with
e_k the chance that guess k is wrong, (BATCH + K) / sum_{j<=K} prod_{k<j} (1 - e_k). An edge into an input that no
longer reaches the logits changes nothing, exactly: it is removed without a run.

A model of a hundred million parameters has 1e5 edges and more. With ``within`` only the edges of another method's
circuit are visited, and R starts as all others, with their distance (Syed et al. 2023, "EAP then ACDC", section 4,
https://arxiv.org/abs/2310.10348).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.checks import check_runner
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.method import Discovery, DiscoveryMethod, MetricSetting, Progress, common_length
from toulmin.circuits.discovery.methods import MethodSetting
from toulmin.circuits.edges import parse_edges, removal_order
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks import find_metric

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner
    from toulmin.patching import Graph

#: an edge by (source, receiver), or by (source, receiver, position)
Place = tuple[int, ...]
#: what a batch costs beside its circuits, in circuits
BATCH = 3
#: no guess is surer than this, nor less sure than a coin
SUREST = 0.02


@dataclass(frozen=True)
class Removal:
    """What ACDC did: the circuit kept, its distance to the full model, and how many circuits were run for it.

    ``circuits_run`` against ``edges``, the number the sequential definition would run. ``changes`` is d(R + e) - d(R)
    for each edge in the order visited, 0 where none was measured.
    """

    circuit: Circuit
    distance: float
    changes: NDArray[np.float64]
    circuits_run: int
    batches_run: int
    edges: int


class Acdc(DiscoveryMethod):
    """ACDC: the edges whose removal, in turn, changes the metric by ``tau`` or more. It scores no edges."""

    title: ClassVar[str] = "ACDC"
    scored: ClassVar[bool] = False

    name: Literal["acdc"] = "acdc"
    tau: float = Field(default=0.01, gt=0, allow_inf_nan=False)  #: threshold, in the metric's unit
    metric: MetricSetting = "kl"  #: the distance; of a metric that is no distance, its absolute mean change
    ablation: Ablation = "resample"  #: what a removed edge carries
    per_position: bool = False  #: decide on each edge at each token position
    order: tuple[str, ...] | None = None  #: edge names in the order to visit; default the documented one
    within: MethodSetting | None = None  #: prune the circuit of this method; default the whole model
    speculate: int = Field(default=64, ge=1)  #: the most circuits to run at once; 1 runs the sequential definition

    def discover(self, runner: CircuitRunner, progress: Progress | None = None) -> Discovery:
        """The circuit of the kept edges.

        :raises FaultError: see :meth:`remove`.
        """
        return Discovery(self.remove(runner, progress).circuit, None, self.label)

    def steps_on(self, runner: CircuitRunner) -> int:
        """One an edge (and position), after those of ``within``."""
        return len(self._visited(runner)) + (0 if self.within is None else self.within.steps_on(runner))

    def passes(self, runner: CircuitRunner) -> float:
        """About a third of a pass for each decision, as what comes before the edge is at hand."""
        return 0.3 * len(self._visited(runner)) * runner.n + (0 if self.within is None else self.within.passes(runner))

    def with_seed(self, seed: int) -> Self:
        """The same method, its ``within`` with this seed if that draws at random and none was set."""
        return self if self.within is None else self.model_copy(update={"within": self.within.with_seed(seed)})

    @property
    def label(self) -> str:
        """The title with the settings that decide what the method computes."""
        own = super().label
        if self.within is None:
            return own
        size = getattr(self.within, "size", None)
        return f"{own} within {'the circuit' if size is None else f'{size} edges'} of {self.within.label}"

    def remove(self, runner: CircuitRunner, progress: Progress | None = None) -> Removal:
        """Remove edges, and say how.

        :raises FaultError: an order that does not name every edge once; prompts of several lengths with
            ``per_position``; NaN.
        """
        check_runner(runner)
        found = find_metric(self.metric)
        full = runner.full_scores([found])[found.name].mean()
        method = Methodology(ablation=self.ablation)

        def distance(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
            total = np.zeros(len(masks))
            for index, batch in enumerate(runner.batches):
                logits = runner.run_masks(index, masks, method)
                total += found(logits, batch, runner.full(index)).double().sum(1).cpu().numpy()
            mean = total / runner.n
            return mean if found.distance else np.abs(mean - full)

        search = _Search(runner, self._visited(runner), self.per_position)
        if self.within is not None:
            search.start_from(self._start(runner, progress))
            search.distance = float(distance(search.removed[None])[0])
            if progress is not None:
                progress(len(search.edges) - len(search.waiting))
        while search.waiting:
            before = len(search.waiting)
            if self.speculate > 1:
                search.remove_idle()
            ahead, guessed, masks = search.guess(self.speculate)
            if ahead:
                search.decide(ahead, guessed, distance(masks), self.tau)
            if progress is not None:
                progress(before - len(search.waiting))
        kept = Circuit(runner.graph, search.allowed & ~search.removed)
        return Removal(kept, search.distance, search.changes, search.run, search.batches, len(search.edges))

    def _start(self, runner: CircuitRunner, progress: Progress | None) -> Circuit:
        assert self.within is not None
        circuit = self.within.discover(runner, progress).circuit
        if circuit.positions is not None and not self.per_position:
            text = "the circuit to prune has edges at positions, and this method visits edges at all of them"
            raise FaultError(Fault("circuits.positions", text, name="within", hint="per_position = true"))
        return circuit.at_positions(common_length(runner, self)) if self.per_position else circuit

    def _visited(self, runner: CircuitRunner) -> list[Place]:
        graph = runner.graph
        edges = removal_order(graph) if self.order is None else parse_edges(graph, self.order)
        if len(set(edges)) != graph.n_edges or len(edges) != graph.n_edges:
            raise FaultError(Fault("circuits.order", f"the order names {len(set(edges))} of {graph.n_edges} edges"))
        if not self.per_position:
            return [*edges]
        positions = range(common_length(runner, self))
        return [(*edge, position) for edge in edges for position in reversed(positions)]


class _Search:
    """The state of ACDC: which edges are removed, which still wait, and the distance so far."""

    def __init__(self, runner: CircuitRunner, edges: Sequence[Place], per_position: bool) -> None:
        graph = runner.graph
        self.edges, self.waiting = edges, list(range(len(edges)))
        self.allowed = graph.allowed
        self._scored: list[int] | None = None
        if per_position:
            self.allowed = np.repeat(graph.allowed[:, :, None], runner.lengths[0], axis=2)
            self._scored = sorted({int(at) for batch in runner.batches for at in batch.at})
        self.removed = np.zeros(self.allowed.shape, dtype=bool)
        self.changes = np.zeros(len(edges))
        self.distance, self.run, self.batches = 0.0, 0, 0
        self._graph, self._causal, self._guesses = graph, runner.model.config.causal, _Guesses(graph)

    def start_from(self, circuit: Circuit) -> None:
        """Remove all edges outside of ``circuit`` without a decision on them."""
        self.removed = self.allowed & ~circuit.table
        self.waiting = [place for place in self.waiting if not self.removed[self.edges[place]]]

    def remove_idle(self) -> None:
        """Remove, without a run, the waiting edges into inputs that no longer reach the logits."""
        circuit = Circuit(self._graph, self.allowed & ~self.removed)
        useful = circuit.useful_receivers(causal=self._causal, scored=self._scored)
        still: list[int] = []
        for place in self.waiting:
            if useful[self.edges[place][1:]]:
                still.append(place)
            else:
                self.removed[self.edges[place]] = True
        self.waiting = still

    def guess(self, most: int) -> tuple[list[Place], list[bool], NDArray[np.bool_]]:
        """The next edges, a guess whether each is removed, and for each the mask in which its trial is run."""
        ahead = [self.edges[place] for place in self.waiting[:most]]
        chances = [self._guesses.removal(edge) for edge in ahead]
        count = _batch_size(chances)
        ahead, guessed = ahead[:count], [chance >= 0.5 for chance in chances[:count]]
        masks = np.repeat(self.removed[None], len(ahead), 0)
        for row, edge in enumerate(ahead):
            masks[(row, *edge)] = True
            if guessed[row]:
                masks[(slice(row + 1, None), *edge)] = True
        return ahead, guessed, masks

    def decide(self, ahead: Sequence[Place], guessed: Sequence[bool], found: NDArray[np.float64], tau: float) -> None:
        """Decide on the edges of a batch, up to and including the first wrong guess."""
        self.run, self.batches = self.run + len(ahead), self.batches + 1
        if not np.isfinite(found).all():
            edge = ahead[int(np.nonzero(~np.isfinite(found))[0][0])]
            name = f"{self._graph.sources[edge[0]]}->{self._graph.receivers[edge[1]]}"
            fault = Fault("circuits.nan", "the distance is NaN or infinite where this edge is removed", name=name)
            raise FaultError(fault, ExitCode.NUMERICAL)
        accepted = 0
        for row, edge in enumerate(ahead):
            change = float(found[row]) - self.distance
            self.changes[self.waiting[row]] = change
            remove = change < tau
            if remove:
                self.removed[edge] = True
                self.distance = float(found[row])
            self._guesses.learn(edge, remove)
            accepted += 1
            if remove != guessed[row]:
                break
        self.waiting = self.waiting[accepted:]


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

    def removal(self, edge: Place) -> float:
        known = [self._rates[key] for key in self._keys(edge) if key in self._rates]
        return sum(known) / len(known) if known else 0.5

    def learn(self, edge: Place, removed: bool) -> None:
        for key in self._keys(edge):
            self._rates[key] = 0.7 * self._rates.get(key, float(removed)) + 0.3 * removed

    def _keys(self, edge: Place) -> tuple[tuple[str, str], ...]:
        into = self._inputs[edge[1]]
        return (self._kinds[edge[0]], into), (self._sources[edge[0]], into), ("", "")
