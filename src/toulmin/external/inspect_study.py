"""The study ``external.inspect``: a score of an Inspect log, recomputed from its samples.

Refused: a run that did not succeed, was invalidated, is of an unknown version, has no identified model, or whose header
reports another mean than its samples give. n is the number of distinct questions (sample ids with one input are one);
epochs of one id are averaged, since they are not independent.

A sample that is missing, in error or unscored may be anything in the range of scores. So where some are missing the
interval reaches from its lower end with all of them at the lowest score to its upper end with all at the highest
(Manski 2003, bounds of a mean with missing outcomes): a claim that the score is high, and one that it is low, both have
the missing samples against them. A sample is left out only where it is declared by its id, and has no score.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, Self

import numpy as np
from pydantic import FiniteFloat, model_validator

from toulmin.evidence import Chart, Interval, Measure, Table, content_of, mean_interval
from toulmin.external.examples import example_presets
from toulmin.external.inspect_log import InspectLog, read_inspect_log
from toulmin.external.outside import SHARE, OutsideStudy, declared_faults
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Items, MeasureSpec, Run, Summary

TOLERANCE = 1e-6


class InspectEvaluation(OutsideStudy):
    """A score of an Inspect AI log, recomputed from its samples, with an interval over distinct samples."""

    kind: ClassVar = "external.inspect"
    version: ClassVar = 2
    role: ClassVar = "log"
    measures: ClassVar = {
        "score": MeasureSpec("1", "neither", "mean over sample ids of the mean over epochs", *SHARE),
        "missing": MeasureSpec("samples", "lower", "samples times epochs that are absent, in error or unscored", 0.0),
    }
    presets: ClassVar = example_presets("log", "inspect", "json")

    log: str  #: reference of the log
    scorer: str | None = None  #: which score; needed where the log has several
    better: Literal["higher", "lower"] = "higher"
    score_range: tuple[FiniteFloat, FiniteFloat] = SHARE  #: the lowest and the highest score there can be
    declared_missing: tuple[str, ...] = ()  #: sample ids left out on purpose, that have no score; they do not count

    @model_validator(mode="after")
    def _range_holds_grades(self) -> Self:
        if not (self.score_range[0] <= 0.0 and self.score_range[1] >= 1.0):
            raise ValueError("score_range may be wider than 0 to 1, not narrower: a missing sample may be any of it")
        return self

    def source(self) -> str:
        """The log."""
        return self.log

    def measure_specs(self) -> dict[str, MeasureSpec]:
        """The score in its range."""
        spec = self.measures["score"]
        score = MeasureSpec(spec.unit, self.better, spec.estimator, *self.score_range)
        return {**self.measures, "score": score}

    def collect(self, run: Run) -> Items:
        """One row a sample id: its mean score over epochs, with missing ones at the lowest and at the highest score."""
        path = self.path()
        log = read_inspect_log(path)
        file, faults = str(path), list[Fault]()
        if log.status != "success":
            faults.append(Fault("inspect.status", f"the run ended as {log.status!r}, not as success", file))
        if log.invalidated:
            faults.append(Fault("inspect.invalidated", "the log, or samples of it, were invalidated", file))
        stated = log.metadata.get("model_sha256")
        of, wrong = self.identify((log.model, log.metadata.get("model_name")), stated, required=True)
        scorers = sorted({name for sample in log.samples for name in sample.scores})
        scorer = self.scorer or (scorers[0] if len(scorers) == 1 else None)
        if scorer not in scorers:
            message = "say which scorer" if self.scorer is None else f"no score {self.scorer}"
            wrong.append(Fault("inspect.scorer", message, file, hint=f"there are: {', '.join(scorers) or 'none'}"))
        if faults or wrong or scorer is None:
            raise FaultError([*faults, *wrong], ExitCode.EVIDENCE)
        return self._rows(log, scorer, file, of)

    def _rows(self, log: InspectLog, scorer: str, file: str, of: dict[str, Any]) -> Items:
        ids = list(dict.fromkeys((*log.expected_ids, *(sample.id for sample in log.samples))))
        scored = [sample for sample in log.samples if not sample.error and scorer in sample.scores]
        faults = declared_faults("inspect.declared", self.declared_missing, ids, (s.id for s in scored), file)
        faults += [
            Fault("inspect.epoch", f"epoch {sample.epoch} of {log.epochs}", file, name=sample.id)
            for sample in scored
            if not 1 <= sample.epoch <= log.epochs
        ]
        kept = [identifier for identifier in ids if identifier not in set(self.declared_missing)]
        if not kept:
            faults.append(Fault("inspect.incomplete", "no samples", file))
        if faults:
            raise FaultError(faults, ExitCode.EVIDENCE)
        place = {identifier: i for i, identifier in enumerate(kept)}
        values = np.full((len(kept), log.epochs), np.nan)
        for sample in scored:
            values[place[sample.id], sample.epoch - 1] = sample.scores[scorer]
        grades = self._check_range(log, scorer, values, kept, file)
        self._check_header(log, scorer, values, file)
        contents = {sample.id: sample.content for sample in reversed(log.samples) if sample.content is not None}
        # samples of which not even the id is known: a unit each
        unlisted = max(0, -(-(log.expected - len(ids) * log.epochs) // log.epochs))
        unknown = [name for i in range(unlisted + len(kept)) if (name := f"missing-{i}") not in place][:unlisted]
        values = np.vstack([values, np.full((unlisted, log.epochs), np.nan)])
        absent = np.isnan(values)
        low, high = (np.where(absent, end, values).mean(1) for end in self.score_range)
        return Items(
            [*kept, *unknown],
            {"low": low, "high": high, "missing": absent.sum(1).astype(float)},
            contents=[contents.get(name) or content_of("id", name) for name in (*kept, *unknown)],
            metadata={"subject": of, "grades": grades, "data_notes": self._notes(log)},
        )

    def _notes(self, log: InspectLog) -> list[str]:
        notes: list[str] = []
        if log.dirty:
            notes.append(f"the code that ran had changes that were not committed (on {log.commit or 'no commit'})")
        if log.dataset_size is not None and log.expected_ids and log.dataset_size > len(log.expected_ids):
            notes.append(f"the run took {len(log.expected_ids)} of the {log.dataset_size} samples of its data set")
        if self.declared_missing:
            notes.append(f"declared missing, and not counted: {', '.join(self.declared_missing)}")
        return notes

    def _check_range(
        self, log: InspectLog, scorer: str, values: np.ndarray[Any, Any], kept: list[str], file: str
    ) -> bool:
        """Whether the scores are grades from 0 to 1; each must lie in the range."""
        low, high = self.score_range
        outside = np.argwhere((values < low) | (values > high))
        if len(outside):
            first = values[tuple(outside[0])]
            message = f"{len(outside)} scores outside score_range = [{low:g}, {high:g}], such as {first:g}"
            raise FaultError(Fault("inspect.range", message, file, name=kept[int(outside[0, 0])]), ExitCode.EVIDENCE)
        grades = scorer not in log.numeric or bool(np.isin(values[~np.isnan(values)], (0.0, 1.0)).all())
        if (scorer not in log.numeric or (grades and not np.isnan(values).any())) and self.score_range != SHARE:
            message = "its scores are grades from 0 to 1, so that a wider score_range says nothing"
            raise FaultError(Fault("inspect.range", message, file, name=scorer), ExitCode.EVIDENCE)
        return grades and self.score_range == SHARE

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
        """The mean with its interval over distinct samples, and how many are missing."""
        missing = float(items["missing"].sum())
        scores = items["low"] if self.better == "higher" else items["high"]
        common: dict[str, Any] = {"better": self.better, "n_of": "distinct samples", "shares": self._shares(items)}
        if missing:
            common |= {"interval": self._bounds(items, missing), "no_interval": None}
        measures = {
            "score": self.measure("score", scores, items, **common),
            "missing": Measure(
                value=missing, unit="samples", better="lower", n=items.n, n_of="distinct samples", no_interval="a count"
            ),
        }
        mean = measures["score"].value
        row = (len(items.units), items.n, missing, mean)
        table = Table(title="Inspect log", columns=("sample ids", "distinct samples", "missing", "mean"), rows=(row,))
        chart = Chart.histogram(scores, title="Score of each sample", unit="score", alt=f"Mean {mean:.3g}")
        return Summary(measures, tables=(table,), figures=(chart,))

    def _shares(self, items: Items) -> bool:
        return items.metadata.get("grades") is True

    def _bounds(self, items: Items, missing: float) -> Interval:
        """From the lower end with the missing at the lowest score to the upper end with them at the highest."""
        low, high = self.score_range
        (below, why), (above, _) = (
            mean_interval(items[end], clusters=items.clusters, weights=items.weights, shares=self._shares(items))
            for end in ("low", "high")
        )
        what = f"{missing:g} missing scores taken as {low:g} below and as {high:g} above"
        if below is None or above is None:
            return Interval(low=low, high=high, method=f"the whole range of scores; {what}; {why}")
        return Interval(low=below.low, high=above.high, level=below.level, method=f"{below.method}; {what}")
