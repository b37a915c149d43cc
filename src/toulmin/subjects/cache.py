"""Recording and editing activations: the hooks of a forward pass, what they keep, and how much memory it takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.names import HEAD, activation_names, find_names

if TYPE_CHECKING:
    from toulmin.subjects.transformer import Transformer

Edits = Mapping[str, Callable[[Tensor], Tensor]]
MAX_BYTES = 2 << 30  #: of activations that one call may keep unless it is told otherwise


class ActivationCache(dict[str, Tensor]):
    """Activations by name, in the order asked for.

    What a component writes is computed when it is looked up, if what it takes was recorded: ``cache["L1.H3"]`` is
    ``z[..., 3, :] W_O[3]`` from ``L1.z``, ``cache["L1.mlp"]`` is ``L1.mlp_out``. Such names are not listed.

    :raises FaultError: (``subjects.name``) on looking up what was not recorded and cannot be computed.
    """

    def __init__(self, asked: Iterable[str], kept: Mapping[str, Tensor], model: Transformer) -> None:
        super().__init__({name: kept[name] for name in asked if name in kept})
        self._kept, self._model = kept, model

    def __missing__(self, name: str) -> Tensor:
        layer, _, part = name.partition(".")
        kept = self._kept
        if name in kept:
            return kept[name]
        if part == "mlp" and f"{layer}.mlp_out" in kept:
            return kept[f"{layer}.mlp_out"]
        head = HEAD.fullmatch(name)
        if (head or part == "result") and name in find_names([name], self._model.config):
            attn = self._model.layers[int(layer[1:])].attn
            if head and f"{layer}.result" in kept:
                return kept[f"{layer}.result"][..., int(head[2]), :]
            if f"{layer}.z" in kept:
                z = kept[f"{layer}.z"]
                return z[..., int(head[2]), :] @ attn.W_O[int(head[2])] if head else attn.result(z)
        find_names([name], self._model.config)
        raise FaultError(Fault("subjects.name", "it was not recorded", name=name, hint="add it to names"))


class Recorder:
    """The hook that a layer calls as ``hook(name, value)`` at each named activation, going on with what comes back.

    It keeps the activations it is asked for, and replaces those it has an edit for. ``wants`` lets the layer skip what
    nobody asked for, such as each head's own result.
    """

    def __init__(self, asked: Iterable[str], edits: Edits) -> None:
        self._edits = dict(edits)
        self._heads: dict[str, list[tuple[str, int]]] = {}
        self._tensors: dict[str, str] = {}
        names = dict.fromkeys([*asked, *edits])
        for name in names:
            head = HEAD.fullmatch(name)
            if head:
                self._heads.setdefault(f"L{head[1]}.result", []).append((name, int(head[2])))
            elif name.endswith(".mlp"):
                self._tensors.setdefault(f"{name}_out", name)
        self._wanted = {*names, *self._heads, *self._tensors}
        self.kept: dict[str, Tensor] = {}

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
            self.kept[alias] = value
        for head_name, head in self._heads.get(name, ()):
            if head_name in self._edits:
                parts = list(value.unbind(-2))
                parts[head] = self._edits[head_name](parts[head])
                value = torch.stack(parts, dim=-2)
        for head_name, head in self._heads.get(name, ()):
            self.kept[head_name] = value[..., head, :]
        self.kept[name] = value
        return value


def default_names(config: TransformerConfig) -> list[str]:
    """Every activation but each head's ``result``, which is computed from ``z`` when it is looked up."""
    return [name for name in activation_names(config) if not name.endswith(".result")]


def cache_bytes(config: TransformerConfig, names: Iterable[str], batch: int, length: int, width: int = 4) -> int:
    """Memory that the named activations take, in bytes, for B = ``batch`` sequences of T = ``length`` tokens.

    :param width: bytes of one number.
    :raises FaultError: (``subjects.name``) for unknown names.
    """
    heads, kv_heads, head = config.n_heads, config.kv_heads, config.d_head
    each = {"q": heads * head, "k": kv_heads * head, "v": kv_heads * head, "z": heads * head}
    each |= {"scores": heads * length, "pattern": heads * length, "result": heads * config.d_model}
    each |= {"mlp_pre": config.d_mlp, "mlp_post": config.d_mlp, "logits": config.vocab_out}
    chosen: dict[str, None] = {}
    for name in find_names(names, config):
        layer, _, part = name.partition(".")
        if HEAD.fullmatch(name):
            part = "result"  # the recorded head is a view of all heads
        elif part == "mlp":
            part = "mlp_out"
        elif part == "resid_post" and int(layer[1:]) + 1 < config.n_layers:
            layer, part = f"L{int(layer[1:]) + 1}", "resid_pre"  # the same tensor
        elif name == "embed" and config.positions != "learned":
            layer, part = "L0", "resid_pre"
        chosen[f"{layer}.{part}" if part else layer] = None
    total = 0
    for name in chosen:
        part = name.rpartition(".")[2]
        rows = length if name == "pos_embed" else batch * length
        total += rows * each.get(part, config.d_model)
    return total * width


def check_size(config: TransformerConfig, names: Iterable[str], tokens: Tensor, width: int, limit: int) -> None:
    """Refuse to keep more than ``limit`` bytes, before anything is computed.

    :raises FaultError: (``subjects.cache_size``, exit code LIMIT), with the estimate and the largest activations.
    """
    batch, length = tokens.numel() // max(tokens.shape[-1], 1), tokens.shape[-1]
    names = list(names)
    needed = cache_bytes(config, names, batch, length, width)
    if needed > limit:
        sizes = {name: cache_bytes(config, [name], batch, length, width) for name in names}
        largest = sorted(names, key=lambda name: -sizes[name])[:3]
        text = f"{len(names)} activations of {batch} x {length} tokens take {needed / 1e9:.1f} GB"
        text += f", and max_bytes allows {limit / 1e9:.1f}; the largest are {', '.join(largest)}"
        hint = "name fewer, stop at an earlier layer, run fewer sequences, or raise max_bytes"
        raise FaultError(Fault("subjects.cache_size", text, hint=hint), ExitCode.LIMIT)
