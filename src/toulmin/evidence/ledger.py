"""The ledger of a store: every record that was ever written, in a chain of hashes that only grows.

    STORE/ledger.jsonl      {"event": ..., "hash": of this line without it, "prev": hash of the line before, ...}

Each line holds the hash of the line before it, so that a line that is removed, edited or moved breaks the chain behind
it; lines cut off the end are found by whoever kept the hash of the last line (``case.lock`` and a seal do). A record is
announced before it appears and confirmed after, so that a crash in between is told from a deletion:

``begun``       a record is about to be put in place
``kept``        it is in place
``reproduced``  the record was collected again by other code and agreed: ``code`` is that code's hash
``locked``      a case wrote its ``case.lock`` with this digest
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from toulmin.evidence.canonical import canonical_json, sha256_of_json
from toulmin.evidence.disk import locked
from toulmin.faults import ExitCode, Fault, FaultError

LEDGER, LEDGER_LOCK = "ledger.jsonl", "ledger.lock"
START = "0" * 64


@dataclass(frozen=True)
class Ledger:
    """A ledger as read; ``faults`` are the places where its chain is broken.

    ``records`` gives the study hash of each record that was kept, in the order of writing; ``begun`` those that were
    announced and never confirmed; ``reproduced`` the code hashes under which a record was reproduced; ``locks`` the
    digests of case locks; ``hashes`` the hash of each line.
    """

    records: Mapping[str, str] = field(default_factory=dict[str, str])
    begun: Mapping[str, str] = field(default_factory=dict[str, str])
    reproduced: Mapping[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    locks: frozenset[str] = frozenset()
    places: Mapping[str, int] = field(default_factory=dict[str, int])  #: the line (from 1) that announced each record
    hashes: Sequence[str] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def head(self) -> str:
        """The hash of the last line."""
        return self.hashes[-1] if self.hashes else START

    def has(self, head: str) -> bool:
        """Whether ``head`` was the hash of its last line at some time; an empty ledger's was."""
        return head == START or head in self.hashes


def read_ledger(root: Path) -> Ledger:
    """The ledger of the store at ``root``; an empty one where there is none.

    :raises FaultError: it cannot be read.
    """
    path = root / LEDGER
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Ledger()
    except (OSError, UnicodeDecodeError) as error:
        message = getattr(error, "strerror", None) or str(error)
        raise FaultError(Fault("ledger.unreadable", message, str(path)), ExitCode.EVIDENCE) from None
    records: dict[str, str] = {}
    begun: dict[str, str] = {}
    reproduced: dict[str, frozenset[str]] = {}
    locks: set[str] = set()
    places: dict[str, int] = {}
    hashes: list[str] = []
    faults: list[Fault] = []
    lines = text.split("\n")
    if lines and lines[-1]:
        # a writer that was killed left half a line; the next writer cuts it off, and nothing was lost with it
        lines.pop()
    for number, line in enumerate((line for line in lines if line), 1):
        try:
            entry = _entry(line, hashes[-1] if hashes else START)
        except ValueError as error:
            faults.append(Fault("ledger.broken", str(error), str(path), number))
            hashes.append(START)
            continue
        hashes.append(entry["hash"])
        record, study = entry.get("record", ""), entry.get("study", "")
        if entry["event"] == "begun":
            begun[record] = study
            places.setdefault(record, number)
        elif entry["event"] == "kept":
            records[record] = study
            begun.pop(record, None)
        elif entry["event"] == "reproduced":
            reproduced[record] = reproduced.get(record, frozenset()) | {entry.get("code", "")}
        elif entry["event"] == "locked":
            locks.add(entry.get("digest", ""))
    return Ledger(records, begun, reproduced, frozenset(locks), places, hashes, tuple(faults))


def _entry(line: str, before: str) -> dict[str, str]:
    try:
        found: object = json.loads(line)
    except ValueError:
        raise ValueError("not a line of a ledger") from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):  # type: ignore[union-attr]
        raise ValueError("not a line of a ledger")
    entry: dict[str, str] = found  # type: ignore[assignment]
    if entry.get("prev") != before:
        raise ValueError("a line before this one was removed, edited or moved")
    rest = {name: value for name, value in entry.items() if name != "hash"}
    if entry.get("hash") != sha256_of_json(rest) or "event" not in entry:
        raise ValueError("this line was edited")
    return entry


def append(root: Path, *entries: Mapping[str, str]) -> str:
    """Add lines to the ledger, flushed to disk; the hash of the last. The caller holds :func:`ledger_lock`.

    :raises OSError: the disk is full or read-only; the ledger is then as it was.
    """
    path = root / LEDGER
    with path.open("a+b") as file:
        file.seek(0)
        data = file.read()
        whole = data.rfind(b"\n") + 1  # what follows is half a line of a killed writer
        head = _hash_of_last(data[:whole])
        lines: list[str] = []
        for entry in entries:
            line: dict[str, str] = {**entry, "prev": head, "on": dt.datetime.now(dt.UTC).isoformat(timespec="seconds")}
            line["hash"] = head = sha256_of_json(line)
            lines.append(canonical_json(line) + "\n")
        file.truncate(whole)
        try:
            file.write("".join(lines).encode())
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.truncate(path, whole)  # take back what a full disk let us write
            raise
    return head


def _hash_of_last(data: bytes) -> str:
    if not data:
        return START
    try:
        return str(json.loads(data[data.rfind(b"\n", 0, -1) + 1 :])["hash"])
    except (ValueError, KeyError, TypeError):
        return START  # a broken chain stays broken: read_ledger says where


def ledger_lock(root: Path) -> contextlib.AbstractContextManager[None]:
    """Held while the ledger of a store grows."""
    return locked(root / LEDGER_LOCK)
