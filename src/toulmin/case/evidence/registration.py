"""Compares a case and its store with ``case.lock``: what was registered is what is judged.

Registered without a name, by ``case run``, is only what nobody could have chosen after a result: a criterion whose
study has no record in the ledger of the store, and the elements of a case none of whose studies has one. Everything
else (an element that changed, a record made elsewhere, a record that is gone) is said at every check, until somebody
accepts it by name with ``case accept``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from toulmin.case.evidence.resolve import Resolution
from toulmin.case.file.casefile import Case
from toulmin.case.file.contents import accepted_contents, changed_elements, element_contents
from toulmin.case.file.elements import Defeater
from toulmin.case.file.lock import Lock, LockedDecision, LockedEvidence, lock_text, write_lock
from toulmin.evidence import Evidence, Ledger, Store
from toulmin.evidence.disk import locked, unwritable
from toulmin.faults import Fault, FaultError

_HINT = "toulmin case accept --by NAME --why WHY registers it"
_SAYS = {
    "changed": ("C072", "it was edited after it was registered"),
    "gone": ("C073", "it was registered, and it is gone: deleted or renamed"),
    "new": ("C074", "it was never registered"),
}


def compare_with_lock(
    case: Case, lock: Lock, store: Store, resolutions: Mapping[str, Resolution], *, whole: bool
) -> list[Fault]:
    """Everything in which the case or its store differs from what the lock registered.

    ``whole`` says that every binding was resolved; else a record without an element may be the broken one's.
    """
    faults = [_of_element(case, *found) for found in _elements(case, lock)]
    try:
        ledger = store.ledger()
        audit = store.audit()
    except FaultError as faulty:
        return [*faults, *(Fault("C076", f.message, f.file, f.line) for f in faulty.faults)]
    for fault in audit:
        if fault.code == "ledger.gone" and fault.name in {*lock.gone, *lock.named}:
            continue  # accepted, or said below where the lock names it
        faults.append(Fault("C076", fault.message, fault.file, fault.line, (fault.name or "")[:12] or None))
    faults += _of_lock(case, lock, ledger)
    present = frozenset(store.ids())
    for name, entry in sorted(lock.evidence.items()):
        for identifier in entry.evidence:
            if identifier not in present and identifier not in lock.gone:
                message = f"the lock names the record {identifier[:12]}, and it is gone from the store"
                faults.append(case.fault("C071", message, name, hint=_HINT))
    return [*faults, *(_unaccounted(case, lock, store, resolutions) if whole else ())]


def _elements(case: Case, lock: Lock) -> Iterable[tuple[str, str]]:
    return changed_elements(lock.elements, element_contents(case)) if lock.elements else ()


def _of_element(case: Case, name: str, what: str) -> Fault:
    code, message = _SAYS[what]
    return Fault(code, message, str(case.file), case.line_of(name), name, _HINT)


def _of_lock(case: Case, lock: Lock, ledger: Ledger) -> Iterator[Fault]:
    file = str(case.file.parent / "case.lock")
    if lock.digest and lock.digest not in ledger.locks:
        message = "the ledger of the store does not know this lock: it was written by hand, or with another store"
        yield Fault("C075", message, file)
    if lock.ledger and not ledger.has(lock.ledger):
        yield Fault("C076", "the ledger of the store was cut: it lacks the line that the lock names", file)


def _unaccounted(case: Case, lock: Lock, store: Store, resolutions: Mapping[str, Resolution]) -> Iterator[Fault]:
    """Records in the store that no element rests on and nobody has accepted as left out."""
    used = {record.id: record for r in resolutions.values() for record in (*r.records, *r.reruns)}
    named = lock.named | used.keys() | set(lock.known)
    sources = [i.reference.removeprefix("evidence:") for r in used.values() for i in r.inputs]
    kinds = {r.question.study.kind for r in resolutions.values()} | {e.study for e in lock.evidence.values()}
    asked = {r.study_hash for r in resolutions.values()}
    for study, identifiers in store.by_study().items():
        for identifier in identifiers:
            if identifier in named or any(source.startswith(identifier[: source.find("/")]) for source in sources):
                if study not in asked and identifier in lock.known:
                    message = "no element is bound to its study; its being left out was accepted"
                    yield Fault("C053", message, str(case.file), None, identifier[:12])
                continue
            kind = _kind(store, identifier)
            if kind is not None and kind not in kinds:
                yield Fault("C053", "no element is bound to its study", str(case.file), None, identifier[:12])
                continue
            message = f"a record of {kind or 'a study'} that no element rests on: a run that was left out"
            yield Fault("C077", message, str(case.file), None, identifier[:12], _HINT)


def _kind(store: Store, identifier: str) -> str | None:
    try:
        return store.read(identifier).kind
    except FaultError:
        return None


def register(lock: Lock, case: Case, store: Store, resolutions: Mapping[str, Resolution], today: dt.date) -> Lock:
    """The lock with what may be registered without a name, before anything runs."""
    ledger = store.ledger()
    answered = {*ledger.records.values(), *ledger.begun.values()}
    contents = element_contents(case)
    elements = dict(lock.elements)
    if not lock.elements and not any(r.study_hash in answered for r in resolutions.values()):
        elements = contents
    entries: dict[str, LockedEvidence] = {}
    for node, resolution in resolutions.items():
        if node not in lock.evidence and resolution.study_hash not in answered:
            entries[node] = entry_of(resolution, today, since=len(ledger.hashes))
            elements.setdefault(node, contents[node])
    return lock.model_copy(update={"evidence": {**lock.evidence, **entries}, "elements": elements})


def entry_of(resolution: Resolution, today: dt.date, since: int, *records: Evidence) -> LockedEvidence:
    """The entry of an evidence node as it is now."""
    return LockedEvidence(
        criterion=resolution.question.node.criterion or "",
        registered=today,
        study=resolution.question.study.kind,
        study_hash=resolution.study_hash,
        inputs_hash=resolution.inputs_hash or "",
        seeds=resolution.question.node.seeds,
        since=since,
        evidence=tuple(sorted(record.id for record in records)),
    )


def name_records(lock: Lock, store: Store, resolutions: Mapping[str, Resolution]) -> Lock:
    """The lock with the records that were made of registered questions, with registered seeds, after registration."""
    entries: dict[str, LockedEvidence] = {}
    inputs: dict[str, str] = {}
    places = store.ledger().places
    for node, resolution in resolutions.items():
        entry = lock.evidence.get(node)
        if entry is None or entry.study_hash != resolution.study_hash:
            continue
        found = set(entry.evidence)
        for record in (*resolution.records, *resolution.reruns):
            registered = set(record.seeds) <= set(range(entry.seeds))
            registered |= not resolution.question.study.seed_changes_data()
            if registered and places.get(record.id, 0) > entry.since:
                found.add(record.id)
        if not resolution.binding.stale:
            entry = entry.model_copy(update={"inputs_hash": resolution.inputs_hash or ""})
            inputs |= {state.reference: state.now for state in resolution.binding.inputs if state.now is not None}
        entries[node] = entry.model_copy(update={"evidence": tuple(sorted(found))})
    return lock.model_copy(update={"evidence": {**lock.evidence, **entries}, "inputs": {**lock.inputs, **inputs}})


def bind_decisions(lock: Lock, case: Case, attached: Iterable[Defeater]) -> Lock:
    """The lock with the decisions it has not seen yet, bound to what they accept now."""
    contents = accepted_contents(case, attached)
    bound = {(d.of, d.kind, d.by, d.on): d for d in lock.decision}
    for a in case.acceptances:
        if a.of in contents and (a.of, a.kind, a.by, a.on) not in bound:
            new = LockedDecision(of=a.of, kind=a.kind, by=a.by, on=a.on, content=contents[a.of])
            bound[a.of, a.kind, a.by, a.on] = new
    return lock.model_copy(update={"decision": tuple(bound.values())})


def lock_held(path: Path) -> contextlib.AbstractContextManager[None]:
    """Held while ``case.lock`` is read, changed and written."""
    return locked(path.with_name(f".{path.name}.held"), remove=True)


def save_lock(path: Path, old: Lock, lock: Lock, store: Store) -> Lock:
    """Write the lock, unless it says what ``old`` says, and its digest into the ledger of the store.

    :raises FaultError: the disk is full or read-only; the old lock is then as it was.
    """
    if path.exists() and lock_text(lock)[1] == lock_text(old)[1]:
        return lock
    lock = lock.model_copy(update={"ledger": store.ledger().head})
    digest = lock_text(lock)[1]
    try:
        store.note("locked", digest=digest)
        write_lock(path, lock)
    except OSError as error:
        raise unwritable(error, path) from None
    return lock.model_copy(update={"digest": digest})
