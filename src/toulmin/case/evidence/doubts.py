"""What each kind of evidence may support, and what it must not: default defeaters.

A number is easily made to say more than it does. For every study kind there are doubts that its numbers cannot answer
by themselves; the engine attaches them to a binding (as ``EVIDENCE-ID/RULE``) until the case answers them, with
evidence or with a decision by name. A doubt of the kind undercut says that the claim does not follow from the number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class DefaultDefeater:
    """A doubt attached to every binding of a study kind until it is answered.

    ``rule`` is its name, ``text`` what is doubted, ``answered_by`` what would answer it.
    """

    rule: str
    kind: Literal["rebut", "undercut", "undermine"]
    text: str
    answered_by: str


@dataclass(frozen=True)
class ClaimRule:
    """What a family of studies may and must not be used for."""

    may: str
    must_not: str
    defeaters: tuple[DefaultDefeater, ...]


def _undercut(rule: str, text: str, answered_by: str) -> DefaultDefeater:
    return DefaultDefeater(rule, "undercut", text, answered_by)


_DISTRIBUTION = _undercut(
    "distribution",
    "The prompts are a sample of one distribution; the claim may be read as about the deployment's.",
    "a context that limits the claim to this distribution, or evidence on the deployment's",
)

#: a study kind, or the package before its dot -> rule
RULES: Mapping[str, ClaimRule] = {
    "tasks": ClaimRule(
        "how often, and by how much, this subject is right on prompts drawn like these",
        "that it will do so elsewhere, or that it cannot do otherwise",
        (_DISTRIBUTION,),
    ),
    "paths": ClaimRule(
        "the share of an effect between these references and counterfactuals that a set of paths carries",
        "that other paths do not carry it too, or that the paths are used for the reason one thinks",
        (
            _undercut(
                "baseline",
                "The proportion explained depends on the baseline and the counterfactual distribution chosen.",
                "the same hypothesis under another baseline or counterfactual distribution",
            ),
            _undercut(
                "uniqueness",
                "Another hypothesis may explain as much: explaining does not show uniqueness.",
                "rival hypotheses evaluated on the same pairs, or a claim that does not need uniqueness",
            ),
        ),
    ),
    "circuits": ClaimRule(
        "how much of a behaviour survives when all but a set of edges is ablated, by each methodology",
        "that the circuit is the only one, or that its faithfulness has one value",
        (
            _undercut(
                "uniqueness",
                "Faithfulness of a circuit does not show uniqueness: other circuits may be as faithful.",
                "random and rival circuits of equal size that are not, or a claim that does not need uniqueness",
            ),
            _undercut(
                "methodology",
                "Faithfulness moves with ablation value, granularity, direction, metric and aggregation.",
                "a card over the whole grid on which the verdict does not flip",
            ),
        ),
    ),
    "dictionaries": ClaimRule(
        "how much loss a dictionary costs at a sparsity, and which features are alive",
        "that its features are the model's own, or that a feature means what its examples suggest",
        (
            _undercut(
                "features",
                "A dictionary that reconstructs well need not have the features the model uses.",
                "causal tests of the features the claim speaks of",
            ),
        ),
    ),
    "basis": ClaimRule(
        "directions that can be removed, and sparser interactions, at a stated tolerance on stated data",
        "that directions unused on these data are unused",
        (_DISTRIBUTION,),
    ),
    "routing": ClaimRule(
        "what the subject loses when a routed region is ablated",
        "that the capability is gone",
        (
            _undercut(
                "relearning",
                "Ablating a routed region does not show that the capability is gone without a relearning attack.",
                "the cost of relearning it by fine-tuning, against a control trained without it",
            ),
        ),
    ),
    "adversary": ClaimRule(
        "a bound on how often attacks of this budget and kind succeed against this frozen victim",
        "that no attack succeeds",
        (
            _undercut(
                "budget",
                "An attack's failure shows a bound for this attack budget and method only.",
                "a claim limited to the budget, or attacks of larger budgets and other methods",
            ),
        ),
    ),
    "go.match": ClaimRule(
        "the win rate of one player against another at these rules, komi, openings and budgets",
        "strength against other opponents: a win rate over a fixed pairing hides exploitable positions",
        (
            _undercut(
                "opponents",
                "Strength against ordinary opponents does not bound what an adversary trained against it does.",
                "an adversarial attack against the same frozen player, or a claim limited to this pairing",
            ),
        ),
    ),
    "oversight": ClaimRule(
        "behaviour of model organisms with known truth, watched and unwatched",
        "that other systems behave so",
        (
            _undercut(
                "organisms",
                "What holds of model organisms need not hold of a system whose scheming, if any, arose otherwise.",
                "an argument why these organisms stand for the system",
            ),
        ),
    ),
    "external": ClaimRule(
        "what another tool recorded, as far as its log can be checked",
        "that the recorded run was of the system in this case, unless the log or a sidecar identifies it",
        (
            _undercut(
                "provenance",
                "The log was made elsewhere: that it is complete and of this system rests on whoever made it.",
                "a decision by name to trust the source, or a rerun under Toulmin",
            ),
        ),
    ),
    "external.control": ClaimRule(
        "safety at an audit budget against the attacks that the red team made",
        "safety against a system more able than the red team",
        (
            _undercut(
                "red-team",
                "Safety is against this red team's attacks; the system may find better ones.",
                "evidence that the red team is at least as capable at subversion as the system",
            ),
        ),
    ),
}


def rule_for(study_kind: str) -> ClaimRule | None:
    """The rule of a kind, or of its package; None for kinds of other packages."""
    return RULES.get(study_kind) or RULES.get(study_kind.partition(".")[0])


def default_defeaters(study_kind: str) -> Sequence[DefaultDefeater]:
    """The doubts that the engine attaches to a binding of this kind."""
    rule = rule_for(study_kind)
    return rule.defeaters if rule else ()
