"""History drawn: the state of every element over runs, and the numbers of the evidence with their intervals.

A strip a claim, oldest run on the left. What a state is worth is the height of its bar as well as its colour, and what
is stale is hatched, so that neither depends on seeing colours; runs of one state are one bar, so that a long history of
a large case stays small.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from toulmin.case import (
    Comparison,
    CriterionError,
    Health,
    HistoryEntry,
    NodeVerdict,
    Verdict,
    measures_of,
    parse_criterion,
    states_of,
)
from toulmin.evidence import Evidence
from toulmin.report.bars import threshold_of
from toulmin.report.numbers import format_number
from toulmin.report.words import Status, node_status

MAX_RUNS = 100
MAX_RECORDS = 60
ROW = 24.0  #: height of a strip
PLOT = 76.0  #: height of a plot of numbers
GUTTER = 62.0  #: left of it, for its scale
_WIDTH, _DATE = 560.0, 78.0
_RANKS = {health.word: int(health) for health in Health}


@dataclass(frozen=True)
class Segment:
    """Consecutive runs with one state, as a bar whose height is what the state is worth; or one run's interval."""

    x: float
    y: float
    width: float
    height: float
    says: str
    style: str = ""
    stale: bool = False


@dataclass(frozen=True)
class Strip:
    """An element over all runs; ``node`` is None where it is no longer in the case."""

    id: str
    node: NodeVerdict | None
    status: Status | None
    segments: tuple[Segment, ...]
    changes: bool

    @property
    def says(self) -> str:
        """The strip in words."""
        return "; ".join(segment.says for segment in self.segments)


@dataclass(frozen=True)
class Tick:
    """A run on the time line; only some are dated."""

    x: float
    date: str = ""
    anchor: str = "middle"


@dataclass(frozen=True)
class Point:
    """A number of one record: its place, its interval, and whether it is of the inputs as they are now."""

    x: float
    y: float
    low: float | None
    high: float | None
    current: bool
    says: str


@dataclass(frozen=True)
class Plot:
    """A measure of one piece of evidence over its records."""

    id: str
    measure: str
    unit: str
    width: float
    points: tuple[Point, ...]
    thresholds: tuple[float, ...]
    top: str  #: the ends of the scale
    bottom: str

    @property
    def says(self) -> str:
        """The plot in words."""
        return "; ".join(point.says for point in self.points)


@dataclass(frozen=True)
class History:
    """What the section on history shows; ``left_out`` runs are older than those drawn."""

    width: float
    ticks: tuple[Tick, ...]
    strips: tuple[Strip, ...]
    steady: tuple[Strip, ...]  #: elements whose state never changed
    probability: tuple[Segment, ...]
    plots: tuple[Plot, ...]
    left_out: int


def trace_history(
    verdict: Verdict, order: Sequence[str], moments: Sequence[HistoryEntry], past: Mapping[str, Sequence[Evidence]]
) -> History:
    """Lay out the history of a case; ``order`` names its elements as they are read, ``past`` the records of each."""
    states = states_of(moments)[-MAX_RUNS:]
    shown = moments[-MAX_RUNS:]
    step = min(90.0, max(5.0, _WIDTH / len(shown))) if shown else 0.0
    root = verdict.root
    known = dict.fromkeys(name for state in states for name in state)
    names = [name for name in order if name in known] + [name for name in known if name not in verdict.nodes]
    strips: list[Strip] = []
    if shown:
        cells = [m.health + (", stale" if m.freshness == "stale" else "") for m in shown]
        strips.append(_strip(root or "", verdict, cells, shown, step))
    for name in names:
        if name != root:
            strips.append(_strip(name, verdict, [state.get(name) for state in states], shown, step))
    return History(
        width=step * len(shown),
        ticks=tuple(_ticks(shown, step)),
        strips=tuple(s for i, s in enumerate(strips) if s.changes or i == 0),
        steady=tuple(s for s in strips[1:] if not s.changes),
        probability=tuple(_probabilities(shown, step)),
        plots=tuple(plot for name in order for plot in _plots(verdict.nodes[name], past.get(name, ()))),
        left_out=len(moments) - len(shown),
    )


def bar_height(rank: int) -> float:
    """From 5, refuted, to 22, supported; so that the worst is seen too."""
    return 5 + 3.4 * rank


