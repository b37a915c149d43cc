"""Runs a plan on a model: stage by stage, all copies of all sets and circuits together, on the leading axis.

Streams are kept as deviations from the plan's base run, so a row costs only what differs in it, and of the second run
only the sources that some row reads are computed. What the last layer of a Transformer writes is read at the scored
positions only, so its queries, mixed values and MLP are computed there only. Where a gradient is recorded, everything
is out of place.

Two runs that read the same tokens before some position are equal there, and so is every run between them, because
attention looks back only: such positions are not computed, except for the keys and values that later ones read.

Letters: N rows or copies, B batch, T position, D residual, V vocabulary, P scored positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from toulmin.patching.attention_kernel import AttentionKernel
from toulmin.patching.cache import FromPosition, Values
from toulmin.patching.computation import Computation
from toulmin.patching.plan import CLEAN, LOOK_BACK, WHOLE, Plan, StagePlan
from toulmin.patching.position_classes import PositionClasses
from toulmin.patching.scored import Scored, common_positions, scored_from

DENSE_SHARE = 0.25
HIDDEN_BYTES, HIDDEN_TOKENS = 4 * 2**20, 1024  # of copies computed together: what a cache holds, what a product needs


class Execution:
    """One run of a plan on one batch.

    :param clean: the clean run.
    :param counterfactual: the counterfactual run, or what cut edges carry.
    :param start: the first position that is computed; both runs are equal before it.
    """

    def __init__(
        self,
        computation: Computation,
        plan: Plan,
        clean: Values,
        counterfactual: Values,
        *,
        classes: PositionClasses | None = None,
        start: int = 0,
    ) -> None:
        self.computation, self.plan, self.start = computation, plan, start
        self.base, self.opposite = (clean, counterfactual) if plan.base_run == CLEAN else (counterfactual, clean)
        self._base_run = self.base  # at all positions
        if start:
            self.base, self.opposite = FromPosition(self.base, start), FromPosition(self.opposite, start)
        self.base_row, self.opposite_row = plan.base_run - 2, -1 - plan.base_run
        self.table: dict[int, Tensor] = {}
        self.rows: list[Tensor] = []  # per stage, [N, B, *] deviations
        self.keep: list[int] | None = None  # the positions at which the output is read, where they are common
        self.length = 0  # the number of positions that are computed, of a Transformer
        self._opposite_sums: dict[int, Tensor] = {}
        self._stage = plan.stages[0]
        first = self.base.value(0)
        self.tokens, self.device = first[..., 0].numel(), first.device
        if plan.graph.shape is not None:
            self.length = first.shape[-2]
        self.places: list[Tensor] | None = None
        if classes is not None and classes.n_places > 1:
            places = torch.from_numpy(classes.places).to(self.device)
            places = places[..., start:]
            self.places = [(places == place).to(first.dtype)[..., None] for place in range(classes.n_places)]
        self.offset_masks: list[Tensor] = []
        if classes is not None and classes.n_offsets > 1:
            index = torch.arange(self.length + self.start, device=self.device)
            kind = torch.from_numpy(classes.offsets).to(self.device)[(index[:, None] - index[None, :]).abs()]
            self.offset_masks = [kind == number for number in range(classes.n_offsets)]

    def run(self, scored: Scored = None) -> Tensor:
        """The output of each root: of a Transformer [R, B, V], or [R, B, P, V] for several scored positions."""
        scored = scored_from(scored, self.start, self.length + self.start)
        self.keep = common_positions(scored, self.length) if self.length else None
        for stage in self.plan.stages[:-1]:
            number, self._stage = stage.number, stage
            at_scored = stage.stage.kind == "mlp" and self._is_last(stage)
            self.rows.append(self._assemble(number, stage, self.at_scored if at_scored else lambda x: x))
            if number >= LOOK_BACK:  # no later row continues one from so far back
                self.rows[number - LOOK_BACK] = self.rows[number].new_empty(0)
            if stage.groups:
                self._groups(stage)
            if stage.copies:
                self._copies(stage)
        return self._output(self.plan.stages[-1], scored)

    def _is_last(self, stage: StagePlan) -> bool:
        """Whether only the scored positions of what the stage computes are read."""
        return self.keep is not None and stage.stage.layer == self.plan.graph.n_layers - 1

    def at_scored(self, x: Tensor) -> Tensor:
        """The common scored positions of [.., T, D]; what has only those already, as it is."""
        if self.keep is None or x.shape[-2] != self.length:
            return x
        first = self.keep[0] if self.keep else 0
        if self.keep == list(range(first, first + len(self.keep))):
            return x.narrow(-2, first, len(self.keep))
        return x[..., self.keep, :]

    def stream_before(self) -> Tensor | None:
        """[B, start, D] what the present stage reads at the positions that are not computed; None where all are."""
        if not self.start:
            return None
        number = self._stage.number
        constant, stream = self.computation.constants[number], self._base_run.stream(number)[..., : self.start, :]
        return stream if constant is None else stream + constant

    def _like(self, value: Tensor, other: Tensor) -> Tensor:
        """A value at the positions that the other has."""
        return self.at_scored(value) if self.keep is not None and other.shape[-2] != self.length else value

    # ------------------------------------------------------------------ rows

    def _entry(self, slot: int) -> Tensor:
        """A table entry: what a copy deviates by, or the difference of the two runs in a source or a whole stage."""
        found = self.table.get(slot)
        if found is None:
            source, whole = self.plan.deltas[slot]
            if whole:
                stage = self.plan.graph.stage_of_source[source]
                found = self.opposite.total(stage) - self.base.total(stage)
            else:
                found = self.opposite.value(source) - self.base.value(source)
            self.table[slot] = found
        return found

    def _opposite_sum(self, number: int) -> Tensor:
        """The deviation of the stream in which every source that the stage reads has the second run's value."""
        if number not in self._opposite_sums:
            self._opposite_sums[number] = self.opposite.stream(number) - self.base.stream(number)
        return self._opposite_sums[number]

    def _resid(self, number: int) -> Tensor:
        """What receivers of the stage read in the base run."""
        constant = self.computation.constants[number]
        return self.base.stream(number) if constant is None else self.base.stream(number) + constant

    def _assemble(self, number: int, stage: StagePlan, take: Callable[[Tensor], Tensor]) -> Tensor:
        """The deviations of a stage's rows; ``take`` picks positions from everything that enters."""
        zero = torch.zeros_like(take(self.base.stream(number)))
        if not stage.rows:
            return zero[None][:0]
        second = [index for index, row in enumerate(stage.rows) if row.second_pass]
        first = [index for index, row in enumerate(stage.rows) if not row.second_pass]
        before = {at: take(self.rows[at]) for at in {stage.rows[i].base[0] for i in first} - {number}}
        reads_opposite = any(stage.rows[i].base == (number, self.opposite_row) for i in first)
        opposite = take(self._opposite_sum(number)) if reads_opposite else zero
        bases = [
            before[at][row] if at != number else zero if row == self.base_row else opposite
            for at, row in (stage.rows[index].base for index in first)
        ]
        made = self._mix([stage.rows[i].entries for i in first], torch.stack(bases), take)
        if not second:
            return made
        place = {index: at for at, index in enumerate(first)}
        bases = [made[place[stage.rows[index].base[1]]] for index in second]
        both = torch.cat([made, self._mix([stage.rows[i].entries for i in second], torch.stack(bases), take)])
        order = sorted(range(len(stage.rows)), key=[*first, *second].__getitem__)
        return both[order]

    def _mix(
        self, entries: list[list[tuple[int, float, int]]], bases: Tensor, take: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """[N, ..] the sums of bases and entries; ``bases`` is overwritten where no gradient is recorded."""
        used = sorted({slot for row in entries for slot, _, _ in row})
        count = sum(len(row) for row in entries)
        taken = {slot: take(self._entry(slot)) for slot in used}
        if (
            self.places is None
            and count > DENSE_SHARE * len(entries) * len(used)
            and len(entries) > 4
            and len(used) > 4
        ):
            weights = torch.zeros(len(entries), len(used), dtype=bases.dtype, device=bases.device)
            column = {slot: index for index, slot in enumerate(used)}
            for index, row in enumerate(entries):
                for slot, value, _ in row:
                    weights[index, column[slot]] = value
            return bases + torch.tensordot(weights, torch.stack([taken[slot] for slot in used]), dims=1)
        masks: list[Tensor] | None = None
        if self.places is not None:
            shape = (*self.base.value(0).shape[:2], 1)
            masks = [take(mask.expand(shape)) for mask in self.places]
        inplace = not torch.is_grad_enabled()
        mixed: list[Tensor] = []
        for row, total in zip(entries, bases.unbind(), strict=True):
            for slot, value, place in row:
                entry = taken[slot] if place < 0 or masks is None else taken[slot] * masks[place]
                total = total.add_(entry, alpha=value) if inplace else torch.add(total, entry, alpha=value)
            mixed.append(total)
        return bases if inplace else torch.stack(mixed)

    def streams(self, rows: Sequence[int]) -> Tensor:
        """[N, B, *] what receivers of the present stage read: the rows named, with the base run's stream added."""
        number = self._stage.number
        made = self.rows[number]
        stream = self._resid(number)
        if self.keep is not None and made.shape[-2] != self.length:
            stream = self.at_scored(stream)
        if list(rows) == list(range(rows[0], rows[0] + len(rows))) and rows[0] >= 0:
            return made[rows[0] : rows[-1] + 1] + stream
        zero = torch.zeros_like(stream)
        opposite = self._like(self._opposite_sum(number), stream) if self.opposite_row in rows else zero
        parts = [zero if r == self.base_row else opposite if r < 0 else made[r] for r in rows]
        return torch.stack(parts) + stream

    # ------------------------------------------------------------------ copies

    def slices(self, count: int, width: int) -> list[slice]:
        """Pieces of ``count`` copies whose hidden values stay in the cache, yet large enough for a matrix product."""
        size = self.base.value(0).element_size()
        step = max(HIDDEN_BYTES // (self.tokens * width * size), HIDDEN_TOKENS // self.tokens, 1)
        return [slice(start, start + step) for start in range(0, count, step)]

    def _copies(self, stage: StagePlan) -> None:
        kernel, writes = self.computation.kernels[stage.number], self.plan.graph.writes[stage.number]
        first = {component: at for at, (component, number) in reversed(list(enumerate(kernel.places))) if not number}
        for component, numbers, out in kernel.copies(self, stage.copies):
            if not kernel.split and all(stage.slots[number] for number in numbers):
                source = writes.start + component
                self._store(
                    [stage.slots[number][source] for number in numbers], out - self._like(self.base.value(source), out)
                )
                continue
            by_source: dict[int, list[int]] = {}
            for at, number in enumerate(numbers):
                for source in stage.slots[number]:
                    by_source.setdefault(source, []).append(at)
            for source, chosen in by_source.items():
                value = out if len(chosen) == len(numbers) else out[chosen]
                if source == WHOLE:
                    made, base = kernel.whole(value), self.base.total(stage.number)
                else:
                    part = source - writes.start - first[component]
                    made = kernel.part(component, part, value)
                    base = self.base.value(source)
                self._store([stage.slots[numbers[at]][source] for at in chosen], made - self._like(base, made))

    def _store(self, slots: Sequence[int], deviations: Tensor) -> None:
        self.table.update(zip(slots, deviations, strict=True))

    def _groups(self, stage: StagePlan) -> None:
        kernel, writes = self.computation.kernels[stage.number], self.plan.graph.writes[stage.number]
        assert isinstance(kernel, AttentionKernel)
        for some, written in kernel.groups(self, stage):
            slots: Sequence[Mapping[int, int]] = stage.group_slots[some]
            if whole := [index for index, own in enumerate(slots) if WHOLE in own]:
                total = kernel.group_total(written, whole)
                base = self._like(self.base.total(stage.number), total)
                self._store([slots[index][WHOLE] for index in whole], total - base)
            for source in sorted({source for own in slots for source in own} - {WHOLE}):
                rows = [index for index, own in enumerate(slots) if source in own]
                component, part = kernel.places[source - writes.start]
                made = kernel.part(component, part, kernel.group_value(written, rows, component))
                self._store([slots[index][source] for index in rows], made - self._like(self.base.value(source), made))

    def _output(self, stage: StagePlan, scored: Scored) -> Tensor:
        number, kernel = stage.number, self.computation.kernels[stage.number]

        def take(x: Tensor) -> Tensor:
            if self.keep is None:
                return kernel.pick(x, scored)
            return self.at_scored(x) if isinstance(scored, slice) else self.at_scored(x)[..., 0, :]

        rows = self._assemble(number, stage, take)
        base = take(self._resid(number))
        outputs = self.plan.outputs
        if outputs == tuple(range(len(rows))):
            return kernel.output(rows + base, leading=1)
        streams: list[Tensor] = []
        distinct = list(dict.fromkeys(outputs))
        for row in distinct:
            if row == self.base_row:
                streams.append(base)
            else:
                streams.append(base + (take(self._opposite_sum(number)) if row < 0 else rows[row]))
        out = kernel.output(torch.stack(streams), leading=1)
        return out[[distinct.index(row) for row in outputs]] if len(distinct) < len(outputs) else out
