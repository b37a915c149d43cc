"""Registries by entry point: what an installed package may add, found by name and loaded only when it is asked for.

A package adds a metric, a task, a kind of study or a kind of reference by an entry point of the right group in its own
``pyproject.toml``; Toulmin's own are entry points too, so there is one mechanism:

    [project.entry-points."toulmin.metrics"]
    margin = "my_package.metrics:MARGIN"
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from toulmin.faults import ExitCode, Fault, FaultError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


@lru_cache(maxsize=4)
def _points_on(path: tuple[str, ...]) -> dict[str, dict[str, EntryPoint]]:
    """Group to name to entry point, for the packages on ``sys.path``."""
    from importlib.metadata import entry_points

    # reading the metadata of every installed package takes 50 ms, and a case asks once for each piece of evidence
    points = entry_points()
    groups = [group for group in points.groups if group.startswith("toulmin.")]
    return {group: {point.name: point for point in points.select(group=group)} for group in groups}


class Registry(Generic[T]):
    """Named objects of one entry-point group.

    :param group: the group of entry points.
    :param what: the word for one object in messages: "metric".
    :param code: the code of the faults.
    :param expected: the class that a loaded object must be an instance of, or a predicate of (object, name).
    :param broken: the code where an entry point cannot be loaded; default ``code``.
    """

    def __init__(
        self,
        group: str,
        what: str,
        code: str,
        expected: type[T] | Callable[[Any, str], bool],
        *,
        broken: str | None = None,
    ) -> None:
        self.group, self.what, self.code, self.broken = group, what, code, broken or code
        self._expected = expected

    def _points(self) -> dict[str, EntryPoint]:
        return _points_on(tuple(sys.path)).get(self.group, {})

    def names(self) -> list[str]:
        """The names that can be found here, sorted."""
        return sorted(self._points())

    def find(self, name: str) -> T:
        """The object called ``name``; only its own module is imported.

        :raises FaultError: there is none of that name (the nearest are listed), or its package is broken.
        """
        points = self._points()
        if name not in points:
            near = difflib.get_close_matches(name, points, n=3) or sorted(points)
            hint = "there are: " + ", ".join(near)
            raise FaultError(Fault(self.code, f"there is no {self.what} of that name", name=name, hint=hint))
        try:
            found: object = points[name].load()
        except (ImportError, AttributeError) as error:
            message = f"its package cannot be loaded: {error}"
            raise FaultError(Fault(self.broken, message, name=name), ExitCode.MISSING) from None
        expected = self._expected
        fits = isinstance(found, expected) if isinstance(expected, type) else expected(found, name)
        if not fits:
            raise FaultError(Fault(self.broken, f"{points[name].value} is not a {self.what} of that name", name=name))
        return cast("T", found)
