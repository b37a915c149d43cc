"""Running studies, and checking what they left."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import re
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from toulmin.evidence import Evidence, Store, sha256_of_file, sha256_of_json
from toulmin.evidence.disk import UNWRITABLE, unwritable
from toulmin.faults import ExitCode, Fault, FaultError, faults_of_validation
from toulmin.studies.code import code_hash
from toulmin.studies.comparison import compare_derived, compare_measures
from toulmin.studies.kinds import find_study
from toulmin.studies.references import Resolver
from toulmin.studies.run import Run
from toulmin.studies.study import Input, Items, Study, Summary
from toulmin.studies.workspace import workspace

_SOFTWARE = ("toulmin", "torch", "numpy", "scipy", "safetensors", "tokenizers", "numba")


def _software() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in _SOFTWARE:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _summarise(study: Study, items: Items) -> Summary:
    try:
        summary = study.summarise(items)
    except ValidationError as error:
        # a measure or figure that holds NaN, or neither interval nor reason
        raise FaultError(faults_of_validation(error, "study.summary"), ExitCode.NUMERICAL) from None
    study.check_summary(summary)
    return summary


def _notes(items: Items) -> tuple[str, ...]:
    """What the study noted of its data, and how many units have the content of another, so that they count once."""
    noted: object = items.metadata.get("data_notes")
    notes = tuple(str(note) for note in cast("list[object]", noted)) if isinstance(noted, list) else ()
    if not items.repeats:
        return notes
    return (
        *notes,
        f"{items.repeats} of {len(items.units)} units have the content of an earlier one: n counts them once",
    )


@contextlib.contextmanager
def _limits_said(workdir: Path) -> Generator[None]:
    """A full disk and exhausted memory as faults."""
    try:
        yield
    except MemoryError as error:
        raise _out_of_memory(str(error)) from None
    except RuntimeError as error:  # torch has no exception of its own for the memory of the CPU
        text = str(error)
        if not re.search(r"not enough memory|can't allocate memory|out of memory", text, re.I):
            raise
        raise _out_of_memory(text.splitlines()[0]) from None
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        raise unwritable(error, workdir) from None


def _out_of_memory(why: str) -> FaultError:
    hint = "a smaller setting (n, batch) needs less"
    return FaultError(Fault("run.memory", f"memory is exhausted: {why or 'no more'}", hint=hint), ExitCode.LIMIT)


@contextlib.contextmanager
def _collected(study: Study, run: Run, key: Mapping[str, object], inputs: Sequence[Input]) -> Generator[Items]:
    """The items of a study; the folder it works in is there during the block.

    :raises FaultError: an input changed while the study read it, the disk is full, memory is exhausted.
    """
    name = f"{study.kind}-{sha256_of_json(dict(key))[:16]}"
    with _limits_said(run.workdir), workspace(run.workdir, name) as folder:
        items = study.collect(replace(run, workdir=folder))
        files = {name: sha256_of_file(path) for name, path in items.files.items()}
        known = {"seed": run.seed, "study": study.study_hash(), "files": files}
        # what was collected must be of the inputs that the record will name
        now = {i.role: i.sha256 for i in study.at(study.resolver.afresh()).inputs()}
        changed = [i for i in inputs if now.get(i.role) != i.sha256]
        if changed or len(now) != len(inputs):
            message = "changed while the study was running: what was collected is of neither version"
            raise FaultError(
                [Fault("run.input_changed", message, name=i.reference) for i in changed], ExitCode.EVIDENCE
            )
        yield replace(items, metadata={**items.metadata, "run": known})


def execute(study: Study, store: Store, run: Run) -> Evidence:
    """Collect, summarise and keep the result; the sealed record.

    The folder made below ``run.workdir`` is of this study, these inputs, this code, this seed and this process alone;
    it goes once the record is kept. Inputs are hashed from their bytes before and after collecting.

    :raises FaultError: the inputs are not there or changed meanwhile, a number is NaN, the measures are not the
    declared
        ones, the disk is full or read-only, memory is exhausted.
    """
    study = study.at(study.resolver.afresh())
    inputs, code = study.inputs(), code_hash(study)
    started = time.monotonic()
    key = {"inputs": study.inputs_hash(inputs), "seed": run.seed, "code": code, "device": run.device}
    with _collected(study, run, key, inputs) as items:
        summary = _summarise(study, items)
        draft = Evidence(
            kind=study.kind,
            version=study.version,
            configuration=study.configuration(),
            inputs=inputs,
            study_hash=study.study_hash(),
            inputs_hash=study.inputs_hash(inputs),
            code=code,
            measures=dict(summary.measures),
            tables=tuple(summary.tables),
            figures=tuple(summary.figures),
            positive_control=summary.positive_control,
            notes=_notes(items),
            n=max(1, items.n),
            seeds=(run.seed,),
            threads=run.threads,
            device=run.device,
            software=_software(),
            machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
            seconds=round(time.monotonic() - started, 3),
            created=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
        )
        return store.write(draft, items)


def study_of(evidence: Evidence, resolver: Resolver | None = None) -> Study:
    """The study that a record came from.

    :raises FaultError: its kind is not installed, or no longer takes that configuration.
    """
    try:
        study = find_study(evidence.kind).model_validate(evidence.configuration)
    except ValidationError as error:
        raise FaultError(faults_of_validation(error, "study.configuration"), ExitCode.EVIDENCE) from None
    return study.at(resolver) if resolver else study


def find_current(study: Study, store: Store, *, seed: int | None = None) -> Evidence | None:
    """The newest record of this study about today's inputs, made by today's code (and of this seed), if any."""
    wanted = study.inputs_hash()
    return next(
        (
            record
            for record in store.find(study.study_hash())
            if record.inputs_hash == wanted
            and (seed is None or seed in record.seeds)
            and made_by_this_code(record, store)
        ),
        None,
    )


def re_derive(evidence: Evidence, store: Store) -> list[Fault]:
    """Summarise the stored items again: every way in which the record does not follow from them.

    :raises FaultError: the study is not installed.
    """
    study = study_of(evidence)
    if study.version != evidence.version:
        message = f"made by version {evidence.version} of the study, this is version {study.version}"
        return [*store.verify(evidence), Fault("evidence.other_version", message, name=evidence.kind)]
    try:
        items = store.items(evidence)
        faults = _against_items(evidence, items)
        summary = _summarise(study, items)
    except FaultError as faulty:
        return list(faulty.faults)
    again = evidence.model_copy(
        update={
            "measures": dict(summary.measures),
            "tables": tuple(summary.tables),
            "figures": tuple(summary.figures),
            "positive_control": summary.positive_control,
            "notes": _notes(items),
            "n": max(1, items.n),
        }
    )
    return faults + compare_derived(evidence.model_dump(mode="json"), again.model_dump(mode="json"))


def _against_items(evidence: Evidence, items: Items) -> list[Fault]:
    """Where a record says other than its items do of the run that collected them: seed, study, artefacts."""
    run = items.metadata.get("run")
    faults: list[Fault] = []

    def differs(name: str, said: object, collected: object) -> None:
        message = f"the record says {said}, its items were collected with {collected}"
        faults.append(Fault("evidence.contradiction", message, name=name))

    if not isinstance(run, dict):
        message = "the items do not say which run collected them"
        return [Fault("evidence.contradiction", message, name="items.jsonl")]
    known: dict[str, Any] = run  # type: ignore[assignment]
    if evidence.seeds != (known.get("seed"),):
        differs("seeds", list(evidence.seeds), [known.get("seed")])
    if evidence.study_hash != known.get("study"):
        differs("study_hash", evidence.study_hash[:12], str(known.get("study"))[:12])
    listed = {a.name: a.sha256 for a in evidence.artefacts if a.name not in Items.FILES}
    files: dict[str, str] = known.get("files") or {}
    for name in sorted(listed.keys() | files.keys()):
        if listed.get(name) != files.get(name):
            faults.append(Fault("evidence.foreign", "is not the file that this run collected", name=name))
    return faults


def reproduce(evidence: Evidence, store: Store, run: Run, resolver: Resolver | None = None) -> list[Fault]:
    """Collect again with the recorded seed and compare each measure with its recorded interval.

    :raises FaultError: the study or its inputs are not there.
    """
    study = study_of(evidence, resolver or Resolver(store=store))
    if study.inputs_hash() != evidence.inputs_hash:
        now = {i.role: i.sha256 for i in study.inputs()}
        changed = [i.reference for i in evidence.inputs if now.get(i.role) != i.sha256] or [evidence.kind]
        return [Fault("evidence.stale", "changed since the evidence was made", name=name) for name in changed]
    seed = evidence.seeds[0] if evidence.seeds else run.seed
    key = {"reproduce": evidence.id, "code": code_hash(study), "device": run.device}
    with _collected(study, replace(run, seed=seed), key, study.inputs()) as items:
        faults = compare_measures(evidence.measures, _summarise(study, items).measures)
    if not faults and code_hash(study) != evidence.code:
        store.note("reproduced", record=evidence.id, code=code_hash(study))
    return faults


def made_by_this_code(evidence: Evidence, store: Store) -> bool:
    """Whether the code that would run today made the record, or reproduced it.

    :raises FaultError: the study is not installed.
    """
    code = code_hash(find_study(evidence.kind))
    return code == evidence.code or code in store.ledger().reproduced.get(evidence.id, ())
