"""The first screen of a case's page: the decision in words, why, who accepted what, and what to do next.

Causes are chosen by the kind of a reason and by the state of the element it is about, never by reading a sentence, and
are told in the words of the elements.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from toulmin.case import Acceptance, Assumption, Case, Health, Label, NodeVerdict, Outcome, Reason, Verdict, severity
from toulmin.report.outline import Outline
from toulmin.report.words import Status

MOST_REASONS = 5


@dataclass(frozen=True)
class Obstacle:
    """A kind of cause: its icon and style, its words on one line, and how it is counted (one, several)."""

    style: str
    word: str
    one: str
    several: str
    step: str  #: what to do about it


# the worst first: the order in which causes are told
OBSTACLES = {
    "form": Obstacle("refuted", "fault in the case file", "fault in the case file", "faults in the case file",
                     "mend the case file"),
    "damaged": Obstacle("refuted", "damaged evidence", "record damaged or changed", "records damaged or changed",
                        "restore or collect again the damaged evidence"),
    "failed": Obstacle("refuted", "evidence against", "piece of evidence against it", "pieces of evidence against it",
                       "give up or restate what the evidence contradicts"),
    "challenge": Obstacle("refuted", "challenge stands", "challenge stands", "challenges stand",
                          "answer the challenges with evidence, or accept them by name, with the reason"),
    "problem": Obstacle("refuted", "open problem", "open problem stands", "open problems stand",
                        "narrow the claim, or have the open problems accepted by name, with reason and end"),
    "undecided": Obstacle("unsupported", "evidence does not decide", "piece of evidence does not decide",
                          "pieces of evidence do not decide", "collect more evidence where it does not decide"),
    "missing": Obstacle("unsupported", "evidence missing", "piece of evidence missing", "pieces of evidence missing",
                        "collect the missing evidence"),
    "undeveloped": Obstacle("undeveloped", "not argued yet", "part not argued", "parts not argued",
                            "argue the parts that are only declared, or bind evidence to them"),
    "unaccepted": Obstacle("unsupported", "accepted by nobody", "assumption or doubt accepted by nobody",
                           "assumptions or doubts accepted by nobody", "have the assumptions accepted by name"),
    "unfinished": Obstacle("undeveloped", "to be filled in", "entry to be filled in", "entries to be filled in",
                           "fill in what the case leaves open"),
    "registration": Obstacle("stale", "not as registered", "change from what was registered",
                             "changes from what was registered", "settle the changes from what was registered"),
    "stale": Obstacle("stale", "out of date", "piece of evidence out of date", "pieces of evidence out of date",
                      "run the studies again that are out of date"),
}  # fmt: skip
_COMMANDS = {
    "form": "toulmin case check", "damaged": "toulmin case check", "registration": "toulmin case accept",
    "missing": "toulmin case run", "undecided": "toulmin case run", "stale": "toulmin case run",
}  # fmt: skip


@dataclass(frozen=True)
class Cause:
    """One thing that keeps a case from being released: what it is, the element it is about, and a detail."""

    kind: str
    id: str
    text: str
    note: str = ""

    @property
    def obstacle(self) -> Obstacle:
        """The kind of cause it is."""
        return OBSTACLES[self.kind]


@dataclass(frozen=True)
class Arm:
    """A part of the argument directly below the conclusion (the conclusion itself: no ``id``), and causes within."""

    id: str
    text: str
    causes: tuple[Cause, ...]


@dataclass(frozen=True)
class Decision:
    """A person's acceptance, whole: ``accepted by X on D: why``."""

    id: str
    text: str
    by: str
    on: str
    why: str
    until: str | None
    expired: bool

    def __str__(self) -> str:
        said = f"accepted by {self.by} on {self.on}" + (f" until {self.until}" if self.until else "")
        return said + (" (expired)" if self.expired else "") + (f": {self.why}" if self.why else "")


@dataclass(frozen=True)
class Subject:
    """A model that is studied: its name in the case, its reference and the hash of its weights."""

    name: str
    reference: str
    sha256: str | None


@dataclass(frozen=True)
class Headline:
    """Everything above the fold."""

    status: Status
    words: str
    arms: tuple[Arm, ...]  #: all causes
    first: tuple[Arm, ...]  #: at most five of them
    left_out: int
    steps: tuple[tuple[str, str], ...]  #: what to do next, and a command where there is one
    subjects: tuple[Subject, ...]
    roles: tuple[tuple[str, str | None], ...]
    decisions: Mapping[str, Decision]


