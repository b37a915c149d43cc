"""Dictionaries in SAELens' format: a folder with ``cfg.json`` and ``sae_weights.safetensors`` (version 6).

Exported decoders have unit rows where ours divides by their norms. BatchTopK and Matryoshka dictionaries become
JumpReLU ones with the running threshold, as SAELens itself exports them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from toulmin.dictionaries.architectures.config import DictionaryConfig, Kind
from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.formats.own import SavedDictionary, fill
from toulmin.faults import ExitCode, Fault, FaultError

WEIGHTS, CONFIG = "sae_weights.safetensors", "cfg.json"
VERSION = "6.0.0"  #: of the format, not of a program
_OURS: dict[str, Kind] = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu", "gated": "gated"}
_TRANSCODERS: dict[str, tuple[Kind, bool]] = {
    "transcoder": ("relu", False),
    "skip_transcoder": ("relu", True),
    "jumprelu_transcoder": ("jumprelu", False),
    "jumprelu_skip_transcoder": ("jumprelu", True),
}
_PLACES = {"resid_pre": "hook_resid_pre", "resid_mid": "hook_resid_mid", "resid_post": "hook_resid_post"}
_PLACES |= {"attn_out": "hook_attn_out", "mlp_out": "hook_mlp_out", "mlp": "hook_mlp_out"}


def export_saelens(folder: Path | str, dictionary: Dictionary, site: str, *, model_name: str | None = None) -> None:
    """Write a dictionary so that SAELens' ``SAE.load_from_disk`` gives the same codes and output in evaluation mode.

    :raises FaultError: (``dictionaries.format``) the format has no such kind: TopK transcoders.
    """
    config = dictionary.config
    kind = "jumprelu" if config.kind in ("batch_topk", "matryoshka") else config.kind
    coder = site.endswith(".mlp") or config.d_out is not None or config.skip
    known = {ours: theirs for theirs, ours in _OURS.items()}
    if coder:
        known = {ours: theirs for theirs, (ours, skip) in _TRANSCODERS.items() if skip == config.skip}
    if kind not in known:
        text = f"SAELens has no {config.kind} transcoder"
        raise FaultError(Fault("dictionaries.format", text, name=site))
    with torch.no_grad():
        tensors = {"W_enc": dictionary.W_enc, "W_dec": dictionary.directions, "b_dec": dictionary.b_dec}
        if kind == "gated":
            gate, scale, shift = (dictionary.get_parameter(name) for name in ("b_gate", "r_mag", "b_mag"))
            bias = dictionary.b_enc  # theirs has none: it belongs to both branches
            tensors |= {"b_gate": gate + bias, "r_mag": scale, "b_mag": shift + bias * scale.exp()}
        else:
            tensors["b_enc"] = dictionary.b_enc
        if kind == "jumprelu":
            tensors["threshold"] = _threshold(dictionary)
        if dictionary.W_skip is not None:
            tensors["W_skip"] = dictionary.W_skip.T
    cfg: dict[str, Any] = {
        "architecture": known[kind],
        "d_in": config.d_in,
        "d_sae": config.n_features,
        "dtype": str(dictionary.W_enc.dtype).removeprefix("torch."),
        "device": "cpu",
        "apply_b_dec_to_input": config.input_bias,
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {"sae_lens_version": VERSION, "hook_name": hook_name(site), "model_name": model_name},
    }
    if kind == "topk":
        cfg |= {"k": config.k, "rescale_acts_by_decoder_norm": False}
    if coder:
        cfg["d_out"] = config.width_out
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(cfg, indent=1), "utf-8")


def _threshold(dictionary: Dictionary) -> Tensor:
    if dictionary.config.kind == "jumprelu":
        return dictionary.get_parameter("log_threshold").exp()
    least = dictionary.get_buffer("threshold").clamp(min=0).to(dictionary.W_enc.dtype)
    return least.expand(dictionary.config.n_features)


def import_saelens(folder: Path | str) -> SavedDictionary:
    """Read a folder that SAELens wrote: standard, TopK, JumpReLU, Gated, and transcoders with and without a skip.

    :raises FaultError: (exit SUBJECT) it cannot be read, or normalises or reshapes its input, which ours do not.
    """
    folder = Path(folder)
    try:
        cfg: Any = json.loads((folder / CONFIG).read_text("utf-8"))
        tensors = load_file(folder / WEIGHTS)
        architecture, width, features = str(cfg.get("architecture", "standard")), int(cfg["d_in"]), int(cfg["d_sae"])
        about: Mapping[str, Any] = cfg.get("metadata") or cfg
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        text = f"is no dictionary of SAELens: {type(error).__name__} {error}"
        raise FaultError(Fault("dictionaries.format", text, file=str(folder)), ExitCode.SUBJECT) from None
    faults = [
        Fault("dictionaries.format", f"is {cfg[name]!r}, and only 'none' can be read", str(folder), name=name)
        for name in ("normalize_activations", "reshape_activations")
        if cfg.get(name) not in (None, False, "none")
    ]
    if architecture not in {**_OURS, **_TRANSCODERS}:
        hint = f"one of {', '.join([*_OURS, *_TRANSCODERS])}"
        text = f"is {architecture!r}"
        faults.append(Fault("dictionaries.format", text, str(folder), name="architecture", hint=hint))
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    kind, skip = _TRANSCODERS.get(architecture) or (_OURS[architecture], False)
    if cfg.get("rescale_acts_by_decoder_norm"):  # codes are measured in units of what a feature writes
        norm = tensors["W_dec"].norm(dim=1)
        tensors |= {"W_enc": tensors["W_enc"] * norm, "b_enc": tensors["b_enc"] * norm}
        tensors["W_dec"] = tensors["W_dec"] / norm[:, None]
    config = DictionaryConfig(
        kind, width, features, int(cfg["d_out"]) if architecture in _TRANSCODERS else None,
        k=int(cfg["k"]) if kind == "topk" else None, skip=skip, normalised="none",
        input_bias=bool(cfg.get("apply_b_dec_to_input", True)) and architecture not in _TRANSCODERS,
    )  # fmt: skip
    if kind == "jumprelu" and "threshold" in tensors:
        tensors["log_threshold"] = tensors.pop("threshold").clamp(min=0).log()
    if kind == "gated":
        tensors.setdefault("b_enc", torch.zeros_like(tensors["b_gate"]))
    if skip and "W_skip" in tensors:
        tensors["W_skip"] = tensors["W_skip"].T.contiguous()
    site = site_of_hook(str(about.get("hook_name", "")), transcodes=architecture in _TRANSCODERS)
    return SavedDictionary(fill(config, tensors, str(folder)), site, {"format": "SAELens", "cfg": cfg})


def hook_name(site: str) -> str:
    """TransformerLens' name of what a site writes: ``blocks.2.hook_resid_pre`` for ``L2.resid_pre``."""
    layer, _, part = site.partition(".")
    return f"blocks.{layer[1:]}.{_PLACES[part]}" if part in _PLACES else site


def site_of_hook(hook: str, *, transcodes: bool = False) -> str:
    """The site of a TransformerLens name; the name itself where it is none."""
    found = re.fullmatch(r"blocks\.(\d+)\.(?:\w+\.)?hook_(\w+)", hook)
    if found is None:
        return hook
    return f"L{found[1]}.mlp" if transcodes else f"L{found[1]}.{found[2]}"
