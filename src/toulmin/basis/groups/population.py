"""Many networks with one hidden layer that learn the multiplication of a group, trained side by side.

Inputs are two one-hot vectors, outputs a logit for each element. All networks of one width are one tensor, so that a
step of all costs about as much as a step of one; the seeds differ in their initial weights only, the split of the
multiplication table is the same for all. The product of a one-hot vector with a weight is a row of the weight, so the
networks look rows up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from toulmin.basis.groups.tables import group_table
from toulmin.subjects import Mlp
from toulmin.training import Checkpoint, IndexedBatches, Schedule, State, fit, generator_at, gradient_step


@dataclass(frozen=True)
class GroupData:
    """Every pair of elements [N, 2] with the product [N], and which pairs are trained on."""

    name: str
    pairs: Int[Tensor, "N 2"]
    products: Int[Tensor, "N"]
    train: Int[Tensor, "M"]
    test: Int[Tensor, "L"]

    @cached_property
    def inputs(self) -> Float[Tensor, "N I"]:
        """The pairs as two one-hot vectors [N, 2 G]."""
        order = math.isqrt(len(self.pairs))
        return functional.one_hot(self.pairs, order).flatten(1).float()


def group_data(name: str, share: float, seed: int = 0) -> GroupData:
    """The multiplication table of a group as data, ``share`` of its pairs to train on.

    :raises FaultError: ``basis.group``.
    """
    table = group_table(name)
    order = len(table)
    pairs = torch.cartesian_prod(torch.arange(order), torch.arange(order))
    shuffled = torch.from_numpy(np.random.default_rng(seed).permutation(order * order))
    cut = int(share * order * order)
    return GroupData(name, pairs, torch.from_numpy(table).flatten(), shuffled[:cut], shuffled[cut:])


class Population(nn.Module):
    """Networks relu(x W_1 + b_1) W_2 + b_2 of the same shape, as batched tensors; the first axis is the network.

    Initial weights are uniform within 1 / sqrt(fan-in), each network's from its own seed.
    """

    def __init__(self, d_in: int, width: int, d_out: int, seeds: Sequence[int]) -> None:
        super().__init__()
        first, second = [], []
        for seed in seeds:
            generator = torch.Generator().manual_seed(seed)
            for rows, columns, into in ((d_in + 1, width, first), (width + 1, d_out, second)):
                bound = 1 / math.sqrt(rows - 1)
                into.append(torch.empty(rows, columns).uniform_(-bound, bound, generator=generator))
        self.W_1, self.W_2 = nn.Parameter(torch.stack(first)), nn.Parameter(torch.stack(second))

    def forward(self, pairs: Int[Tensor, "N 2"]) -> Float[Tensor, "S N O"]:
        """The outputs of every network on the same pairs of elements."""
        order = self.W_1.shape[1] // 2
        a, b = pairs.unbind(1)
        hidden = functional.relu(self.W_1[:, -1:] + self.W_1[:, a] + self.W_1[:, order + b])
        return torch.baddbmm(self.W_2[:, -1:], hidden, self.W_2[:, :-1])

    @torch.no_grad()
    def network(self, number: int) -> Mlp:
        """One of the networks as a subject, in float64."""
        first, second = self.W_1[number].double(), self.W_2[number].double()
        model = Mlp((len(first) - 1, first.shape[1], second.shape[1])).double()
        for layer, weight in zip(model.layers, (first, second), strict=True):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(weight[:-1].T)
            layer.bias.copy_(weight[-1])
        return model


def train_population(
    data: GroupData,
    width: int,
    seeds: Sequence[int],
    *,
    steps: int,
    lr: float = 1e-2,
    decay: float = 0.1,
    batch: int | None = None,
    folder: Path | str | None = None,
) -> Population:
    """Train a network of ``width`` hidden neurons from each seed, with AdamW.

    :param batch: pairs of a step, drawn without repetition; None: all that are trained on.
    :param folder: of the checkpoints that a killed run goes on from.
    :raises FaultError: ``training.not_finite``; a folder of another run.
    """
    order = math.isqrt(len(data.pairs))
    population = Population(2 * order, width, order, seeds)
    size = len(data.train) if batch is None else min(batch, len(data.train))

    def draw(number: int) -> Tensor:
        if size == len(data.train):
            return data.train
        return data.train[torch.from_numpy(generator_at(0, number).choice(len(data.train), size, replace=False))]

    def loss(state: State, some: Tensor) -> Tensor:
        logits = state.module(data.pairs[some])
        answers = data.products[some].expand(len(seeds), -1)
        return functional.cross_entropy(logits.flatten(0, 1), answers.flatten()) * len(seeds)

    run = {"group": data.name, "width": width, "seeds": list(seeds), "lr": lr, "decay": decay, "pairs": len(data.train)}
    run |= {"batch": size}
    optimizer = torch.optim.AdamW(population.parameters(), lr=lr, weight_decay=decay, betas=(0.9, 0.98))
    fit(
        gradient_step(loss, clip=None),
        State(population, optimizer),
        IndexedBatches(draw),
        Schedule(steps, lr, warmup=10),
        None if folder is None else Checkpoint(folder, run=run, every=1000),
    )
    return population


@torch.no_grad()
def held_out(population: Population, data: GroupData) -> tuple[Float[Tensor, "S"], Float[Tensor, "S"]]:
    """Cross-entropy (nats) and accuracy of every network on the pairs that were not trained on."""
    logits = population(data.pairs[data.test])
    answers = data.products[data.test]
    right = (logits.argmax(-1) == answers).double().mean(1)
    every = answers.expand(len(logits), -1)
    return functional.cross_entropy(logits.mT.double(), every, reduction="none").mean(1), right
