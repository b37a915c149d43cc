"""Runs the model for the hypothesis tests of :mod:`toulmin.circuits.faithfulness.hypothesis_tests` (Shi et al.
2024)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.methodology import Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.tasks import Metric, find_metric

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TestData:
    """The numbers the tests need, all from one set of prompts.

    ``full``, ``circuit``, ``complement``: the task metric of each prompt, ``[N]``. ``effects``: |change| of the mean
    metric when each edge leaves the circuit, in the circuit's order; ``added``: the same for random edges that were
    added first. ``distance``, ``random_distances``: KL to the model of the circuit and of random circuits of its
    size; ``knocked_out``, ``random_knocked_out``: KL without the circuit and without as many random edges from
    outside.
    """

    edges: tuple[str, ...]
    full: Array
    circuit: Array
    complement: Array
    effects: Array
    added: Array
    distance: float
    random_distances: Array
    knocked_out: float
    random_knocked_out: Array


TestData.__test__ = False  # type: ignore[attr-defined]  # not a pytest class


def collect_test_data(
    runner: CircuitRunner,
    circuit: Circuit,
    *,
    metric: str | Metric = "logit_diff",
    method: Methodology | None = None,
    randoms: int = 100,
    together: int = 16,
    seed: int = 0,
) -> TestData:
    """Run everything: the circuit, its complement, each edge left out, random circuits and random additions."""
    found, method, rng = find_metric(metric), method or Methodology(), np.random.default_rng(seed)
    circuit, graph = circuit.without_positions(), runner.graph
    names, outside = list(circuit), ~circuit
    singles = [Circuit.of(graph, [name]) for name in names]
    additions = _draws(outside, 1, randoms, rng)
    size = len(circuit)
    ran: dict[str, list[Circuit]] = {
        "main": [circuit, outside],
        "without": [circuit - one for one in singles],
        # a random edge leaves the circuit that was enlarged by it: the change is the circuit against the enlarged one
        "enlarged": [circuit | one for one in additions],
        "random": [Circuit.random(graph, size, rng) for _ in range(randoms)],
        "knocked": [~draw for draw in _draws(outside, min(size, len(outside)), randoms, rng)],
    }
    scores = {key: _scores(runner, circuits, method, found, together) for key, circuits in ran.items()}
    whole = scores["main"][0][0].mean()
    return TestData(
        edges=tuple(names),
        full=runner.full_scores([found])[found.name],
        circuit=scores["main"][0][0],
        complement=scores["main"][0][1],
        effects=np.abs(scores["without"][0].mean(1) - whole),
        added=np.abs(scores["enlarged"][0].mean(1) - whole),
        distance=float(scores["main"][1][0].mean()),
        random_distances=scores["random"][1].mean(1),
        knocked_out=float(scores["main"][1][1].mean()),
        random_knocked_out=scores["knocked"][1].mean(1),
    )


def _scores(
    runner: CircuitRunner, circuits: list[Circuit], method: Methodology, metric: Metric, together: int
) -> tuple[Array, Array]:
    """The task metric and the KL to the model of each circuit and prompt, ``[C, N]`` each."""
    names = [metric, find_metric("kl")]
    if not circuits:
        return np.zeros((0, runner.n)), np.zeros((0, runner.n))
    parts = [runner.scores(circuits[at : at + together], method, names) for at in range(0, len(circuits), together)]
    return np.concatenate([p[metric.name] for p in parts]), np.concatenate([p["kl"] for p in parts])


def _draws(circuit: Circuit, size: int, count: int, rng: np.random.Generator) -> list[Circuit]:
    """``count`` random subsets of ``size`` edges of the circuit."""
    places = np.argwhere(circuit.table)
    found: list[Circuit] = []
    for _ in range(count if len(places) >= max(1, size) else 0):
        table = np.zeros(circuit.table.shape, dtype=bool)
        chosen = places[rng.choice(len(places), size=size, replace=False)]
        table[tuple(chosen.T)] = True
        found.append(Circuit(circuit.graph, table))
    return found
