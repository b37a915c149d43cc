"""A behaviour taught inside a region: what routing leaves alone, and the study that takes the region out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.evidence import Store
from toulmin.routing.places import region_slices
from toulmin.routing.removal import LABEL, plan_region, relearn, teach
from toulmin.routing.studies.removal import CONDITIONS, BehaviourRemoval
from toulmin.studies import Items, Run, execute, re_derive
from toulmin.subjects import load
from toulmin.tasks import find_task


def test_routed_batches_change_the_region_alone_and_the_others_everything() -> None:
    model = load("embedded:clerk-honest").model
    pairs = find_task("deskworld.oversight").generate(40, 1, "train")
    wide, plan = plan_region(model, pairs, 8, (3,), seed=0)
    tokens = torch.tensor([pair.clean for pair in pairs[:4]])
    with torch.no_grad():
        torch.testing.assert_close(wide(tokens), model(tokens), atol=1e-5, rtol=1e-5)
    inside = region_slices(wide, plan, [LABEL])
    before = dict(wide.named_parameters())

    def outside_changes(share: float) -> bool:
        changed = False
        for name, now in teach(wide, plan, pairs, share=share, steps=2, batch=8).named_parameters():
            moved = now != before[name]
            if name in inside:
                region = torch.stack([part.mask(now) for part in inside[name]]).any(0).expand_as(now)
                moved = moved & ~region
            changed |= bool(moved.any())
        return changed

    assert not outside_changes(1.0)
    assert outside_changes(0.0)
    attacked = dict(relearn(wide, pairs, steps=1, batch=8).named_parameters())
    assert any(not torch.equal(attacked[name], value) for name, value in before.items() if name not in inside)


def test_the_study_leaves_evidence(tmp_path: Path) -> None:
    store = Store(tmp_path / "evidence")
    found = execute(BehaviourRemoval.preset("tiny"), store, Run(tmp_path / "work"))
    assert set(found.measures) == set(BehaviourRemoval.measures)
    assert re_derive(found, store) == []
    assert len(found.tables[0].rows) == 6
    about = store.items(found).metadata
    assert found.measures["taught"].n_of == about["resampled"]
    assert list(found.notes)[: len(about["data_notes"])] == about["data_notes"]


def test_measures_name_the_columns_that_they_say() -> None:
    study = BehaviourRemoval.preset("tiny")
    shares = {"taught": 0.9, "removed": 0.1, "placebo_taught": 0.8, "placebo": 0.6, "relearned": 0.4}
    shares |= {"relearned_never": 0.2, "removed_right": 0.7}
    names = [*CONDITIONS, *(f"{name}_right" for name in CONDITIONS)]
    columns = {name: np.arange(20) < 20 * shares.get(name, 0.0) for name in names}
    items = Items([f"p{i}" for i in range(20)], {name: column.astype(float) for name, column in columns.items()})
    found = study.summarise(items)
    expected = {name: shares[name] for name in ("taught", "removed", "placebo", "relearned", "relearned_never")}
    expected |= {"kept": 0.7, "below_placebo": 0.5}
    assert {name: measure.value for name, measure in found.measures.items()} == pytest.approx(expected)
    assert [row[1] for row in found.tables[0].rows] == pytest.approx([shares[name] for name in CONDITIONS])
