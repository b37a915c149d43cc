"""The evidence record: what was asked, of what, what came out, and how sure it is.

Three hashes: ``id`` is the SHA-256 of everything else in the record and finds tampering; ``inputs_hash`` covers the
study's kind, version, configuration and input hashes and decides whether the record is still about today's inputs;
``code`` covers the source files that made the record (:func:`toulmin.studies.code_hash`) and decides whether it was
made by today's code.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from toulmin.evidence.canonical import sha256_of_json
from toulmin.evidence.figures import Figure
from toulmin.evidence.interval import Interval
from toulmin.faults import Fault

SCHEMA = 3  #: raised when a record means something else; records of another schema are not read
Better = Literal["higher", "lower", "neither"]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Frozen(BaseModel):
    # deferred: most of these are only ever validated as parts of a record
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class InputRecord(_Frozen):
    """One input of a study as it was when the study ran."""

    role: str  #: subject, pairs, opponent, ...
    reference: str  #: as the configuration names it: ``embedded:induction-2l``
    sha256: Sha256
    size: int = Field(ge=0)  #: bytes


class Measure(_Frozen):
    """A number with its unit, its direction, its interval and the number of distinct units behind it."""

    value: FiniteFloat
    unit: str
    better: Better = "neither"
    n: int = Field(ge=1)
    n_of: str = "prompts"  #: what the n units are
    interval: Interval | None = None
    no_interval: str | None = None  #: why there is none, where there is none

    @model_validator(mode="before")
    @classmethod
    def _no_interval_from_too_little(cls, data: Any) -> Any:
        """A bootstrap of few or equal units is no interval: its reason takes its place."""
        fields: dict[str, Any] = dict(cast("dict[str, Any]", data)) if isinstance(data, dict) else {}
        interval = fields.get("interval")
        if isinstance(interval, Interval) and (reason := interval.unusable):
            return {**fields, "interval": None, "no_interval": reason}
        return cast("Any", data)

    @model_validator(mode="after")
    def _has_interval_or_reason(self) -> Measure:
        if self.interval is not None and (reason := self.interval.unusable):
            raise ValueError(reason)
        if (self.interval is None) == (not self.no_interval):
            raise ValueError("give an interval, or the reason why there is none in no_interval")
        return self

    @property
    def ends(self) -> tuple[float, float] | tuple[None, None]:
        """Lower and upper end of the interval; None twice where there is none."""
        return (self.interval.low, self.interval.high) if self.interval else (None, None)


class Table(_Frozen):
    """Rows for a person to read; a cell is text, a number or nothing."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | int | FiniteFloat | None, ...], ...]
    caption: str = ""

    @model_validator(mode="after")
    def _rectangular(self) -> Table:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise ValueError(f"row {index} has {len(row)} cells for {len(self.columns)} columns")
        return self

    def to_text(self, width: int | None = None) -> str:
        """The table laid out for a terminal of ``width`` characters (default: the terminal's own width)."""
        from toulmin.evidence.display import table_as_text

        return table_as_text(self, width)

    def to_html(self) -> str:
        """The table as an HTML ``<table>``."""
        from toulmin.evidence.display import table_as_html

        return table_as_html(self)

    def save(self, path: str | Path) -> Path:
        """Write the table to ``path``: a page (``.html``), or data (``.json``).

        :raises FaultError: another suffix, or a folder that does not exist.
        """
        from toulmin.evidence.display import save_result

        return save_result(path, "Table", [self])

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return self.to_html()


class PositiveControl(_Frozen):
    """The same method on a planted case; a claim of absence rests on it having been found.

    ``measures`` are what the method gives there, under the names of the record's own: the criterion of the claim must
    fail on them. ``contents`` identify the planted data (:func:`toulmin.evidence.content_of`): none of them may be
    among the data of the claim.
    """

    description: str
    detected: bool
    measures: dict[str, Measure] = {}
    contents: tuple[str, ...] = ()


class Artefact(_Frozen):
    """A file beside the record."""

    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*$")
    sha256: Sha256
    size: int = Field(ge=0)


class Evidence(_Frozen):
    """What a study leaves. See the module docstring for the three hashes."""

    record: Literal[3] = SCHEMA
    id: str = ""  #: the content hash; filled by :func:`seal`
    kind: str
    version: int
    configuration: dict[str, Any]
    inputs: tuple[InputRecord, ...]
    study_hash: Sha256
    inputs_hash: Sha256
    code: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")  #: hash of the source files that made it
    measures: dict[str, Measure]
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    artefacts: tuple[Artefact, ...] = ()  #: the items' files first
    positive_control: PositiveControl | None = None
    notes: tuple[str, ...] = ()  #: what a reader must know of the data: repeated units, uncommitted code
    n: int = Field(ge=1)  #: distinct units
    seeds: tuple[int, ...] = ()
    threads: int = 1
    device: str = "cpu"
    software: dict[str, str] = {}
    machine: str = ""
    seconds: float = 0.0
    created: str = ""  #: UTC, ISO 8601

    def content_hash(self) -> str:
        """The SHA-256 of the record without its ``id``."""
        return sha256_of_json(self.model_dump(mode="json", exclude={"id"}))


def seal(evidence: Evidence) -> Evidence:
    """The record with its ``id`` filled in."""
    return evidence.model_copy(update={"id": evidence.content_hash()})


def study_hash(kind: str, configuration: Mapping[str, Any]) -> str:
    """What was asked, whatever the inputs were: (kind, configuration)."""
    return sha256_of_json({"kind": kind, "configuration": dict(configuration)})


def inputs_hash(kind: str, version: int, configuration: Mapping[str, Any], inputs: Iterable[tuple[str, str]]) -> str:
    """Kind, version, configuration and the (role, sha256) of each input: differs when the evidence is stale."""
    return sha256_of_json(
        {"kind": kind, "version": version, "configuration": dict(configuration), "inputs": sorted(inputs)}
    )


def check_record(evidence: Evidence, now: dt.datetime | None = None) -> list[Fault]:
    """Every way in which a record contradicts itself, whatever its files hold.

    Its study hash and inputs hash must be those of its own configuration and inputs, and its date must be a date,
    with a time zone, that has come (an hour is allowed for clocks that differ).
    """
    faults: list[Fault] = []
    if study_hash(evidence.kind, evidence.configuration) != evidence.study_hash:
        faults.append(_contradiction("study_hash", "is not that of its own kind and configuration"))
    inputs = [(i.role, i.sha256) for i in evidence.inputs]
    if inputs_hash(evidence.kind, evidence.version, evidence.configuration, inputs) != evidence.inputs_hash:
        faults.append(_contradiction("inputs_hash", "is not that of its own configuration and inputs"))
    if len(set(evidence.seeds)) != len(evidence.seeds):
        faults.append(_contradiction("seeds", "name one seed twice"))
    try:
        created = dt.datetime.fromisoformat(evidence.created)
        ahead = created - (now or dt.datetime.now(dt.UTC))
    except (ValueError, TypeError):  # not a date, or one without a time zone
        faults.append(_contradiction("created", f"is not a date with a time zone: {evidence.created!r}"))
    else:
        if ahead > dt.timedelta(hours=1):
            faults.append(_contradiction("created", f"lies in the future: {evidence.created}"))
    return faults


def _contradiction(part: str, message: str) -> Fault:
    return Fault("evidence.contradiction", f"the record contradicts itself: {part} {message}", name=part)
