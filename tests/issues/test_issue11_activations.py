"""Issue 11, section 1: run_with_cache keeps what is asked for, by name or pattern, and refuses what is too much."""

from __future__ import annotations

import pytest
import torch

from toulmin.faults import ExitCode, FaultError
from toulmin.subjects import Transformer, TransformerConfig, activation_names, cache_bytes, load

TOKENS = torch.tensor([[1, 2, 3, 4, 5], [5, 4, 3, 2, 0]])
SIZES = {"n_layers": 3, "d_model": 16, "n_heads": 4, "d_head": 4, "d_vocab": 11, "n_ctx": 8, "d_mlp": 20}
VARIANTS = {
    "gpt2": {},
    "attention only": {"d_mlp": 0},
    "llama": {"positions": "rotary", "norm": "rms", "gated": True, "biases": (), "n_kv_heads": 2},
    "parallel": {"parallel": True},
    "gemma2": {"positions": "rotary", "post_norms": True, "norm": "rms", "biases": ()},
}


def make(name: str) -> Transformer:
    return Transformer(TransformerConfig(**{**SIZES, **VARIANTS[name]}), torch.Generator().manual_seed(2)).double()


@pytest.mark.parametrize("name", VARIANTS)
def test_what_a_component_writes_is_there_by_default(name: str) -> None:
    """As the README writes it: cache["L1.H3"] after a plain call."""
    model = make(name)
    named = [f"L{layer}.result" for layer in range(3)] + [
        f"L{layer}.H{head}" for layer in range(3) for head in range(4)
    ]
    with torch.no_grad():
        cache, wanted = model.run_with_cache(TOKENS)[1], model.run_with_cache(TOKENS, named)[1]
    assert not set(named) & set(cache)
    for each in named:
        torch.testing.assert_close(cache[each], wanted[each], rtol=0, atol=1e-12)
    if model.config.d_mlp:
        assert cache["L2.mlp"] is cache["L2.mlp_out"]
    assert list(cache) == [each for each in activation_names(model.config) if not each.endswith(".result")]


def test_the_readme_s_lines() -> None:
    model = load("embedded:induction-2l").model
    with torch.no_grad():
        _, cache = model.run_with_cache(TOKENS)
    assert cache["L1.H3"].shape == cache["L1.resid_pre"].shape
    assert cache["L0.pattern"].shape == (2, model.config.n_heads, 5, 5)


def test_a_head_that_was_edited_is_looked_up_as_edited() -> None:
    model = make("gpt2")
    _, cache = model.run_with_cache(TOKENS, edits={"L1.H2": torch.zeros_like, "L0.result": lambda value: value * 2})
    plain = model.run_with_cache(TOKENS)[1]
    assert cache["L1.H2"].abs().max() == 0
    assert cache["L1.result"][..., 2, :].abs().max() == 0
    torch.testing.assert_close(cache["L0.H1"], 2 * plain["L0.H1"])


def test_two_edited_heads_of_a_layer_are_both_kept() -> None:
    model = make("gpt2")
    edits = {"L0.H1": torch.zeros_like, "L0.H2": torch.ones_like}
    cache = model.run_with_cache(TOKENS, ["L0.H1", "L0.H2", "L0.result"], edits)[1]
    torch.testing.assert_close(cache["L0.H1"], cache["L0.result"][..., 1, :])
    assert bool((cache["L0.H2"] == 1).all())


def test_patterns() -> None:
    model = make("gpt2")
    cache = model.run_with_cache(TOKENS, ["L*.pattern", "L0.H*", "L[12].mlp"])[1]
    heads = [f"L0.H{head}" for head in range(4)]
    assert list(cache) == ["L0.pattern", "L1.pattern", "L2.pattern", *heads, "L1.mlp", "L2.mlp"]
    whole = model.run_with_cache(TOKENS, "L1.*")[1]
    assert "L1.result" not in whole
    assert {"L1.q", "L1.resid_post"} <= set(whole)
    assert all(name.startswith("L1.") and ".H" not in name for name in whole)
    assert list(model.run_with_cache(TOKENS, ["L?.result"])[1]) == ["L0.result", "L1.result", "L2.result"]
    zeroed = model.run_with_cache(TOKENS, "L1.resid_mid", {"L1.H*": torch.zeros_like})[1]
    before = model.run_with_cache(TOKENS, "L1.resid_pre")[1]["L1.resid_pre"]
    bias = model.layers[1].attn.b_O
    assert bias is not None
    torch.testing.assert_close(zeroed["L1.resid_mid"], before + bias)
    with pytest.raises(FaultError) as caught:
        model.run_with_cache(TOKENS, ["L7.*", "L0.patern"], {"*.nothing": torch.zeros_like})
    assert [fault.name for fault in caught.value.faults] == ["L7.*", "L0.patern", "*.nothing"]
    assert "L0.pattern" in str(caught.value.faults[1].hint)


