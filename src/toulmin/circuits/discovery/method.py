"""What every discovery method has in common: its settings, what it is asked, and what it returns. No torch.

A method is a frozen, validated object of settings (a pydantic model), so that it can be written in TOML, stored in a
record and compared; an unknown setting is an error. ``method.discover(runner)`` gives a :class:`Discovery`. Most
methods score every edge (:class:`ScoringMethod`) and keep the ``size`` best.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.methodology import Ablation
from toulmin.evidence import Table, TabularResult
from toulmin.faults import Fault, FaultError, faults_of_validation
from toulmin.tasks import MetricLike, find_metric

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

#: validation context inside of a study, whose reader then says the file and line of every fault
INSIDE = {"inside": "a study"}
#: called with the number of steps done since the last call; a method has :meth:`DiscoveryMethod.steps_on` in all
Progress = Callable[[int], None]


def _known(metric: Any, *, smooth: bool = False) -> Any:
    try:
        find_metric(metric, smooth=smooth)
    except FaultError as error:
        raise ValueError("; ".join(str(fault) for fault in error.faults)) from None
    return metric


def _metric_name(metric: Any) -> str:
    return find_metric(metric).name


#: a name of the catalogue, a Metric or a function of logits, of which the name is stored; smooth: with a gradient
if TYPE_CHECKING:
    MetricSetting = SmoothMetric = MetricLike
else:
    MetricSetting = Annotated[Any, PlainValidator(_known), PlainSerializer(_metric_name)]
    SmoothMetric = Annotated[Any, PlainValidator(partial(_known, smooth=True)), PlainSerializer(_metric_name)]


@dataclass(frozen=True)
class Discovery(TabularResult):
    """What a method found: ``circuit``, and where the method scores all edges the ``scores`` it was cut from.

    ``method`` says what found it, with its settings.
    """

    circuit: Circuit
    scores: EdgeScores | None
    method: str

    def tables(self) -> tuple[Table, ...]:
        """The edges of the circuit, with their scores if there are any."""
        columns = ("edge", "positions") if self.circuit.positions else ("edge",)
        rows: list[tuple[str | float, ...]] = []
        for name, at in self.circuit.by_edge().items():
            row: list[str | float] = [name] if self.circuit.positions is None else [name, ", ".join(map(str, at))]
            rows.append((*row, *([] if self.scores is None else [self.scores.at(name)])))
        columns += () if self.scores is None else ("score",)
        size = f"{len(self.circuit)} of {self.circuit.graph.n_edges * (self.circuit.positions or 1)} edges"
        return (Table(title=f"{self.method}: {size}", columns=columns, rows=tuple(rows)),)

    def to_json(self) -> dict[str, Any]:
        """Plain data, from which :meth:`from_json` makes an equal discovery."""
        scores = self.scores
        data = {"format": "toulmin.discovery/1", "method": self.method, "circuit": self.circuit.to_json()}
        if scores is None:
            return data
        metric = None if scores.metric is None else _metric_name(scores.metric)
        return {**data, "scores": scores.values.tolist(), "metric": metric, "ablation": scores.ablation}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Discovery:
        """Read what :meth:`to_json` wrote.

        :raises FaultError: another format, or missing parts.
        """
        try:
            known = data["format"] == "toulmin.discovery/1"
            circuit, method = Circuit.from_json(data["circuit"]), str(data["method"])
            if "scores" not in data or not known:
                scores = None
            else:
                values = np.array(data["scores"], dtype=np.float64)
                scores = EdgeScores(circuit.graph, values, method, metric=data["metric"], ablation=data["ablation"])
        except (KeyError, TypeError, ValueError) as error:
            raise FaultError(Fault("circuits.format", f"not a discovery: {error}")) from None
        if not known:
            raise FaultError(Fault("circuits.format", f"not a discovery: format {data['format']!r}"))
        return cls(circuit, scores, method)


class DiscoveryMethod(BaseModel, ABC):
    """The settings of one way to find a circuit.

    A field ``name`` tells the methods apart in a TOML file. ``per_position`` methods find edges at token positions;
    the prompts must then have one length.

    :raises FaultError: ``circuits.method``, one for every setting that the method does not take or cannot use.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: ClassVar[str]  #: what the method is called in tables
    scored: ClassVar[bool] = True  #: whether it scores all edges

    @model_validator(mode="wrap")
    @classmethod
    def _named_settings(cls, data: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        try:
            return handler(data)
        except ValidationError as error:
            if info.context is INSIDE:
                raise
            key = name_of(cls)
            hint = f"{key} takes {', '.join(field for field in cls.model_fields if field != 'name')}"
            faults = faults_of_validation(error, "circuits.method", prefix=(key,))
            raise FaultError([Fault(f.code, f.message, name=f.name, hint=hint) for f in faults]) from None

    @property
    def key(self) -> str:
        """The method's name in files: its field ``name``."""
        return name_of(type(self))

    @abstractmethod
    def discover(self, runner: CircuitRunner, progress: Progress | None = None) -> Discovery:
        """The circuit that the method finds on the runner's model and prompts."""

    @abstractmethod
    def steps_on(self, runner: CircuitRunner) -> int:
        """How many steps ``progress`` will have been told of when the method is done."""

    def passes(self, runner: CircuitRunner) -> float:
        """About how many forward passes of one prompt the method takes; six a step and prompt unless it says more.

        From the times measured on SmolLM2-135M. A step is a batch here.
        """
        return 6.0 * self.steps_on(runner) * runner.n / len(runner.batches)

    def with_seed(self, seed: int) -> Self:
        """The same method with this seed, if it draws at random and none was set."""
        draws = "seed" in type(self).model_fields and getattr(self, "seed") is None  # noqa: B009
        return self.model_copy(update={"seed": seed}) if draws else self

    @property
    def label(self) -> str:
        """The title with the settings that decide what the method computes."""
        skipped = {"name", "size", "signed", "order", "speculate", "together", "within"}
        values = self.model_dump(mode="json", exclude=skipped)
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        shown = [name if value is True else f"{name} {value}" for name, value in given.items()]
        return f"{self.title} ({', '.join(shown)})" if shown else self.title


def name_of(method: type[DiscoveryMethod]) -> str:
    """The default of the field ``name``, by which a method is found; of a class without one, the class's name."""
    field = method.model_fields.get("name")
    return method.__name__ if field is None else str(field.default)


class ScoringMethod(DiscoveryMethod):
    """A method that scores every edge."""

    per_position: bool = False  #: one score for each edge and token position

    @abstractmethod
    def scores(self, runner: CircuitRunner, progress: Progress | None = None) -> EdgeScores:
        """The score of every edge."""

    def of(
        self, runner: CircuitRunner, values: Any, metric: MetricSetting | None = None, ablation: Ablation | None = None
    ) -> EdgeScores:
        """Scores made by this method, which estimate the effect on ``metric`` of ablating with ``ablation``."""
        found = None if metric is None else find_metric(metric)
        return EdgeScores(runner.graph, values, self.label, metric=found, ablation=ablation)


class RankingMethod(ScoringMethod):
    """A method that scores every edge, and whose circuit is the ``size`` edges of largest absolute score."""

    size: int | None = Field(default=None, ge=0)  #: edges of the circuit; default a twentieth of all
    signed: bool = False  #: keep the largest scores, not the largest absolute ones

    def discover(self, runner: CircuitRunner, progress: Progress | None = None) -> Discovery:
        """The circuit of the best edges, and the scores of all."""
        scores = self.scores(runner, progress)
        return Discovery(scores.top(self.size_among(len(scores.flat())), signed=self.signed), scores, self.label)

    def size_among(self, edges: int) -> int:
        """The circuit's size where there are so many edges: the setting, or a twentieth of all, at least one."""
        return max(1, edges // 20) if self.size is None else self.size


def common_length(runner: CircuitRunner, method: DiscoveryMethod) -> int:
    """The one length of the runner's prompts.

    :raises FaultError: ``circuits.positions``: they have several, so that positions do not correspond.
    """
    if len(runner.lengths) > 1:
        lengths = ", ".join(map(str, runner.lengths))
        text = f"edges at token positions need prompts of one length, and these have {lengths} tokens"
        raise FaultError(Fault("circuits.positions", text, name=method.key, hint="leave out per_position"))
    return max(runner.lengths)
