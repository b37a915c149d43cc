"""Labels of a batch as strengths: how much each data point belongs to each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.routing.plan import UNLABELLED, RoutePlan

Labels: TypeAlias = "Tensor | str | Sequence[str | int | None] | None"


@dataclass(frozen=True)
class Strengths:
    """``values`` [*lead, L], from 0 to 1, one column a label (regions, then retain); lead is (), (B,) or (B, T).

    ``uniform`` [L], on the CPU, where all data points are alike; None where they differ.
    """

    values: Tensor
    uniform: Tensor | None

    @property
    def lead(self) -> int:
        """How many axes the data points have."""
        return self.values.ndim - 1


def read_labels(labels: Labels, plan: RoutePlan) -> Strengths:
    """Strengths of labels in any of the forms that they may have.

    - None, a name, or ``"unlabelled"``: the whole batch;
    - a sequence of names, numbers or None, one a row;
    - an integer tensor (B,) or (B, T): the number of the region, K for retain, -1 for unlabelled;
    - a boolean tensor, where the plan has one region: in it, or unlabelled;
    - a float tensor [..., K] or [..., K + 1]: the strength of each region (and of retain), from 0 to 1, at most 1
      together. A strength s mixes the weights: s times the route's, 1 - s times 1.

    :raises FaultError: (``routing.labels``) they are none of these.
    """
    names = plan.all_labels
    if labels is None or isinstance(labels, str):
        values = torch.zeros(len(names))
        if labels is not None and labels != "unlabelled":
            values[_number(labels, names)] = 1.0
        return Strengths(values, values)
    if not isinstance(labels, Tensor):
        labels = torch.tensor([_number(label, names) for label in labels])
    count = len(names)
    if labels.dtype == torch.bool:
        if count != 2:
            raise _fault(f"boolean labels need a plan with one region, and this one has {count - 1}")
        labels = torch.where(labels, 0, UNLABELLED)
    if not labels.is_floating_point():
        if labels.ndim not in (1, 2):
            raise _fault(f"integer labels have shape (B,) or (B, T), not {tuple(labels.shape)}")
        low, high = labels.aminmax() if labels.numel() else (labels.new_tensor(-1), labels.new_tensor(-1))
        if low < UNLABELLED or high >= count:
            raise _fault(f"integer labels are {UNLABELLED} to {count - 1}, not {int(low)} to {int(high)}")
        values = torch.nn.functional.one_hot(labels.long() + 1, count + 1)[..., 1:].float()
    else:
        if labels.ndim not in (2, 3) or labels.shape[-1] not in (count - 1, count):
            text = f"float labels have shape (B, K) or (B, T, K) with K = {count - 1} or {count}"
            raise _fault(f"{text}, not {tuple(labels.shape)}")
        if not bool(((labels >= 0) & (labels <= 1)).all() & (labels.sum(-1) <= 1 + 1e-5).all()):
            raise _fault("float labels are strengths from 0 to 1, at most 1 together")
        values = labels if labels.shape[-1] == count else torch.cat([labels, torch.zeros_like(labels[..., :1])], -1)
    flat = values.flatten(0, -2)
    alike = len(flat) > 0 and bool((flat == flat[:1]).all())
    return Strengths(values, flat[0].detach().cpu().float() if alike else None)


def _number(label: str | int | None, names: Sequence[str]) -> int:
    if label is None or label == "unlabelled":
        return UNLABELLED
    if isinstance(label, str):
        if label not in names:
            raise _fault(f"{label!r} is not a label of the plan", f"the labels are {', '.join(names)}, unlabelled")
        return names.index(label)
    return int(label)


def _fault(message: str, hint: str | None = None) -> FaultError:
    return FaultError(Fault("routing.labels", message, hint=hint))
