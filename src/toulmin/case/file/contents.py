"""Hashes of what a case says: of each element, and of what a decision accepts.

Of an element, everything that is written in its table, and the text of the files it names (prose, a study's TOML). Of
what somebody accepts, the part that a person reads before accepting: the words of an assumption or a doubt, not who
owns it or when it is reviewed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from toulmin.case.file.casefile import Case
from toulmin.case.file.elements import ARRAYS, Acceptance, Assumption, Challenge, Defeater
from toulmin.evidence import sha256_of_bytes

KEPT = 32  #: hexadecimal digits of the hashes in a lock: 128 bits


def _hash(value: Any) -> str:
    return sha256_of_bytes(json.dumps(value, sort_keys=True, default=str, ensure_ascii=True).encode())[:KEPT]


def element_contents(case: Case) -> dict[str, str]:
    """The hash of each element, of each declared subject and data set, and of the ``[case]`` table."""
    data = case.located.data
    found = {"[case]": _hash(data.get("case", {}))}
    for section in ("subjects", "data"):
        for name, declared in data.get(section, {}).items():
            found[f"[{section}.{name}]"] = _hash(declared)
    for array in ARRAYS:
        for element in data.get(array, ()):
            files = [element.get("prose"), element.get("configuration")]
            texts = [_file_hash(case, name) for name in files if isinstance(name, str)]
            found[str(element.get("id"))] = _hash([array, element, *texts] if texts else [array, element])
    return found


def _file_hash(case: Case, name: str) -> str:
    target = case.inside(name)
    try:
        return sha256_of_bytes(target.read_bytes()) if target is not None else ""
    except OSError:
        return ""


def accepted_content(element: Assumption | Challenge) -> str:
    """The hash of what somebody who accepts an element has read."""
    if isinstance(element, Assumption):
        return _hash(["assumption", element.text, element.justification, element.probability])
    kind = [element.kind] if isinstance(element, Defeater) else []
    return _hash([element.type, *kind, element.text, sorted(element.attacks)])


def accepted_contents(case: Case, attached: Iterable[Defeater]) -> dict[str, str]:
    """The hash of everything that can be accepted, by id."""
    elements = [*case.parsed.assumption, *case.challenges, *attached]
    return {element.id: accepted_content(element) for element in elements}


def decision_key(decision: Acceptance) -> tuple[str, str, str, str]:
    """What tells one decision from another."""
    return decision.of, decision.kind, decision.by, decision.on.isoformat()


def changed_elements(registered: Mapping[str, str], now: Mapping[str, str]) -> list[tuple[str, str]]:
    """The ids whose content differs, each with ``changed``, ``gone`` or ``new``, in a fixed order."""
    found: list[tuple[str, str]] = []
    for name in sorted(registered.keys() | now.keys()):
        if name not in now:
            found.append((name, "gone"))
        elif name not in registered:
            found.append((name, "new"))
        elif registered[name] != now[name]:
            found.append((name, "changed"))
    return found
