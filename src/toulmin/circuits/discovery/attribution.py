r"""Attribution methods: scores of all edges from gradients.

A score estimates how much worse the metric gets when the edge is cut (its drop where higher is better), in the metric's
unit, averaged over prompts: positive scores support the behaviour. With m the edge's mask (0 alive, 1 replaced):

- EAP (Nanda 2023; Syed et al. 2023): dM/dm at m = 0, a first-order estimate.
- Integrated gradients over masks (Miller et al. 2024): the mean of dM/dm over m on the straight line on which *all*
  masks are equal. Summed over edges it is M(all alive) - M(all replaced) as the steps grow.
- EAP-IG over inputs (Hanna et al. 2024): gradients at embeddings on the line from counterfactual to clean; over
  activations (Marks et al. 2024): for each component's out-edges, gradients with that component (a layer's heads
  together) on the line.
- RelP (Jafari et al. 2025): EAP with relevance rules in place of the gradient.

Which end points an integral includes is an argument, since peers differ: ``"both"`` (AutoCircuit: 0, 1/n, ..., 1),
``"counterfactual"`` (EAP-IG inputs: 0, ..., (n-1)/n of the way to clean), ``"clean"`` (EAP-IG activations: 1/n, ...,
1), ``"midpoints"`` (neither, the most accurate for n points).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.faults import Fault, FaultError
from toulmin.patching.edge_gradients import EdgeGradients, Rules, edge_gradients
from toulmin.tasks import Metric, find_metric
from toulmin.tasks.batch import PairBatch

Endpoints = Literal["both", "clean", "counterfactual", "midpoints"]
Path = Literal["masks", "inputs", "activations"]


def line(steps: int, endpoints: Endpoints) -> list[float]:
    """Points alpha on the line from counterfactual (0) to clean (1).

    :raises FaultError: fewer than one step.
    """
    if steps < 1:
        raise FaultError(Fault("circuits.steps", f"{steps} steps: integrated gradients need at least one"))
    if endpoints == "both":
        return [k / steps for k in range(steps + 1)]
    shift = {"counterfactual": 0.0, "clean": 1.0, "midpoints": 0.5}[endpoints]
    return [(k + shift) / steps for k in range(steps)]


def _loss(metric: Metric, batch: PairBatch, full: Tensor) -> Callable[[Tensor], Tensor]:
    """Minus the metric (so that its gradient is the drop), summed over prompts."""
    return lambda logits: -metric.sign * metric(logits[None], batch, full)[0].sum()


def eap(
    runner: CircuitRunner,
    metric: str | Metric = "logit_diff",
    *,
    ablation: Ablation = "resample",
    per_position: bool = False,
    rules: Rules = "gradient",
) -> EdgeScores:
    """Edge attribution patching: every edge's first-order effect from one forward and one backward pass a batch.

    :param per_position: position-aware (Haklay et al. 2025): one score a token position, which sum to the others; the
        prompts must have one length.
    :raises FaultError: a metric without gradient; prompts of several lengths with ``per_position``.
    """
    name = "RelP" if rules == "relp" else "EAP"
    return mask_gradient(runner, metric, 0.0, ablation=ablation, per_position=per_position, rules=rules, name=name)


def relp(runner: CircuitRunner, metric: str | Metric = "logit_diff", *, ablation: Ablation = "resample") -> EdgeScores:
    """Relevance patching: :func:`eap` with the propagation rules of layer-wise relevance."""
    return eap(runner, metric, ablation=ablation, rules="relp")


def mask_gradient(
    runner: CircuitRunner,
    metric: str | Metric = "logit_diff",
    mix: float = 0.0,
    *,
    ablation: Ablation = "resample",
    per_position: bool = False,
    rules: Rules = "gradient",
    name: str | None = None,
) -> EdgeScores:
    """The gradient to every edge's mask where all masks are ``mix`` (0 is EAP)."""
    found = find_metric(metric, smooth=True)
    if per_position and len(runner.lengths) > 1:
        raise FaultError(Fault("circuits.positions", "scores per position need prompts of one length"))
    method, total = Methodology(ablation=ablation), None
    for index, batch in enumerate(runner.batches):
        gradients = edge_gradients(
            runner.model,
            batch.clean,
            _loss(found, batch, runner.full_for(found, index)),
            values=_whole(runner, index, method),
            mix=mix,
            scored=batch.at,
            merged_qkv=runner.graph.merged_qkv,
            per_position=per_position,
            rules=rules,
        )
        total = gradients.table if total is None else total + gradients.table
    assert total is not None
    label = name or f"mask gradient at {mix:g}"
    return _scores(runner, total / runner.n, f"{label} ({found.name}, {ablation})")


