"""SGF files of recorded games: of a folder, of a ``.tar.gz``, or one file."""

from __future__ import annotations

import fnmatch
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path


def members_of(source: Path, select: Sequence[str] = ("*",)) -> list[str]:
    """The SGF files of a folder or archive whose path fits one of the patterns, sorted."""
    if source.is_dir():
        names = [path.relative_to(source).as_posix() for path in source.rglob("*")]
    elif tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            names = [entry.name for entry in archive.getmembers() if entry.isfile()]
    else:
        names = [source.name]
    names = [name for name in names if name.lower().endswith((".sgf", ".sgfs"))]
    return sorted(name for name in names if any(fnmatch.fnmatch(name, pattern) for pattern in select))


def bytes_of(source: Path, member: str) -> bytes:
    """What a file of a folder or archive holds."""
    if source.is_dir():
        return (source / member).read_bytes()
    if tarfile.is_tarfile(source):
        with tarfile.open(source) as archive:
            file = archive.extractfile(member)
            return b"" if file is None else file.read()
    return source.read_bytes()


def read_all(source: Path, select: Sequence[str] = ("*",)) -> Iterator[tuple[str, bytes]]:
    """Every file that :func:`members_of` names, with its bytes, in that order; an archive is unpacked once."""
    names = members_of(source, select)
    if source.is_dir() or not tarfile.is_tarfile(source):
        yield from ((name, bytes_of(source, name)) for name in names)
        return
    wanted, found = set(names), dict[str, bytes]()
    with tarfile.open(source) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.name in wanted else None
            if file is not None:
                found[entry.name] = file.read()
    yield from ((name, found[name]) for name in names if name in found)
