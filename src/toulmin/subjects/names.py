"""The names of a model's parts: components (nodes of the computational graph) and activations (tensors of a pass).

Components, in the order in which they write: ``embed``, then for each layer l its heads ``L{l}.H{h}`` and its MLP
``L{l}.mlp``, then ``logits``. Activations: ``embed``, ``pos_embed``, ``L{l}.`` followed by one of :data:`LAYER_NAMES`,
``final_norm``, ``logits``. A component's name also names an activation: what it writes to the residual stream.

A pattern stands for all names it matches (``*`` any text, ``?`` one character, ``[0-3]`` a range): ``L*.pattern``,
``L0.H*``. ``result``, which is H times as large as the stream, and single heads are matched only by patterns that
spell ``result`` or ``H`` after the point.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

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

HEAD = re.compile(r"L(\d+)\.H(\d+)")


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


def find_names(names: Iterable[str], config: TransformerConfig) -> list[str]:
    """The given names, with patterns replaced by the names that they match, each once, in the order given.

    :raises FaultError: (``subjects.name``) one fault for every name that is neither an activation nor a component, and
        every pattern that matches none; the nearest names are given.
    """
    activations = activation_names(config)
    known = [*activations, *(name for name in component_names(config) if name not in activations)]
    lookup, found = set(known), list[str]()
    faults: list[Fault] = []
    for name in names:
        chosen = [name] if name in lookup else []
        if not chosen and any(sign in name for sign in "*?["):
            chosen = [each for each in known if fnmatchcase(each, name) and _may_match(name, each)]
        if not chosen:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"there are: {', '.join(near)}" if near else None
            faults.append(Fault("subjects.name", "no activation or component of that name", name=name, hint=hint))
        found += chosen
    if faults:
        raise FaultError(faults)
    return list(dict.fromkeys(found))


def _may_match(pattern: str, name: str) -> bool:
    """Large or repeated activations only where the pattern says so."""
    if HEAD.fullmatch(name):
        return ".H" in pattern
    return not name.endswith((".result", ".mlp")) or name.rpartition(".")[2] in pattern
