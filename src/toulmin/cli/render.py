"""Writing the report of a checked case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toulmin.faults import Fault, FaultError

if TYPE_CHECKING:
    from toulmin.case import Checked
    from toulmin.case.evidence.resolve import Resolution
    from toulmin.evidence import Evidence


def _past(found: Resolution) -> list[Evidence]:
    """Every record of a binding's study in the store, whatever its inputs."""
    study = found.question.study
    assert study.resolver.store is not None
    try:
        return study.resolver.store.find(study.study_hash())
    except FaultError:  # one is damaged: the check says so
        return list(found.records)


def write_report(checked: Checked, target: Path) -> Path:
    """Write the page of a case; where it was written.

    :raises FaultError: the file cannot be written.
    """
    from toulmin.report import render_case

    records = {r.id: r for found in checked.resolutions.values() for r in found.records}
    page = render_case(
        checked.verdict,
        case=checked.case,
        sensitivity=checked.sensitivity(),
        evidence=records,
        history=checked.lock.history,
        past={name: _past(found) for name, found in checked.resolutions.items()},
    )
    try:
        target.write_text(page, encoding="utf-8")
    except OSError as error:
        raise FaultError(Fault("file.unwritable", error.strerror or str(error), str(target))) from None
    return target
