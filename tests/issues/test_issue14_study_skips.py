"""``dictionary.train`` and ``dictionary.pareto`` had no way to leave out an attention sink: ``skip_first`` was not a
setting, so that on a real language model they trained dictionaries of the first position."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from toulmin.dictionaries.studies.evaluate import EvaluateDictionary
from toulmin.dictionaries.studies.pareto import Pareto
from toulmin.dictionaries.studies.train import TrainDictionary
from toulmin.studies import Run


def test_skipped_tokens_have_no_dictionary_and_are_not_counted(tmp_path: Path) -> None:
    """With all but the last two of 32 positions skipped, a nearly untrained dictionary costs less than everywhere."""
    settings = {**TrainDictionary.presets["tiny"], "steps": 2, "rows": 10}
    everywhere, last_two = (
        TrainDictionary(**settings, skip_first=first).collect(Run(tmp_path / str(first))) for first in (0, 30)
    )
    assert everywhere.metadata["evaluated"] == 10 * 32
    assert last_two.metadata["evaluated"] == 10 * 2
    assert last_two["trained/fired"].max() <= 20
    cost = [items["trained/ce_with"] - items["trained/ce"] for items in (everywhere, last_two)]
    assert cost[1].mean() < 0.2 * cost[0].mean()


def test_a_sweep_takes_them_and_synthetic_worlds_do_not() -> None:
    tiny = Pareto(**Pareto.presets["tiny"], skip_first=1, skip_norm_above=50.0)
    skips = {tiny.make(mode.objective, 1.0).skip for mode in tiny.modes}
    assert [(skip.first, skip.norm_above) for skip in skips] == [(1, 50.0)]
    with pytest.raises(ValidationError, match="skip_norm_above"):
        Pareto(**Pareto.presets["tiny"], skip_norm_above=0.0)
    with pytest.raises(ValidationError, match="skip_first"):
        EvaluateDictionary(**{**EvaluateDictionary.presets["tiny"], "skip_first": 1})
