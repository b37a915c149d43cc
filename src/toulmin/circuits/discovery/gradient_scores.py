r"""Scores of all edges from gradients: what EAP, its integrated forms and relevance patching share.

A score estimates how much worse the metric gets when the edge is cut (its drop where higher is better), in the metric's
unit, averaged over prompts: positive scores support the behaviour. With m the mask of an edge from source s to receiver
r (0 alive, 1 cut), c_s what the source writes and v_s what the cut edge carries, the drop is, to first order,

.. math:: -\partial M / \partial m = \sum_{b,t} \langle -\partial M / \partial x_r, \; v_s - c_s \rangle,

summed over prompts b and positions t of the receiver's input x_r. :func:`toulmin.patching.edge_gradients` gives it for
all edges from one forward and one backward pass. The methods differ in where the gradient is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from toulmin.circuits.checks import check_runner
from toulmin.circuits.discovery.method import Progress, RankingMethod, SmoothMetric, common_length
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation, Methodology
from toulmin.tasks import Metric, find_metric

if TYPE_CHECKING:
    from torch import Tensor

    from toulmin.circuits.runner import CircuitRunner
    from toulmin.patching import GradientRules

Endpoints = Literal["both", "clean", "counterfactual", "midpoints"]


class GradientMethod(RankingMethod):
    """A scoring method that needs the gradient of ``metric``."""

    metric: SmoothMetric = "logit_diff"  #: the scores estimate its change

    def steps_on(self, runner: CircuitRunner) -> int:
        """One a batch."""
        return len(runner.batches)


class IntegratedMethod(GradientMethod):
    r"""A scoring method that averages gradients at points of the line from counterfactual to clean.

    A point at :math:`\alpha` is :math:`x' + \alpha (x - x')`, with x the clean and x' the counterfactual value. Peers
    differ in which end points the average includes, so it is a setting: ``"both"``: 0, 1/n, ..., 1 (n + 1 points, as
    AutoCircuit); ``"counterfactual"``: 0, ..., (n - 1)/n (as EAP-IG over inputs); ``"clean"``: 1/n, ..., 1 (as EAP-IG
    over activations); ``"midpoints"``: 1/2n, ..., 1 - 1/2n, the most accurate for n points.
    """

    steps: int = Field(default=10, ge=1)  #: n
    endpoints: Endpoints = "both"

    @property
    def points(self) -> list[float]:
        """The values of alpha."""
        if self.endpoints == "both":
            return [k / self.steps for k in range(self.steps + 1)]
        shift = {"counterfactual": 0.0, "clean": 1.0, "midpoints": 0.5}[self.endpoints]
        return [(k + shift) / self.steps for k in range(self.steps)]

    def steps_on(self, runner: CircuitRunner) -> int:
        """One a batch and point."""
        return len(runner.batches) * len(self.points)


def average(
    method: GradientMethod,
    runner: CircuitRunner,
    table: Callable[[int, Metric, float], Tensor],
    ablation: Ablation,
    points: Sequence[float] = (0.0,),
    progress: Progress | None = None,
) -> EdgeScores:
    """The scores: ``table(batch index, metric, point)`` summed over batches and points, per prompt and point.

    :raises FaultError: prompts of several lengths with ``per_position``.
    """
    check_runner(runner)
    if method.per_position:
        common_length(runner, method)
    found, total = find_metric(method.metric, smooth=True), None
    for index in range(len(runner.batches)):
        for point in points:
            part = table(index, found, point)
            total = part if total is None else total + part
            if progress is not None:
                progress(1)
    assert total is not None
    values = (total / (runner.n * len(points))).double().cpu().numpy()
    return method.of(runner, values, method.metric, ablation)


def mask_gradients(
    method: GradientMethod,
    runner: CircuitRunner,
    ablation: Ablation,
    mixes: Sequence[float] = (0.0,),
    *,
    rules: GradientRules = "gradient",
    progress: Progress | None = None,
) -> EdgeScores:
    """Scores from the gradient to every edge's mask where all masks are equal, averaged over the values ``mixes``."""

    def table(index: int, metric: Metric, mix: float) -> Tensor:
        values = ablated_values(runner, index, ablation)
        settings: dict[str, Any] = {"values": values, "mix": mix, "rules": rules}
        return gradient_table(runner, index, metric, per_position=method.per_position, **settings)

    return average(method, runner, table, ablation, mixes, progress)


def gradient_table(runner: CircuitRunner, index: int, metric: Metric, *, per_position: bool, **settings: Any) -> Tensor:
    """[S, R] or [S, R, T]: the drop of the metric, summed over the prompts of batch ``index``, for each edge's mask.

    :param settings: passed on to :func:`toulmin.patching.edge_gradients`.
    """
    from toulmin.patching import edge_gradients

    batch = runner.batches[index]
    full = runner.full_for(metric, index)
    return edge_gradients(
        runner.model,
        batch.clean,
        lambda logits: -metric.sign * metric(logits[None], batch, full)[0].sum(),
        scored=batch.at,
        graph=runner.graph,
        terms=runner.terms,
        per_position=per_position,
        **settings,
    ).table


def ablated_values(runner: CircuitRunner, index: int, ablation: Ablation) -> Tensor:
    """[S, B, T, D]: what cut edges carry on batch ``index``."""
    batch = runner.batches[index]
    shape = (len(runner.graph.sources), *batch.clean.shape, runner.model.config.d_model)
    return runner.values(index, Methodology(ablation=ablation)).expand(shape)
