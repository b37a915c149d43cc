r"""Optimal ablation (Li and Janson 2024, https://arxiv.org/abs/2409.09951): the constants that hurt a circuit least.

A cut edge carries a constant vector of its source. Starting from the mean over counterfactual prompts, Adam minimises
how much worse the metric of the circuit is, so that what is lost is not an accident of the value chosen for the
ablation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from toulmin.circuits.checks import check_runner
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.method import MetricSetting
from toulmin.circuits.methodology import Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks import find_metric


def learn_constants(
    runner: CircuitRunner,
    circuit: Circuit,
    *,
    metric: MetricSetting = "kl",
    per_position: bool = False,
    steps: int = 100,
    learning_rate: float = 0.02,
    progress: Callable[[int], None] | None = None,
) -> list[float]:
    """Learn the constants that cut edges carry under ``ablation="learned"``; the loss at each step.

    One vector a source (and position), for each prompt length; stored in ``runner.learned``.

    :raises FaultError: a metric without gradient; a loss that is NaN or infinite.
    """
    check_runner(runner)
    found = find_metric(metric, smooth=True)
    losses: list[float] = []
    learned: dict[int, Tensor] = {}
    for length in runner.lengths:
        members = [i for i, b in enumerate(runner.batches) if b.clean.shape[1] == length]
        first = runner.values(members[0], Methodology(ablation="mean_counterfactual"))
        start = first if per_position else first.mean(2, keepdim=True)
        constants = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([constants], lr=learning_rate)
        masks = torch.from_numpy(runner.masks([circuit], Methodology(ablation="learned"), length)).to(constants)
        for step in range(steps):
            index = members[step % len(members)]
            batch = runner.batches[index]
            logits = runner.run_values(index, constants, masks)
            loss = -found.sign * found(logits, batch, runner.full(index)).mean()
            if not bool(torch.isfinite(loss.detach())):
                fault = Fault("circuits.nan", "the loss of the constants is NaN or infinite")
                raise FaultError(fault, ExitCode.NUMERICAL)
            (gradient,) = torch.autograd.grad(loss, constants)
            constants.grad = gradient
            optimizer.step()
            losses.append(float(loss.detach()))
            if progress is not None:
                progress(1)
        learned[length] = constants.detach()
    runner.learned = learned
    return losses
