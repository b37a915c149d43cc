"""Models in GGUF files, the format that llama.cpp, Ollama and LM Studio share.

A GGUF file holds metadata, a tokenizer and (mostly quantised) tensors under names of its own. They are dequantised by
the ``gguf`` package, renamed to those of the Hugging Face family, and then read as a Hugging Face model is
(:mod:`toulmin.subjects.huggingface`). Two things are undone on the way:

- Llama's converter permutes the rows of W_Q and W_K within each head, from halves to interleaved pairs, because
  llama.cpp rotates (0, 1), (2, 3), ...; transformers and Toulmin rotate (0, E/2), (1, E/2 + 1), ...
- Gemma's converter stores the factor 1 + w of each norm, and Hugging Face stores w.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError, require_extra
from toulmin.subjects.gguf_tokenizer import gguf_tokenizer
from toulmin.subjects.huggingface import convert_huggingface
from toulmin.subjects.tokenizers import Tokenizer
from toulmin.subjects.transformer import Transformer

#: architecture to Hugging Face's ``model_type``
ARCHITECTURES: Mapping[str, str] = {
    "llama": "llama",
    "mistral": "mistral",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3": "gemma3_text",
}
_PERMUTED = ("llama", "mistral")
_SETTINGS = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "context_length": "max_position_embeddings",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": "head_dim",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "attention.sliding_window": "sliding_window",
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
    "rope.freq_base": "rope_theta",
}
_TENSORS = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_POST_NORMS = {
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


def load_gguf(path: str | Path, dtype: torch.dtype = torch.float32) -> tuple[Transformer, Tokenizer | None]:
    """The model of a GGUF file, dequantised, and its tokenizer (None where the file has none).

    Quantised weights are read, the model computes in ``dtype``: this is the model that llama.cpp approximates, not its
    integer arithmetic.

    :raises FaultError: (exit code SUBJECT) not a GGUF file, an architecture or setting that is not supported, a tensor
        that is missing, unknown or of the wrong shape; (exit code MISSING) without the extra ``[gguf]``.
    """
    path = Path(path)
    reader = _open(path)
    metadata = _metadata(reader)
    kind = metadata.get("general.architecture")
    if kind not in ARCHITECTURES:
        message = f"architecture {kind!r:.60} is not supported; supported are {', '.join(ARCHITECTURES)}"
        raise FaultError(
            Fault("subjects.architecture", message, str(path), name="general.architecture"), ExitCode.SUBJECT
        )
    settings = _settings(str(kind), metadata, path)
    tensors = _tensors(str(kind), reader, settings, path)
    settings["tie_word_embeddings"] = "lm_head.weight" not in tensors
    if str(kind) == "llama":
        settings["attention_bias"] = "model.layers.0.self_attn.q_proj.bias" in tensors
    model = convert_huggingface(settings, tensors, str(path), dtype)
    return model, gguf_tokenizer(metadata, path)


def is_gguf(path: Path) -> bool:
    """Whether a file is one of GGUF, by its first bytes: Ollama's files have no ending."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _open(path: Path) -> Any:
    gguf = require_extra("gguf", "gguf")
    try:
        path.stat()
        if not is_gguf(path):
            raise FaultError(Fault("subjects.gguf", "not a GGUF file", str(path)), ExitCode.SUBJECT)
        return gguf.GGUFReader(path)
    except OSError as error:
        raise FaultError(Fault("subjects.gguf", error.strerror or str(error), str(path)), ExitCode.SUBJECT) from None
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, MemoryError) as error:
        message = f"cut off, or damaged: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        raise FaultError(Fault("subjects.gguf", message, str(path)), ExitCode.SUBJECT) from None


def _metadata(reader: Any) -> dict[str, Any]:
    return {name: field.contents() for name, field in reader.fields.items()}


