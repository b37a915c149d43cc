"""Decisions of people (``[[acceptance]]``): whether they are well formed, and whether they still accept what they did.

A decision is bound to what was accepted: by ``sha256`` in the decision itself, if it is given, and by the lock from the
first run or acceptance that sees it. When the text changes afterwards, the decision is of another text and counts for
nothing until somebody decides again.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections.abc import Iterator, Mapping

from toulmin.case.file.casefile import Case
from toulmin.case.file.contents import decision_key
from toulmin.case.file.elements import Acceptance
from toulmin.case.file.lock import Lock
from toulmin.faults import Fault


def has_visible_character(text: str) -> bool:
    """Whether a reader sees anything of ``text``; spaces, controls, format and combining characters are nothing."""
    return any(unicodedata.category(c)[0] not in "ZCM" and c not in "\u2800\u3164\u115f\u1160\uffa0" for c in text)


def check_decisions(case: Case, today: dt.date) -> Iterator[Fault]:
    """Two decisions on one thing, dates that cannot be, and names that cannot be read."""
    seen: dict[str, int] = {}
    for index, decision in enumerate(case.acceptances):

        def fault(code: str, message: str, key: str, index: int = index, decision: Acceptance = decision) -> Fault:
            line = case.line_at("acceptance", index, key)
            return Fault(code, message, str(case.file), line, decision.of)

        first = seen.setdefault(decision.of, index)
        if first != index:
            line = case.line_at("acceptance", first)
            yield fault("C078", f"it is decided already, on line {line}: keep the decision that counts", "of")
        if decision.on > today:
            yield fault("C079", f"made on {decision.on}, which has not come", "on")
        if decision.until is not None and decision.until < decision.on:
            yield fault("C079", f"ends on {decision.until}, before it begins on {decision.on}", "until")
        if not has_visible_character(decision.by):
            yield fault("C080", "its name has no visible character", "by")


def standing_decisions(
    case: Case, lock: Lock, contents: Mapping[str, str]
) -> tuple[dict[str, Acceptance], list[Fault]]:
    """The decisions that still accept what they accepted, by what they are of; and the others, as faults."""
    bound = {(d.of, d.kind, d.by, d.on.isoformat()): d.content for d in lock.decision}
    standing: dict[str, Acceptance] = {}
    faults: list[Fault] = []
    for index, decision in enumerate(case.acceptances):
        now = contents.get(decision.of, "")
        then = [bound.get(decision_key(decision), now), (decision.sha256 or now)[: len(now)]]
        if any(content != now for content in then):
            message = f"{decision.by} accepted another text: it changed after {decision.on}"
            line = case.line_at("acceptance", index, "of")
            hint = "decide again, with a new date"
            faults.append(Fault("C081", message, str(case.file), line, decision.of, hint))
        else:
            standing[decision.of] = decision
    return standing, faults
