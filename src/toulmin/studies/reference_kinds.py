"""The kinds of references that Toulmin itself has; each is an entry point of the group ``toulmin.subjects``."""

from __future__ import annotations

import os
import re
from pathlib import Path

from toulmin.studies.references import Reference, ReferenceKind, Resolver, not_found

_ASSETS = Path(__file__).resolve().parent.parent / "assets"


def _embedded_name(name: str, detail: str | None) -> str | None:
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
        return None
    return "an embedded or cached subject is named by letters, digits, '.', '_' and '-'"


def _embedded(ref: Reference, resolver: Resolver) -> Path:
    path = _ASSETS / ref.name
    if not path.is_dir():
        known = sorted(p.name for p in _ASSETS.iterdir() if p.is_dir() and not p.name.startswith("_"))
        raise not_found(ref, "no embedded subject of that name", f"there are: {', '.join(known)}")
    return path


def _evidence_name(name: str, detail: str | None) -> str | None:
    if re.fullmatch(r"[0-9a-f]{6,64}", name) and detail is not None and ".." not in detail.split("/"):
        return None
    return "write evidence:ID/ARTEFACT, with at least six hexadecimal digits of the id"


def _evidence(ref: Reference, resolver: Resolver) -> Path:
    if resolver.store is None:
        raise not_found(ref, "no evidence store was given")
    return resolver.store.artefact(resolver.store.resolve(ref.name), ref.detail or "")


def _hub(ref: Reference, resolver: Resolver) -> Path:
    from toulmin.faults import require_extra

    hub = require_extra("huggingface_hub", "hf")
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        patterns = ["*.json", "*.safetensors", "*.model", "*.txt", "*.bin.index.json"]
        return Path(
            hub.snapshot_download(
                ref.name, revision=ref.detail, local_files_only=not resolver.download, allow_patterns=patterns
            )
        )
    except LocalEntryNotFoundError:
        raise not_found(ref, "not in the local hub cache", "--download allows fetching it from the hub") from None
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise not_found(ref, str(error).splitlines()[0]) from None


def _folder(ref: Reference, resolver: Resolver) -> Path:
    path = resolver.base / Path(ref.name).expanduser()
    if not path.is_dir():
        raise not_found(ref, f"no such folder: {path}")
    return path


def _file(ref: Reference, resolver: Resolver) -> Path:
    path = resolver.base / Path(ref.name).expanduser()
    if not path.is_file():
        raise not_found(ref, f"no such file: {path}")
    return path


def cached_subject_folder(name: str) -> Path:
    """Where a subject that was fetched once is kept for this user: ``$TOULMIN_CACHE``, or the user's cache folder."""
    base = os.environ.get("TOULMIN_CACHE") or os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "toulmin" / "subjects" / name


def _cached(ref: Reference, resolver: Resolver) -> Path:
    path = cached_subject_folder(ref.name)
    if not (path / "model.safetensors").is_file():
        raise not_found(ref, "not in the user's cache", f"toulmin subjects get {ref.name} fetches it once")
    return path


EMBEDDED = ReferenceKind(_embedded, fault=_embedded_name)
HUB = ReferenceKind(_hub, separator="@")
FOLDER = ReferenceKind(_folder)
FILE = ReferenceKind(_file)
CACHED = ReferenceKind(_cached, fault=_embedded_name)
GGUF = ReferenceKind(_file)
EVIDENCE = ReferenceKind(_evidence, separator="/", fault=_evidence_name)
