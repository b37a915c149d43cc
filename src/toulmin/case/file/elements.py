"""The elements of a case, as they are written in ``case.toml``.

After the GSN Community Standard v3: goal, strategy, evidence (GSN's solution), context, assumption, justification,
module (an away reference to a goal of another case), the undeveloped mark, and dialectic challenges as defeaters of
three kinds. Every model is strict: an unknown key is a fault, with its line.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Id = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.\-]*$", max_length=200)]
Words = Annotated[str, StringConstraints(max_length=100_000)]
Target = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Targets = Annotated[tuple[Target, ...], Field(strict=False)]
Unit = Annotated[float, Field(ge=0.0, le=1.0)]
Mode = Literal["all", "any"]
#: ``"3"``, ``"1..n"``, ``"0..1"``, or ``"n"`` (any number of at least one)
Multiplicity = Annotated[str, StringConstraints(pattern=r"^(n|[0-9]{1,4}|[0-9]{1,4}\.\.(n|[0-9]{1,4}))$")]


def bounds_of(multiplicity: str) -> tuple[int, int | None]:
    """The least and the greatest number that a multiplicity allows; None where there is no greatest."""
    low, _, high = multiplicity.partition("..")
    high = high or low
    return 1 if low == "n" else int(low), None if high == "n" else int(high)


class Strict(BaseModel):
    """No unknown keys, no coercion, no change after reading."""

    # deferred: only what is validated by itself (a whole file, as a rule) is worth a validator of its own
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


class AtLeast(Strict):
    """``mode = { at_least = k }``: k of the children must hold."""

    at_least: Annotated[int, Field(ge=1)]


class Choice(Strict):
    """``choose = { n = "1", of = ["A", "B"] }``: a pattern in which so many of these children are to be kept."""

    n: Multiplicity
    of: Annotated[tuple[Id, ...], Field(strict=False, min_length=1)]


class Element(Strict):
    """What every element has: an identifier unique in the case, and text.

    ``prose`` is the path of a Markdown file beside the case with the long form.
    """

    type: ClassVar[str]
    id: Id
    text: Words = ""
    prose: str | None = None
    owner: str | None = None


class Claim(Element):
    """A goal or a strategy.

    ``supported_by`` counts, by ``mode``: ``"all"`` (the worst child), ``"any"`` (the best), ``{ at_least = k }``.
    ``strengthened_by`` is shown and evaluated but never counts: support that must not stand alone.
    ``in_context_of`` names contexts, assumptions and justifications; an assumption caps the claim at conditional.
    ``confidence`` says how the children's probability intervals combine: ``"bounds"`` (Frechet, nothing assumed),
    ``"independent"`` (products; needs ``independence``, a justification, and is refused where branches share roots), or
    ``"chain"`` (each child's interval is conditional on the children before it failing).

    ``multiplicity`` (of children and contexts) and ``choose`` make it part of a GSN pattern: while they stand, it is
    still to be instantiated, and counts as undeveloped (:mod:`toulmin.case.file.pattern`).
    """

    supported_by: Targets = ()
    strengthened_by: Targets = ()
    in_context_of: Targets = ()
    mode: Mode | AtLeast = "all"
    undeveloped: bool = False
    confidence: Literal["bounds", "independent", "chain"] = "bounds"
    independence: Words | None = None
    multiplicity: dict[Id, Multiplicity] = Field(default_factory=dict[str, str])
    choose: Choice | None = None

    @property
    def is_pattern(self) -> bool:
        """Whether it is still to be instantiated."""
        return bool(self.multiplicity) or self.choose is not None

    @property
    def mode_key(self) -> str | int:
        """``"all"``, ``"any"``, or k."""
        return self.mode.at_least if isinstance(self.mode, AtLeast) else self.mode


class Goal(Claim):
    """A claim."""

    type: ClassVar[str] = "goal"


class Strategy(Claim):
    """How a claim follows from others."""

    type: ClassVar[str] = "strategy"


class Prior(Strict):
    """What turns a failure count into the probability of a claim (conservative Bayesian inference).

    ``theta`` is the prior probability that the failure rate is at most ``p_l``; the claim is that it is at most
    ``p_star``; ``failures`` names the measure that counts failures, which must be zero.
    """

    theta: Annotated[float, Field(gt=0.0, lt=1.0)]
    p_l: Unit = 0.0
    p_star: Annotated[float, Field(gt=0.0, lt=1.0)]
    failures: str
    justification: Words

    @model_validator(mode="after")
    def _prior_rate_below_claim(self) -> Prior:
        if self.p_l >= self.p_star:
            raise ValueError(f"p_l {self.p_l} must be below p_star {self.p_star}")
        return self


class Example(Strict):
    """A binding that would do for a piece of evidence which is not bound yet, as templates give them.

    It is checked like a binding (C031 to C035, C082) and counts for nothing.
    """

    study: str
    preset: str | None = None
    configuration: dict[str, Any] = Field(default_factory=dict[str, Any])
    criterion: str


class EvidenceNode(Element):
    """A binding: a study, its configuration, and what its measures must show.

    ``configuration`` is the study's, on top of its ``preset``, or the path of a study's TOML file; in it ``"@NAME"``
    stands for the reference of the subject or data declared under that name. ``criterion`` is in the grammar of
    :mod:`toulmin.case.evidence.criterion`. ``seeds = 5`` asks for the seeds 0 to 4, all of them and no others.
    ``absence`` says that the claim is that something is not there: it demands a positive ``control``: the id of an
    evidence node bound to the same study kind, or ``"self"`` where the record has its own. ``planted`` says what was
    planted in the data of a control.
    """

    type: ClassVar[str] = "evidence"
    study: str | None = None
    preset: str | None = None
    configuration: dict[str, Any] | str = Field(default_factory=dict[str, Any])
    criterion: str | None = None
    subject: str | None = None
    data: Targets = ()
    seeds: Annotated[int, Field(ge=1, le=10_000)] = 1
    max_age_days: Annotated[int, Field(ge=0)] | None = None
    absence: bool = False
    control: str | None = None
    planted: Words | None = None
    prior: Prior | None = None
    example: Example | None = None
    undeveloped: bool = False


class Context(Element):
    """What the argument speaks of: a deployment, a model, a definition."""

    type: ClassVar[str] = "context"


class Justification(Element):
    """Why a step of the argument is acceptable."""

    type: ClassVar[str] = "justification"


class Assumption(Element):
    """What is taken as true without evidence here; it must have an owner, a justification and a review date."""

    type: ClassVar[str] = "assumption"
    justification: Words | None = None
    review: dt.date | None = None
    probability: Annotated[tuple[Unit, Unit], Field(strict=False)] | None = None


class Module(Element):
    """An element of the case in another folder or file (GSN: away goal, away context, away solution).

    It names a ``goal`` (by default the root), a ``context`` (or assumption or justification), or a piece of
    ``evidence`` of that case, and stands wherever an element of that type may stand.
    """

    type: ClassVar[str] = "module"
    case: str
    goal: Id | None = None
    context: Id | None = None
    evidence: Id | None = None

    @model_validator(mode="after")
    def _names_one_element(self) -> Module:
        if sum(name is not None for name in (self.goal, self.context, self.evidence)) > 1:
            raise ValueError("it stands for one element: goal, context or evidence")
        return self


class Challenge(Element):
    """What stands against elements or links of the argument, until it is answered or somebody lives with it.

    ``dormant_until_developed`` is for templates: while nothing below its targets is bound to a study there is nothing
    to doubt yet, and it attacks nothing.
    """

    attacks: Targets
    dormant_until_developed: bool = False


class Defeater(Challenge):
    """A reason to doubt.

    ``kind``: ``rebut`` (the claim is false; attacks goals, modules, defeaters), ``undercut`` (the step does not follow;
    attacks strategies, goals, evidence, defeaters, or one link written ``"PARENT->CHILD"``), ``undermine`` (a premise
    is false; attacks evidence, assumptions, contexts, justifications, defeaters). With ``supported_by`` it stands only
    while its support does; without, it is a doubt that stands until it is answered.
    """

    type: ClassVar[str] = "defeater"
    kind: Literal["rebut", "undercut", "undermine"]
    supported_by: Targets = ()
    rule: str | None = None  #: set on defeaters the engine attached: the rule of evidence they come from


class OpenProblem(Challenge):
    """A question of the field that nobody knows how to settle, and that the case cannot settle either.

    It stands against what it ``attacks`` (anything but challenges). Only a defeater with support of its own answers it;
    whoever lives with it says why and until when; and every verdict lists it first, also once it is accepted.
    """

    type: ClassVar[str] = "open_problem"


class Acceptance(Strict):
    """A human decision, by name and date, good until ``until``.

    ``of`` is an assumption, taken as true; a defeater or open problem, which is lived with (``kind = "residual"``); or
    a defeater that answers another without evidence, and is believed (``kind = "answer"``). ``sha256`` binds it to what
    was accepted (``toulmin case explain ID`` prints the hash); without it the lock does, from the next run on.
    """

    of: Target
    kind: Literal["residual", "answer"] = "residual"
    by: Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
    on: dt.date
    until: dt.date | None = None
    why: Words = ""
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] | None = None


class Declared(Strict):
    """A subject or data set of the environment: its reference, and the hash the case was written for."""

    reference: Annotated[str, StringConstraints(min_length=1)]
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] | None = None
    description: Words = ""


class RiskThreshold(Strict):
    """The risk that may be taken at most, and who decided so (``[case.risk]``).

    With a ``probability``, a case is releasable only if its root holds with at least one minus that probability.
    """

    text: Annotated[str, StringConstraints(min_length=1)]
    set_by: Annotated[str, StringConstraints(min_length=1)]
    on: dt.date | None = None
    probability: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None


class Header(Strict):
    """The ``[case]`` table. ``store`` is the folder of evidence, relative to the case.

    ``author``, ``approver`` and ``assessor`` are three people: who wrote the argument, who answers for it, and who
    tried to break it.
    """

    title: Words = ""
    deployment: Words = ""
    schema_version: Literal[1] = 1
    root: str | None = None
    store: str = ".toulmin"
    template: str | None = None
    author: str | None = None
    approver: str | None = None
    assessor: str | None = None
    risk: RiskThreshold | None = None


class CaseFile(Strict):
    """A whole ``case.toml``."""

    case: Header
    subjects: dict[str, Declared] = Field(default_factory=dict[str, Declared])
    data: dict[str, Declared] = Field(default_factory=dict[str, Declared])
    goal: Annotated[tuple[Goal, ...], Field(strict=False)] = ()
    strategy: Annotated[tuple[Strategy, ...], Field(strict=False)] = ()
    evidence: Annotated[tuple[EvidenceNode, ...], Field(strict=False)] = ()
    context: Annotated[tuple[Context, ...], Field(strict=False)] = ()
    assumption: Annotated[tuple[Assumption, ...], Field(strict=False)] = ()
    justification: Annotated[tuple[Justification, ...], Field(strict=False)] = ()
    module: Annotated[tuple[Module, ...], Field(strict=False)] = ()
    defeater: Annotated[tuple[Defeater, ...], Field(strict=False)] = ()
    open_problem: Annotated[tuple[OpenProblem, ...], Field(strict=False)] = ()
    acceptance: Annotated[tuple[Acceptance, ...], Field(strict=False)] = ()


def place_of(element: Element) -> str:
    """The type as which an element stands in the argument: an away context stands as a context, and so on."""
    if isinstance(element, Module):
        return "context" if element.context else "evidence" if element.evidence else "module"
    return element.type


ARRAYS: tuple[str, ...] = (
    "goal",
    "strategy",
    "evidence",
    "context",
    "assumption",
    "justification",
    "module",
    "defeater",
    "open_problem",
)

#: what may support what; after the GSN Community Standard v3, but that strategies may rest on evidence directly
SUPPORTS: dict[str, frozenset[str]] = {
    "goal": frozenset({"goal", "strategy", "evidence", "module"}),
    "strategy": frozenset({"goal", "evidence", "module"}),
    "defeater": frozenset({"goal", "strategy", "evidence", "module"}),
}
#: what an element may stand in the context of
CONTEXTS = frozenset({"context", "assumption", "justification"})
_CHALLENGES = frozenset({"defeater", "open_problem"})
#: what each kind of defeater, and an open problem, may attack
ATTACKS: dict[str, frozenset[str]] = {
    "rebut": _CHALLENGES | {"goal", "module"},
    "undercut": _CHALLENGES | {"goal", "strategy", "evidence"},
    "undermine": _CHALLENGES | CONTEXTS | {"evidence", "module"},
    "open_problem": CONTEXTS | {"goal", "strategy", "evidence", "module"},
}
