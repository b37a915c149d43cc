"""Whether a positive control shows what it must: that the method would have seen what the claim says is absent.

A claim of absence ("no such behaviour was found") rests on a control, the same method on a planted case. The control
says something only if

- its data are other than the claim's: no unit of one system is in both, by the hash of its content;
- the criterion of the claim fails on it: a method that would report absence there too has not found what was planted;
- it says what was planted (``planted``; checked with the binding).

For ``control = "self"`` the record holds the planted measures and the contents of the planted data.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import cast

from toulmin.case.argument.health import Outcome
from toulmin.case.argument.verdict import Binding
from toulmin.case.evidence.criterion import Compare, Criterion, compare
from toulmin.case.evidence.resolve import Resolution
from toulmin.case.file.casefile import Case
from toulmin.evidence import Evidence, Measure, PositiveControl, Store
from toulmin.faults import Fault, FaultError


@dataclass(frozen=True)
class Data:
    """What a record was made from, as far as it says: the system, the units by content, the other inputs."""

    system: frozenset[str]
    contents: frozenset[str]
    inputs: frozenset[str]


def check_controls(case: Case, resolutions: Mapping[str, Resolution], store: Store) -> Iterator[Fault]:
    """C084 and C085 of every claim of absence that has a control."""
    for identifier, resolution in resolutions.items():
        node = resolution.question.node
        if node.control is None or not resolution.records:
            continue
        try:
            if node.control == "self":
                own = [(record, control) for record in resolution.records if (control := record.positive_control)]
                pairs = [(data_of(record, store), _data_of_own(control)) for record, control in own]
                planted = [control.measures for _, control in own]
            elif node.control in resolutions and resolutions[node.control].records:
                others = resolutions[node.control].records
                planted = [record.measures for record in others]
                claims = [data_of(record, store) for record in resolution.records]
                pairs = [(claim, data_of(other, store)) for claim in claims for other in others]
            else:
                continue  # there is no control yet, which its own node says
        except FaultError:
            continue  # damaged, which the record's own check says
        for why in dict.fromkeys(said for claim, other in pairs if (said := shared_data(claim, other))):
            yield case.fault("C084", why, identifier, "control")
        if not all(fails_on(resolution.question.criterion, measures) for measures in planted):
            message = f"{node.criterion} does not fail on the planted case: the method would miss what was planted"
            yield case.fault("C085", message, identifier, "control")


def without_support(bindings: dict[str, Binding], faults: Iterator[Fault]) -> list[Fault]:
    """The faults, after what passed with a control that shows nothing was made inconclusive in ``bindings``."""
    found = list(faults)
    for fault in found:
        binding = bindings[fault.name or ""]
        outcome = Outcome.INCONCLUSIVE if binding.outcome is Outcome.PASS else binding.outcome
        problems = (*binding.problems, f"its positive control shows nothing: {fault.message}")
        bindings[fault.name or ""] = replace(binding, outcome=outcome, problems=problems)
    return found


def data_of(record: Evidence, store: Store) -> Data:
    """The data of a record.

    :raises FaultError: its items are damaged.
    """
    items = store.items(record)
    system = {i.sha256 for i in record.inputs if i.role == "subject"}
    stated: object = items.metadata.get("subject")
    if isinstance(stated, dict):
        digest = cast("dict[str, object]", stated).get("sha256")
        system |= {digest} if isinstance(digest, str) else set()
    inputs = {i.sha256 for i in record.inputs if i.role not in ("subject", "model identity")}
    return Data(frozenset(system), frozenset(items.contents or ()), frozenset(inputs))


def _data_of_own(control: PositiveControl) -> Data:
    return Data(frozenset(), frozenset(control.contents), frozenset())


def shared_data(claim: Data, control: Data) -> str | None:
    """Why the control is on the data of the claim, or is not known to be on others; None where it is on others."""
    if claim.system and control.system and not claim.system & control.system:
        return None  # another system was asked
    if claim.contents and control.contents:
        if common := len(claim.contents & control.contents):
            return f"{common} of the {len(control.contents)} units of the control are units of the claim"
        return None
    if claim.inputs and control.inputs:
        same = claim.inputs <= control.inputs or control.inputs <= claim.inputs
        return "both were made from the same files" if same else None
    return "both are of one system, and nothing in their records says that the control's data are others"


def fails_on(criterion: Criterion, measures: Mapping[str, Measure]) -> bool:
    """Whether the measures fail a criterion, however many units and seeds there are."""
    if isinstance(criterion, Compare):
        return not criterion.counts and compare(criterion, measures, 1, 1).outcome is Outcome.FAIL
    parts = [fails_on(part, measures) for part in criterion.parts]
    return any(parts) if criterion.word == "and" else all(parts)
