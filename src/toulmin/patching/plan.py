"""Which copies of which nodes must be computed, and from what: the program that ``execute`` runs. No tensors.

Everything is a deviation from the reference run. A *value* of a source is 0 (the other run, or what cut edges carry),
1 (the reference run), or a copy (2, 3, …). What a receiver reads is a *row*: one value for each source before it. A row
is stored as a base and a short list of table entries, ``row = base + sum_k coefficient_k * table_k``, where the table
holds the difference other − reference of each source and the deviation of each copy. The base is the cheapest of: the
reference stream (zero), the other stream, a row of an earlier stage that this one continues, or a similar row of the
same stage. Rows and copies with equal contents are one, across states, path sets and circuits; a copy all of whose
rows are the reference's is the reference.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toulmin.patching.graph import Graph, Stage

OTHER, CLEAN = 0, 1
OTHER_ROW, CLEAN_ROW = -2, -1
MAX_HUBS = 64
LOOK_BACK = 2

Key = NDArray[np.int32]


@dataclass(frozen=True)
class Column:
    """One addend of a row: a source (or a term of it) at a class of positions."""

    source: int
    term: str = ""
    place: int = 0


@dataclass
class RowProgram:
    """How one row is made: ``base`` is (stage, row), −1 the reference, −2 the other; ``late`` if of the same stage."""

    base: tuple[int, int]
    entries: list[tuple[int, float, int]] = field(default_factory=list)  # table slot, coefficient, place (−1: all)

    late: bool = False


@dataclass(frozen=True)
class HeadCopy:
    """A copy of a head: the row each input reads, K and V for each class of offsets; rows are numbers of the stage."""

    head: int
    q: int
    k: tuple[int, ...]
    v: tuple[int, ...]


@dataclass
class StagePlan:
    """What one stage computes. ``slots[n]`` are the table slots that copy ``n`` fills: (term, slot)."""

    stage: Stage
    rows: list[RowProgram] = field(default_factory=list)
    heads: list[HeadCopy] = field(default_factory=list)
    mlps: list[int] = field(default_factory=list)
    slots: list[dict[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """A program over stages; ``outputs`` names the row of the last stage that each root reads."""

    graph: Graph
    stages: tuple[StagePlan, ...]
    deltas: tuple[tuple[int, str], ...]  # table slot -> (source, term), the first slots
    n_slots: int
    outputs: tuple[int, ...]

    @property
    def n_copies(self) -> int:
        """How many copies are computed."""
        return sum(len(stage.heads) + len(stage.mlps) for stage in self.stages)

    @property
    def n_rows(self) -> int:
        """How many streams are assembled and normalised."""
        return sum(len(stage.rows) for stage in self.stages)

    def bytes_per_token(
        self, d_model: int, d_head: int, d_mlp: int, length: int, itemsize: int, *, everywhere: bool = True
    ) -> int:
        """An upper estimate of the memory that one token position of one pair needs.

        :param everywhere: whether all positions are scored; if not, what the last layer writes is held at few of them.
        """
        work, table = 0.0, float(len(self.deltas))
        for stage in self.stages:
            last = stage.stage.layer >= self.graph.n_layers - 1
            share = 1 / length if last and not everywhere else 1.0
            rows = len({row for c in stage.heads for row in (c.q, *c.k, *c.v)}) or len(stage.rows)
            kept = 3 * (len(stage.rows) + rows) * d_model * (share if stage.stage.kind != "attn" else 1)
            if stage.heads:
                read = len({(row, c.head) for c in stage.heads for row in (*c.k, *c.v)})
                full = read * 2 >= rows * self.graph.n_heads
                kept += 3 * (rows * self.graph.n_heads if full else read) * d_head
                kept += len(stage.heads) * (3 * d_head + 3 * length + d_model) * share
            work = max(work, kept + len(stage.mlps) * (3 * d_mlp + d_model) * share)
            table += sum(len(slots) for slots in stage.slots) * share
        rows_kept = sum(sorted((len(stage.rows) for stage in self.stages[:-1]), reverse=True)[: LOOK_BACK + 1])
        return int((table + rows_kept + 4 * len(self.graph.sources)) * d_model + work) * itemsize


class Planner:
    """Collects rows and copies stage by stage, each once, and chooses how to make every row."""

    def __init__(self, graph: Graph, columns: Sequence[Column], *, other_is_run: bool) -> None:
        self.graph, self.columns, self.other_is_run = graph, tuple(columns), other_is_run
        sources = [column.source for column in columns]
        self.width = [bisect_left(sources, stage.reads) for stage in graph.stages]
        kinds = dict.fromkeys((column.source, column.term) for column in columns)
        self.deltas = {kind: slot for slot, kind in enumerate(kinds)}
        self.slots = len(self.deltas)
        self.terms: dict[int, list[str]] = {}
        for source, term in kinds:
            self.terms.setdefault(source, []).append(term)
        self.stages = [StagePlan(stage) for stage in graph.stages]
        self._rows: list[dict[bytes, int]] = [
            {np.full(n, CLEAN, np.int32).tobytes(): CLEAN_ROW, np.full(n, OTHER, np.int32).tobytes(): OTHER_ROW}
            for n in self.width
        ]
        self._keys: list[list[Key]] = [[] for _ in graph.stages]
        self._uses: list[list[int]] = [[] for _ in graph.stages]
        self._heads: dict[tuple[int, HeadCopy], int] = {}
        self._mlps: dict[tuple[int, int], int] = {}
        self._copies: list[dict[str, int]] = []
        self._places = len({column.place for column in columns})

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
        if rows == {OTHER_ROW} and self.other_is_run:
            return OTHER
        if len(set(copy.k)) == 1 and len(set(copy.v)) == 1:
            copy = HeadCopy(copy.head, copy.q, copy.k[:1], copy.v[:1])
        found = self._heads.get((stage, copy))
        if found is None:
            source = self.graph.stages[stage].writes + copy.head
            found = self._heads[stage, copy] = self._new_copy(self.stages[stage], source)
            self.stages[stage].heads.append(copy)
        return found

    def mlp(self, stage: int, row: int) -> int:
        """The value of an MLP that reads this row."""
        if row == CLEAN_ROW:
            return CLEAN
        if row == OTHER_ROW and self.other_is_run:
            return OTHER
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
        """Choose the base of every row."""
        for number, plan in enumerate(self.stages):
            self._make_rows(number, plan)
        deltas = tuple(self.deltas)
        return Plan(self.graph, tuple(self.stages), deltas, self.slots, tuple(outputs))

    def _make_rows(self, number: int, plan: StagePlan) -> None:
        keys, uses = self._keys[number], self._uses[number]
        plan.rows = [RowProgram((number, CLEAN_ROW)) for _ in keys]
        width = self.width[number]
        hubs = np.empty((MAX_HUBS, width), dtype=np.int32)
        hub_rows: list[int] = []
        if not keys:
            return
        stacked = np.stack(keys)
        from_clean, from_other = (stacked != CLEAN).sum(1).tolist(), (stacked != OTHER).sum(1).tolist()
        for index in sorted(range(len(keys)), key=lambda i: -uses[i]):
            key = keys[index]
            base: Key | int = CLEAN
            place, cost = (number, CLEAN_ROW), from_clean[index]
            if (n := from_other[index] + 1) < cost:
                base, place, cost = OTHER, (number, OTHER_ROW), n
            start = 0
            for back in range(1, min(LOOK_BACK, number) + 1):
                before = self.width[number - back]
                row = self._rows[number - back].get(key[:before].tobytes())
                if row is not None and row >= 0 and (n := int((key[before:] != CLEAN).sum()) + 1) < cost:
                    base, place, cost, start = CLEAN, (number - back, row), n, before
                    break
            late = False
            if cost > 3 and hub_rows:
                differ = (hubs[: len(hub_rows)] != key).sum(1)
                best = int(differ.argmin())
                if int(differ[best]) + 1 < cost:
                    base, place, start, late = hubs[best], (number, hub_rows[best]), 0, True
            if not late and len(hub_rows) < MAX_HUBS:
                hubs[len(hub_rows)] = key
                hub_rows.append(index)
            plan.rows[index] = RowProgram(place, self._entries(key, base, start), late)

    def _entries(self, key: Key, base: Key | int, start: int) -> list[tuple[int, float, int]]:
        different = start + np.flatnonzero(key[start:] != (base if isinstance(base, int) else base[start:]))
        if self._places == 1 and isinstance(base, int) and base == CLEAN:  # the common case
            changed = zip(different.tolist(), key[different].tolist(), strict=True)
            return [(self._slot(self.columns[at], value) or 0, 1.0, -1) for at, value in changed]
        sums: dict[tuple[int, int], float] = {}

        def add(slot: int | None, place: int, sign: float) -> None:
            if slot is not None:
                sums[slot, place] = sums.get((slot, place), 0.0) + sign

        for at in different.tolist():
            column = self.columns[at]
            place = column.place if self._places > 1 else -1
            add(self._slot(column, int(key[at])), place, 1.0)
            add(self._slot(column, int(base if isinstance(base, int) else base[at])), place, -1.0)
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
        if value == CLEAN:
            return None
        if value == OTHER:
            return self.deltas[column.source, column.term]
        return self._copies[value - 2][column.term]
