"""``case run`` and ``case accept``: making the evidence a case asks for, and keeping the lock.

A criterion is written into the lock before its study runs; from then on an edit of it is an edit after the result,
until somebody accepts it by name. Each study runs in its own working folder, named by its inputs and seed, so a run
that was killed goes on where it stopped, and what it had finished is not made again.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from toulmin.case.argument.health import Freshness, Outcome
from toulmin.case.checking import Checked, check_case, require_valid
from toulmin.case.evidence.criterion import compare_criteria
from toulmin.case.evidence.resolve import Resolution
from toulmin.case.file.casefile import LOCK_NAME
from toulmin.case.file.diagnostics import worst_first
from toulmin.case.file.lock import INVALID, HistoryEntry, Lock, LockedEvidence, with_entries, with_moment, write_lock
from toulmin.evidence import Evidence, Store
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
            seeds = resolution.binding.seeds or (0,)
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
    unknown = sorted(set(only) - set(checked.resolutions))
    if unknown:
        raise FaultError(
            [Fault("case.no_evidence", "no evidence of that name", str(case.file), name=u) for u in unknown]
        )
    works = plan(checked, only=only, force=force, device=device, threads=threads)
    lock_path = case.file.parent / LOCK_NAME
    lock = register(checked, checked.today, {work.node for work in works})
    write_lock(lock_path, lock)
    ran: list[Ran] = []
    for work in works:
        advance(work)
    for result in (pool or Pool()).map(perform, works):
        ran.append(result)
        advance(result)
    after = check_case(path, today=checked.today, store=store)
    lock = _with_evidence(lock, after)
    write_lock(lock_path, with_moment(lock, moment_of(after)))
    faults = [fault for result in ran for fault in result.faults]
    return RunReport(tuple(ran), check_case(path, today=checked.today, store=store), tuple(faults))


def register(checked: Checked, today: dt.date, nodes: Collection[str]) -> Lock:
    """The lock with the criteria of ``nodes`` written in, except where a result already exists for another one."""
    entries: dict[str, LockedEvidence] = {}
    for node in nodes:
        resolution = checked.resolutions[node]
        old = checked.lock.evidence.get(node)
        if old is None or not resolution.records:
            entries[node] = _entry(resolution, today)
    return with_entries(checked.lock, entries, {})


def _entry(resolution: Resolution, today: dt.date) -> LockedEvidence:
    return LockedEvidence(
        criterion=resolution.question.node.criterion or "",
        registered=today,
        study_hash=resolution.study_hash,
        inputs_hash=resolution.inputs_hash or "",
        evidence=tuple(record.id for record in resolution.records),
    )


def _with_evidence(lock: Lock, after: Checked) -> Lock:
    """The lock with the ids of the records now in use; criteria stay as registered."""
    entries: dict[str, LockedEvidence] = {}
    inputs: dict[str, str] = {}
    for node, resolution in after.resolutions.items():
        old = lock.evidence.get(node)
        if old is None or resolution.binding.stale:
            continue
        entries[node] = old.model_copy(
            update={
                "evidence": tuple(record.id for record in resolution.records),
                "study_hash": resolution.study_hash,
                "inputs_hash": resolution.inputs_hash or "",
            }
        )
        inputs |= {state.reference: state.now for state in resolution.binding.inputs if state.now is not None}
    return with_entries(lock, entries, inputs)


def moment_of(checked: Checked) -> HistoryEntry:
    """The verdict as a line of history, with the states of all claims and evidence."""
    verdict = checked.verdict
    return HistoryEntry(
        on=checked.today,
        health=verdict.health.word if verdict.health is not None else INVALID,
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
    *,
    only: Collection[str] = (),
    store: str | Path | None = None,
    today: dt.date | None = None,
) -> Checked:
    """Write criteria, evidence and hashes as they are now into the lock, in the name of ``by``; the check after it.

    :raises FaultError: the form of the case is broken, or ``by`` is empty.
    """
    if not by.strip():
        raise FaultError(Fault("case.no_name", "say who accepts it", name="by"))
    checked = check_case(path, today=today, store=store)
    case = require_valid(checked)
    entries: dict[str, LockedEvidence] = {}
    inputs: dict[str, str] = {}
    for node, resolution in checked.resolutions.items():
        if only and node not in only:
            continue
        old = checked.lock.evidence.get(node)
        entry = _entry(resolution, checked.today).model_copy(update={"by": by.strip()})
        if old is not None:
            change = compare_criteria(old.criterion, entry.criterion)
            loosened = old.criterion if change in ("loosened", "changed") else old.loosened_from
            same = change == "same"
            entry = entry.model_copy(
                update={"loosened_from": loosened, "registered": old.registered if same else checked.today}
            )
        entries[node] = entry
        inputs |= {state.reference: state.now for state in resolution.binding.inputs if state.now is not None}
    lock_path = case.file.parent / LOCK_NAME
    lock = with_entries(checked.lock, entries, inputs)
    write_lock(lock_path, lock)
    after = check_case(path, today=checked.today, store=store)
    write_lock(lock_path, with_moment(lock, moment_of(after)))
    return check_case(path, today=checked.today, store=store)


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
    reasons = (*(str(fault) for fault in extra), *verdict.reasons)
    faulty = replace(verdict, exit_code=code, reasons=reasons, faults=worst_first((*verdict.faults, *extra)))
    return replace(checked, verdict=faulty)
