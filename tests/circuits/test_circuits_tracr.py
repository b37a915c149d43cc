"""Compiled programs with known edges (tracr): exact effects, complement ablation, and what ACDC finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.acdc import acdc
from toulmin.circuits.discovery.exact_effects import effects_per_prompt, exact_effects
from toulmin.circuits.faithfulness.curves import roc
from toulmin.circuits.faithfulness.methodology import Methodology, Value
from toulmin.circuits.formats import from_autocircuit_name
from toulmin.circuits.runner import CircuitRunner
from toulmin.subjects import load_tracr
from toulmin.tasks.pair import Pair

PROGRAMS = ["reverse", "frac_prevs_x", "hist"]
VALUES: list[Value] = ["zero", "resample"]


def program(shared: Path, name: str) -> tuple[CircuitRunner, dict[str, Any]]:
    """Every input at every position but BOS; the counterfactual is the input before."""
    folder = shared / "data/tracr"
    case, tokens = json.loads((folder / f"{name}.json").read_text()), np.load(folder / f"{name}.npz")["tokens"]
    model = load_tracr(folder / f"{name}.npz").double()
    others = np.roll(tokens, 1, axis=0)
    pairs = [
        Pair(tuple(clean), tuple(other), (0,), unit=f"{row}", at=at)
        for row, (clean, other) in enumerate(zip(tokens, others, strict=True))
        for at in range(1, tokens.shape[1])
    ]
    return CircuitRunner(model, pairs, batch=320), case


def edge_set(bench: CircuitRunner, names: list[str]) -> Circuit:
    return Circuit.of(bench.graph, [from_autocircuit_name(name) for name in names])


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("value", VALUES)
def test_exact_effects_are_the_recorded_ones(shared: Path, name: str, value: Value) -> None:
    """The largest logit change of each single edge, and AUROC 1.0 for the edges that change a decoded output."""
    bench, case = program(shared, name)
    names = list(case["single_edge_effects"])
    places = [bench.graph.edges[bench.graph.edge_index(from_autocircuit_name(n))] for n in names]
    pairs = [(edge.source, edge.receiver) for edge in places]
    largest = effects_per_prompt(bench, "max_change", pairs, value).max(1)
    recorded = [case["single_edge_effects"][n][value][0] for n in names]
    np.testing.assert_allclose(largest, recorded, atol=1e-6)
    necessary = edge_set(bench, case[f"edges_necessary_{value}"])
    assert roc(exact_effects(bench, "max_change", value=value), necessary).auroc == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("value", VALUES)
def test_ablating_the_complement_of_the_static_edges_changes_nothing(shared: Path, name: str, value: Value) -> None:
    bench, case = program(shared, name)
    static = edge_set(bench, case["edges_static"])
    change = bench.scores([static, Circuit.empty(bench.graph)], Methodology(value=value), ["max_change"])["max_change"]
    assert change[0].max() < 1e-9
    assert change[1].max() > 0.1


@pytest.mark.parametrize("name", PROGRAMS)
def test_acdc_against_the_recorded_sets(shared: Path, name: str) -> None:
    """ACDC keeps no edge outside the static ones, and what it keeps suffices."""
    bench, case = program(shared, name)
    static = edge_set(bench, case["edges_static"])
    for value in VALUES:
        found = acdc(bench, 1e-3, metric="max_change", value=value)
        assert found.circuit <= static
        assert edge_set(bench, case[f"edges_necessary_{value}"]) <= static
        assert bench.scores([found.circuit], Methodology(value=value), ["max_change"])["max_change"].mean() < 0.05