def _settings(kind: str, metadata: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The metadata as the settings of a ``config.json``."""
    found: dict[str, Any] = {"model_type": ARCHITECTURES[kind]}
    for name, theirs in _SETTINGS.items():
        if f"{kind}.{name}" in metadata:
            found[theirs] = metadata[f"{kind}.{name}"]
    if kind in _PERMUTED and "head_dim" not in found and f"{kind}.rope.dimension_count" in metadata:
        found["head_dim"] = metadata[f"{kind}.rope.dimension_count"]
    tokens = metadata.get("tokenizer.ggml.tokens")
    found["vocab_size"] = metadata.get(f"{kind}.vocab_size", None if tokens is None else len(tokens))
    faults: list[Fault] = []
    scaling = metadata.get(f"{kind}.rope.scaling.type", "none")
    if scaling == "linear":
        found["rope_scaling"] = {"rope_type": "linear", "factor": metadata.get(f"{kind}.rope.scaling.factor")}
    elif scaling != "none":
        message = f"rotary scaling {scaling!r:.40} is not supported"
        faults.append(Fault("subjects.setting", message, str(path), name=f"{kind}.rope.scaling.type"))
    if metadata.get(f"{kind}.expert_count"):
        message = "mixtures of experts are not supported"
        faults.append(Fault("subjects.setting", message, str(path), name=f"{kind}.expert_count"))
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    if found.get("vocab_size") is None:
        del found["vocab_size"]
    if kind.startswith("gemma"):
        found["hidden_activation"] = "gelu_pytorch_tanh"
    if kind in ("gemma2", "gemma3"):
        found.setdefault("query_pre_attn_scalar", _query_scale(kind, found))
    return found


def _query_scale(kind: str, settings: Mapping[str, Any]) -> float:
    """What Gemma-2 and -3 divide scores by the root of: d_head, but d_model / H in the two 27B models.

    The files do not say it; llama.cpp too tells the 27B models by their number of layers.
    """
    if settings.get("num_hidden_layers") == {"gemma2": 46, "gemma3": 62}[kind]:
        return settings["hidden_size"] / settings["num_attention_heads"]
    return settings.get("head_dim", 256)


def _tensors(kind: str, reader: Any, settings: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Every tensor, dequantised, under Hugging Face's names."""
    quants = require_extra("gguf.quants", "gguf")
    names = _TENSORS | (_POST_NORMS if kind in ("gemma2", "gemma3") else {})
    found: dict[str, Tensor] = {}
    faults: list[Fault] = []
    for tensor in reader.tensors:
        name = _their_name(tensor.name, names)
        if name is None:
            message = f"not expected, of shape {[int(size) for size in reversed(tensor.shape)]}"
            hint = "rotary factors stored as a tensor are not supported" if "rope" in tensor.name else None
            faults.append(Fault("subjects.tensor_extra", message, str(path), name=tensor.name, hint=hint))
            continue
        try:
            values = np.array(quants.dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
            values = values.reshape([int(size) for size in reversed(tensor.shape)])
        except (NotImplementedError, ValueError) as error:
            message = f"stored as {tensor.tensor_type.name}, which cannot be read: {str(error).splitlines()[0]}"
            faults.append(Fault("subjects.tensor_type", message, str(path), name=tensor.name))
            continue
        found[name] = torch.from_numpy(_undo(kind, name, values, settings))
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return found


def _their_name(name: str, names: Mapping[str, str]) -> str | None:
    stem, _, leaf = name.rpartition(".")
    if name == "output.weight":
        return "lm_head.weight"
    if stem.startswith("blk."):
        _, layer, part = stem.split(".", 2)
        return f"model.layers.{layer}.{names[part]}.{leaf}" if part in names else None
    return f"model.{names[stem]}.{leaf}" if stem in ("token_embd", "output_norm") else None


def _undo(kind: str, name: str, values: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """The tensor as Hugging Face stores it."""
    if kind in _PERMUTED and (".q_proj." in name or ".k_proj." in name):
        heads = settings["num_attention_heads"]
        if ".k_proj." in name:
            heads = settings.get("num_key_value_heads", heads)
        pairs = values.reshape(heads, -1, 2, *values.shape[1:])
        return np.ascontiguousarray(pairs.swapaxes(1, 2)).reshape(values.shape)
    if kind.startswith("gemma") and name.endswith("norm.weight"):
        return values - 1
    return values
