"""The parameters of a part of a transformer, as :func:`toulmin.basis.learning_coefficient` restricts itself to them."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects import Transformer

_PART = re.compile(r"L(\d+)(?:\.(?:(attn|mlp)|H(\d+)))?")


def part_parameters(model: Transformer, *parts: str) -> dict[str, Tensor | None]:
    """The parameters of one or several parts of a model, by name: None for all of a tensor, or a mask.

    :param parts: ``L2`` is a layer with its norms, ``L2.attn`` and ``L2.mlp`` its attention and its MLP without them,
        ``L2.H3`` a head: its rows of W_Q, W_K, W_V and W_O and of their biases. b_O belongs to no head. Where several
        heads read the same keys and values these belong to no head either.
    :raises FaultError: ``basis.parameters`` (exit SUBJECT) a part that the model does not have.
    """
    found: dict[str, Tensor | None] = {}
    faults: list[Fault] = []
    for part in parts:
        match = _PART.fullmatch(part)
        if match is None or int(match[1]) >= model.config.n_layers or int(match[3] or 0) >= model.config.n_heads:
            shape = f"{model.config.n_layers} layers of {model.config.n_heads} heads"
            message = f"the model has no such part; it has {shape}, and parts are L0, L0.attn, L0.mlp and L0.H0"
            faults.append(Fault("basis.parameters", message, name=part))
            continue
        prefix = f"layers.{match[1]}." + (f"{match[2]}." if match[2] else "" if match[3] is None else "attn.")
        for name, parameter in model.named_parameters():
            if not name.startswith(prefix):
                continue
            if match[3] is None:
                found[name] = None
            elif re.fullmatch(r"[Wb]_[QKVO]", name.removeprefix(prefix)) and len(parameter) == model.config.n_heads:
                if name.endswith("b_O") or found.get(name, parameter) is None:
                    continue
                mask = found.get(name)
                mask = torch.zeros_like(parameter, dtype=torch.bool) if mask is None else mask
                mask[int(match[3])] = True
                found[name] = mask
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return found