def _strip(
    name: str, verdict: Verdict, cells: Sequence[str | None], moments: Sequence[HistoryEntry], step: float
) -> Strip:
    segments: list[Segment] = []
    place = 0
    for state, several in groupby(cells):
        count = len(list(several))
        first, last = moments[place].on, moments[place + count - 1].on
        word, _, freshness = (state or "").partition(", ")
        if word in _RANKS or word == HistoryEntry.INVALID:
            when = f"{first} to {last}" if last != first else f"{first}"
            says = f"{state} {when}" + (f", {count} runs" if count > 1 else "")
            style = word if word in _RANKS else "refuted"
            height = bar_height(_RANKS.get(word, 0))
            stale = freshness == "stale"
            segments.append(Segment(place * step, ROW - height, count * step, height, says, style, stale))
        place += count
    node = verdict.nodes.get(name)
    return Strip(name, node, node_status(node) if node else None, tuple(segments), len(set(cells)) > 1)


def _ticks(moments: Sequence[HistoryEntry], step: float) -> Iterable[Tick]:
    """A tick a run; dates where they fit, the first and the last before the others."""
    if not moments:
        return
    width, free, said = step * len(moments), 0.0, ""
    last = len(moments) - 1
    final = width - _DATE if last and moments[last].on != moments[0].on else width
    for index, moment in enumerate(moments):
        x, date = (index + 0.5) * step, moment.on.isoformat()
        if index == 0:
            yield Tick(x, date, "start")
            free, said = _DATE, date
        elif index == last and date != said and final >= free:
            yield Tick(x, date, "end")
        elif date != said and x - _DATE / 2 >= free and x + _DATE / 2 <= final:
            yield Tick(x, date)
            free, said = x + _DATE / 2, date
        else:
            yield Tick(x)


def _probabilities(moments: Sequence[HistoryEntry], step: float) -> Iterable[Segment]:
    """The interval of the conclusion's probability at each run; the height of a row is from 0 to 1."""
    for index, moment in enumerate(moments):
        if moment.low is not None and moment.high is not None:
            low, high = min(moment.low, moment.high), max(moment.low, moment.high)
            says = f"{moment.on}: {format_number(moment.low)} to {format_number(moment.high)}"
            height = max(1.5, (high - low) * ROW)
            yield Segment(index * step, min((1 - high) * ROW, ROW - height), step, height, says)


def _plots(node: NodeVerdict, records: Sequence[Evidence]) -> Iterable[Plot]:
    binding = node.binding
    if binding is None or binding.criterion is None or len(records) < 2:
        return
    try:
        names = sorted(measures_of(parse_criterion(binding.criterion)))
    except CriterionError:
        return
    now = {(state.role, state.now) for state in binding.inputs}
    recent = sorted(records, key=lambda record: (record.created, record.id))[-MAX_RECORDS:]
    for name in names:
        having = [record for record in recent if name in record.measures]
        if len(having) > 1:
            yield _plot(node.id, name, having, _thresholds(name, binding.comparisons), now)


def _thresholds(measure: str, comparisons: Iterable[Comparison]) -> list[float]:
    found = [threshold_of(c) for c in comparisons if c.measure == measure]
    return sorted({threshold for threshold in found if threshold is not None})


def _plot(
    identifier: str,
    name: str,
    records: Sequence[Evidence],
    thresholds: Sequence[float],
    now: set[tuple[str, str | None]],
) -> Plot:
    ends = list(thresholds)
    for record in records:
        measure = record.measures[name]
        ends += [measure.value, *((measure.interval.low, measure.interval.high) if measure.interval else ())]
    start, end = min(ends), max(ends)
    air = (end - start or abs(end) or 1.0) * 0.08
    step = min(56.0, max(9.0, (_WIDTH - GUTTER) / len(records)))

    def at(value: float) -> float:
        return round(6 + (PLOT - 12) * (1 - (value - start + air) / (end - start + 2 * air)), 1)

    points: list[Point] = []
    for index, record in enumerate(records):
        measure = record.measures[name]
        current = all((one.role, one.sha256) in now for one in record.inputs)
        interval = measure.interval
        says = f"{record.created[:10]}: {format_number(measure.value)}"
        says += f" [{format_number(interval.low)}, {format_number(interval.high)}]" if interval else ""
        says += f", n = {measure.n}" + ("" if current else ", of other inputs than now")
        low, high = (at(interval.low), at(interval.high)) if interval else (None, None)
        points.append(Point(round(GUTTER + (index + 0.5) * step, 1), at(measure.value), low, high, current, says))
    unit = records[-1].measures[name].unit
    width = GUTTER + step * len(records)
    scale = format_number(end), format_number(start)
    return Plot(identifier, name, unit, width, tuple(points), tuple(at(t) for t in thresholds), *scale)
