"""The reference implementation's losses, metrics, gradients, one Adam step and schedules (ApolloResearch/e2e_sae)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toulmin.dictionaries import (
    Dictionary,
    DictionaryConfig,
    Objective,
    ReferenceCosine,
    ReferenceLinear,
    make_dictionary,
)
from toulmin.dictionaries.objective import InsertedPass, losses, needed_names
from toulmin.dictionaries.output_loss import original_output
from toulmin.dictionaries.reference import legacy_explained_variance, legacy_metrics, legacy_sparsity_metrics
from toulmin.dictionaries.sites import clean_pass, find_sites, frozen
from toulmin.subjects import Transformer, from_transformer_lens

SITE = "L2.resid_pre"
THEIRS = "blocks.2.hook_resid_pre"
PLACES = {"W_enc": "encoder.0.weight", "b_enc": "encoder.0.bias", "W_dec": "decoder.weight", "b_dec": "decoder.bias"}
OBJECTIVES = {
    "local": Objective(sparsity=6.0, local=1.0),
    "e2e": Objective(sparsity=1.5, kl=1.0),
    "e2e_ds": Objective(sparsity=50.0, downstream=2.5, downstream_at=("L3.resid_pre", "L3.resid_post"), kl=0.5),
}
CASES = [(name, dtype) for name in OBJECTIVES for dtype in (torch.float64, torch.float32)]


def to_ours(name: str) -> str:
    """L3.resid_pre of blocks.3.hook_resid_pre."""
    block, layer, part = name.split(".")
    assert block == "blocks"
    return f"L{layer}.{part.removeprefix('hook_')}"


class Case:
    """One golden case: the model, the dictionary before training, and what the reference computed."""

    def __init__(self, shared: Path, name: str, dtype: torch.dtype) -> None:
        folder = shared / "golden/dictionaries"
        self.dtype, self.objective = dtype, OBJECTIVES[name]
        start = dict(np.load(folder / f"case_{name}.npz"))
        file = f"case_{name}_f64.npz" if dtype == torch.float64 else f"case_{name}.npz"
        self.golden: dict[str, Any] = dict(np.load(folder / file))
        self.tolerance = 1e-9 if dtype == torch.float64 else 1e-5
        with np.load(folder / "model_gpt2like.npz") as weights:
            state = {key: torch.from_numpy(weights[key]) for key in weights.files}
        cfg = json.loads((folder / "model_gpt2like.json").read_text())
        self.model: Transformer = from_transformer_lens(state, cfg, dtype=dtype)
        self.tokens = torch.from_numpy(start["tokens"])
        self.dictionary: Dictionary = make_dictionary(DictionaryConfig("relu", 32, 128)).to(dtype)
        self.load({key: torch.from_numpy(start[f"sae/blocks-2-hook_resid_pre.{key}"]) for key in PLACES.values()})

    def load(self, tensors: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for ours, theirs in PLACES.items():
                value = tensors[theirs]
                getattr(self.dictionary, ours).copy_(value.T if value.ndim == 2 else value)

    def check(self, ours: Tensor | float, key: str) -> None:
        value = torch.as_tensor(ours, dtype=torch.float64).detach()
        expected = torch.as_tensor(self.golden[key], dtype=torch.float64).squeeze()
        assert value.shape == expected.shape, key
        scale = max(1.0, float(expected.abs().max()))
        assert float((value - expected).abs().max()) <= self.tolerance * scale, key

    def run(self) -> tuple[Tensor, dict[str, Tensor], Any, Any]:
        config, objective = self.model.config, self.objective
        sites = find_sites([SITE], config)
        whole = objective.of_output
        clean = clean_pass(self.model, self.tokens, needed_names(sites, objective, config), [2], whole=whole)
        original = original_output(self.model, clean.final, share=False) if clean.final is not None else None
        total, terms, found = losses(self.model, {SITE: self.dictionary}, objective, clean, original)
        return total, terms, found, clean


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{str(case[1])[6:]}")
def case(request: pytest.FixtureRequest, shared: Path) -> Case:
    return Case(shared, *request.param)


def test_losses_gradients_and_an_adam_step(case: Case) -> None:
    """Every loss term, what the dictionary made, gradients, their norm, and the weights after one step of Adam."""
    with frozen(case.model):
        total, terms, found, _ = case.run()
        total.backward()
        assert all(p.grad is None for p in case.model.parameters())
    case.check(total, "loss_total")
    made = found[SITE]
    for ours, theirs in (("x", "input"), ("codes", "c"), ("output", "output")):
        case.check(getattr(made, ours), f"new_acts/{THEIRS}/{theirs}")
    if "kl" in terms:
        case.check(terms["kl"], "loss_dict/loss/train/logits_kl")
    case.check(terms[f"sparsity/{SITE}"], f"loss_dict/loss/train/sparsity/{THEIRS}")
    if case.objective.local:
        case.check(terms[f"local/{SITE}"], f"loss_dict/loss/train/out_to_in/{THEIRS}")
    for name in case.objective.downstream_at or ():
        place = "blocks." + name[1:].replace(".", ".hook_")
        case.check(terms[f"downstream/{name}"], f"loss_dict/loss/train/in_to_orig/{place}")
    for ours, theirs in PLACES.items():
        grad = getattr(case.dictionary, ours).grad
        case.check(grad.T if grad.ndim == 2 else grad, f"grad/blocks-2-hook_resid_pre.{theirs}")
    norm = torch.nn.utils.clip_grad_norm_(case.dictionary.parameters(), 10.0)
    case.check(norm, "grad_norm")
    torch.optim.Adam(case.dictionary.parameters(), lr=5e-4).step()
    for ours, theirs in PLACES.items():
        value = getattr(case.dictionary, ours)
        case.check(value.T if value.ndim == 2 else value, f"after_1_adam_step/blocks-2-hook_resid_pre.{theirs}")


@torch.no_grad()
def test_metrics_and_legacy_metrics(case: Case) -> None:
    """Logits, activations behind the dictionary, and the reference's metrics as it defines them."""
    names = ("L2.resid_pre", "L3.resid_pre", "L3.resid_post")
    clean = clean_pass(case.model, case.tokens, names, [2], whole=True)
    behind = InsertedPass(case.model, {SITE: case.dictionary}, clean, names)
    assert clean.final is not None
    original, inserted = (case.model.unembed(x) for x in (clean.final, behind.final))
    made = behind.found[SITE]
    if "orig_logits" in case.golden:
        case.check(original, "orig_logits")
        case.check(inserted, "new_logits")
        for key, value in legacy_metrics(case.tokens, original, inserted).items():
            case.check(value, f"metrics/performance/train/{key}")
    for key in [k for k in case.golden if k.startswith("orig_acts/")]:
        case.check(clean.activations[to_ours(key.removeprefix("orig_acts/"))], key)
    sparsity: Any = legacy_sparsity_metrics(made.codes)
    case.check(sparsity["L_0"], f"metrics/sparsity/train/L_0/{THEIRS}")
    case.check(sparsity["frac_zeros"], f"metrics/sparsity/train/frac_zeros/{THEIRS}")
    case.check(sparsity["alive_dict_elements"], f"metrics/sparsity/alive_dict_elements/{THEIRS}")
    indices = case.golden[f"metrics/sparsity/alive_dict_elements_indices/{THEIRS}"].tolist()
    assert sparsity["alive_dict_elements_indices"] == indices
    variances = {f"out_to_in/{{}}/{THEIRS}": (made.x, made.output)}
    for name in case.objective.downstream_at or ():
        place = "blocks." + name[1:].replace(".", ".hook_")
        variances[f"in_to_orig/{{}}/{place}"] = (behind.kept[name], clean.activations[name])
    for key, (pred, target) in variances.items():
        for suffix, layer_norm in (("", False), ("_ln", True)):
            value = legacy_explained_variance(pred, target, layer_norm=layer_norm)
            case.check(value.mean(), "loss_dict/loss/train/" + key.format(f"explained_variance{suffix}"))
            case.check(value.std(), "loss_dict/loss/train/" + key.format(f"explained_variance{suffix}_std"))


