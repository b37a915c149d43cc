"""GGUF files, written here as llama.cpp's converter writes them: against the model they came from, and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer as Backend
from tokenizers import decoders, models, pre_tokenizers, trainers

from toulmin.faults import FaultError
from toulmin.subjects import Transformer, from_huggingface
from toulmin.subjects.gguf import load_gguf

gguf = pytest.importorskip("gguf")

BASE: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "tie_word_embeddings": True,
    "bos_token_id": 0,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("llama", "Llama", {"tie_word_embeddings": False}),
    "llama-tied": ("llama", "Llama", {}),
    "llama-biased": ("llama", "Llama", {"attention_bias": True}),
    "llama-linear": ("llama", "Llama", {"rope_parameters": {"rope_type": "linear", "factor": 4.0, "rope_theta": 5e2}}),
    "qwen2": ("qwen2", "Qwen2", {}),
    "qwen3": ("qwen3", "Qwen3", {"head_dim": 32}),
    # transformers ignores the head size of a Qwen3 file, so that only its default of 128 can be compared
    "qwen3-128": ("qwen3", "Qwen3", {"head_dim": 128}),
    "gemma": ("gemma", "Gemma", {"head_dim": 32}),
    "gemma2": ("gemma2", "Gemma2", {"head_dim": 32, "query_pre_attn_scalar": 32, "sliding_window": 8}),
}
NAMES = {
    "embed_tokens": "token_embd",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
GEMMA2 = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def original(case: str) -> tuple[str, Any]:
    architecture, name, settings = FAMILIES[case]
    config = getattr(transformers, f"{name}Config")(**(BASE | settings))
    config._attn_implementation = "eager"
    torch.manual_seed(5)
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            scale = 0.1 if "norm" in key else 0.3
            parameter.copy_(torch.randn_like(parameter) * scale + (1.0 if "norm" in key and "gemma" not in case else 0))
    return architecture, model


def their_name(key: str, architecture: str) -> str:
    if key == "lm_head.weight":
        return "output.weight"
    stem, leaf = key.removeprefix("model.").rsplit(".", 1)
    if stem == "norm":
        return f"output_norm.{leaf}"
    names = NAMES | (GEMMA2 if architecture == "gemma2" else {})
    if stem.startswith("layers."):
        _, layer, part = stem.split(".", 2)
        return f"blk.{layer}.{names[part]}.{leaf}"
    return f"{names[stem]}.{leaf}"


def convert(architecture: str, key: str, values: np.ndarray, config: Any) -> np.ndarray:
    """What llama.cpp's converter does to a tensor."""
    if architecture == "llama" and (".q_proj." in key or ".k_proj." in key):
        heads = config.num_attention_heads if ".q_proj." in key else config.num_key_value_heads
        halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
        return halves.swapaxes(1, 2).reshape(values.shape)
    if architecture.startswith("gemma") and key.endswith("norm.weight"):
        return values + 1
    return values


def write_gguf(path: Path, architecture: str, model: Any, kind: Any = None, tokenizer: Any = None) -> None:
    kind = kind or gguf.GGMLQuantizationType.F32
    config = model.config
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head)
    writer.add_value_length(head)
    rope = config.rope_parameters
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(head)
    if rope["rope_type"] == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    if architecture == "gemma2":
        writer.add_sliding_window(config.sliding_window)
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if tokenizer is not None:
        tokenizer(writer)
    for key, parameter in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        values = np.ascontiguousarray(convert(architecture, key, parameter.float().numpy(), config))
        stored = kind if values.ndim == 2 else gguf.GGMLQuantizationType.F32
        data = gguf.quants.quantize(values, stored)
        writer.add_tensor(their_name(key, architecture), data, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def same(a: Transformer, b: Transformer, atol: float = 0.0) -> None:
    theirs = b.state_dict()
    assert theirs.keys() == a.state_dict().keys()
    for name, value in a.state_dict().items():
        torch.testing.assert_close(value, theirs[name], rtol=0, atol=atol)


@pytest.mark.parametrize("case", FAMILIES)
def test_the_model_that_was_written_comes_back(case: str, tmp_path: Path) -> None:
    architecture, model = original(case)
    write_gguf(tmp_path / "model.gguf", architecture, model)
    ours, tokenizer = load_gguf(tmp_path / "model.gguf")
    assert tokenizer is None
    same(ours, from_huggingface(model), atol=2e-7 if architecture.startswith("gemma") else 0.0)  # w + 1 - 1
    tokens = torch.randint(1, 96, (2, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), model(tokens).logits, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
@pytest.mark.parametrize("case", ["llama", "qwen2", "qwen3-128", "gemma2"])
def test_quantised_tensors_are_bit_for_bit_those_of_transformers(case: str, kind: str, tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    architecture, model = original(case)
    write_gguf(tmp_path / "model.gguf", architecture, model, gguf.GGMLQuantizationType[kind])
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="model.gguf", dtype=torch.float32, attn_implementation="eager"
    )
    ours, _ = load_gguf(tmp_path / "model.gguf")
    same(ours, from_huggingface(theirs))


TEXTS = [
    "the cat sat on the mat",
    "It's 1234 o'clock,\n\n  isn't it?",
    "naïve café 中文 🙂",
    " a  b\tc ",
    "don't",
    "x" * 50,
]


def byte_level_tokenizer(words: str) -> Backend:
    """A small byte-level BPE that splits words the named way."""
    backend = Backend(models.BPE())
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if words == "smollm":
        backend.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level])
    else:
        backend.pre_tokenizer = level
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, initial_alphabet=alphabet, special_tokens=["<|end|>"], show_progress=False
    )
    backend.train_from_iterator(TEXTS * 5, trainer)
    return backend


