"""One way to write JSON, so that equal values have equal hashes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical_json(value: Any) -> str:
    """Keys sorted, no spaces, shortest round-trip floats, UTF-8 left alone.

    :raises ValueError: a float is NaN or infinite: evidence holds only finite numbers.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of_bytes(data: bytes) -> str:
    """The SHA-256 of ``data`` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def sha256_of_json(value: Any) -> str:
    """The SHA-256 of :func:`canonical_json` of ``value``."""
    return sha256_of_bytes(canonical_json(value).encode())


def sha256_of_file(path: Path) -> str:
    """The SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
