"""The verdict of a check as data classes, node by node: ready to print, to render, or to write as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, Literal, NamedTuple, cast

from toulmin.case.argument.health import Freshness, Health, Label, Outcome
from toulmin.faults import ExitCode, Fault


class ArgumentEdge(NamedTuple):
    """A line of the diagram. ``kind``: supported_by, strengthened_by, in_context_of, attacks, control.

    ``pattern`` is what a GSN pattern leaves open of it: a multiplicity (``1..n``) or a choice (``1 of 3``).
    """

    source: str
    target: str
    kind: str
    pattern: str = ""


class Probability(NamedTuple):
    """An interval for the probability that a claim is true."""

    low: float
    high: float


UNKNOWN = Probability(0.0, 1.0)


Bound = Literal["value", "low", "high", "n", "seeds"]
ReasonKind = Literal[
    "form",  # the case is not well formed
    "evidence",  # evidence is damaged or does not follow
    "unfinished",  # something must be said or done before the case can be released
    "registration",  # what is judged is not what was registered
    "state",  # the state of the conclusion itself
    "undeveloped",  # not argued yet
    "support",  # too little of what supports the element holds
    "context",  # a context of the element does not hold
    "assumption",  # the element assumes something
    "challenge",  # a defeater stands against the element
    "word",  # a defeater is answered by somebody's word only
    "criterion",  # a comparison that the evidence does not meet
    "binding",  # the evidence cannot be used: missing, unreadable, too few seeds
    "control",  # the positive control did not find what was planted
    "stale",  # made of other inputs, by other code, or too long ago
    "review",  # a review date has passed
    "module",  # a reason of another case
    "defeater",  # why a defeater stands, or does not
    "unaccepted",  # rests on something nobody has accepted
    "expired",  # rests on something whose acceptance has expired
    "accepted",  # rests on something that somebody has accepted
]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an element, or the whole case, is what it is.

    A reader chooses by ``kind`` and follows ``about``; ``text`` is only ever shown. As a string: "E1 is unsupported: no
    evidence yet" where there is a ``state``, else the text.
    """

    kind: ReasonKind
    about: str  #: the element whose state it explains; empty where it is about the whole case
    text: str = ""
    state: str = ""  #: of that element, where the reason is listed apart from it
    names: tuple[str, ...] = ()  #: other elements that the text names

    def __str__(self) -> str:
        return (f"{self.about} is {self.state}" + (f": {self.text}" if self.text else "")) if self.state else self.text


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a criterion, ``measure.bound op threshold``, with what the evidence had for it.

    ``measure`` is empty for the counts ``n`` and ``seeds`` of the whole evidence.
    """

    text: str  #: as written: ``recovered.low >= 0.85``
    measure: str
    bound: Bound
    op: str
    threshold: float
    outcome: Outcome
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    unit: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class InputState:
    """An input of a study: its hash when the evidence was made, and now."""

    role: str
    reference: str
    then: str | None
    now: str | None
    declared: str | None = None  #: the hash the case's environment declares


@dataclass(frozen=True, slots=True)
class Binding:
    """What became of an evidence node's binding."""

    study: str | None
    criterion: str | None
    outcome: Outcome
    comparisons: tuple[Comparison, ...] = ()
    evidence: str | None = None  #: content hash of the record used, for ``Store.load``
    path: str | None = None  #: folder of the record
    made: str | None = None  #: when, ISO 8601
    inputs: tuple[InputState, ...] = ()
    seeds: tuple[int, ...] = ()
    control: str = ""  #: what the positive control said; empty when none is demanded
    control_passed: bool | None = None
    stale: tuple[str, ...] = ()  #: every reason for which it is stale
    problems: tuple[str, ...] = ()  #: every reason for which it is not a pass, but for what ``comparisons`` says
    command: str = ""  #: the shell command that reproduces it


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """One element and its state."""

    id: str
    type: str  #: goal, strategy, evidence, context, assumption, justification, module, defeater, open_problem
    text: str
    health: Health
    freshness: Freshness
    reasons: tuple[Reason, ...] = ()  #: empty where there is nothing to say
    rests_on: tuple[str, ...] = ()  #: assumptions, accepted doubts and bare answers it rests on
    label: Label | None = None  #: of a defeater or open problem; None of anything else
    probability: Probability | None = None  #: None where nothing below it is quantified
    given_assumptions: Probability | None = None  #: the same, taking unquantified assumptions as true
    binding: Binding | None = None
    module: str | None = None  #: of a module: the case it refers to
    depth: int = 0  #: layer from the root, which is 0
    dormant: bool = False  #: of a defeater: there is nothing yet to doubt


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Something the conclusion rests on, and whether a person has accepted it."""

    id: str
    kind: str  #: assumption, doubt, open problem, answer
    accepted_by: str | None
    accepted_on: str | None
    until: str | None
    expired: bool


@dataclass(frozen=True, slots=True)
class Problem:
    """A question that nobody knows how to settle, and what becomes of it in the case."""

    id: str
    text: str
    state: Literal["open", "accepted", "answered", "dormant"]


@dataclass(frozen=True)
class Verdict:
    """The verdict on a case."""

    title: str
    file: str
    root: str | None
    health: Health | None  #: None where the structure is too broken to evaluate
    freshness: Freshness | None
    exit_code: ExitCode
    reasons: tuple[Reason, ...]  #: why, the worst class first
    faults: tuple[Fault, ...]  #: diagnostics, C001...
    nodes: Mapping[str, NodeVerdict] = field(default_factory=dict[str, NodeVerdict])
    edges: tuple[ArgumentEdge, ...] = ()
    resting: tuple[Dependencies, ...] = ()
    probability: Probability | None = None
    checked_on: str = ""
    open_problems: tuple[Problem, ...] = ()  #: all of them, accepted or not, and those of the cases it cites

    @property
    def releasable(self) -> bool:
        """Exit status 0."""
        return self.exit_code is ExitCode.OK

    def to_json(self, *, indent: int | None = 1) -> str:
        """The verdict as JSON; health, freshness and labels by their words, the exit status by its number."""
        return json.dumps(json_data(self), indent=indent, ensure_ascii=False)


def json_data(value: object) -> Any:
    """A dataclass, enum, mapping or tuple of them as what JSON knows."""
    if isinstance(value, Health):
        return value.word
    if isinstance(value, ExitCode):
        return int(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (ArgumentEdge, Probability)):
        return value._asdict()
    if is_dataclass(value):
        return {entry.name: json_data(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): json_data(part) for key, part in cast(Mapping[object, object], value).items()}
    if isinstance(value, (list, tuple)):
        return [json_data(part) for part in cast(Sequence[object], value)]
    return value
