"""What a check says: the verdict, node by node, ready to print, to render, or to write as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from typing import Any, NamedTuple, cast

from toulmin.case.argument.health import Freshness, Health, Label, Outcome
from toulmin.faults import ExitCode, Fault


class Edge(NamedTuple):
    """A line of the diagram. ``kind``: supported_by, strengthened_by, in_context_of, attacks, control."""

    source: str
    target: str
    kind: str


class Probability(NamedTuple):
    """An interval for the probability that a claim is true."""

    low: float
    high: float


UNKNOWN = Probability(0.0, 1.0)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One comparison of a criterion, with what the evidence had for it."""

    text: str  #: as written: ``recovered.low >= 0.85``
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
    problems: tuple[str, ...] = ()  #: every reason for which it is not a pass
    command: str = ""  #: the shell command that reproduces it


@dataclass(frozen=True, slots=True)
class NodeVerdict:
    """One element and its state."""

    id: str
    type: str  #: goal, strategy, evidence, context, assumption, justification, module, defeater
    text: str
    health: Health
    freshness: Freshness
    reasons: tuple[str, ...] = ()  #: one line each; empty where there is nothing to say
    rests_on: tuple[str, ...] = ()  #: assumptions, accepted doubts and bare answers it rests on
    label: Label | None = None  #: of a defeater
    probability: Probability | None = None  #: None where nothing below it is quantified
    given_assumptions: Probability | None = None  #: the same, taking unquantified assumptions as true
    binding: Binding | None = None
    module: str | None = None  #: of a module: the case it refers to
    depth: int = 0  #: layer from the root, which is 0


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Something the conclusion rests on, and whether a person has accepted it."""

    id: str
    kind: str  #: assumption, doubt, answer
    accepted_by: str | None
    accepted_on: str | None
    until: str | None
    expired: bool


@dataclass(frozen=True)
class Verdict:
    """The verdict on a case."""

    title: str
    file: str
    root: str | None
    health: Health | None  #: None where the structure is too broken to evaluate
    freshness: Freshness | None
    exit_code: ExitCode
    reasons: tuple[str, ...]  #: why, one line each, the worst class first
    faults: tuple[Fault, ...]  #: diagnostics, C001...
    nodes: Mapping[str, NodeVerdict] = field(default_factory=dict[str, NodeVerdict])
    edges: tuple[Edge, ...] = ()
    resting: tuple[Dependencies, ...] = ()
    probability: Probability | None = None
    checked_on: str = ""

    @property
    def releasable(self) -> bool:
        """Exit status 0."""
        return self.exit_code is ExitCode.OK

    def to_json(self, *, indent: int | None = 1) -> str:
        """The verdict as JSON; health, freshness and labels by their words, the exit status by its number."""
        return json.dumps(plain(self), indent=indent, ensure_ascii=False)


def plain(value: object) -> Any:
    """A dataclass, enum, mapping or tuple of them as what JSON knows."""
    if isinstance(value, Health):
        return value.word
    if isinstance(value, ExitCode):
        return int(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (Edge, Probability)):
        return value._asdict()
    if is_dataclass(value):
        return {entry.name: plain(getattr(value, entry.name)) for entry in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in cast(Mapping[object, object], value).items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in cast(Sequence[object], value)]
    return value
