"""Kinds of studies, found among the installed packages' entry points and loaded one by one."""

from __future__ import annotations

import difflib
import sys
from functools import lru_cache
from typing import TYPE_CHECKING

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies.study import Study

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "toulmin.studies"


@lru_cache(maxsize=4)
def _points_on(path: tuple[str, ...]) -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    # reading the metadata of every installed package takes 50 ms, and a case asks once for each piece of evidence
    return {point.name: point for point in entry_points(group=GROUP)}


def _points() -> dict[str, EntryPoint]:
    return _points_on(tuple(sys.path))


def study_kinds() -> list[str]:
    """The kinds that can be run here, sorted."""
    return sorted(_points())


def find_study(kind: str) -> type[Study]:
    """The class of a kind.

    :raises FaultError: there is none of that name (the nearest are listed), or its package is broken.
    """
    points = _points()
    if kind not in points:
        near = difflib.get_close_matches(kind, points, n=3) or sorted(points)
        raise FaultError(
            Fault("study.unknown", "no study of that kind", name=kind, hint="there are: " + ", ".join(near))
        )
    try:
        found = points[kind].load()
    except (ImportError, AttributeError) as error:
        message = f"its package cannot be loaded: {error}"
        raise FaultError(Fault("study.broken", message, name=kind), ExitCode.MISSING) from None
    if not (isinstance(found, type) and issubclass(found, Study) and found.kind == kind):
        raise FaultError(Fault("study.broken", f"{points[kind].value} is not a study of that kind", name=kind))
    return found
