"""Live models of TransformerLens 4: a TransformerBridge around a ``transformers`` model, or one of its native models.

A bridge renames a model's modules (``blocks.0.attn.q``) and leaves its weights as they are, or, in compatibility mode,
processes them as a HookedTransformer did: norms folded, weights centred, value biases folded. What the computation is
is then said by the configuration of the model inside; a native model has only TransformerLens's own settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.families import Family, Features
from toulmin.subjects.huggingface import convert_huggingface, fill_transformer
from toulmin.subjects.settings import Settings
from toulmin.subjects.transformer import Transformer

_NAMES = {
    "W_E": "embed.weight",
    "W_pos": "pos_embed.weight",
    "b_U": "unembed.bias",
    "final_norm.w": "ln_final.weight",
    "final_norm.b": "ln_final.bias",
}
_LAYER = {"norm1": "ln1", "norm2": "ln2", "post_norm1": "ln1_post", "post_norm2": "ln2_post"}
_NAMES |= {
    f"{ours}.{leaf[0]}": f"blocks.{{l}}.{theirs}.{leaf}"
    for ours, theirs in _LAYER.items()
    for leaf in ("weight", "bias")
}
_NAMES |= {f"attn.W_{slot}": f"blocks.{{l}}.attn.{slot.lower()}.weight" for slot in "QKVO"}
_NAMES |= {f"attn.b_{slot}": f"blocks.{{l}}.attn.{slot.lower()}.bias" for slot in "QKVO"}
_NAMES |= {f"attn.{slot}_norm.w": f"blocks.{{l}}.attn.{slot}_norm.weight" for slot in "qk"}
_NAMES |= {f"mlp.W_{part}": f"blocks.{{l}}.mlp.{part}.weight" for part in ("in", "gate", "out")}
_NAMES |= {f"mlp.b_{part}": f"blocks.{{l}}.mlp.{part}.bias" for part in ("in", "gate", "out")}
_HEAD = "unembed.weight"

Configure = Callable[[Mapping[str, Any], Mapping[str, Tensor], str | None], TransformerConfig]


def from_bridge(bridge: Any, configure: Configure, dtype: torch.dtype | None = None) -> Transformer:
    """The transformer in a TransformerBridge.

    :param configure: from TransformerLens's settings to the shape of a native model.
    :raises FaultError: (exit code SUBJECT) an architecture, setting or tensor that is not supported, by its name; a
        model in compatibility mode whose norms or multipliers its configuration describes as unfolded.
    """
    tensors = _rows_first(bridge)
    dtype = dtype or next(iter(tensors.values())).dtype
    inner: Any = getattr(bridge.original_model, "config", None)
    biased = _HEAD.replace("weight", "bias") in tensors and bool(tensors["unembed.bias"].any())
    if not biased:
        tensors.pop("unembed.bias", None)
    if not hasattr(inner, "to_dict"):
        config = replace(configure(dict(vars(bridge.cfg)), {}, None), biases=_biases(tensors))
        return fill_transformer(Family(lambda _: {}, _NAMES, "", head=_HEAD), config, tensors, None, dtype)

    def renamed(family: Family) -> Family:
        if getattr(bridge, "compatibility_mode", False) and (family.norm_offset or family.factors):
            message = "in compatibility mode the weights of this family are folded in a way that is not undone"
            hint = "convert the bridge before enable_compatibility_mode()"
            raise FaultError(Fault("subjects.object", message, name="compatibility_mode", hint=hint), ExitCode.SUBJECT)

        def features(settings: Settings) -> Features:
            return family.features(settings) | {"biases": _biases(tensors)}

        plain = {"transposed": False, "packed": {}, "interleaved": False, "live": None}
        return replace(family, features=features, tensors=_NAMES, prefix="", head=_HEAD, **plain)

    values = inner.to_dict() | {"model_type": inner.model_type}
    values["tie_word_embeddings"] = torch.equal(tensors[_HEAD], tensors["embed.weight"])
    return convert_huggingface(values, tensors, None, dtype, renamed)


def _biases(tensors: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Which biases the weights have: folding makes some that the configuration does not know."""
    names = {"mlp": "blocks.0.mlp.out.bias", "unembed": "unembed.bias"}
    names |= {slot: f"blocks.0.attn.{slot}.bias" for slot in "qkvo"}
    return tuple(bias for bias in ("q", "k", "v", "o", "mlp", "unembed") if names[bias] in tensors)


def _rows_first(bridge: Any) -> dict[str, Tensor]:
    """The bridge's tensors, linear weights as [out, in]: GPT-2's ``Conv1D`` has them as [in, out]."""
    tensors: dict[str, Tensor] = dict(bridge.state_dict())
    for name, tensor in tensors.items():
        module: Any = bridge
        for part in name.split(".")[:-1]:
            module = module[int(part)] if part.isdigit() else getattr(module, part, None)
        if type(getattr(module, "original_component", None)).__name__ == "Conv1D" and name.endswith(".weight"):
            tensors[name] = tensor.T
    return tensors
