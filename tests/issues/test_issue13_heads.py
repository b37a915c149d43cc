"""Issue 13, "Facts": which heads complete repetitions, look one back, and carry the indirect object, by studies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.studies import Run, execute, find_study, re_derive, read_study, reproduce
from toulmin.subjects import Subject, load
from toulmin.tasks import prefix_matching_score, previous_token_score, repeated_tokens

FOLDER = Path(__file__).parents[2] / "benchmarks" / "real_model"


def attention(**settings: Any) -> Any:
    kind = find_study("tasks.attention")
    return kind.model_validate({**kind.presets["tiny"], **settings})


def test_the_record_holds_the_scores_of_every_head(tmp_path: Path) -> None:
    study, store = attention(n=6, half=12, batch=4), Store(tmp_path)
    evidence = execute(study, store, Run(tmp_path / "work", seed=3))
    assert re_derive(evidence, store) == []
    assert reproduce(evidence, store, Run(tmp_path / "work")) == []
    items = store.items(evidence)
    model: Any = load("embedded:induction-2l").model
    tokens = repeated_tokens(6, 12, model.config.d_vocab, 3)
    with torch.inference_mode():
        _, cache = model.run_with_cache(tokens, ["L*.pattern"])
    patterns = [cache[f"L{layer}.pattern"] for layer in range(2)]
    for name in ("prefix_matching", "previous_token"):
        rows: list[Any] = []
        for i in range(6):
            one = [pattern[i : i + 1] for pattern in patterns]
            if name == "prefix_matching":
                rows.append(np.concatenate([prefix_matching_score(p, tokens[i : i + 1]).numpy() for p in one]))
            else:
                rows.append(np.concatenate([previous_token_score(p).numpy() for p in one]))
        np.testing.assert_allclose(items[name], np.stack(rows), atol=1e-6)
        assert evidence.measures[name].value == pytest.approx(np.stack(rows).mean(0).max(), abs=1e-6)
    assert evidence.measures["prefix_matching"].n_of == "sequences"
    assert str(evidence.tables[0].rows[0][0]).startswith("L1."), "induction heads of this model are in its second layer"
    assert str(evidence.tables[1].rows[0][0]).startswith("L0.")


def test_the_first_token_is_the_one_asked_for() -> None:
    assert [attention(bos=bos)._bos(None, 9) for bos in (None, True, False, 5)] == [0, 0, None, 5]
    with pytest.raises(FaultError, match="bos 9"):
        attention(bos=9)._bos(None, 9)


def test_sequences_that_the_model_cannot_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match="the model reads"):
        attention(half=4000).collect(Run(tmp_path))


@pytest.mark.slow
def test_smollm2_completes_repetitions_with_the_heads_measured_elsewhere(smollm2: Subject, tmp_path: Path) -> None:
    """Prefix matching L18.H6 0.93, L17.H3 0.78, L17.H4 0.77; one back L16.H0 0.90, L11.H1 0.85 (8 sequences here)."""
    study: Any = read_study(FOLDER / "heads.toml")
    items = study.model_copy(update={"n": 8, "half": 50, "bos": None}).collect(Run(tmp_path))
    for name, expected in (
        ("prefix_matching", {"L18.H6": 0.93, "L17.H3": 0.78, "L17.H4": 0.77}),
        ("previous_token", {"L16.H0": 0.90, "L11.H1": 0.85}),
    ):
        means = items[name].mean(0).reshape(30, 9)
        best = np.unravel_index(int(means.argmax()), means.shape)
        assert f"L{best[0]}.H{best[1]}" == next(iter(expected))
        for head, value in expected.items():
            layer, number = head[1:].split(".H")
            assert abs(means[int(layer), int(number)] - value) < 0.05, head


@pytest.mark.slow
def test_direct_effects_depend_on_the_template(smollm2: Subject, tmp_path: Path) -> None:
    """Of one template the heads beside the first name mover do about twice what they do over sixteen (docs page)."""
    study: Any = read_study(FOLDER / "ioi_heads_one_template.toml")
    items = study.collect(Run(tmp_path))
    assert items.n == 40
    effects = items["logits"].mean(0)  # [embed and layers, heads and the MLP]
    over_sixteen = {(29, 1): -1.74, (23, 0): -1.27, (24, 4): 1.21, (29, 0): 1.25}
    assert effects[24, 3] == pytest.approx(-4.28, abs=0.01)
    for (layer, head), value in over_sixteen.items():
        assert 1.3 < effects[layer + 1, head] / value < 2.1
