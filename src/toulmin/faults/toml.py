"""TOML with line numbers: tomllib reads it, tree-sitter finds the lines, and only when a fault needs one."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from toulmin.faults.fault import Fault, FaultError

MAX_BYTES = 64 * 1024 * 1024
KeyPath = tuple[str | int, ...]


class LocatedToml:
    """A parsed TOML document: ``data``, and :meth:`line_of` for the line of any key path in it."""

    def __init__(self, text: str, file: str) -> None:
        self.text, self.file = text, file
        try:
            self.data: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = re.search(r"\(at line (\d+), column \d+\)", str(error))
            line = int(found.group(1)) if found else len(text.splitlines()) or 1
            message = re.sub(r"\s*\(at [^)]*\)", "", str(error))
            raise FaultError(Fault("toml.syntax", message, file=file, line=line)) from None
        except RecursionError:
            raise FaultError(Fault("toml.syntax", "nested too deeply", file=file)) from None

    @cached_property
    def _lines(self) -> Mapping[KeyPath, int]:
        from toulmin.faults._toml_lines import lines_of_keys

        return lines_of_keys(self.text)

    def line_of(self, path: KeyPath) -> int | None:
        """The line (from 1) of the key at ``path``, or of the nearest enclosing table that has one."""
        while path:
            line = self._lines.get(path)
            if line is not None:
                return line
            path = path[:-1]
        return None


def read_toml(path: str | Path) -> LocatedToml:
    """Read a TOML file.

    :raises FaultError: the file is missing, larger than 64 MiB, not UTF-8, or not TOML (with the line).
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FaultError(Fault("file.too_large", f"larger than {MAX_BYTES} bytes", file=str(path)))
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise FaultError(Fault("file.unreadable", error.strerror or str(error), file=str(path))) from None
    except UnicodeDecodeError as error:
        raise FaultError(Fault("file.encoding", f"not UTF-8 at byte {error.start}", file=str(path))) from None
    return LocatedToml(text, str(path))
