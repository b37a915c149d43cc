"""Relevance patching (RelP; Jafari et al. 2025, https://arxiv.org/abs/2508.21258): EAP with relevance propagation.

The gradient of EAP is replaced by the propagation rules of layer-wise relevance (Achtibat et al. 2024,
https://arxiv.org/abs/2402.05602): a norm's scale, an attention pattern and the slope f(x)/x of an activation function
are constants, and the two factors of a gate take half each. Queries and keys get no relevance: their edges score 0, so
that no circuit of the largest scores has them, and where attention must move (indirect objects) it cannot. With
``patterns="gradient"`` the pattern is differentiated, as in EAP, and the other rules stay; that is not in the paper.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from toulmin.circuits.discovery.gradient_scores import GradientMethod, mask_gradients
from toulmin.circuits.discovery.method import Progress
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner
    from toulmin.patching import GradientRules


class Relp(GradientMethod):
    """Relevance patching."""

    title: ClassVar[str] = "RelP"

    name: Literal["relp"] = "relp"
    ablation: Ablation = "resample"  #: what a cut edge carries
    patterns: Literal["constant", "gradient"] = "constant"  #: what relevance treats attention patterns as

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge.

        :raises FaultError: prompts of several lengths with ``per_position``; NaN.
        """
        rules: GradientRules = "relp" if self.patterns == "constant" else "relp_patterns"
        return mask_gradients(self, runner, self.ablation, rules=rules, progress=progress)
