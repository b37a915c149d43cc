"""Training a low-rank adapter on the token after each prompt, on a frozen base model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from toulmin.subjects import Adapter, Transformer
from toulmin.training.callbacks import Callback
from toulmin.training.checkpoint import Checkpoint
from toulmin.training.fit import fit, gradient_step
from toulmin.training.schedule import Schedule
from toulmin.training.state import State
from toulmin.training.stream import Batches

PromptBatch = tuple[Tensor, Tensor, Tensor]


class NextToken(nn.Module):
    """Logits of the token after each prompt; prompts of a batch may differ in length, filled up on the right.

    In a causal model what stands behind a prompt's last token does not reach it.
    """

    def __init__(self, model: Transformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: Int[Tensor, "B T"], last: Int[Tensor, " B"]) -> Float[Tensor, "B V"]:
        """``last`` is the position of each prompt's last token."""
        resid = self.model.run_to(tokens, self.model.config.n_layers)
        return self.model.unembed(resid[torch.arange(len(tokens), device=tokens.device), last])


def pad_prompts(
    prompts: Sequence[Sequence[int]], device: torch.device | str = "cpu"
) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Prompts as one tensor, filled up with zeros on the right, and the position of each one's last token."""
    longest = max(len(prompt) for prompt in prompts)
    tokens = torch.tensor([[*prompt, *([0] * (longest - len(prompt)))] for prompt in prompts], device=device)
    return tokens, torch.tensor([len(prompt) - 1 for prompt in prompts], device=device)


def train_adapter(
    model: Transformer,
    adapter: Adapter,
    batches: Batches[PromptBatch],
    schedule: Schedule,
    *,
    checkpoint: Checkpoint | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, float]:
    """Adam on -ln p(answer | prompt) in nats, mean over a batch, gradients clipped to norm 1; only ``adapter`` changes.

    A batch is (tokens [B, T], position of each prompt's last token [B], answer's token [B]). Checkpoints hold the
    adapter, not the base. The result is that of :func:`fit`, which says what is raised.
    """
    reader = NextToken(model)
    state = State(adapter, torch.optim.Adam(adapter.parameters(), lr=schedule.lr, betas=(0.9, 0.98)))
    mode = model.training
    model.train()  # the fused attention kernel has first derivatives in this mode only

    def loss(_: State, batch: PromptBatch) -> Tensor:
        tokens, last, targets = batch
        weights = {f"model.{name}": value for name, value in adapter.weights(model).items()}
        logits = functional_call(reader, weights, (tokens, last))
        return functional.cross_entropy(logits.float(), targets)

    try:
        return fit(gradient_step(loss), state, batches, schedule, checkpoint, callbacks)
    finally:
        model.train(mode)
