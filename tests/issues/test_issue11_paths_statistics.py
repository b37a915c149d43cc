"""Proportions explained count clean prompts: their intervals, their averages and the sign of what a rung adds."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_transformers import model_of

from toulmin.evidence import bootstrap_mean, bootstrap_ratio
from toulmin.faults import FaultError
from toulmin.paths import effects, evaluate, explain_inputs, head_to_head, hypothesis, sender_to_logits
from toulmin.paths.explained import count_text, explain_ladder
from toulmin.paths.studies.evaluate import Evaluate
from toulmin.paths.studies.matrix import MatrixStudy
from toulmin.studies import Run
from toulmin.subjects import Subject, load
from toulmin.tasks import Metric, Pair, find_task, write_pairs

TWO = [hypothesis("embed -> logits", "direct"), hypothesis("!L1.H1", "without L1.H1")]


def clustered(named: bool = True) -> list[Pair]:
    """Seven clean prompts with one to seven counterfactuals each."""
    rng = np.random.default_rng(0)
    pairs = []
    for prompt in range(7):
        clean = rng.integers(0, 17, 6).tolist()
        for other in rng.integers(0, 17, (prompt + 1, 6)).tolist():
            pairs.append(Pair(clean, other, (3,), (5,), unit=f"prompt-{prompt}" if named else ""))
    return pairs


def by_hand(values: np.ndarray) -> np.ndarray:
    """The mean of each prompt's pairs, of which prompt k has k + 1."""
    ends = np.cumsum(np.arange(1, 8))
    return np.array([part.mean() for part in np.split(values, ends[:-1])])


@pytest.mark.parametrize("named", [True, False])
def test_the_interval_of_pe_resamples_clean_prompts(named: bool) -> None:
    model, pairs = model_of(), clustered(named)
    found = effects(model, TWO, pairs)
    ladder = evaluate(model, TWO, pairs, baseline="everything", resamples=300, seed=5)
    total = by_hand(found.total)
    for result in ladder:
        unexplained = by_hand(found.unexplained[result.name])
        assert result.n == 7
        assert result.aue == pytest.approx(unexplained.mean())
        assert result.pe == pytest.approx(1 - unexplained.mean() / total.mean())
        wanted = bootstrap_ratio(unexplained, total, transform=lambda r: 1 - r, resamples=300, seed=5)
        assert result.pe_interval == wanted
        assert result.aue_interval == bootstrap_mean(unexplained, resamples=300, seed=5)
        of_pairs = bootstrap_ratio(
            found.unexplained[result.name], found.total, transform=lambda r: 1 - r, resamples=300, seed=5
        )
        assert result.pe_interval.low != pytest.approx(of_pairs.low)


def test_what_a_rung_adds_has_the_sign_of_what_it_adds() -> None:
    rng = np.random.default_rng(0)
    total = rng.uniform(1, 2, 60)
    unexplained = {"poor": 0.8 * total, "better": 0.3 * total, "worse": 0.5 * total}
    ladder = explain_ladder(unexplained, total, resamples=200)
    assert ladder.gains is not None
    gains = {row[0]: row[1:] for row in ladder.gains.rows}
    assert gains["better over poor"] == pytest.approx((0.5, 0.5, 0.5))
    assert gains["worse over better"] == pytest.approx((-0.2, -0.2, -0.2))
    rungs = {one.name: one.pe for one in ladder}
    assert gains["better over poor"][0] == pytest.approx(rungs["better"] - rungs["poor"])


