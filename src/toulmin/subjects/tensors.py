"""Tensors from files, and a transformer filled with them; each missing, extra, misshapen or non-finite one is named."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.transformer import Transformer

METADATA_KEY = "toulmin"
_DTYPES = {"F64", "F32", "F16", "BF16", "I64", "I32", "I16", "I8", "U8", "BOOL"}
_MAX_HEADER = 100 * 1024 * 1024


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a safetensors file.

    :raises FaultError: (``subjects.safetensors``, exit code SUBJECT) where the file is missing, cut off, or its
        header does
        not describe its bytes; one fault for every tensor of a type that is not supported.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names: list[str] = file.keys()
            kinds = {name: file.get_slice(name).get_dtype() for name in names}
            faults = [
                Fault("subjects.safetensors", f"tensors of type {kind} are not supported", str(path), name=name)
                for name, kind in kinds.items()
                if kind not in _DTYPES
            ]
            if faults:
                raise FaultError(faults, ExitCode.SUBJECT)
            return {name: file.get_tensor(name) for name in kinds}, file.metadata() or {}
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        raise _unreadable("subjects.safetensors", path, error, _header_problem(path)) from None


def _header_problem(path: Path) -> str | None:
    """What is wrong with the header, said more plainly than the library does; None to leave it to the library."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
            if size == 0:
                return "the file is empty"
            if length < 0 or length > min(_MAX_HEADER, size - 8):
                return "not a safetensors file, or cut off within its header"
            header = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in header.items() if name != "__metadata__"]
        missing = max(ends, default=0) + 8 + length - size
        return f"cut off: {missing} bytes are missing" if missing > 0 else None
    except OSError:
        return None
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        return "the header is not valid"


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The state dict in a PyTorch file, read with ``weights_only``: no code of the file runs.

    :raises FaultError: (``subjects.pickle``, exit code SUBJECT) where it cannot be read that way.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError, KeyError) as error:
        raise _unreadable("subjects.pickle", path, error) from None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise FaultError(Fault("subjects.pickle", "not a mapping of names to tensors", str(path)), ExitCode.SUBJECT)
    return {str(name): value for name, value in state.items()}


def read_npz(path: Path) -> dict[str, Tensor]:
    """The arrays of a NumPy archive (object arrays are refused).

    :raises FaultError: (``subjects.npz``, exit code SUBJECT).
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: torch.from_numpy(archive[name]) for name in archive.files}
    except (OSError, ValueError, KeyError, EOFError, TypeError, zipfile.BadZipFile, AttributeError) as error:
        raise _unreadable("subjects.npz", path, error) from None


def read_json(path: Path) -> dict[str, object]:
    """A JSON object.

    :raises FaultError: (``subjects.json``, exit code SUBJECT).
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _unreadable("subjects.json", path, error) from None
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        message = f"not JSON: {getattr(error, 'msg', None) or error}"
        raise FaultError(Fault("subjects.json", message, str(path), line), ExitCode.SUBJECT) from None
    if not isinstance(data, dict):
        raise FaultError(Fault("subjects.json", "not a JSON object", str(path)), ExitCode.SUBJECT)
    return data


def _unreadable(code: str, path: Path, error: Exception, message: str | None = None) -> FaultError:
    if isinstance(error, FaultError):
        return error
    if message is None:
        message = (
            (error.strerror if isinstance(error, OSError) else None) or str(error).split("\n", 1)[0] or "unreadable"
        )
    return FaultError(Fault(code, message, str(path)), ExitCode.SUBJECT)


def parameter_shapes(config: TransformerConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter of a model of that shape; nothing is allocated."""
    with torch.device("meta"):
        model = Transformer(config)
    return {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}


def compare_tensors(
    expected: Mapping[str, tuple[int, ...]], found: Mapping[str, Tensor], file: str | None
) -> list[Fault]:
    """A fault for every tensor that is missing, not expected, of another shape, or with NaN or infinite values."""
    faults = [
        Fault("subjects.tensor_missing", f"missing, of shape {list(shape)}", file, name=name)
        for name, shape in expected.items()
        if name not in found
    ]
    for name, tensor in found.items():
        if name not in expected:
            faults.append(
                Fault("subjects.tensor_extra", f"not expected, of shape {list(tensor.shape)}", file, name=name)
            )
        elif tuple(tensor.shape) != tuple(expected[name]):
            message = f"has shape {list(tensor.shape)}, expected {list(expected[name])}"
            faults.append(Fault("subjects.tensor_shape", message, file, name=name))
        elif not tensor.is_floating_point():
            faults.append(Fault("subjects.tensor_type", f"is {tensor.dtype}, not floating-point", file, name=name))
        elif not bool(torch.isfinite(tensor).all()):
            faults.append(Fault("subjects.tensor_nonfinite", "holds NaN or infinite values", file, name=name))
    return faults


def build_transformer(
    config: TransformerConfig,
    state: Mapping[str, Tensor],
    *,
    dtype: torch.dtype = torch.float32,
    file: str | None = None,
) -> Transformer:
    """A transformer with the given parameters (names of its state dict), converted to ``dtype``.

    :raises FaultError: (``subjects.tensor_*``, exit code SUBJECT) for every tensor that does not fit.
    """
    faults = compare_tensors(parameter_shapes(config), state, file)
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    with torch.device("meta"):
        model = Transformer(config)
    given = {name: _laid_out(name, tensor.detach().to(dtype)) for name, tensor in state.items()}
    model.load_state_dict(given, assign=True)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def _laid_out(name: str, tensor: Tensor) -> Tensor:
    """An input weight [H, D, E] of attention as one matrix [D, H E] in memory, or every projection would copy it."""
    if name.rsplit(".", 1)[-1] not in ("W_Q", "W_K", "W_V") or tensor.stride(0) == tensor.shape[2] * tensor.stride(2):
        return tensor
    return tensor.permute(1, 0, 2).contiguous().permute(1, 0, 2)


def without(state: Mapping[str, Tensor], endings: Iterable[str]) -> dict[str, Tensor]:
    """The tensors whose names end with none of ``endings`` (buffers that other libraries store)."""
    endings = tuple(endings)
    return {name: tensor for name, tensor in state.items() if not name.endswith(endings)}
