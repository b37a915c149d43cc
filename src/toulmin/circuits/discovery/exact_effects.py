"""Exact single-edge effects: the truth that attribution methods approximate.

The effect of an edge is how much worse the metric gets when this edge alone is cut, everything after it recomputed: the
score of :mod:`toulmin.circuits.discovery.attribution` without the approximation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.edges import Pair, table_of
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.tasks import Metric, find_metric


def exact_effects(
    runner: CircuitRunner,
    metric: str | Metric = "logit_diff",
    *,
    ablation: Ablation = "resample",
    edges: Sequence[Pair] | None = None,
    together: int = 64,
    progress: Callable[[int], None] | None = None,
) -> EdgeScores:
    """The effect of cutting each edge (or each of ``edges``; the others get 0), averaged over prompts.

    :param together: circuits to run at once.
    :raises FaultError: an unknown metric, NaN.
    """
    found = find_metric(metric)
    chosen = [(edge.source, edge.receiver) for edge in runner.graph.edges] if edges is None else list(edges)
    table = np.zeros(runner.graph.allowed.shape)
    for pair, effect in zip(
        chosen, effects_per_prompt(runner, found, chosen, ablation, together, progress), strict=True
    ):
        table[pair] = effect.mean()
    return EdgeScores(runner.graph, table, f"exact ({found.name}, {ablation})")


def effects_per_prompt(
    runner: CircuitRunner,
    metric: str | Metric,
    edges: Sequence[Pair],
    ablation: Ablation = "resample",
    together: int = 64,
    progress: Callable[[int], None] | None = None,
) -> NDArray[np.float64]:
    """``[E, N]``: how much worse the metric of each prompt gets when each edge alone is cut."""
    found, method = find_metric(metric), Methodology(ablation=ablation)
    full = runner.full_scores([found])[found.name]
    effects = np.zeros((len(edges), runner.n))
    for start in range(0, len(edges), together):
        rows = edges[start : start + together]
        masks = np.stack([table_of(runner.graph, [edge]) for edge in rows])
        for index, batch in enumerate(runner.batches):
            logits = runner.run_masks(index, masks, method)
            values = found(logits, batch, runner.full(index).to(logits.dtype)).double().cpu().numpy()
            effects[start : start + len(rows), list(batch.index)] = values
        if progress is not None:
            progress(len(rows))
    return found.sign * (full[None] - effects)
