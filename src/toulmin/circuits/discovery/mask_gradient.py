r"""Gradients to the edges' masks away from the clean run, and their average (Miller et al. 2024, AutoCircuit).

Where *all* masks have one value m, every receiver reads :math:`\sum_s (1 - m) c_s + m v_s`, and one forward and one
backward pass a batch still gives the gradient of every edge's mask. ``MaskGradient`` takes it at one m (EAP is m = 0);
``MaskIg`` averages over m from 0 to 1: summed over edges these scores are M(all alive) - M(all cut), as the number of
steps grows (the completeness of integrated gradients).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from toulmin.circuits.discovery.gradient_scores import Endpoints, GradientMethod, IntegratedMethod, mask_gradients
from toulmin.circuits.discovery.method import Progress
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner


class MaskGradient(GradientMethod):
    """The gradient to every edge's mask where all masks are ``mix``."""

    title: ClassVar[str] = "mask gradient"

    name: Literal["mask_gradient"] = "mask_gradient"
    mix: float = Field(default=0.5, ge=0, le=1)  #: the value of all masks: 0 is EAP, at 1 everything is cut
    ablation: Ablation = "resample"  #: what a cut edge carries

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``; NaN.
        """
        return mask_gradients(self, runner, self.ablation, (self.mix,), progress=progress)


class MaskIg(IntegratedMethod):
    """Integrated gradients over all masks together."""

    title: ClassVar[str] = "mask-IG"

    name: Literal["mask_ig"] = "mask_ig"
    endpoints: Endpoints = "both"
    ablation: Ablation = "resample"  #: what a cut edge carries

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``; NaN.
        """
        mixes = [1.0 - alpha for alpha in self.points]
        return mask_gradients(self, runner, self.ablation, mixes, progress=progress)
