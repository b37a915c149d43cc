"""Keeping an optimizer from moving what was excluded: momentum and weight decay move parameters without a gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeGuard

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from toulmin.routing.gates import find_runs
from toulmin.routing.places import region_slices
from toulmin.routing.plan import RoutePlan


class BlockedUpdates:
    """What the labels of a step exclude does not move in it, and neither do its moments in the optimizer.

    A zero gradient is not enough: AdamW multiplies every parameter by 1 - lr x weight_decay, and moves it along the
    mean of earlier gradients. A parameter that is excluded whole is left out of the step; of one that is excluded in
    part, the excluded entries, and their moments, are put back after it. With several backward passes before a step,
    excluded is what all of them exclude.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> None:
        self.parameters, self.optimizer = parameters, optimizer
        self._allowed: dict[str, Tensor | None] = {}
        self._kept: list[_Kept] = []
        self._left_out: list[tuple[nn.Parameter, Tensor]] = []
        self._handles = [
            optimizer.register_step_pre_hook(lambda *_: self._before()),
            optimizer.register_step_post_hook(lambda *_: self._after()),
        ]

    def note(self, name: str, gate: Tensor | None) -> None:
        """A gradient of a parameter arrived through this gate (None: all of it)."""
        open_now = None if gate is None else gate != 0
        if name not in self._allowed:
            self._allowed[name] = open_now
        elif (before := self._allowed[name]) is not None:
            self._allowed[name] = None if open_now is None else before | open_now

    def _before(self) -> None:
        for name, allowed in self._allowed.items():
            parameter = self.parameters[name]
            if allowed is None or parameter.grad is None:
                continue
            if not bool(allowed.any()):
                self._left_out.append((parameter, parameter.grad))
                parameter.grad = None
            elif not bool(allowed.all()):
                self._kept.append(_Kept(parameter, self.optimizer.state.get(parameter, {}), ~allowed))

    def _after(self) -> None:
        with torch.no_grad():
            for kept in self._kept:
                kept.put_back(self.optimizer.state.get(kept.parameter, {}))
        for parameter, gradient in self._left_out:
            parameter.grad = gradient
        self._allowed, self._kept, self._left_out = {}, [], []

    def remove(self) -> None:
        """Let the optimizer move everything again."""
        for handle in self._handles:
            handle.remove()


class _Kept:
    """The entries of a parameter and of its moments that a step must not move, as they are before it."""

    def __init__(self, parameter: nn.Parameter, state: Mapping[str, object], excluded: Tensor) -> None:
        self.parameter, self.excluded, self.runs = parameter, excluded, find_runs(excluded)
        self.values = self._parts(parameter.detach())
        self.moments = {k: self._parts(v) for k, v in state.items() if _is_moment(v, parameter)}

    def _parts(self, whole: Tensor) -> list[Tensor]:
        return [whole.clone()] if self.runs is None else [run.of(whole).clone() for run in self.runs]

    def put_back(self, state: Mapping[str, object]) -> None:
        """The entries as they were; moments that the step made are 0 there."""
        self._write(self.parameter, self.values)
        for name, value in state.items():
            if _is_moment(value, self.parameter):
                self._write(value, self.moments.get(name))

    def _write(self, whole: Tensor, parts: list[Tensor] | None) -> None:
        if self.runs is None:
            whole.copy_(torch.where(self.excluded, torch.zeros_like(whole) if parts is None else parts[0], whole))
            return
        for i, run in enumerate(self.runs):
            run.of(whole).copy_(torch.zeros(()) if parts is None else parts[i])


def _is_moment(value: object, parameter: Tensor) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.shape == parameter.shape


def freeze_excluded(
    model: nn.Module, plan: RoutePlan, optimizer: Optimizer, labels: tuple[str, ...] | None = None
) -> BlockedUpdates:
    """Keep the slices of regions as they are in every step of ``optimizer``: what was ablated stays ablated.

    For fine-tuning after :func:`ablate`. ``labels`` are the regions, by default all of them. The result's ``remove``
    ends it.

    :raises FaultError: no such region, or its slices are not in the model.
    """
    slices = region_slices(model, plan, labels or plan.labels)
    parameters = dict(model.named_parameters())
    blocked = _Frozen(parameters, optimizer)
    for name, parts in slices.items():
        mask = torch.stack([part.mask(parameters[name]) for part in parts]).any(0)
        blocked.frozen[name] = ~mask
    return blocked


class _Frozen(BlockedUpdates):
    """Excludes the same in every step."""

    def __init__(self, parameters: Mapping[str, nn.Parameter], optimizer: Optimizer) -> None:
        super().__init__(parameters, optimizer)
        self.frozen: dict[str, Tensor] = {}

    def _before(self) -> None:
        self._allowed = dict(self.frozen)
        super()._before()
