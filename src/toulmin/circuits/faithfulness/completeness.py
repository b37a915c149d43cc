r"""Completeness (Wang et al. 2022, section 4.2; Miller et al. 2024): does the circuit hold every edge that matters?

For a set K of the circuit's edges, the circuit without K should behave as the model without K. Reported is
|M(C - K) - M(all - K)| a prompt, for random K and for a K that gates learned to make the outputs differ most. Whether
each edge of the circuit is needed (minimality) is in :mod:`toulmin.circuits.faithfulness.tests`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from toulmin.circuits.checks import check_runner
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.hard_concrete import HardConcrete
from toulmin.circuits.methodology import Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.faults import Fault, FaultError
from toulmin.tasks import MetricLike, find_metric, kl

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
    metric: MetricLike = "logit_diff",
    method: Methodology | None = None,
) -> list[Knockout]:
    """Run circuit and model without each of ``knockouts``.

    :raises FaultError: a knockout that is not part of the circuit.
    """
    check_runner(runner)
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
    steps: int = 100,
    learning_rate: float = 0.1,
    penalty: float = 1.0,
    randoms: int = 10,
    method: Methodology | None = None,
    gates: HardConcrete | None = None,
    seed: int = 0,
) -> Circuit:
    """The knockout K of a given size, of those tried, for which circuit and model differ most without it.

    Gates on the circuit's edges are trained to raise KL(model without K || circuit without K), starting where
    they are expected to cut ``size`` edges. The divergence rises and falls while the gates close, so the sets that they
    rank highest along the way, and ``randoms`` random sets, are all run exactly and the worst is returned: it is never
    milder than those random sets.

    :param size: how many edges to knock out, default half of the circuit (at least one).
    :raises FaultError: an empty circuit, or one with positions (gates are per edge); a methodology that keeps other
        edges than the circuit's own; a size that the circuit does not have.
    """
    check_runner(runner)
    if len(circuit) == 0 or circuit.positions is not None:
        raise FaultError(Fault("circuits.knockout", "gates need a circuit with edges and without positions"))
    method, gate = method or Methodology(), gates or HardConcrete()
    if method.granularity != "edges" or method.ablate != "complement":
        raise FaultError(Fault("circuits.knockout", "gates are per edge of the circuit", name=str(method)))
    size = max(1, len(circuit) // 2) if size is None else size
    if not 1 <= size <= len(circuit):
        raise FaultError(Fault("circuits.knockout", f"a knockout of {size} of {len(circuit)} edges"))
    like = runner.model.W_E
    inside, allowed = (torch.from_numpy(np.array(t)).to(like.device) for t in (circuit.table, runner.graph.allowed))
    generator = torch.Generator(device=inside.device).manual_seed(seed)
    a = like.new_full((len(circuit),), _start(gate, size / len(circuit))).requires_grad_()
    optimizer = torch.optim.Adam([a], lr=learning_rate)
    ranked: list[torch.Tensor] = []
    for step in range(steps):
        index = step % len(runner.batches)
        removed = like.new_zeros(inside.shape).masked_scatter(inside, gate.sample(a, generator))
        divergence = _divergence(runner, index, knockout_masks(allowed, inside, removed, method), method)
        excess = torch.relu(gate.open_probability(a).sum() - size) / size
        (a.grad,) = torch.autograd.grad(penalty * excess - divergence, a)
        optimizer.step()
        if step % max(1, steps // 10) == 0 or step == steps - 1:
            ranked.append(torch.argsort(-a.detach(), stable=True)[:size])
    rng = np.random.default_rng(seed)
    places = [*torch.stack(ranked).cpu().numpy(), *(rng.permutation(len(circuit))[:size] for _ in range(randoms))]
    tried = list(dict.fromkeys(_of_places(circuit, chosen) for chosen in places))
    return tried[int(np.argmax(_divergences(runner, circuit, tried, method)))]


def knockout_masks(
    allowed: torch.Tensor, inside: torch.Tensor, removed: torch.Tensor, method: Methodology
) -> torch.Tensor:
    """[2, S, R]: the replaced edges of the circuit ``inside`` and of the whole model, both without ``removed``.

    ``removed`` may lie between 0 and 1. When noising the edges that do not stay are replaced, when denoising those
    that do.
    """
    cut = torch.stack([(allowed & ~inside) + removed, removed])
    return cut if method.direction == "noising" else allowed.to(cut) - cut


def _start(gate: HardConcrete, share: float) -> float:
    """The parameter at which a gate is open with probability ``share`` (kept away from 0 and 1)."""
    share = min(max(share, 0.01), 0.99)
    return math.log(share / (1 - share)) + gate.temperature * math.log(-gate.left / gate.right)


def _divergence(runner: CircuitRunner, index: int, masks: torch.Tensor, method: Methodology) -> torch.Tensor:
    """KL(second || first) of the two runs that ``masks`` ([2, S, R], 1 replaces) make, on one batch."""
    side = "clean" if method.direction == "noising" else "counterfactual"
    logits = runner.run_values(index, runner.values(index, method), masks, side=side)
    return kl(logits[1], logits[0]).mean()


def _of_places(circuit: Circuit, places: NDArray[np.intp]) -> Circuit:
    """The circuit of the edges that stand at ``places`` among the circuit's own."""
    table = np.zeros(circuit.table.shape, dtype=bool)
    table[tuple(np.argwhere(circuit.table)[places].T)] = True
    return Circuit(circuit.graph, table)


def _divergences(
    runner: CircuitRunner, circuit: Circuit, knockouts: Sequence[Circuit], method: Methodology
) -> NDArray[np.float64]:
    """Mean over prompts of KL(model without K || circuit without K), for each knockout."""
    whole, total = Circuit.full(circuit.graph), np.zeros(len(knockouts))
    ran = [circuit - k for k in knockouts] + [whole - k for k in knockouts]
    for _, logits in runner.run(ran, method):
        half = len(knockouts)
        total += (
            kl(logits[half:].flatten(0, 1), logits[:half].flatten(0, 1)).unflatten(0, (half, -1)).sum(1).cpu().numpy()
        )
    return total / runner.n
