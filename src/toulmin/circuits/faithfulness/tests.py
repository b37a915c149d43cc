"""The hypothesis tests of Shi et al. 2024 on a model: run what they need, test, and show the outcome.

:func:`hypothesis_tests` does all of it. :func:`collect_test_data` runs the model and :func:`evaluate_tests` tests its
numbers, so that stored numbers can be tested again. What each test says is in
:mod:`toulmin.circuits.faithfulness.statistics`. Prompts that share a unit are averaged first: the tests count
independent units.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.checks import check_runner
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edges import edge_name
from toulmin.circuits.faithfulness.statistics import (
    TestResult,
    TestSettings,
    adjust,
    equivalence,
    independence,
    minimality,
    partial_necessity,
    sufficiency,
)
from toulmin.circuits.methodology import Methodology
from toulmin.evidence import Chart, Table, TabularResult
from toulmin.tasks import MetricLike, find_metric

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TestData:
    """The numbers the tests need, all from one set of prompts.

    ``full``, ``circuit``, ``complement``: the metric of each prompt for the model, the circuit, and the model without
    the circuit, ``[N]``, with the ``units`` of the prompts. ``effects``: |change| of the mean metric when each edge
    leaves the circuit, in the circuit's order; ``added``: the same for random edges that were added first.
    ``distance``, ``random_distances``: KL to the model of the circuit and of random circuits of its size;
    ``knocked_out``, ``random_knocked_out``: KL without the circuit, and without as many random edges.
    """

    __test__ = False  # not a pytest class

    edges: tuple[str, ...]
    units: tuple[str, ...]
    full: Array
    circuit: Array
    complement: Array
    effects: Array
    added: Array
    distance: float
    random_distances: Array
    knocked_out: float
    random_knocked_out: Array


@dataclass(frozen=True)
class HypothesisTests(TabularResult):
    """The outcome of the four single tests, and of minimality for each edge (p-values adjusted for many tests)."""

    equivalence: TestResult
    independence: TestResult
    sufficiency: TestResult
    partial_necessity: TestResult
    edge_p_values: Array
    data: TestData
    settings: TestSettings

    @property
    def results(self) -> tuple[TestResult, ...]:
        """The four single tests."""
        return (self.equivalence, self.independence, self.sufficiency, self.partial_necessity)

    @property
    def passed(self) -> int:
        """How many of the four single tests speak for the circuit."""
        return sum(test.passes for test in self.results)

    @property
    def minimal_edges(self) -> tuple[str, ...]:
        """The edges that matter more than random additions, after correction."""
        pairs = zip(self.data.edges, self.edge_p_values, strict=True)
        return tuple(name for name, p in pairs if p <= self.settings.alpha)

    def overview(self) -> tuple[Table, ...]:
        """The single tests, and how many edges are minimal."""
        return (self.table_of_tests(),)

    def tables(self) -> tuple[Table, ...]:
        """The single tests, and minimality edge by edge."""
        return (self.table_of_tests(), self.table_of_edges())

    def figures(self) -> tuple[Chart, ...]:
        """The distances of random circuits and of random knock-outs."""
        data = self.data
        said = f"The circuit is {data.distance:.3g} nats from the model; without it, {data.knocked_out:.3g}."
        groups = {
            "random circuits of its size": data.random_distances,
            "random knock-outs of its size": data.random_knocked_out,
        }
        title = "Distance to the model of random circuits"
        return (Chart.histogram(groups, title=title, unit="nats", threshold=data.distance, caption=said, alt=said),)

    def table_of_tests(self) -> Table:
        """One row a test: null hypothesis, statistic, p, the smallest p it could have given, and the outcome."""
        rows = tuple(
            (t.name, t.null, t.statistic, t.p_value, t.smallest_p, "rejected" if t.rejected else "not rejected",
             t.rejecting_is, "yes" if t.passes else "no")
            for t in self.results
        )  # fmt: skip
        alpha, edges, minimal = self.settings.alpha, len(self.data.edges), len(self.minimal_edges)
        return Table(
            title="hypothesis tests of the circuit",
            columns=(
                "test", "null hypothesis", "statistic", "p", "smallest p", f"at alpha {alpha:g}", "rejecting is",
                "passes",
            ),
            rows=rows,
            caption=f"Minimality ({self.settings.correction}, alpha {alpha:g}, {len(self.data.added)} random "
            f"additions): {minimal} of {edges} edges matter more than random additions.",
        )  # fmt: skip

    def table_of_edges(self) -> Table:
        """One row an edge: its effect in the circuit, and its adjusted p-value."""
        found = zip(self.data.edges, self.data.effects, self.edge_p_values, strict=True)
        return Table(
            title="minimality of each edge",
            columns=("edge", "|change of the metric| without it", f"p, {self.settings.correction}"),
            rows=tuple((name, float(effect), float(p)) for name, effect, p in found),
        )


def hypothesis_tests(
    runner: CircuitRunner,
    circuit: Circuit,
    settings: TestSettings | None = None,
    *,
    metric: MetricLike = "logit_diff",
    method: Methodology | None = None,
    seed: int = 0,
) -> HypothesisTests:
    """Test whether ``circuit`` is equivalent, independent of its complement, minimal, sufficient and necessary.

    :raises FaultError: a test that could not reject at these settings, with what it needs.
    """
    check_runner(runner)
    settings = settings or TestSettings()
    return evaluate_tests(
        collect_test_data(runner, circuit, settings, metric=metric, method=method, seed=seed), settings
    )


def evaluate_tests(data: TestData, settings: TestSettings | None = None) -> HypothesisTests:
    """The tests of numbers that :func:`collect_test_data` gave.

    :raises FaultError: a test that could not reject at these settings.
    """
    settings = settings or TestSettings()
    alpha, share = settings.alpha, settings.share
    full, circuit, complement = (_by_unit(column, data.units) for column in (data.full, data.circuit, data.complement))
    rng = np.random.default_rng(0)
    return HypothesisTests(
        equivalence=equivalence(circuit, full, epsilon=settings.epsilon, alpha=alpha),
        independence=independence(complement, full, rng, permutations=settings.permutations, alpha=alpha),
        sufficiency=sufficiency(data.distance, data.random_distances, share=share, alpha=alpha),
        partial_necessity=partial_necessity(data.knocked_out, data.random_knocked_out, share=share, alpha=alpha),
        edge_p_values=adjust(minimality(data.effects, data.added), settings.correction),
        data=data,
        settings=settings,
    )


def _by_unit(column: Array, units: Sequence[str]) -> Array:
    """The mean of each unit's prompts, in the order in which units first appear."""
    places = {unit: place for place, unit in enumerate(dict.fromkeys(units))}
    index = np.array([places[unit] for unit in units])
    return np.bincount(index, weights=column) / np.bincount(index)