def digest(verdict: Verdict) -> str:
    """The first twelve digits of the SHA-256 of the verdict as JSON."""
    return hashlib.sha256(verdict.to_json().encode()).hexdigest()[:12]


def counted(kind: str, count: int) -> str:
    """``3 challenges stand``."""
    obstacle = OBSTACLES[kind]
    return f"{count} {obstacle.one if count == 1 else obstacle.several}"


def _of_comparisons(node: NodeVerdict) -> str:
    outcomes = {one.outcome for one in node.binding.comparisons} if node.binding else set[Outcome]()
    if Outcome.FAIL in outcomes:
        return "failed"
    return "undecided" if Outcome.INCONCLUSIVE in outcomes else "missing"


def _challenge(node: NodeVerdict) -> str:
    return "problem" if node.type == "open_problem" else "challenge"


def _kind(reason: Reason, node: NodeVerdict | None) -> str | None:
    """What keeps the case back, of a reason about an element; None where another reason says so."""
    if node is not None and node.label is not None:
        return _challenge(node) if node.label is not Label.OUT and not node.dormant else None
    match reason.kind:
        case "undeveloped":
            return "undeveloped"
        case "criterion":
            return _of_comparisons(node) if node else "missing"
        case "binding":
            return "undeveloped" if node and node.health is Health.UNDEVELOPED else "missing"
        case "control":
            return "undecided"
        case "stale" | "review":
            return "stale"
        case "unaccepted" | "expired":
            return "unaccepted"
        case "module":
            return "missing"
        case _:
            return None


def causes(verdict: Verdict) -> list[Cause]:
    """Every cause, each element once for each kind, the worst kind first."""
    found: dict[tuple[str, str, str], Cause] = {}

    def add(kind: str, identifier: str, note: str = "") -> None:
        node = verdict.nodes.get(identifier)
        text = node.text if node and node.text else identifier or note
        key = kind, identifier, "" if node else note
        found.setdefault(key, Cause(kind, identifier if node else "", text, note if node else ""))

    kinds = {"invalid": "form", "evidence": "damaged", "unfinished": "unfinished", "stale": "registration"}
    for fault in verdict.faults:
        kind = kinds.get(severity(fault))
        if kind:
            identifier = fault.name if fault.name in verdict.nodes else ""
            note = fault.message if identifier or not fault.name else f"{fault.name}: {fault.message}"
            add(kind, identifier or "", note)
    if not verdict.releasable:
        for reason in verdict.reasons:
            if reason.kind == "challenge":
                for name in reason.names:
                    node = verdict.nodes.get(name)
                    if node and node.label not in (None, Label.OUT) and not node.dormant:
                        add(_challenge(node), name)
                continue
            kind = _kind(reason, verdict.nodes.get(reason.about))
            if kind:
                told = kind not in ("undeveloped", "challenge", "problem", "unaccepted")
                add(kind, reason.about, reason.text if told else "")
        for one in verdict.resting:
            if one.accepted_by is None or one.expired:
                add("unaccepted", one.id)
    damaged = {cause.id for cause in found.values() if cause.kind == "damaged" and cause.id}
    found = {key: cause for key, cause in found.items() if cause.kind != "missing" or cause.id not in damaged}
    order = list(OBSTACLES)
    return sorted(found.values(), key=lambda cause: order.index(cause.kind))


def arms_of(tree: Outline, verdict: Verdict) -> dict[str, str]:
    """The arm that each element belongs to: the support of the conclusion (below steps of one support) above it."""
    if not tree.branches or verdict.root is None:
        return {}

    def supports(key: str) -> list[str]:
        return [child for child in tree.branches[key].children if tree.branches[child].link == "supported_by"]

    fork, below = verdict.root, supports(verdict.root)
    while len(below) == 1 and supports(below[0]):
        fork, below = below[0], supports(below[0])
    depth = len(tree.path(fork))
    place: dict[str, str] = {}
    for key, branch in tree.branches.items():
        path = tree.path(key)
        arm = tree.branches[path[depth]].id if len(path) > depth and path[depth] in below else ""
        if not branch.away:
            place[branch.id] = arm
        for context, away in branch.beside:
            if not away:
                place[context] = arm
    return place


def _grouped(found: list[Cause], place: Mapping[str, str], verdict: Verdict) -> tuple[Arm, ...]:
    groups: dict[str, list[Cause]] = {arm: [] for arm in place.values()}
    for cause in found:
        groups.setdefault(place.get(cause.id, ""), []).append(cause)
    return tuple(
        Arm(name, verdict.nodes[name].text if name else "", tuple(members))
        for name, members in groups.items()
        if members
    )


