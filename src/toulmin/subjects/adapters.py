"""Low-rank adapters: a fine-tuned model as a small change of the weights of another one.

Of a weight matrix W [in, out] (a model reads ``x W``) the adapter holds A [in, r] and B [r, out]; the adapted weight is

    W + (alpha / r) A B

(Hu et al. 2022, "LoRA", section 4.1, in the order of factors of this package). The base model never changes: an adapter
is a module of its own, whose :meth:`Adapter.weights` are put in the place of the base's by
``torch.func.functional_call`` while it is trained, or by :func:`merge_adapter` for good. B starts at zero, so that a
fresh adapter changes nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save
from torch import Tensor, nn

from toulmin.faults import ExitCode, Fault, FaultError, has_field_type
from toulmin.subjects.tensors import METADATA_KEY, compare_tensors, read_safetensors
from toulmin.subjects.transformer import Transformer

ADAPTER_FILE = "adapter.safetensors"
ADAPTED = ("W_Q", "W_K", "W_V", "W_O", "W_in", "W_gate", "W_out")  #: weights that can be adapted


@dataclass(frozen=True)
class AdapterConfig:
    """Which weights an adapter changes, and how.

    :param rank: r, columns of A.
    :param alpha: the factor on A B is ``alpha / rank``.
    :param targets: of :data:`ADAPTED`.
    :param layers: which layers have an adapter, ascending.
    :raises FaultError: (``subjects.adapter``, one fault for each) a number or a name that makes no sense.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...]
    layers: tuple[int, ...]

    def __post_init__(self) -> None:
        checks = [
            (self.rank >= 1, "rank", "must be at least 1"),
            (self.alpha > 0, "alpha", "must be above 0"),
            (len(self.targets) > 0, "targets", "name at least one weight"),
            (len(self.layers) > 0, "layers", "name at least one layer"),
            (list(self.layers) == sorted(set(self.layers)), "layers", "must be ascending, each once"),
        ]
        faults = [Fault("subjects.adapter", message, name=name) for good, name, message in checks if not good]
        hint = f"one of {', '.join(ADAPTED)}"
        unknown = [name for name in self.targets if name not in ADAPTED]
        faults += [Fault("subjects.adapter", "no such weight can be adapted", name=name, hint=hint) for name in unknown]
        if faults:
            raise FaultError(faults, ExitCode.SUBJECT)

    def names(self, model: Transformer) -> list[str]:
        """The parameters of ``model`` that are adapted.

        :raises FaultError: (``subjects.adapter``, all of them) the model has no such layer or weight.
        """
        parts = {name: "mlp" if name in ("W_in", "W_gate", "W_out") else "attn" for name in self.targets}
        wanted = [f"layers.{layer}.{part}.{name}" for layer in self.layers for name, part in parts.items()]
        have = dict(model.named_parameters())
        missing = [name for name in wanted if name not in have]
        if missing:
            raise FaultError(
                [Fault("subjects.adapter", "the model has no such weight", name=name) for name in missing],
                ExitCode.SUBJECT,
            )
        return wanted


