"""Small files of the kinds that other tools write, so that each kind of evidence from outside can be tried at once.

``example:NAME`` names one: ``toulmin run external.control --preset tiny``. They were drawn at random, of no system, by
``scripts/make_examples.py``: their numbers say nothing about anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Reference, ReferenceKind, Resolver

Size = Literal["tiny", "demo", "full"]
DATA = Path(__file__).parent / "data"


def _locate(reference: Reference, resolver: Resolver) -> Path:
    path = DATA / reference.name
    if path.parent != DATA or not path.is_file():
        known = ", ".join(sorted(file.name for file in DATA.iterdir()))
        fault = Fault("reference.not_found", "no example of that name", name=str(reference), hint=f"there are: {known}")
        raise FaultError(fault, ExitCode.SUBJECT)
    return path


EXAMPLE = ReferenceKind(_locate)


def example_presets(field: str, stem: str, suffix: str, **more: Any) -> dict[Size, dict[str, Any]]:
    """The settings tiny, demo and full of a study that reads a file: ``field`` names the example of each size."""
    sizes: tuple[Size, ...] = ("tiny", "demo", "full")
    return {size: {field: f"example:{stem}-{size}.{suffix}", **more} for size in sizes}
