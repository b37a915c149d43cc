"""A seed is a draw of data: a run with another one collects other items, or the study says that it draws nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from toulmin.studies import Run, Study, find_study

GENERATED = {
    "tasks.behaviour": {"n": 8},
    "paths.evaluate": {"n": 6, "resamples": 20},
    "paths.matrix": {"n": 4, "components": ["K"]},
    "circuits.card": {"n": 4, "n_discover": 2, "resamples": 50, "method": {"name": "random", "size": 10}},
}


def collected(study: Study, folder: Path, seed: int) -> dict[str, list[float]]:
    items = study.collect(Run(folder / f"{study.kind}-{seed}", seed=seed))
    return {name: column.tolist() for name, column in items.columns.items()}


@pytest.mark.parametrize("kind", GENERATED)
def test_another_seed_draws_other_prompts(kind: str, tmp_path: Path) -> None:
    tiny = find_study(kind).preset("tiny")
    study = type(tiny).model_validate({**tiny.configuration(), **GENERATED[kind]})
    assert study.seed_changes_data()
    assert "seed" not in type(study).model_fields  # one seed, the run's
    first = collected(study, tmp_path, 0)
    assert first == collected(study, tmp_path / "again", 0)
    assert first != collected(study, tmp_path, 1)


def test_data_of_a_file_are_one_observation() -> None:
    given = {"subject": "embedded:induction-2l", "pairs": "file:pairs.jsonl"}
    for kind, more in (
        ("tasks.behaviour", {}),
        ("paths.evaluate", {"hypotheses": [{"name": "all", "text": "all"}]}),
        ("paths.matrix", {}),
        ("circuits.card", {}),
    ):
        assert not find_study(kind).model_validate({**given, **more}).seed_changes_data()
    assert (
        not find_study("external.json").model_validate({"report": "file:units.json", "unit": "1"}).seed_changes_data()
    )
