"""References: the one grammar that names every input, and their fingerprints.

    embedded:NAME           a subject that ships with Toulmin
    hf:NAME[@REVISION]      a model of the hub, only from the local cache unless the user asks for a download
    dir:PATH                a folder (a Hugging Face directory, say)
    file:PATH               a file
    evidence:ID/ARTEFACT    a file that a study left

A relative path is relative to the file that named it. A fingerprint is the SHA-256 of the bytes (of a folder: of the
sorted list of names and hashes); it is cached by path, size, modification time and inode, because weights are large.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from toulmin.evidence import Store, sha256_of_file, sha256_of_json
from toulmin.faults import ExitCode, Fault, FaultError

SCHEMES = ("embedded", "hf", "dir", "file", "evidence")
_ASSETS = Path(__file__).resolve().parent.parent / "assets"
_SMALL = 1 << 16  # hashing less than this is faster than looking it up


@dataclass(frozen=True)
class Reference:
    """A parsed reference; ``str()`` gives the text back."""

    scheme: str
    name: str  #: name, path, or evidence id
    detail: str | None = None  #: the revision of ``hf:``, the artefact of ``evidence:``

    def __str__(self) -> str:
        joint = {"hf": "@", "evidence": "/"}.get(self.scheme, "")
        return f"{self.scheme}:{self.name}" + (f"{joint}{self.detail}" if self.detail else "")


def parse_reference(text: str) -> Reference:
    """Parse a reference.

    :raises FaultError: an unknown scheme, or a name that does not fit it.
    """
    scheme, colon, rest = text.partition(":")
    fault: str | None = None
    name, detail = rest, None
    if not colon or scheme not in SCHEMES:
        fault = "a reference begins with " + ", ".join(f"{s}:" for s in SCHEMES)
    elif not rest:
        fault = "nothing follows the colon"
    elif scheme == "embedded" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", rest):
        fault = "an embedded subject is named by letters, digits, '.', '_' and '-'"
    elif scheme == "hf":
        name, _, revision = rest.partition("@")
        detail = revision or None
    elif scheme == "evidence":
        name, _, artefact = rest.partition("/")
        detail = artefact or None
        if not re.fullmatch(r"[0-9a-f]{6,64}", name) or detail is None or ".." in detail.split("/"):
            fault = "write evidence:ID/ARTEFACT, with at least six hexadecimal digits of the id"
    if fault:
        raise FaultError(Fault("reference.malformed", fault, name=text))
    return Reference(scheme, name, detail)


class _FingerprintCache:
    """Hashes of large files by (path, size, mtime, inode), in the user's cache folder; losing it costs only time."""

    def __init__(self) -> None:
        base = os.environ.get("TOULMIN_CACHE") or os.environ.get("XDG_CACHE_HOME")
        self._path = (Path(base) if base else Path.home() / ".cache") / "toulmin" / "fingerprints.json"

    def _load(self) -> dict[str, str]:
        try:
            data: object = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return data if isinstance(data, dict) else {}  # type: ignore[return-value]

    def sha256(self, path: Path, *, rehash: bool) -> str:
        status = path.stat()
        if status.st_size < _SMALL:
            return sha256_of_file(path)
        key = f"{path.resolve()}|{status.st_size}|{status.st_mtime_ns}|{status.st_ino}"
        known = self._load()
        if key in known and not rehash:
            return known[key]
        digest = sha256_of_file(path)
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(self._load() | {key: digest}, file)
            Path(name).replace(self._path)
        return digest


@dataclass(frozen=True)
class Resolver:
    """Finds what references name: ``base`` for relative paths, ``store`` for evidence; ``rehash`` distrusts the cache.

    ``download`` is true only when the user asked for it: without it a hub name that is not cached is a fault.
    """

    base: Path = field(default_factory=Path.cwd)
    store: Store | None = None
    rehash: bool = False
    download: bool = False

    def locate(self, reference: str | Reference) -> Path:
        """The file or folder that ``reference`` names.

        :raises FaultError: there is none.
        """
        ref = parse_reference(reference) if isinstance(reference, str) else reference
        if ref.scheme == "embedded":
            path = _ASSETS / ref.name
            if not path.is_dir():
                known = ", ".join(
                    sorted(p.name for p in _ASSETS.iterdir() if p.is_dir() and not p.name.startswith("_"))
                )
                raise _not_found(ref, "no embedded subject of that name", f"there are: {known}")
            return path
        if ref.scheme == "evidence":
            if self.store is None:
                raise _not_found(ref, "no evidence store was given", None)
            return self.store.artefact(self.store.resolve(ref.name), ref.detail or "")
        if ref.scheme == "hf":
            return self._hub_snapshot(ref)
        path = Path(ref.name).expanduser()
        path = path if path.is_absolute() else self.base / path
        if not (path.is_dir() if ref.scheme == "dir" else path.is_file()):
            raise _not_found(ref, f"no such {'folder' if ref.scheme == 'dir' else 'file'}: {path}", None)
        return path

    def _hub_snapshot(self, ref: Reference) -> Path:
        from toulmin.faults import require_extra

        hub = require_extra("huggingface_hub", "hf")
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

        try:
            patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.bin.index.json"]
            return Path(
                hub.snapshot_download(
                    ref.name, revision=ref.detail, local_files_only=not self.download, allow_patterns=patterns
                )
            )
        except LocalEntryNotFoundError:
            raise _not_found(ref, "not in the local hub cache", "--download allows fetching it from the hub") from None
        except (HfHubHTTPError, HFValidationError, OSError) as error:
            raise _not_found(ref, str(error).splitlines()[0], None) from None

    def fingerprint(self, reference: str | Reference) -> tuple[str, int]:
        """The SHA-256 and the size in bytes of what ``reference`` names.

        :raises FaultError: there is nothing there.
        """
        path = self.locate(reference)
        cache = _FingerprintCache()
        if path.is_file():
            return cache.sha256(path, rehash=self.rehash), path.stat().st_size
        files = sorted(
            p for p in path.rglob("*") if p.is_file() and not any(q.startswith(".") for q in p.relative_to(path).parts)
        )
        listing = {f.relative_to(path).as_posix(): cache.sha256(f, rehash=self.rehash) for f in files}
        return sha256_of_json(listing), sum(f.stat().st_size for f in files)


def _not_found(ref: Reference, message: str, hint: str | None) -> FaultError:
    return FaultError(Fault("reference.not_found", message, name=str(ref), hint=hint), ExitCode.SUBJECT)
