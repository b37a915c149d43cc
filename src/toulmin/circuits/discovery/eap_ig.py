r"""EAP with integrated gradients (EAP-IG; Hanna et al. 2024, https://arxiv.org/abs/2403.17806).

EAP's difference of activations, times the *mean* of the gradients on a line from counterfactual to clean:

.. math:: \mathrm{score}(s \to r) = \frac{1}{n} \sum_{\alpha} \sum_t
    \langle -\partial M / \partial x_r \,|_{\alpha}, \; v_s - c_s \rangle

- ``EapIg`` moves the inputs: the embedding is :math:`x' + \alpha (x - x')`. There is no other input to come from than
  the counterfactual one, so it has no ablation setting: edges are resampled.
- ``EapIgActivations`` (Marks et al. 2024, https://arxiv.org/abs/2403.19647) moves the activations of one component
  after the other: the scores of the edges out of a component use the gradients with that component on the line, the
  heads of a layer together. It costs a pass for every component and point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from toulmin.circuits.checks import check_runner
from toulmin.circuits.discovery.gradient_scores import (
    Endpoints,
    IntegratedMethod,
    ablated_values,
    average,
    gradient_table,
)
from toulmin.circuits.discovery.method import Progress
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation

if TYPE_CHECKING:
    from torch import Tensor

    from toulmin.circuits.runner import CircuitRunner
    from toulmin.patching import Graph
    from toulmin.tasks import Metric


class EapIg(IntegratedMethod):
    """EAP-IG over inputs; cut edges are resampled."""

    title: ClassVar[str] = "EAP-IG"

    name: Literal["eap_ig"] = "eap_ig"
    endpoints: Endpoints = "counterfactual"

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``; NaN.
        """

        def table(index: int, metric: Metric, alpha: float) -> Tensor:
            clean, other = (runner.sources(index, side).values for side in ("clean", "counterfactual"))
            inputs = slice(0, len(runner.graph.inputs))
            start = (other[inputs] + alpha * (clean[inputs] - other[inputs])).sum(0)
            replace = {"embed": start}
            return gradient_table(
                runner, index, metric, per_position=self.per_position, differences=other - clean, replace=replace
            )

        return average(self, runner, table, "resample", self.points, progress)


class EapIgActivations(IntegratedMethod):
    """EAP-IG over activations, one component (the heads of a layer together) after the other."""

    title: ClassVar[str] = "EAP-IG activations"

    name: Literal["eap_ig_activations"] = "eap_ig_activations"
    endpoints: Endpoints = "clean"
    ablation: Ablation = "resample"  #: what a cut edge carries, and the line's other end

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``; NaN.
        """
        check_runner(runner)
        groups = stages_of(runner.graph)

        def table(index: int, metric: Metric, alpha: float) -> Tensor:
            clean, other = runner.sources(index, "clean").values, ablated_values(runner, index, self.ablation)
            whole: Tensor | None = None
            for name, rows in groups.items():
                moved = (other[rows] + alpha * (clean[rows] - other[rows])).sum(0)
                part = gradient_table(
                    runner,
                    index,
                    metric,
                    per_position=self.per_position,
                    differences=other - clean,
                    replace={name: moved},
                )
                whole = part.new_zeros(part.shape) if whole is None else whole
                whole[rows] = part[rows]
            assert whole is not None
            return whole

        return average(self, runner, table, self.ablation, self.points, progress)


def stages_of(graph: Graph) -> dict[str, slice]:
    """What is moved together, and the rows of its sources: the embedding, the heads of each layer, each MLP."""
    found = {"embed": slice(0, len(graph.inputs))}
    for stage, rows in zip(graph.stages[:-1], graph.writes, strict=False):
        found[stage.name] = slice(rows.start, rows.stop)
    return found