class Adapter(nn.Module):
    """The factors A and B of every adapted weight of one shape of model.

    :param model: the base; only its shape is read.
    :param generator: where A comes from: normal, standard deviation ``in ** -0.5``; default seed 0.
    :raises FaultError: (``subjects.adapter``) what :meth:`AdapterConfig.names` raises.
    """

    def __init__(self, model: Transformer, config: AdapterConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config, self.names = config, tuple(config.names(model))
        generator = generator or torch.Generator().manual_seed(0)
        parameters = dict(model.named_parameters())
        self.A, self.B = nn.ParameterList(), nn.ParameterList()
        for name in self.names:
            rows, columns = _as_matrix(name, parameters[name]).shape
            start = torch.empty(rows, config.rank).normal_(0.0, rows**-0.5, generator=generator)
            self.A.append(nn.Parameter(start))
            self.B.append(nn.Parameter(torch.zeros(config.rank, columns)))

    def change(self, index: int) -> Float[Tensor, "in out"]:
        """What is added to the weight ``names[index]``, as a matrix: (alpha / r) A B."""
        return self.config.alpha / self.config.rank * (self.A[index] @ self.B[index])

    def weights(self, model: Transformer) -> dict[str, Tensor]:
        """Every parameter of ``model`` by name, without its gradient, with the change added to those that are adapted.

        For ``torch.func.functional_call(model, adapter.weights(model), tokens)``: gradients reach A and B alone.
        """
        found = {name: parameter.detach() for name, parameter in model.named_parameters()}
        for index, name in enumerate(self.names):
            weight = found[name]
            found[name] = weight + _as_weight(name, self.change(index), weight).to(weight.dtype)
        return found


@torch.no_grad()
def merge_adapter(model: Transformer, adapter: Adapter) -> None:
    """Give ``model``, in place, the weights with which ``adapter`` was trained."""
    weights = adapter.weights(model)
    for name, parameter in model.named_parameters():
        if name in adapter.names:
            parameter.copy_(weights[name])


def weights_sha256(model: Transformer) -> str:
    """SHA-256 of a model's weights as float16, in the order of their names: what an adapter remembers of its base."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {list(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().to(torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()


def save_adapter(
    folder: str | Path,
    adapter: Adapter,
    model: Transformer,
    base: str,
    card: Mapping[str, Any],
    dtype: torch.dtype = torch.float16,
) -> None:
    """Write ``adapter.safetensors`` and ``card.json``: a folder that loads as the base with the adapter merged.

    :param model: the base as ``base`` loads it, in float32: the file keeps a hash of its weights.
    :param base: reference of the base model, ``cached:smollm2-135m`` say; its tokenizer is the subject's.
    :param dtype: of the stored factors.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "base": base,
        "base_sha256": weights_sha256(model),
        "adapter": dataclasses.asdict(adapter.config),
        "card": dict(card),
    }
    tensors = {name: value.detach().cpu().to(dtype).contiguous() for name, value in _by_weight(adapter).items()}
    files = {
        ADAPTER_FILE: save(tensors, metadata={METADATA_KEY: json.dumps(about, sort_keys=True)}),
        "card.json": (json.dumps(about["card"], indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode(),
    }
    for name, data in files.items():
        partial = folder / f".{name}.{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(folder / name)


@dataclass(frozen=True)
class StoredAdapter:
    """What an adapter's file holds: its base (reference, hash of the weights), configuration, factors, and card."""

    base: str
    base_sha256: str
    config: AdapterConfig
    tensors: Mapping[str, Tensor]
    card: Mapping[str, Any]
    file: str

    def build(self, model: Transformer) -> Adapter:
        """The adapter, for its base model in float32 (or float16).

        :raises FaultError: (exit code SUBJECT) the model is another one than it was trained on
            (``subjects.adapter_base``), or the file's factors do not fit it; all are named.
        """
        if weights_sha256(model) != self.base_sha256:
            message = f"{self.base} has other weights than the model that this adapter was trained on"
            raise FaultError(Fault("subjects.adapter_base", message, self.file, name=self.base), ExitCode.SUBJECT)
        adapter = Adapter(model, self.config)
        own = _by_weight(adapter)
        faults = compare_tensors({name: tuple(value.shape) for name, value in own.items()}, self.tensors, self.file)
        if faults:
            raise FaultError(faults, ExitCode.SUBJECT)
        with torch.no_grad():
            for name, value in own.items():
                value.copy_(self.tensors[name])
        return adapter


def read_adapter(path: str | Path) -> StoredAdapter:
    """The adapter of a file that :func:`save_adapter` wrote.

    :raises FaultError: (exit code SUBJECT) it cannot be read, or does not say what it belongs to.
    """
    path = Path(path)
    tensors, metadata = read_safetensors(path)
    kinds = {field.name: str(field.type) for field in dataclasses.fields(AdapterConfig)}
    try:
        about: Any = json.loads(metadata[METADATA_KEY])
        base, digest, card, shape = about["base"], about["base_sha256"], about["card"], about["adapter"]
        if not isinstance(base, str) or not isinstance(digest, str) or not isinstance(card, dict):
            raise TypeError
        if shape.keys() != kinds.keys() or not all(has_field_type(shape[name], kinds[name]) for name in kinds):
            raise TypeError
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        message = "does not say which model it adapts, and how (not written by save_adapter)"
        raise FaultError(Fault("subjects.unknown_format", message, str(path)), ExitCode.SUBJECT) from None
    config = AdapterConfig(shape["rank"], float(shape["alpha"]), tuple(shape["targets"]), tuple(shape["layers"]))
    return StoredAdapter(base, digest, config, tensors, card, str(path))


def _by_weight(adapter: Adapter) -> dict[str, nn.Parameter]:
    factors = {"A": adapter.A, "B": adapter.B}
    return {f"{name}.{which}": values[i] for i, name in enumerate(adapter.names) for which, values in factors.items()}


def _as_matrix(name: str, weight: Tensor) -> Tensor:
    """A weight as [in, out]: [H, D, E] reads D, [H, E, D] reads H and E."""
    if weight.ndim == 2:
        return weight
    return weight.flatten(0, 1) if name.endswith("W_O") else weight.permute(1, 0, 2).flatten(1)


def _as_weight(name: str, matrix: Tensor, like: Tensor) -> Tensor:
    """The inverse of :func:`_as_matrix`, laid out in memory as the weight is."""
    if like.ndim == 2:
        return matrix
    heads, rows, columns = like.shape
    if name.endswith("W_O"):
        return matrix.view(heads, rows, columns)
    return matrix.view(rows, heads, columns).permute(1, 0, 2)
