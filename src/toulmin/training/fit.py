"""The training loop.

    resume from the newest checkpoint, if there is one
    while state.step < schedule.steps:
        set the learning rate; metrics = step(state, next(batches)); state.step += 1
        at every `checkpoint.every` steps, and at the end: check that the metrics are finite, then checkpoint

Resuming is bit-identical because the checkpoint holds all that changes: parameters, optimizer slots, every generator,
the global random states and the position of the stream; and because the learning rate is a function of the step alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.training.callbacks import Callback
from toulmin.training.checkpoint import Checkpoint
from toulmin.training.schedule import Schedule
from toulmin.training.state import State
from toulmin.training.stream import Batches

T = TypeVar("T")
Step = Callable[[State, T], Mapping[str, Tensor]]


def gradient_step(loss: Callable[[State, T], Tensor | Mapping[str, Tensor]], clip: float | None = 1.0) -> Step[T]:
    """The usual step: loss, backward, gradients clipped to a global norm of ``clip``, one optimizer update.

    ``loss(state, batch)`` gives the scalar to minimise, or a mapping whose entry ``"loss"`` is it and whose others are
    metrics.
    """

    def step(state: State, batch: T) -> Mapping[str, Tensor]:
        for optimizer in state.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        out = loss(state, batch)
        metrics = {"loss": out} if isinstance(out, Tensor) else dict(out)
        metrics["loss"].backward()
        if clip is not None:
            groups = [group for optimizer in state.optimizers.values() for group in optimizer.param_groups]
            parameters = [p for group in groups for p in group["params"]]
            metrics["grad_norm"] = torch.nn.utils.clip_grad_norm_(parameters, clip)
        for optimizer in state.optimizers.values():
            optimizer.step()
        return metrics

    return step


def _as_floats(metrics: Mapping[str, Tensor], step: int) -> dict[str, float]:
    values = {name: float(value.detach()) for name, value in metrics.items()}
    faults = [
        Fault("training.not_finite", f"is {value} at step {step}", name=name, hint="a smaller lr, or clip gradients")
        for name, value in values.items()
        if not math.isfinite(value)
    ]
    if faults:
        raise FaultError(faults, ExitCode.NUMERICAL)
    return values


def fit(
    step: Step[T],
    state: State,
    batches: Batches[T],
    schedule: Schedule,
    checkpoint: Checkpoint | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, float]:
    """Train until ``schedule.steps`` updates are done; the last update's metrics, as floats.

    ``step(state, batch)`` does one whole update and gives metrics (0-d tensors; they are read only when a callback or
    a checkpoint is due). ``state`` is changed in place; its module trains in training mode and is then
    put back in the mode it was in. A run that is already complete does nothing and gives ``{}``.

    :raises FaultError: ``training.not_finite`` (exit NUMERICAL) when a metric that is read is NaN or infinite,
        before any
        checkpoint could hold it; what :meth:`Checkpoint.resume` raises.
    """
    if checkpoint is not None:
        checkpoint.resume(state, batches)
    for callback in callbacks:
        callback.on_start(state, schedule.steps)
    values: dict[str, float] = {}
    # a model may compute by another (rounding otherwise) path in evaluation mode, so the mode is not left to chance
    mode = state.module.training
    state.module.train()
    while state.step < schedule.steps:
        state.set_lr(schedule.at(state.step))
        metrics: Mapping[str, Tensor] = step(state, next(batches))
        state.step += 1
        last = state.step == schedule.steps
        due: list[Any] = [c for c in callbacks if last or state.step % c.every == 0]
        save = checkpoint is not None and (last or state.step % checkpoint.every == 0)
        if due or save or last:
            values = _as_floats(metrics, state.step)
        try:
            for callback in due:
                callback.on_step(state, values)
        finally:  # a callback that ends the run by raising must not cost it a checkpoint that is due
            if save and checkpoint is not None:
                checkpoint.save(state, batches)
    state.module.train(mode)
    for callback in callbacks:
        callback.on_end(state)
    return values
