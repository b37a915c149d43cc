"""Issue 13, section 4 (c): the study of stability, against the functions and by hand."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toulmin.circuits import CircuitRunner, discover
from toulmin.circuits.studies.stability import CircuitStability
from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.studies import Run, execute, re_derive, reproduce
from toulmin.subjects import load
from toulmin.tasks import find_task

TINY: dict[str, Any] = dict(CircuitStability.presets["tiny"])


def test_the_record_is_derived_and_reproduced(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    evidence = execute(CircuitStability(**TINY), store, Run(tmp_path / "work"))
    assert re_derive(evidence, store) == []
    assert reproduce(evidence, store, Run(tmp_path / "again")) == []


def test_every_draw_is_a_discovery_on_resampled_prompts(tmp_path: Path) -> None:
    """The draws repeated with the plain functions: sizes, frequencies, Jaccard, and the two groups of the figure."""
    study = CircuitStability(**TINY)
    items = study.collect(Run(tmp_path))
    subject: Any = load("embedded:induction-2l")
    pairs = find_task("induction", subject).generate(8, 0)
    picks = np.random.default_rng(0).integers(0, 8, (4, 8))
    found = [discover(CircuitRunner(subject.model, [pairs[i] for i in pick]), "eap", size=40).circuit for pick in picks]
    sets = [set(circuit) for circuit in found]
    jaccard = [len(a & b) / len(a | b) for a, b in combinations(sets, 2)]
    summary = study.summarise(items)
    assert items["edges"].tolist() == [40.0] * 4
    assert summary.measures["jaccard"].value == pytest.approx(np.mean(jaccard))
    assert summary.measures["least_jaccard"].value == pytest.approx(min(jaccard))
    core, union = set.intersection(*sets), set.union(*sets)
    assert summary.measures["core"].value == len(core)
    assert summary.measures["contingent"].value == len(union - core)
    assert summary.measures["core_share"].value == pytest.approx(len(core) / 40)
    groups = {edge.facts["edge"]: edge.group for edge in summary.figures[0].edges}  # type: ignore[union-attr]
    assert groups == {edge: "core" if edge in core else "contingent" for edge in union}


def test_sizes_give_nested_circuits(tmp_path: Path) -> None:
    study = CircuitStability(**TINY, over="sizes", factors=(0.5, 1.0, 2.0))
    found = study.compared(study.collect(Run(tmp_path)))
    assert found.sizes == (20, 40, 80)
    assert found.jaccard[0].tolist() == [1.0, 0.5, 0.25]


def test_seeds_change_what_draws_at_random_alone(tmp_path: Path) -> None:
    study = CircuitStability(**{**TINY, "method": {"name": "random", "size": 40}}, over="seeds")
    found = study.compared(study.collect(Run(tmp_path)))
    assert found.mean_jaccard < 0.3
    with pytest.raises(FaultError, match="draws nothing at random"):
        CircuitStability(**TINY, over="seeds").collect(Run(tmp_path))
    with pytest.raises(FaultError, match="ten templates"):
        CircuitStability(**TINY, over="templates").collect(Run(tmp_path))
