"""Writing TOML: what ``tomllib`` reads back equal. Only what cases and locks need."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from toulmin.case.file.elements import ARRAYS, CaseFile

_BARE = re.compile(r"^[A-Za-z0-9_-]+$")
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}


def write_key(key: str) -> str:
    """A key, quoted where it must be."""
    return key if _BARE.match(key) else _string(key)


def _string(text: str) -> str:
    # surrogates cannot stand in a UTF-8 file; a replacement character is what any reader would see anyway
    text = text.encode("utf-8", "replace").decode()
    return (
        '"'
        + "".join(_ESCAPES.get(c) or (f"\\u{ord(c):04X}" if ord(c) < 32 or ord(c) == 127 else c) for c in text)
        + '"'
    )


def write_value(value: Any) -> str:
    """A value on one line.

    :raises TypeError: TOML has nothing for it (None, bytes, ...).
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = repr(value)
        return text if any(c in text for c in ".en") else text + ".0"
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        inside = ", ".join(
            f"{write_key(str(k))} = {write_value(v)}" for k, v in cast("Mapping[Any, Any]", value).items()
        )
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(write_value(part) for part in cast("Sequence[Any]", value)) + "]"
    raise TypeError(f"TOML has no {type(value).__name__}")


def write_table(header: str, values: Mapping[str, Any]) -> str:
    """A table with its header line; entries that are None are left out."""
    lines = [header, *(f"{write_key(k)} = {write_value(v)}" for k, v in values.items() if v is not None)]
    return "\n".join(lines) + "\n"


def write_case(parsed: CaseFile) -> str:
    """A ``case.toml`` with what ``parsed`` holds; values that are defaults are left out, order is kept."""
    parts = [write_table("[case]", parsed.case.model_dump(exclude_defaults=True))]
    for section in ("subjects", "data"):
        for name, declared in getattr(parsed, section).items():
            parts.append(write_table(f"[{section}.{write_key(name)}]", declared.model_dump(exclude_defaults=True)))
    for array in (*ARRAYS, "acceptance"):
        for element in getattr(parsed, array):
            parts.append(write_table(f"[[{array}]]", element.model_dump(exclude_defaults=True)))
    return "\n".join(parts)
