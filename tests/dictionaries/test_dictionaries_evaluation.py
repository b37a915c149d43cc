"""Metrics against plain computations, Pareto curves with known answers, a sweep that resumes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toulmin.dictionaries import DictionaryConfig, Objective, make_dictionary
from toulmin.dictionaries.evaluation import Usage, cofiring_information, evaluate_dictionaries
from toulmin.dictionaries.flops import floor_flops
from toulmin.dictionaries.pareto import Curve, frontier, gap_closed, interpolate, mean_ratio
from toulmin.dictionaries.sources import TokenSplit, split_tokens
from toulmin.dictionaries.sweep import SweepRun, SweepShape, load_trained, train_sweep, tune_lr
from toulmin.faults import FaultError
from toulmin.studies import Resolver
from toulmin.subjects import Subject, Transformer, TransformerConfig
from toulmin.tasks import RepeatedTokens

SITE = "L1.resid_pre"


@pytest.fixture
def model() -> Transformer:
    config = TransformerConfig(n_layers=3, d_model=16, n_heads=2, d_head=8, d_vocab=23, n_ctx=12, d_mlp=32)
    return Transformer(config, torch.Generator().manual_seed(1))


@pytest.fixture
def split() -> TokenSplit:
    return TokenSplit(RepeatedTokens(10, 23, 0, 2, 4), RepeatedTokens(10, 23, 9, 2, 4), 12)


@torch.no_grad()
def test_every_metric_is_what_a_plain_computation_gives(model: Transformer, split: TokenSplit) -> None:
    model, tokens = model.double(), split.evaluation()
    dictionary = make_dictionary(DictionaryConfig("relu", 16, 40), 3).double()
    found = evaluate_dictionaries(model, {"a": {SITE: dictionary}}, tokens, batch=5)["a"]
    original, cache = model.run_with_cache(tokens, [SITE, "L2.resid_pre"])
    x = cache[SITE]
    output, codes = dictionary(x)
    inserted, behind = model.run_with_cache(tokens, ["L2.resid_pre"], {SITE: lambda _: output})
    mean = x.flatten(0, 1).mean(0)
    ablated, _ = model.run_with_cache(tokens, [], {SITE: mean.expand_as})
    logs = [logits.log_softmax(-1) for logits in (original, inserted, ablated)]
    ces = [-log[:, :-1].gather(2, tokens[:, 1:, None])[..., 0].mean(1) for log in logs]
    expected = {
        "ce": ces[0],
        "ce_with": ces[1],
        "ce_ablated": ces[2],
        "ce_increase": ces[1] - ces[0],
        "kl": (logs[0].exp() * (logs[0] - logs[1])).sum(-1).mean(1),
        "top1": (logs[0].argmax(-1) == logs[1].argmax(-1)).double().mean(1),
        "accuracy": (logs[0].argmax(-1)[:, :-1] == tokens[:, 1:]).double().mean(1),
        "accuracy_with": (logs[1].argmax(-1)[:, :-1] == tokens[:, 1:]).double().mean(1),
        f"l0/{SITE}": (codes > 0).sum(-1).double().mean(1),
        f"norm_ratio/{SITE}": (output.norm(dim=-1) / x.norm(dim=-1)).mean(1),
        "downstream/L2.resid_pre": (behind["L2.resid_pre"] - cache["L2.resid_pre"]).pow(2).mean((1, 2)),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found.rows[name], value.numpy(), rtol=1e-5, err_msg=name)
    variance = 1 - float((output - x).pow(2).sum() / (x - mean).pow(2).sum())
    assert found.explained_variance(SITE) == pytest.approx(variance)
    assert found.explained_variance_interval(SITE).low < variance < found.explained_variance_interval(SITE).high
    recovered = float((ces[2].mean() - ces[1].mean()) / (ces[2].mean() - ces[0].mean()))
    assert found.ce_recovered() == pytest.approx(recovered, rel=1e-5)
    active, usage = (codes > 0).flatten(0, 1).double(), found.usage[SITE]
    assert usage.tokens == 120
    np.testing.assert_array_equal(usage.fired, active.sum(0))
    np.testing.assert_array_equal(usage.together, active.T @ active)
    np.testing.assert_allclose(usage.largest, codes.flatten(0, 1).amax(0))
    assert usage.alive == int((active.sum(0) > 0).sum())
    assert found.summary()[f"alive/{SITE}"] == usage.alive


def test_mutual_information_of_features_that_fire_together() -> None:
    """Two that are one (ln 2), two that are independent (0), and one that never fires (left out)."""
    a = np.array([1, 1, 0, 0])
    columns = np.stack([a, a, np.array([1, 0, 1, 0]), np.zeros(4)], 1)
    usage = Usage(4, columns.sum(0), columns.sum(0), columns.max(0), columns.T @ columns)
    found = cofiring_information(usage)
    expected = np.log(2) * np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_frontier_leaves_out_what_another_point_beats() -> None:
    x, y = frontier([10, 1, 5, 7, 2], [1.0, 9.0, 3.0, 4.0, 9.5])
    assert (x.tolist(), y.tolist()) == ([1, 5, 10], [9.0, 3.0, 1.0])
    # a power law is linear in logarithms
    at = np.array([2.0, 5.0, 7.0, 50.0])
    found = interpolate([1, 3, 10], [1.0, 3.0**-2, 10.0**-2], at)
    np.testing.assert_allclose(found[:3], at[:3] ** -2)
    assert np.isnan(found[3])


def test_the_ratio_of_two_power_laws_is_exact_and_covers_its_seeds() -> None:
    x = np.array([1.0, 2, 5, 10, 20])
    local = {seed: Curve(x, 4.0 / x) for seed in range(3)}
    e2e = {seed: Curve(x, (1.0 + 0.2 * seed) / x) for seed in range(3)}
    cost = mean_ratio(local, e2e, 2, 15)
    assert cost.value == pytest.approx(0.3)
    assert cost.covered == 1
    assert cost.interval is not None
    assert 0.25 <= cost.interval[0] < 0.3 < cost.interval[1] <= 0.35
    assert cost.as_interval().unusable is not None  # type: ignore[union-attr]
    needed = mean_ratio(local, e2e, 0.25, 1.0, swapped=True)
    assert needed.value == pytest.approx(0.3)
    assert mean_ratio(local, e2e, 10, 40).covered == pytest.approx(0.5, abs=0.03)
    with pytest.raises(FaultError, match="do not all reach"):
        mean_ratio(local, e2e, 50, 90)


def test_the_share_of_the_gap_that_a_change_closes_is_exact() -> None:
    x = np.array([1.0, 10.0, 100.0])
    local = {seed: Curve(x, 4 / x) for seed in (0, 1)}
    changed = {0: Curve(x, 2.5 / x), 1: Curve(x, 1 / x), 7: Curve(x, 9 / x)}  # 7 has no local dictionary
    other = {5: Curve(x, 1 / x), 6: Curve(x, 1 / x)}
    found = gap_closed(local, changed, other, 2.0, 50.0)
    assert found.value == pytest.approx((0.5 + 1.0) / 2)
    assert found.interval == pytest.approx((0.5, 1.0))
    assert (found.covered, found.seeds) == (1.0, 2)
    with pytest.raises(FaultError, match="any part"):
        gap_closed(local, changed, other, 200.0, 500.0)


def test_the_flop_floor_counts_what_must_be_computed() -> None:
    config = TransformerConfig(n_layers=4, d_model=128, n_heads=4, d_head=32, d_vocab=512, n_ctx=128, d_mlp=512)
    block = 24 * 128**2 + 2 * 128 * 128
    local, e2e = (floor_flops(config, 2, o, 1024, 128) for o in (Objective(local=1.0), Objective(kl=1.0)))
    assert local == 2 * block + 10 * 128 * 1024
    assert e2e == 2 * block + 3 * (2 * block + 2 * 128 * 512) + 10 * 128 * 1024 + 2 * 4 * 128 * 128


def test_a_sweep_resumes_and_its_dictionaries_can_be_loaded(
    model: Transformer, split: TokenSplit, tmp_path: Path
) -> None:
    shape = SweepShape(SITE, features=24, batch=4, steps=6)
    runs = [
        SweepRun(mode, objective, seed, 1.0, length)
        for mode, objective, length in (
            ("local", Objective(sparsity=0.1, local=1.0), 1.0),
            ("e2e", Objective(sparsity=0.1, kl=1.0), 1.0),
            ("long", Objective(sparsity=0.1, local=1.0), 2.0),
        )
        for seed in (0, 1)
    ]
    plain = train_sweep(model, split, shape, runs)
    stopped: list[str] = []

    def stop(group: str, done: int, total: int) -> None:
        stopped.append(group)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_sweep(model, split, shape, runs, workdir=tmp_path, every=2, report=stop)
    again = train_sweep(model, split, shape, runs, workdir=tmp_path, every=2)
    for first, second in zip(plain, again, strict=True):
        assert torch.equal(first.dictionary.W_dec, second.dictionary.W_dec)
        assert first.evaluation.summary() == second.evaluation.summary()
        assert first.tokens == 240 * first.run.length
    loaded = load_trained(model, shape, [runs[0], runs[2]], tmp_path)
    assert torch.equal(loaded[0].W_enc, plain[0].dictionary.W_enc)
    assert torch.equal(loaded[1].W_enc, plain[2].dictionary.W_enc)
    with pytest.raises(FaultError, match="not trained"):
        load_trained(model, shape, [SweepRun("x", Objective(local=1.0), 5)], tmp_path)
    assert plain[2].flops > plain[0].flops


def test_learning_rates_are_tuned_for_each_mode_on_one_grid(model: Transformer, split: TokenSplit) -> None:
    """A rate of nearly 0 leaves the objective where it was; the larger one must win."""
    shape = SweepShape(SITE, features=24, batch=4, steps=30, lr=1e-2)
    modes = {"local": Objective(sparsity=0.01, local=1.0), "e2e": Objective(sparsity=0.01, kl=1.0)}
    for best, values in tune_lr(model, split, shape, modes, (1e-6, 1.0)).values():
        assert best == 1.0
        assert values[1.0] < values[1e-6]


def test_held_out_tokens_are_not_trained_on(tmp_path: Path, model: Transformer) -> None:
    path = tmp_path / "ids.npy"
    np.save(path, np.arange(205, dtype=np.uint16) % 23)
    subject = Subject(model)
    found = split_tokens(f"file:{path}", subject, 10, 4, Resolver())
    assert found.evaluation().flatten().tolist() == (np.arange(160, 200) % 23).tolist()
    assert found.training.n_rows == 16  # type: ignore[attr-defined]
    for name, match in (("stories", "stories have"), ("file:" + str(path), "do not give")):
        with pytest.raises(FaultError, match=match):
            split_tokens(name, subject, 10, 20, Resolver())
    (tmp_path / "a.txt").write_text("once upon a time")
    with pytest.raises(FaultError, match="no tokenizer"):
        split_tokens(f"file:{tmp_path / 'a.txt'}", subject, 10, 4, Resolver())
