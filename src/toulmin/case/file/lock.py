"""``case.lock``: the criteria, evidence and hashes last accepted, and the history of verdicts.

``toulmin case run`` writes an entry *before* it runs a study, so that a criterion edited after the result is seen;
``toulmin case accept`` writes the entries as they are now, in somebody's name.
"""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from toulmin.case.file.elements import Strict, Unit
from toulmin.case.file.tomlwriter import write_key, write_table
from toulmin.faults import Fault, FaultError, faults_of_validation, read_toml

KEPT_HISTORY = 500
GONE, INVALID = "gone", "invalid"


class LockedEvidence(Strict):
    """What was accepted of one evidence node."""

    criterion: str
    registered: dt.date  #: when the criterion was written here
    study_hash: str = ""
    inputs_hash: str = ""
    evidence: Annotated[tuple[str, ...], Field(strict=False)] = ()
    by: str | None = None  #: who accepted a criterion that was edited after the result
    loosened_from: str | None = None  #: the criterion before the last loosening, kept for the reader


class HistoryEntry(Strict):
    """One verdict of the past.

    ``changed`` gives the state of each claim and piece of evidence that was another in the moment before:
    ``"supported"``, ``"supported, stale"``, or ``"gone"``. :func:`states_of` adds them up.
    """

    on: dt.date
    health: str
    freshness: str
    exit_code: int
    low: Unit | None = None
    high: Unit | None = None
    changed: dict[str, str] = Field(default_factory=dict[str, str])


class Lock(Strict):
    """A whole ``case.lock``."""

    version: int = 1
    evidence: dict[str, LockedEvidence] = Field(default_factory=dict[str, LockedEvidence])
    inputs: dict[str, str] = Field(default_factory=dict[str, str])
    history: Annotated[tuple[HistoryEntry, ...], Field(strict=False)] = ()


def read_lock(path: Path) -> tuple[Lock, list[Fault]]:
    """The lock at ``path`` (an empty one where there is none) and what is wrong with it."""
    if not path.exists():
        return Lock(), []
    try:
        located = read_toml(path)
        return Lock.model_validate(located.data), []
    except FaultError as faulty:
        return Lock(), [Fault("C025", f.message, f.file, f.line) for f in faulty.faults]
    except ValidationError as error:
        faults = faults_of_validation(error, "C025", file=str(path), line_of=located.line_of)  # type: ignore[possibly-undefined]
        return Lock(), faults
    except ValueError as error:  # an integer of ten thousand digits
        return Lock(), [Fault("C025", str(error), str(path))]


def write_lock(path: Path, lock: Lock) -> None:
    """Replace the lock atomically."""
    parts = ["# Written by `toulmin case run` and `toulmin case accept`; keep it under version control.\nversion = 1\n"]
    if lock.inputs:
        parts.append(write_table("[inputs]", dict(sorted(lock.inputs.items()))))
    for name, entry in sorted(lock.evidence.items()):
        parts.append(write_table(f"[evidence.{write_key(name)}]", entry.model_dump(exclude_defaults=True)))
    for moment in _last(lock.history, KEPT_HISTORY):
        parts.append(write_table("[[history]]", moment.model_dump(exclude_none=True, exclude_defaults=True)))
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".lock-")
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write("\n".join(parts))
    Path(temporary).replace(path)


def with_entries(lock: Lock, entries: Mapping[str, LockedEvidence], inputs: Mapping[str, str]) -> Lock:
    """The lock with these entries and input hashes in place of the old ones."""
    return lock.model_copy(update={"evidence": {**lock.evidence, **entries}, "inputs": {**lock.inputs, **inputs}})


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
    now = moment.changed if moment.health != INVALID else before  # of a malformed case nothing more is known
    changed = {name: state for name, state in now.items() if before.get(name) != state}
    changed |= {name: GONE for name in before if name not in now}
    moment = moment.model_copy(update={"changed": changed})
    if lock.history and not changed and lock.history[-1].model_copy(update={"changed": changed}) == moment:
        return lock
    return lock.model_copy(update={"history": (*lock.history, moment)})
