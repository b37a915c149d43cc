"""Our own file: safetensors, with the configuration, the site and a card as JSON in its metadata.

One file is a whole dictionary, so that an artefact of a study can be loaded by its reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from toulmin.dictionaries.architectures.config import DictionaryConfig
from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.architectures.kinds import make_dictionary
from toulmin.faults import ExitCode, Fault, FaultError

KEY = "toulmin.dictionary"


@dataclass(frozen=True)
class SavedDictionary:
    """A dictionary, where it stands, and what is known of it."""

    dictionary: Dictionary
    site: str
    card: Mapping[str, Any] = field(default_factory=dict)


def save_dictionary(path: Path | str, dictionary: Dictionary, site: str, card: Mapping[str, Any] | None = None) -> None:
    """Write a dictionary; the same one gives the same bytes. Beside it, ``.json`` has the same card to read."""
    path = Path(path)
    about = {"config": dictionary.config.to_dict(), "site": site, "card": dict(card or {})}
    tensors = {name: value.detach().cpu().contiguous() for name, value in dictionary.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_bytes(save(tensors, metadata={KEY: json.dumps(about, sort_keys=True)}))
    partial.replace(path)
    path.with_suffix(".json").write_text(json.dumps(about, indent=1, sort_keys=True) + "\n", "utf-8")


def load_dictionary(path: Path | str) -> SavedDictionary:
    """Read what :func:`save_dictionary` wrote.

    :raises FaultError: (exit SUBJECT) it cannot be read, or the tensors are not those of its configuration.
    """
    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            about = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        config, site, card = about["config"], str(about["site"]), dict(about["card"])
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        text = f"is no dictionary of ours: {type(error).__name__} {error}"
        raise FaultError(Fault("dictionaries.file", text, file=str(path)), ExitCode.SUBJECT) from None
    return SavedDictionary(fill(DictionaryConfig.from_dict(config, str(path)), tensors, str(path)), site, card)


def fill(config: DictionaryConfig, tensors: Mapping[str, torch.Tensor], file: str) -> Dictionary:
    """A dictionary of that configuration with those tensors, in their precision.

    :raises FaultError: (exit SUBJECT) a tensor is missing, unexpected or of another shape (all are listed).
    """
    dictionary = make_dictionary(config)
    expected = dictionary.state_dict()
    faults = [Fault("dictionaries.file", "missing", file, name=n) for n in expected if n not in tensors]
    faults += [Fault("dictionaries.file", "unexpected", file, name=n) for n in tensors if n not in expected]
    faults += [
        Fault("dictionaries.file", f"has shape {list(tensors[n].shape)}, expected {list(v.shape)}", file, name=n)
        for n, v in expected.items()
        if n in tensors and tensors[n].shape != v.shape
    ]
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    dictionary.to(tensors["W_enc"].dtype)
    dictionary.load_state_dict(dict(tensors))
    return dictionary
