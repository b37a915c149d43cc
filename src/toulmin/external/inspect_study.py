"""The study ``external.inspect``: a score of an Inspect log, recomputed from its samples.

Refused: a run that did not succeed, was invalidated, is of an unknown version, has no identified model, misses samples
it does not declare, or whose header reports another mean than its samples give. n is the number of sample ids; epochs
of one id are averaged, since they are not independent. A sample that is missing or in error counts as the worst value
unless it is declared.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import numpy as np
from pydantic import Field

from toulmin.evidence import Chart, Measure, Table
from toulmin.external.doubts import PROVENANCE
from toulmin.external.inspect_log import InspectLog, read_inspect_log
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Cost, Input, Items, MeasureSpec, Run, Study, Summary, parse_reference

SIDECAR = ".model.json"  #: LOG.model.json: {"model": "name", "sha256": "..."}
TOLERANCE = 1e-6


class InspectEvaluation(Study):
    """A score of an Inspect AI log, recomputed from its samples, with an interval over sample ids."""

    kind: ClassVar = "external.inspect"
    version: ClassVar = 1
    measures: ClassVar = {
        "score": MeasureSpec("1", "neither", "mean over sample ids of the mean over epochs"),
        "missing": MeasureSpec("samples", "lower", "samples times epochs that are absent or in error", 0.0),
    }
    presets: ClassVar = {}
    recorded_elsewhere: ClassVar = True
    doubts: ClassVar = (PROVENANCE,)

    log: str  #: reference of the log
    scorer: str | None = None  #: which score; needed where the log has several
    better: Literal["higher", "lower"] = "higher"
    model: str | None = None  #: the model that the log must be of
    model_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")  #: its weights
    declared_missing: tuple[str, ...] = ()  #: sample ids left out on purpose; they do not count
    worst: float | None = None  #: what a missing sample counts as: by default 0 (higher is better) or 1 (lower)

    def inputs(self) -> tuple[Input, ...]:
        """The log, and its sidecar where there is one."""
        found = [self.input("log", self.log)]
        if self._sidecar().is_file():
            found.append(self.input("model identity", f"file:{self._sidecar()}"))
        return tuple(found)

    def stated_subject(self) -> str | None:
        """The weights the log must be of."""
        return self.model_sha256

    def seed_changes_data(self) -> bool:
        """No: the data are in the file."""
        return False

    def cost(self) -> Cost:
        """Reading only."""
        return Cost(seconds=1.0)

    def _sidecar(self) -> Path:
        path = self.resolver.locate(parse_reference(self.log))
        return path.with_name(path.name + SIDECAR)

    def _check_identity(self, log: InspectLog, path: Path) -> list[Fault]:
        named = dict(log.metadata)
        if self._sidecar().is_file():
            try:
                said: object = json.loads(self._sidecar().read_bytes())
            except (ValueError, RecursionError):
                said = None
            if not isinstance(said, dict):
                return [Fault("inspect.model", "the sidecar is not a JSON object", str(self._sidecar()))]
            sidecar = cast("dict[str, Any]", said)
            named |= {"model_sha256": sidecar.get("sha256"), "model_name": sidecar.get("model", log.model)}
        faults: list[Fault] = []
        sha = named.get("model_sha256")
        if not isinstance(sha, str):
            hint = f"metadata model_sha256 in the log, or {path.name}{SIDECAR}"
            faults.append(Fault("inspect.model", "the log does not identify the model's weights", str(path), hint=hint))
        elif self.model_sha256 is not None and sha != self.model_sha256:
            faults.append(Fault("inspect.model", "the log is of other weights", str(path), name=sha[:12]))
        if self.model is not None and self.model not in (log.model, named.get("model_name")):
            faults.append(Fault("inspect.model", f"the log is of {log.model}, not of {self.model}", str(path)))
        return faults

    def collect(self, run: Run) -> Items:
        """One row a sample id: its mean score over epochs, missing ones at their worst."""
        path = self.resolver.locate(self.log)
        log = read_inspect_log(path)
        file, faults = str(path), list[Fault]()
        if log.status != "success":
            faults.append(Fault("inspect.status", f"the run ended as {log.status!r}, not as success", file))
        if log.invalidated:
            faults.append(Fault("inspect.invalidated", "the log, or samples of it, were invalidated", file))
        faults += self._check_identity(log, path)
        scorers = sorted({name for sample in log.samples for name in sample.scores})
        scorer = self.scorer or (scorers[0] if len(scorers) == 1 else None)
        if scorer not in scorers:
            message = "say which scorer" if self.scorer is None else f"no score {self.scorer}"
            faults.append(Fault("inspect.scorer", message, file, hint=f"there are: {', '.join(scorers) or 'none'}"))
        if faults or scorer is None:
            raise FaultError(faults, ExitCode.EVIDENCE)
        return self._rows(log, scorer, file)

    def _rows(self, log: InspectLog, scorer: str, file: str) -> Items:
        worst = self.worst if self.worst is not None else (0.0 if self.better == "higher" else 1.0)
        ids = dict.fromkeys((*log.expected_ids, *(sample.id for sample in log.samples)))
        kept = [identifier for identifier in ids if identifier not in self.declared_missing]
        place = {identifier: i for i, identifier in enumerate(kept)}
        values = np.full((len(kept), log.epochs), np.nan)
        for sample in log.samples:
            if sample.id in place and not sample.error and scorer in sample.scores:
                if not 1 <= sample.epoch <= log.epochs:
                    fault = Fault("inspect.epoch", f"epoch {sample.epoch} of {log.epochs}", file, name=sample.id)
                    raise FaultError(fault, ExitCode.EVIDENCE)
                values[place[sample.id], sample.epoch - 1] = sample.scores[scorer]
        unlisted = log.expected - len(ids) * log.epochs
        absent = np.isnan(values)
        self._check_header(log, scorer, values, file)
        if not kept:
            raise FaultError(Fault("inspect.incomplete", "no samples", file), ExitCode.EVIDENCE)
        if unlisted > 0 and not self.declared_missing:
            # samples of which not even the id is known cannot be rows: a unit each, at the worst
            kept += [f"missing-{i}" for i in range(-(-unlisted // log.epochs))]
            extra = np.full((len(kept) - len(values), log.epochs), np.nan)
            values, absent = np.vstack([values, extra]), np.vstack([absent, np.isnan(extra)])
        values[absent] = worst
        return Items(kept, {"score": values.mean(1), "missing": absent.sum(1).astype(float)})

    def _check_header(self, log: InspectLog, scorer: str, values: np.ndarray[Any, Any], file: str) -> None:
        """The header's mean or accuracy must be that of the samples it had: else one of them was changed."""
        metrics = log.reported.get(scorer.partition("/")[0], {})
        present = values[~np.isnan(values).all(1)]
        if not len(present) or "/" in scorer:
            return
        found = float(np.nanmean(present, axis=1).mean())
        for name in ("accuracy", "mean"):
            if name in metrics and not abs(metrics[name] - found) <= TOLERANCE * max(1.0, abs(found)):
                message = f"the header says {name} {metrics[name]:g}, its samples give {found:g}"
                raise FaultError(Fault("inspect.header", message, file, name=scorer), ExitCode.EVIDENCE)

    def summarise(self, items: Items) -> Summary:
        """The mean with its interval over sample ids: exact where every one is right or wrong."""
        scores, missing = items["score"], float(items["missing"].sum())
        mean = float(scores.mean())
        measures = {
            "score": self.measure("score", scores, items, better=self.better, n_of="sample ids"),
            "missing": Measure(
                value=missing, unit="samples", better="lower", n=items.n, n_of="sample ids", no_interval="a count"
            ),
        }
        table = Table(title="Inspect log", columns=("sample ids", "missing", "mean"), rows=((items.n, missing, mean),))
        chart = Chart.histogram(scores, title="Score of each sample", unit="score", alt=f"Mean {mean:.3g}")
        return Summary(measures, tables=(table,), figures=(chart,))
