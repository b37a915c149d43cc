"""Reading ``case.toml``: strictly, quickly, and with the line of every element.

The whole file is validated at once; only if that fails is it validated element by element, so that the faults of one
element do not hide those of the others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from toulmin.case.file.elements import ARRAYS, Acceptance, CaseFile, Challenge, Claim, Defeater, Element
from toulmin.case.file.garbage import collector_paused
from toulmin.case.file.plain_toml import read_plain
from toulmin.faults import Fault, FaultError, LocatedToml, faults_of_validation, read_toml

CASE_NAME, LOCK_NAME = "case.toml", "case.lock"
MAX_CASE_BYTES = 32 * 1024 * 1024
MAX_PROSE_BYTES = 1024 * 1024
_HEADER = re.compile(r"^\s*\[\[\s*([A-Za-z0-9_-]+)\s*\]\]")


class Case:
    """A case as read: its elements by id, and where each was written.

    ``broken`` holds ids of elements that did not validate, so that references to them are not called dangling.
    """

    def __init__(self, file: Path, located: LocatedToml, parsed: CaseFile, broken: frozenset[str]) -> None:
        self.file, self.located, self.parsed, self.broken = file, located, parsed, broken
        self.nodes: dict[str, Element] = {}
        self.places: dict[str, tuple[str, int]] = {}
        self.duplicates: list[tuple[str, str, int]] = []
        for array in ARRAYS:
            for index, element in enumerate(getattr(parsed, array)):
                if element.id in self.nodes:
                    self.duplicates.append((element.id, array, index))
                else:
                    self.nodes[element.id] = element
                    self.places[element.id] = (array, index)

    @property
    def folder(self) -> Path:
        """The folder of the case."""
        return self.file.parent

    @property
    def store_folder(self) -> Path:
        """The folder of its evidence."""
        return self.folder / self.parsed.case.store

    @property
    def acceptances(self) -> tuple[Acceptance, ...]:
        """The human decisions."""
        return self.parsed.acceptance

    @cached_property
    def challenges(self) -> tuple[Challenge, ...]:
        """The defeaters and the open problems."""
        return (*self.parsed.defeater, *self.parsed.open_problem)

    @cached_property
    def support(self) -> Mapping[str, tuple[str, ...]]:
        """What each element counts or shows as its support, whether or not that exists."""
        below: dict[str, tuple[str, ...]] = {}
        for identifier, element in self.nodes.items():
            if isinstance(element, Claim):
                below[identifier] = element.supported_by + element.strengthened_by
            else:
                below[identifier] = element.supported_by if isinstance(element, Defeater) else ()
        return below

    @cached_property
    def parents(self) -> Mapping[str, Sequence[str]]:
        """Who counts or shows each element as support."""
        parents: dict[str, list[str]] = {}
        for identifier, below in self.support.items():
            for child in below:
                parents.setdefault(child, []).append(identifier)
        return parents

    @cached_property
    def _headers(self) -> Mapping[tuple[str, int], int] | None:
        # Counting [[...]] lines is a hundred times faster than a syntax tree, and right unless a multi-line string
        # may hold such a line.
        text = self.located.text
        if '"""' in text or "'''" in text:
            return None
        lines: dict[tuple[str, int], int] = {}
        counts: dict[str, int] = {}
        for number, line in enumerate(text.split("\n"), 1):
            found = _HEADER.match(line)
            if found:
                index = counts.get(found[1], 0)
                counts[found[1]] = index + 1
                lines[found[1], index] = number
        return lines

    def line_at(self, array: str, index: int, key: str | None = None) -> int | None:
        """The line of an element of an array, or of one of its keys."""
        headers = self._headers
        start = headers.get((array, index)) if headers is not None else None
        if start is None:
            return self.located.line_of((array, index, key) if key else (array, index))
        if key:
            lines = self.located.text.split("\n")
            for number in range(start, len(lines)):
                if re.match(r"\s*\[", lines[number]):
                    break
                if re.match(rf'\s*"?{re.escape(key)}"?\s*[=.]', lines[number]):
                    return number + 1
        return start

    def line_of(self, identifier: str, key: str | None = None) -> int | None:
        """The line of an element, or of one of its keys; None where it is not written."""
        place = self.places.get(identifier)
        return self.line_at(*place, key) if place else None

    def fault(self, code: str, message: str, identifier: str, key: str | None = None, hint: str | None = None) -> Fault:
        """A diagnostic at an element."""
        return Fault(code, message, str(self.file), self.line_of(identifier, key), identifier, hint)

    def inside(self, path: str) -> Path | None:
        """The file or folder ``path`` names in the folder of the case; None where it leaves it."""
        if not path or "\0" in path or "\\" in path or PurePosixPath(path).is_absolute():
            return None
        try:
            target = (self.folder / path).resolve()
            target.exists()
            return target if target.is_relative_to(self.folder.resolve()) else None
        except (OSError, RuntimeError):  # a circle of links, a name too long, a folder that may not be entered
            return None


