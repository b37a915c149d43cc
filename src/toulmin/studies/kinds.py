"""Kinds of studies, found among the installed packages' entry points and loaded one by one."""

from __future__ import annotations

from typing import Any

from toulmin.studies.registry import Registry
from toulmin.studies.study import Study


def _is_study(found: Any, kind: str) -> bool:
    return isinstance(found, type) and issubclass(found, Study) and found.kind == kind


_STUDIES: Registry[type[Study]] = Registry(
    "toulmin.studies", "kind of study", "study.unknown", _is_study, broken="study.broken"
)


def study_kinds() -> list[str]:
    """The kinds that can be run here, sorted."""
    return _STUDIES.names()


def find_study(kind: str) -> type[Study]:
    """The class of a kind.

    :raises FaultError: there is none of that name (the nearest are listed), or its package is broken.
    """
    return _STUDIES.find(kind)
