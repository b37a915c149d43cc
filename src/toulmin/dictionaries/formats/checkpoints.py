"""Dictionaries of the reference code and of eai-sparsify."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from toulmin.dictionaries.architectures.config import DictionaryConfig
from toulmin.dictionaries.formats.own import SavedDictionary, fill
from toulmin.dictionaries.formats.saelens import site_of_hook
from toulmin.faults import ExitCode, Fault, FaultError

_PARTS = {"W_enc": "encoder.0.weight", "b_enc": "encoder.0.bias", "W_dec": "decoder.weight", "b_dec": "decoder.bias"}


def import_e2e_sae(path: Path | str) -> dict[str, SavedDictionary]:
    """The dictionaries of a checkpoint (``.pt``) of ApolloResearch/e2e_sae, by site.

    :raises FaultError: (exit SUBJECT) it cannot be read, or holds no dictionary.
    """
    path = Path(path)
    try:
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
        names = sorted({str(name).split(".", 1)[0] for name in state if ".encoder.0." in str(name)})
    except (OSError, RuntimeError, ValueError, TypeError, EOFError, pickle.UnpicklingError) as error:
        text = f"cannot be read: {type(error).__name__}"
        raise FaultError(Fault("dictionaries.format", text, file=str(path)), ExitCode.SUBJECT) from None
    if not names:
        text = "holds no dictionary: no name with .encoder.0."
        raise FaultError(Fault("dictionaries.format", text, file=str(path)), ExitCode.SUBJECT)
    found: dict[str, SavedDictionary] = {}
    for name in names:
        try:
            tensors = {ours: state[f"{name}.{theirs}"] for ours, theirs in _PARTS.items()}
        except KeyError as error:
            fault = Fault("dictionaries.format", "missing", file=str(path), name=str(error.args[0]))
            raise FaultError(fault, ExitCode.SUBJECT) from None
        tensors = {ours: value.T.contiguous() if value.ndim == 2 else value for ours, value in tensors.items()}
        width, features = tensors["W_enc"].shape
        site = site_of_hook(name.removeprefix("saes.").replace("-", "."))
        dictionary = fill(DictionaryConfig("relu", width, features), tensors, str(path))
        found[site] = SavedDictionary(dictionary, site, {"format": "e2e_sae"})
    return found


def import_sparsify(folder: Path | str) -> SavedDictionary:
    """A dictionary that eai-sparsify wrote (``cfg.json``, ``sae.safetensors``): TopK, also as transcoder with a skip.

    Its folder's name is its hookpoint: ``layers.3`` stands for ``L3.resid_post``, ``layers.3.mlp`` for ``L3.mlp`` where
    it transcodes.

    :raises FaultError: (exit SUBJECT) it cannot be read, or has an activation that ours have not (groupmax).
    """
    folder = Path(folder)
    try:
        cfg: Any = json.loads((folder / "cfg.json").read_text("utf-8"))
        tensors = load_file(folder / "sae.safetensors")
        given = {
            "W_enc": tensors["encoder.weight"].T.contiguous(),
            "b_enc": tensors["encoder.bias"],
            "W_dec": tensors["W_dec"],
            "b_dec": tensors["b_dec"],
        }
        width, k = int(cfg["d_in"]), int(cfg["k"])
        transcodes = bool(cfg.get("transcode"))
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        text = f"is no dictionary of eai-sparsify: {type(error).__name__} {error}"
        raise FaultError(Fault("dictionaries.format", text, file=str(folder)), ExitCode.SUBJECT) from None
    if cfg.get("activation", "topk") != "topk":
        text = f"is {cfg['activation']!r}, and only topk can be read"
        raise FaultError(Fault("dictionaries.format", text, str(folder), name="activation"), ExitCode.SUBJECT)
    if "W_skip" in tensors:
        given["W_skip"] = tensors["W_skip"].T.contiguous()
    config = DictionaryConfig(
        "topk", width, given["W_enc"].shape[1], k=k, skip="W_skip" in tensors, normalised="none",
        input_bias=not transcodes,
    )  # fmt: skip
    layer, _, part = folder.name.removeprefix("layers.").partition(".")
    site = folder.name if not layer.isdigit() else f"L{layer}.{part or 'resid_post'}"
    return SavedDictionary(fill(config, given, str(folder)), site, {"format": "eai-sparsify", "cfg": cfg})
