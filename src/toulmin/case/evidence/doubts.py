"""The doubts that come with evidence: defeaters that a kind of study declares, attached to every binding of it.

A kind declares them itself (``Study.doubts``), so that a study of an outside package brings its own.
"""

from __future__ import annotations

from toulmin.case.file.casefile import Case
from toulmin.case.file.elements import Defeater
from toulmin.faults import FaultError
from toulmin.studies import Doubt, find_study


def doubts_of(study_kind: str) -> tuple[Doubt, ...]:
    """The doubts that a kind declares; none of a kind that cannot be found (which the binding says)."""
    try:
        return find_study(study_kind).doubts
    except FaultError:
        return ()


def attach_doubts(case: Case) -> tuple[Defeater, ...]:
    """The doubts about every piece of evidence, as defeaters ``EVIDENCE/RULE``."""
    known: dict[str, tuple[Doubt, ...]] = {}
    attached: list[Defeater] = []
    for node in case.parsed.evidence:
        if node.study is None:
            continue
        if node.study not in known:
            known[node.study] = doubts_of(node.study)
        for doubt in known[node.study]:
            # model_construct: "/" keeps these ids apart from all that a case may write itself
            attached.append(
                Defeater.model_construct(
                    id=f"{node.id}/{doubt.rule}", text=doubt.text, kind=doubt.kind, attacks=(node.id,), rule=doubt.rule
                )
            )
    return tuple(attached)
