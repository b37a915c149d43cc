"""Every family against ``transformers`` on tiny random models: logits, generation with a cache, shards, ties."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from toulmin.faults import FaultError
from toulmin.subjects import from_huggingface, generate, load, load_huggingface, save_subject

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
YARN = {
    "rope_type": "yarn",
    "rope_theta": 1000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
    "beta_fast": 8.0,
}
OLMO3_ROPE = {"full_attention": YARN, "sliding_attention": {"rope_type": "default", "rope_theta": 300.0}}
MOE = LLAMA | {"intermediate_size": 16, "num_experts": 4, "num_experts_per_tok": 2}
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
    "olmo2": ("Olmo2", LLAMA),
    "olmo3": ("Olmo3", LLAMA | {"num_hidden_layers": 5, "sliding_window": 6, "rope_parameters": OLMO3_ROPE}),
    "phi3": (
        "Phi3",
        LLAMA | {"sliding_window": 7, "rope_parameters": {"rope_theta": 500.0, "partial_rotary_factor": 0.5}},
    ),
    "smollm3": ("SmolLM3", LLAMA | {"num_hidden_layers": 5}),
    "smollm3-windows": (
        "SmolLM3",
        LLAMA | {"no_rope_layers": [0, 1, 1], "use_sliding_window": True, "sliding_window": 6, "attention_bias": True},
    ),
    "granite": (
        "Granite",
        LLAMA
        | {"embedding_multiplier": 6.0, "logits_scaling": 4.0, "residual_multiplier": 0.3, "attention_multiplier": 0.2}
        | {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": True},
    ),
    "qwen3_moe": ("Qwen3Moe", MOE | {"moe_intermediate_size": 8, "head_dim": 16}),
    "qwen3_moe-normalised": ("Qwen3Moe", MOE | {"moe_intermediate_size": 8, "norm_topk_prob": True}),
    "olmoe": ("Olmoe", MOE),
    "mixtral": ("Mixtral", MOE | {"num_local_experts": 4}),
    "llama-yarn": ("Llama", LLAMA | {"rope_parameters": YARN}),
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


@pytest.mark.parametrize("case", ["gpt2", "neox", "gemma3", "phi3", "granite"])
def test_live_object_and_double_precision(case: str) -> None:
    reference = reference_model(case).double()
    model = from_huggingface(reference)
    assert model.W_E.dtype == torch.float64
    tokens = torch.randint(1, 61, (1, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), reference(tokens).logits, rtol=0, atol=1e-5)


def test_a_reference_loads_it(tmp_path: Path) -> None:
    reference_model("olmo2").save_pretrained(tmp_path)
    subject = load(f"dir:{tmp_path}")
    assert subject.model.config.post_norms
    assert not subject.model.config.pre_norms
    save_subject(tmp_path / "saved", subject.model)
    tokens = torch.arange(1, 20)[None]
    assert torch.equal(load(f"dir:{tmp_path / 'saved'}").model(tokens), subject.model(tokens))


def test_a_family_that_cannot_be_taken_says_why(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**MOE, "head_dim": 16, "num_local_experts": 4}
    config = transformers.GptOssConfig(**settings)
    transformers.GptOssForCausalLM(config).save_pretrained(tmp_path)
    with pytest.raises(FaultError) as caught:
        load_huggingface(tmp_path)
    (fault,) = caught.value.faults
    assert fault.name == "model_type"
    assert "attention sinks" in fault.message


@pytest.mark.parametrize(
    ("case", "changed", "name"),
    [
        ("qwen3_moe", {"decoder_sparse_step": 2}, "decoder_sparse_step"),
        ("qwen3_moe", {"mlp_only_layers": [1]}, "mlp_only_layers"),
        ("qwen3_moe", {"num_experts_per_tok": 9}, "experts_per_token"),
        ("olmo3", {"rope_parameters": {"sliding_attention": YARN}}, "rope_parameters.sliding_attention"),
        ("phi3", {"rope_parameters": {"rope_type": "longrope"}}, "rope_parameters.rope_type"),
        ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers"),
        ("llama-yarn", {"rope_parameters": YARN | {"mscale": 2.0}}, "rope_parameters.mscale"),
    ],
)
def test_settings_that_are_not_supported_are_named(
    case: str, changed: dict[str, Any], name: str, tmp_path: Path
) -> None:
    reference_model(case).save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(settings | changed))
    with pytest.raises(FaultError) as caught:
        load_huggingface(tmp_path)
    assert [fault.name for fault in caught.value.faults] == [name]


def test_a_missing_expert_is_named(tmp_path: Path) -> None:
    reference = reference_model("qwen3_moe")
    reference.save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    name = "model.layers.1.mlp.experts.2.up_proj.weight"
    del tensors[name]
    tensors["model.layers.0.mlp.experts.0.gate_proj.weight"] = torch.zeros(3, 32)
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(FaultError) as caught:
        load_huggingface(tmp_path)
    assert [fault.name for fault in caught.value.faults] == [name, "model.layers.0.mlp.experts.0.gate_proj.weight"]


@pytest.mark.parametrize("case", ["qwen3_moe", "mixtral"])
def test_live_experts(case: str) -> None:
    reference = reference_model(case)
    tokens = torch.randint(1, 61, (1, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference(tokens).logits
        torch.testing.assert_close(from_huggingface(reference)(tokens), expected, rtol=0, atol=1e-5)


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
