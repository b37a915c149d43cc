"""Running studies, and checking what they left."""

from __future__ import annotations

import datetime
import os
import platform
import shutil
import time
from collections.abc import Mapping
from dataclasses import replace

from pydantic import ValidationError

from toulmin.evidence import Evidence, Measure, Store, canonical_json
from toulmin.evidence.record import seal
from toulmin.faults import ExitCode, Fault, FaultError, faults_of_validation
from toulmin.studies.references import Resolver
from toulmin.studies.registry import find_study
from toulmin.studies.run import Run
from toulmin.studies.study import Items, Study, Summary

_SOFTWARE = ("toulmin", "torch", "numpy", "scipy", "safetensors", "tokenizers", "numba")
_RELATIVE = 1e-9  # of a value that has no interval, when it is collected again


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


def execute(study: Study, store: Store, run: Run) -> Evidence:
    """Collect, summarise and keep the result; the sealed record.

    The folder made below ``run.workdir`` is of this study and these inputs alone; it goes once the record is kept.

    :raises FaultError: the inputs are not there, a number is NaN, the measures are not the declared ones.
    """
    inputs = study.inputs()
    workdir = run.workdir / study.inputs_hash(inputs)[:16]
    workdir.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    items = study.collect(replace(run, workdir=workdir))
    summary = _summarise(study, items)
    draft = Evidence(
        kind=study.kind,
        version=study.version,
        configuration=study.configuration(),
        inputs=inputs,
        study_hash=study.study_hash(),
        inputs_hash=study.inputs_hash(inputs),
        measures=dict(summary.measures),
        tables=tuple(summary.tables),
        figures=tuple(summary.figures),
        positive_control=summary.positive_control,
        n=max(1, items.n),
        seeds=(run.seed,),
        threads=run.threads,
        device=run.device,
        software=_software(),
        machine=f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        seconds=round(time.monotonic() - started, 3),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds"),
    )
    kept = store.write(draft, items)
    shutil.rmtree(workdir, ignore_errors=True)
    return kept


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
    """The newest record of this study about the inputs as they are now (and of this seed), if there is one."""
    wanted = study.inputs_hash()
    return next(
        (
            record
            for record in store.find(study.study_hash())
            if record.inputs_hash == wanted and (seed is None or seed in record.seeds)
        ),
        None,
    )


def re_derive(evidence: Evidence, store: Store) -> list[Fault]:
    """Summarise the stored items again: every way in which the record does not follow from them.

    :raises FaultError: the study is not installed.
    """
    study = study_of(evidence)
    try:
        items = store.items(evidence)
        summary = _summarise(study, items)
    except FaultError as faulty:
        return list(faulty.faults)
    if study.version != evidence.version:
        message = f"made by version {evidence.version} of the study, this is version {study.version}"
        return [Fault("evidence.other_version", message, name=evidence.kind)]
    again = evidence.model_copy(
        update={
            "measures": dict(summary.measures),
            "tables": tuple(summary.tables),
            "figures": tuple(summary.figures),
            "positive_control": summary.positive_control,
            "n": items.n,
        }
    )
    if seal(again).id == evidence.id:
        return []
    recorded, derived = evidence.model_dump(mode="json"), again.model_dump(mode="json")
    faults: list[Fault] = []
    for part in ("measures", "tables", "figures", "positive_control", "n"):
        if canonical_json(recorded[part]) != canonical_json(derived[part]):
            message = "does not follow from the stored items"
            if part == "measures":
                for name in sorted(set(recorded[part]) | set(derived[part])):
                    if recorded[part].get(name) != derived[part].get(name):
                        faults.append(Fault("evidence.not_derived", message, name=f"measure {name}"))
            else:
                faults.append(Fault("evidence.not_derived", message, name=part))
    return faults


def compare_measures(recorded: Mapping[str, Measure], again: Mapping[str, Measure]) -> list[Fault]:
    """Each measure of ``again`` outside the recorded interval (or, where there is none, differing by over 1e-9)."""
    faults: list[Fault] = []
    for name, old in recorded.items():
        new = again.get(name)
        if new is None:
            faults.append(Fault("evidence.not_reproduced", "the measure is gone", name=name))
        elif old.interval is None:
            if abs(new.value - old.value) > _RELATIVE * max(1.0, abs(old.value)):
                message = f"{new.value:g} now, {old.value:g} then"
                faults.append(Fault("evidence.not_reproduced", message, name=name))
        elif not old.interval.low <= new.value <= old.interval.high and new.value != old.value:
            message = f"{new.value:g} now, outside [{old.interval.low:g}, {old.interval.high:g}]"
            faults.append(Fault("evidence.not_reproduced", message, name=name))
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
    workdir = run.workdir / f"reproduce-{evidence.id[:16]}"
    workdir.mkdir(parents=True, exist_ok=True)
    seed = evidence.seeds[0] if evidence.seeds else run.seed
    items = study.collect(replace(run, workdir=workdir, seed=seed))
    faults = compare_measures(evidence.measures, _summarise(study, items).measures)
    shutil.rmtree(workdir, ignore_errors=True)
    return faults