def integrated(
    runner: CircuitRunner,
    metric: str | Metric = "logit_diff",
    *,
    path: Path = "inputs",
    steps: int = 10,
    endpoints: Endpoints | None = None,
    ablation: Ablation = "resample",
) -> EdgeScores:
    """Integrated gradients: the mean of the gradients along ``path`` times the clean-to-ablated difference.

    :param path: what moves: all ``masks`` together, the ``inputs`` (embeddings), or each component's ``activations``.
    :param steps: n of the line; ``both`` has n + 1 points.
    :param endpoints: default ``both`` for masks, ``counterfactual`` for inputs, ``clean`` for activations, as in the
        peers.
    :raises FaultError: ``inputs`` with anything but resampling (there is no other input to come from).
    """
    defaults: dict[Path, Endpoints] = {"masks": "both", "inputs": "counterfactual", "activations": "clean"}
    ends = endpoints or defaults[path]
    points, found = line(steps, ends), find_metric(metric, smooth=True)
    if path == "inputs" and ablation != "resample":
        raise FaultError(
            Fault("circuits.ablation", "integrating over inputs needs a counterfactual input: ablation='resample'")
        )
    method, total = Methodology(ablation=ablation), None
    for index in range(len(runner.batches)):
        for alpha in points:
            part = {"masks": _on_masks, "inputs": _on_inputs, "activations": _on_activations}[path](
                runner, index, found, method, alpha
            )
            total = part if total is None else total + part
    assert total is not None
    label = {"masks": "mask-IG", "inputs": "EAP-IG inputs", "activations": "EAP-IG activations"}[path]
    table = total / (runner.n * len(points))
    return _scores(runner, table, f"{label} ({found.name}, {ablation}, {len(points)} points, {ends})")


def _gradients(runner: CircuitRunner, index: int, metric: Metric, **settings: object) -> EdgeGradients:
    batch = runner.batches[index]
    return edge_gradients(
        runner.model,
        batch.clean,
        _loss(metric, batch, runner.full_for(metric, index)),
        scored=batch.at,
        merged_qkv=runner.graph.merged_qkv,
        **settings,  # type: ignore[arg-type]
    )


def _on_masks(runner: CircuitRunner, index: int, metric: Metric, method: Methodology, alpha: float) -> Tensor:
    return _gradients(runner, index, metric, values=_whole(runner, index, method), mix=1.0 - alpha).table


def _on_inputs(runner: CircuitRunner, index: int, metric: Metric, method: Methodology, alpha: float) -> Tensor:
    clean, other = runner.sources(index, "clean").values, runner.sources(index, "counterfactual").values
    start = other[0] + alpha * (clean[0] - other[0])
    return _gradients(runner, index, metric, differences=other - clean, replace={"embed": start}).table


def _on_activations(runner: CircuitRunner, index: int, metric: Metric, method: Methodology, alpha: float) -> Tensor:
    clean, other = runner.sources(index, "clean").values, _whole(runner, index, method)
    graph, heads = runner.graph, runner.graph.n_heads
    groups = [("embed", slice(0, 1))]
    for layer in range(graph.n_layers):
        first = 1 + layer * (heads + graph.has_mlp)
        groups.append((f"L{layer}.attn", slice(first, first + heads)))
        groups += [(f"L{layer}.mlp", slice(first + heads, first + heads + 1))] if graph.has_mlp else []
    table = clean.new_zeros(graph.allowed.shape)
    for name, rows in groups:
        moved = (other[rows] + alpha * (clean[rows] - other[rows])).sum(0)
        found = _gradients(runner, index, metric, differences=other - clean, replace={name: moved}).table
        table[rows] = found[rows]
    return table


def activation_magnitude(runner: CircuitRunner) -> EdgeScores:
    """AutoCircuit's baseline: |mean over prompts, positions and dimensions| of what the source writes."""
    total = torch.zeros(len(runner.graph.sources), dtype=torch.float64)
    for index, batch in enumerate(runner.batches):
        total += runner.sources(index, "clean").values.mean((1, 2, 3)).abs().double().cpu() * len(batch)
    table = (total / runner.n).numpy()[:, None] * runner.graph.allowed
    return EdgeScores(runner.graph, table, "activation magnitude")


def _whole(runner: CircuitRunner, index: int, method: Methodology) -> Float[Tensor, "S B T D"]:
    batch = runner.batches[index]
    shape = (len(runner.graph.sources), *batch.clean.shape, runner.model.config.d_model)
    return runner.values(index, method).expand(shape)


def _scores(runner: CircuitRunner, table: Tensor, method: str) -> EdgeScores:
    return EdgeScores(runner.graph, table.double().cpu().numpy().astype(np.float64), method)
