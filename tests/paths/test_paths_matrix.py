"""Matrices of effects against hand-written patching."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_transformers import model_of

from toulmin.faults import FaultError
from toulmin.patching import Graph
from toulmin.paths import activation_patching, effects, head_to_head, hypothesis, sender_to_logits
from toulmin.paths.matrix import _by_layer
from toulmin.subjects import Transformer
from toulmin.tasks import Pair, find_metric, logit_diff


def pairs_of(n: int = 5, length: int = 6, unit: str = "u") -> list[Pair]:
    rng = np.random.default_rng(0)
    return [
        Pair(clean, other, (3,), (5,), unit=f"{unit}{i}", at=3 + i % 2)
        for i in range(n)
        for clean, other in [rng.integers(0, 17, (2, length)).tolist()]
    ]


@pytest.mark.parametrize("component", ["Q", "K", "V"])
def test_head_to_head_is_the_path_set_it_claims(component: str) -> None:
    model, pairs = model_of(n_layers=3), pairs_of()
    matrix = head_to_head(model, pairs, component)  # type: ignore[arg-type]
    assert matrix.rows == ("L0.H0", "L0.H1", "L1.H0", "L1.H1")
    assert matrix.columns == ("L1.H0", "L1.H1", "L2.H0", "L2.H1")
    chosen = [("L0.H1", "L1.H0"), ("L0.H0", "L2.H1"), ("L1.H1", "L2.H0")]
    found = effects(
        model,
        [hypothesis(f"!({s} -> [{component}] {r})") for s, r in chosen],
        pairs,
        metric="logit_diff",
        signed=True,
    )
    for (s, r), wanted in zip(chosen, found.unexplained.values(), strict=True):
        cell = matrix.per_pair[:, matrix.rows.index(s), matrix.columns.index(r)]
        np.testing.assert_allclose(cell, wanted, atol=1e-10)
    assert np.isnan(matrix.mean[2, 0])
    assert matrix.heatmap().values[2][0] is None
    low, high = matrix.interval
    inside = (low <= matrix.mean + 1e-12) & (matrix.mean <= high + 1e-12)
    assert inside[~np.isnan(matrix.mean)].all()


@pytest.mark.parametrize(("n", "shown"), [(9, False), (10, True)])
def test_intervals_of_fewer_than_ten_prompts_are_not_shown(n: int, shown: bool) -> None:
    matrix = sender_to_logits(model_of(n_layers=2), pairs_of(n))
    table, figure = matrix.strongest(), matrix.heatmap()
    ends = [end for row in table.rows for end in row[3:]]
    assert [end is not None for end in ends] == [shown] * len(ends)
    assert (figure.low is not None, figure.high is not None) == (shown, shown)
    assert ("at least 10 are needed" in table.caption) is not shown
    assert figure.caption == table.caption


def scored(model: Transformer, logits: torch.Tensor, pairs: list[Pair]) -> np.ndarray:
    at = torch.tensor([pair.scored for pair in pairs])
    picked = logits[torch.arange(len(pairs)), at]
    return logit_diff(picked, torch.tensor([[3]]), torch.tensor([[5]])).detach().numpy()


def test_senders_to_logits_by_hand() -> None:
    model, pairs = model_of(n_layers=3), pairs_of()
    clean, other = (torch.tensor([getattr(p, side) for p in pairs]) for side in ("clean", "counterfactual"))
    logits, cache = model.run_with_cache(clean)
    _, theirs = model.run_with_cache(other)
    matrix = sender_to_logits(model, pairs)
    last = cache["L2.resid_post"]
    for row, column, name, pick in (
        ("L1", "H1", "L1.result", lambda x: x[..., 1, :]),
        ("L2", "mlp", "L2.mlp_out", lambda x: x),
    ):
        patched = model.unembed(last + pick(theirs[name]) - pick(cache[name]))
        wanted = scored(model, patched, pairs) - scored(model, logits, pairs)
        got = matrix.per_pair[:, matrix.rows.index(row), matrix.columns.index(column)]
        np.testing.assert_allclose(got, wanted, atol=1e-10)


@pytest.mark.parametrize(("what", "name"), [("resid_pre", "resid_pre"), ("attn", "attn_out"), ("mlp", "mlp_out")])
def test_activation_patching_by_edits(what: str, name: str) -> None:
    model, pairs = model_of(n_layers=3), pairs_of()
    clean, other = (torch.tensor([getattr(p, side) for p in pairs]) for side in ("clean", "counterfactual"))
    logits, _ = model.run_with_cache(clean)
    _, theirs = model.run_with_cache(other)
    matrix = activation_patching(model, pairs, what)  # type: ignore[arg-type]
    for layer, position in ((0, 2), (1, 3), (2, 4)):

        def edit(value: torch.Tensor, layer: int = layer, position: int = position) -> torch.Tensor:
            value = value.clone()
            value[:, position] = theirs[f"L{layer}.{name}"][:, position]
            return value

        patched, _ = model.run_with_cache(clean, names=[], edits={f"L{layer}.{name}": edit})
        wanted = scored(model, patched, pairs) - scored(model, logits, pairs)
        np.testing.assert_allclose(matrix.per_pair[:, layer, position], wanted, atol=1e-10)
    heads = activation_patching(model, pairs, "heads")

    def patch_head(value: torch.Tensor) -> torch.Tensor:
        value = value.clone()
        value[..., 1, :] = theirs["L1.result"][..., 1, :]
        return value

    patched, _ = model.run_with_cache(clean, names=["L1.result"], edits={"L1.result": patch_head})
    np.testing.assert_allclose(
        heads.per_pair[:, 2, 1], scored(model, patched, pairs) - scored(model, logits, pairs), atol=1e-10
    )


def test_one_clean_prompt_is_one_draw() -> None:
    model, pairs = model_of(n_layers=3), pairs_of()
    doubled = [
        Pair(p.clean, p.counterfactual, p.answers, p.wrong, unit=p.unit, at=p.at) for p in pairs for _ in range(2)
    ]
    a, b = sender_to_logits(model, pairs), sender_to_logits(model, doubled)
    np.testing.assert_allclose(a.mean, b.mean)
    np.testing.assert_allclose(a.interval[0], b.interval[0], atol=1e-12)


def test_bad_input_to_the_matrices() -> None:
    model = model_of(n_layers=3)
    with pytest.raises(FaultError, match=r"paths\.component"):
        head_to_head(model, pairs_of(), "O")  # type: ignore[arg-type]
    with pytest.raises(FaultError, match=r"paths\.lengths"):
        activation_patching(model, [*pairs_of(2, 6), *pairs_of(2, 5)])
    with pytest.raises(FaultError, match=r"paths\.activation"):
        activation_patching(model_of(n_layers=3, d_mlp=0), pairs_of(), "mlp")
    with pytest.raises(FaultError, match=r"paths\.layers"):
        head_to_head(model_of(n_layers=1), pairs_of())
    with pytest.raises(FaultError, match=r"tasks\.empty"):
        sender_to_logits(model, [])


def test_the_effect_of_a_sender_stands_in_its_layer_and_column() -> None:
    graph = Graph.transformer(2, 2)
    sources = [name for name in graph.sources if name != "logits"]
    values = np.arange(len(sources), dtype=float)[None]
    matrix = _by_layer("t", graph, values, ("u",), find_metric("logit_diff"), 0)
    assert (matrix.rows, matrix.columns) == (("embed", "L0", "L1"), ("H0", "H1", "mlp"))
    expected = [["embed", None, None], ["L0.H0", "L0.H1", "L0.mlp"], ["L1.H0", "L1.H1", "L1.mlp"]]
    wanted = [[np.nan if name is None else sources.index(name) for name in row] for row in expected]
    np.testing.assert_array_equal(matrix.per_pair[0], wanted)
