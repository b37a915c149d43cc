"""Which copies of which nodes must be computed, and from what: the program that ``execute`` runs. No tensors.

A *value* of a source is 0 (the other run, or what cut edges carry), 1 (the reference run), or a copy (2, 3, …). What a
receiver reads is a *row*: one value for each source before it. Everything is a deviation from one of the two runs, the
*base_run*: the reference where few edges are cut, the other where few are left. A row is stored as a base and a short
list of table entries, ``row = base + sum_k coefficient_k * table_k``, where the table holds the difference of the two
runs in each source and the deviation of each copy. The base is the cheapest of: the base_run's stream (zero), the far
run's stream, a row of an earlier stage that this one continues, or a similar row of the same stage. Rows and copies
with equal contents are one, across states, path sets and circuits; a copy all of whose rows are the reference's is the
reference. Where all heads of a layer read one row they are one *group*, and what they write together one entry.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from toulmin.patching.graph import Graph, Stage

COUNTERFACTUAL, CLEAN = 0, 1
COUNTERFACTUAL_ROW, CLEAN_ROW = -2, -1
MAX_SHARED_BASES = 64
LOOK_BACK = 2

Key = NDArray[np.int32]


@dataclass(frozen=True)
class Column:
    """One addend of a row: a source (or a term of it) at a class of positions."""

    source: int
    term: str = ""
    place: int = 0
    whole: bool = False  # all heads of the layer whose first is ``source``


@dataclass
class RowProgram:
    """How one row is made: ``base`` is (stage, row), with row −1 for the clean and −2 for the counterfactual stream.

    A row whose base is a row of its own stage is made in a ``second_pass``, after that one.
    """

    base: tuple[int, int]
    entries: list[tuple[int, float, int]] = field(default_factory=list)  # table slot, coefficient, place (−1: all)

    second_pass: bool = False


@dataclass(frozen=True)
class HeadCopy:
    """A copy of a head: the row each input reads, K and V for each class of offsets; rows are numbers of the stage."""

    head: int
    q: int
    k: tuple[int, ...]
    v: tuple[int, ...]


@dataclass
class StagePlan:
    """What one stage computes. ``slots[n]`` are the table slots that copy ``n`` fills, by term; those of group ``n``
    are ``whole[n]`` (all heads together, −1 if nobody reads that) and ``parts[n]`` (by head, those somebody reads).
    """

    stage: Stage
    rows: list[RowProgram] = field(default_factory=list)
    heads: list[HeadCopy] = field(default_factory=list)
    mlps: list[int] = field(default_factory=list)
    slots: list[dict[str, int]] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    whole: list[int] = field(default_factory=list)
    parts: list[dict[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """A program over stages; ``outputs`` names the row of the last stage that each root reads."""

    graph: Graph
    stages: tuple[StagePlan, ...]
    deltas: tuple[tuple[int, str, bool], ...]  # table slot -> (source, term, all heads), the first slots
    n_slots: int
    outputs: tuple[int, ...]
    base_run: int = CLEAN

    @property
    def n_copies(self) -> int:
        """How many copies are computed."""
        heads = self.graph.n_heads
        return sum(len(stage.heads) + len(stage.mlps) + heads * len(stage.groups) for stage in self.stages)

    @property
    def n_rows(self) -> int:
        """How many streams are assembled and normalised."""
        return sum(len(stage.rows) for stage in self.stages)

    @cached_property
    def opposite_stage(self) -> int:
        """The stage up to which the far run must be made: where the last of its values that a row names is written."""
        last = 0
        for number, stage in enumerate(self.stages):
            for row in stage.rows:
                if row.base == (number, -1 - self.base_run):
                    last = max(last, number)
                for slot, _, _ in row.entries:
                    if slot < len(self.deltas):
                        last = max(last, self._written[self.deltas[slot][0]])
        return last

    @cached_property
    def _written(self) -> list[int]:
        """By source, the first stage after it is written."""
        reads = [stage.reads for stage in self.graph.stages]
        return [bisect_right(reads, source) for source in range(len(self.graph.sources))]

    def bytes_per_token(
        self, d_model: int, d_head: int, d_mlp: int, length: int, itemsize: int, *, everywhere: bool = True
    ) -> int:
        """An upper estimate of the memory that one token position of one pair needs.

        :param everywhere: whether all positions are scored; if not, what the last layer writes is held at few of them.
        """
        work, table, heads = 0.0, float(len(self.deltas)), self.graph.n_heads
        for stage in self.stages:
            last = stage.stage.layer >= self.graph.n_layers - 1
            share = 1 / length if last and not everywhere else 1.0
            rows = len({row for c in stage.heads for row in (c.q, *c.k, *c.v)})
            read = len({(row, c.head) for c in stage.heads for row in (*c.k, *c.v)})
            projected = rows * heads if read * 2 >= rows * heads else read
            single = 2 * rows * d_model + 3 * projected * d_head
            single += len(stage.heads) * (3 * d_head + 3 * length + d_model) * share
            width = heads * d_head
            group = min(len(stage.groups), 1) * (3 * d_model + 5 * width)  # these are computed in slices
            mlp = min(len(stage.mlps), 1) * 3 * (d_mlp + d_model)
            made = len(stage.rows) * (1 + any(row.second_pass for row in stage.rows)) * d_model
            work = max(work, made * (share if stage.stage.kind != "attn" else 1) + max(single, group, mlp))
            filled = sum(map(len, stage.slots)) + sum(map(len, stage.parts)) + sum(slot >= 0 for slot in stage.whole)
            table += filled * share
        before = sum(sorted((len(stage.rows) for stage in self.stages[:-1]), reverse=True)[:LOOK_BACK])
        return int((table + before + 4 * len(self.graph.sources)) * d_model + work) * itemsize


class Planner:
    """Collects rows and copies stage by stage, each once, and chooses how to make every row."""

    def __init__(
        self, graph: Graph, columns: Sequence[Column], *, counterfactual_is_run: bool, base_run: Literal[0, 1] = CLEAN
    ) -> None:
        self.graph, self.columns, self.counterfactual_is_run, self.base_run = (
            graph,
            tuple(columns),
            counterfactual_is_run,
            base_run,
        )
        sources = [column.source for column in columns]
        self.width = [bisect_left(sources, stage.reads) for stage in graph.stages]
        self._places = len({column.place for column in columns})
        self._sums = _Sums(graph, self.columns) if len(columns) == len(graph.sources) else None
        self._addends = self.columns if self._sums is None else self._sums.columns
        self._widths = self.width if self._sums is None else [self._sums.width(n) for n in self.width]
        kinds = dict.fromkeys((column.source, column.term, column.whole) for column in self._addends)
        self.deltas = {kind: slot for slot, kind in enumerate(kinds)}
        self.slots = len(self.deltas)
        self.terms: dict[int, list[str]] = {}
        for source, term, whole in kinds:
            if not whole:
                self.terms.setdefault(source, []).append(term)
        self.stages = [StagePlan(stage) for stage in graph.stages]
        self._rows: list[dict[bytes, int]] = [
            {
                np.full(n, CLEAN, np.int32).tobytes(): CLEAN_ROW,
                np.full(n, COUNTERFACTUAL, np.int32).tobytes(): COUNTERFACTUAL_ROW,
            }
            for n in self.width
        ]
        self._keys: list[list[Key]] = [[] for _ in graph.stages]
        self._uses: list[list[int]] = [[] for _ in graph.stages]
        self._heads: dict[tuple[int, HeadCopy], int] = {}
        self._mlps: dict[tuple[int, int], int] = {}
        self._groups: dict[tuple[int, int], int] = {}
        self._copies: list[dict[str, int]] = []
        self._whole: dict[int, int] = {}  # the first value of a group -> the slot of all its heads together
        self._used: set[int] = set()

    def row(self, stage: int, key: Key) -> int:
        """The number of the row with these values, of the columns before the stage."""
        text = key.tobytes()
        rows = self._rows[stage]
        found = rows.get(text)
        if found is None:
            found = rows[text] = len(rows) - 2  # the two constant rows are there from the start
            self._keys[stage].append(key)
            self._uses[stage].append(0)
        if found >= 0:
            self._uses[stage][found] += 1
        return found

    def head(self, stage: int, copy: HeadCopy) -> int:
        """The value of a head that reads these rows."""
        rows = {copy.q, *copy.k, *copy.v}
        if rows == {CLEAN_ROW}:
            return CLEAN
        if rows == {COUNTERFACTUAL_ROW} and self.counterfactual_is_run:
            return COUNTERFACTUAL
        if len(rows) == 1 and (group := self._groups.get((stage, copy.q))) is not None:
            return group + copy.head
        if len(set(copy.k)) == 1 and len(set(copy.v)) == 1:
            copy = HeadCopy(copy.head, copy.q, copy.k[:1], copy.v[:1])
        found = self._heads.get((stage, copy))
        if found is None:
            source = self.graph.stages[stage].writes + copy.head
            found = self._heads[stage, copy] = self._new_copy(self.stages[stage], source)
            self.stages[stage].heads.append(copy)
        return found

    def group(self, stage: int, row: int) -> Key | int:
        """The values of all heads of a layer that read this row with every input."""
        if row == CLEAN_ROW:
            return CLEAN
        if row == COUNTERFACTUAL_ROW and self.counterfactual_is_run:
            return COUNTERFACTUAL
        first = self._groups.get((stage, row))
        heads = self.graph.n_heads
        if first is None:
            first = self._groups[stage, row] = len(self._copies) + 2
            self._whole[first] = self.slots
            self._copies += [{"": self.slots + 1 + head} for head in range(heads)]
            self.slots += 1 + heads
            self.stages[stage].groups.append(row)
        return np.arange(first, first + heads, dtype=np.int32)

    def mlp(self, stage: int, row: int) -> int:
        """The value of an MLP that reads this row."""
        if row == CLEAN_ROW:
            return CLEAN
        if row == COUNTERFACTUAL_ROW and self.counterfactual_is_run:
            return COUNTERFACTUAL
        found = self._mlps.get((stage, row))
        if found is None:
            found = self._mlps[stage, row] = self._new_copy(self.stages[stage], self.graph.stages[stage].writes)
            self.stages[stage].mlps.append(row)
        return found

    def _new_copy(self, plan: StagePlan, source: int) -> int:
        slots: dict[str, int] = {}
        for term in self.terms.get(source, [""]):
            slots[term] = self.slots
            self.slots += 1
        plan.slots.append(slots)
        self._copies.append(slots)
        return len(self._copies) + 1

    def finish(self, outputs: Sequence[int]) -> Plan:
        """Choose the base of every row, and drop the sums and parts of groups that nobody reads."""
        for number, plan in enumerate(self.stages):
            self._make_rows(number, plan)
        for number, plan in enumerate(self.stages):
            for row in plan.groups:
                first = self._groups[number, row]
                slot = self._whole[first]
                plan.whole.append(slot if slot in self._used else -1)
                slots = range(slot + 1, slot + 1 + self.graph.n_heads)
                plan.parts.append({head: part for head, part in enumerate(slots) if part in self._used})
        deltas = tuple(self.deltas)
        return Plan(self.graph, tuple(self.stages), deltas, self.slots, tuple(outputs), self.base_run)

    def _make_rows(self, number: int, plan: StagePlan) -> None:
        raw, uses = self._keys[number], self._uses[number]
        near, far = self.base_run, 1 - self.base_run
        plan.rows = [RowProgram((number, near - 2)) for _ in raw]
        if not raw:
            return
        width = self.width[number]
        stacked = np.stack([*raw, np.full(width, far, dtype=np.int32)])
        if self._sums is not None:
            groups = np.zeros(len(self._copies) + 2, dtype=np.bool_)
            groups[list(self._whole)] = True
            stacked = self._sums.collect(stacked, groups, near)
        keys, all_far = stacked[:-1], stacked[-1]
        shared_bases = np.empty((MAX_SHARED_BASES, stacked.shape[1]), dtype=np.int32)
        shared_rows: list[int] = []
        # where each row differs from the base_run's: one list for all rows, cut at ``ends``
        which, columns = np.nonzero(keys != near)
        differs = list(zip(columns.tolist(), keys[which, columns].tolist(), strict=True))
        ends = [0, *np.cumsum(np.bincount(which, minlength=len(keys))).tolist()]
        from_far = (keys != all_far).sum(1).tolist()
        earlier = [
            (number - back, self.width[number - back], self._widths[number - back])
            for back in range(1, min(LOOK_BACK, number) + 1)
        ]
        for index in sorted(range(len(keys)), key=lambda i: -uses[i]):
            first, end = ends[index], ends[index + 1]
            base: Key | None = None
            place, cost = (number, near - 2), end - first
            if (n := from_far[index] + 1) < cost:
                base, place, cost = all_far, (number, far - 2), n
            for stage, before, before_sums in earlier:
                row = self._rows[stage].get(raw[index][:before].tobytes())
                if row is not None and row >= 0:
                    start = bisect_left(differs, (before_sums, 0), first, end)
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
            if base is not None or self._places > 1:
                entries = self._entries(keys[index], base, differs[first:end])
            else:  # the common case
                entries = [(self._slot(self._addends[at], value) or 0, 1.0, -1) for at, value in differs[first:end]]
            plan.rows[index] = RowProgram(place, entries, second_pass)

    def _entries(self, key: Key, base: Key | None, differs: Sequence[tuple[int, int]]) -> list[tuple[int, float, int]]:
        """What must be added to the base; where that is the base_run's stream (None), it ``differs`` there."""
        if base is not None:
            columns = np.flatnonzero(key != base)
            differs = list(zip(columns.tolist(), key[columns].tolist(), strict=True))
        sums: dict[tuple[int, int], float] = {}

        def add(slot: int | None, place: int, sign: float) -> None:
            if slot is not None:
                sums[slot, place] = sums.get((slot, place), 0.0) + sign

        for at, value in differs:
            column = self._addends[at]
            place = column.place if self._places > 1 else -1
            add(self._slot(column, value), place, 1.0)
            if base is not None:
                add(self._slot(column, int(base[at])), place, -1.0)
        if self._places > 1:  # the same entry at every class of positions is one entry
            by_slot: dict[int, dict[int, float]] = {}
            for (slot, place), value in sums.items():
                by_slot.setdefault(slot, {})[place] = value
            for slot, values in by_slot.items():
                if len(values) == self._places and len(set(values.values())) == 1:
                    for place in values:
                        del sums[slot, place]
                    sums[slot, -1] = next(iter(values.values()))
        return [(slot, value, place) for (slot, place), value in sums.items() if value]

    def _slot(self, column: Column, value: int) -> int | None:
        if value == self.base_run:
            return None
        if value <= CLEAN:
            return self.deltas[column.source, column.term, column.whole]
        slot = self._whole[value] if column.whole else self._copies[value - 2][column.term]
        self._used.add(slot)
        return slot


