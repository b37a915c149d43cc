"""The words, styles and explanations with which a report shows health, outcomes, labels and open patterns."""

from __future__ import annotations

from dataclasses import dataclass

from toulmin.case import Freshness, Health, Label, NodeVerdict, Outcome, open_parameters


@dataclass(frozen=True)
class Status:
    """A state as it is shown: the style and icon it takes, and its word."""

    style: str
    word: str


HEALTH_MEANS = {
    Health.SUPPORTED: "Holds: all it needs is supported by evidence that meets its criterion.",
    Health.CONDITIONAL: "Holds, if what it rests on holds: assumptions, or doubts that a person has accepted.",
    Health.UNDEVELOPED: "Part of the argument has been declared but not made yet.",
    Health.UNSUPPORTED: "Evidence is missing, in error, or does not decide either way.",
    Health.UNDERMINED: "A challenge stands that nobody has answered.",
    Health.REFUTED: "Evidence shows the contrary.",
}
MALFORMED_MEANS = "The case file has faults that must be mended before it can say anything."
FRESHNESS_MEANS = {
    Freshness.CURRENT: "Nothing it rests on is out of date.",
    Freshness.STALE: "Some evidence is about an earlier model, data or criterion, or has expired.",
}
_LABELS = {
    Label.IN: Status("refuted", "stands"),
    Label.OUT: Status("supported", "answered"),
    Label.UNDECIDED: Status("unsupported", "undecided"),
}
_OUTCOMES = {
    Outcome.PASS: Status("supported", "meets it"),
    Outcome.FAIL: Status("refuted", "fails it"),
    Outcome.INCONCLUSIVE: Status("unsupported", "inconclusive"),
    Outcome.MISSING: Status("undeveloped", "no evidence"),
    Outcome.ERROR: Status("refuted", "error"),
    Outcome.UNDEVELOPED: Status("undeveloped", "not developed"),
}
_ACCEPTED = Status("accepted", "accepted")  # amber: a person's word, which is no answer
#: what a type of element is called, where that is not its name in the file
TYPE_WORDS = {"defeater": "challenge", "open_problem": "open problem"}
_SILENT = ("context", "justification")  # these say what is meant, and have no state of their own


def health_status(health: Health | None) -> Status:
    """Of a claim; ``None`` is a case too broken to evaluate."""
    return Status(health.word, health.word) if health is not None else Status("refuted", "malformed")


def outcome_status(outcome: Outcome) -> Status:
    """Of a criterion or one of its comparisons."""
    return _OUTCOMES[outcome]


def node_status(node: NodeVerdict, accepted: bool = False) -> Status | None:
    """Of an element: a challenge stands or is answered, an assumption is accepted or assumed, a claim has health."""
    if node.type in _SILENT:
        return None
    if node.label is not None:
        if node.dormant:
            return Status("undeveloped", "dormant")  # nothing to doubt yet
        return _ACCEPTED if accepted and node.label is Label.OUT else _LABELS[node.label]
    if node.type == "assumption" and node.health >= Health.CONDITIONAL:
        return _ACCEPTED if accepted else Status("conditional", "assumed")
    return health_status(node.health)


def pattern_mark(pattern: str) -> str:
    """What a GSN pattern leaves open of a line, with the standard's symbol: a ball for several, a hollow one for an
    option, a diamond for a choice."""
    if not pattern:
        return ""
    symbol = "\u25c6" if " of " in pattern else "\u25cb" if pattern == "0..1" else "\u25cf"
    return f"{symbol} {'optional' if pattern == '0..1' else pattern}"


def problem_status(state: str) -> Status:
    """Of an open problem in the list at the top."""
    known = {"open": Status("refuted", "stands"), "accepted": _ACCEPTED, "answered": Status("supported", "answered")}
    return known.get(state, Status("undeveloped", state))


def said(text: str | None, nothing: str = "not said") -> str:
    """A text of the case, or that it is still to be filled in."""
    return "to be filled in" if open_parameters(text or "") else text or nothing