@pytest.mark.parametrize("stop", [0, 1, 3])
def test_a_pass_that_stops(stop: int) -> None:
    model = make("llama")
    resid, cache = model.run_with_cache(TOKENS, stop_at=stop)
    torch.testing.assert_close(resid, model.run_to(TOKENS, stop))
    layers = [name for name in activation_names(model.config) if name[0] == "L" and int(name[1]) < stop]
    assert list(cache) == ["embed", *(name for name in layers if not name.endswith(".result"))]


def test_what_a_pass_that_stops_does_not_reach_is_refused() -> None:
    model = make("gpt2")
    calls: list[int] = []

    def count(value: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        return value

    with pytest.raises(FaultError) as caught:
        model.run_with_cache(TOKENS, ["L0.z", "L1.z", "logits"], {"L2.q": count}, stop_at=1)
    assert [fault.name for fault in caught.value.faults] == ["L1.z", "logits", "L2.q"]
    assert not calls
    for stop in (-1, 4):
        with pytest.raises(FaultError, match="layers 0 to 2"):
            model.run_with_cache(TOKENS, stop_at=stop)


def test_what_was_not_recorded_says_so() -> None:
    model = make("gpt2")
    cache = model.run_with_cache(TOKENS, ["L0.z"])[1]
    assert cache["L0.H1"].shape == (2, 5, 16)
    for name, message in (("L1.H1", "not recorded"), ("L0.q", "not recorded"), ("L0.H9", "of that name")):
        with pytest.raises(FaultError, match=message):
            cache[name]
    assert "L1.H1" not in cache


@pytest.mark.parametrize("name", VARIANTS)
def test_the_estimate_is_what_the_tensors_take(name: str) -> None:
    model = make(name)
    for asked in (None, ["*", "L*.result"], ["L*.H*"], ["L1.mlp_out", "L1.pattern"][model.config.d_mlp == 0 :]):
        with torch.no_grad():
            cache = model.run_with_cache(TOKENS, asked)[1]
        storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in cache.values()}
        estimate = cache_bytes(model.config, asked or list(cache), 2, 5, 8)
        assert estimate == sum(storages.values())


def test_too_much_is_refused_before_it_is_computed() -> None:
    model = make("gpt2")
    calls: list[int] = []
    with pytest.raises(FaultError, match=r"take .* GB.*largest.*name fewer") as caught:
        model.run_with_cache(TOKENS, edits={"embed": lambda value: calls.append(1) or value}, max_bytes=10_000)
    assert caught.value.exit_code == ExitCode.LIMIT
    assert not calls
    model.run_with_cache(TOKENS, ["logits"], max_bytes=2 * 5 * 11 * 8)
    with pytest.raises(FaultError):
        model.run_with_cache(TOKENS, ["logits"], max_bytes=2 * 5 * 11 * 8 - 1)


def test_results_of_a_real_model_are_not_kept_unasked() -> None:
    """SmolLM2-135M at 4 x 256 tokens, on paper: results would add two thirds of a gigabyte."""
    config = TransformerConfig(
        n_layers=30, d_model=576, n_heads=9, n_kv_heads=3, d_head=64, d_vocab=49152, n_ctx=8192, d_mlp=1536,
        positions="rotary", norm="rms", gated=True, biases=(), tied=True,
    )  # fmt: skip
    names = [name for name in activation_names(config) if not name.endswith(".result")]
    default, everything = (cache_bytes(config, chosen, 4, 256) for chosen in (names, activation_names(config)))
    assert everything - default == 30 * 9 * 576 * 4 * 256 * 4
    assert default < 2 << 30 < everything + (1 << 29)
