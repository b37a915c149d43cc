"""How the rows of a plan are made with the fewest additions.

The base of a row is the cheapest of: the base run's stream (nothing to add), the second run's stream, a row of an
earlier stage that this one continues, or a similar row of the same stage, a *shared base*. Where the sources of a stage
(the heads of a layer) all have the value of one run or of one layer group, they are one addend instead of many.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toulmin.patching.plan import CLEAN, LOOK_BACK, Column, Key, Layout, Plan, Planner, RowProgram, StagePlan

MAX_SHARED_BASES = 64


def finish(planner: Planner, outputs: Sequence[int]) -> Plan:
    """The plan of what was collected, with the base of every row chosen, without table slots that nobody reads."""
    maker = _RowMaker(planner)
    for number, stage in enumerate(planner.stages):
        maker.make(number, stage)
    used, first = maker.used, len(maker.deltas)
    for stage in planner.stages:
        for slots in (stage.slots, stage.group_slots):
            for index, own in enumerate(slots):
                slots[index] = {source: slot + first for source, slot in own.items() if slot in used}
    stages, deltas = tuple(planner.stages), tuple(maker.deltas)
    return Plan(planner.graph, stages, deltas, planner.slots + first, tuple(outputs), planner.base_run)


@dataclass(frozen=True)
class _Wholes:
    """Stages with one number of sources, in the addends of a row: where their sources are, and their sum.

    ``offsets`` are the numbers of the sources' components, so the values of a layer group are its first plus these.
    """

    members: NDArray[np.int64]  # [stages, sources]
    sums: NDArray[np.int64]  # [stages]
    offsets: NDArray[np.int64]  # [stages, sources]


class _Addends:
    """What the rows of one stage are sums of: the columns it reads and, after the sources of a stage, their sum."""

    def __init__(self, layout: Layout, stage: int) -> None:
        graph = layout.graph
        read = set(graph.read_numbers[stage].tolist())
        self.columns: list[Column] = []
        single: list[int] = []
        wholes: dict[int, list[tuple[list[int], int, NDArray[np.int64]]]] = {}
        for column in layout.reads[stage].tolist():
            one = layout.columns[column]
            single.append(len(self.columns))
            self.columns.append(one)
            writer = graph.stage_of_source[one.source]
            sources = graph.writes[writer] if writer >= 0 else range(0)
            if layout.n_places == 1 and len(sources) > 1 and one.source == sources[-1] and read.issuperset(sources):
                at = single[-len(sources) :]
                wholes.setdefault(len(sources), []).append((at, len(self.columns), layout.component_of[writer]))
                self.columns.append(Column(sources[0], whole=True))
        self.single = np.array(single)
        self.wholes = [
            _Wholes(*map(np.stack, zip(*((m, s, o) for m, s, o in some), strict=True))) for some in wholes.values()
        ]

    def collect(self, keys: NDArray[np.int32], has_sum: NDArray[np.bool_], base_run: int) -> NDArray[np.int32]:
        """Keys with the sources of a stage as one value, where they are of one run or of one layer group."""
        if not self.wholes:
            return keys
        out = np.full((len(keys), len(self.columns)), base_run, dtype=np.int32)
        out[:, self.single] = keys
        for some in self.wholes:
            values = out[:, some.members]  # [N, stages, sources]
            first = values[..., 0]
            one_run = (values == first[..., None]).all(-1) & (first <= CLEAN)
            one = one_run | ((values == first[..., None] + some.offsets).all(-1) & has_sum[first])
            out[:, some.sums] = np.where(one, first, base_run)
            out[:, some.members] = np.where(one[..., None], base_run, values)
        return out


class _Shared(NamedTuple):
    """What plans over one layout share: by stage the addends of its rows; the first table slots; by stage the earlier
    stages whose rows it may continue."""

    addends: tuple[_Addends, ...]
    deltas: dict[tuple[int, bool], int]
    earlier: tuple[tuple[int, ...], ...]


@lru_cache(maxsize=4)
def _shared(layout: Layout) -> _Shared:
    addends = tuple(_Addends(layout, stage) for stage in range(len(layout.graph.stages)))
    kinds = dict.fromkeys((c.source, c.whole) for some in addends for c in some.columns)
    earlier = tuple(
        tuple(m for m in range(n - 1, max(n - LOOK_BACK, 0) - 1, -1) if _continues(layout, n, m))
        for n in range(len(addends))
    )
    return _Shared(addends, {kind: slot for slot, kind in enumerate(kinds)}, earlier)


def _continues(layout: Layout, number: int, stage: int) -> bool:
    """Whether the rows of a stage begin with all that an earlier stage reads, up to the end of some stage."""
    now, then = layout.reads[number], layout.reads[stage]
    if len(then) > len(now) or not np.array_equal(now[: len(then)], then):
        return False
    if len(then) == len(now):
        return True
    last, following = (layout.columns[now[len(then) - back]].source for back in (1, 0))
    written = layout.graph.stage_of_source
    return written[last] != written[following] or layout.n_places > 1


class _RowMaker:
    def __init__(self, planner: Planner) -> None:
        self.planner = planner
        self.addends, self.deltas, self.earlier = _shared(planner.layout)
        self.used: set[int] = set()
        self.has_sum = np.zeros(len(planner.copies) + 2, dtype=np.bool_)
        self.has_sum[list(planner.whole)] = True

    def make(self, number: int, plan: StagePlan) -> None:
        """Choose how to make every row of a stage."""
        planner, layout = self.planner, self.planner.layout
        raw, uses = planner.keys[number], planner.uses[number]
        base_run, opposite = planner.base_run, 1 - planner.base_run
        plan.rows = [RowProgram((number, base_run - 2)) for _ in raw]
        if not raw:
            return
        addends = self.addends[number]
        stacked = np.stack([*raw, np.full(layout.width[number], opposite, dtype=np.int32)])
        stacked = addends.collect(stacked, self.has_sum, base_run)
        keys, all_opposite = stacked[:-1], stacked[-1]
        shared_bases = np.empty((MAX_SHARED_BASES, stacked.shape[1]), dtype=np.int32)
        shared_rows: list[int] = []
        # where each row differs from the base run's: one list for all rows, cut at ``ends``
        which, columns = np.nonzero(keys != base_run)
        differs = list(zip(columns.tolist(), keys[which, columns].tolist(), strict=True))
        ends = [0, *np.cumsum(np.bincount(which, minlength=len(keys))).tolist()]
        from_opposite = (keys != all_opposite).sum(1).tolist()
        earlier = [(m, layout.width[m], len(self.addends[m].columns)) for m in self.earlier[number]]
        for index in sorted(range(len(keys)), key=lambda i: -uses[i]):
            first, end = ends[index], ends[index + 1]
            base: Key | None = None
            place, cost = (number, base_run - 2), end - first
            if (n := from_opposite[index] + 1) < cost:
                base, place, cost = all_opposite, (number, opposite - 2), n
            for stage, before, before_addends in earlier:
                row = planner.rows[stage].get(raw[index][:before].tobytes())
                if row is not None and row >= 0:
                    start = bisect_left(differs, (before_addends, 0), first, end)
                    if (n := end - start + 1) < cost:
                        base, place, cost, first = None, (stage, row), n, start
                    break
            second_pass = False
            if cost > 3 and shared_rows:
                differ = (shared_bases[: len(shared_rows)] != keys[index]).sum(1)
                best = int(differ.argmin())
                if int(differ[best]) + 1 < cost:
                    base, place, second_pass = shared_bases[best], (number, shared_rows[best]), True
            if not second_pass and len(shared_rows) < MAX_SHARED_BASES:
                shared_bases[len(shared_rows)] = keys[index]
                shared_rows.append(index)
            if base is not None or layout.n_places > 1:
                entries = self._entries(addends, keys[index], base, differs[first:end])
            else:  # the common case
                entries = [(self._slot(addends.columns[at], value) or 0, 1.0, -1) for at, value in differs[first:end]]
            plan.rows[index] = RowProgram(place, entries, second_pass)

    def _entries(
        self, addends: _Addends, key: Key, base: Key | None, differs: Sequence[tuple[int, int]]
    ) -> list[tuple[int, float, int]]:
        """What must be added to the base; where that is the base run's stream (None), it ``differs`` there."""
        places = self.planner.layout.n_places
        if base is not None:
            columns = np.flatnonzero(key != base)
            differs = list(zip(columns.tolist(), key[columns].tolist(), strict=True))
        sums: dict[tuple[int, int], float] = {}

        def add(slot: int | None, place: int, sign: float) -> None:
            if slot is not None:
                sums[slot, place] = sums.get((slot, place), 0.0) + sign

        for at, value in differs:
            column = addends.columns[at]
            place = column.place if places > 1 else -1
            add(self._slot(column, value), place, 1.0)
            if base is not None:
                add(self._slot(column, int(base[at])), place, -1.0)
        if places > 1:  # the same entry at every class of positions is one entry
            by_slot: dict[int, dict[int, float]] = {}
            for (slot, place), value in sums.items():
                by_slot.setdefault(slot, {})[place] = value
            for slot, values in by_slot.items():
                if len(values) == places and len(set(values.values())) == 1:
                    for place in values:
                        del sums[slot, place]
                    sums[slot, -1] = next(iter(values.values()))
        return [(slot, value, place) for (slot, place), value in sums.items() if value]

    def _slot(self, column: Column, value: int) -> int | None:
        """The table slot of a column's value; None for the base run's."""
        if value == self.planner.base_run:
            return None
        if value <= CLEAN:
            return self.deltas[column.source, column.whole]
        slot = self.planner.whole[value] if column.whole else self.planner.copies[value - 2][column.source]
        self.used.add(slot)
        return slot + len(self.deltas)
