"""Runs a plan on a model: stage by stage, all copies of all sets and circuits together, on the leading axis.

Streams are kept as deviations from the plan's base run, one of the two runs, so a row costs only what differs in it,
and of the far run only the sources that some row reads are made. A head's scores are computed once for each distinct
pair of query and key rows; keys and values that differ by offset are selected by masks on the pattern, never by copying
sequences. What the last layer writes is read at the scored positions only, so its queries, mixed values and MLP are
computed there only. Where a gradient is recorded, everything is out of place.

Letters: N rows or copies, B batch, T position, D residual, H head, E head dim, V vocabulary, P scored positions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.patching.cache import Scored, Values, constant_biases, pick_scored
from toulmin.patching.plan import CLEAN, LOOK_BACK, Plan, StagePlan
from toulmin.patching.position_classes import PositionClasses

if TYPE_CHECKING:
    from toulmin.subjects import Transformer
    from toulmin.subjects.attention import Attention
    from toulmin.subjects.positions import Positions

Terms = Mapping[str, Mapping[str, Callable[[Tensor], Tensor]]]
DENSE_SHARE = 0.25
HIDDEN_BYTES, HIDDEN_TOKENS = 4 * 2**20, 1024  # of copies computed together: what a cache holds, what a product needs


class Execution:
    """One run of a plan on one batch.

    :param clean: the reference run.
    :param other: the counterfactual run, or what cut edges carry.
    :param terms: for each split source the functions whose values sum to its output.
    """

    def __init__(
        self,
        model: Transformer,
        plan: Plan,
        clean: Values,
        other: Values,
        *,
        classes: PositionClasses | None = None,
        terms: Terms | None = None,
    ) -> None:
        self.model, self.plan, self.terms = model, plan, terms or {}
        self.near, self.far = (clean, other) if plan.base_run == CLEAN else (other, clean)
        self.near_row, self.far_row = plan.base_run - 2, -1 - plan.base_run
        self.batch, self.length, _ = clean.stream(0).shape
        self.at = model.positions(self.length)
        self.constants = constant_biases(model, plan.graph)
        self.table: dict[int, Tensor] = {}
        self.rows: list[Tensor] = []  # per stage, [N, B, T, D] deviations
        self.keep: list[int] | None = None  # the positions at which the last layer is read, where they are common
        self._far_sum: dict[int, Tensor] = {}
        device, dtype = self.near.stream(0).device, self.near.stream(0).dtype
        self.places: list[Tensor] | None = None
        if classes is not None and classes.n_places > 1:
            places = torch.from_numpy(classes.places).to(device)
            self.places = [(places == place).to(dtype)[..., None] for place in range(classes.n_places)]
        self.offset_masks: list[Tensor] = []
        if classes is not None and classes.n_offsets > 1:
            index = torch.arange(self.length, device=device)
            kind = torch.from_numpy(classes.offsets).to(device)[(index[:, None] - index[None, :]).abs()]
            self.offset_masks = [kind == number for number in range(classes.n_offsets)]

    def run(self, scored: Scored = None) -> Tensor:
        """Logits of each root: [R, B, V], or [R, B, P, V] for several scored positions."""
        self.keep = common_positions(scored, self.length)
        for number, stage in enumerate(self.plan.stages):
            if stage.stage.kind == "logits":
                return self._logits(number, stage, scored)
            late = stage.stage.kind == "mlp" and self._is_last(stage)
            self.rows.append(self._assemble(number, stage, self._at_scored if late else lambda x: x))
            if number >= LOOK_BACK:  # no later row continues one from so far back
                self.rows[number - LOOK_BACK] = self.rows[number].new_empty(0)
            if stage.groups:
                self._groups(number, stage)
            if stage.heads:
                self._heads(number, stage)
            if stage.mlps:
                self._mlps(number, stage)
        raise AssertionError("a plan ends in its logits")

    def _is_last(self, stage: StagePlan) -> bool:
        """Whether only the scored positions of what the stage computes are read."""
        return self.keep is not None and stage.stage.layer == self.plan.graph.n_layers - 1

    def _at_scored(self, x: Tensor) -> Tensor:
        """The common scored positions of [.., T, D]; what has only those already, as it is."""
        if self.keep is None or x.shape[-2] != self.length:
            return x
        first = self.keep[0] if self.keep else 0
        if self.keep == list(range(first, first + len(self.keep))):
            return x.narrow(-2, first, len(self.keep))
        return x[..., self.keep, :]

    # ------------------------------------------------------------------ rows

    def _delta(self, slot: int) -> Tensor:
        """The table entry of a source, or of the heads of a layer: far − near (of one term)."""
        found = self.table.get(slot)
        if found is None:
            source, term, whole = self.plan.deltas[slot]
            if whole:
                found = self.far.heads(source) - self.near.heads(source)
            else:
                found = self._term(source, term, self.far.value(source)) - self._near(source, term)
            self.table[slot] = found
        return found

    def _term(self, source: int, term: str, value: Tensor) -> Tensor:
        return self.terms[self.plan.graph.sources[source]][term](value) if term else value

    def _near(self, source: int, term: str = "") -> Tensor:
        return self._term(source, term, self.near.value(source))

    def _entry(self, slot: int) -> Tensor:
        return self._delta(slot) if slot < len(self.plan.deltas) else self.table[slot]

    def _far_row(self, number: int) -> Tensor:
        """The deviation of the stream in which every source before the stage has its far value."""
        if number not in self._far_sum:
            self._far_sum[number] = self.far.stream(number) - self.near.stream(number)
        return self._far_sum[number]

    def _resid(self, number: int) -> Tensor:
        """What receivers of the stage read in the base run."""
        return self.near.stream(number) + self.constants[number]

    def _assemble(self, number: int, stage: StagePlan, take: Callable[[Tensor], Tensor] = lambda x: x) -> Tensor:
        """The deviations of a stage's rows; ``take`` picks positions from everything that enters."""
        zero = torch.zeros_like(take(self.near.stream(0)))
        if not stage.rows:
            return zero[None][:0]
        late = [index for index, row in enumerate(stage.rows) if row.second_pass]
        early = [index for index, row in enumerate(stage.rows) if not row.second_pass]
        before = {at: take(self.rows[at]) for at in {stage.rows[i].base[0] for i in early} - {number}}
        far = take(self._far_row(number)) if any(stage.rows[i].base == (number, self.far_row) for i in early) else zero
        bases = [
            before[at][row] if at != number else zero if row == self.near_row else far
            for at, row in (stage.rows[index].base for index in early)
        ]
        made = self._mix([stage.rows[i].entries for i in early], torch.stack(bases), take)
        if not late:
            return made
        place = {index: at for at, index in enumerate(early)}
        bases = [made[place[stage.rows[index].base[1]]] for index in late]
        both = torch.cat([made, self._mix([stage.rows[i].entries for i in late], torch.stack(bases), take)])
        order = sorted(range(len(stage.rows)), key=[*early, *late].__getitem__)
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
        masks = None if self.places is None else [take(m.expand(self.batch, self.length, 1)) for m in self.places]
        inplace = not torch.is_grad_enabled()
        mixed: list[Tensor] = []
        for row, total in zip(entries, bases.unbind(), strict=True):
            for slot, value, place in row:
                entry = taken[slot] if place < 0 or masks is None else taken[slot] * masks[place]
                total = total.add_(entry, alpha=value) if inplace else torch.add(total, entry, alpha=value)
            mixed.append(total)
        return bases if inplace else torch.stack(mixed)

    def _streams(self, number: int, wanted: Sequence[int]) -> Tensor:
        """[N, B, T, D] what receivers read: the rows ``wanted``, with the reference stream added."""
        rows = self.rows[number]
        stream = self._resid(number)
        if rows.shape[-2] != self.length:
            stream = self._at_scored(stream)
        zero = torch.zeros_like(stream)
        if list(wanted) == list(range(wanted[0], wanted[0] + len(wanted))) and wanted[0] >= 0:
            return rows[wanted[0] : wanted[-1] + 1] + stream
        parts = [zero if r == self.near_row else self._far(number, stream) if r < 0 else rows[r] for r in wanted]
        return torch.stack(parts) + stream

    def _far(self, number: int, like: Tensor) -> Tensor:
        """The far run's row, at the positions of ``like``."""
        row = self._far_row(number)
        return row if like.shape[-2] == self.length else self._at_scored(row)

    # ------------------------------------------------------------------ copies

    def _mlps(self, number: int, stage: StagePlan) -> None:
        layer = self.model.layers[stage.stage.layer]
        for some in self._slices(len(stage.mlps), self.model.config.d_mlp):
            out = layer.mlp_out(self._streams(number, stage.mlps[some]))
            self._store(stage.stage.writes, stage.slots[some], out)

    def _slices(self, count: int, width: int) -> list[slice]:
        """Pieces of ``count`` copies whose hidden values stay in the cache, yet large enough for a matrix product."""
        tokens = self.batch * self.length
        step = max(HIDDEN_BYTES // (tokens * width * self.model.W_E.element_size()), HIDDEN_TOKENS // tokens, 1)
        return [slice(start, start + step) for start in range(0, count, step)]

    def _store(self, source: int, slots: Sequence[Mapping[str, int]], out: Tensor) -> None:
        if not slots:
            return
        for term in slots[0]:
            near = self._near(source, term)
            near = near if out.shape[-2] == self.length else self._at_scored(near)
            if not term:
                self.table.update(zip((terms[term] for terms in slots), out - near, strict=True))
                continue
            for index, terms in enumerate(slots):
                self.table[terms[term]] = self._term(source, term, out[index]) - near

    def _groups(self, number: int, stage: StagePlan) -> None:
        """Layers all of whose heads read one row: the attention of an ordinary forward pass, on N rows."""
        layer, first = self.model.layers[stage.stage.layer], stage.stage.writes
        attn = layer.attn

        def near(value: Tensor, like: Tensor) -> Tensor:
            return value if like.shape[-2] == self.length else self._at_scored(value)

        for some in self._slices(len(stage.groups), 4 * self.model.config.d_model):
            x = layer.norm1(self._streams(number, stage.groups[some]))
            read, at = self._queries_of(stage, x)
            z = attn.attend(attn.q(read, at), attn.k(x, self.at), attn.v(x, self.at), at, self.at)
            slots = stage.whole[some]
            if whole := [index for index, slot in enumerate(slots) if slot >= 0]:
                out = (z if len(whole) == len(z) else z[whole]).flatten(-2) @ attn.W_O.flatten(0, 1)
                out = out - near(self.near.heads(first), out)
                self.table.update(zip((slots[index] for index in whole), out, strict=True))
            for head in sorted({head for parts in stage.parts[some] for head in parts}):
                rows = [index for index, parts in enumerate(stage.parts[some]) if head in parts]
                out = attn.result(z[rows][..., head, None, :], [head])[..., 0, :]
                out = out - near(self.near.value(first + head), out)
                self.table.update(zip((stage.parts[some][index][head] for index in rows), out, strict=True))

    def _queries_of(self, stage: StagePlan, x: Tensor) -> tuple[Tensor, Positions]:
        """The positions of ``x`` whose queries are read."""
        if self.keep is None or not self._is_last(stage):
            return x, self.at
        return self._at_scored(x), self.at.at(torch.tensor(self.keep, device=x.device))

    def _heads(self, number: int, stage: StagePlan) -> None:
        layer = self.model.layers[stage.stage.layer]
        copies = stage.heads
        wanted = sorted({row for copy in copies for row in (copy.q, *copy.k, *copy.v)})
        where = {row: index for index, row in enumerate(wanted)}
        x = layer.norm1(self._streams(number, wanted))
        group = self.model.config.group
        read, at = self._queries_of(stage, x)
        q, q_at = self._project(layer.attn.q, read, at, {(where[c.q], c.head) for c in copies}, 1)
        keys_read = {(where[r], c.head // group) for c in copies for r in c.k}
        k, k_at = self._project(layer.attn.k, x, self.at, keys_read, group)
        values_read = {(where[r], c.head // group) for c in copies for r in c.v}
        v, v_at = self._project(layer.attn.v, x, self.at, values_read, group)
        order = sorted(range(len(copies)), key=lambda i: (len(copies[i].k), copies[i].head))
        for kinds in sorted({len(copy.k) for copy in copies}):
            chosen = [i for i in order if len(copies[i].k) == kinds]
            keys = [
                (
                    q_at[where[copies[i].q], copies[i].head],
                    *(k_at[where[r], copies[i].head // group] for r in copies[i].k),
                )
                for i in chosen
            ]
            values = [tuple(v_at[where[r], copies[i].head // group] for r in copies[i].v) for i in chosen]
            z = self._attend(layer.attn, q, k, v, keys, values, [copies[i].head for i in chosen], at)
            start = 0
            while start < len(chosen):
                head = copies[chosen[start]].head
                stop = start
                while stop < len(chosen) and copies[chosen[stop]].head == head:
                    stop += 1
                out = layer.attn.result(z[start:stop, ..., None, :], [head])[..., 0, :]
                self._store(stage.stage.writes + head, [stage.slots[i] for i in chosen[start:stop]], out)
                start = stop

    def _project(
        self, weights: Callable[..., Tensor], x: Tensor, at: Positions, pairs: set[tuple[int, int]], group: int
    ) -> tuple[Tensor, dict[tuple[int, int], int]]:
        """[N, B, T, E] the projections of the (row, head) ``pairs``, and where each is; heads are K/V groups."""
        order = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
        heads = self.plan.graph.n_heads // group
        used = sorted({row for row, _ in order})
        if len(order) * 2 >= len(used) * heads:
            every = weights(x if len(used) == x.shape[0] else x[used], at).movedim(-2, 1)
            where = {row: index for index, row in enumerate(used)}
            out = every[[where[row] for row, _ in order], [head for _, head in order]]
        elif group == 1 and [head for _, head in order] == list(range(heads)):  # a row for each head: one product
            out = weights(x[[row for row, _ in order]].movedim(0, -2), at, per_head=True).movedim(-2, 0)
        else:
            parts: list[Tensor] = []
            for head in sorted({head for _, head in order}):
                rows = [row for row, other in order if other == head]
                parts.append(weights(x[rows], at, [head * group])[..., 0, :])
            out = torch.cat(parts)
        return out, {pair: index for index, pair in enumerate(order)}

    def _attend(
        self,
        attn: Attention,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        keys: list[tuple[int, ...]],
        values: list[tuple[int, ...]],
        heads: list[int],
        at: Positions,
    ) -> Float[Tensor, "N B T E"]:
        """z of each copy; the pattern of each distinct (query, keys) is computed once."""
        distinct = list(dict.fromkeys(zip(keys, heads, strict=True)))
        place = {pair: index for index, pair in enumerate(distinct)}
        rows = [pair for pair, _ in distinct]
        queries = q[[row[0] for row in rows]]
        scores: Tensor | None = None
        for kind in range(len(rows[0]) - 1):
            part = self._scores(attn, queries, k[[row[1 + kind] for row in rows]], [head for _, head in distinct], at)
            scores = part if scores is None else torch.where(self.offset_masks[kind][at.index], part, scores)
        assert scores is not None
        pattern = scores.softmax(-1)
        picked = [place[pair] for pair in zip(keys, heads, strict=True)]
        if picked != list(range(len(distinct))):
            pattern = pattern[picked]
        if len(values[0]) == 1:
            return pattern @ v[[row[0] for row in values]]
        total: Tensor | None = None
        for kind, mask in enumerate(self.offset_masks):
            part = (pattern * mask[at.index]) @ v[[row[kind] for row in values]]
            total = part if total is None else total + part
        assert total is not None
        return total

    def _scores(
        self, attn: Attention, q: Tensor, k: Tensor, heads: list[int], at: Positions
    ) -> Float[Tensor, "N B T S"]:
        """Scores of copies, each with a query and a key of its own."""
        if self.model.config.positions != "alibi":
            return attn.scores(q.unsqueeze(-2), k.unsqueeze(-2), at, self.at).squeeze(-3)
        return attn.scores(q.movedim(0, -2), k.movedim(0, -2), at, self.at, heads).movedim(-3, 0)

    def _logits(self, number: int, stage: StagePlan, scored: Scored) -> Tensor:
        def take(x: Tensor) -> Tensor:
            if self.keep is None:
                return pick_scored(x, scored)
            return self._at_scored(x) if isinstance(scored, slice) else self._at_scored(x)[..., 0, :]

        rows = self._assemble(number, stage, take)
        near = take(self._resid(number))
        streams: list[Tensor] = []
        outputs = self.plan.outputs
        if outputs == tuple(range(len(rows))):
            return self.model.unembed(rows + near)
        distinct = list(dict.fromkeys(outputs))
        for row in distinct:
            if row == self.near_row:
                streams.append(near)
            else:
                streams.append(near + (take(self._far_row(number)) if row < 0 else rows[row]))
        logits = self.model.unembed(torch.stack(streams))
        return logits[[distinct.index(row) for row in outputs]] if len(distinct) < len(outputs) else logits


def common_positions(scored: Scored, length: int) -> list[int] | None:
    """The scored positions, where they are the same in every row and not all of them; None otherwise."""
    if scored is None:
        return [length - 1]
    if isinstance(scored, int):
        return [scored % length]
    if isinstance(scored, slice):
        return list(range(length))[scored]
    if isinstance(scored, str):
        return None
    index = torch.as_tensor(scored) % length
    if index.ndim == 1 and len(index) and bool((index == index[0]).all()):
        return [int(index[0])]
    return None
