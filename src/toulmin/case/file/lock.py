"""``case.lock``: what was registered of a case, who accepted a change of it, and the history of verdicts.

``toulmin case run`` registers criteria, seeds and every element's content *before* it runs a study, so that an edit
after the result is seen, and names the records it made. ``toulmin case accept`` registers the case as it is now, in
somebody's name. The file holds the SHA-256 of its own text, which the ledger of the store also keeps: a lock edited by
hand is not one that Toulmin wrote.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, ValidationError

from toulmin.case.file.elements import Strict, Unit
from toulmin.case.file.tomlwriter import write_key, write_table, write_value
from toulmin.evidence import sha256_of_bytes
from toulmin.faults import Fault, FaultError, faults_of_validation, read_toml

VERSION = 2
KEPT_HISTORY = 500
GONE = "gone"
_DIGEST = '\ndigest = "'


class LockedEvidence(Strict):
    """What was registered of one evidence node.

    ``since`` is the number of lines of the store's ledger when it was registered: records on later lines were made
    after their criterion was written down. ``evidence`` names every record the node has rested on.
    """

    criterion: str
    registered: dt.date  #: when the criterion was written here
    study: str = ""
    study_hash: str = ""
    inputs_hash: str = ""
    seeds: int = 1
    since: int = 0
    evidence: Annotated[tuple[str, ...], Field(strict=False)] = ()
    by: str | None = None  #: who accepted it, if it was not registered before the result
    loosened_from: str | None = None  #: the criterion before the last loosening, kept for the reader


class LockedDecision(Strict):
    """An acceptance of the case, and the hash of what it accepts (:func:`accepted_content`)."""

    of: str
    kind: str
    by: str
    on: dt.date
    content: str


class AcceptedChanges(Strict):
    """What somebody accepted with ``toulmin case accept``."""

    by: str
    on: dt.date
    why: str
    changes: Annotated[tuple[str, ...], Field(strict=False)] = ()


class HistoryEntry(Strict):
    """One verdict of the past.

    ``changed`` gives the state of each claim and piece of evidence that was another in the moment before:
    ``"supported"``, ``"supported, stale"``, or ``"gone"``. :func:`states_of` adds them up.
    """

    INVALID: ClassVar = "invalid"  #: the health of a malformed case

    on: dt.date
    health: str
    freshness: str
    exit_code: int
    low: Unit | None = None
    high: Unit | None = None
    changed: dict[str, str] = Field(default_factory=dict[str, str])


class Lock(Strict):
    """A whole ``case.lock``.

    ``ledger`` is the hash of the last line of the store's ledger when the lock was written; ``known`` names records
    that no element rests on and that somebody knows of; ``gone`` records whose absence somebody accepted; ``elements``
    gives the hash of the content of each element.
    """

    version: int = VERSION
    digest: str = ""
    ledger: str = ""
    known: Annotated[tuple[str, ...], Field(strict=False)] = ()
    gone: Annotated[tuple[str, ...], Field(strict=False)] = ()
    elements: dict[str, str] = Field(default_factory=dict[str, str])
    evidence: dict[str, LockedEvidence] = Field(default_factory=dict[str, LockedEvidence])
    inputs: dict[str, str] = Field(default_factory=dict[str, str])
    decision: Annotated[tuple[LockedDecision, ...], Field(strict=False)] = ()
    accepted: Annotated[tuple[AcceptedChanges, ...], Field(strict=False)] = ()
    history: Annotated[tuple[HistoryEntry, ...], Field(strict=False)] = ()

    @property
    def named(self) -> frozenset[str]:
        """Every record that an element has rested on."""
        return frozenset(identifier for entry in self.evidence.values() for identifier in entry.evidence)


def read_lock(path: Path) -> tuple[Lock, list[Fault]]:
    """The lock at ``path`` (an empty one where there is none) and what is wrong with it."""
    if not path.exists():
        return Lock(), []
    try:
        located = read_toml(path)
        version = located.data.get("version")
        if version != VERSION:
            message = f"it is of version {version!r}, and this Toulmin reads {VERSION}: its registrations are unknown"
            hint = "toulmin case accept registers the case as it is now"
            return Lock(), [Fault("C075", message, str(path), located.line_of(("version",)), hint=hint)]
        lock = Lock.model_validate(located.data)
    except FaultError as faulty:
        return Lock(), [Fault("C025", f.message, f.file, f.line) for f in faulty.faults]
    except ValidationError as error:
        faults = faults_of_validation(error, "C025", file=str(path), line_of=located.line_of)  # type: ignore[possibly-undefined]
        return Lock(), faults
    except ValueError as error:  # an integer of ten thousand digits
        return Lock(), [Fault("C025", str(error), str(path))]
    if lock.digest != _digest_of(_below_digest(located.text)):
        message = "it was edited by hand: its text does not have the digest that it names"
        return lock, [Fault("C075", message, str(path), located.line_of(("digest",)))]
    return lock, []


def _below_digest(text: str) -> str:
    _, _, rest = text.replace("\r\n", "\n").partition(_DIGEST)
    return rest.partition("\n")[2]


def _digest_of(text: str) -> str:
    return sha256_of_bytes(text.encode())


def lock_text(lock: Lock) -> tuple[str, str]:
    """The text of a lock and its digest."""
    tops = {"ledger": lock.ledger or None, "known": lock.known or None, "gone": lock.gone or None}
    parts = ["".join(f"{name} = {write_value(value)}\n" for name, value in tops.items() if value is not None)]
    for name in ("elements", "inputs"):
        table: Mapping[str, str] = getattr(lock, name)
        if table:
            parts.append(write_table(f"[{name}]", dict(sorted(table.items()))))
    for name, entry in sorted(lock.evidence.items()):
        parts.append(write_table(f"[evidence.{write_key(name)}]", entry.model_dump(exclude_defaults=True)))
    for decision in lock.decision:
        parts.append(write_table("[[decision]]", decision.model_dump()))
    for accepted in lock.accepted:
        parts.append(write_table("[[accepted]]", accepted.model_dump(exclude_defaults=True)))
    for moment in _last(lock.history, KEPT_HISTORY):
        parts.append(write_table("[[history]]", moment.model_dump(exclude_none=True, exclude_defaults=True)))
    body = "\n".join(parts)
    digest = _digest_of(body)
    head = "# Written by `toulmin case run` and `toulmin case accept`; keep it under version control, do not edit it.\n"
    return f'{head}version = {VERSION}{_DIGEST}{digest}"\n{body}', digest


def write_lock(path: Path, lock: Lock) -> str:
    """Replace the lock atomically; its digest.

    :raises OSError: the disk is full or read-only; the old lock is then as it was.
    """
    text, digest = lock_text(lock)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".lock-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return digest


def states_of(history: Iterable[HistoryEntry]) -> list[dict[str, str]]:
    """The states of all elements at each moment."""
    states: list[dict[str, str]] = []
    known: dict[str, str] = {}
    for moment in history:
        known = {**known, **moment.changed}
        known = {name: state for name, state in known.items() if state != GONE}
        states.append(known)
    return states


def _last(history: Sequence[HistoryEntry], count: int) -> Sequence[HistoryEntry]:
    """The last ``count`` moments, the first of them with the states of all elements."""
    if len(history) <= count:
        return history
    start = len(history) - count
    return [history[start].model_copy(update={"changed": states_of(history[: start + 1])[-1]}), *history[start + 1 :]]


def with_moment(lock: Lock, moment: HistoryEntry) -> Lock:
    """The lock with one more verdict in its history, unless it repeats the last one of the same day.

    ``moment.changed`` holds the states of all elements; what is kept is how they differ from those known.
    """
    before = states_of(lock.history)[-1] if lock.history else {}
    now = (
        moment.changed if moment.health != HistoryEntry.INVALID else before
    )  # of a malformed case nothing more is known
    changed = {name: state for name, state in now.items() if before.get(name) != state}
    changed |= {name: GONE for name in before if name not in now}
    moment = moment.model_copy(update={"changed": changed})
    if lock.history and not changed and lock.history[-1].model_copy(update={"changed": changed}) == moment:
        return lock
    return lock.model_copy(update={"history": (*lock.history, moment)})
