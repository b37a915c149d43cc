"""Every numbered diagnostic of a case: what it is about, and what it does to the exit status.

``invalid`` (exit 2): the case is not well formed, or claims more than its form allows. ``evidence`` (exit 4): the
evidence is damaged or does not follow. ``unfinished`` (exit 1): the case lacks something that must be said or done
before it can be released. ``stale`` (exit 3): what is judged is not what was registered, until somebody accepts it.
``warning``: reported; its effect on the verdict shows in health and freshness.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from toulmin.faults import Fault

Severity = Literal["invalid", "evidence", "unfinished", "stale", "warning"]


class Diagnostic(NamedTuple):
    """A kind of fault: how bad it is, and its name."""

    severity: Severity
    title: str


DIAGNOSTICS: dict[str, Diagnostic] = {
    "C001": Diagnostic("invalid", "the file cannot be read, or is not TOML"),
    "C002": Diagnostic("invalid", "the file is too large"),
    "C003": Diagnostic("invalid", "unknown key, or a value of the wrong type"),
    "C004": Diagnostic("invalid", "two elements have the same id"),
    "C005": Diagnostic("invalid", "a reference to an element that does not exist"),
    "C006": Diagnostic("invalid", "a circle of support"),
    "C007": Diagnostic("invalid", "an element of this type may not stand there"),
    "C008": Diagnostic("invalid", "there is no root goal"),
    "C009": Diagnostic("invalid", "a second root"),
    "C010": Diagnostic("invalid", "not reachable from the root"),
    "C011": Diagnostic("invalid", "empty text"),
    "C012": Diagnostic("invalid", "a claim with neither support nor an undeveloped mark"),
    "C013": Diagnostic("invalid", "at_least asks for more children than there are"),
    "C014": Diagnostic("invalid", "an assumption without an owner"),
    "C015": Diagnostic("invalid", "an assumption without a justification"),
    "C016": Diagnostic("invalid", "an assumption without a review date"),
    "C017": Diagnostic("invalid", "an acceptance of something that needs none"),
    "C018": Diagnostic("invalid", "a path leaves the folder of the case, or cannot be followed"),
    "C019": Diagnostic("invalid", "prose that cannot be read"),
    "C020": Diagnostic("invalid", "a module that cannot be used"),
    "C021": Diagnostic("invalid", "independence declared without a justification"),
    "C022": Diagnostic("invalid", "independence declared of branches that share roots"),
    "C023": Diagnostic("invalid", "a probability interval upside down"),
    "C024": Diagnostic("invalid", "a subject or data name that is not declared"),
    "C025": Diagnostic("invalid", "the lock cannot be read"),
    "C030": Diagnostic("invalid", "evidence bound to no study"),
    "C031": Diagnostic("invalid", "an unknown study"),
    "C032": Diagnostic("invalid", "a configuration the study does not take"),
    "C033": Diagnostic("invalid", "evidence without a criterion"),
    "C034": Diagnostic("invalid", "a criterion that is not in the grammar"),
    "C035": Diagnostic("invalid", "a criterion names a measure the study does not give"),
    "C036": Diagnostic("invalid", "a claim of absence without a positive control"),
    "C037": Diagnostic("invalid", "a control that is not evidence of the same study"),
    "C038": Diagnostic("invalid", "a prior on a measure the study does not give"),
    "C039": Diagnostic("invalid", "the subject or data named is not an input of the study"),
    "C040": Diagnostic("evidence", "the evidence is damaged or was edited"),
    "C041": Diagnostic("evidence", "the evidence does not follow from its items"),
    "C042": Diagnostic("evidence", "the evidence does not reproduce"),
    "C043": Diagnostic("evidence", "an input of the study cannot be read"),
    "C044": Diagnostic("evidence", "the record lacks a measure of the criterion"),
    "C050": Diagnostic("warning", "an open defeater"),
    "C051": Diagnostic("stale", "the threshold was edited after the result"),
    "C052": Diagnostic("stale", "the threshold was loosened"),
    "C053": Diagnostic("warning", "evidence in the store that no element is bound to"),
    "C054": Diagnostic("warning", "an assumption is past its review date"),
    "C055": Diagnostic("warning", "an acceptance has expired"),
    "C056": Diagnostic("warning", "the positive control failed"),
    "C057": Diagnostic("stale", "evidence not registered in the lock: its criterion may be younger than the result"),
    "C058": Diagnostic("warning", "evidence is missing"),
    "C059": Diagnostic("warning", "evidence is stale"),
    "C060": Diagnostic("warning", "too few failures to see a rare one"),
    "C070": Diagnostic("stale", "a record that the lock does not name"),
    "C071": Diagnostic("evidence", "a record that the lock names is gone"),
    "C072": Diagnostic("stale", "an element was edited after it was registered"),
    "C073": Diagnostic("stale", "a registered element is gone"),
    "C074": Diagnostic("stale", "an element that was never registered"),
    "C075": Diagnostic("evidence", "the lock was edited by hand, or is of an unknown version"),
    "C076": Diagnostic("evidence", "the store and its ledger do not agree"),
    "C077": Diagnostic("stale", "a record of the case's studies that no element rests on"),
    "C078": Diagnostic("invalid", "two decisions on one thing"),
    "C079": Diagnostic("invalid", "a decision on a date that cannot be"),
    "C080": Diagnostic("invalid", "a decision by nobody"),
    "C081": Diagnostic("warning", "a decision that accepted another text"),
    "C082": Diagnostic("invalid", "a criterion that no measured value can fail"),
    "C083": Diagnostic("warning", "something to know about the data of the evidence"),
    "C084": Diagnostic("warning", "a positive control on the data of the claim"),
    "C085": Diagnostic("warning", "a positive control on which the criterion of the claim does not fail"),
    "C086": Diagnostic("invalid", "a positive control that does not say what was planted"),
    "C090": Diagnostic("unfinished", "a declared subject that no evidence is of"),
    "C091": Diagnostic("invalid", "evidence of another model than the case declares"),
    "C092": Diagnostic("unfinished", "evidence recorded elsewhere that does not name its subject, or its weights"),
    "C093": Diagnostic("invalid", "the same edge twice"),
    "C095": Diagnostic("unfinished", "an open problem accepted without a reason, or for ever"),
    "C096": Diagnostic("invalid", "one person in two roles that must not be one person's"),
    "C097": Diagnostic("unfinished", "something is still to be instantiated"),
    "C098": Diagnostic("unfinished", "a role, or the risk threshold, that nobody has filled"),
    "C099": Diagnostic("unfinished", "the risk is not shown to be below its threshold"),
    "C100": Diagnostic("invalid", "a multiplicity or choice of a pattern that cannot be"),
    "C101": Diagnostic("unfinished", "a multiplicity, option or choice of a pattern is still open"),
    "C094": Diagnostic("warning", "an undeveloped mark beside support or a study"),
}

#: what `case accept` settles
ACCEPTABLE = frozenset({"C051", "C052", "C057", *(f"C{number:03}" for number in range(70, 78))})


def severity(fault: Fault) -> Severity:
    """How bad a fault is; faults of other packages are ``invalid``."""
    known = DIAGNOSTICS.get(fault.code)
    return known.severity if known else "invalid"


def worst_first(faults: Iterable[Fault]) -> tuple[Fault, ...]:
    """Each fault once: invalid, evidence, unfinished, stale, then warnings; by file, line, code and name within."""
    order = {"invalid": 0, "evidence": 1, "unfinished": 2, "stale": 3, "warning": 4}
    unique = dict.fromkeys(faults)
    return tuple(
        sorted(unique, key=lambda f: (order[severity(f)], f.file or "", f.line or 0, f.code, f.name or "", f.message))
    )