@pytest.mark.parametrize("words", ["smollm", "gpt-2"])
def test_byte_level_tokenizers_give_the_ids_they_were_written_from(words: str, tmp_path: Path) -> None:
    import json

    backend = byte_level_tokenizer(words)
    data = json.loads(backend.to_str())["model"]
    tokens = [text for text, _ in sorted(data["vocab"].items(), key=lambda item: item[1])]

    def add(writer: Any) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(words)
        writer.add_token_list(tokens)
        writer.add_token_types([3 if text == "<|end|>" else 1 for text in tokens])
        writer.add_token_merges([" ".join(pair) for pair in data["merges"]])
        writer.add_bos_token_id(0)

    architecture, model = original("llama")
    write_gguf(tmp_path / "model.gguf", architecture, model, tokenizer=add)
    _, tokenizer = load_gguf(tmp_path / "model.gguf")
    assert tokenizer is not None
    assert tokenizer.bos == 0
    for text in [*TEXTS, "a<|end|>b"]:
        assert tokenizer.encode(text) == backend.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("<|end|>", "")


def test_sentence_piece_tokenizers_merge_by_score_and_fall_back_on_bytes(tmp_path: Path) -> None:
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    scored = [("▁", -1.0), ("a", -2.0), ("b", -3.0), ("ab", -4.0), ("▁a", -5.0), ("▁ab", -6.0), ("ba", -3.5)]
    tokens = pieces + [text for text, _ in scored]

    def add(writer: Any) -> None:
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * len(pieces) + [score for _, score in scored])
        writer.add_token_types([2, 3, 3, *[6] * 256, *[1] * len(scored)])
        writer.add_bos_token_id(1)
        writer.add_unk_token_id(0)

    architecture, model = original("llama")
    write_gguf(tmp_path / "model.gguf", architecture, model, tokenizer=add)
    _, tokenizer = load_gguf(tmp_path / "model.gguf")
    assert tokenizer is not None
    # by hand: "▁aba": "ba" (-3.5) is the best pair, then "▁a"
    assert tokenizer.tokens(tokenizer.encode("aba")) == ["▁a", "ba"]
    assert tokenizer.tokens(tokenizer.encode("ab")) == ["▁ab"]
    assert tokenizer.tokens(tokenizer.encode("é")) == ["▁", "<0xC3>", "<0xA9>"]
    assert tokenizer.decode(tokenizer.encode("ab ba é")) == "ab ba é"
    assert tokenizer.encode("a", bos=True)[0] == 1


def test_bad_files_have_a_fault_with_a_name(tmp_path: Path) -> None:
    (tmp_path / "no.gguf").write_bytes(b"nothing of the kind")
    with pytest.raises(FaultError, match="not a GGUF file"):
        load_gguf(tmp_path / "no.gguf")
    with pytest.raises(FaultError, match="No such file"):
        load_gguf(tmp_path / "absent.gguf")
    architecture, model = original("llama")
    write_gguf(tmp_path / "model.gguf", architecture, model)
    whole = (tmp_path / "model.gguf").read_bytes()
    for length in (20, 300, len(whole) // 2, len(whole) - 10):
        (tmp_path / "cut.gguf").write_bytes(whole[:length])
        with pytest.raises(FaultError) as caught:
            load_gguf(tmp_path / "cut.gguf")
        assert caught.value.faults[0].file == str(tmp_path / "cut.gguf")
    writer = gguf.GGUFWriter(tmp_path / "bert.gguf", "bert")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    with pytest.raises(FaultError, match="'bert' is not supported"):
        load_gguf(tmp_path / "bert.gguf")


def test_an_unknown_way_of_splitting_words_is_refused(tmp_path: Path) -> None:
    def add(writer: Any) -> None:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("of-tomorrow")
        writer.add_token_list(["a", "b"])
        writer.add_token_merges([])

    architecture, model = original("llama")
    write_gguf(tmp_path / "model.gguf", architecture, model, tokenizer=add)
    with pytest.raises(FaultError, match="of-tomorrow"):
        load_gguf(tmp_path / "model.gguf")


def test_a_gguf_file_is_a_subject_whatever_its_ending(tmp_path: Path) -> None:
    from toulmin.subjects import load

    architecture, model = original("llama")
    write_gguf(tmp_path / "sha256-blob", architecture, model)
    for reference in (f"gguf:{tmp_path / 'sha256-blob'}", f"file:{tmp_path / 'sha256-blob'}"):
        same(load(reference).model, from_huggingface(model))