def _first(found: list[Cause], place: Mapping[str, str]) -> list[Cause]:
    """At most five, in turn from each arm, the worst of each first."""
    waiting: dict[str, list[Cause]] = {}
    for cause in found:
        waiting.setdefault(place.get(cause.id, ""), []).append(cause)
    chosen: list[Cause] = []
    while len(chosen) < MOST_REASONS and any(waiting.values()):
        for members in waiting.values():
            if members and len(chosen) < MOST_REASONS:
                chosen.append(members.pop(0))
    order = list(OBSTACLES)
    return sorted(chosen, key=lambda cause: order.index(cause.kind))


def decisions_of(verdict: Verdict, case: Case | None) -> dict[str, Decision]:
    """Who accepted what, by element: those the conclusion rests on, then the others written in the case."""
    written: Mapping[str, Acceptance] = {one.of: one for one in case.parsed.acceptance} if case else {}
    found: dict[str, Decision] = {}
    for one in verdict.resting:
        if one.accepted_by:
            said = written.get(one.id)
            why = said.why if said and said.by == one.accepted_by else ""
            text = verdict.nodes[one.id].text if one.id in verdict.nodes else ""
            found[one.id] = Decision(one.id, text, one.accepted_by, one.accepted_on or "", why, one.until, one.expired)
    for name, one in written.items():
        if name not in found and name in verdict.nodes:
            until = one.until.isoformat() if one.until else None
            expired = until is not None and until < verdict.checked_on
            node = verdict.nodes[name]
            if expired or isinstance(case and case.nodes.get(name), Assumption) or node.label is Label.OUT:
                found[name] = Decision(name, node.text, one.by, one.on.isoformat(), one.why, until, expired)
    return found


def _subjects(verdict: Verdict, case: Case | None) -> tuple[Subject, ...]:
    """Each declared subject, or (without the case) each subject of evidence, with the hash of its weights today."""
    now = {
        state.reference: state.now or state.then
        for node in verdict.nodes.values()
        for state in (node.binding.inputs if node.binding else ())
    }
    if case and case.parsed.subjects:
        return tuple(
            Subject(name, one.reference, now.get(one.reference) or one.sha256)
            for name, one in case.parsed.subjects.items()
        )
    roles = {
        state.reference: Subject(state.role, state.reference, state.now or state.then)
        for node in verdict.nodes.values()
        for state in (node.binding.inputs if node.binding else ())
        if state.role in ("subject", "victim")
    }
    return tuple(roles.values())


def _steps(kinds: Counter[str], verdict: Verdict) -> Iterator[tuple[str, str]]:
    """At most three, in the order of the causes."""
    for kind in list(kinds)[:3]:
        command = _COMMANDS.get(kind)
        step = OBSTACLES[kind].step
        yield step[0].upper() + step[1:], f"{command} {verdict.file or 'case.toml'}" if command else ""


def headline(verdict: Verdict, tree: Outline, case: Case | None = None) -> Headline:
    """What stands above the fold of a case's page."""
    found, place = causes(verdict), arms_of(tree, verdict)
    decisions = decisions_of(verdict, case)
    kinds = Counter(cause.kind for cause in found)
    if verdict.releasable:
        standing = sum(not one.expired for one in decisions.values())
        condition = f": it rests on {standing} accepted " + (
            "assumption or doubt" if standing == 1 else "assumptions and doubts"
        )
        words, status = "Releasable" + (condition if standing else ""), Status("supported", "releasable")
        steps: tuple[tuple[str, str], ...] = (
            (
                "Check the case again whenever weights, data or thresholds change",
                f"toulmin case check {verdict.file or 'case.toml'}",
            ),
        )
    else:
        told = ", ".join(counted(kind, count) for kind, count in list(kinds.items())[:3])
        words = "Not releasable" + (f": {told}" if told else "")
        status, steps = Status("refuted", "not releasable"), tuple(_steps(kinds, verdict))
    first = _first(found, place) if not verdict.releasable else []
    header = case.parsed.case if case else None
    return Headline(
        status=status,
        words=words,
        arms=_grouped(found, place, verdict),
        first=_grouped(first, place, verdict),
        left_out=len(found) - len(first),
        steps=steps,
        subjects=_subjects(verdict, case),
        roles=tuple((role, getattr(header, role)) for role in ("author", "approver", "assessor")) if header else (),
        decisions=decisions,
    )
