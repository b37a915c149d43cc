"""Many networks with one hidden layer that learn the multiplication of a group, trained side by side.

Inputs are two one-hot vectors, outputs a logit for each element. All networks of one width are one tensor, so that a
step of all costs about as much as a step of one; the seeds differ in their initial weights only, the split of the
multiplication table is the same for all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from toulmin.basis.groups.tables import group_table
from toulmin.subjects import Mlp
from toulmin.training import Checkpoint, IndexedBatches, Schedule, State, fit, gradient_step


@dataclass(frozen=True)
class GroupData:
    """Every pair of elements as inputs [N, 2 G] with the product [N], and which pairs are trained on."""

    name: str
    inputs: Float[Tensor, "N I"]
    products: Int[Tensor, "N"]
    train: Int[Tensor, "M"]
    test: Int[Tensor, "L"]


def group_data(name: str, share: float, seed: int = 0) -> GroupData:
    """The multiplication table of a group as data, ``share`` of its pairs to train on.

    :raises FaultError: ``basis.group``.
    """
    table = group_table(name)
    order = len(table)
    a, b = np.divmod(np.arange(order * order), order)
    eye = torch.eye(order)
    inputs = torch.cat([eye[torch.from_numpy(a)], eye[torch.from_numpy(b)]], 1)
    shuffled = torch.from_numpy(np.random.default_rng(seed).permutation(order * order))
    cut = int(share * order * order)
    return GroupData(name, inputs, torch.from_numpy(table[a, b]), shuffled[:cut], shuffled[cut:])


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

    def forward(self, x: Float[Tensor, "N I"]) -> Float[Tensor, "S N O"]:
        """The outputs of every network on the same inputs."""
        hidden = functional.relu(torch.baddbmm(self.W_1[:, -1:], x.expand(len(self.W_1), -1, -1), self.W_1[:, :-1]))
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
    folder: Path | str | None = None,
) -> Population:
    """Train a network of ``width`` hidden neurons from each seed, on full batches with AdamW.

    :param folder: of the checkpoints that a killed run goes on from.
    :raises FaultError: ``training.not_finite``; a folder of another run.
    """
    order = data.inputs.shape[1] // 2
    population = Population(2 * order, width, order, seeds)
    x, y = data.inputs[data.train], data.products[data.train].expand(len(seeds), -1)

    def loss(state: State, batch: None) -> Tensor:
        logits = state.module(x)
        return functional.cross_entropy(logits.flatten(0, 1), y.flatten()) * len(seeds)

    run = {"group": data.name, "width": width, "seeds": list(seeds), "lr": lr, "decay": decay, "pairs": len(data.train)}
    optimizer = torch.optim.AdamW(population.parameters(), lr=lr, weight_decay=decay, betas=(0.9, 0.98))
    fit(
        gradient_step(loss, clip=None),
        State(population, optimizer),
        IndexedBatches(lambda _: None),
        Schedule(steps, lr, warmup=10),
        None if folder is None else Checkpoint(folder, run=run, every=1000),
    )
    return population


@torch.no_grad()
def held_out(population: Population, data: GroupData) -> tuple[Float[Tensor, "S"], Float[Tensor, "S"]]:
    """Cross-entropy (nats) and accuracy of every network on the pairs that were not trained on."""
    logits = population(data.inputs[data.test])
    answers = data.products[data.test]
    right = (logits.argmax(-1) == answers).double().mean(1)
    every = answers.expand(len(logits), -1)
    return functional.cross_entropy(logits.mT.double(), every, reduction="none").mean(1), right
