"""Models of TransformerLens: a state dict with its configuration, or a live model; and rib's checkpoints.

TransformerLens stores the same factors under other names, so this is a renaming. Weight processing done there (folded
norms, centred weights) is kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import RotaryScaling, TransformerConfig
from toulmin.subjects.tensors import build_transformer, parameter_shapes, read_pickle, without
from toulmin.subjects.transformer import Transformer
from toulmin.subjects.transformer_lens_bridge import from_bridge

_BUFFERS = ("attn.mask", "attn.IGNORE", "attn.rotary_sin", "attn.rotary_cos", "attn.alibi")
_PARTS = {"ln1": "norm1", "ln2": "norm2", "ln1_post": "post_norm1", "ln2_post": "post_norm2"}
_ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "gelu_pytorch_tanh": "gelu_tanh"}
_ACTIVATIONS |= {"relu": "relu", "silu": "silu"}
_POSITIONS = {"standard": "learned", "rotary": "rotary", "shortformer": "shortformer", "alibi": "alibi"}
_UNSUPPORTED = {
    "use_attn_in": False,
    "ungroup_grouped_query_attention": False,
    "num_experts": None,
    "act_fn_gate": None,
}


def from_transformer_lens(
    model: Any, cfg: Mapping[str, Any] | None = None, dtype: torch.dtype | None = None, file: str | None = None
) -> Transformer:
    """A factored transformer with the weights of a model of TransformerLens.

    :param model: a live HookedTransformer (up to version 3) or TransformerBridge (version 4), or the state dict of a
        HookedTransformer together with ``cfg``.
    :param dtype: default that of the weights.
    :raises FaultError: (exit code SUBJECT) for settings that are not supported and tensors that do not fit, by
        their names.
    """
    if cfg is None:
        if not hasattr(model, "cfg") or not hasattr(model, "state_dict"):
            message = f"a {type(model).__name__} is no HookedTransformer or TransformerBridge, and no cfg was given"
            raise FaultError(Fault("subjects.object", message, file), ExitCode.SUBJECT)
        if hasattr(model, "original_model"):
            return from_bridge(model, configure_transformer_lens, dtype)
        cfg, model = dict(vars(model.cfg)), model.state_dict()
    state = without(model, _BUFFERS)
    config = configure_transformer_lens(cfg, state, file)
    theirs = {ours: _name(ours, config) for ours in parameter_shapes(config)}
    if cfg.get("normalization_type") in ("LNPre", "RMSPre"):  # folded norms have no weights of their own
        for ours, shape in parameter_shapes(config).items():
            if theirs[ours] not in state and ours.endswith((".w", ".b")):
                state[theirs[ours]] = torch.ones(shape) if ours.endswith(".w") else torch.zeros(shape)
    if "unembed.b_U" in state and not bool(state["unembed.b_U"].any()) and "unembed" not in config.biases:
        del state["unembed.b_U"]
    if config.positions == "alibi":
        state.pop("pos_embed.W_pos", None)  # made there, never used
    if config.gated and "mlp" in config.biases:
        _fold_gated_biases(state, config)
    back = {name: ours for ours, name in theirs.items()}
    renamed = {back.get(name, name): tensor for name, tensor in state.items()}
    dtype = dtype or next(iter(state.values())).dtype
    try:
        return build_transformer(config, renamed, dtype=dtype, file=file)
    except FaultError as faulty:
        faults = [Fault(f.code, f.message, f.file, name=theirs.get(f.name or "", f.name)) for f in faulty.faults]
        raise FaultError(faults, faulty.exit_code) from None


def _fold_gated_biases(state: dict[str, Tensor], config: TransformerConfig) -> None:
    """TransformerLens adds b_in after the gate, ``(act(x W_gate) * (x W_in) + b_in) W_out + b_out``; so it is a part
    of b_out."""
    hidden, width = config.d_mlp, config.d_model
    shapes = {"b_in": (hidden,), "b_out": (width,), "W_out": (hidden, width)}
    for layer in range(config.n_layers):
        mlp = f"blocks.{layer}.mlp."
        state[mlp + "b_gate"] = torch.zeros(hidden, dtype=state.get(mlp + "b_in", torch.zeros(0)).dtype)
        if all(mlp + name in state and state[mlp + name].shape == shape for name, shape in shapes.items()):
            state[mlp + "b_out"] = state[mlp + "b_out"] + state[mlp + "b_in"] @ state[mlp + "W_out"]
            state[mlp + "b_in"] = torch.zeros_like(state[mlp + "b_in"])


def load_modadd(folder: str | Path, dtype: torch.dtype = torch.float32) -> Transformer:
    """A modular-addition transformer as rib trains it: ``config.yaml`` beside ``model_epoch_*.pt`` (the last one).

    :raises FaultError: (exit code SUBJECT).
    """
    folder = Path(folder)
    weights = sorted(folder.glob("model_epoch_*.pt"), key=lambda path: (len(path.name), path.name))
    if not weights:
        raise FaultError(Fault("subjects.weights_missing", "no model_epoch_*.pt", str(folder)), ExitCode.SUBJECT)
    cfg = _read_model_section(folder / "config.yaml")
    return from_transformer_lens(read_pickle(weights[-1]), cfg, dtype, str(weights[-1]))


def _read_model_section(path: Path) -> dict[str, Any]:
    """The scalars under ``model:`` of a two-level YAML file (all that such a file needs; YAML proper is not read)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FaultError(Fault("subjects.yaml", str(error), str(path)), ExitCode.SUBJECT) from None
    values: dict[str, Any] = {}
    inside = False
    for line in lines:
        if line and not line.startswith((" ", "#")):
            inside = line.strip() == "model:"
        elif inside and ":" in line:
            key, _, text = line.partition(":")
            text = text.strip()
            values[key.strip()] = None if text in ("null", "") else int(text) if text.isdigit() else text
    return values


