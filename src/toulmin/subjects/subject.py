"""A subject: a model, its tokenizer and its card; saved in one folder, loaded from any reference."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, overload

import torch
from safetensors.torch import save
from torch import nn

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Resolver, find_reference_kind, parse_reference
from toulmin.subjects.adapters import ADAPTER_FILE, merge_adapter, read_adapter
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.gguf import is_gguf, load_gguf
from toulmin.subjects.huggingface import load_huggingface
from toulmin.subjects.llama2c import load_llama2c
from toulmin.subjects.networks import ConvAutoencoder, Mlp, network_from_dict
from toulmin.subjects.tensors import METADATA_KEY, build_transformer, compare_tensors, read_json, read_safetensors
from toulmin.subjects.tokenizers import Tokenizer, find_tokenizer
from toulmin.subjects.tracr import load_tracr
from toulmin.subjects.transformer import Transformer
from toulmin.subjects.transformer_lens import load_modadd

_WEIGHTS, _CARD, _TOKENIZER = "model.safetensors", "card.json", "tokenizer.json"


M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Subject(Generic[M]):
    """What is studied: a model, the tokenizer of its texts (None where it reads no text), and a card.

    ``card`` says what is known of it: for the embedded subjects data, steps, seed, loss, licence; for others at least
    ``reference`` and, from the hub, ``revision``.
    """

    model: M
    tokenizer: Tokenizer | None = None
    card: Mapping[str, Any] = field(default_factory=dict)


@overload
def load(
    reference: str, resolver: Resolver | None = None, *, dtype: torch.dtype = torch.float32
) -> Subject[Transformer]: ...
@overload
def load(
    reference: str, resolver: Resolver | None = None, *, kind: type[M], dtype: torch.dtype = torch.float32
) -> Subject[M]: ...
def load(
    reference: str,
    resolver: Resolver | None = None,
    *,
    kind: type[nn.Module] = Transformer,
    dtype: torch.dtype = torch.float32,
) -> Subject[Any]:
    """Load the subject that a reference names: ``embedded:NAME``, ``dir:PATH``, ``file:PATH``, ``hf:NAME[@REVISION]``,
    ``evidence:ID/ARTEFACT``, ``gguf:PATH``, ``cached:NAME``, or a kind that an installed package adds.

    A folder is one that :func:`save_subject` or :func:`save_adapter` wrote (then the base that the adapter names is
    loaded, and the adapter merged), a Hugging Face model, or rib's modular addition; a file is
    safetensors from :func:`save_subject`, a GGUF file, a llama2.c ``.bin``, or a Tracr ``.npz``.

    :param kind: class of the network, a transformer unless another is named; ``nn.Module`` for any.
    :param dtype: of the parameters, whatever the file stores.
    :raises FaultError: (exit code SUBJECT) nothing is there, it cannot be read (every fault is named), or it is
        another kind of network (``subjects.kind``).
    """
    resolver = resolver or Resolver()
    parsed = parse_reference(reference)
    path = resolver.locate(parsed)
    own = find_reference_kind(parsed.scheme).load
    if own is None:
        subject = _load_folder(path, dtype, resolver) if path.is_dir() else _load_file(path, dtype)
    else:
        subject = own(path, dtype)
        if not isinstance(subject, Subject):
            message = f"references that begin with {parsed.scheme}: load a {type(subject).__name__}, not a Subject"
            raise FaultError(Fault("reference.broken", message, name=reference), ExitCode.MISSING)
    if not isinstance(subject.model, kind):
        found = type(subject.model).__name__
        message = f"a {kind.__name__} is wanted, and this subject is a {found}"
        hint = f"load(reference, kind={found})"
        raise FaultError(Fault("subjects.kind", message, name=reference, hint=hint), ExitCode.SUBJECT)
    card = {"reference": reference, **subject.card}
    if parsed.scheme == "hf":
        card["revision"] = path.name  # the hub names a snapshot's folder by its commit
    return dataclasses.replace(subject, card=card)


def save_subject(
    folder: str | Path,
    model: nn.Module,
    tokenizer: Tokenizer | None = None,
    card: Mapping[str, Any] | None = None,
    dtype: torch.dtype | None = None,
) -> None:
    """Write a model to a folder, as the embedded subjects are stored: ``model.safetensors`` (which also holds the shape
    and the card, so that the file alone is a subject), ``card.json``, and ``tokenizer.json`` if there is one.

    The same model gives the same bytes. Each file is written whole and renamed into place.

    :param dtype: of the stored floating-point weights (float16 or bfloat16 halve the size); default as they are.
    :raises FaultError: (``subjects.kind``) the model is none that can be loaded again.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    kind, config = _describe(model)
    about = {"kind": kind, "config": config, "card": dict(card or {})}
    tensors = {
        name: tensor.detach().cpu().to(dtype or tensor.dtype).contiguous()
        for name, tensor in model.state_dict().items()
    }
    files = {
        _WEIGHTS: save(tensors, metadata={METADATA_KEY: json.dumps(about, sort_keys=True)}),
        _CARD: (json.dumps(about["card"], indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(),
    }
    if tokenizer is not None:
        files[_TOKENIZER] = tokenizer.to_json().encode()
    for name, data in files.items():
        partial = folder / f".{name}.{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(folder / name)


def _describe(model: nn.Module) -> tuple[str, dict[str, Any]]:
    if isinstance(model, Transformer):
        return "transformer", model.config.to_dict()
    if isinstance(model, Mlp):
        return "mlp", model.to_dict()
    if isinstance(model, ConvAutoencoder):
        return "conv_autoencoder", model.to_dict()
    raise FaultError(Fault("subjects.kind", f"a {type(model).__name__} cannot be saved as a subject"))


def _load_folder(folder: Path, dtype: torch.dtype, resolver: Resolver) -> Subject[Any]:
    if (folder / ADAPTER_FILE).is_file():
        return _load_adapted(folder / ADAPTER_FILE, dtype, resolver)
    if (folder / "config.json").is_file():
        return Subject(load_huggingface(folder, dtype), find_tokenizer(folder), {})
    if (folder / _WEIGHTS).is_file():
        subject = _load_own(folder / _WEIGHTS, dtype)
        card = read_json(folder / _CARD) if (folder / _CARD).is_file() else subject.card
        return Subject(subject.model, find_tokenizer(folder), card)
    if (folder / "config.yaml").is_file():
        return Subject(load_modadd(folder, dtype))
    message = "no config.json, model.safetensors or config.yaml here"
    raise FaultError(Fault("subjects.unknown_format", message, str(folder)), ExitCode.SUBJECT)


def _load_adapted(path: Path, dtype: torch.dtype, resolver: Resolver) -> Subject[Transformer]:
    """The base that an adapter names, with the adapter merged in float32, whatever the type of the parameters then."""
    stored = read_adapter(path)
    base = load(stored.base, resolver)
    merge_adapter(base.model, stored.build(base.model))
    return Subject(base.model.to(dtype), base.tokenizer, {**stored.card, "base": stored.base})


def _load_file(path: Path, dtype: torch.dtype) -> Subject[Any]:
    if path.suffix == ".safetensors":
        return _load_own(path, dtype)
    if path.suffix == ".bin":
        return Subject(load_llama2c(path, dtype), find_tokenizer(path.parent))
    if is_gguf(path):
        return Subject(*load_gguf(path, dtype))
    if path.suffix == ".npz":
        return Subject(load_tracr(path, dtype))
    message = (
        f"cannot tell what a {path.suffix or 'file without ending'} is; known are .safetensors, .gguf, .bin and .npz"
    )
    raise FaultError(Fault("subjects.unknown_format", message, str(path)), ExitCode.SUBJECT)


def _load_own(path: Path, dtype: torch.dtype) -> Subject[Any]:
    tensors, metadata = read_safetensors(path)
    try:
        about: Any = json.loads(metadata[METADATA_KEY])
        kind, config, card = about["kind"], about["config"], about.get("card", {})
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        kind, config, card = None, None, None
    if not isinstance(kind, str) or not isinstance(config, dict) or not isinstance(card, dict):
        message = "does not say what model it holds (not written by save_subject, and no config.json beside it)"
        raise FaultError(Fault("subjects.unknown_format", message, str(path)), ExitCode.SUBJECT)
    if kind == "transformer":
        shape = TransformerConfig.from_dict(config, str(path))
        return Subject(build_transformer(shape, tensors, dtype=dtype, file=str(path)), None, card)
    model = network_from_dict(kind, config, str(path))
    faults = compare_tensors({name: tuple(p.shape) for name, p in model.state_dict().items()}, tensors, str(path))
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    model.load_state_dict(tensors)
    return Subject(model.to(dtype), None, card)
