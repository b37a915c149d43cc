"""An ensemble of attribution methods as one discovery method, and circuits built greedily from scores.

The members score every edge on the same prompts; :func:`toulmin.circuits.discovery.combine.combine_scores` averages
them, and the circuit is the ``size`` edges of largest mean, or with ``greedy`` those that
:func:`toulmin.circuits.discovery.combine.greedy_circuit` takes from the output backwards. With one member and
``greedy`` it is that method with greedy construction. The best entries of MIB's 2025 shared task averaged scores
(Mueller et al. 2025, https://arxiv.org/abs/2504.13151, is the benchmark); greedy construction is Hanna et al. 2024's
(https://arxiv.org/abs/2403.17806, section 3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from pydantic import Field, ValidationInfo, field_validator

from toulmin.circuits.discovery.combine import combine_scores, greedy_circuit
from toulmin.circuits.discovery.eap import Eap
from toulmin.circuits.discovery.eap_ig import EapIg
from toulmin.circuits.discovery.method import (
    Discovery,
    DiscoveryMethod,
    Progress,
    RankingMethod,
    ScoringMethod,
    common_length,
)
from toulmin.circuits.discovery.methods import MethodSetting
from toulmin.circuits.edge_scores import EdgeScores

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner


class Ensemble(RankingMethod):
    """The mean of several methods' scores of every edge; with ``greedy`` no edge of the circuit leads nowhere."""

    title: ClassVar[str] = "ensemble"

    name: Literal["ensemble"] = "ensemble"
    members: tuple[MethodSetting, ...] = Field(
        default=(Eap(), EapIg()), min_length=1
    )  #: whose scores are averaged; at positions if the ensemble is; their sizes are not used
    how: Literal["scaled", "ranks"] = "scaled"  #: each divided by its largest absolute score, or replaced by ranks
    weights: tuple[float, ...] | None = None  #: of the members; default all alike
    greedy: bool = False  #: take edges from the output backwards; the circuit may then be smaller than ``size``

    @field_validator("members")
    @classmethod
    def _members_score_alike(cls, members: tuple[DiscoveryMethod, ...], info: ValidationInfo) -> Any:
        for member in members:
            if not isinstance(member, ScoringMethod):
                raise ValueError(f"{member.key} scores no edges")
            if member.per_position and not info.data.get("per_position"):
                raise ValueError(f"{member.key} scores edges at positions, the ensemble does not")
        return members

    @field_validator("weights")
    @classmethod
    def _one_weight_a_member(cls, weights: tuple[float, ...] | None, info: ValidationInfo) -> Any:
        members = info.data.get("members")
        if weights is not None and members is not None and len(weights) != len(members):
            raise ValueError(f"{len(weights)} weights for {len(members)} members")
        if weights is not None and not sum(weights):
            raise ValueError("the weights sum to 0")
        return weights

    @field_validator("greedy")
    @classmethod
    def _greedy_without_positions(cls, greedy: bool, info: ValidationInfo) -> bool:
        if greedy and info.data.get("per_position"):
            raise ValueError("a greedy circuit has no positions")
        return greedy

    @property
    def label(self) -> str:
        """Which members, how they are averaged, and how the circuit is made."""
        names = [member.label for member in self.members]
        if self.weights is not None:
            names = [f"{weight:g} {name}" for weight, name in zip(self.weights, names, strict=True)]
        mean = names[0] if len(names) == 1 else f"{self.how} mean of {', '.join(names)}"
        return f"{self.title} ({mean}{', greedy' if self.greedy else ''})"

    def steps_on(self, runner: CircuitRunner) -> int:
        """Those of the members together."""
        return sum(member.steps_on(runner) for member in self.members)

    def passes(self, runner: CircuitRunner) -> float:
        """Those of the members together."""
        return sum(member.passes(runner) for member in self.members)

    def with_seed(self, seed: int) -> Self:
        """The same ensemble; members that draw at random, and have no seed, get this one."""
        return self.model_copy(update={"members": tuple(member.with_seed(seed) for member in self.members)})

    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The mean score of every edge.

        :raises FaultError: what a member raises; prompts of several lengths with ``per_position``;
            ``circuits.combine``: a member whose scores are all zero.
        """
        if self.per_position:
            common_length(runner, self)
        at = {"per_position": self.per_position}
        members = [member.model_copy(update=at) for member in self.members if isinstance(member, ScoringMethod)]
        found = [member.scores(runner, progress) for member in members]
        if len(found) == 1:
            return found[0]
        mean = combine_scores(found, how=self.how, weights=self.weights).values
        first, *others = found
        alike = all((one.metric, one.ablation) == (first.metric, first.ablation) for one in others)
        return self.of(runner, mean, first.metric if alike else None, first.ablation if alike else None)

    def discover(self, runner: CircuitRunner, progress: Progress | None = None) -> Discovery:
        """The circuit of the best edges, or the greedy one, and the scores of all."""
        if not self.greedy:
            return super().discover(runner, progress)
        scores = self.scores(runner, progress)
        size = self.size_among(len(scores.flat()))
        return Discovery(greedy_circuit(scores, size, signed=self.signed), scores, self.label)