def configure_transformer_lens(
    cfg: Mapping[str, Any], state: Mapping[str, Tensor], file: str | None
) -> TransformerConfig:
    """The shape that TransformerLens's settings describe; ``state`` says which biases the MLPs have.

    :raises FaultError: (exit code SUBJECT) for every setting that is not supported.
    """
    faults = [
        Fault("subjects.setting", "not supported", file, name=name)
        for name, usual in _UNSUPPORTED.items()
        if name != "use_attn_in" and cfg.get(name, usual) not in (usual, None, False)
    ]

    def choose(name: str, table: Mapping[str, str], default: str) -> Any:
        value = cfg.get(name) or default
        if value not in table:
            faults.append(Fault("subjects.setting", f"{value!r:.40} is not supported", file, name=name))
            value = default
        return table[value]

    def integer(name: str, default: int | None = None) -> int:
        value = cfg.get(name) if cfg.get(name) is not None else default
        if not isinstance(value, int) or isinstance(value, bool):
            faults.append(Fault("subjects.setting", f"expected a whole number, got {value!r:.40}", file, name=name))
            return 1
        return value

    norm = cfg.get("normalization_type")
    if norm not in (None, "LN", "LNPre", "RMS", "RMSPre"):
        faults.append(Fault("subjects.setting", f"{norm!r:.40} is not supported", file, name="normalization_type"))
    layers, heads, attn_only = integer("n_layers"), integer("n_heads"), bool(cfg.get("attn_only"))
    width, vocab_out = integer("d_model"), integer("d_vocab_out", -1)
    windows = None
    if cfg.get("use_local_attn"):
        kinds = cfg.get("attn_types") or ["local"] * layers
        windows = tuple(integer("window_size") if kind == "local" else None for kind in kinds)
    scaling = None
    if cfg.get("use_NTK_by_parts_rope"):
        scaling = RotaryScaling(
            "llama3",
            float(cfg.get("NTK_by_parts_factor", 8.0)),
            float(cfg.get("NTK_by_parts_low_freq_factor", 1.0)),
            float(cfg.get("NTK_by_parts_high_freq_factor", 4.0)),
            int(cfg.get("NTK_original_ctx_len", 8192)),
        )
    features: dict[str, Any] = {
        "n_layers": layers,
        "d_model": width,
        "n_heads": heads,
        "d_head": integer("d_head"),
        "d_vocab": integer("d_vocab"),
        "n_ctx": integer("n_ctx"),
        "d_mlp": 0 if attn_only else integer("d_mlp", 4 * width),
        "n_kv_heads": cfg.get("n_key_value_heads"),
        "d_vocab_out": vocab_out if vocab_out > 0 else None,
        "positions": choose("positional_embedding_type", _POSITIONS, "standard"),
        "norm": "none" if norm is None else "rms" if str(norm).startswith("RMS") else "layer",
        "norm_eps": float(cfg.get("eps", 1e-5)),
        "post_norms": bool(cfg.get("use_normalization_before_and_after")),
        "qk_norm": bool(cfg.get("use_qk_norm")),
        "activation": "relu" if attn_only else choose("act_fn", _ACTIVATIONS, "relu"),
        "gated": bool(cfg.get("gated_mlp")),
        "parallel": bool(cfg.get("parallel_attn_mlp")),
        "causal": cfg.get("attention_dir", "causal") == "causal",
        "windows": windows,
        "attn_scale": _scale(cfg),
        "attn_softcap": _cap(cfg.get("attn_scores_soft_cap")),
        "logit_softcap": _cap(cfg.get("output_logits_soft_cap")),
        "rotary_base": float(cfg.get("rotary_base") or 10_000.0),
        "rotary_dim": cfg.get("rotary_dim"),
        "rotary_interleaved": bool(cfg.get("rotary_adjacent_pairs")),
        "rotary_scaling": scaling,
        "rotary_local_base": cfg.get("rotary_base_local"),
    }
    mlp_biased = any(name.endswith("mlp.b_out") for name in state)
    features["biases"] = ("q", "k", "v", "o", *(("mlp",) if mlp_biased or attn_only else ()), "unembed")
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    try:
        return TransformerConfig(**features)
    except FaultError as faulty:
        raise FaultError(
            [Fault(f.code, f.message, file, name=f.name) for f in faulty.faults], ExitCode.SUBJECT
        ) from None


def _scale(cfg: Mapping[str, Any]) -> float | None:
    if cfg.get("use_attn_scale") is False:
        return 1.0
    divisor = cfg.get("attn_scale")
    return 1.0 / float(divisor) if isinstance(divisor, (int, float)) and divisor > 0 else None


def _cap(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and value > 0 else None


def _name(ours: str, config: TransformerConfig) -> str:
    """TransformerLens's name of one of our parameters."""
    fixed = {"W_E": "embed.W_E", "W_pos": "pos_embed.W_pos", "_W_U": "unembed.W_U", "b_U": "unembed.b_U"}
    if ours in fixed:
        return fixed[ours]
    if not ours.startswith("layers."):
        return ours.replace("final_norm", "ln_final")
    _, layer, part, *rest = ours.split(".")
    back = {mine: theirs for theirs, mine in _PARTS.items()}
    leaf = ".".join(rest)
    if part == "attn" and config.group > 1 and leaf in ("W_K", "W_V", "b_K", "b_V"):
        leaf = f"_{leaf}"
    return f"blocks.{layer}.{back.get(part, part)}.{leaf}"
