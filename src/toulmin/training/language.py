"""Next-token training of a model of tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from toulmin.training.callbacks import Callback, Logger, Metrics
from toulmin.training.checkpoint import Checkpoint
from toulmin.training.fit import fit, gradient_step
from toulmin.training.schedule import Schedule
from toulmin.training.state import State
from toulmin.training.stream import Batches


def next_token_loss(
    model: nn.Module, tokens: Int[Tensor, "B T"], weights: Float[Tensor, "B T"] | None = None
) -> Float[Tensor, ""]:
    """Weighted mean of -ln p(token i+1 | tokens to i), i = 0 .. T-2; nats per token.

    ``weights`` belong to the predicted tokens (the first one's is not used); without them all weigh the same.
    """
    logits = model(tokens[:, :-1]).flatten(0, 1)
    targets = tokens[:, 1:].flatten()
    if weights is None:
        return functional.cross_entropy(logits, targets)
    each = functional.cross_entropy(logits, targets, reduction="none")
    shares = weights[:, 1:].flatten()
    return (each * shares).sum() / shares.sum()


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Two parameter groups: matrices decay; vectors (biases, norms) do not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]


class Evaluate(Logger):
    """Calls ``measure(model)`` every so many steps, without gradients, and logs the numbers as :class:`Logger` does."""

    def __init__(self, measure: Callable[[nn.Module], Mapping[str, float]], path: Path | str, every: int) -> None:
        super().__init__(path, every)
        self.measure = measure

    def on_step(self, state: State, metrics: Metrics) -> None:
        """Measure in evaluation mode."""
        mode = state.module.training
        state.module.eval()
        with torch.no_grad():
            found = self.measure(state.module)
        state.module.train(mode)
        super().on_step(state, found)


def train_language_model(
    model: nn.Module,
    batches: Batches[Tensor] | Batches[tuple[Tensor, Tensor]],
    schedule: Schedule,
    *,
    betas: tuple[float, float] = (0.9, 0.98),
    weight_decay: float = 0.01,
    checkpoint: Checkpoint | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, float]:
    """AdamW on :func:`next_token_loss` of each batch, gradients clipped to norm 1; a batch is tokens ``(B, T)``, or
    tokens and weights.

    The model is trained in place; the result is that of :func:`fit`, which says what is raised.
    """
    optimizer = torch.optim.AdamW(decay_groups(model, weight_decay), lr=schedule.lr, betas=betas, fused=True)
    state = State(model, optimizer)

    def loss(state: State, batch: Tensor | tuple[Tensor, Tensor]) -> Tensor:
        return next_token_loss(state.module, *(batch if isinstance(batch, tuple) else (batch,)))

    return fit(gradient_step(loss), state, batches, schedule, checkpoint, callbacks)


@torch.no_grad()
def start_positions(table: Float[Tensor, "T D"], amplitude: float = 1.0, fastest: float = 1.0) -> None:
    """Set a learned position table to sinusoids: row p is sin(p w_i), cos(p w_i), w_i from ``fastest`` down to 1 / T
    (radians a position), times ``amplitude``.

    A position a fixed distance back is then a rotation, which a head can learn as one matrix: attention to the
    previous token forms in a few hundred steps instead of thousands (Vaswani et al. 2017, section 3.5).
    """
    length, width = table.shape
    steps = torch.arange(width // 2, dtype=torch.float64) / max(1, width // 2 - 1)
    frequencies = fastest * (fastest * length) ** -steps
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    table.zero_()
    table[:, 0 : 2 * (width // 2) : 2] = (amplitude * angles.sin()).to(table.dtype)
    table[:, 1 : 2 * (width // 2) : 2] = (amplitude * angles.cos()).to(table.dtype)
