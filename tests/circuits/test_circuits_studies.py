"""The studies of circuits: evidence that re-derives, resumes and says every number."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from toulmin.circuits import Circuit, CircuitRunner, Discovery, Eap, Methodology
from toulmin.circuits.discovery import exact_effects
from toulmin.circuits.studies.base import discovery_of, items_of
from toulmin.evidence import Heatmap, Store
from toulmin.faults import FaultError
from toulmin.patching import Graph
from toulmin.studies import Run, execute, find_study, re_derive
from toulmin.tasks import Pair

KINDS = ["circuits.discover", "circuits.card", "circuits.tests"]


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_gives_evidence_that_re_derives(kind: str, tmp_path: Path) -> None:
    study, store = find_study(kind).preset("tiny"), Store(tmp_path / "store")
    evidence = execute(study, store, Run(tmp_path / "work"))
    assert re_derive(evidence, store) == []
    assert set(evidence.measures) == set(study.measure_specs())
    stored = json.loads(store.artefact(evidence.id, "circuit.json").read_text())
    found = discovery_of(store.items(evidence))
    assert Circuit.from_json(stored) == found.circuit
    assert found.scores is not None
    assert found.scores.top(len(found.circuit)) == found.circuit
    if kind != "circuits.tests":
        heatmap = next(figure for figure in evidence.figures if isinstance(figure, Heatmap))
        assert len(heatmap.y_labels) == 23  # methodologies


def test_the_numbers_of_a_study_are_those_of_its_prompts(tmp_path: Path) -> None:
    """Recovered, KL, the curve and the agreement, from the stored circuit, scores and the same prompts."""
    study: Any = find_study("circuits.discover").preset("tiny")
    store, run = Store(tmp_path / "store"), Run(tmp_path / "work", seed=2)
    evidence = execute(study, store, run)
    items, prompts = store.items(evidence), study.load(run)
    found = discovery_of(items)
    assert found.scores is not None
    discovering, measuring = (
        CircuitRunner(prompts.model, pairs) for pairs in prompts.disjoint_pairs((study.n_discover, study.n), 2)
    )
    assert set(discovering.units).isdisjoint(measuring.units)
    np.testing.assert_allclose(found.scores.values, Eap().scores(discovering).values, atol=1e-5)
    empty, whole = Circuit.empty(measuring.graph), Circuit.full(measuring.graph)
    sizes = items["sizes"].tolist()
    circuits = [found.circuit, empty, whole, *found.scores.sweep(sizes)]
    scores = measuring.scores(circuits, Methodology(), ["logit_diff", "kl"])
    c, e, f, *sweep = scores["logit_diff"].mean(1)
    assert evidence.measures["recovered"].value == pytest.approx(100 * (c - e) / (f - e), rel=1e-4)
    assert evidence.measures["kl"].value == pytest.approx(scores["kl"][0].mean(), rel=1e-4)
    share, curve = np.array(sizes) / sizes[-1], (np.array(sweep) - e) / (f - e)
    area = float(((curve[1:] + curve[:-1]) / 2 * np.diff(share)).sum())
    assert sizes[-1] == measuring.graph.n_edges
    assert evidence.measures["cpr"].value == pytest.approx(area, rel=1e-4)
    edges = tuple(items["compared_edges"].T)
    exact = exact_effects(discovering).values[edges]
    np.testing.assert_allclose(items["compared_effects"], exact, atol=1e-5)
    rank = spearmanr(np.abs(found.scores.values[edges]), np.abs(items["compared_effects"]))[0]
    assert evidence.measures["agreement"].value == pytest.approx(rank, abs=1e-9)
    card = next(table for table in evidence.tables if "percent" in table.columns)
    rows: list[Any] = [row[card.columns.index("percent")] for row in card.rows]
    assert evidence.measures["lowest"].value == pytest.approx(min(rows))
    assert evidence.measures["highest"].value == pytest.approx(max(rows))


def test_a_study_of_acdc_has_no_curve(tmp_path: Path) -> None:
    tiny = find_study("circuits.discover").preset("tiny").configuration()
    study: Any = find_study("circuits.discover").model_validate({**tiny, "method": {"name": "acdc", "tau": 0.5}})
    evidence = execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert {"recovered", "edges"} <= set(evidence.measures)
    assert not {"cpr", "cmd", "agreement"} & set(evidence.measures)
    assert not study.model_copy(update={"method": Eap(), "circuit": "file:x"}).scored


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


def test_prompts_of_one_unit_are_items_of_their_own_in_one_cluster(tmp_path: Path) -> None:
    pairs = [Pair((index, 2), (2, 1), (3,), (4,), unit=unit) for index, unit in enumerate("abb")]
    discovery = Discovery(Circuit.empty(Graph.transformer(1, 1)), None, "by hand")
    for number, chosen, units, clusters in (
        (0, pairs[:2], ["a", "b"], None),
        (1, pairs, ["a#0", "b#1", "b#2"], ["a", "b", "b"]),
    ):
        items = items_of(chosen, {"x": np.arange(float(len(chosen)))}, {}, Run(tmp_path / str(number)), discovery, {})
        assert list(items.units) == units
        assert items.clusters == clusters


def test_study_modules_need_no_torch() -> None:
    modules = "toulmin.circuits.studies.discover, toulmin.circuits.studies.card, toulmin.circuits.studies.tests"
    code = f"import sys, {modules}; print(sorted({{'torch', 'numba', 'scipy.stats'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
