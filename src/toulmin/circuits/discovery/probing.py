r"""Hard-concrete gates (Louizos et al. 2018) over edges, and circuits learned with them.

With u ~ U(0, 1): s = sigmoid((ln u - ln(1 - u) + a) / temperature), gate = clip(s (right - left) + left, 0, 1):
exactly 0 or 1 with positive probability, and differentiable in a. The expected number of open gates is sum sigmoid(a
- temperature ln(-left / right)). Defaults are those of subnetwork probing (Cao et al. 2021): left -0.1, right 1.1,
temperature 2/3, open with p0 = 0.9 at the start, Adam at 0.1.

Edge probing minimises faithfulness loss + lambda (share of open gates); circuit probing for a given size k replaces the
penalty by relu(open gates - k) / k and returns the k edges with the largest a (Miller et al. 2024, AutoCircuit).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.run_circuits import run_circuits
from toulmin.tasks import Metric, find_metric


@dataclass(frozen=True)
class HardConcrete:
    """The gate's distribution; ``start`` is the parameter a at which a gate is open with p0."""

    left: float = -0.1
    right: float = 1.1
    temperature: float = 2 / 3
    p0: float = 0.9

    @property
    def start(self) -> float:
        """ln(p / (1 - p)), p = (p0 - left) / (right - left): the stretched sigmoid of a is p0."""
        p = (self.p0 - self.left) / (self.right - self.left)
        return math.log(p / (1 - p))

    def sample(self, a: Tensor, generator: torch.Generator) -> Tensor:
        """One gate for each parameter."""
        u = torch.rand(a.shape, generator=generator, dtype=a.dtype, device=a.device).clamp(1e-4, 1 - 1e-4)
        s = torch.sigmoid((u.log() - (1 - u).log() + a) / self.temperature)
        return (s * (self.right - self.left) + self.left).clamp(0.0, 1.0)

    def open_probability(self, a: Tensor) -> Tensor:
        """P(gate > 0)."""
        return torch.sigmoid(a - self.temperature * math.log(-self.left / self.right))


