"""Parameter routes: the weights by which the gradients of parameters are multiplied, by label.

The gate of a parameter for a batch of one label k is m_k, 1 where no route of that label reaches it; of a strength s it
is 1 + sum over k of s_k (m_k - 1). It acts on the gradient of each backward pass before it is accumulated, so that
accumulated gradients are the sum of those of the batches, and a distributed reduction adds what each process may add.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from toulmin.faults import Fault, FaultError
from toulmin.routing.places import find_slices
from toulmin.routing.plan import RETAIN, Route, RoutePlan


@dataclass(frozen=True)
class Run:
    """The entries ``start`` to ``stop`` of ``axis``."""

    axis: int
    start: int
    stop: int

    def of(self, values: Tensor) -> Tensor:
        """These entries of ``values``, a view."""
        return values.narrow(self.axis, self.start, self.stop - self.start)


def find_runs(mask: Tensor) -> list[Run] | None:
    """Where a mask is true, as runs along the one axis along which it changes; None where it changes along several."""
    longer = [axis for axis, size in enumerate(mask.shape) if size > 1]
    if len(longer) != 1:
        return None
    padded = nn.functional.pad(mask.flatten().int(), (1, 1)).diff()
    starts, stops = ((padded == sign).nonzero()[:, 0].tolist() for sign in (1, -1))
    return [Run(longer[0], start, stop) for start, stop in zip(starts, stops, strict=True)]


@dataclass(frozen=True)
class Gate:
    """``weights`` that broadcast over a parameter, or one number for all of it.

    ``inside`` are the runs where the weights are 1, if they are 0 everywhere else and change along one axis only.
    """

    weights: Tensor
    inside: tuple[Run, ...] | None = None

    @staticmethod
    def of(weights: Tensor) -> Gate:
        """The gate of these weights."""
        zero_or_one = bool(((weights == 0) | (weights == 1)).all())
        runs = find_runs(weights != 0) if zero_or_one else None
        return Gate(weights, None if runs is None else tuple(runs))

    def weigh(self, gradient: Tensor) -> Tensor:
        """gradient x weights, a new tensor, exactly zero where the weight is, whatever the gradient."""
        if self.weights.numel() == 1:  # these stay on the CPU: reading one waits for nothing
            number = float(self.weights)
            return _zeros_like(gradient) if number == 0.0 else gradient * number
        if self.inside is not None:
            out = _zeros_like(gradient)
            for run in self.inside:
                run.of(out).copy_(run.of(gradient))
            return out
        weights = self.weights.to(gradient.dtype)
        return torch.where(weights == 0, 0.0, gradient * weights)


_LARGE = 1 << 20  # bytes


def _zeros_like(gradient: Tensor) -> Tensor:
    """Zeros; large ones in main memory are pages that the system hands out zeroed when they are first written to.

    ``torch.zeros`` writes every zero: where a batch trains a small part of a model, a pass over all of it.
    """
    size = gradient.numel() * gradient.element_size()
    plain = type(gradient) is Tensor and gradient.device.type == "cpu" and gradient.is_contiguous()
    if not plain or size < _LARGE:
        return torch.zeros_like(gradient)
    return torch.from_numpy(np.zeros(size, np.uint8)).view(gradient.dtype).view(gradient.shape)


@dataclass
class Gates:
    """``by_label[k][parameter]``: the gate of a parameter for data of the label k."""

    labels: tuple[str, ...]
    by_label: dict[int, dict[str, Gate]] = field(default_factory=dict[int, "dict[str, Gate]"])

    @staticmethod
    def build(model: nn.Module, plan: RoutePlan) -> Gates:
        """The gates of a plan's parameter routes and forward masks.

        :raises FaultError: (all faults) names that match nothing, slices that are not there, regions that overlap.
        """
        weights: dict[int, dict[str, Tensor]] = {}
        parameters = {name: p for name, p in model.named_parameters() if p.requires_grad}
        faults: list[Fault] = []
        taken: dict[str, list[tuple[str, Tensor]]] = {}
        outside: dict[str, float] = {}
        retain = len(plan.labels)
        for route in plan.routes:
            if route.kind == "activation":
                continue
            slices, wrong = find_slices(model, route)
            faults += wrong
            if outside.setdefault(route.label, route.outside) != route.outside:
                text = "routes of one label have different weights outside"
                faults.append(Fault("routing.overlap", text, name=str(route)))
            own = weights.setdefault(plan.all_labels.index(route.label), {})
            reached = parameters if route.reach == "model" else {part.name: parameters[part.name] for part in slices}
            for name, parameter in reached.items():
                own.setdefault(name, torch.full((1,) * parameter.ndim, route.outside, dtype=torch.float64))
            for part in slices:
                parameter = parameters.get(part.name)
                if parameter is None or part.index is None:
                    continue
                mask = part.mask(parameter)
                faults += _overlaps(route, part.name, mask, taken)
                own[part.name] = _with(mask, route.inside, own[part.name])
                if route.kind == "forward":  # their gradient is zero there: what matters is that no update is made
                    kept = weights.setdefault(retain, {})
                    now = kept.get(part.name, torch.ones((1,) * parameter.ndim, dtype=torch.float64))
                    kept[part.name] = _with(mask, 0.0, now)
        if faults:
            raise FaultError(list(dict.fromkeys(faults)))
        made = {k: {name: Gate.of(_compact(gate)) for name, gate in own.items()} for k, own in weights.items()}
        return Gates(plan.all_labels, made)

    @property
    def names(self) -> set[str]:
        """The parameters that any label's gate concerns."""
        return {name for own in self.by_label.values() for name in own}

    def gate(self, name: str, strengths: Tensor) -> Gate | None:
        """The gate of a parameter's gradient for a batch of these strengths [L]; None for 1."""
        concerned = [k for k, own in self.by_label.items() if float(strengths[k]) > 0 and name in own]
        if not concerned:
            return None
        if len(concerned) == 1 and float(strengths[concerned[0]]) == 1.0:
            return self.by_label[concerned[0]][name]
        mixed = torch.ones((), dtype=torch.float64)
        for k in concerned:
            weights = self.by_label[k][name].weights
            mixed = mixed.to(weights.device) + float(strengths[k]) * (weights - 1)
        return Gate(mixed)


def _with(mask: Tensor, inside: float, gate: Tensor) -> Tensor:
    within = torch.tensor(inside, dtype=torch.float64, device=mask.device)
    return torch.where(mask, within, float(gate) if gate.numel() == 1 else gate)


def _compact(gate: Tensor) -> Tensor:
    """The same weights, of size 1 along every axis along which they do not change."""
    for axis in range(gate.ndim):
        first = gate.narrow(axis, 0, 1)
        if torch.equal(gate, first.expand_as(gate)):
            gate = first.clone()
    return gate


def _overlaps(route: Route, name: str, mask: Tensor, taken: dict[str, list[tuple[str, Tensor]]]) -> list[Fault]:
    if route.label == RETAIN:
        return []
    others = [label for label, other in taken.get(name, []) if label != route.label and bool((mask & other).any())]
    taken.setdefault(name, []).append((route.label, mask))
    text = f"shares units with {', '.join(others)}"
    return [Fault("routing.overlap", text, name=f"{route} in {name}")] if others else []
