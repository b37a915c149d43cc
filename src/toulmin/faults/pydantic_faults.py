"""Pydantic's validation errors as faults with lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from toulmin.faults.fault import Fault

if TYPE_CHECKING:
    from pydantic import ValidationError

Path = tuple[str | int, ...]


def faults_of_validation(
    error: ValidationError,
    code: str,
    *,
    file: str | None = None,
    line_of: Callable[[Path], int | None] | None = None,
    prefix: Path = (),
) -> list[Fault]:
    """One fault for each error pydantic found, at the line of its key.

    ``prefix`` is the path of the validated table inside the file; ``line_of`` maps a path to a line
    (:meth:`toulmin.faults.LocatedToml.line_of`).
    """
    faults: list[Fault] = []
    for detail in error.errors(include_url=False, include_context=False):
        path: Path = prefix + tuple(detail["loc"])
        message = detail["msg"]
        if detail["type"] == "extra_forbidden":
            message = "unknown key"
        faults.append(
            Fault(
                code,
                message[0].lower() + message[1:],
                file=file,
                line=line_of(path) if line_of else None,
                name=".".join(str(part) for part in path) or None,
            )
        )
    return faults
