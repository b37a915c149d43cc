"""The names of a model's parts: components (nodes of the computational graph) and activations (tensors of a pass).

Components, in the order in which they write: ``embed``, then for each layer l its heads ``L{l}.H{h}`` and its MLP
``L{l}.mlp``, then ``logits``. Activations: ``embed``, ``pos_embed``, ``L{l}.`` followed by one of :data:`LAYER_NAMES`,
``final_norm``, ``logits``. A component's name also names an activation: what it writes to the residual stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.subjects.config import TransformerConfig

#: activations of one layer, in the order in which they are computed
LAYER_NAMES = (
    "resid_pre",
    "norm1",
    "q",
    "k",
    "v",
    "scores",
    "pattern",
    "z",
    "result",
    "attn_out",
    "resid_mid",
    "norm2",
    "mlp_pre",
    "mlp_post",
    "mlp_out",
    "resid_post",
)
MLP_NAMES = ("resid_mid", "norm2", "mlp_pre", "mlp_post", "mlp_out")

_HEAD = re.compile(r"L(\d+)\.H(\d+)")

Tap = Callable[[str, Tensor], Tensor]


def component_names(config: TransformerConfig) -> list[str]:
    """Every component, in the order in which they write to the residual stream; ``logits`` is last."""
    names = ["embed"]
    for layer in range(config.n_layers):
        names += [f"L{layer}.H{head}" for head in range(config.n_heads)]
        if config.d_mlp:
            names.append(f"L{layer}.mlp")
    return [*names, "logits"]


def activation_names(config: TransformerConfig) -> list[str]:
    """Every activation a forward pass can record, in order."""
    names = ["embed"] + (["pos_embed"] if config.positions == "learned" else [])
    for layer in range(config.n_layers):
        names += [
            f"L{layer}.{name}"
            for name in LAYER_NAMES
            if (config.d_mlp or name not in MLP_NAMES) and not (config.parallel and name == "resid_mid")
        ]
    return [*names, "final_norm", "logits"]


def check_names(names: Iterable[str], config: TransformerConfig) -> None:
    """:raises FaultError: (``subjects.name``) one fault for every name that is neither an activation nor a
    component."""
    known = {*activation_names(config), *component_names(config)}
    faults = [
        Fault("subjects.name", "no activation or component of that name", name=n) for n in names if n not in known
    ]
    if faults:
        raise FaultError(faults)


class Recorder:
    """Keeps the activations it is asked for, and replaces those it has an edit for.

    A layer calls ``tap(name, value)`` at each named activation and goes on with what comes back. ``wants`` lets it skip
    what nobody asked for, such as each head's own result.
    """

    def __init__(
        self,
        names: Iterable[str] | None,
        edits: Mapping[str, Callable[[Tensor], Tensor]],
        config: TransformerConfig,
    ) -> None:
        everything = activation_names(config)
        asked = everything if names is None else list(names)
        check_names([*asked, *edits], config)
        self._asked, self._edits = asked, dict(edits)
        self._heads: dict[str, list[tuple[str, int]]] = {}
        self._tensors: dict[str, str] = {}
        for name in dict.fromkeys([*asked, *edits]):
            head = _HEAD.fullmatch(name)
            if head:
                self._heads.setdefault(f"L{head[1]}.result", []).append((name, int(head[2])))
            elif name.endswith(".mlp"):
                self._tensors.setdefault(f"{name}_out", name)
        self._wanted = {*asked, *edits, *self._heads, *self._tensors}
        self._kept: dict[str, Tensor] = {}

    def wants(self, name: str) -> bool:
        """Whether this activation is recorded or edited."""
        return name in self._wanted

    def __call__(self, name: str, value: Tensor) -> Tensor:
        """Record and edit one activation; returns what the forward pass should go on with."""
        if name not in self._wanted:
            return value
        if name in self._edits:
            value = self._edits[name](value)
        alias = self._tensors.get(name)
        if alias is not None:
            if alias in self._edits:
                value = self._edits[alias](value)
            self._kept[alias] = value
        for head_name, head in self._heads.get(name, ()):
            if head_name in self._edits:
                parts = list(value.unbind(-2))
                parts[head] = self._edits[head_name](parts[head])
                value = _stack(parts)
            self._kept[head_name] = value[..., head, :]
        self._kept[name] = value
        return value

    @property
    def activations(self) -> dict[str, Tensor]:
        """What was asked for, in the order asked; those that a partial pass did not reach are left out."""
        return {name: self._kept[name] for name in self._asked if name in self._kept}


def _stack(parts: list[Tensor]) -> Tensor:
    import torch

    return torch.stack(parts, dim=-2)
