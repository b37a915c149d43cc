"""References: the one grammar that names every input, and their fingerprints.

    embedded:NAME           a subject that ships with Toulmin
    hf:NAME[@REVISION]      a model of the hub, only from the local cache unless the user asks for a download
    dir:PATH                a folder (a Hugging Face directory, say)
    file:PATH               a file
    evidence:ID/ARTEFACT    a file that a study left

A relative path is relative to the file that named it. A fingerprint is the SHA-256 of the bytes (of a folder: of the
sorted list of names and hashes). It is computed from the bytes each time a question is asked of the resolver's owner:
modification times can be put back. Within one resolver and its copies a file is read once. ``trust_mtime`` also trusts
the hashes of earlier runs, for files with the same path, size, modification time, change time and inode.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from dataclasses import dataclass, field, replace
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


def _not_found(ref: Reference, message: str, hint: str | None) -> FaultError:
    return FaultError(Fault("reference.not_found", message, name=str(ref), hint=hint), ExitCode.SUBJECT)