def test_the_first_weights_are_the_references(shared: Path) -> None:
    """The same generator state gives the reference's initial encoder, biases and orthogonal decoder."""
    with np.load(shared / "golden/dictionaries/case_local.npz") as golden:
        ours = make_dictionary(DictionaryConfig("relu", 32, 128), seed=7)
        for name, theirs in PLACES.items():
            value, expected = getattr(ours, name), golden[f"sae_init_seed7/blocks-2-hook_resid_pre.{theirs}"]
            np.testing.assert_allclose((value.T if value.ndim == 2 else value).detach(), expected, atol=1e-6)


def test_schedules(shared: Path) -> None:
    """Cosine and linear schedules of the reference, past their end."""
    with np.load(shared / "golden/dictionaries/schedules.npz") as golden:
        for key, warmup, steps, floor in (
            ("cosine_warm1250_n25000_min0.1", 1250, 25000, 0.1),
            ("cosine_warm5_n50_min0.1", 5, 50, 0.1),
            ("cosine_warm0_n30_min0.0", 0, 30, 0.0),
        ):
            schedule = ReferenceCosine(steps, 5e-4, warmup=warmup, floor=floor)
            ours = [schedule.at(step) for step in range(len(golden[key]))]
            np.testing.assert_allclose(ours, golden[key], rtol=1e-12, atol=0)
        for key, warmup, cooldown, steps, floor in (
            ("linear_w100_c100_n1000_ebs10_min0.0", 10, 10, 100, 0.0),
            ("linear_w100_c200_n1000_ebs10_min0.1", 10, 20, 100, 0.1),
            ("linear_w0_c0_nNone_ebs10_min0.0", 0, 0, 100, 0.0),
        ):
            schedule = ReferenceLinear(steps, 1.0, "linear", warmup, floor, cooldown)
            ours = [schedule.at(step) for step in range(len(golden[key]))]
            np.testing.assert_allclose(ours, golden[key], rtol=1e-12, atol=1e-15)
