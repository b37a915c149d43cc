r"""Edge probing and circuit probing: learn a gate for every edge (Miller et al. 2024, AutoCircuit).

Each edge has a hard-concrete gate (:mod:`toulmin.circuits.discovery.hard_concrete`) with a parameter a; a gate of value
g leaves the edge its own value with weight g and the ablated value with weight 1 - g. Adam minimises over the
parameters

- edge probing: :math:`\mathrm{loss} + \lambda \cdot \mathrm{E}[\text{open gates}] / \text{edges}` (Cao et al. 2021,
  https://arxiv.org/abs/2104.03514); the circuit is the edges whose gate is open with more than ``threshold``
  probability;
- circuit probing for k edges: :math:`\mathrm{loss} + \lambda \, \mathrm{relu}(\mathrm{E}[\text{open gates}] - k) / k`;
  the circuit is the k edges whose gate is most likely open.

The loss is how much worse the metric is than the best it can be: the metric itself where lower is better (KL by
default), its negative where higher is. An edge scores P(its gate is open).

Cold, all gates start equally open. With ``warm_start`` they begin in the order of an attribution method's absolute
scores, as the best entries of MIB's 2025 shared task do. For a circuit of k edges the edge of rank r starts open with
probability 1 - r / 2k up to rank k and exp(-2 (r - k) / k) / 2 after it: k open gates are expected from the first step
on, so that the penalty does not close all gates alike, and the edges around rank k are the undecided ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.checks import check_runner
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.method import (
    Discovery,
    Progress,
    RankingMethod,
    ScoringMethod,
    SmoothMetric,
    common_length,
)
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks import find_metric

if TYPE_CHECKING:
    from torch import Tensor

    from toulmin.circuits.runner import CircuitRunner


class Probing(ScoringMethod):
    """The settings that both kinds of probing share."""

    metric: SmoothMetric = "kl"  #: what is optimised
    ablation: Ablation = "resample"  #: what a closed edge carries
    penalty: float = Field(ge=0, allow_inf_nan=False)  #: lambda, in the metric's unit
    epochs: int = Field(default=40, ge=1)  #: passes over the prompts
    learning_rate: float = Field(default=0.1, gt=0, allow_inf_nan=False)  #: of Adam
    samples: int = Field(default=1, ge=1)  #: draws of all gates in a step
    temperature: float = Field(default=2 / 3, gt=0, allow_inf_nan=False)  #: of the gates
    start: float = Field(default=0.9, gt=0, lt=1)  #: p0, how far open a gate is at a cold start
    warm_start: Literal["eap", "eap_ig", "mask_ig", "relp"] | None = None  #: whose scores the gates start from
    seed: int | None = None  #: of the gates; default the study's seed, 0 outside of a study

    def steps_on(self, runner: CircuitRunner) -> int:
        """One an epoch."""
        return self.epochs

    def passes(self, runner: CircuitRunner) -> float:
        """About 32 a prompt, epoch and draw: with masks of its own, every receiver reads a stream of its own."""
        return 32.0 * self.epochs * self.samples * runner.n

    def wanted(self, runner: CircuitRunner) -> int | None:
        """How many open gates the penalty allows; None where it asks for as few as possible."""
        return None

    def warm_scores(self, runner: CircuitRunner) -> EdgeScores | None:
        """The scores that the gates start from, of the metric and the ablation that are optimised; None if cold."""
        from toulmin.circuits.discovery.eap import Eap
        from toulmin.circuits.discovery.eap_ig import EapIg
        from toulmin.circuits.discovery.mask_gradient import MaskIg
        from toulmin.circuits.discovery.relp import Relp

        if self.warm_start is None:
            return None
        # at the clean run, where no edge is cut, a distance such as KL has no gradient
        metric = "logit_diff" if self.warm_start in ("eap", "relp") and self.metric == "kl" else self.metric
        if self.warm_start == "eap_ig":
            return EapIg(metric=metric, per_position=self.per_position).scores(runner)
        method = {"eap": Eap, "mask_ig": MaskIg, "relp": Relp}[self.warm_start]
        return method(metric=metric, ablation=self.ablation, per_position=self.per_position).scores(runner)

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """P(the edge's gate is open), after training.

        :raises FaultError: prompts of several lengths with ``per_position``; a loss that is NaN or infinite.
        """
        check_runner(runner)
        positions = common_length(runner, self) if self.per_position else None
        allowed = Circuit.full(runner.graph, positions).table
        return self.of(runner, _train(runner, self, allowed, progress), self.metric, self.ablation)


class EdgeProbing(Probing):
    """Edge probing: the circuit's size follows from the penalty on open gates."""

    title: ClassVar[str] = "edge probing"

    name: Literal["edge_probing"] = "edge_probing"
    penalty: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    threshold: float = Field(default=0.5, gt=0, lt=1)  #: an edge is kept if its gate is open with more probability

    def discover(self, runner: CircuitRunner, progress: Progress | None = None) -> Discovery:
        """The circuit of the open gates, and the probabilities of all."""
        scores = self.scores(runner, progress)
        return Discovery(open_circuit(scores, self.threshold), scores, self.label)


class CircuitProbing(Probing, RankingMethod):
    """Circuit probing: the penalty asks for at most ``size`` open gates."""

    title: ClassVar[str] = "circuit probing"

    name: Literal["circuit_probing"] = "circuit_probing"
    penalty: float = Field(default=10.0, ge=0, allow_inf_nan=False)

    def wanted(self, runner: CircuitRunner) -> int:
        """The circuit's size."""
        positions = common_length(runner, self) if self.per_position else 1
        return max(1, self.size_among(runner.graph.n_edges * positions))


def open_circuit(scores: EdgeScores, threshold: float = 0.5) -> Circuit:
    """The circuit of the edges whose gate is open with more than ``threshold`` probability."""
    return Circuit(scores.graph, scores.values > threshold)


def _train(
    runner: CircuitRunner, settings: Probing, table: NDArray[np.bool_], progress: Progress | None
) -> NDArray[np.float64]:
    """P(gate > 0) of each true entry of ``table`` [S, R] or [S, R, T]; 0 elsewhere."""
    import torch

    from toulmin.circuits.discovery.hard_concrete import HardConcrete

    gate = HardConcrete(temperature=settings.temperature, p0=settings.start)
    allowed = torch.from_numpy(np.array(table)).to(runner.model.W_E.device)
    wanted, entries = settings.wanted(runner), int(table.sum())
    generator = torch.Generator(device=allowed.device).manual_seed(settings.seed or 0)
    a = torch.full((entries,), gate.start, dtype=runner.model.W_E.dtype, device=allowed.device)
    if (warm := settings.warm_scores(runner)) is not None:
        rank = np.zeros(table.shape)
        rank[tuple(warm.places()[warm.order()].T)] = (np.arange(entries) + 0.5) / (wanted or max(1, entries // 20))
        own = torch.from_numpy(rank.swapaxes(0, 1)[table.swapaxes(0, 1)])
        likely = torch.where(own <= 1, 1 - own / 2, torch.exp(2 - 2 * own) / 2)
        a = gate.parameter(likely.clamp(0.01, 0.99)).to(a)
    a.requires_grad_()
    optimizer = torch.optim.Adam([a], lr=settings.learning_rate)
    frozen = [parameter for parameter in runner.model.parameters() if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        for _ in range(settings.epochs):
            for index in range(len(runner.batches)):
                drawn = torch.stack([gate.sample(a, generator) for _ in range(settings.samples)])
                loss = _loss(runner, index, settings, _as_masks(1.0 - drawn, allowed))
                expected = gate.open_probability(a).sum()
                extra = expected / entries if wanted is None else torch.relu(expected - wanted) / wanted
                loss = loss + settings.penalty * extra
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
    values = np.zeros(table.shape)
    values.swapaxes(0, 1)[table.swapaxes(0, 1)] = gate.open_probability(a.detach()).double().cpu().numpy()
    return values


def _as_masks(cut: Tensor, allowed: Tensor) -> Tensor:
    """Values [C, E] of the edges, in the graph's order (by receiver, source, position), as masks [C, S, R(, T)]."""
    masks = cut.new_zeros(len(cut), allowed.shape[1], allowed.shape[0], *allowed.shape[2:])
    masks[:, allowed.transpose(0, 1)] = cut
    return masks.transpose(1, 2)


def _loss(runner: CircuitRunner, index: int, settings: Probing, masks: Tensor) -> Tensor:
    batch, metric = runner.batches[index], find_metric(settings.metric, smooth=True)
    values = runner.values(index, Methodology(ablation=settings.ablation))
    logits = runner.run_values(index, values, masks)
    return -metric.sign * metric(logits, batch, runner.full(index)).mean()
