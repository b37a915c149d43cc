r"""Edge attribution patching (EAP; Nanda 2023, Syed et al. 2023, https://arxiv.org/abs/2310.10348).

The first-order estimate of every edge's effect, with the gradient taken on the clean run, averaged over prompts:

.. math:: \mathrm{score}(s \to r) = \sum_{t} \langle -\partial M / \partial x_r, \; v_s - c_s \rangle

with x_r what the receiver reads, c_s what the source writes on the clean prompt, v_s what the cut edge carries, and t
token positions. One forward and one backward pass a batch gives all edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from toulmin.circuits.discovery.gradient_scores import GradientMethod, mask_gradients
from toulmin.circuits.discovery.method import Progress
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner


class Eap(GradientMethod):
    """Edge attribution patching; ``per_position`` is the position-aware form of Haklay et al. 2025."""

    title: ClassVar[str] = "EAP"

    name: Literal["eap"] = "eap"
    ablation: Ablation = "resample"  #: what a cut edge carries

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``; NaN.
        """
        return mask_gradients(self, runner, self.ablation, progress=progress)
