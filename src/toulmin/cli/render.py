"""Writing the report of a checked case."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from toulmin.faults import Fault, FaultError

if TYPE_CHECKING:
    from toulmin.case import Checked, Resolution
    from toulmin.evidence import Evidence


def _past(found: Resolution) -> list[Evidence]:
    """Every record of a binding's study in the store, whatever its inputs."""
    study = found.question.study
    assert study.resolver.store is not None
    try:
        return study.resolver.store.find(study.study_hash())
    except FaultError:  # one is damaged: the check says so
        return list(found.records)


def write_slide(checked: Checked, target: Path) -> Path:
    """Write the case on one slide, as SVG or PNG by the ending; where it was written.

    :raises FaultError: another ending, no argument to draw, or the file cannot be written.
    """
    from toulmin.report import render_slide

    if target.suffix.lower() not in (".svg", ".png"):
        raise FaultError(Fault("report.format", "a slide is written as .svg or .png", str(target)))
    drawing = render_slide(checked.verdict, case=checked.case)
    content = drawing.encode()
    if target.suffix.lower() == ".png":
        import vl_convert

        content = vl_convert.svg_to_png(drawing, scale=1.0)
    try:
        target.write_bytes(content)
    except OSError as error:
        raise FaultError(Fault("file.unwritable", error.strerror or str(error), str(target))) from None
    return target


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
