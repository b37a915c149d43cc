"""Activation routes and forward masks: what happens at the output of a module.

An activation route is the identity forward, and weighs the gradient backward. A forward mask multiplies the activation
itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.routing.labels import Strengths
from toulmin.routing.places import as_index
from toulmin.routing.plan import RETAIN, Route, RoutePlan

Span = tuple[int, int, float, float]  #: start, stop, weight inside minus 1, weight outside minus 1


class WeightGradient(torch.autograd.Function):
    """x forward; backward g (1 + s D): s [..., R] the strengths, D [R, F] each route's weights minus 1.

    Nothing of the size of x is kept for the backward pass. Where there is one route over a span of dimensions, the
    weights are two numbers a data point, and no array of the size of x is made of them.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, s: Tensor, deltas: Tensor, span: Span | None, axis: int) -> Tensor:
        """A view of x."""
        ctx.save_for_backward(s, deltas)
        ctx.span, ctx.axis = span, axis
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        """The weighted gradient."""
        (g,) = grads
        s, deltas = ctx.saved_tensors
        s = s.to(device=g.device, dtype=g.dtype)
        if ctx.span is None:
            weights = 1 + s @ deltas.to(device=g.device, dtype=g.dtype)
            return g * (weights if ctx.axis == -1 else weights.movedim(-1, ctx.axis)), None, None, None, None
        start, stop, inside, outside = ctx.span
        out = g * (1 + s * outside)
        part = g[..., start:stop]
        out[..., start:stop] = part * (1 + s * inside) if inside else part
        return out, None, None, None, None


@dataclass(frozen=True)
class SiteRoutes:
    """The routes at one module's output: D [R, F], which columns of the strengths they need, and what is zeroed."""

    name: str
    columns: tuple[int, ...]
    deltas: Tensor
    span: Span | None
    axis: int
    hidden: Tensor | None  #: [L, F], 1 for the units that data of a label do not see (forward masks)

    @staticmethod
    def build(name: str, routes: Sequence[Route], plan: RoutePlan, size: int) -> SiteRoutes:
        """The routes at a site of ``size`` dimensions.

        :raises FaultError: (``routing.dims``, ``routing.overlap``) dimensions that are not there, or in two regions.
        """
        faults: list[Fault] = []
        taken: dict[int, str] = {}
        seen: set[tuple[str, str]] = set()
        deltas: list[Tensor] = []
        columns: list[int] = []
        span: Span | None = None
        hidden: Tensor | None = None
        for route in routes:
            assert route.dims is not None
            try:
                index = as_index(route.dims, size)
            except ValueError as error:
                faults.append(Fault("routing.dims", str(error), name=f"{route} at {name}"))
                continue
            if (route.label, route.kind) in seen:
                text = "two routes of one label and kind at one place: join their dims"
                faults.append(Fault("routing.overlap", text, name=f"{route} at {name}"))
            seen.add((route.label, route.kind))
            if route.label != RETAIN:
                shared = sorted({taken[d] for d in index.tolist() if taken.get(d, route.label) != route.label})
                if shared and route.inside > route.outside:
                    text = f"shares dimensions with {', '.join(shared)}"
                    faults.append(Fault("routing.overlap", text, name=f"{route} at {name}"))
                taken |= dict.fromkeys(index.tolist(), route.label)
            if route.kind == "forward":
                if hidden is None:
                    hidden = torch.zeros(len(plan.all_labels), size, dtype=torch.float64)
                others = [k for k, label in enumerate(plan.all_labels) if label != route.label]
                hidden[torch.tensor(others)[:, None], index] = 1.0
                continue
            delta = torch.full((size,), route.outside - 1.0, dtype=torch.float64)
            delta[index] = route.inside - 1.0
            deltas.append(delta)
            columns.append(plan.all_labels.index(route.label))
            first, last = int(index[0]), int(index[-1])
            if last - first + 1 == len(index):
                span = (first, last + 1, route.inside - 1.0, route.outside - 1.0)
        if faults:
            raise FaultError(faults)
        axis = routes[0].axis if routes[0].axis is not None else -1
        alone = len(deltas) == 1 and axis == -1
        stacked = torch.stack(deltas) if deltas else torch.zeros(0, size)
        return SiteRoutes(name, tuple(columns), stacked, span if alone else None, axis, hidden)

    def apply(self, x: Tensor, strengths: Strengths) -> Tensor:
        """The activation that the rest of the model reads.

        :raises FaultError: (``routing.labels``) the labels' axes are not the activation's.
        """
        s = strengths.values
        if s.device != x.device:
            s = s.to(x.device)
        lead = strengths.lead
        if x.ndim < lead + 1 or x.shape[:lead] != s.shape[:-1]:
            text = f"labels of shape {tuple(s.shape[:-1])} for an activation of shape {tuple(x.shape)}"
            raise FaultError(Fault("routing.labels", text, name=self.name))
        s = s.reshape(*s.shape[:-1], *([1] * (x.ndim - 1 - lead)), s.shape[-1])
        if self.hidden is not None and self.hides(strengths):
            keep = 1 - s @ self.hidden.to(device=x.device, dtype=s.dtype)
            x = x * (keep if self.axis == -1 else keep.movedim(-1, self.axis)).to(x.dtype)
        if self.columns and self.concerns(strengths):
            x = WeightGradient.apply(x, s[..., list(self.columns)], self.deltas, self.span, self.axis)  # type: ignore[assignment]
        return x

    def hides(self, strengths: Strengths) -> bool:
        """Whether data of the batch do not see some units here."""
        assert self.hidden is not None
        seen, uniform = self.hidden.sum(1) == 0, strengths.uniform
        return uniform is None or any(float(s) > 0 for s, all_seen in zip(uniform, seen, strict=True) if not all_seen)

    def concerns(self, strengths: Strengths) -> bool:
        """Whether any gradient of the batch is weighed here."""
        uniform = strengths.uniform
        return uniform is None or any(float(uniform[column]) > 0 for column in self.columns)
