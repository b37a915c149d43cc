r"""Completeness and minimality (Wang et al. 2022, section 4; Miller et al. 2024): is anything missing, is anything
idle?

Completeness, or same-under-knockouts: for a set K of the circuit's edges, the circuit without K should behave as the
model without K. Reported is |M(C - K) - M(all - K)| a prompt, for random K and for a K that gates learned to make the
outputs differ most. Minimality of an edge: how much the circuit's metric changes when the edge leaves the circuit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.probing import HardConcrete
from toulmin.circuits.methodology import Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.faults import Fault, FaultError
from toulmin.patching.run_circuits import run_circuits
from toulmin.tasks import Metric, find_metric
from toulmin.tasks.scores import kl

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Knockout:
    """A set K, and the metric of each prompt of the circuit without it and of the model without it, ``[N]``."""

    removed: Circuit
    circuit: Array
    model: Array

    @property
    def incompleteness(self) -> float:
        """Mean over prompts of |M(C - K) - M(all - K)|."""
        return float(np.abs(self.circuit - self.model).mean())


def compare_knockouts(
    runner: CircuitRunner,
    circuit: Circuit,
    knockouts: Sequence[Circuit],
    *,
    metric: str | Metric = "logit_diff",
    method: Methodology | None = None,
) -> list[Knockout]:
    """Run circuit and model without each of ``knockouts``.

    :raises FaultError: a knockout that is not part of the circuit.
    """
    if any(not k <= circuit for k in knockouts):
        raise FaultError(Fault("circuits.knockout", "a knockout has edges outside of the circuit"))
    found, method = find_metric(metric), method or Methodology()
    everything = Circuit.full(circuit.graph, circuit.positions)
    ran = [circuit - k for k in knockouts] + [everything - k for k in knockouts]
    scores = runner.scores(ran, method, [found])[found.name]
    half = len(knockouts)
    return [Knockout(k, scores[i], scores[half + i]) for i, k in enumerate(knockouts)]


def random_knockouts(circuit: Circuit, count: int, rng: np.random.Generator) -> list[Circuit]:
    """``count`` subsets of the circuit, each edge in with probability 1/2."""
    return [Circuit(circuit.graph, circuit.table & (rng.random(circuit.table.shape) < 0.5)) for _ in range(count)]


def worst_knockout(
    runner: CircuitRunner,
    circuit: Circuit,
    *,
    size: int | None = None,
    steps: int = 30,
    learning_rate: float = 0.1,
    penalty: float = 1.0,
    method: Methodology | None = None,
    gates: HardConcrete | None = None,
    seed: int = 0,
) -> Circuit:
    """A knockout learned to make circuit and model differ most: gates on its edges maximise KL(model || circuit).

    :param size: how many edges to knock out, default half of the circuit (at least one).
    :raises FaultError: an empty circuit, or one with positions (gates are per edge).
    """
    if len(circuit) == 0 or circuit.positions is not None:
        raise FaultError(Fault("circuits.knockout", "gates need a circuit with edges and without positions"))
    method, gate = method or Methodology(), gates or HardConcrete()
    size = max(1, len(circuit) // 2) if size is None else size
    inside = torch.from_numpy(np.array(circuit.table)).to(runner.model.W_E.device)
    outside = torch.from_numpy(runner.graph.allowed & ~circuit.table).to(runner.model.W_E)
    generator = torch.Generator(device=inside.device).manual_seed(seed)
    a = torch.zeros(len(circuit), dtype=runner.model.W_E.dtype, device=inside.device, requires_grad=True)
    optimizer = torch.optim.Adam([a], lr=learning_rate)
    for step in range(steps):
        index = step % len(runner.batches)
        batch = runner.batches[index]
        removed = torch.zeros_like(outside).masked_scatter(inside, gate.sample(a, generator))
        masks = torch.stack([outside + removed, removed])
        tokens = batch.clean if method.direction == "noising" else batch.counterfactual
        logits = run_circuits(
            runner.model, tokens, runner.values(index, method), masks, graph=runner.graph, scored=batch.at
        )
        excess = torch.relu(gate.open_probability(a).sum() - size) / size
        loss = penalty * excess - kl(logits[1], logits[0]).mean()
        (a.grad,) = torch.autograd.grad(loss, a)
        optimizer.step()
    chosen = torch.zeros(len(circuit), dtype=torch.bool, device=inside.device)
    chosen[torch.argsort(-a.detach(), stable=True)[:size]] = True
    table = torch.zeros_like(inside).masked_scatter(inside, chosen)
    return Circuit(circuit.graph, table.cpu().numpy())


def edge_effects_in(
    runner: CircuitRunner,
    circuit: Circuit,
    *,
    metric: str | Metric = "logit_diff",
    method: Methodology | None = None,
    together: int = 64,
) -> dict[str, float]:
    """For each edge of the circuit, |mean change of the metric| when it leaves: the numbers behind minimality."""
    found, method = find_metric(metric), method or Methodology()
    names = list(circuit)
    without = [circuit - Circuit.of(circuit.graph, [name]) for name in names]
    whole = runner.scores([circuit], method, [found])[found.name][0].mean()
    effects: dict[str, float] = {}
    for at in range(0, len(names), together):
        scores = runner.scores(without[at : at + together], method, [found])[found.name].mean(1)
        effects |= {n: float(abs(s - whole)) for n, s in zip(names[at : at + together], scores, strict=True)}
    return effects
