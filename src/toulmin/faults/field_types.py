"""Whether a JSON value can stand for a field of a dataclass, by the field's annotation as text."""

from __future__ import annotations

import math
from typing import cast


def has_field_type(value: object, annotation: str) -> bool:
    """Whether a JSON value can stand for a field annotated ``annotation``.

    Known are ``bool``, ``int``, ``float`` (finite), ``tuple[...]`` of int or str, any of them ``| None``; everything
    else is taken as text.
    """
    if value is None:
        return "None" in annotation
    if annotation.startswith("bool"):
        return isinstance(value, bool)
    if annotation.startswith("int"):
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation.startswith("float"):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if annotation.startswith("tuple"):
        inside = annotation.partition("[")[2].rpartition("]")[0]
        return isinstance(value, (list, tuple)) and all(
            isinstance(item, str) if "str" in inside else type(item) is int or (item is None and "None" in inside)
            for item in cast("list[object]", value)
        )
    return isinstance(value, str)
