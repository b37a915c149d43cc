"""The study contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, PrivateAttr

from toulmin.evidence import Figure, InputRecord, Items, Measure, PositiveControl, Table, inputs_hash, study_hash
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies.references import Resolver
from toulmin.studies.run import Run

Input = InputRecord
PresetName = Literal["tiny", "demo", "full"]


@dataclass(frozen=True)
class MeasureSpec:
    """A measure as it is declared before any run, so that criteria can be checked against it."""

    unit: str
    better: Literal["higher", "lower", "neither"]
    estimator: str  #: one line: what is averaged over what
    low: float | None = None  #: the smallest value it can have, None where there is no such end
    high: float | None = None  #: the largest


@dataclass(frozen=True)
class Doubt:
    """What the numbers of a study kind cannot show by themselves.

    Every case that rests on such a study gets the doubt as a defeater of its evidence, which stands until somebody
    answers it. ``rule`` is its name, ``text`` what is doubted, ``answered_by`` what would answer it.
    """

    rule: str
    text: str
    answered_by: str
    kind: Literal["rebut", "undercut", "undermine"] = "undercut"


@dataclass(frozen=True)
class Cost:
    """A rough estimate before running: seconds of one core, and bytes of memory where they are known."""

    seconds: float
    bytes: int = 0

    def __str__(self) -> str:
        unit, size = next((u, s) for u, s in (("h", 3600), ("min", 60), ("s", 1)) if self.seconds >= 1.5 * s or s == 1)
        memory = f", {self.bytes / 2**30:.1f} GiB" if self.bytes else ""
        return f"about {max(1, round(self.seconds / size))} {unit}{memory}"


@dataclass(frozen=True)
class Summary:
    """What ``summarise`` makes of the items."""

    measures: Mapping[str, Measure]
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    positive_control: PositiveControl | None = None


class Study(BaseModel, ABC):
    """A question about some inputs, as data.

    Subclasses declare ``kind`` (``package.verb``), ``version`` (raised when the meaning of the numbers changes),
    ``measures``, ``presets`` and the ``doubts`` that its numbers cannot answer, and their fields are the configuration.
    Their module never imports torch at the top: a case is checked without it.
    """

    # deferred: a case binds a few of the kinds that are installed
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    kind: ClassVar[str]
    version: ClassVar[int]
    measures: ClassVar[Mapping[str, MeasureSpec]]
    presets: ClassVar[Mapping[PresetName, Mapping[str, Any]]]
    doubts: ClassVar[tuple[Doubt, ...]] = ()
    recorded_elsewhere: ClassVar[bool] = False  #: its inputs are logs of another tool, and the subject is none of them
    _resolver: Resolver = PrivateAttr(default_factory=Resolver)

    @classmethod
    def preset(cls, name: PresetName) -> Self:
        """The ``tiny`` (at most 5 s), ``demo`` or ``full`` setting."""
        return cls.model_validate(dict(cls.presets[name]))

    @property
    def resolver(self) -> Resolver:
        """Finds the inputs that references name."""
        return self._resolver

    def at(self, resolver: Resolver) -> Self:
        """The same study, finding its inputs through ``resolver``."""
        copy = self.model_copy()
        copy._resolver = resolver
        return copy

    def input(self, role: str, reference: str) -> Input:
        """Fingerprint one input."""
        digest, size = self._resolver.fingerprint(reference)
        return Input(role=role, reference=reference, sha256=digest, size=size)

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """The measures this configuration will give; those of the class unless they depend on the configuration."""
        return self.measures

    def measure(self, name: str, values: Any, items: Items, *, shares: bool = False, **more: Any) -> Measure:
        """The declared measure ``name``: the mean of ``values`` [units], over the items' clusters, each content once.

        Its interval is :func:`toulmin.evidence.mean_interval`'s: exact for 0 and 1 where the measure is declared from 0
        to 1, none (with the reason) of few or equal clusters, else a bootstrap. A measure declared from -1 to 1 is a
        difference of two shares.

        :param shares: values between 0 and 1 are means of zeros and ones.
        :param more: other fields of :class:`toulmin.evidence.Measure`, such as ``n_of``.
        """
        import numpy as np

        from toulmin.evidence import mean_interval

        spec, weights = self.measure_specs()[name], items.weights
        among = (spec.low, spec.high)
        trials = True if shares else None if among == (0.0, 1.0) else False
        interval, reason = mean_interval(
            values, clusters=items.clusters, weights=weights, shares=trials, differences=among == (-1.0, 1.0)
        )
        fields: dict[str, Any] = {"unit": spec.unit, "better": spec.better, "n": items.n}
        fields |= {"interval": interval, "no_interval": reason, **more}
        return Measure(value=float(np.average(values, weights=weights)), **fields)

    def configuration(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return self.model_dump(mode="json")

    def study_hash(self) -> str:
        """Of kind and configuration, whatever the inputs."""
        return study_hash(self.kind, self.configuration())

    def inputs_hash(self, inputs: Sequence[Input] | None = None) -> str:
        """Of kind, version, configuration and inputs as they are now."""
        found = self.inputs() if inputs is None else inputs
        return inputs_hash(self.kind, self.version, self.configuration(), [(i.role, i.sha256) for i in found])

    @abstractmethod
    def inputs(self) -> tuple[Input, ...]:
        """What the study reads, with hashes."""

    def stated_subject(self) -> str | None:
        """The SHA-256 of the subject's weights as the data state it, where they were recorded elsewhere."""
        return None

    def seed_changes_data(self) -> bool:
        """Whether a run with another seed collects other data; if not, several seeds are one observation."""
        return True

    def cost(self) -> Cost | None:
        """What ``toulmin run`` says before it starts, for subjects that ship with the package; None: not estimated.

        A study of another model says how long it will take once that is loaded (:meth:`Progress.note`).
        """
        return None

    @abstractmethod
    def collect(self, run: Run) -> Items:
        """The expensive part; resumable in ``run.workdir``."""

    @abstractmethod
    def summarise(self, items: Items) -> Summary:
        """Measures, tables and figures from the items; pure NumPy, so that it can be done again at any time."""

    def check_summary(self, summary: Summary) -> None:
        """Exactly the declared measures, or :class:`FaultError`."""
        declared, given = set(self.measure_specs()), set(summary.measures)
        faults = [Fault("study.undeclared_measure", "not declared", name=name) for name in sorted(given - declared)]
        faults += [Fault("study.absent_measure", "declared but absent", name=name) for name in sorted(declared - given)]
        if faults:
            raise FaultError(faults, ExitCode.INVALID)


__all__ = ["Cost", "Doubt", "Input", "Items", "MeasureSpec", "PresetName", "Study", "Summary"]
