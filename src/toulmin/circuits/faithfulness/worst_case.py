"""The worst case of a circuit: the edges outside of it whose ablation hurts it most.

Faithfulness cuts everything outside the circuit at once, and averages. A circuit can pass that and still fail when only
some of the outside is cut, because errors of two ablated parts may cancel. The adversary looks for the set A of outside
edges for which

.. math:: M(\\text{model without } A)

is worst. It relaxes A to a mask in [0, 1] of each outside edge and follows the gradient of M, projected back to [0, 1]
after each step, from three starts; the masks along the way, rounded, are run exactly, and around the worst of them
every choice of the few edges with the largest gradients. From there it goes on as long as it gets worse: the gradient
at the set says which edges to cut or restore; each of the most promising is changed alone, and the first 2, 4, 8, ...
of them together. What is returned is an exact run, so it bounds the worst case from one side only: a worse set may
exist. One set for all prompts, or one for each prompt.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.faithfulness.recovered import PromptValues
from toulmin.circuits.faithfulness.worst_case_search import WorstCaseSearch
from toulmin.circuits.methodology import Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.evidence import Table, TabularResult, mean_interval
from toulmin.faults import Fault, FaultError
from toulmin.patching import run_circuits
from toulmin.tasks import Metric, MetricLike, find_metric

Array = NDArray[np.float64]
_STARTS = (0.5, 1.0, 0.0)  # the share of each outside edge that is cut at first


@dataclass(frozen=True)
class WorstCase(TabularResult):
    """The metric of each prompt [N]: of the full model, with everything outside cut, and in the worst case found.

    ``removed``: the ablated set, one for all prompts, or one for each.
    """

    metric: str
    full: Array
    all_cut: Array
    worst: Array
    removed: tuple[Circuit, ...]
    units: tuple[str, ...]

    def tables(self) -> tuple[Table, ...]:
        """The means with their intervals over prompts."""
        rows: list[tuple[str, float, float | None, float | None, int | None]] = []
        sizes = int(np.mean([len(one) for one in self.removed]))
        for name, values, cut in (
            ("full model", self.full, 0),
            ("everything outside cut", self.all_cut, None),
            ("worst set of edges outside cut", self.worst, sizes),
        ):
            interval, _ = mean_interval(values, clusters=self.units)
            low, high = (None, None) if interval is None else (interval.low, interval.high)
            rows.append((name, float(values.mean()), low, high, cut))
        columns = ("run", f"mean {self.metric}", "low", "high", "edges cut")
        return (Table(title="Worst case of the circuit", columns=columns, rows=tuple(rows)),)


def worst_ablation(
    runner: CircuitRunner,
    circuit: Circuit,
    *,
    metric: MetricLike = "logit_diff",
    method: Methodology | None = None,
    per_prompt: bool = False,
    steps: int = 12,
    step_size: float = 0.25,
    toggled: int = 6,
    rounds: int = 10,
) -> WorstCase:
    """The outside edges whose ablation makes the circuit's metric worst, of the sets tried.

    :param method: what a cut edge carries; default resampling. With ``per_prompt`` no means over prompts.
    :param per_prompt: a set for each prompt instead of one for all.
    :param steps: of projected gradient from each start; ``step_size``: the largest change of a mask in one.
    :param toggled: of so many edges, those with the largest gradients, every subset is tried at the end.
    :param rounds: at most so many changes of the worst set, each of the best of ``4 toggled`` edges or of several.
    :raises FaultError: ``circuits.worst``: a circuit with positions or without an edge outside, a methodology that is
        not the noising of an edge's complement, or means with ``per_prompt``; ``tasks.metric``: no gradient.
    """
    found, method = find_metric(metric, smooth=True), method or Methodology()
    faults = [
        Fault("circuits.worst", text)
        for text, wrong in (
            ("masks are per edge, and the circuit has positions", circuit.positions is not None),
            ("no edge is outside of the circuit", len(circuit) == runner.graph.n_edges),
            ("edges are cut out of the clean run", method.direction != "noising"),
            ("masks are per edge of the complement", method.granularity != "edges" or method.ablate != "complement"),
            ("a set for each prompt has no means", per_prompt and method.ablation not in ("resample", "zero")),
        )
        if wrong
    ]
    if faults:
        raise FaultError(faults)
    runners = [runner]
    if per_prompt:
        merged = runner.graph.merged_qkv
        runners = [CircuitRunner(runner.model, [pair], merged_qkv=merged) for pair in runner.pairs]
    searched = [_search(one, circuit, found, method, steps, step_size, toggled, rounds) for one in runners]
    return WorstCase(
        found.name,
        runner.full_scores([found])[found.name],
        runner.scores([circuit], method, [found])[found.name][0],
        np.concatenate([values for _, values in searched]),
        tuple(removed for removed, _ in searched),
        runner.units,
    )


def worst_values(runner: CircuitRunner, circuit: Circuit, search: WorstCaseSearch) -> tuple[PromptValues, Circuit]:
    """The logit difference of each prompt where the worst set of outside edges found is cut, and that set.

    :raises FaultError: ``circuits.worst``: a circuit with positions, or without an edge outside.
    """
    found = worst_ablation(runner, circuit, **search.model_dump())
    empty = runner.scores([Circuit.empty(circuit.graph)], Methodology(), ["logit_diff"])["logit_diff"][0]
    return PromptValues(found.worst, found.full, empty), found.removed[0]


def _search(
    runner: CircuitRunner,
    circuit: Circuit,
    metric: Metric,
    method: Methodology,
    steps: int,
    step_size: float,
    toggled: int,
    rounds: int,
) -> tuple[Circuit, Array]:
    """The worst set found on the prompts of a runner, and the metric of each of them without it."""
    outside = ~circuit
    inside = torch.from_numpy(np.array(outside.table)).to(runner.model.W_E.device)
    tried = [outside, Circuit.empty(circuit.graph)]
    size = torch.zeros(len(outside), dtype=torch.float64, device=inside.device)
    for start in _STARTS:
        mask = runner.model.W_E.new_full((len(outside),), start)
        for _ in range(steps):
            gradient = _gradient(runner, metric, method, inside, mask)
            size = torch.maximum(size, gradient.abs().double())
            if not bool(gradient.any()):
                break
            mask = (mask + step_size * gradient / gradient.abs().max()).clamp(0, 1)
            tried.append(_rounded(outside, mask))
    best, values = _worst_of(runner, metric, method, list(dict.fromkeys(tried)))
    places = np.argwhere(outside.table)[torch.argsort(-size, stable=True)[:toggled].cpu().numpy()]
    toggles: list[Circuit] = []
    for chosen in product((False, True), repeat=len(places)):
        table = best.table.copy()
        table[tuple(places.T)] = chosen
        toggles.append(Circuit(circuit.graph, table))
    candidate, new = _worst_of(runner, metric, method, toggles)
    if metric.sign * (new.mean() - values.mean()) < 0:
        best, values = candidate, new
    for _ in range(rounds):
        mask = torch.from_numpy(best.table[outside.table]).to(size.device, runner.model.W_E.dtype)
        gradient = _gradient(runner, metric, method, inside, mask)
        changes = _changes(outside, best, (1 - 2 * mask) * gradient, 4 * toggled)
        candidate, new = _worst_of(runner, metric, method, changes) if changes else (best, values)
        if metric.sign * (new.mean() - values.mean()) >= 0:
            break
        best, values = candidate, new
    return best, values


def _changes(outside: Circuit, best: Circuit, promise: Tensor, most: int) -> list[Circuit]:
    """Sets that differ from ``best`` by one edge, or by the first 2, 4, 8, ... edges, in the order of their promise.

    :param promise: of each outside edge, how much worse the metric gets to first order if the edge is cut, or restored.
    """
    order = torch.argsort(-promise, stable=True)
    places = np.argwhere(outside.table)[order.cpu().numpy()]
    hopeful = int((promise > 0).sum())
    found = [places[k : k + 1] for k in range(min(most, len(places)))]
    found += [places[: 2**k] for k in range(1, hopeful.bit_length()) if 2**k <= hopeful]
    tables = [best.table.copy() for _ in found]
    for table, chosen in zip(tables, found, strict=True):
        table[tuple(chosen.T)] ^= True
    return [Circuit(best.graph, table) for table in tables]


def _gradient(runner: CircuitRunner, metric: Metric, method: Methodology, inside: Tensor, mask: Tensor) -> Tensor:
    """The gradient, for the mask of each outside edge, of how bad the metric is, summed over prompts."""
    total = torch.zeros_like(mask)
    for index, batch in enumerate(runner.batches):
        wanted = mask.clone().requires_grad_()
        table = torch.zeros(inside.shape, dtype=mask.dtype, device=mask.device).masked_scatter(inside, wanted)
        values = runner.values(index, method).detach()
        logits = run_circuits(
            runner.model, batch.clean, values, table[None], graph=runner.graph, scored=batch.at
        )  # dense, with a gradient
        loss = -metric.sign * metric(logits, batch, runner.full_for(metric, index)).sum()
        total += torch.autograd.grad(loss, wanted)[0]
    return total


def _rounded(outside: Circuit, mask: Tensor) -> Circuit:
    table = np.zeros(outside.table.shape, dtype=bool)
    table[outside.table] = (mask >= 0.5).cpu().numpy()
    return Circuit(outside.graph, table)


def _worst_of(
    runner: CircuitRunner, metric: Metric, method: Methodology, removed: list[Circuit]
) -> tuple[Circuit, Array]:
    """The set whose removal gives the worst mean, and the metric of each prompt without it."""
    scores = runner.scores([~one for one in removed], method, [metric], together=64)[metric.name]
    worst = int(np.argmin(metric.sign * scores.mean(1)))
    return removed[worst], scores[worst]