def locate_case(path: str | Path) -> Path:
    """The ``case.toml`` that ``path`` (a file or a folder) names."""
    path = Path(path)
    return path / CASE_NAME if path.is_dir() else path


class _PlainToml(LocatedToml):
    """A document that was read by :func:`read_plain`; lines are found as in any other."""

    def __init__(self, text: str, file: str, data: dict[str, Any]) -> None:
        self.text, self.file, self.data = text, file, data


def _read(file: Path) -> LocatedToml:
    try:
        text = file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return read_toml(file)  # which says what is wrong
    data = read_plain(text)
    return LocatedToml(text, str(file)) if data is None else _PlainToml(text, str(file), data)


@collector_paused()
def load_case(path: str | Path) -> tuple[Case | None, list[Fault]]:
    """Read a case and everything wrong with its form; the case is None where nothing of it can be read."""
    file = Path(path)
    try:
        file = locate_case(path)
        if file.exists() and not file.is_file():
            return None, [Fault("C001", "not a file", str(file))]
        if file.is_file() and file.stat().st_size > MAX_CASE_BYTES:
            return None, [Fault("C002", f"larger than {MAX_CASE_BYTES} bytes", str(file))]
        located = _read(file)
    except FaultError as faulty:
        too_large = "file.too_large"
        return None, [
            Fault("C002" if f.code == too_large else "C001", f.message, f.file, f.line, f.name, f.hint)
            for f in faulty.faults
        ]
    except (OSError, ValueError) as error:  # a NUL in the path, an integer of ten thousand digits
        return None, [Fault("C001", str(error), str(file))]
    try:
        return Case(file, located, CaseFile.model_validate(located.data), frozenset()), []
    except ValidationError as error:
        faults = faults_of_validation(error, "C003", file=str(file), line_of=located.line_of)
        return _salvage(file, located), faults


def _salvage(file: Path, located: LocatedToml) -> Case | None:
    """The elements that do validate, so that the rest of the case is still checked."""
    kept: dict[str, Any] = {}
    broken: set[str] = set()
    for key, value in located.data.items():
        field = CaseFile.model_fields.get(key)
        if field is None:
            continue
        adapter: TypeAdapter[Any] = TypeAdapter(field.rebuild_annotation())
        if not isinstance(value, list):
            try:
                adapter.validate_python(value)
            except ValidationError:
                continue
            kept[key] = value
            continue
        kept[key] = []
        for entry in cast("list[Any]", value):
            try:
                adapter.validate_python([entry])
            except ValidationError:
                if isinstance(entry, dict):
                    broken.add(str(cast("dict[str, Any]", entry).get("id")))
            else:
                kept[key].append(entry)
    try:
        parsed = CaseFile.model_validate({"case": {}, **kept})
    except ValidationError:
        return None
    return Case(file, located, parsed, frozenset(broken))


def read_case(path: str | Path) -> Case:
    """Read a case.

    :raises FaultError: with every fault of its form (structure and bindings: :func:`toulmin.case.check_case`).
    """
    case, faults = load_case(path)
    if faults or case is None:
        raise FaultError(faults)
    return case


def case_schema() -> dict[str, Any]:
    """The JSON Schema of ``case.toml``."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **CaseFile.model_json_schema()}
