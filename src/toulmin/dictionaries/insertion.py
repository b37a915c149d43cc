"""What is trained: dictionaries that are inserted together into one forward pass, with their objective and controls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.dictionaries.objective import Objective
from toulmin.faults import Fault, FaultError

Control = Literal["none", "frozen_decoder", "frozen_encoder", "soft_frozen_decoder"]
SOFT_COSINE = 0.8  #: how close a soft-frozen direction stays to where it began
ACTIVATIONS = "activations"  #: the site's name where activations come without a model


@dataclass(frozen=True)
class Insertion:
    """Dictionaries by site, inserted together into one forward pass, and what they are trained for.

    :param name: distinguishes it from the others that are trained at the same time.
    :param lr_scale: its learning rate as a multiple of the schedule's.
    :param clip: gradients of all its dictionaries together are clipped to this norm; None: not at all.
    :param control: the random baselines of Korznikov et al. 2026 ("Sanity Checks for Sparse Autoencoders"):
        ``frozen_decoder`` keeps the random directions, ``soft_frozen_decoder`` keeps each within cosine 0.8 of where it
        began, ``frozen_encoder`` keeps the encoder's random weights.
    :raises FaultError: (``dictionaries.insertion``) no dictionary, an unknown control, or a kind that is not trained.
    """

    name: str
    dictionaries: Mapping[str, Dictionary]
    objective: Objective
    lr_scale: float = 1.0
    clip: float | None = 10.0
    control: Control = "none"

    def __post_init__(self) -> None:
        checks = [
            (bool(self.dictionaries), "has no dictionary"),
            (bool(self.name) and "." not in self.name, "a name is not empty and has no full stop"),
            (self.control in get_args(Control), f"control is one of {', '.join(get_args(Control))}"),
            (
                not any(d.config.kind == "gated" for d in self.dictionaries.values()),
                "a gated dictionary is not trained",
            ),
        ]
        faults = [Fault("dictionaries.insertion", text, name=self.name) for good, text in checks if not good]
        if faults:
            raise FaultError(faults)

    def describe(self) -> dict[str, Any]:
        """As JSON values: to tell one run from another."""
        objective = {name: value for name, value in vars(self.objective).items() if value != getattr(Objective, name)}
        return {
            "dictionaries": {site: d.config.to_dict() for site, d in self.dictionaries.items()},
            "objective": {name: list(v) if isinstance(v, tuple) else v for name, v in objective.items()},
            "lr_scale": self.lr_scale,
            "clip": self.clip,
            "control": self.control,
        }

    def trained(self) -> list[nn.Parameter]:
        """The parameters that the control leaves free."""
        held = {"frozen_decoder": ("W_dec",), "frozen_encoder": ("W_enc",)}.get(self.control, ())
        return [p for d in self.dictionaries.values() for name, p in d.named_parameters() if name not in held]

    def held(self) -> list[nn.Parameter]:
        """The parameters that the control freezes."""
        free = {id(parameter) for parameter in self.trained()}
        return [p for d in self.dictionaries.values() for p in d.parameters() if id(p) not in free]


@torch.no_grad()
def pull_back(rows: Tensor, starts: Tensor, cosine: float = SOFT_COSINE) -> None:
    """Turn each row that has gone too far back onto the cone of the given cosine about its start; lengths stay.

    In the plane of start s and row w: cos(a) s + sin(a) u, u the unit part of w orthogonal to s.
    """
    s, lengths = functional.normalize(starts, dim=1), rows.norm(dim=1, keepdim=True)
    along = (rows * s).sum(1, keepdim=True)
    across = functional.normalize(rows - along * s, dim=1)
    turned = lengths * (cosine * s + (1 - cosine**2) ** 0.5 * across)
    rows.copy_(torch.where(along < cosine * lengths, turned, rows))