def probe_edges(
    runner: CircuitRunner,
    *,
    metric: str | Metric = "kl",
    size: int | None = None,
    penalty: float = 10.0,
    epochs: int = 20,
    learning_rate: float = 0.1,
    samples: int = 1,
    ablation: Ablation = "mean_counterfactual",
    gates: HardConcrete | None = None,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> EdgeScores:
    """Edge probing, or circuit probing when ``size`` is given: scores are the gates' parameters, least first set to 0.

    :param metric: what is minimised (maximised where higher is better), KL to the full model by default.
    :param penalty: lambda. :param samples: gate samples a step. :param epochs: passes over the batches.
    :raises FaultError: a metric without gradient; a loss that is not finite.
    """
    found, gate = find_metric(metric, smooth=True), gates or HardConcrete()
    allowed = torch.from_numpy(np.array(runner.graph.allowed)).to(runner.model.W_E.device)
    n_edges, method = runner.graph.n_edges, Methodology(ablation=ablation)
    generator = torch.Generator(device=allowed.device).manual_seed(seed)
    a = torch.full((n_edges,), gate.start, dtype=runner.model.W_E.dtype, device=allowed.device, requires_grad=True)
    optimizer = torch.optim.Adam([a], lr=learning_rate)
    frozen = [parameter for parameter in runner.model.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        for _ in range(epochs):
            for index in range(len(runner.batches)):
                drawn = torch.stack([gate.sample(a, generator) for _ in range(samples)])
                loss = _unfaithful(runner, index, found, method, _as_masks(1.0 - drawn, allowed))
                expected = gate.open_probability(a).sum()
                extra = expected / n_edges if size is None else torch.relu(expected - size) / max(1, size)
                loss = loss + penalty * extra
                if not bool(torch.isfinite(loss.detach())):
                    raise FaultError(Fault("circuits.nan", "the probing loss is NaN or infinite"), ExitCode.NUMERICAL)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            if progress is not None:
                progress(1)
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)
    values = np.zeros(runner.graph.allowed.shape)
    learned = gate.open_probability(a.detach()).double().cpu().numpy()
    values.T[runner.graph.allowed.T] = learned
    name = "edge probing" if size is None else f"circuit probing for {size} edges"
    return EdgeScores(runner.graph, values, f"{name} ({found.name}, {ablation}, seed {seed})")


def open_circuit(scores: EdgeScores, threshold: float = 0.5) -> Circuit:
    """The circuit of edge probing: the edges whose gate is open with more than ``threshold`` probability."""
    return Circuit(scores.graph, scores.values > threshold)


def probe_sizes(runner: CircuitRunner, sizes: Sequence[int], **settings: object) -> EdgeScores:
    """Circuit probing at several sizes: an edge scores by the smallest circuit it is in, as in AutoCircuit."""
    ordered = sorted(set(sizes))
    values = np.zeros(runner.graph.allowed.shape)
    for rank, size in enumerate(ordered):
        circuit = probe_edges(runner, size=size, **settings).top(size)  # type: ignore[arg-type]
        values = np.where(circuit.table & (values == 0), float(len(ordered) - rank), values)
    return EdgeScores(runner.graph, values, f"circuit probing for {', '.join(map(str, ordered))} edges")


def learn_constants(
    runner: CircuitRunner,
    circuit: Circuit,
    *,
    metric: str | Metric = "kl",
    per_position: bool = False,
    steps: int = 100,
    learning_rate: float = 0.02,
    progress: Callable[[int], None] | None = None,
) -> list[float]:
    """Optimal ablation (Li and Janson 2024): the constants for cut edges that make the circuit most faithful.

    One vector a source (and position). Starts from the means over counterfactual prompts; stores the constants in
    ``runner.learned`` for ``ablation="learned"``, by prompt length, and returns the loss at each step.

    :raises FaultError: a metric without gradient; a loss that is not finite.
    """
    found = find_metric(metric, smooth=True)
    losses: list[float] = []
    learned: dict[int, Tensor] = {}
    for length in runner.lengths:
        members = [i for i, b in enumerate(runner.batches) if b.clean.shape[1] == length]
        first = runner.values(members[0], Methodology(ablation="mean_counterfactual"))
        start = first if per_position else first.mean(2, keepdim=True)
        constants = start.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([constants], lr=learning_rate)
        masks = torch.from_numpy(runner.masks([circuit], Methodology(ablation="learned"), length)).to(constants.dtype)
        for step in range(steps):
            index = members[step % len(members)]
            batch = runner.batches[index]
            logits = run_circuits(runner.model, batch.clean, constants, masks, graph=runner.graph, scored=batch.at)
            loss = -found.sign * found(logits, batch, runner.full(index)).mean()
            if not bool(torch.isfinite(loss.detach())):
                raise FaultError(
                    Fault("circuits.nan", "the loss of the constants is NaN or infinite"), ExitCode.NUMERICAL
                )
            (gradient,) = torch.autograd.grad(loss, constants)
            constants.grad = gradient
            optimizer.step()
            losses.append(float(loss.detach()))
            if progress is not None:
                progress(1)
        learned[length] = constants.detach()
    runner.learned = learned
    return losses


def _as_masks(cut: Float[Tensor, "C E"], allowed: Tensor) -> Float[Tensor, "C S R"]:
    """Values of the edges, in the graph's order (by receiver, then source), as masks."""
    masks = cut.new_zeros(len(cut), allowed.shape[1], allowed.shape[0])
    masks[:, allowed.T] = cut
    return masks.transpose(1, 2)


def _unfaithful(runner: CircuitRunner, index: int, metric: Metric, method: Methodology, masks: Tensor) -> Tensor:
    batch = runner.batches[index]
    logits = run_circuits(
        runner.model, batch.clean, runner.values(index, method), masks, graph=runner.graph, scored=batch.at
    )
    return -metric.sign * metric(logits, batch, runner.full(index)).mean()
