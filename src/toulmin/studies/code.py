"""The hash of the code that a study runs: which source files made a number.

A study's class lives in a package. Its code is every source file of that package and, from there on, of every package
of Toulmin that those files import; for a study outside Toulmin, of its own package and of the packages of Toulmin it
imports. The files are found and read without importing them, so no tensor library is loaded. The hash changes with
any byte of them, comments too: what a number rests on is the text that ran, not somebody's judgement of which edit
matters. Libraries are not covered; their versions are in the record (``software``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from toulmin.evidence import sha256_of_bytes, sha256_of_json

if TYPE_CHECKING:
    from toulmin.studies.study import Study

_TOULMIN = Path(__file__).resolve().parent.parent
_IMPORTS = re.compile(
    rb"^[ \t]*(?:from|import)[ \t]+toulmin\.(\w+)|^[ \t]*from[ \t]+toulmin[ \t]+import[ \t]+(.+)$", re.M
)
#: never part of how a number is made: what reads evidence, and what draws it
_READERS = frozenset({"case", "report", "cli"})


def code_hash(study: type[Study] | Study) -> str:
    """The hash of the code of a study; files are read again where their time, size or inode changed."""
    cls = study if isinstance(study, type) else type(study)
    files = sorted(_files_of(cls))
    return _hash_of(tuple(str(file) for file in files), tuple(_state(file) for file in files))


def _state(file: Path) -> tuple[int, int, int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino


@lru_cache(maxsize=64)
def _hash_of(files: tuple[str, ...], states: tuple[tuple[int, int, int, int], ...]) -> str:
    listing: list[tuple[str, str]] = []
    for name, state in zip(files, states, strict=True):
        path = Path(name)
        place = (
            path.relative_to(_TOULMIN.parent) if path.is_relative_to(_TOULMIN) else Path(path.parent.name, path.name)
        )
        listing.append((place.as_posix(), _read(name, state)[0]))
    return sha256_of_json(sorted(listing))


@lru_cache(maxsize=4096)
def _read(name: str, state: tuple[int, int, int, int]) -> tuple[str, frozenset[str]]:
    """The hash of a source file, and the packages of Toulmin that it names in imports."""
    data = Path(name).read_bytes()
    packages: set[str] = set()
    for submodule, several in _IMPORTS.findall(data):
        named = [submodule] if submodule else re.findall(rb"\w+", several)
        packages |= {part.decode() for part in named}
    return sha256_of_bytes(data), frozenset(packages)


def _files_of(cls: type[Study]) -> set[Path]:
    module = sys.modules[cls.__module__]
    file = Path(module.__file__ or "").resolve()
    found: set[Path] = set()
    waiting: list[str] = []
    seen: set[str] = set()

    def add(paths: Iterator[Path]) -> None:
        for path in paths:
            if path not in found:
                found.add(path)
                waiting.extend(_read(str(path), _state(path))[1])

    if file.is_relative_to(_TOULMIN):
        waiting.append(file.relative_to(_TOULMIN).parts[0])
    elif "." in cls.__module__:
        add(_sources(_top(module.__name__, file)))
    else:
        add(iter([file] if file.is_file() else []))
    while waiting:
        name = waiting.pop()
        if name not in seen and name not in _READERS:
            seen.add(name)
            add(_sources(_TOULMIN / name))
    return found


def _top(name: str, file: Path) -> Path:
    """The folder of the outermost package that a module outside Toulmin is in."""
    depth = name.count(".") - (0 if file.stem == "__init__" else 1)
    return file.parents[max(0, depth)]


def _sources(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)
