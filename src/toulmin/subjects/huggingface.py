"""Hugging Face models, without ``transformers``: a directory of config.json and safetensors, or a live model object."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.families import BUFFERS, FAMILIES, Family
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


def from_huggingface(model: nn.Module, dtype: torch.dtype | None = None) -> Transformer:
    """A live ``transformers`` model (or nnsight's wrapper of one) as a factored transformer with the same weights.

    :param dtype: default that of the model.
    """
    model = getattr(model, "_model", model)
    config: Any = getattr(model, "config", None)
    if not isinstance(model, nn.Module) or not hasattr(config, "to_dict"):
        raise FaultError(
            Fault("subjects.object", f"a {type(model).__name__} is not a Hugging Face model"), ExitCode.SUBJECT
        )
    dtype = dtype or next(model.parameters()).dtype
    values = config.to_dict() | {"model_type": config.model_type}
    return convert_huggingface(values, model.state_dict(), None, dtype)


def convert_huggingface(
    values: Mapping[str, Any], tensors: Mapping[str, Tensor], file: str | None, dtype: torch.dtype
) -> Transformer:
    """A transformer from the settings and tensors of a Hugging Face model."""
    kind = values.get("model_type")
    family = FAMILIES.get(kind) if isinstance(kind, str) else None
    if family is None:
        message = f"architecture {kind!r:.60} is not known; known are {', '.join(FAMILIES)}"
        raise FaultError(Fault("subjects.architecture", message, file, name="model_type"), ExitCode.SUBJECT)
    quantisation = values.get("quantization_config")
    method = quantisation.get("quant_method") if isinstance(quantisation, Mapping) else None
    if (
        quantisation is not None and method != "gguf"
    ):  # transformers dequantises GGUF while loading, and leaves the note
        message = "quantised weights are not supported"
        raise FaultError(Fault("subjects.setting", message, file, name="quantization_config"), ExitCode.SUBJECT)
    tensors = without(tensors, BUFFERS)
    if family.head not in tensors and "lm_head.weight" in tensors:  # the name in live objects, whatever the files say
        tensors[family.head] = tensors.pop("lm_head.weight")
    config = _configure(family, values, tensors, file)
    theirs = _Layout(family, config, tensors)
    if config.tied:
        tensors = _drop_tied_head(tensors, theirs.name("W_E"), family.head, file)
    faults = compare_tensors(theirs.shapes(), tensors, file)
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return build_transformer(config, theirs.convert(tensors), dtype=dtype, file=file)


def _configure(
    family: Family, values: Mapping[str, Any], tensors: Mapping[str, Tensor], file: str | None
) -> TransformerConfig:
    settings = Settings(values, file)
    features = family.features(settings)
    features["d_vocab"] = settings.integer("vocab_size")
    features["tied"] = settings.flag("tie_word_embeddings", family.head not in tensors)
    settings.finish()
    try:
        return TransformerConfig(**features)
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

    def __init__(self, family: Family, config: TransformerConfig, tensors: Mapping[str, Tensor]) -> None:
        self.family, self.config = family, config
        self.ours = parameter_shapes(config)
        self.prefix = family.prefix if any(name.startswith(family.prefix) for name in tensors) else ""

    def name(self, ours: str) -> str:
        """Their name of one of our parameters, of ``layers.{l}.attn.qkv`` or ``….qkv_bias`` where those are fused."""
        if ours == "_W_U":
            return self.family.head
        part, layer = ours, ""
        if ours.startswith("layers."):
            _, layer, part = ours.split(".", 2)
        return self.prefix + self.family.tensors[part].format(l=layer)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor that the checkpoint must have."""
        shapes: dict[str, tuple[int, ...]] = {}
        for ours, shape in self.ours.items():
            fused = self._fused_name(ours)
            if fused is None:
                shapes[self.name(ours)] = self._their_shape(ours, shape)
            else:
                rows = 3 * self.config.n_heads * self.config.d_head
                width = (self.config.d_model,) if ours.endswith("W_Q") or "W_" in ours.rsplit(".", 1)[-1] else ()
                shapes[self.name(fused)] = (*width, rows) if self.family.transposed else (rows, *width)
        return shapes

    def convert(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Their tensors as our parameters, mostly as views of them."""
        state: dict[str, Tensor] = {}
        for ours, shape in self.ours.items():
            fused = self._fused_name(ours)
            tensor = tensors[self.name(fused or ours)]
            if self.family.transposed and tensor.ndim == 2 and ours not in ("W_E", "W_pos", "_W_U"):
                tensor = tensor.T
            if fused is not None:
                tensor = self._unfuse(tensor, "QKV".index(ours[-1]))
            state[ours] = self._factor(ours, shape, tensor)
        return state

    def _fused_name(self, ours: str) -> str | None:
        head, _, leaf = ours.rpartition(".")
        if self.family.fused is None or leaf[-1] not in "QKV":
            return None
        return f"{head}.qkv" if leaf.startswith("W") else f"{head}.qkv_bias"

    def _unfuse(self, tensor: Tensor, which: int) -> Tensor:
        heads, head = self.config.n_heads, self.config.d_head
        if self.family.fused == "stacked":
            return tensor.view(3, heads * head, *tensor.shape[1:])[which]
        return tensor.view(heads, 3, head, *tensor.shape[1:])[:, which].reshape(heads * head, *tensor.shape[1:])

    def _their_shape(self, ours: str, shape: tuple[int, ...]) -> tuple[int, ...]:
        leaf = ours.rsplit(".", 1)[-1]
        if leaf in ("W_Q", "W_K", "W_V"):
            heads, width, head = shape
            flat = (heads * head, width)
        elif leaf == "W_O":
            heads, head, width = shape
            flat = (width, heads * head)
        elif leaf in ("b_Q", "b_K", "b_V"):
            return (shape[0] * shape[1],)
        elif leaf in ("W_in", "W_gate", "W_out", "_W_U"):
            flat = (shape[1], shape[0])
        else:
            return shape
        return flat[::-1] if self.family.transposed and leaf != "_W_U" else flat

    def _factor(self, ours: str, shape: tuple[int, ...], tensor: Tensor) -> Tensor:
        """A flat weight [out, in] as ours: [H, D, E], [H, E, D] or [in, out]."""
        leaf = ours.rsplit(".", 1)[-1]
        if leaf in ("W_Q", "W_K", "W_V"):
            return tensor.reshape(shape[0], shape[2], shape[1]).permute(0, 2, 1)
        if leaf == "W_O":
            return tensor.T.reshape(shape)
        if leaf in ("W_in", "W_gate", "W_out", "_W_U"):
            return tensor.T
        if self.family.norm_offset and leaf == "w":
            return tensor.float() + self.family.norm_offset
        return tensor.reshape(shape)


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
