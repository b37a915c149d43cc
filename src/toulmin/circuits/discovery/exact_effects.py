"""Exact single-edge effects: the truth that attribution methods approximate.

The effect of an edge is how much worse the metric gets when this edge alone is cut, and everything after it is computed
again:  ``sign (M(clean run) - M(run without the edge))``, averaged over prompts, with the sign of the metric's
better direction. One run of the model an edge, many in a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from toulmin.circuits.checks import check_runner
from toulmin.circuits.discovery.method import MetricSetting, Progress, RankingMethod, common_length
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.tasks import find_metric

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

#: an edge as (source, receiver), or (source, receiver, position): cut there only
Place = Sequence[int]


class ExactEffects(RankingMethod):
    """The exact effect of cutting each edge alone (with ``per_position``: each edge at each position alone)."""

    title: ClassVar[str] = "exact effects"

    name: Literal["exact"] = "exact"
    metric: MetricSetting = "logit_diff"
    ablation: Ablation = "resample"  #: what the cut edge carries
    together: int = Field(default=64, ge=1)  #: runs in one batch

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The effect of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``; NaN.
        """
        check_runner(runner)
        return self.of(runner, _table(runner, self, _every_place(runner, self), progress), self.metric, self.ablation)

    def steps_on(self, runner: CircuitRunner) -> int:
        """One an edge (and position)."""
        return len(_every_place(runner, self))

    def passes(self, runner: CircuitRunner) -> float:
        """About a third of a pass for each edge, as what comes before it is at hand."""
        return 0.3 * self.steps_on(runner) * runner.n


def exact_effects(
    runner: CircuitRunner,
    metric: MetricSetting = "logit_diff",
    *,
    ablation: Ablation = "resample",
    edges: Sequence[Place] | None = None,
    progress: Progress | None = None,
) -> EdgeScores:
    """The effect of cutting each edge alone, or each of ``edges``; the others get 0.

    :param edges: (source, receiver), or (source, receiver, position) for the edge at one position alone.
    :raises FaultError: an unknown metric; prompts of several lengths with positions; NaN.
    """
    check_runner(runner)
    placed = edges is not None and len(edges) > 0 and len(edges[0]) == 3
    method = ExactEffects(metric=metric, ablation=ablation, per_position=placed)
    chosen = _every_place(runner, method) if edges is None else edges
    return method.of(runner, _table(runner, method, chosen, progress), metric, ablation)


def effects_per_prompt(
    runner: CircuitRunner,
    metric: MetricSetting,
    edges: Sequence[Place],
    ablation: Ablation = "resample",
    together: int = 64,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """``[E, N]``: how much worse the metric of each prompt gets when each edge alone is cut."""
    found, method = find_metric(metric), Methodology(ablation=ablation)
    full = runner.full_scores([found])[found.name]
    effects = np.zeros((len(edges), runner.n))
    for start in range(0, len(edges), together):
        masks = _masks(runner, edges[start : start + together])
        for index, batch in enumerate(runner.batches):
            logits = runner.run_masks(index, masks, method)
            values = found(logits, batch, runner.full(index).to(logits.dtype)).double().cpu().numpy()
            effects[start : start + len(masks), list(batch.index)] = values
        if progress is not None:
            progress(len(masks))
    return found.sign * (full[None] - effects)


def _every_place(runner: CircuitRunner, method: ExactEffects) -> list[tuple[int, ...]]:
    edges = [(edge.source, edge.receiver) for edge in runner.graph.edges]
    if not method.per_position:
        return [*edges]
    return [(*edge, position) for edge in edges for position in range(common_length(runner, method))]


def _table(
    runner: CircuitRunner, method: ExactEffects, edges: Sequence[Place], progress: Progress | None
) -> NDArray[np.float64]:
    shape = runner.graph.allowed.shape
    table = np.zeros((*shape, common_length(runner, method)) if method.per_position else shape)
    effects = effects_per_prompt(runner, method.metric, edges, method.ablation, method.together, progress)
    for place, effect in zip(edges, effects, strict=True):
        table[tuple(place)] = effect.mean()
    return table


def _masks(runner: CircuitRunner, edges: Sequence[Place]) -> NDArray[np.bool_]:
    """[K, S, R] or [K, S, R, T]: one run for each edge, in which it alone is cut."""
    positions = (runner.lengths[0],) if len(edges[0]) == 3 else ()
    masks = np.zeros((len(edges), *runner.graph.allowed.shape, *positions), dtype=bool)
    for row, place in enumerate(edges):
        masks[(row, *place)] = True
    return masks
