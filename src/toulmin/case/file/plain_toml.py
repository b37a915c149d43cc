"""The plain part of TOML, read quickly: a case of ten thousand elements is half parsing.

Cases are tables of one-line values. This reads files made of nothing else, a line at a time, and declines the rest:
multi-line strings and arrays, dotted keys and headers, anything repeated, anything it does not recognise go to
``tomllib``, which also says what is wrong. So it is either right or silent; a test holds it to ``tomllib``.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, cast

_LINE = re.compile(
    r"(?P<key>[A-Za-z0-9_-]+) = (?:"
    r'"(?P<string>[^"\\\x00-\x1f\x7f]*)"'
    r'|(?P<list>\["[^"\\\x00-\x1f\x7f]*"(?:, "[^"\\\x00-\x1f\x7f]*")*\])'
    r"|(?P<other>.+))"
)
_HEADER = re.compile(r"(\[\[?)([A-Za-z0-9_-]+)(\]\]?)")


def read_plain(text: str) -> dict[str, Any] | None:
    """The data of a plain TOML text; None where only ``tomllib`` can tell."""
    if '"""' in text or "'''" in text or "\r" in text:
        return None
    data: dict[str, Any] = {}
    table: dict[str, Any] | None = None
    others: dict[str, Any] = {}  # a case says the same dates and modes again and again
    for line in text.split("\n"):
        found = _LINE.fullmatch(line)
        if found is not None:
            key, string, listed, other = found.groups()
            if table is None or key in table:
                return None
            if string is not None:
                table[key] = string
            elif listed is not None:
                table[key] = listed[2:-2].split('", "')
            else:
                if other not in others:
                    others[other] = _other(other)
                if others[other] is None:
                    return None
                table[key] = others[other]
        elif line and not line.startswith("#"):
            table = _open(line, data)
            if table is None:
                return None
        elif not line.isprintable():
            return None
    return data


def _open(line: str, data: dict[str, Any]) -> dict[str, Any] | None:
    found = _HEADER.fullmatch(line)
    if found is None:
        return None
    opening, name, closing = found.groups()
    table: dict[str, Any] = {}
    if (opening, closing) == ("[[", "]]"):
        several = data.setdefault(name, [])
        if not isinstance(several, list):
            return None
        cast("list[Any]", several).append(table)
    elif (opening, closing) == ("[", "]") and name not in data:
        data[name] = table
    else:
        return None
    return table


def _other(text: str) -> Any:
    """Any other value on one line."""
    if text == "true":
        return True
    if text == "false":
        return False
    try:
        parsed = tomllib.loads(f"v = {text}")
    except (ValueError, RecursionError):
        return None
    return parsed["v"] if len(parsed) == 1 else None