class _Sums:
    """The columns of single sources, and after the heads of each layer a column for all of them together."""

    def __init__(self, graph: Graph, columns: Sequence[Column]) -> None:
        self.heads = graph.n_heads
        firsts = [stage.writes for stage in graph.stages if stage.kind == "attn"]
        self.columns: list[Column] = []
        for column in columns:
            self.columns.append(column)
            if column.source + 1 - self.heads in firsts:
                self.columns.append(Column(column.source + 1 - self.heads, whole=True))
        self._ends = np.array(firsts) + self.heads
        self._single = np.array([at for at, column in enumerate(self.columns) if not column.whole])
        self._whole = np.array([at for at, column in enumerate(self.columns) if column.whole])

    def width(self, width: int) -> int:
        """How many of these columns stand for the first ``width`` sources."""
        return width + int(np.count_nonzero(self._ends <= width))

    def collect(self, keys: NDArray[np.int32], groups: NDArray[np.bool_], near: int) -> NDArray[np.int32]:
        """The keys with the heads of a layer as one value, where they are of one run or of one group."""
        layers = int(np.count_nonzero(self._ends <= keys.shape[1]))
        out = np.full((len(keys), keys.shape[1] + layers), near, dtype=np.int32)
        out[:, self._single[: keys.shape[1]]] = keys
        if layers:
            columns = self._whole[:layers, None] - self.heads + np.arange(self.heads)
            values = out[:, columns]  # [N, layers, H]
            first = values[..., 0]
            one_run = (values == first[..., None]).all(-1) & (first <= CLEAN)
            one = one_run | ((values == first[..., None] + np.arange(self.heads)).all(-1) & groups[first])
            out[:, self._whole[:layers]] = np.where(one, first, near)
            out[:, columns] = np.where(one[..., None], near, values)
        return out