def collect_test_data(
    runner: CircuitRunner,
    circuit: Circuit,
    settings: TestSettings | None = None,
    *,
    metric: MetricLike = "logit_diff",
    method: Methodology | None = None,
    together: int = 16,
    seed: int = 0,
) -> TestData:
    """Run the circuit, its complement, each edge left out, and random circuits, additions and knock-outs.

    A circuit whose edges have token positions is tested edge by edge at each position.

    :param together: circuits to run at once.
    :raises FaultError: settings under which a test could not reject: before anything runs.
    """
    check_runner(runner)
    settings, method, rng = settings or TestSettings(), method or Methodology(), np.random.default_rng(seed)
    found, whole = find_metric(metric), Circuit.full(circuit.graph, circuit.positions)
    outside, size = ~circuit, len(circuit)
    settings.check(units=len(set(runner.units)), edges=size, outside=len(outside))

    def run(circuits: list[Circuit]) -> tuple[Array, Array]:
        """The metric and the KL to the model of each circuit and prompt, ``[C, N]`` each."""
        scores = runner.scores(circuits, method, [found, "kl"], together=together)
        return scores[found.name], scores["kl"]

    main, distances = run([circuit, outside])
    edges, additions = _places(circuit), rng.permutation(_places(outside))[: settings.additions]
    without, _ = run([circuit - _single(circuit, place) for place in edges])
    # a random edge leaves the circuit that was enlarged by it: the change is the circuit against the enlarged one
    enlarged, _ = run([circuit | _single(circuit, place) for place in additions])
    _, random_distances = run([random_part(whole, size, rng) for _ in range(settings.randoms)])
    _, knocked = run([whole - random_knockout(circuit, rng) for _ in range(settings.randoms)])
    return TestData(
        edges=edge_labels(circuit),
        units=runner.units,
        full=runner.full_scores([found])[found.name],
        circuit=main[0],
        complement=main[1],
        effects=np.abs(without.mean(1) - main[0].mean()),
        added=np.abs(enlarged.mean(1) - main[0].mean()),
        distance=float(distances[0].mean()),
        random_distances=random_distances.mean(1),
        knocked_out=float(distances[1].mean()),
        random_knocked_out=knocked.mean(1),
    )


def random_knockout(circuit: Circuit, rng: np.random.Generator) -> Circuit:
    """As many random edges as ``circuit`` has, from outside of it.

    Where fewer lie outside (a circuit of more than half of all edges), all of them and random edges of the circuit:
    a smaller knock-out would be milder because it is smaller.
    """
    outside, size = ~circuit, len(circuit)
    if len(outside) >= size:
        return random_part(outside, size, rng)
    return outside | random_part(circuit, size - len(outside), rng)


def random_part(circuit: Circuit, size: int, rng: np.random.Generator) -> Circuit:
    """``size`` of the circuit's edges (at their positions), drawn without replacement."""
    places = np.argwhere(circuit.table)
    table = np.zeros(circuit.table.shape, dtype=bool)
    table[tuple(places[rng.choice(len(places), size=size, replace=False)].T)] = True
    return Circuit(circuit.graph, table)


def _places(circuit: Circuit) -> NDArray[np.intp]:
    """(source, receiver) or (source, receiver, position) of each edge, by receiver and then source."""
    found = np.argwhere(circuit.table.swapaxes(0, 1))
    return np.asarray(found[:, [1, 0, *range(2, found.shape[1])]])


def _single(circuit: Circuit, place: NDArray[np.intp]) -> Circuit:
    """The edge at ``place`` as a circuit of its own, with positions where ``circuit`` has them."""
    table = np.zeros(circuit.table.shape, dtype=bool)
    table[tuple(place)] = True
    return Circuit(circuit.graph, table)


def edge_labels(circuit: Circuit) -> tuple[str, ...]:
    """The circuit's edges by name, ``embed->logits``, or ``embed->logits@3`` for an edge at a position."""
    return tuple(
        edge_name(circuit.graph, int(source), int(receiver)) + "".join(f"@{position}" for position in at)
        for source, receiver, *at in _places(circuit)
    )
