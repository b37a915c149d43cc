"""Checks that evidence is of the subjects (models) that the case declares.

A case that declares subjects speaks of those. Evidence of another model says nothing about them, a declared subject
that no evidence looks at is claimed without evidence, and evidence that another tool recorded must say of which
subject it is, since its inputs are only logs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toulmin.case.evidence.resolve import Resolution
from toulmin.case.file.casefile import Case
from toulmin.faults import Fault


def check_subjects(case: Case, resolutions: Mapping[str, Resolution]) -> Iterator[Fault]:
    """C090 to C092; nothing of a case that declares no subject."""
    declared = case.parsed.subjects
    if not declared:
        return
    used: set[str] = set()
    for identifier, resolution in resolutions.items():
        question, states = resolution.question, resolution.binding.inputs
        node, study = question.node, question.study
        present = {state.reference for state in states if state.now is not None}
        found = {name for name, subject in declared.items() if subject.reference in present}
        used |= found | ({node.subject} if node.subject is not None else set())
        if study.recorded_elsewhere:
            yield from _recorded(case, resolution)
            continue
        others = [state.reference for state in states if state.role == "subject" and state.now is not None]
        strange = [reference for reference in others if reference not in {d.reference for d in declared.values()}]
        for reference in strange:
            hint = "the case declares: " + ", ".join(f"{name} ({d.reference})" for name, d in declared.items())
            yield case.fault("C091", f"{reference} is not declared under subjects", identifier, "configuration", hint)
    whole = all(node.id in resolutions for node in case.parsed.evidence)
    for name in sorted(declared.keys() - used) if whole else ():
        line = case.located.line_of(("subjects", name))
        yield Fault("C090", "no evidence is of it", str(case.file), line, name)


def _recorded(case: Case, resolution: Resolution) -> Iterator[Fault]:
    node, study = resolution.question.node, resolution.question.study
    if node.subject is None:
        hint = f"subject = one of: {', '.join(case.parsed.subjects)}"
        yield case.fault("C092", f"{study.kind} was recorded elsewhere: say of which subject", node.id, "study", hint)
        return
    subject = case.parsed.subjects.get(node.subject)
    stated = study.stated_subject()
    if subject is not None and subject.sha256 is not None and stated is None:
        message = f"{node.subject} is declared with its weights, and {study.kind} does not say of which weights it is"
        hint = f'model_sha256 = "{subject.sha256}"; the file, or its sidecar, must say the same'
        yield case.fault("C092", message, node.id, "configuration", hint)
    if subject is not None and subject.sha256 is not None and stated is not None and stated != subject.sha256:
        message = f"it is of the weights {stated[:12]}, and {node.subject} is declared as {subject.sha256[:12]}"
        yield case.fault("C091", message, node.id, "subject")
