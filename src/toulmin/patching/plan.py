"""Which copies of which components must be computed, and from what: the program that ``execute`` runs. No tensors.

A *value* of a component is 0 (the counterfactual run, or what cut edges carry), 1 (the clean run), or a copy (2, 3, …).
What a receiver reads is a *row*: one value for each source that its stage may read. Rows are stored as deviations from
one of the two runs, the *base run*: the clean one where few edges are cut, the counterfactual where few are left. A row
is a base and a short list of table entries, ``row = base + sum_k coefficient_k * table_k``, where the table holds the
difference of the two runs in each source and the deviation of each copy. Rows and copies with equal contents are one,
across path sets and circuits; a copy all of whose rows are the clean run's is the clean run's value. Where all
components of a stage (the heads of a layer) read one row they are one *layer group*, and what they write together is
one entry. :mod:`toulmin.patching.plan_rows` chooses the base of every row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.patching.graph import Graph
from toulmin.patching.stages import Stage, consecutive

COUNTERFACTUAL, CLEAN = 0, 1
COUNTERFACTUAL_ROW, CLEAN_ROW = -2, -1
LOOK_BACK = 2  # stages back from which a row may be continued
WHOLE = -1  # in place of a source: all sources of the stage together

Key = NDArray[np.int32]


@dataclass(frozen=True)
class Column:
    """One addend of a row: a source at a class of positions, or all sources of the stage whose first is ``source``."""

    source: int
    place: int = 0
    whole: bool = False


@dataclass
class RowProgram:
    """How one row is made.

    :param base: (stage, row); of a stage, row −1 is the clean run's stream and −2 the counterfactual's.
    :param entries: table slot, coefficient, and class of positions (−1: all).
    :param second_pass: the base is a row of the same stage (a *shared base*), so this row is made after that one.
    """

    base: tuple[int, int]
    entries: list[tuple[int, float, int]] = field(default_factory=list)
    second_pass: bool = False


@dataclass(frozen=True)
class Copy:
    """A copy of a component: by input, the row it reads; several where they differ by class of offsets (K and V).

    ``component`` and rows are numbers of the stage.
    """

    component: int
    rows: tuple[tuple[int, ...], ...]


@dataclass
class StagePlan:
    """What one stage computes.

    ``slots[n]`` are the table slots that copy ``n`` fills, by source (``WHOLE``: all its sources together);
    ``group_slots[n]`` those of layer group ``n``, which reads the row ``groups[n]``.
    """

    number: int
    stage: Stage
    rows: list[RowProgram] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    slots: list[dict[int, int]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    group_slots: list[dict[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """A program over stages; ``outputs`` names the row of the last stage that each root reads."""

    graph: Graph
    stages: tuple[StagePlan, ...]
    deltas: tuple[tuple[int, bool], ...]  # the first table slots: (source, all sources of its stage)
    n_slots: int
    outputs: tuple[int, ...]
    base_run: int = CLEAN

    @property
    def n_copies(self) -> int:
        """How many copies of components are computed."""
        return sum(len(stage.copies) + len(stage.stage.components) * len(stage.groups) for stage in self.stages)

    @property
    def n_rows(self) -> int:
        """How many streams are assembled."""
        return sum(len(stage.rows) for stage in self.stages)

    @cached_property
    def opposite_stages(self) -> int:
        """How many stages must be computed of the run that is not the base run."""
        last = 0
        for stage in self.stages:
            for row in stage.rows:
                if row.base == (stage.number, -1 - self.base_run):
                    last = max(last, stage.number)
                for slot, _, _ in row.entries:
                    if slot < len(self.deltas):
                        last = max(last, self.graph.stage_of_source[self.deltas[slot][0]] + 1)
        return last


class Planner:
    """Collects rows and copies stage by stage, each once."""

    def __init__(
        self,
        graph: Graph,
        *,
        counterfactual_is_run: bool,
        base_run: Literal[0, 1] = CLEAN,
        places: Sequence[int] = (0,),
    ) -> None:
        self.graph, self.base_run, self.counterfactual_is_run = graph, base_run, counterfactual_is_run
        self.layout = layout_of(graph, tuple(places))
        self.stages = [StagePlan(number, stage) for number, stage in enumerate(graph.stages)]
        self.rows: list[dict[bytes, int]] = [
            {np.full(n, run, np.int32).tobytes(): run - 2 for run in (CLEAN, COUNTERFACTUAL)} for n in self.layout.width
        ]
        self.keys: list[list[Key]] = [[] for _ in graph.stages]
        self.uses: list[list[int]] = [[] for _ in graph.stages]
        self.slots = 0
        self.copies: list[dict[int, int]] = []  #: by value (less 2), the slots of its sources
        self.whole: dict[int, int] = {}  #: by value, the slot of all sources of the stage together
        self._numbers: dict[tuple[int, Copy], int] = {}
        self._groups: dict[tuple[int, int], int] = {}

    def row(self, stage: int, key: Key) -> int:
        """The number of the row with these values, of the columns that the stage reads."""
        text = key.tobytes()
        rows = self.rows[stage]
        found = rows.get(text)
        if found is None:
            found = rows[text] = len(rows) - 2  # the two constant rows are there from the start
            self.keys[stage].append(key)
            self.uses[stage].append(0)
        if found >= 0:
            self.uses[stage][found] += 1
        return found

    def copy(self, stage: int, copy: Copy) -> int:
        """The value of a component whose inputs read these rows."""
        found = self._numbers.get((stage, copy))
        if found is not None:
            return found
        rows = {row for some in copy.rows for row in some}
        if rows == {CLEAN_ROW}:
            return CLEAN
        if rows == {COUNTERFACTUAL_ROW} and self.counterfactual_is_run:
            return COUNTERFACTUAL
        if len(rows) == 1 and (group := self._groups.get((stage, next(iter(rows))))) is not None:
            return group + copy.component
        if any(len(some) > 1 for some in copy.rows) and all(len(set(some)) == 1 for some in copy.rows):
            return self.copy(stage, Copy(copy.component, tuple(some[:1] for some in copy.rows)))
        plan, sources = self.stages[stage], self.layout.component_sources[stage][copy.component]
        slots = dict(zip(sources, range(self.slots, self.slots + len(sources)), strict=True))
        self.slots += len(sources)
        self.copies.append(slots)
        found = self._numbers[stage, copy] = len(self.copies) + 1
        if len(sources) > 1 and len(plan.stage.components) == 1:
            self.whole[found] = self.slots
            slots = slots | {WHOLE: self.slots}
            self.slots += 1
        plan.slots.append(slots)
        plan.copies.append(copy)
        return found

    def group(self, stage: int, row: int) -> Key | int:
        """The values of all components of a stage whose inputs all read this row."""
        if row == CLEAN_ROW:
            return CLEAN
        if row == COUNTERFACTUAL_ROW and self.counterfactual_is_run:
            return COUNTERFACTUAL
        first, sources = self._groups.get((stage, row)), self.layout.component_sources[stage]
        if first is None:
            first = self._groups[stage, row] = len(self.copies) + 2
            self.whole[first] = self.slots
            slots = {WHOLE: self.slots}
            self.slots += 1
            for numbers in sources:
                own = dict(zip(numbers, range(self.slots, self.slots + len(numbers)), strict=True))
                self.slots += len(numbers)
                self.copies.append(own)
                slots |= own
            self.stages[stage].groups.append(row)
            self.stages[stage].group_slots.append(slots)
        return np.arange(first, first + len(sources), dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Layout:
    """How the keys of rows are laid out for a graph: what planning needs to know of it, whatever is planned.

    :param columns: every source at every class of positions.
    :param reads: by stage, the columns that its keys cover.
    :param width: by stage, the length of a key.
    :param component_sources: by stage and component, the numbers of the sources.
    :param component_of: by stage, the number of the component of each of its sources.
    :param component_reading: by stage, the number of the component of each of its receivers.
    """

    graph: Graph
    n_places: int
    columns: tuple[Column, ...]
    reads: tuple[NDArray[np.int64], ...]
    width: tuple[int, ...]
    component_sources: tuple[tuple[range, ...], ...]
    component_of: tuple[NDArray[np.int64], ...]
    component_reading: tuple[NDArray[np.int64], ...]


@lru_cache(maxsize=4)
def layout_of(graph: Graph, places: tuple[int, ...]) -> Layout:
    """The layout for a graph and classes of positions, which many plans share."""
    columns = tuple(Column(source, place) for source in range(len(graph.sources)) for place in places)
    count = np.arange(len(places))
    reads = tuple((numbers[:, None] * len(places) + count).reshape(-1) for numbers in graph.read_numbers)
    sources = tuple(
        consecutive(writes.start, (len(component.sources) for component in stage.components))
        for stage, writes in zip(graph.stages, graph.writes, strict=True)
    )
    component_of = tuple(np.repeat(np.arange(len(some)), [len(numbers) for numbers in some]) for some in sources)
    reading = tuple(
        np.repeat(np.arange(len(stage.components)), [len(component.inputs) for component in stage.components])
        for stage in graph.stages
    )
    width = tuple(map(len, reads))
    return Layout(graph, len(places), columns, reads, width, sources, component_of, reading)
