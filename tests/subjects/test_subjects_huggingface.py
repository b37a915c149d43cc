"""Every family against ``transformers`` on tiny random models: logits, generation with a cache, shards, ties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from toulmin.subjects import from_huggingface, generate, load_huggingface

COMMON: dict[str, Any] = {"vocab_size": 61, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0}
LLAMA = COMMON | {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 1000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
GEMMA = LLAMA | {"head_dim": 16}
GPT2 = COMMON | {"n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 128}
NEOX = LLAMA | {"hidden_size": 32, "num_attention_heads": 2, "num_key_value_heads": 2}
NEO = COMMON | {
    "hidden_size": 32,
    "num_layers": 4,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 2]],
    "window_size": 5,
    "max_position_embeddings": 128,
}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("GPT2", GPT2),
    "gpt2-untied": ("GPT2", GPT2 | {"tie_word_embeddings": False, "n_inner": 40, "activation_function": "relu"}),
    "gpt_neo": ("GPTNeo", NEO),
    "neox": (
        "GPTNeoX",
        NEOX | {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0, "partial_rotary_factor": 0.25}},
    ),
    "neox-sequential": ("GPTNeoX", NEOX | {"use_parallel_residual": False, "tie_word_embeddings": True}),
    "llama": ("Llama", LLAMA),
    "llama-3": ("Llama", LLAMA | {"rope_parameters": LLAMA3_ROPE, "tie_word_embeddings": True}),
    "llama-biased": ("Llama", LLAMA | {"attention_bias": True, "mlp_bias": True}),
    "llama-linear": ("Llama", LLAMA | {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 500.0}}),
    "mistral": ("Mistral", LLAMA | {"sliding_window": 7, "head_dim": 16}),
    "qwen2": ("Qwen2", LLAMA | {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    "qwen3": ("Qwen3", LLAMA | {"head_dim": 16}),
    "gemma": ("Gemma", GEMMA),
    "gemma2": ("Gemma2", GEMMA | {"sliding_window": 6, "query_pre_attn_scalar": 24}),
    "gemma3": ("Gemma3Text", GEMMA | {"sliding_window": 6, "num_hidden_layers": 7, "query_pre_attn_scalar": 24}),
}


def reference_model(case: str) -> Any:
    name, settings = CASES[case]
    config = getattr(transformers, f"{name}Config")(**settings)
    config._attn_implementation = "eager"
    torch.manual_seed(3)
    stem = name.removesuffix("Text")
    model = getattr(
        transformers, f"{stem}ForCausalLM" if hasattr(transformers, f"{stem}ForCausalLM") else f"{stem}LMHeadModel"
    )(config)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms too, which would start at 0 and 1
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval()


@pytest.mark.parametrize("case", CASES)
def test_logits_and_generation(case: str, tmp_path: Path) -> None:
    reference = reference_model(case)
    reference.save_pretrained(tmp_path)
    model = load_huggingface(tmp_path)
    tokens = torch.randint(1, 61, (2, 40), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = reference(tokens).logits
        torch.testing.assert_close(model(tokens), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(model.run_with_cache(tokens, ["logits"])[0], expected, rtol=0, atol=1e-5)
    written = generate(
        model, tokens[:, :9], 64
    )  # with our cache; one pass of theirs tells whether each token is likeliest
    with torch.no_grad():
        assert torch.equal(reference(written).logits[:, 8:-1].argmax(-1), written[:, 9:])


@pytest.mark.parametrize("case", ["gpt2", "gemma3"])
def test_generation_against_their_cache(case: str, tmp_path: Path) -> None:
    reference = reference_model(case)
    tokens = torch.randint(1, 61, (2, 9), generator=torch.Generator().manual_seed(0))
    written = reference.generate(
        tokens, max_new_tokens=64, min_new_tokens=64, do_sample=False, use_cache=True, eos_token_id=None
    )
    assert torch.equal(generate(from_huggingface(reference), tokens, 64), written)


@pytest.mark.parametrize("case", ["gpt2", "neox", "gemma3"])
def test_live_object_and_double_precision(case: str) -> None:
    reference = reference_model(case).double()
    model = from_huggingface(reference)
    assert model.W_E.dtype == torch.float64
    tokens = torch.randint(1, 61, (1, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), reference(tokens).logits, rtol=0, atol=1e-5)


def test_shards(tmp_path: Path) -> None:
    reference = reference_model("llama")
    reference.save_pretrained(tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    tokens = torch.arange(1, 20)[None]
    with torch.no_grad():
        torch.testing.assert_close(load_huggingface(tmp_path)(tokens), reference(tokens).logits, rtol=0, atol=1e-5)


def test_old_names_of_rotary_settings(tmp_path: Path) -> None:
    reference = reference_model("llama-3")
    reference.save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    new = load_huggingface(tmp_path).config
    scaling = dict(settings.pop("rope_parameters"))
    settings["rope_theta"] = scaling.pop("rope_theta")
    settings["rope_scaling"] = scaling
    (tmp_path / "config.json").write_text(json.dumps(settings))
    assert load_huggingface(tmp_path).config == new
