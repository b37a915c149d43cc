"""Hugging Face models, without ``transformers``: a directory of config.json and safetensors, or a live model object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.families import BUFFERS, FAMILIES, REFUSED, Family
from toulmin.subjects.settings import Settings
from toulmin.subjects.tensors import (
    build_transformer,
    compare_tensors,
    parameter_shapes,
    read_json,
    read_pickle,
    read_safetensors,
    without,
)
from toulmin.subjects.transformer import Transformer


def load_huggingface(folder: str | Path, dtype: torch.dtype = torch.float32) -> Transformer:
    """The model of a directory as ``save_pretrained`` writes it: sharded or not; safetensors, or a weights-only pickle.

    :raises FaultError: (exit code SUBJECT) naming every setting and tensor that is missing, unknown, or of the
        wrong type
        or shape.
    """
    folder = Path(folder)
    return convert_huggingface(read_json(folder / "config.json"), _read_weights(folder), str(folder), dtype)


def from_huggingface(model: Any, dtype: torch.dtype | None = None) -> Transformer:
    """A live ``transformers`` model (or nnsight's wrapper of one) as a factored transformer with the same weights.

    :param dtype: default that of the model.
    """
    for inner in ("_model", "_module"):  # of nnsight's wrappers, older and newer
        model = model if isinstance(model, nn.Module) else getattr(model, inner, model)
    config: Any = getattr(model, "config", None)
    if not isinstance(model, nn.Module) or not hasattr(config, "to_dict"):
        raise FaultError(
            Fault("subjects.object", f"a {type(model).__name__} is not a Hugging Face model"), ExitCode.SUBJECT
        )
    dtype = dtype or next(model.parameters()).dtype
    values = config.to_dict() | {"model_type": config.model_type}
    return convert_huggingface(values, model.state_dict(), None, dtype)


def convert_huggingface(
    values: Mapping[str, Any],
    tensors: Mapping[str, Tensor],
    file: str | None,
    dtype: torch.dtype,
    renamed: Callable[[Family], Family] | None = None,
) -> Transformer:
    """A transformer from the settings and tensors of a Hugging Face model.

    :param renamed: from the family to the same one with the names and layout that another library gives its tensors.
    """
    kind = values.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is not None and renamed is not None:
        family = renamed(family)
    if family is None:
        why = REFUSED.get(kind) if isinstance(kind, str) else None
        message = f"architecture {kind!r:.60} is not known; known are {', '.join(FAMILIES)}"
        message = message if why is None else f"architecture {kind!r} cannot be taken: {why}"
        raise FaultError(Fault("subjects.architecture", message, file, name="model_type"), ExitCode.SUBJECT)
    quantisation = values.get("quantization_config")
    method = quantisation.get("quant_method") if isinstance(quantisation, Mapping) else None
    if (
        quantisation is not None and method != "gguf"
    ):  # transformers dequantises GGUF while loading, and leaves the note
        message = "quantised weights are not supported"
        raise FaultError(Fault("subjects.setting", message, file, name="quantization_config"), ExitCode.SUBJECT)
    if file is None and family.live is not None:
        family = replace(family, tensors=family.live)
    tensors = _separate_experts(without(tensors, BUFFERS))
    if family.head not in tensors and "lm_head.weight" in tensors:  # the name in live objects, whatever the files say
        tensors[family.head] = tensors.pop("lm_head.weight")
    config, factors = _configure(family, values, tensors, file)
    return fill_transformer(family, config, tensors, file, dtype, factors)


def fill_transformer(
    family: Family,
    config: TransformerConfig,
    tensors: dict[str, Tensor],
    file: str | None,
    dtype: torch.dtype,
    factors: Mapping[str, float] | None = None,
) -> Transformer:
    """A transformer of this shape with the tensors of a family, each under the family's name.

    :raises FaultError: (exit code SUBJECT) naming every tensor that does not fit.
    """
    theirs = _Layout(family, config, tensors, factors or {})
    if config.tied:
        tensors = _drop_tied_head(tensors, theirs.names("W_E")[0], family.head, file)
    faults = compare_tensors(theirs.shapes(), tensors, file)
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return build_transformer(config, theirs.convert(tensors), dtype=dtype, file=file)


def _configure(
    family: Family, values: Mapping[str, Any], tensors: Mapping[str, Tensor], file: str | None
) -> tuple[TransformerConfig, Mapping[str, float]]:
    settings = Settings(values, file)
    features = family.features(settings)
    features["d_vocab"] = settings.integer("vocab_size")
    features["tied"] = settings.flag("tie_word_embeddings", family.head not in tensors)
    factors = family.factors(settings) if family.factors is not None else {}
    settings.finish()
    try:
        return TransformerConfig(**features), factors
    except FaultError as faulty:
        faults = [Fault(fault.code, fault.message, file, name=fault.name) for fault in faulty.faults]
        raise FaultError(faults, ExitCode.SUBJECT) from None


def _drop_tied_head(tensors: dict[str, Tensor], embed: str, head: str, file: str | None) -> dict[str, Tensor]:
    """Some checkpoints store the tied output matrix too; it must then equal the embedding."""
    if head not in tensors:
        return tensors
    if embed in tensors and not torch.equal(tensors[head], tensors[embed]):
        message = "differs from the embedding, but config.json says that they are tied"
        raise FaultError(Fault("subjects.tensor_tied", message, file, name=head), ExitCode.SUBJECT)
    return {name: tensor for name, tensor in tensors.items() if name != head}


class _Layout:
    """Where a family keeps each of our parameters, and in which shape."""

    def __init__(
        self, family: Family, config: TransformerConfig, tensors: Mapping[str, Tensor], factors: Mapping[str, float]
    ) -> None:
        self.family, self.config, self.factors = family, config, factors
        self.ours = parameter_shapes(config)
        self.prefix = family.prefix if any(name.startswith(family.prefix) for name in tensors) else ""
        self._packed_in = {part: name for name, parts in family.packed.items() for part in parts}

    def names(self, ours: str) -> list[str]:
        """Their names of one of our parameters: the tensor that holds it, or one for each expert."""
        if ours == "_W_U":
            return [self.family.head]
        layer, part = self._part(ours)
        name = self.prefix + self.family.tensors[self._packed_in.get(part, part)].replace("{l}", layer)
        return [name.replace("{e}", str(e)) for e in range(self.config.n_experts)] if "{e}" in name else [name]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that the checkpoint must have."""
        shapes: dict[str, tuple[int, ...]] = {}
        for ours, shape in self.ours.items():
            flat, axis = list(self._their_shape(ours, shape)), self._out_axis(ours)
            names, parts = self.names(ours), self._parts(ours)
            if parts:
                flat[axis] = sum(self._their_shape(part, self.ours[part])[axis] for part in parts)
            if len(names) > 1:
                flat[axis] //= len(names)
            shapes |= dict.fromkeys(names, tuple(flat))
        return shapes

    def convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors as our parameters, mostly as views of them."""
        state: dict[str, Tensor] = {}
        for ours, shape in self.ours.items():
            found = [tensors[name] for name in self.names(ours)]
            tensor = found[0] if len(found) == 1 else torch.cat(found, self._out_axis(ours))
            if self.family.transposed and tensor.ndim == 2 and ours not in ("W_E", "W_pos", "_W_U"):
                tensor = tensor.T
            if parts := self._parts(ours):
                tensor = self._unpack(tensor, parts, ours)
            state[ours] = self._factor(ours, shape, tensor)
        return state

    @staticmethod
    def _part(ours: str) -> tuple[str, str]:
        """The layer, and the name within it."""
        if not ours.startswith("layers."):
            return "", ours
        _, layer, part = ours.split(".", 2)
        return layer, part

    def _parts(self, ours: str) -> list[str]:
        """The parameters that lie in one tensor with this one, in their order; empty where it has its own tensor."""
        layer, part = self._part(ours)
        packed = self._packed_in.get(part)
        return [] if packed is None else [f"layers.{layer}.{other}" for other in self.family.packed[packed]]

    def _out_axis(self, ours: str) -> int:
        """The axis of their tensor along which parts of a packed tensor, or experts' neurons, lie."""
        return 1 if ours.endswith("W_out") or (self.family.transposed and len(self.ours[ours]) > 2) else 0

    def _unpack(self, tensor: Tensor, parts: list[str], ours: str) -> Tensor:
        """The rows of one part of a packed tensor [out, in] or [out]."""
        if self.family.interleaved:
            heads, head = self.config.n_heads, self.config.d_head
            apart = tensor.view(heads, len(parts), head, *tensor.shape[1:])
            return apart[:, parts.index(ours)].reshape(heads * head, *tensor.shape[1:])
        sizes = [self._their_shape(part, self.ours[part], flipped=False)[0] for part in parts]
        return tensor.split(sizes)[parts.index(ours)]

    def _their_shape(self, ours: str, shape: tuple[int, ...], flipped: bool = True) -> tuple[int, ...]:
        leaf = ours.rsplit(".", 1)[-1]
        if leaf in ("W_Q", "W_K", "W_V"):
            heads, width, head = shape
            flat = (heads * head, width)
        elif leaf == "W_O":
            heads, head, width = shape
            flat = (width, heads * head)
        elif leaf in ("b_Q", "b_K", "b_V"):
            return (shape[0] * shape[1],)
        elif leaf in ("W_in", "W_gate", "W_out", "W_router", "_W_U"):
            flat = (shape[1], shape[0])
        else:
            return shape
        return flat[::-1] if self.family.transposed and flipped and leaf != "_W_U" else flat

    def _factor(self, ours: str, shape: tuple[int, ...], tensor: Tensor) -> Tensor:
        """A flat weight [out, in] as ours: [H, D, E], [H, E, D] or [in, out]."""
        leaf = ours.rsplit(".", 1)[-1]
        constant = self.factors.get(self._part(ours)[1], 1.0)
        if constant != 1.0:
            tensor = tensor.float() * constant if tensor.dtype in (torch.float16, torch.bfloat16) else tensor * constant
        if leaf in ("W_Q", "W_K", "W_V"):
            return tensor.reshape(shape[0], shape[2], shape[1]).permute(0, 2, 1)
        if leaf == "W_O":
            return tensor.T.reshape(shape)
        if leaf in ("W_in", "W_gate", "W_out", "W_router", "_W_U"):
            return tensor.T
        if self.family.norm_offset and leaf == "w":
            return tensor.float() + self.family.norm_offset
        return tensor.reshape(shape)


def _separate_experts(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Experts as files store them, one tensor each, from a live object's [X, 2F, D] (gates, inputs) and [X, D, F]."""
    separate: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        head, marked, part = name.partition(".experts.")
        if not marked or part not in ("gate_up_proj", "down_proj") or tensor.ndim != 3:
            separate[name] = tensor
            continue
        for number, own in enumerate(tensor):
            names = ("gate_proj", "up_proj") if part == "gate_up_proj" else ("down_proj",)
            separate |= {
                f"{head}.experts.{number}.{each}.weight": piece
                for each, piece in zip(names, own.chunk(len(names)), strict=True)
            }
    return separate


def _read_weights(folder: Path) -> dict[str, Tensor]:
    single = folder / "model.safetensors"
    if single.is_file():
        return read_safetensors(single)[0]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        return _read_shards(folder, index)
    pickled = folder / "pytorch_model.bin"
    if pickled.is_file():
        return read_pickle(pickled)
    message = "no model.safetensors, model.safetensors.index.json or pytorch_model.bin"
    raise FaultError(Fault("subjects.weights_missing", message, str(folder)), ExitCode.SUBJECT)


def _read_shards(folder: Path, index: Path) -> dict[str, Tensor]:
    weight_map = read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not all(isinstance(shard, str) for shard in weight_map.values()):
        message = "weight_map is not a table of file names"
        raise FaultError(Fault("subjects.shards", message, str(index), name="weight_map"), ExitCode.SUBJECT)
    faults: list[Fault] = []
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(weight_map.values())):
        if Path(shard).name != shard or not (folder / shard).is_file():
            faults.append(Fault("subjects.shards", "no such file beside the index", str(index), name=shard))
            continue
        found = read_safetensors(folder / shard)[0]
        promised = {name for name, place in weight_map.items() if place == shard}
        for name in sorted(promised ^ found.keys()):
            problem = "is not in the shard that the index names" if name in promised else "is not in the index"
            faults.append(Fault("subjects.shards", problem, str(folder / shard), name=name))
        tensors |= found
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return tensors
