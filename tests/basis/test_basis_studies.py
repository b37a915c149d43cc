"""The studies of the basis package: what they declare, find and draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from toulmin.basis.studies.degeneracy import Degeneracy, within_cells
from toulmin.basis.studies.interaction import Interaction
from toulmin.basis.studies.modules import ModulesStudy
from toulmin.evidence import Evidence, Store
from toulmin.faults import FaultError
from toulmin.report import render_figure
from toulmin.studies import Run, Study, execute, re_derive


def run(study: Study, folder) -> Evidence:
    store = Store(folder / "store")
    record = execute(study, store, Run(folder / "work"))
    assert re_derive(record, store) == []
    assert record.positive_control is not None
    assert record.positive_control.detected, record.positive_control.description
    for figure in record.figures:
        assert "<svg" in str(render_figure(figure))
    return record


def test_correlations_are_taken_within_cells() -> None:
    """Two cells whose means run the other way than what happens inside each."""
    cells = np.repeat(["one", "two"], 5)
    inside = np.tile(np.arange(5.0), 2)
    shift = np.repeat([0.0, 100.0], 5)
    assert within_cells(inside + shift, inside - shift, cells) == pytest.approx(1)
    assert within_cells(inside, -inside, cells) == pytest.approx(-1)
    assert within_cells(np.ones(10), inside, cells) is None
    assert within_cells(np.array([1.0, 1, 2, 2]), np.array([1.0, 2, 3, 4]), np.array(["a"] * 4)) == pytest.approx(
        np.corrcoef([1.5, 1.5, 3.5, 3.5], [1, 2, 3, 4])[0, 1]
    )


def test_degeneracy_of_a_population(tmp_path) -> None:
    record = run(Degeneracy.preset("tiny"), tmp_path)
    assert record.measures["rho.rank"].n == 10
    # 11 inputs with the constant, of which one-hot vectors span 9: two free directions a neuron beside its scale
    table = record.tables[0]
    assert [row[0] for row in table.rows] == ["Z5/6", "Z5/8"]
    assert record.measures["rho.free"].value == pytest.approx(-record.measures["rho.rank"].value)


def test_edges_needed_of_modular_addition(tmp_path) -> None:
    record = run(Interaction.preset("tiny"), tmp_path)
    needed = {basis: record.measures[f"needed.{basis}"].value for basis in ("pca", "lib")}
    assert record.measures["ratio.lib"].value == pytest.approx(needed["lib"] / needed["pca"])
    assert record.measures["fewer.lib"].value == float(needed["lib"] < needed["pca"])
    assert {row[0] for row in record.tables[0].rows} == {
        "L0.resid_pre to L0.resid_mid",
        "L0.resid_mid to L0.resid_post",
        "L0.resid_post to logits",
    }
    rows: list[Any] = list(record.tables[0].rows)
    per_section = sum(row[3] for row in rows)
    assert per_section == needed["lib"]


@pytest.mark.slow
def test_edges_needed_of_a_language_model(tmp_path) -> None:
    study = Interaction(
        subjects=("embedded:story-4l",),
        task="language",
        sequences=1,
        length=9,
        bases=("pca", "lib"),
        tolerance=0.5,
        most_evaluations=6,
    )
    record = run(study, tmp_path)
    assert record.measures["needed.lib"].value > 0


def test_modules_of_modular_addition(tmp_path) -> None:
    record = run(ModulesStudy.preset("tiny"), tmp_path)
    (row,) = record.tables[0].rows
    assert 0 < record.measures["one_community.pca"].value <= 1
    assert record.measures["modularity.pca"].value > 0
    assert row[1]  # it has frequencies


@pytest.mark.parametrize(
    ("change", "message"),
    [({"bases": ("lib",)}, "pca"), ({"bases": ("pca", "pca")}, "different"), ({"subjects": ("a:b", "a:b")}, "twice")],
)
def test_wrong_configurations_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Interaction.model_validate({**Interaction.presets["tiny"], **change})


def test_a_model_of_another_kind_is_refused(tmp_path) -> None:
    study = Interaction(subjects=("embedded:induction-2l",), bases=("pca",))
    with pytest.raises(FaultError, match=r"basis\.model"):
        execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
