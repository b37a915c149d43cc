"""Derives the exit status of a check, with every reason, from the state of the root goal.

The exit status is the first that applies of: 2 some fault of form, 4 some fault of evidence, 1 the root is not
supported, or conditional on something nobody accepted, or the case is unfinished, 3 it is stale, 0. Every reason is
listed, whichever wins.
"""

from __future__ import annotations

from collections.abc import Iterable

from toulmin.case.argument.health import Health
from toulmin.case.argument.reasons import Explainer
from toulmin.case.argument.verdict import Dependencies, Reason, ReasonKind
from toulmin.case.file.diagnostics import severity
from toulmin.faults import ExitCode, Fault

_ORDER = (ExitCode.INVALID, ExitCode.EVIDENCE, ExitCode.NOT_SUPPORTED, ExitCode.STALE)


def conclude(
    root: str, faults: Iterable[Fault], explainer: Explainer, entries: Iterable[Dependencies]
) -> tuple[ExitCode, tuple[Reason, ...]]:
    """The exit status, and every reason in the order of precedence.

    ``entries`` is what the root rests on, with who accepted it.
    """
    faults, entries = list(faults), list(entries)
    by_class: dict[ExitCode, list[Reason]] = {
        ExitCode.INVALID: reasons_of_faults(faults, "invalid"),
        ExitCode.EVIDENCE: reasons_of_faults(faults, "evidence"),
        ExitCode.NOT_SUPPORTED: reasons_of_faults(faults, "unfinished"),
        ExitCode.STALE: reasons_of_faults(faults, "stale"),
    }
    health = explainer.state.low[root]
    if health < Health.CONDITIONAL:
        by_class[ExitCode.NOT_SUPPORTED] += [Reason("state", root, state=health.word), *explainer.causes(root)]
    elif health is Health.CONDITIONAL:
        by_class[ExitCode.NOT_SUPPORTED] += [_dependency(e) for e in entries if e.accepted_by is None or e.expired]
    if root in explainer.stale:
        by_class[ExitCode.STALE] += [Reason("state", root, state="stale"), *explainer.stale_leaves(root)]
    exit_code = next((code for code in _ORDER if by_class[code]), ExitCode.OK)
    reasons = [reason for code in _ORDER for reason in by_class[code]]
    if health is Health.CONDITIONAL:
        reasons += [_condition(entry) for entry in entries if entry.accepted_by]
    holds = Reason("state", root, state="supported and current")
    return exit_code, tuple(dict.fromkeys(reasons)) or (holds,)


def reasons_of_faults(faults: Iterable[Fault], how_bad: str) -> list[Reason]:
    """The faults of one severity as reasons; ``about`` is the element, where the fault names one."""
    kinds: dict[str, ReasonKind] = {
        "invalid": "form",
        "evidence": "evidence",
        "unfinished": "unfinished",
        "stale": "registration",
    }
    return [Reason(kinds[how_bad], f.name or "", str(f)) for f in faults if severity(f) == how_bad]


def _dependency(entry: Dependencies) -> Reason:
    if entry.accepted_by is None:
        return _rests_on("unaccepted", entry, f"rests on {entry.kind} {entry.id}, which nobody has accepted")
    return _rests_on("expired", entry, f"rests on {entry.kind} {entry.id}, whose acceptance has expired")


def _condition(entry: Dependencies) -> Reason:
    return _rests_on("accepted", entry, f"conditional on {entry.kind} {entry.id}, accepted by {entry.accepted_by}")


def _rests_on(kind: ReasonKind, entry: Dependencies, text: str) -> Reason:
    return Reason(kind, entry.id, text, names=(entry.id,))
