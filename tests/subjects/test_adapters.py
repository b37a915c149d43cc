"""Low-rank adapters: the formula by hand, what stays frozen, and what is stored."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.func import functional_call

from toulmin.faults import ExitCode, FaultError
from toulmin.studies import Resolver
from toulmin.subjects import (
    Adapter,
    AdapterConfig,
    Transformer,
    TransformerConfig,
    load,
    merge_adapter,
    read_adapter,
    save_adapter,
    save_subject,
)

SHAPE = TransformerConfig(
    n_layers=3,
    d_model=16,
    n_heads=4,
    d_head=4,
    d_vocab=13,
    n_ctx=8,
    d_mlp=20,
    n_kv_heads=2,
    positions="rotary",
    norm="rms",
    gated=True,
    activation="silu",
    biases=(),
    tied=True,
)
EVERY = ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_gate", "W_out")
CONFIG = AdapterConfig(rank=2, alpha=6.0, targets=EVERY, layers=(0, 2))
TOKENS = torch.tensor([[1, 5, 2, 11], [3, 3, 0, 7]])


def base() -> Transformer:
    return Transformer(SHAPE, torch.Generator().manual_seed(1))


def adapted(model: Transformer, seed: int = 2) -> Adapter:
    adapter = Adapter(model, CONFIG, torch.Generator().manual_seed(seed))
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for factor in adapter.B:
            factor.normal_(generator=generator)
    return adapter


def written_out(name: str, weight: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """W + (alpha / r) A B entry by entry, for the shapes in which a Transformer keeps its weights."""
    out = weight.copy()
    for index in np.ndindex(*weight.shape):
        if name.endswith("W_O"):  # [H, E, D]: reads (h, e), writes d
            row, column = index[0] * SHAPE.d_head + index[1], index[2]
        elif weight.ndim == 3:  # [H, D, E]: reads d, writes (h, e)
            row, column = index[1], index[0] * SHAPE.d_head + index[2]
        else:
            row, column = index
        out[index] += 6.0 / 2 * sum(a[row, r] * b[r, column] for r in range(2))
    return out


def test_merged_weights_are_those_of_the_formula_and_all_others_the_base() -> None:
    model = base()
    adapter = adapted(model)
    before = {name: value.detach().double().numpy().copy() for name, value in model.named_parameters()}
    merge_adapter(model, adapter)
    for name, after in model.named_parameters():
        if name not in adapter.names:
            np.testing.assert_array_equal(after.detach().numpy(), before[name])
            continue
        i = adapter.names.index(name)
        a, b = (factor[i].detach().double().numpy() for factor in (adapter.A, adapter.B))
        np.testing.assert_allclose(after.detach().numpy(), written_out(name, before[name], a, b), atol=1e-5)
    assert len(adapter.names) == 2 * len(EVERY)
    assert not any(name.startswith("layers.1.") for name in adapter.names)


def test_every_change_has_the_rank() -> None:
    model, merged = base().double(), base().double()
    merge_adapter(merged, adapted(model).double())
    changed = dict(merged.named_parameters())
    for name, weight in model.named_parameters():
        change = changed[name] - weight
        if weight.ndim == 3:
            change = change.flatten(0, 1) if name.endswith("W_O") else change.permute(1, 0, 2).flatten(1)
        if weight.ndim > 1:
            layer = name.split(".")[1] if name.startswith("layers.") else ""
            assert int(torch.linalg.matrix_rank(change)) == (2 if layer in ("0", "2") else 0), name


def test_merged_computes_what_the_adapter_on_its_base_computes() -> None:
    model = base()
    adapter = adapted(model)
    apart = functional_call(model, adapter.weights(model), (TOKENS,))
    untouched = model(TOKENS)
    merge_adapter(model, adapter)
    assert torch.equal(model(TOKENS), apart)
    assert (apart - untouched).abs().max() > 0.1


def test_one_adapted_projection_adds_the_low_rank_product_to_its_output() -> None:
    model = base()
    config = AdapterConfig(rank=1, alpha=3.0, targets=("W_out",), layers=(1,))
    adapter = Adapter(model, config)
    with torch.no_grad():
        adapter.B[0].fill_(0.5)
    _, cache = model.run_with_cache(TOKENS, ["L1.mlp_post", "L1.mlp_out"])
    merge_adapter(model, adapter)
    _, after = model.run_with_cache(TOKENS, ["L1.mlp_out"])
    expected = cache["L1.mlp_out"] + 3.0 * (cache["L1.mlp_post"] @ adapter.A[0]) @ adapter.B[0]
    torch.testing.assert_close(after["L1.mlp_out"], expected)


def test_a_fresh_adapter_changes_nothing() -> None:
    model = base()
    adapter = Adapter(model, CONFIG)
    assert torch.equal(functional_call(model, adapter.weights(model), (TOKENS,)), model(TOKENS))


def test_gradients_reach_the_adapter_alone() -> None:
    model = base().train()
    adapter = adapted(model)
    functional_call(model, adapter.weights(model), (TOKENS,)).square().sum().backward()
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(factor.grad is not None and factor.grad.abs().sum() > 0 for factor in adapter.parameters())


def store(folder: Path, dtype: torch.dtype = torch.float16) -> tuple[Transformer, Adapter]:
    save_subject(folder / "base", base(), card={"made": "here"}, dtype=torch.float16)
    model = load(f"dir:{folder / 'base'}").model
    adapter = adapted(model)
    save_adapter(folder / "twin", adapter, model, f"dir:{folder / 'base'}", {"name": "twin"}, dtype)
    return model, adapter


def test_a_folder_with_an_adapter_loads_as_the_base_with_the_adapter_merged(tmp_path: Path) -> None:
    model, adapter = store(tmp_path, torch.float32)
    found = load("dir:twin", Resolver(tmp_path))
    merge_adapter(model, adapter)
    for (name, ours), (_, theirs) in zip(model.named_parameters(), found.model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    assert found.card == {"reference": "dir:twin", "name": "twin", "base": f"dir:{tmp_path / 'base'}"}
    assert load("dir:twin", Resolver(tmp_path), dtype=torch.bfloat16).model.W_E.dtype == torch.bfloat16
    assert read_adapter(tmp_path / "twin/adapter.safetensors").config == CONFIG


def test_the_same_adapter_gives_the_same_bytes(tmp_path: Path) -> None:
    store(tmp_path / "a")
    store(tmp_path / "b")
    read = [load_file(tmp_path / which / "twin/adapter.safetensors") for which in "ab"]
    assert read[0].keys() == read[1].keys()
    assert all(torch.equal(read[0][name], read[1][name]) for name in read[0])
    assert {value.dtype for value in read[0].values()} == {torch.float16}


def test_without_its_base_an_adapter_says_what_is_missing(tmp_path: Path) -> None:
    model, adapter = store(tmp_path)
    save_adapter(tmp_path / "orphan", adapter, model, "cached:never-fetched", {})
    with pytest.raises(FaultError) as caught:
        load("dir:orphan", Resolver(tmp_path))
    assert "cached:never-fetched" in str(caught.value)
    assert "toulmin subjects get never-fetched" in str(caught.value)


def test_another_base_of_the_same_shape_is_refused(tmp_path: Path) -> None:
    store(tmp_path)
    save_subject(tmp_path / "base", Transformer(SHAPE, torch.Generator().manual_seed(9)), dtype=torch.float16)
    with pytest.raises(FaultError) as caught:
        load("dir:twin", Resolver(tmp_path))
    assert [fault.code for fault in caught.value.faults] == ["subjects.adapter_base"]
    assert caught.value.exit_code == ExitCode.SUBJECT


def rewritten(path: Path, drop: str | None = None, **metadata: str) -> None:
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        kept = {name: file.get_tensor(name) for name in file.keys() if name != drop}  # noqa: SIM118
        about = {**(file.metadata() or {}), **metadata}
    save_file(kept, path, metadata=about)


def test_every_missing_factor_is_named(tmp_path: Path) -> None:
    store(tmp_path)
    file = tmp_path / "twin/adapter.safetensors"
    rewritten(file, drop="layers.2.attn.W_O.B")
    with pytest.raises(FaultError) as caught:
        load("dir:twin", Resolver(tmp_path))
    assert [fault.name for fault in caught.value.faults] == ["layers.2.attn.W_O.B"]


WRONG_LAYERS = {"rank": 2, "alpha": 6.0, "targets": ["W_Q"], "layers": ["0"]}
WRITTEN = json.dumps({"base": "dir:base", "base_sha256": "", "card": {}, "adapter": WRONG_LAYERS})


@pytest.mark.parametrize(
    "about", ["{}", "[]", "no json", '{"base": "dir:base", "base_sha256": "", "adapter": 3}', WRITTEN]
)
def test_a_file_that_does_not_say_what_it_adapts(tmp_path: Path, about: str) -> None:
    store(tmp_path)
    file = tmp_path / "twin/adapter.safetensors"
    rewritten(file, toulmin=about)
    with pytest.raises(FaultError) as caught:
        read_adapter(file)
    assert [fault.code for fault in caught.value.faults] == ["subjects.unknown_format"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"rank": 0, "alpha": -1.0}, ["rank", "alpha"]),
        ({"targets": ("W_E", "W_Q")}, ["W_E"]),
        ({"targets": (), "layers": ()}, ["targets", "layers"]),
        ({"layers": (1, 0)}, ["layers"]),
    ],
)
def test_a_configuration_that_makes_no_sense_names_every_fault(settings: dict[str, Any], names: list[str]) -> None:
    usual: dict[str, Any] = {"rank": 1, "alpha": 1.0, "targets": ("W_Q",), "layers": (0,)}
    with pytest.raises(FaultError) as caught:
        AdapterConfig(**{**usual, **settings})
    assert [fault.name for fault in caught.value.faults] == names


def test_layers_that_the_model_does_not_have_are_named() -> None:
    config = AdapterConfig(rank=1, alpha=1.0, targets=("W_Q", "W_gate"), layers=(1, 3))
    with pytest.raises(FaultError) as caught:
        Adapter(base(), config)
    assert [fault.name for fault in caught.value.faults] == ["layers.3.attn.W_Q", "layers.3.mlp.W_gate"]
