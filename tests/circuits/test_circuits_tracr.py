"""Compiled programs with known edges (tracr): exact effects, complement ablation, and what ACDC finds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.acdc import Acdc
from toulmin.circuits.discovery.exact_effects import effects_per_prompt, exact_effects
from toulmin.circuits.faithfulness.curves import roc
from toulmin.circuits.formats import from_autocircuit_name
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.subjects import load_tracr
from toulmin.tasks.pair import Pair

PROGRAMS = ["reverse", "frac_prevs_x", "hist"]
ABLATIONS: list[Ablation] = ["zero", "resample"]


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


def edge_set(runner: CircuitRunner, names: list[str]) -> Circuit:
    return Circuit.of(runner.graph, [from_autocircuit_name(name) for name in names])


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_exact_effects_are_the_recorded_ones(shared: Path, name: str, ablation: Ablation) -> None:
    """The largest logit change of each single edge, and AUROC 1.0 for the edges that change a decoded output."""
    runner, case = program(shared, name)
    names = list(case["single_edge_effects"])
    places = [runner.graph.edges[runner.graph.edge_index(from_autocircuit_name(n))] for n in names]
    pairs = [(edge.source, edge.receiver) for edge in places]
    largest = effects_per_prompt(runner, "max_change", pairs, ablation).max(1)
    recorded = [case["single_edge_effects"][n][ablation][0] for n in names]
    np.testing.assert_allclose(largest, recorded, atol=1e-6)
    necessary = edge_set(runner, case[f"edges_necessary_{ablation}"])
    assert roc(exact_effects(runner, "max_change", ablation=ablation), necessary).auroc == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("ablation", ABLATIONS)
def test_ablating_the_complement_of_the_static_edges_changes_nothing(
    shared: Path, name: str, ablation: Ablation
) -> None:
    runner, case = program(shared, name)
    static = edge_set(runner, case["edges_static"])
    change = runner.scores([static, Circuit.empty(runner.graph)], Methodology(ablation=ablation), ["max_change"])[
        "max_change"
    ]
    assert change[0].max() < 1e-9
    assert change[1].max() > 0.1


@pytest.mark.parametrize("name", PROGRAMS)
def test_acdc_against_the_recorded_sets(shared: Path, name: str) -> None:
    """ACDC keeps no edge outside the static ones, and what it keeps suffices."""
    runner, case = program(shared, name)
    static = edge_set(runner, case["edges_static"])
    for ablation in ABLATIONS:
        found = Acdc(tau=1e-3, metric="max_change", ablation=ablation).remove(runner)
        assert found.circuit <= static
        assert edge_set(runner, case[f"edges_necessary_{ablation}"]) <= static
        assert (
            runner.scores([found.circuit], Methodology(ablation=ablation), ["max_change"])["max_change"].mean() < 0.05
        )