@pytest.mark.parametrize("study", [Evaluate, MatrixStudy])
def test_studies_average_the_effects_of_a_clean_prompt(study: type, tmp_path: Path) -> None:
    """A prompt whose pair is there five times gives the same number as one whose pair is there once."""
    pairs = list(find_task("induction", load("embedded:induction-2l")).generate(4, 0))
    pairs = [dataclasses.replace(pair, unit=f"prompt-{i}") for i, pair in enumerate(pairs)]
    found = []
    for name, some in (("once", pairs), ("often", [*pairs[:1] * 5, *pairs[1:]])):
        write_pairs(some, tmp_path / f"{name}.jsonl")
        changes = {"task": None, "n": None, "pairs": f"file:{tmp_path / name}.jsonl"}
        chosen = study.model_validate({**study.preset("tiny").configuration(), **changes})
        found.append(chosen.collect(Run(workdir=tmp_path)))
    once, often = found
    assert list(once.units) == list(often.units)
    for name, column in once.columns.items():
        np.testing.assert_allclose(often[name], column, rtol=1e-4, atol=1e-6)
    assert float(np.abs(once[next(iter(once.columns))]).sum()) > 0


def margin(logits: torch.Tensor, batch: object) -> torch.Tensor:
    """A user's own metric: logit 3 less logit 5."""
    return logits[..., 3] - logits[..., 5]


def test_a_function_is_a_metric_everywhere() -> None:
    model, pairs = model_of(), clustered()
    named = effects(model, TWO, pairs, metric="logit_diff", signed=True)
    own = effects(model, TWO, pairs, metric=margin, signed=True)
    np.testing.assert_allclose(own.total, named.total, atol=1e-12)
    np.testing.assert_allclose(own.unexplained["direct"], named.unexplained["direct"], atol=1e-12)
    assert own.metric == "margin"
    squared = evaluate(model, TWO, pairs, baseline="everything", metric="squared_logit_diff", resamples=50)
    assert [r.pe for r in evaluate(model, TWO, pairs, baseline="everything", metric=margin, resamples=50)] == (
        pytest.approx([r.pe for r in squared])
    )
    for matrix in (sender_to_logits, head_to_head):
        np.testing.assert_allclose(matrix(model, pairs, metric=margin).per_pair, matrix(model, pairs).per_pair)
    assert "margin" in str(sender_to_logits(model, pairs, metric=Metric("margin", lambda x, b, c: margin(x, b))))
    assert explain_inputs(model, "all", pairs[0], metric=margin).rows[0][3] == pytest.approx(0, abs=1e-12)


def test_a_subject_and_a_generator_will_do_and_other_things_are_one_fault() -> None:
    model, pairs = model_of(), clustered()
    subject = Subject(model)
    wanted = sender_to_logits(model, pairs).mean
    np.testing.assert_array_equal(sender_to_logits(subject, (pair for pair in pairs)).mean, wanted)
    assert evaluate(subject, "all", iter(pairs), baseline="everything", resamples=20)[0].pe == 1.0
    no_models: list[Any] = [torch.nn.Linear(2, 2), "embedded:induction-2l"]
    for bad in no_models:
        with pytest.raises(FaultError, match=r"tasks\.model"):
            evaluate(bad, "all", pairs, baseline="everything")
    no_pairs: list[Any] = ["pairs.jsonl", [], [1, 2], 3]
    for given in no_pairs:
        with pytest.raises(FaultError, match=r"tasks\.(pairs|empty)"):
            evaluate(model, "all", given, baseline="everything")
        with pytest.raises(FaultError, match=r"tasks\.(pairs|empty)"):
            sender_to_logits(model, given)
    with pytest.raises(FaultError, match=r"paths\.no_hypothesis"):
        evaluate(model, [], pairs, baseline="everything")


def test_the_number_of_paths_is_exact_and_printed() -> None:
    model, pairs = model_of(n_layers=30, d_mlp=8, d_model=4, d_head=2), clustered()[:3]
    (result,) = evaluate(model, "all", pairs, baseline="everything", resamples=20)
    exact = 1
    for _ in range(30):  # each head has three inputs, and what follows reads all that came before
        exact = exact * (1 + 2 * 3) * 2
    assert result.n_paths == exact
    assert f"{exact:,}"[:20] in str(result) or count_text(exact) in str(result)
    assert count_text(exact) in result.tables()[0].to_text(width=400)
    assert count_text(3) == "3"
    assert count_text(12 * 10**40) == "1.20e41"
