"""The studies of circuits: evidence that re-derives, resumes and says every number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from toulmin.circuits import Circuit
from toulmin.evidence import Heatmap, Store
from toulmin.faults import FaultError
from toulmin.patching import Graph
from toulmin.studies import Run, execute, find_study, re_derive

KINDS = ["circuits.discover", "circuits.card", "circuits.tests"]


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_gives_evidence_that_re_derives(kind: str, tmp_path: Path) -> None:
    study, store = find_study(kind).preset("tiny"), Store(tmp_path / "store")
    evidence = execute(study, store, Run(tmp_path / "work"))
    assert re_derive(evidence, store) == []
    assert set(evidence.measures) == set(study.measure_specs())
    assert any(artefact.name == "circuit.json" for artefact in evidence.artefacts)
    assert (store.artefact(evidence.id, "circuit.json")).is_file()
    if kind != "circuits.tests":
        heatmap = next(figure for figure in evidence.figures if isinstance(figure, Heatmap))
        assert len(heatmap.y_labels) > 10
        assert evidence.measures["lowest"].value <= evidence.measures["recovered"].value
        assert evidence.measures["recovered"].value <= evidence.measures["highest"].value


def test_the_circuit_of_one_study_is_the_input_of_another(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    found = execute(find_study("circuits.discover").preset("tiny"), store, Run(tmp_path / "work"))
    from toulmin.studies.references import Resolver

    card = find_study("circuits.card").model_validate(
        {
            "subject": "embedded:induction-2l", "task": "induction", "n": 8, "n_discover": 4, "resamples": 100,
            "metrics": ["logit_diff", "kl"], "circuit": f"evidence:{found.id}/circuit.json",
        }
    )  # fmt: skip
    again = execute(card.at(Resolver(store=store)), store, Run(tmp_path / "work2"))
    assert again.measures["edges"].value == found.measures["edges"].value
    assert again.measures["recovered"].value == pytest.approx(found.measures["recovered"].value, rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_configurations_are_strict(kind: str) -> None:
    study = find_study(kind)
    for bad in (
        {"subject": "embedded:induction-2l"},
        {"subject": "embedded:induction-2l", "task": "induction", "pairs": "file:x"},
        {"subject": "embedded:induction-2l", "task": "induction", "method": "magic"},
        {"subject": "embedded:induction-2l", "task": "induction", "colour": 1},
    ):
        with pytest.raises(ValueError, match=r".+"):
            study.model_validate(bad)


def test_an_unreadable_circuit_is_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "circuit.json"
    base = {"subject": "embedded:induction-2l", "task": "induction", "n": 8, "circuit": f"file:{file}"}
    for text, message in (
        ("{", "not JSON"),
        ("[]", "JSON object"),
        ('{"format": "x"}', "not a circuit"),
        ('{"format": "toulmin.circuit/1", "graph": {"n_layers": 1, "n_heads": 1}, "edges": []}', "not a graph"),
        (json.dumps(Circuit.empty(Graph.transformer(1, 1)).to_json()), "another model"),
    ):
        file.write_text(text)
        with pytest.raises(FaultError, match=message):
            find_study("circuits.card").model_validate(base).collect(Run(tmp_path))


def test_study_modules_need_no_torch() -> None:
    modules = "toulmin.circuits.studies.discover, toulmin.circuits.studies.card, toulmin.circuits.studies.tests"
    code = f"import sys, {modules}; print(sorted({{'torch', 'numba', 'scipy.stats'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
