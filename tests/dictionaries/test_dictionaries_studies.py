"""The three studies: they run, say what they declare, derive again from their items, and name what is wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from toulmin.dictionaries.studies.evaluate import EvaluateDictionary
from toulmin.dictionaries.studies.pareto import Pareto
from toulmin.dictionaries.studies.train import TrainDictionary, judge
from toulmin.evidence import Interval, Measure, Store
from toulmin.studies import Run, execute, re_derive


@pytest.mark.parametrize("study", [TrainDictionary, Pareto, EvaluateDictionary], ids=lambda study: study.kind)
def test_the_tiny_preset_leaves_evidence(study: type, tmp_path: Path) -> None:
    store = Store(tmp_path / "evidence")
    evidence = execute(study.preset("tiny"), store, Run(tmp_path / "work"))
    assert set(evidence.measures) == set(study.measures)
    assert re_derive(evidence, store) == []
    assert evidence.tables
    assert evidence.figures


def test_the_trained_dictionary_is_an_artefact_that_loads(tmp_path: Path) -> None:
    from toulmin.dictionaries.formats.own import load_dictionary

    items = TrainDictionary.preset("tiny").collect(Run(tmp_path))
    saved = load_dictionary(items.files["dictionary.safetensors"])
    assert saved.site == "L2.resid_pre"
    assert saved.dictionary.config.n_features == 64
    assert saved.card["objective"]["kl"] == 1.0
    # the same seed gives the same numbers
    again = TrainDictionary.preset("tiny").collect(Run(tmp_path / "other"))
    np.testing.assert_array_equal(items["trained/ce_with"], again["trained/ce_with"])


def test_stories_have_factors_that_a_dictionary_can_be_measured_against(tmp_path: Path) -> None:
    study = EvaluateDictionary(
        truth="stories", sparsity=2.0, features=64, steps=20, batch=4, length=32, rows=12, controls=("frozen_decoder",)
    )
    items = study.collect(Run(tmp_path))
    assert {"role: subject", "next: recipient"} <= set(items.units)
    summary = study.summarise(items)
    assert 0 < summary.measures["f1"].value <= 1
    assert summary.measures["mcc_above_control"].n_of == "factors"


def test_a_dictionary_that_exists_is_evaluated_as_it_is(tmp_path: Path) -> None:
    from toulmin.dictionaries import DictionaryConfig, make_dictionary
    from toulmin.dictionaries.formats.own import save_dictionary

    dictionary = make_dictionary(DictionaryConfig("relu", 128, 32))
    with torch.no_grad():
        dictionary.b_enc.fill_(-1e6)  # nothing is ever active
    save_dictionary(tmp_path / "d.safetensors", dictionary, "L2.resid_pre")
    reference = f"file:{tmp_path / 'd.safetensors'}"
    study = EvaluateDictionary(
        truth="stories", features=32, steps=2, batch=2, length=32, rows=10, controls=("frozen_decoder",),
        dictionary=reference, sparsity=1.0,
    )  # fmt: skip
    items = study.collect(Run(tmp_path / "work"))
    assert items["trained/mcc"].max() == 0
    assert [i.role for i in study.inputs()] == ["subject", "dictionary"]


def test_no_evidence_is_said_plainly() -> None:
    def measure(low: float, high: float) -> Measure:
        interval = Interval(low=low, high=high, method="x")
        return Measure(value=(low + high) / 2, unit="1", n=20, interval=interval)

    assert judge(measure(-0.1, 0.1), "costs less").startswith("No evidence that it costs less")
    assert judge(measure(0.1, 0.2), "costs less").startswith("It costs less")
    assert judge(measure(-0.2, -0.1), "costs less").startswith("It does not cost less")
    few = Measure(value=1.0, unit="1", n=2, no_interval="two seeds")
    assert judge(few, "costs less") == "No interval (two seeds): not shown that it costs less."


def test_a_curve_needs_ranges_that_ascend_and_modes_of_distinct_names() -> None:
    tiny = dict(Pareto.presets["tiny"])
    with pytest.raises(ValidationError, match="ascends"):
        Pareto(**{**tiny, "l0_range": (5.0, 2.0)})
    with pytest.raises(ValidationError, match="same name"):
        Pareto(**{**tiny, "modes": [tiny["modes"][0], tiny["modes"][0]]})
