"""``case run`` and ``case accept``: making the evidence a case asks for, and keeping the lock.

What is asked is registered in the lock before a study runs; from then on an edit of it is an edit after the result,
until somebody accepts it by name. The lock is read, merged and written under a file lock, so that several runs of one
case at once lose nothing. Each study runs in a working folder of its own, so a run that was killed goes on where it
stopped, and what it had finished is not made again.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toulmin.case.argument.health import Freshness, Outcome
from toulmin.case.argument.verdict import Reason
from toulmin.case.checking import Checked, check_case, require_valid
from toulmin.case.evidence.criterion import compare_criteria
from toulmin.case.evidence.registration import bind_decisions, entry_of, lock_held, name_records, register, save_lock
from toulmin.case.evidence.resolve import Resolution
from toulmin.case.file.casefile import LOCK_NAME
from toulmin.case.file.contents import element_contents
from toulmin.case.file.decisions import has_visible_character
from toulmin.case.file.diagnostics import ACCEPTABLE, worst_first
from toulmin.case.file.lock import (
    AcceptedChanges,
    HistoryEntry,
    Lock,
    LockedEvidence,
    read_lock,
    with_moment,
)
from toulmin.evidence import Evidence, Store
from toulmin.evidence.disk import unwritable
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Pool, Resolver, Run, execute, find_study, reproduce


@dataclass(frozen=True)
class Work:
    """One study to run, as what crosses to another process."""

    node: str
    kind: str
    configuration: dict[str, Any]
    base: str
    store: str
    seed: int
    device: str = "cpu"
    threads: int = 1


@dataclass(frozen=True)
class Ran:
    """What came of one piece of work."""

    node: str
    seed: int
    evidence: str | None = None
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True)
class RunReport:
    """What ``case run`` did, and the check after it."""

    ran: tuple[Ran, ...]
    checked: Checked
    faults: tuple[Fault, ...] = field(default=())


def plan(
    checked: Checked, *, only: Collection[str] = (), force: bool = False, device: str = "cpu", threads: int = 1
) -> list[Work]:
    """The studies that are missing or stale, each question once however many elements ask it."""
    planned: dict[tuple[str, str, int], Work] = {}
    for node, resolution in checked.resolutions.items():
        if (only and node not in only) or resolution.binding.outcome is Outcome.ERROR:
            continue
        study, seeds = resolution.question.study, resolution.seeds_to_run
        if force and not seeds:
            seeds = tuple(range(resolution.question.node.seeds)) if study.seed_changes_data() else (0,)
        for seed in seeds:
            store = study.resolver.store
            assert store is not None
            work = Work(
                node,
                study.kind,
                study.configuration(),
                str(study.resolver.base),
                str(store.root),
                seed,
                device,
                threads,
            )
            planned.setdefault((study.study_hash(), work.base, seed), work)
    return list(planned.values())


def perform(work: Work) -> Ran:
    """Run one study; what is wrong comes back as faults, so that the others go on."""
    store = Store(work.store)
    try:
        study = find_study(work.kind).model_validate(work.configuration).at(Resolver(Path(work.base), store))
        run = Run(store.root / "work", device=work.device, threads=work.threads, seed=work.seed)
        return Ran(work.node, work.seed, execute(study, store, run).id)
    except FaultError as faulty:
        return Ran(work.node, work.seed, None, tuple(faulty.faults))


def run_case(
    path: str | Path,
    *,
    pool: Pool | None = None,
    only: Collection[str] = (),
    force: bool = False,
    store: str | Path | None = None,
    device: str = "cpu",
    threads: int = 1,
    today: dt.date | None = None,
    advance: Callable[[Work | Ran], None] = lambda event: None,
) -> RunReport:
    """Run what is missing or stale, several at once in ``pool``, and check the case again.

    :raises FaultError: the form of the case is broken, or ``only`` names no evidence.
    """
    checked = check_case(path, today=today, store=store)
    case = require_valid(checked)
    kept = checked.store
    unknown = sorted(set(only) - set(checked.resolutions))
    if unknown:
        raise FaultError(
            [Fault("case.no_evidence", "no evidence of that name", str(case.file), name=u) for u in unknown]
        )
    works = plan(checked, only=only, force=force, device=device, threads=threads)
    lock_path = case.file.parent / LOCK_NAME

    def registered(lock: Lock) -> Lock:
        return bind_decisions(register(lock, case, kept, checked.resolutions, checked.today), case, checked.attached)

    update_lock(lock_path, kept, registered)
    ran: list[Ran] = []
    for work in works:
        advance(work)
    for result in (pool or Pool()).map(perform, works):
        ran.append(result)
        advance(result)
    made = check_case(path, today=checked.today, store=store)
    update_lock(lock_path, kept, lambda lock: name_records(lock, kept, made.resolutions))
    faults = [fault for result in ran for fault in result.faults]
    return RunReport(tuple(ran), _check_and_note(path, lock_path, checked.today, store), tuple(faults))


def _check_and_note(path: str | Path, lock_path: Path, today: dt.date, store: str | Path | None) -> Checked:
    """The check of a case, with its verdict in the history of the lock."""
    after = check_case(path, today=today, store=store)
    lock = update_lock(lock_path, after.store, lambda lock: with_moment(lock, moment_of(after)))
    return replace(after, lock=lock)


def update_lock(path: Path, store: Store, change: Callable[[Lock], Lock]) -> Lock:
    """Read the lock, change it and write it, while nobody else does; what it now is.

    A lock that Toulmin did not write is left as it is, with its faults: only ``case accept`` replaces it.
    """
    try:
        with lock_held(path):
            old, faults = read_lock(path)
            unknown = old.digest != "" and old.digest not in store.ledger().locks
            return old if faults or unknown else save_lock(path, old, change(old), store)
    except OSError as error:
        raise unwritable(error, path) from None


def moment_of(checked: Checked) -> HistoryEntry:
    """The verdict as a line of history, with the states of all claims and evidence."""
    verdict = checked.verdict
    return HistoryEntry(
        on=checked.today,
        health=verdict.health.word if verdict.health is not None else HistoryEntry.INVALID,
        freshness=verdict.freshness.value if verdict.freshness is not None else "current",
        exit_code=int(verdict.exit_code),
        low=verdict.probability.low if verdict.probability else None,
        high=verdict.probability.high if verdict.probability else None,
        changed={
            node.id: node.health.word + (", stale" if node.freshness is Freshness.STALE else "")
            for node in verdict.nodes.values()
            if node.type in ("goal", "strategy", "module", "evidence")
        },
    )


def accept_case(
    path: str | Path,
    by: str,
    why: str,
    *,
    only: Collection[str] = (),
    store: str | Path | None = None,
    today: dt.date | None = None,
) -> Checked:
    """Register the case and its evidence as they are now, in the name of ``by``, with the reason; the check after it.

    ``only`` names evidence: then nothing else is registered. The changes that were accepted stay in the lock.

    :raises FaultError: the form of the case is broken, or ``by`` or ``why`` says nothing.
    """
    for name, text in (("by", by), ("why", why)):
        if not has_visible_character(text):
            message = "say who accepts it" if name == "by" else "say why it is accepted"
            raise FaultError(Fault("case.no_name", message, name=name))
    checked = check_case(path, today=today, store=store)
    case = require_valid(checked)
    lock_path = case.file.parent / LOCK_NAME

    def accepted(lock: Lock) -> Lock:
        now = accept_changes(lock, checked, AcceptedChanges(by=by.strip(), on=checked.today, why=why.strip()), only)
        return bind_decisions(now, case, checked.attached)

    try:
        with lock_held(lock_path):
            old, _ = read_lock(lock_path)  # of a lock that cannot be trusted, what it says is replaced
            save_lock(lock_path, old, accepted(old), checked.store)
    except OSError as error:
        raise unwritable(error, lock_path) from None
    return _check_and_note(path, lock_path, checked.today, store)


def accept_changes(lock: Lock, checked: Checked, decision: AcceptedChanges, only: Collection[str]) -> Lock:
    """The lock with everything that differs from it accepted by ``decision``."""
    case = checked.case
    assert case is not None
    ledger, contents = checked.store.ledger(), element_contents(case)
    entries: dict[str, LockedEvidence] = {} if not only else dict(lock.evidence)
    inputs: dict[str, str] = {}
    for node, resolution in checked.resolutions.items():
        if only and node not in only:
            continue
        old = lock.evidence.get(node)
        since = old.since if old is not None else len(ledger.hashes)
        entry = entry_of(resolution, decision.on, since, *resolution.records, *resolution.reruns)
        if old is not None:
            change = compare_criteria(old.criterion, entry.criterion)
            loosened = old.criterion if change in ("loosened", "changed") else old.loosened_from
            registered = old.registered if change == "same" else decision.on
            entry = entry.model_copy(update={"loosened_from": loosened, "registered": registered})
        entries[node] = entry.model_copy(update={"by": decision.by})
        inputs |= {state.reference: state.now for state in resolution.binding.inputs if state.now is not None}
    said = [f for f in checked.verdict.faults if f.code in ACCEPTABLE and (not only or f.name in only)]
    decision = decision.model_copy(update={"changes": tuple(f"{f.name or 'case'}: {f.message}" for f in said)})
    update: dict[str, Any] = {
        "evidence": entries,
        "inputs": {**lock.inputs, **inputs},
        "elements": contents,
        "accepted": (*lock.accepted, decision),
    }
    if only:
        update["elements"] = {**lock.elements, **{node: contents[node] for node in only if node in contents}}
    else:
        named = {identifier for entry in entries.values() for identifier in entry.evidence}
        present = set(checked.store.ids())
        update["known"] = tuple(sorted((ledger.records.keys() & present) - named))
        update["gone"] = tuple(sorted(ledger.records.keys() - present))
    return lock.model_copy(update=update)


def reproduce_leaves(
    checked: Checked, count: int, *, seed: int = 0, device: str = "cpu", threads: int = 1
) -> tuple[Fault, ...]:
    """Collect the evidence of ``count`` leaves again, drawn at random, and compare within the recorded intervals."""
    case = checked.case
    if case is None:
        return ()
    usable = sorted(
        node
        for node, resolution in checked.resolutions.items()
        if resolution.records and not resolution.binding.stale and resolution.binding.outcome is not Outcome.ERROR
    )
    faults: list[Fault] = []
    for node in sorted(random.Random(seed).sample(usable, min(count, len(usable)))):
        resolution = checked.resolutions[node]
        for record in resolution.records:
            faults += [_not_reproduced(case.fault, node, f) for f in _again(resolution, record, device, threads)]
    return worst_first(faults)


def _again(resolution: Resolution, record: Evidence, device: str, threads: int) -> Sequence[Fault]:
    resolver = resolution.question.study.resolver
    assert resolver.store is not None
    run = Run(resolver.store.root / "work", device=device, threads=threads)
    try:
        return reproduce(record, resolver.store, run, resolver)
    except FaultError as faulty:
        return faulty.faults


def _not_reproduced(fault_at: Callable[[str, str, str], Fault], node: str, fault: Fault) -> Fault:
    what = f"{fault.name}: {fault.message}" if fault.name else fault.message
    return fault_at("C042", what, node)


def with_faults(checked: Checked, faults: Iterable[Fault]) -> Checked:
    """The check with evidence faults added to its verdict."""
    extra = tuple(faults)
    if not extra:
        return checked
    verdict = checked.verdict
    code = verdict.exit_code if verdict.exit_code is ExitCode.INVALID else ExitCode.EVIDENCE
    reasons = (*(Reason("evidence", fault.name or "", str(fault)) for fault in extra), *verdict.reasons)
    faulty = replace(verdict, exit_code=code, reasons=reasons, faults=worst_first((*verdict.faults, *extra)))
    return replace(checked, verdict=faulty)
