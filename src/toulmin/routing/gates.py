"""Parameter routes: the weights by which the gradients of parameters are multiplied, by label.

The gate of a parameter for a batch of one label k is m_k, 1 where no route of that label reaches it; of a strength s it
is 1 + sum over k of s_k (m_k - 1). It acts on the gradient of each backward pass before it is accumulated, so that
accumulated gradients are the sum of those of the batches, and a distributed reduction adds what each process may add.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from toulmin.faults import Fault, FaultError
from toulmin.routing.places import find_slices
from toulmin.routing.plan import RETAIN, Route, RoutePlan


@dataclass
class Gates:
    """``by_label[k][parameter]``: weights that broadcast over the parameter, or one number for all of it."""

    labels: tuple[str, ...]
    by_label: dict[int, dict[str, Tensor]] = field(default_factory=dict[int, "dict[str, Tensor]"])

    @staticmethod
    def build(model: nn.Module, plan: RoutePlan) -> Gates:
        """The gates of a plan's parameter routes and forward masks.

        :raises FaultError: (all faults) names that match nothing, slices that are not there, regions that overlap.
        """
        gates = Gates(plan.all_labels)
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
            own = gates.by_label.setdefault(plan.all_labels.index(route.label), {})
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
                    kept = gates.by_label.setdefault(retain, {})
                    now = kept.get(part.name, torch.ones((1,) * parameter.ndim, dtype=torch.float64))
                    kept[part.name] = _with(mask, 0.0, now)
        if faults:
            raise FaultError(list(dict.fromkeys(faults)))
        for own in gates.by_label.values():
            for name, gate in own.items():
                own[name] = _compact(gate)
        return gates

    @property
    def names(self) -> set[str]:
        """The parameters that any label's gate concerns."""
        return {name for own in self.by_label.values() for name in own}

    def gate(self, name: str, strengths: Tensor) -> Tensor | None:
        """The weights of a parameter's gradient for a batch of these strengths [L]; None for 1."""
        concerned = [k for k, own in self.by_label.items() if float(strengths[k]) > 0 and name in own]
        if not concerned:
            return None
        if len(concerned) == 1 and float(strengths[concerned[0]]) == 1.0:
            return self.by_label[concerned[0]][name]
        gate = torch.ones((), dtype=torch.float64)
        for k in concerned:
            gate = gate.to(self.by_label[k][name].device) + float(strengths[k]) * (self.by_label[k][name] - 1)
        return gate


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


def weigh(gradient: Tensor, gate: Tensor) -> Tensor:
    """gradient x gate, exactly zero where the gate is, whatever the gradient."""
    if gate.numel() == 1:  # these stay on the CPU: reading one waits for nothing
        return torch.zeros_like(gradient) if float(gate) == 0.0 else gradient * float(gate)
    gate = gate.to(gradient.dtype)
    return torch.where(gate == 0, 0.0, gradient * gate)
