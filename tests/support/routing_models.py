"""Small models that the tests of routing train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Mlp(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc = nn.Linear(width, hidden)
        self.act = nn.GELU()
        self.out = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.act(self.fc(x)))


class Block(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mlp(self.norm(x))


class Net(nn.Module):
    """Embedding, two residual MLPs, logits: (B, T) tokens to (B, T, V)."""

    def __init__(self, vocabulary: int = 11, width: int = 8, hidden: int = 16, blocks: int = 2, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embed = nn.Embedding(vocabulary, width)
        self.blocks = cast("Sequence[Block]", nn.ModuleList(Block(width, hidden) for _ in range(blocks)))
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def tokens(batch: int = 6, length: int = 5, vocabulary: int = 11, seed: int = 1) -> Tensor:
    return torch.randint(vocabulary, (batch, length), generator=torch.Generator().manual_seed(seed))


def losses(model: nn.Module, batch: Tensor) -> Tensor:
    """Next-token losses (B, T - 1)."""
    logits = model(batch[:, :-1])
    return nn.functional.cross_entropy(logits.transpose(1, 2), batch[:, 1:], reduction="none")


def loss(model: nn.Module, batch: Tensor) -> Tensor:
    return losses(model, batch).mean()


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {n: torch.zeros_like(p) if p.grad is None else p.grad.clone() for n, p in model.named_parameters()}
