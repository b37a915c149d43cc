"""One small table of features for each Hugging Face family: which settings mean what, and what its tensors are called.

A :class:`Family` has three parts: ``features`` turns ``config.json`` into the fields of a :class:`TransformerConfig`;
``tensors`` gives their name for each of our parameters (``{l}`` is the layer); and a few flags say how their tensors
are laid out. No family has code of its own beyond its row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from toulmin.subjects.settings import Settings

Features = dict[str, Any]


@dataclass(frozen=True)
class Family:
    """How one family of Hugging Face models maps to the factored transformer.

    :param prefix: of all tensors but the output matrix; some checkpoints leave it out.
    :param live: the names in a live object, where they differ from those in files.
    :param transposed: linear weights are stored [in, out] (GPT-2) instead of [out, in].
    :param packed: tensors that hold the rows of several of our parameters, one after the other.
    :param interleaved: packed Q, K and V take turns by head, [H, 3, E].
    :param norm_offset: added to every norm weight (Gemma stores w − 1).
    :param factors: by leaf of our names, constants of config.json that are multiplied into the weights (Granite).
    """

    features: Callable[[Settings], Features]
    tensors: Mapping[str, str]
    prefix: str
    live: Mapping[str, str] | None = None
    head: str = "lm_head.weight"
    transposed: bool = False
    packed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    interleaved: bool = False
    norm_offset: float = 0.0
    factors: Callable[[Settings], Mapping[str, float]] | None = None


#: buffers that checkpoints may carry beside their parameters
BUFFERS = (".attn.bias", ".attn.masked_bias", ".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq")


def _gpt2(s: Settings) -> Features:
    s.refuse("scale_attn_by_inverse_layer_idx", "add_cross_attention")
    width, heads = s.integer("n_embd"), s.integer("n_head")
    return {
        "n_layers": s.integer("n_layer"),
        "d_model": width,
        "n_heads": heads,
        "d_head": s.divide("n_embd", "n_head"),
        "n_ctx": s.integer("n_positions"),
        "d_mlp": s.integer("n_inner", 4 * width),
        "activation": s.activation("activation_function", "gelu_new"),
        "norm_eps": s.number("layer_norm_epsilon", 1e-5),
        "attn_scale": None if s.flag("scale_attn_weights", True) else 1.0,
        "biases": ("q", "k", "v", "o", "mlp"),
    }


def _gpt_neo(s: Settings) -> Features:
    width, layers = s.integer("hidden_size"), s.integer("num_layers")
    local = s.integer("window_size", 256)
    kinds = s.layer_kinds("attention_layers", layers) or s.repeated_kinds("attention_types", layers)
    return {
        "n_layers": layers,
        "d_model": width,
        "n_heads": s.integer("num_heads"),
        "d_head": s.divide("hidden_size", "num_heads"),
        "n_ctx": s.integer("max_position_embeddings"),
        "d_mlp": s.integer("intermediate_size", 4 * width),
        "activation": s.activation("activation_function", "gelu_new"),
        "norm_eps": s.number("layer_norm_epsilon", 1e-5),
        "attn_scale": 1.0,
        "windows": tuple(local if kind == "local" else None for kind in kinds) if kinds else None,
        "biases": ("o", "mlp"),
    }


def _gpt_neox(s: Settings) -> Features:
    head = s.divide("hidden_size", "num_attention_heads")
    attention = ("q", "k", "v", "o") if s.flag("attention_bias", True) else ()
    part = s.rope_number("partial_rotary_factor", s.number("rotary_pct", 0.25))
    return {
        "n_layers": s.integer("num_hidden_layers"),
        "d_model": s.integer("hidden_size"),
        "n_heads": s.integer("num_attention_heads"),
        "d_head": head,
        "n_ctx": s.integer("max_position_embeddings"),
        "d_mlp": s.integer("intermediate_size"),
        "activation": s.activation("hidden_act", "gelu"),
        "norm_eps": s.number("layer_norm_eps", 1e-5),
        "positions": "rotary",
        "rotary_dim": int(head * part),
        "rotary_base": s.rope_number("rope_theta", s.number("rotary_emb_base", s.number("rope_theta", 10_000.0))),
        "rotary_scaling": s.rope_scaling(),
        "parallel": s.flag("use_parallel_residual", True),
        "biases": (*attention, "mlp"),
    }


def _llama(s: Settings) -> Features:
    heads = s.integer("num_attention_heads")
    head = s.integer("head_dim", None) or s.divide("hidden_size", "num_attention_heads")
    attention = ("q", "k", "v", "o") if s.flag("attention_bias", False) else ()
    return {
        "n_layers": s.integer("num_hidden_layers"),
        "d_model": s.integer("hidden_size"),
        "n_heads": heads,
        "d_head": head,
        "n_kv_heads": s.integer("num_key_value_heads", heads),
        "n_ctx": s.integer("max_position_embeddings"),
        "d_mlp": s.integer("intermediate_size"),
        "activation": s.activation("hidden_act", "silu"),
        "gated": True,
        "norm": "rms",
        "norm_eps": s.number("rms_norm_eps", 1e-6),
        "positions": "rotary",
        "rotary_dim": int(head * s.rope_number("partial_rotary_factor", s.number("partial_rotary_factor", 1.0))),
        "rotary_base": s.rope_number("rope_theta", s.number("rope_theta", 10_000.0)),
        "rotary_scaling": s.rope_scaling(),
        "biases": attention + (("mlp",) if s.flag("mlp_bias", False) else ()),
    }


def _mistral(s: Settings) -> Features:
    features = _llama(s)
    window = s.integer("sliding_window", None)
    return features | {"windows": None if window is None else (window,) * s.bounded_layers(features["n_layers"])}


def _qwen2(s: Settings) -> Features:
    return _llama(s) | {"biases": ("q", "k", "v"), "windows": _qwen_windows(s)}


def _qwen3(s: Settings) -> Features:
    return _llama(s) | {"qk_norm": True, "windows": _qwen_windows(s)}


def _qwen_windows(s: Settings) -> tuple[int | None, ...] | None:
    layers = s.bounded_layers(s.integer("num_hidden_layers"))
    window = s.integer("sliding_window", None)
    if window is None or not s.flag("use_sliding_window", False):
        return None
    full = s.integer("max_window_layers", layers)
    kinds = s.layer_kinds("layer_types", layers) or [
        "sliding_attention" if layer >= full else "full_attention" for layer in range(layers)
    ]
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)


def _gemma(s: Settings) -> Features:
    activation = "hidden_activation" if s.has("hidden_activation") else "hidden_act"
    return _llama(s) | {
        "activation": s.activation(activation, "gelu_pytorch_tanh", {"gelu": "gelu_tanh"}),
        "embed_scale": s.integer("hidden_size") ** 0.5,
    }


def _gemma2(s: Settings) -> Features:
    layers = s.bounded_layers(s.integer("num_hidden_layers"))
    period = s.integer("sliding_window_pattern", s.integer("_sliding_window_pattern", 2))
    kinds = s.layer_kinds("layer_types", layers) or [
        "full_attention" if (layer + 1) % period == 0 else "sliding_attention" for layer in range(layers)
    ]
    window = s.integer("sliding_window", 4096)
    return _gemma(s) | {
        "post_norms": True,
        "attn_scale": s.number("query_pre_attn_scalar", 256.0) ** -0.5,
        "attn_softcap": s.number("attn_logit_softcapping", None),
        "logit_softcap": s.number("final_logit_softcapping", None),
        "windows": tuple(window if kind == "sliding_attention" else None for kind in kinds),
    }


def _gemma3(s: Settings) -> Features:
    if not s.has("layer_types", "sliding_window_pattern", "_sliding_window_pattern"):
        s.assume("sliding_window_pattern", 6)
    s.refuse("use_bidirectional_attention")
    s.refuse_scaling("sliding_attention")
    base = s.rope_number("rope_theta", s.number("rope_theta", 1_000_000.0), "full_attention")
    local = s.rope_number("rope_theta", s.number("rope_local_base_freq", 10_000.0), "sliding_attention")
    return _gemma2(s) | {
        "qk_norm": True,
        "rotary_base": base,
        "rotary_local_base": local,
        "rotary_scaling": s.rope_scaling("full_attention"),
    }


def _olmo2(s: Settings) -> Features:
    normed = {"pre_norms": False, "post_norms": True, "qk_norm": True, "qk_norm_joint": True}
    return _llama(s) | normed | {"norm_eps": s.number("rms_norm_eps", 1e-5)}


def _olmo3(s: Settings) -> Features:
    layers = s.bounded_layers(s.integer("num_hidden_layers"))
    kinds = s.layer_kinds("layer_types", layers) or [
        "full_attention" if (layer + 1) % 4 == 0 else "sliding_attention" for layer in range(layers)
    ]
    window = s.integer("sliding_window", 4096)
    base = s.number("rope_theta", 500_000.0)
    s.refuse_scaling("sliding_attention")
    return _olmo2(s) | {
        "windows": tuple(window if kind == "sliding_attention" else None for kind in kinds),
        "rotary_base": s.rope_number("rope_theta", base, "full_attention"),
        "rotary_local_base": s.rope_number("rope_theta", base, "sliding_attention"),
        "rotary_scaling": s.rope_scaling("full_attention"),
    }


def _phi3(s: Settings) -> Features:
    return _mistral(s) | {"biases": (), "norm_eps": s.number("rms_norm_eps", 1e-5)}


def _smollm3(s: Settings) -> Features:
    layers = s.bounded_layers(s.integer("num_hidden_layers"))
    every = s.integer("no_rope_layer_interval", 4)
    rotary = s.flags("no_rope_layers", layers) or tuple((layer + 1) % every != 0 for layer in range(layers))
    window = s.integer("sliding_window", None) if s.flag("use_sliding_window", False) else None
    kinds = s.layer_kinds("layer_types", layers) or [
        "full_attention" if rotates else "sliding_attention" for rotates in rotary
    ]
    return _llama(s) | {
        "rotary_base": s.rope_number("rope_theta", s.number("rope_theta", 2_000_000.0)),
        "unrotated_layers": tuple(layer for layer, rotates in enumerate(rotary) if not rotates),
        "windows": None if window is None else tuple(window if kind == "sliding_attention" else None for kind in kinds),
    }


def _granite(s: Settings) -> Features:
    return _llama(s) | {
        "embed_scale": s.number("embedding_multiplier", 1.0),
        "attn_scale": s.number("attention_multiplier", 1.0),
    }


def _granite_factors(s: Settings) -> Mapping[str, float]:
    written = s.number("residual_multiplier", 1.0)
    parts: dict[str, float] = dict.fromkeys(("attn.W_O", "attn.b_O", "mlp.W_out", "mlp.b_out"), written)
    return parts | {"final_norm.w": 1.0 / s.number("logits_scaling", 1.0)}


def _experts(s: Settings, count: str, width: str, norm_default: bool) -> Features:
    experts = s.integer(count)
    return {
        "d_mlp": experts * s.integer(width),
        "n_experts": experts,
        "experts_per_token": s.integer("num_experts_per_tok"),
        "normalise_routing": s.flag("norm_topk_prob", norm_default),
    }


def _qwen3_moe(s: Settings) -> Features:
    if s.integer("decoder_sparse_step", 1) != 1:
        s.fault("decoder_sparse_step", "layers with and without experts in one model are not supported")
    s.refuse("mlp_only_layers")
    count = "num_experts" if s.has("num_experts") else "num_local_experts"
    return _qwen3(s) | _experts(s, count, "moe_intermediate_size", False)


def _olmoe(s: Settings) -> Features:
    s.refuse("clip_qkv")
    count = "num_experts" if s.has("num_experts") else "num_local_experts"
    experts = _experts(s, count, "intermediate_size", False)
    return _llama(s) | {"qk_norm": True, "qk_norm_joint": True, "norm_eps": s.number("rms_norm_eps", 1e-5)} | experts


def _mixtral(s: Settings) -> Features:
    # the softmax over the chosen experts' scores is that over all, divided by the sum of the chosen
    return _mistral(s) | _experts(s, "num_local_experts", "intermediate_size", True) | {"normalise_routing": True}


_GPT2 = {
    "W_E": "wte.weight",
    "W_pos": "wpe.weight",
    "norm1.w": "h.{l}.ln_1.weight",
    "norm1.b": "h.{l}.ln_1.bias",
    "attn.qkv": "h.{l}.attn.c_attn.weight",
    "attn.qkv_bias": "h.{l}.attn.c_attn.bias",
    "attn.W_O": "h.{l}.attn.c_proj.weight",
    "attn.b_O": "h.{l}.attn.c_proj.bias",
    "norm2.w": "h.{l}.ln_2.weight",
    "norm2.b": "h.{l}.ln_2.bias",
    "mlp.W_in": "h.{l}.mlp.c_fc.weight",
    "mlp.b_in": "h.{l}.mlp.c_fc.bias",
    "mlp.W_out": "h.{l}.mlp.c_proj.weight",
    "mlp.b_out": "h.{l}.mlp.c_proj.bias",
    "final_norm.w": "ln_f.weight",
    "final_norm.b": "ln_f.bias",
}
_GPT_NEO = {key: name for key, name in _GPT2.items() if "qkv" not in key} | {
    "attn.W_Q": "h.{l}.attn.attention.q_proj.weight",
    "attn.W_K": "h.{l}.attn.attention.k_proj.weight",
    "attn.W_V": "h.{l}.attn.attention.v_proj.weight",
    "attn.W_O": "h.{l}.attn.attention.out_proj.weight",
    "attn.b_O": "h.{l}.attn.attention.out_proj.bias",
}
_GPT_NEOX = {
    "W_E": "embed_in.weight",
    "norm1.w": "layers.{l}.input_layernorm.weight",
    "norm1.b": "layers.{l}.input_layernorm.bias",
    "attn.qkv": "layers.{l}.attention.query_key_value.weight",
    "attn.qkv_bias": "layers.{l}.attention.query_key_value.bias",
    "attn.W_O": "layers.{l}.attention.dense.weight",
    "attn.b_O": "layers.{l}.attention.dense.bias",
    "norm2.w": "layers.{l}.post_attention_layernorm.weight",
    "norm2.b": "layers.{l}.post_attention_layernorm.bias",
    "mlp.W_in": "layers.{l}.mlp.dense_h_to_4h.weight",
    "mlp.b_in": "layers.{l}.mlp.dense_h_to_4h.bias",
    "mlp.W_out": "layers.{l}.mlp.dense_4h_to_h.weight",
    "mlp.b_out": "layers.{l}.mlp.dense_4h_to_h.bias",
    "final_norm.w": "final_layer_norm.weight",
    "final_norm.b": "final_layer_norm.bias",
}
_LLAMA = {
    "W_E": "embed_tokens.weight",
    "norm1.w": "layers.{l}.input_layernorm.weight",
    "attn.W_Q": "layers.{l}.self_attn.q_proj.weight",
    "attn.W_K": "layers.{l}.self_attn.k_proj.weight",
    "attn.W_V": "layers.{l}.self_attn.v_proj.weight",
    "attn.W_O": "layers.{l}.self_attn.o_proj.weight",
    "attn.b_Q": "layers.{l}.self_attn.q_proj.bias",
    "attn.b_K": "layers.{l}.self_attn.k_proj.bias",
    "attn.b_V": "layers.{l}.self_attn.v_proj.bias",
    "attn.b_O": "layers.{l}.self_attn.o_proj.bias",
    "attn.q_norm.w": "layers.{l}.self_attn.q_norm.weight",
    "attn.k_norm.w": "layers.{l}.self_attn.k_norm.weight",
    "norm2.w": "layers.{l}.post_attention_layernorm.weight",
    "mlp.W_gate": "layers.{l}.mlp.gate_proj.weight",
    "mlp.b_gate": "layers.{l}.mlp.gate_proj.bias",
    "mlp.W_in": "layers.{l}.mlp.up_proj.weight",
    "mlp.b_in": "layers.{l}.mlp.up_proj.bias",
    "mlp.W_out": "layers.{l}.mlp.down_proj.weight",
    "mlp.b_out": "layers.{l}.mlp.down_proj.bias",
    "final_norm.w": "norm.weight",
}
_GEMMA2 = _LLAMA | {
    "post_norm1.w": "layers.{l}.post_attention_layernorm.weight",
    "norm2.w": "layers.{l}.pre_feedforward_layernorm.weight",
    "post_norm2.w": "layers.{l}.post_feedforward_layernorm.weight",
}

_OLMO2 = {key: name for key, name in _GEMMA2.items() if key not in ("norm1.w", "norm2.w")}
_PHI3 = _LLAMA | {
    "attn.qkv": "layers.{l}.self_attn.qkv_proj.weight",
    "mlp.gate_up": "layers.{l}.mlp.gate_up_proj.weight",
}
_MOE = _LLAMA | {
    "mlp.W_router": "layers.{l}.mlp.gate.weight",
    "mlp.W_gate": "layers.{l}.mlp.experts.{e}.gate_proj.weight",
    "mlp.W_in": "layers.{l}.mlp.experts.{e}.up_proj.weight",
    "mlp.W_out": "layers.{l}.mlp.experts.{e}.down_proj.weight",
}
_MIXTRAL = _LLAMA | {
    "mlp.W_router": "layers.{l}.block_sparse_moe.gate.weight",
    "mlp.W_gate": "layers.{l}.block_sparse_moe.experts.{e}.w1.weight",
    "mlp.W_in": "layers.{l}.block_sparse_moe.experts.{e}.w3.weight",
    "mlp.W_out": "layers.{l}.block_sparse_moe.experts.{e}.w2.weight",
}
_QKV = {"attn.qkv": ("attn.W_Q", "attn.W_K", "attn.W_V")}
_QKV_BIASED = _QKV | {"attn.qkv_bias": ("attn.b_Q", "attn.b_K", "attn.b_V")}
_PHI3_PACKED = _QKV | {"mlp.gate_up": ("mlp.W_gate", "mlp.W_in")}

#: families that are known and cannot be taken, with the reason
REFUSED: Mapping[str, str] = {
    "gpt_oss": "it has attention sinks, clamped gates and experts with biases, which the transformer here has not",
    "gemma3": "it has an image encoder; a text model (gemma3_text) is taken",
    "granitemoe": "its experts' tensors are laid out in a way that is not read; granite is taken",
}

#: by ``model_type`` of config.json
FAMILIES: Mapping[str, Family] = {
    "gpt2": Family(_gpt2, _GPT2, "transformer.", transposed=True, packed=_QKV_BIASED),
    "gpt_neo": Family(_gpt_neo, _GPT_NEO, "transformer."),
    "gpt_neox": Family(
        _gpt_neox, _GPT_NEOX, "gpt_neox.", head="embed_out.weight", packed=_QKV_BIASED, interleaved=True
    ),
    "llama": Family(_llama, _LLAMA, "model."),
    "mistral": Family(_mistral, _LLAMA, "model."),
    "qwen2": Family(_qwen2, _LLAMA, "model."),
    "qwen3": Family(_qwen3, _LLAMA, "model."),
    "gemma": Family(_gemma, _LLAMA, "model.", norm_offset=1.0),
    "gemma2": Family(_gemma2, _GEMMA2, "model.", norm_offset=1.0),
    "gemma3_text": Family(_gemma3, _GEMMA2, "model.", norm_offset=1.0),
    "olmo2": Family(_olmo2, _OLMO2, "model."),
    "olmo3": Family(_olmo3, _OLMO2, "model."),
    "phi3": Family(_phi3, _PHI3, "model.", packed=_PHI3_PACKED),
    "smollm3": Family(_smollm3, _LLAMA, "model."),
    "granite": Family(_granite, _LLAMA, "model.", factors=_granite_factors),
    "qwen3_moe": Family(_qwen3_moe, _MOE, "model."),
    "olmoe": Family(_olmoe, _MOE, "model."),
    "mixtral": Family(_mixtral, _MIXTRAL, "model.", live=_MOE),
}
