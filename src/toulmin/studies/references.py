"""References: the one grammar that names every input, and their fingerprints.

    embedded:NAME           a subject that ships with Toulmin
    hf:NAME[@REVISION]      a model of the hub, only from the local cache unless the user asks for a download
    dir:PATH                a folder (a Hugging Face directory, say)
    file:PATH               a file
    gguf:PATH               a model in a GGUF file
    cached:NAME             a subject that ``toulmin subjects get NAME`` fetched
    evidence:ID/ARTEFACT    a file that a study left

An installed package adds a kind by an entry point of the group ``toulmin.subjects`` (:class:`ReferenceKind`).

A relative path is relative to the file that named it. A fingerprint is the SHA-256 of the bytes (of a folder: of the
sorted list of names and hashes). It is computed from the bytes each time a question is asked of the resolver's owner:
modification times can be put back. Within one resolver and its copies a file is read once. ``trust_mtime`` also trusts
the hashes of earlier runs, for files with the same path, size, modification time, change time and inode.
"""

from __future__ import annotations

import difflib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toulmin.evidence import Store, sha256_of_file, sha256_of_json
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies.registry import Registry

_SMALL = 1 << 16  # hashing less than this is faster than looking it up


@dataclass(frozen=True)
class Reference:
    """A parsed reference; ``str()`` gives the text back."""

    scheme: str
    name: str  #: name, path, or evidence id
    detail: str | None = None  #: the revision of ``hf:``, the artefact of ``evidence:``
    separator: str = field(default="", repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.scheme}:{self.name}" + (f"{self.separator}{self.detail}" if self.detail else "")


def _no_fault(name: str, detail: str | None) -> str | None:
    return None


@dataclass(frozen=True)
class ReferenceKind:
    """What may stand before the colon, and what it names: an entry point of the group ``toulmin.subjects``.

    ``locate`` gives the file or folder, whose bytes are the fingerprint. ``separator`` stands between name and detail,
    where there is one. ``fault`` says what is wrong with a name (None: nothing). ``load`` makes a
    ``toulmin.subjects.Subject`` from the path and a ``torch.dtype``; default: by the files found there. Its module
    loads without torch: import that inside ``load``.
    """

    locate: Callable[[Reference, Resolver], Path]
    separator: str = ""
    fault: Callable[[str, str | None], str | None] = _no_fault
    load: Callable[[Path, Any], Any] | None = None


_KINDS: Registry[ReferenceKind] = Registry(
    "toulmin.subjects", "kind of reference", "reference.malformed", ReferenceKind, broken="reference.broken"
)


def find_reference_kind(scheme: str) -> ReferenceKind:
    """The kind of reference that begins with ``scheme:``.

    :raises FaultError: there is none, or its package is broken.
    """
    return _KINDS.find(scheme)


def parse_reference(text: str) -> Reference:
    """Parse a reference.

    :raises FaultError: an unknown scheme, or a name that does not fit it.
    """
    scheme, colon, rest = text.partition(":")
    known = _KINDS.names()
    if not colon or scheme not in known:
        message = "a reference begins with " + ", ".join(f"{s}:" for s in known)
        near = difflib.get_close_matches(scheme, known, n=1)
        hint = f"did you mean {near[0]}:{rest}" if near and colon else None
        raise FaultError(Fault("reference.malformed", message, name=text, hint=hint))
    kind = find_reference_kind(scheme)
    name, _, detail = rest.partition(kind.separator) if kind.separator else (rest, "", "")
    fault = kind.fault(name, detail or None) if rest else "nothing follows the colon"
    if fault:
        raise FaultError(Fault("reference.malformed", fault, name=text))
    return Reference(scheme, name, detail or None, kind.separator)


def _identity(path: Path) -> str:
    status = path.stat()
    times = f"{status.st_mtime_ns}|{status.st_ctime_ns}"
    return f"{path.resolve()}|{status.st_size}|{times}|{status.st_dev}|{status.st_ino}"


class _FingerprintCache:
    """Hashes of large files from earlier runs, in the user's cache folder; losing it costs only time.

    A file is known by path, size, modification time, change time and inode. The modification time can be set to
    anything; the change time is the kernel's, and moves with every write.
    """

    def __init__(self) -> None:
        base = os.environ.get("TOULMIN_CACHE") or os.environ.get("XDG_CACHE_HOME")
        self._path = (Path(base) if base else Path.home() / ".cache") / "toulmin" / "fingerprints.json"

    def _load(self) -> dict[str, str]:
        try:
            data: object = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}  # type: ignore[return-value]

    def sha256(self, path: Path) -> str:
        if path.stat().st_size < _SMALL:
            return sha256_of_file(path)
        key = _identity(path)
        known = self._load()
        if key in known:
            return known[key]
        digest = sha256_of_file(path)
        temporary: Path | None = None
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent)
            temporary = Path(name)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._load() | {key: digest}, file)
            temporary.replace(self._path)
        except OSError:  # a full or read-only disk costs us the cache, nothing else
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        return digest


@dataclass(frozen=True)
class Resolver:
    """Finds what references name: ``base`` for relative paths, ``store`` for evidence.

    ``trust_mtime`` takes hashes of earlier runs for files that look untouched, instead of reading their bytes.
    ``download`` is true only when the user asked for it: without it a hub name that is not cached is a fault.
    """

    base: Path = field(default_factory=Path.cwd)
    store: Store | None = None
    trust_mtime: bool = False
    download: bool = False
    _known: dict[str, str] = field(default_factory=dict[str, str], repr=False, compare=False)

    def locate(self, reference: str | Reference) -> Path:
        """The file or folder that ``reference`` names.

        :raises FaultError: there is none.
        """
        ref = parse_reference(reference) if isinstance(reference, str) else reference
        return find_reference_kind(ref.scheme).locate(ref, self)

    def fingerprint(self, reference: str | Reference) -> tuple[str, int]:
        """The SHA-256 and the size in bytes of what ``reference`` names.

        :raises FaultError: there is nothing there.
        """
        path = self.locate(reference)
        if path.is_file():
            return self._sha256(path), path.stat().st_size
        files = sorted(
            p for p in path.rglob("*") if p.is_file() and not any(q.startswith(".") for q in p.relative_to(path).parts)
        )
        listing = {f.relative_to(path).as_posix(): self._sha256(f) for f in files}
        return sha256_of_json(listing), sum(f.stat().st_size for f in files)

    def _sha256(self, path: Path) -> str:
        if self.trust_mtime:
            return _FingerprintCache().sha256(path)
        key = _identity(path)
        if key not in self._known:
            self._known[key] = sha256_of_file(path)
        return self._known[key]

    def afresh(self) -> Resolver:
        """The same resolver, which reads every file again."""
        return replace(self, trust_mtime=False, _known={})

    def inside(self, base: Path) -> Resolver:
        """The same resolver for another base folder; what it has read it need not read again."""
        return replace(self, base=base)


def not_found(ref: Reference, message: str, hint: str | None = None) -> FaultError:
    """The fault of a reference that names nothing."""
    return FaultError(Fault("reference.not_found", message, name=str(ref), hint=hint), ExitCode.SUBJECT)
