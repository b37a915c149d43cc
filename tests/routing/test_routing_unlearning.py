"""Expand, Route, Ablate and its rivals: label errors, corpora, attacks, and planted truth in the summary."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.evidence import Items
from toulmin.faults import FaultError
from toulmin.routing.baselines import rmu, tuned_rmu, undo
from toulmin.routing.corpora import (
    Corpus,
    label_rows,
    measured_errors,
    storyworld_corpus,
    text_corpus,
)
from toulmin.routing.relearning import steps_to
from toulmin.routing.studies.unlearn import AT, NUMBERS, Unlearn
from toulmin.routing.unlearning import (
    Recipe,
    calibrated_loss,
    fit_output_bias,
    make_model,
    mean_loss,
    remove_region,
    row_losses,
    steered_loss,
    train_model,
)
from toulmin.studies import Run
from toulmin.subjects import load
from toulmin.training import next_token_loss

RECIPE = Recipe(layers=2, width=16, heads=2, mlp=24, region=8, steps=6, batch=8, tuning=2, relearning=2)


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return storyworld_corpus(1500, 12, 7, 0, 24, 8)


def test_the_parts_of_a_corpus_share_no_row(corpus: Corpus) -> None:
    parts = [corpus.train, corpus.test_forget, corpus.test_retain, corpus.relearn]
    assert [len(p) for p in parts[1:]] == [24, 24, 8]
    assert sum(map(len, parts)) + len(corpus.calibrate) == 1500
    words = corpus.topic_tokens
    assert words[corpus.test_forget].float().mean() > 5 * words[corpus.test_retain].float().mean()
    assert words[corpus.train[corpus.about]].float().mean() > 5 * words[corpus.train[~corpus.about]].float().mean()


@pytest.mark.parametrize(("recall", "precision"), [(1.0, 1.0), (0.8, 1.0), (0.5, 0.9), (1.0, 0.5)])
def test_labels_have_the_recall_and_precision_asked_for(recall: float, precision: float) -> None:
    about = torch.arange(1000) < 100
    labelled = label_rows(about, recall, precision, seed=1)
    assert measured_errors(labelled, about) == pytest.approx((recall, precision), abs=0.01)
    with pytest.raises(FaultError, match="shares above 0"):
        label_rows(about, 0.0, 1.0, 0)


def test_real_text_is_sorted_by_its_words(tmp_path: Path, shared: Path) -> None:
    corpus = text_corpus(shared / "data/text/tinystories_1000.json", 24, 0)
    assert corpus.quick is not None
    recall, precision = measured_errors(corpus.quick, corpus.about)
    assert (recall, precision) == pytest.approx((0.649, 0.740), abs=0.08)  # of stories; here of the rows to train on
    assert corpus.vocabulary == 1000
    bad = tmp_path / "a.json"
    bad.write_text("{")
    with pytest.raises(FaultError, match=r"a\.json"):
        text_corpus(bad, 24, 0)
    bad.write_text(json.dumps(["a cat sat. " * 9]))
    with pytest.raises(FaultError, match="too few"):
        text_corpus(bad, 24, 0)


def test_losses_are_those_of_the_next_token(corpus: Corpus) -> None:
    model = make_model(corpus, RECIPE, 0)
    with torch.no_grad():
        expected = float(next_token_loss(model, corpus.relearn))
        assert float(row_losses(model, corpus.relearn).mean()) == pytest.approx(expected, rel=1e-5)
    assert sum(p.numel() for p in make_model(corpus, Recipe(), 0).parameters()) < 200_000


def region(model: torch.nn.Module) -> list[torch.Tensor]:
    return [layer.mlp.W_in[:, RECIPE.mlp :].detach() for layer in model.layers]  # type: ignore[union-attr]


def test_where_labelled_rows_train_by_method(corpus: Corpus) -> None:
    """With every row labelled, a parameter route moves the region alone, and filtering nothing at all."""
    every = torch.ones(len(corpus.train), dtype=torch.bool)
    start = make_model(corpus, RECIPE, 3)
    for method, moved, others in (("base", True, True), ("parameter", True, False), ("filtered", False, False)):
        model = train_model(corpus, every, method, RECIPE, 3)
        assert any(not torch.equal(a, b) for a, b in zip(region(start), region(model), strict=True)) is moved, method
        assert torch.equal(start.W_E, model.W_E) is not others, method


def test_without_labels_every_method_but_forward_trains_the_same_model(corpus: Corpus) -> None:
    nobody = torch.zeros(len(corpus.train), dtype=torch.bool)
    models = [
        train_model(corpus, nobody, method, RECIPE, 0) for method in ("base", "filtered", "parameter", "activation")
    ]
    for model in models[1:]:
        assert all(torch.equal(a, b) for a, b in zip(models[0].parameters(), model.parameters(), strict=True))


def test_ablation_takes_the_region_and_the_placebo_another(corpus: Corpus) -> None:
    labelled = corpus.about
    model = train_model(corpus, labelled, "parameter", RECIPE, 0)
    gone, tuned = remove_region(model, corpus, labelled, "parameter", RECIPE, 0, "zero")
    assert all(bool((w == 0).all()) for w in [*region(gone), *region(tuned)])
    assert not torch.equal(gone.W_E, tuned.W_E)
    other, _ = remove_region(model, corpus, labelled, "random_region", RECIPE, 0, "zero")
    assert all(torch.equal(a, b) for a, b in zip(region(model), region(other), strict=True))
    assert bool((other.layers[0].mlp.W_in[:, :8] == 0).all())  # type: ignore[union-attr]


def test_a_shift_of_the_logits_is_undone_by_calibration(corpus: Corpus) -> None:
    model = train_model(corpus, corpus.about, "base", Recipe(**{**RECIPE.__dict__, "steps": 60}), 0)
    before = mean_loss(model, corpus.test_forget)
    with torch.no_grad():
        assert model.b_U is not None
        model.b_U[corpus.topic_tokens] -= 3.0
    assert mean_loss(model, corpus.test_forget) > before + 0.2
    assert calibrated_loss(model, corpus) < before + 0.2


def test_the_fitted_bias_is_the_log_frequency_where_the_model_knows_nothing() -> None:
    targets = torch.tensor([0] * 6 + [1] * 3 + [2])
    bias = fit_output_bias(torch.zeros(10, 3, dtype=torch.float64), targets, ridge=0.0)
    assert torch.allclose(bias.softmax(0), torch.tensor([0.6, 0.3, 0.1], dtype=torch.float64), atol=1e-6)


def test_the_ridge_pulls_the_fitted_bias_towards_zero() -> None:
    targets = torch.tensor([0] * 7 + [1] * 3)
    bias = fit_output_bias(torch.zeros(10, 3, dtype=torch.float64), targets, ridge=0.5)
    shares = torch.tensor([0.7, 0.3, 0.0], dtype=torch.float64)
    assert torch.allclose(bias.softmax(0) - shares + 0.5 * bias, torch.zeros(3, dtype=torch.float64), atol=1e-6)


def test_a_bias_far_from_zero_is_fitted_in_a_few_steps() -> None:
    logits = torch.tensor([[12.0, 0.0]], dtype=torch.float64).repeat(10, 1)  # the first full step is far too long
    targets = torch.tensor([0] * 4 + [1] * 6)
    bias = fit_output_bias(logits, targets, iterations=10)
    assert (logits + bias).softmax(-1)[0].tolist() == pytest.approx([0.4, 0.6], abs=1e-3)


def test_the_fitted_bias_undoes_the_one_that_was_added() -> None:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(20000, 6, generator=rng, dtype=torch.float64)
    added = torch.tensor([2.0, -3.0, 0.5, 0.0, 1.0, -0.5], dtype=torch.float64)
    targets = torch.multinomial((logits + added).softmax(-1), 1, generator=rng)[:, 0]
    found = fit_output_bias(logits, targets)
    assert torch.allclose(found - found.mean(), added - added.mean(), atol=0.3)
    expected = (logits + found).softmax(-1).mean(0)
    assert torch.allclose(expected, torch.bincount(targets).double() / 20000, atol=1e-4)


def test_a_vector_that_was_added_is_recovered_by_steering(corpus: Corpus) -> None:
    model = train_model(corpus, corpus.about, "base", Recipe(**{**RECIPE.__dict__, "steps": 60}), 0)
    before = mean_loss(model, corpus.test_forget)
    with torch.no_grad():
        model.layers[0].mlp.b_out += 3.0 * torch.randn(16, generator=torch.Generator().manual_seed(0))  # type: ignore[operator]
    broken = mean_loss(model, corpus.test_forget)
    assert steered_loss(model, corpus, 200) < broken - 0.5 * (broken - before)


def test_rmu_moves_the_topics_activations_and_is_chosen_within_its_tolerance(corpus: Corpus) -> None:
    base = train_model(corpus, corpus.about, "base", RECIPE, 0)
    retain, forget = corpus.train[~corpus.about], corpus.train[corpus.about]
    moved = rmu(base, forget, retain, RECIPE, 0, 10.0, 1.0, 30)

    def change(rows: torch.Tensor) -> float:
        with torch.no_grad():
            return float((moved.run_to(rows, 1) - base.run_to(rows, 1)).norm())

    assert change(corpus.test_forget) > change(corpus.test_retain)
    assert torch.equal(moved.W_E, base.W_E)
    _, sweep = tuned_rmu(base, corpus, corpus.about, RECIPE, 0, 2, ((1.0, 1.0), (2.0, 1.0)))
    assert [t.scale for t in sweep] == [1.0, 2.0]
    student = undo(base, retain, RECIPE, 0, 3)
    assert not torch.equal(student.W_E, base.W_E)


def test_steps_are_read_off_a_curve() -> None:
    assert steps_to([3.0, 2.0, 1.0], (0, 2, 10), 1.5) == 6.0
    assert steps_to([1.0, 0.5], (0, 1), 2.0) == 0.0
    assert steps_to([3.0, 2.9], (0, 40), 1.0) == 40.0


def test_the_summary_finds_planted_gaps() -> None:
    methods = ("base", "filtered", "parameter", "random_labels")
    study = Unlearn(seeds=2, errors=((1.0, 1.0), (0.9, 1.0)), methods=methods, afterwards=("rmu",), absorption=True)
    columns: dict[str, np.ndarray] = {}
    at = [step for step in AT if step <= 40]
    for method, given in study._conditions():
        forget = {"base": 2.0, "parameter": 4.0, "filtered": 3.5, "random_labels": 2.5, "rmu": 3.0}[method]
        name = f"{method}@{given}"
        columns |= {f"{name}/{q}": np.array([forget, forget + 0.1]) for q in NUMBERS}
        fall = {"parameter": 0.05, "rmu": 0.5}.get(method, 0.0)
        curve = np.array([[forget - fall * step for step in at]] * 2)
        columns |= {f"{name}/curve": curve, f"{name}/curve_reinit": curve}
    for how, routed in (("word", 3.0), ("random", 2.5)):
        columns |= {f"absorption/{how}/{k}": np.array([v, v]) for k, v in
                    (("base", 2.0), ("filtered", 2.2), ("parameter", routed))}  # fmt: skip
    summary = study.summarise(Items(["a", "b"], columns))
    study.check_summary(summary)
    value = {name: m.value for name, m in summary.measures.items()}
    assert value["placebo_gap"] == pytest.approx(1.5)
    assert value["filter_gap"] == pytest.approx(2.0 - 3.5)
    assert value["absorption_word"] == pytest.approx(0.8)
    assert value["steps_ratio"] == pytest.approx((40 / 2 + 38 / 1.8) / 2)
    assert value["relearned:rmu@1/1"] == pytest.approx(3.0 - 0.5 * 40)
    (over_recall,) = [f for f in summary.figures if "over the labels' recall" in f.title]
    points = over_recall.model_dump_json()
    assert "parameter" in points
    assert "filtered" in points
    assert "base" not in points


def write_stories(path: Path) -> None:
    """300 stories of 40 words, of which 36 or more are one that no other story has; a third name two animals."""
    stories = []
    for i in range(300):
        story = ["own" + "".join("abcdefghij"[int(d)] for d in f"{i:03}")] * 40
        story[5:9] = ["cat" if i % 2 else "tree", "sun", "tree", "owl" if i % 3 == 0 else "tree"]
        story[20] = "fox" if i % 3 == 0 else "sun"
        stories.append(" ".join(story))
    path.write_text(json.dumps(stories))


def test_rows_of_a_story_are_either_held_out_or_trained_on(tmp_path: Path) -> None:
    write_stories(tmp_path / "stories.json")
    corpus = text_corpus(tmp_path / "stories.json", 20, 3, test=15, relearn=5)
    rows_with = torch.stack([(corpus.train == v).any(1).sum() for v in range(corpus.vocabulary)])
    own = (rows_with > 0) & (rows_with <= 2)  # a story has two rows
    assert own.sum() > 200
    for held in (corpus.test_forget, corpus.test_retain, corpus.relearn, corpus.calibrate):
        assert not bool(own[held].any())
    assert 0.28 < float(corpus.about.float().mean()) < 0.36
    assert corpus.quick is not None
    assert measured_errors(corpus.quick, corpus.about) == pytest.approx((0.5, 1 / 3), abs=0.06)


def test_a_short_list_of_words_labels_a_real_text(tmp_path: Path) -> None:
    write_stories(tmp_path / "stories.json")
    settings = {"seeds": 1, "steps": 1, "afterwards": (), "absorption": False, "relearning": 1, "tuning": 1}
    given = {"text": f"file:{tmp_path / 'stories.json'}", "words": True, "length": 8}
    study = Unlearn(methods=("base", "filtered"), **given, **settings)  # type: ignore[arg-type]
    items = study.collect(Run(tmp_path))
    assert {n.rpartition("/")[0] for n in items.columns} == {"base@1/1", "filtered@1/1", "filtered@words", "words"}
    summary = study.summarise(items)
    study.check_summary(summary)
    rows = summary.tables[-1].rows
    assert [row[0] for row in rows] == ["recall", "precision"]
    assert [row[1] for row in rows] == pytest.approx([0.5, 1 / 3], abs=0.1)  # of 120 stories
    with pytest.raises(FaultError, match="give text"):
        Unlearn(words=True).measure_specs()


def test_the_large_shape_is_that_of_story_4l() -> None:
    corpus, recipe = Unlearn(shape="story-4l")._setting(0)
    found, wanted = make_model(corpus, recipe, 0).config, load("embedded:story-4l").model.config
    assert [getattr(found, n) for n in ("n_layers", "d_model", "n_heads", "d_head")] == [
        getattr(wanted, n) for n in ("n_layers", "d_model", "n_heads", "d_head")
    ]
    assert found.d_mlp == wanted.d_mlp + recipe.region
    assert Unlearn(shape="story-4l").cost().seconds > 5 * Unlearn().cost().seconds


def test_the_tiny_study_runs_and_resumes(tmp_path: Path) -> None:
    study = Unlearn.preset("tiny").model_copy(
        update={"seeds": 1, "steps": 2, "afterwards": ("undo",), "absorption": True}
    )
    study = study.model_copy(update={"methods": ("base", "forward")})
    first = study.collect(Run(tmp_path))
    sorted(tmp_path.glob("*.json"))[0].unlink()
    again = study.collect(Run(tmp_path))
    assert all(np.array_equal(first[name], again[name]) for name in first.columns)
    study.check_summary(study.summarise(first))
    assert study.inputs() == ()
