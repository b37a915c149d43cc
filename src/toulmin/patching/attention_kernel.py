"""The attention stage of a Transformer's layer: all heads at once where they read one stream, head by head otherwise.

With H query heads and K key/value heads, ``compute`` of a head is

.. math:: z_h = \\mathrm{softmax}(q_h(x_Q)\\, k_{g(h)}(x_K)^T)\\, v_{g(h)}(x_V), \\qquad y_h = z_h W_O^h

with the norm applied to each input on its own and g(h) the key/value head that query head h reads. What heads share is
computed once: projections of rows that several copies read, and the pattern of copies that differ only in their values.

Letters: N rows or copies, C circuits, B batch, T position, D residual, H head, E head dim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.patching.kernels import GradientRules, Recorded, Run, StageKernel, Written
from toulmin.patching.plan import Copy, StagePlan
from toulmin.patching.relevance import norm_transposed, normalise
from toulmin.patching.stages import SLOTS, Stage

if TYPE_CHECKING:
    from toulmin.subjects import Attention, Layer, Positions

TermFunctions = dict[str, list[Callable[[Tensor], Tensor]]]


class AttentionKernel(StageKernel):
    """The heads of one layer. ``positions`` prepares 0 … T−1; ``last`` says that only the output reads what it writes.

    What ``together`` returns is the sum over the heads and every head's z [B, T, H, E].
    """

    def __init__(
        self, stage: Stage, layer: Layer, positions: Callable[[int], Positions], terms: TermFunctions, *, last: bool
    ) -> None:
        super().__init__(stage, terms=terms, bias=layer.attn.b_O)
        self.layer, self.attn, self.positions, self.last = layer, layer.attn, positions, last
        self.heads = layer.attn.config.n_heads

    # ------------------------------------------------------------------ all heads read one stream

    def together(self, read: Tensor) -> Written:
        """The sum over the heads, and z."""
        attn, x, at = self.attn, self.layer.norm1(read), self.positions(read.shape[-2])
        z = attn.attend(attn.q(x, at), attn.k(x, at), attn.v(x, at), at)
        return z.flatten(-2) @ attn.W_O.flatten(0, 1), z

    def value(self, written: Written, component: int) -> Float[Tensor, "B T D"]:
        """What a head writes."""
        return written[1][..., component, :] @ self.attn.W_O[component]

    def values(self, written: Written) -> Float[Tensor, "H B T D"]:
        """What every head writes."""
        return self.attn.result(written[1]).movedim(-2, 0)

    def apart(self, reads: Float[Tensor, "C R B T D"]) -> Float[Tensor, "C H B T D"]:
        """What every head writes when each of its inputs reads a stream of its own."""
        attn, at = self.attn, self.positions(reads.shape[-2])
        x = self.layer.norm1(reads).unflatten(1, (self.heads, len(SLOTS))).movedim(1, 4)  # [C, 3, B, T, H, D]
        q, k, v = (read(x[:, slot], at, per_head=True) for slot, read in enumerate((attn.q, attn.k, attn.v)))
        return attn.result(attn.attend(q, k, v, at)).movedim(-2, 1)

    def groups(self, run: Run, plan: StagePlan) -> Iterator[tuple[slice, Written]]:
        """Layer groups: the attention of an ordinary forward pass, on the rows of several groups at a time."""
        attn, before = self.attn, self._before(run)
        for some in run.slices(len(plan.groups), 4 * self.layer.attn.config.d_model):
            x = self.layer.norm1(run.streams(plan.groups[some]))
            at, own = self._positions(run, x)
            read, q_at = self._queries(run, x, own)
            k, v = attn.k(x, own), attn.v(x, own)
            if before is not None:
                k, v = (
                    torch.cat([old.expand(len(x), *old.shape), new], -3)
                    for old, new in zip(before, (k, v), strict=True)
                )
            z = attn.attend(attn.q(read, q_at), k, v, q_at, at)
            yield some, (z,)

    def group_total(self, written: Written, chosen: list[int]) -> Float[Tensor, "N B T D"]:
        """The sum over the heads, of the ``chosen`` groups of a slice."""
        z = written[0]
        return (z if len(chosen) == len(z) else z[chosen]).flatten(-2) @ self.attn.W_O.flatten(0, 1)

    def group_value(self, written: Written, chosen: list[int], component: int) -> Float[Tensor, "N B T D"]:
        """What a head writes in the ``chosen`` groups of a slice."""
        return self.attn.result(written[0][chosen][..., component, None, :], [component])[..., 0, :]

    def _positions(self, run: Run, x: Tensor) -> tuple[Positions, Positions]:
        """All positions, and those that are computed."""
        at = self.positions(x.shape[-2] + run.start)
        return at, at.at(slice(run.start, None)) if run.start else at

    def _before(self, run: Run) -> tuple[Float[Tensor, "B S K E"], Float[Tensor, "B S K E"]] | None:
        """Keys and values at the positions that are not computed, the same in every copy."""
        stream = run.stream_before()
        if stream is None:
            return None
        x, at = self.layer.norm1(stream), self.positions(stream.shape[-2])
        return self.attn.k(x, at), self.attn.v(x, at)

    def _queries(self, run: Run, x: Tensor, at: Positions) -> tuple[Tensor, Positions]:
        """The positions of ``x`` whose queries are read: the scored ones, where only the output reads the heads."""
        if run.keep is None or not self.last:
            return x, at
        return run.at_scored(x), at.at(torch.tensor(run.keep, device=x.device))

    # ------------------------------------------------------------------ copies of single heads

    def copies(self, run: Run, copies: Sequence[Copy]) -> Iterator[tuple[int, list[int], Tensor]]:
        """Copies of heads, each with rows of its own for Q, and for K and V by class of offsets."""
        group = self.attn.config.group
        wanted = sorted({row for copy in copies for rows in copy.rows for row in rows})
        where = {row: index for index, row in enumerate(wanted)}
        x = self.layer.norm1(run.streams(wanted))
        at, own = self._positions(run, x)
        read, q_at = self._queries(run, x, own)
        queries = {(where[copy.rows[0][0]], copy.component) for copy in copies}
        q, q_place = self._project(self.attn.q, read, q_at, queries, 1)
        keys_read = {(where[row], copy.component // group) for copy in copies for row in copy.rows[1]}
        k, k_place = self._project(self.attn.k, x, own, keys_read, group)
        values_read = {(where[row], copy.component // group) for copy in copies for row in copy.rows[2]}
        v, v_place = self._project(self.attn.v, x, own, values_read, group)
        if (before := self._before(run)) is not None:
            k, v = _after(before[0], k, k_place), _after(before[1], v, v_place)
        order = sorted(range(len(copies)), key=lambda i: (len(copies[i].rows[1]), copies[i].component))
        for kinds in sorted({len(copy.rows[1]) for copy in copies}):
            chosen = [i for i in order if len(copies[i].rows[1]) == kinds]
            keys: list[tuple[int, ...]] = []
            values: list[tuple[int, ...]] = []
            for copy in (copies[i] for i in chosen):
                head, kv = copy.component, copy.component // group
                key_places = (k_place[where[row], kv] for row in copy.rows[1])
                keys.append((q_place[where[copy.rows[0][0]], head], *key_places))
                values.append(tuple(v_place[where[row], kv] for row in copy.rows[2]))
            heads = [copies[i].component for i in chosen]
            z = self._attend(run, (q, k, v), keys, values, heads, (q_at, at))
            start = 0
            while start < len(chosen):
                stop = start
                while stop < len(chosen) and heads[stop] == heads[start]:
                    stop += 1
                out = self.attn.result(z[start:stop, ..., None, :], [heads[start]])[..., 0, :]
                yield heads[start], chosen[start:stop], out
                start = stop

    def _project(
        self, weights: Callable[..., Tensor], x: Tensor, at: Positions, pairs: set[tuple[int, int]], group: int
    ) -> tuple[Float[Tensor, "N B T E"], dict[tuple[int, int], int]]:
        """The projections of the (row, head) ``pairs``, and where each is.

        :param group: how many query heads a head of ``weights`` serves: for keys and values, pairs name K/V heads.
        """
        order = sorted(pairs, key=lambda pair: (pair[1], pair[0]))
        heads = self.heads // group
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
        run: Run,
        projected: tuple[Tensor, Tensor, Tensor],
        keys: list[tuple[int, ...]],
        values: list[tuple[int, ...]],
        heads: list[int],
        at: tuple[Positions, Positions],
    ) -> Float[Tensor, "N B T E"]:
        """z of each copy; the pattern of each distinct (query, keys) is computed once.

        Keys and values that differ by class of offsets are selected by masks on scores and pattern.
        """
        q, k, v = projected
        distinct = list(dict.fromkeys(zip(keys, heads, strict=True)))
        place = {pair: index for index, pair in enumerate(distinct)}
        rows = [pair for pair, _ in distinct]
        queries, of = q[[row[0] for row in rows]], [head for _, head in distinct]
        scores = self._scores(queries, k[[row[1] for row in rows]], of, at)
        for kind in range(1, len(rows[0]) - 1):
            part = self._scores(queries, k[[row[1 + kind] for row in rows]], of, at)
            scores = torch.where(run.offset_masks[kind][at[0].index], part, scores)
        pattern = scores.softmax(-1)
        picked = [place[pair] for pair in zip(keys, heads, strict=True)]
        if picked != list(range(len(distinct))):
            pattern = pattern[picked]
        if len(values[0]) == 1:
            return pattern @ v[[row[0] for row in values]]
        parts = [
            (pattern * mask[at[0].index]) @ v[[row[kind] for row in values]]
            for kind, mask in enumerate(run.offset_masks)
        ]
        return torch.stack(parts).sum(0)

    def _scores(
        self, q: Tensor, k: Tensor, heads: list[int], at: tuple[Positions, Positions]
    ) -> Float[Tensor, "N B T S"]:
        """Scores of copies, each with a query and a key of its own."""
        if self.attn.config.positions != "alibi":
            return self.attn.scores(q.unsqueeze(-2), k.unsqueeze(-2), *at).squeeze(-3)
        return self.attn.scores(q.movedim(0, -2), k.movedim(0, -2), *at, heads).movedim(-3, 0)

    # ------------------------------------------------------------------ gradients

    def record(self, read: Float[Tensor, "B T D"], rules: GradientRules) -> Recorded:
        """One pass for all heads: gradients are taken at the projected Q, K and V, and brought back by ``_pull``."""
        attn, at = self.attn, self.positions(read.shape[-2])
        x = normalise(self.layer.norm1, read, rules)
        # with grouped queries each head has a K and a V input of its own
        q, k, v = attn.q(x, at), attn.expand(attn.k(x, at), self.heads), attn.expand(attn.v(x, at), self.heads)
        pattern = attn.scores(q, k, at, at).softmax(-1)
        z = attn.mix(pattern.detach() if rules == "relp" else pattern, v)
        out = z.flatten(-2) @ attn.W_O.flatten(0, 1)
        with torch.no_grad():
            separate = torch.einsum("bthe,hed->hbtd", z, attn.W_O)
        resid = read.detach()

        def pull(gradients: Sequence[Tensor | None]) -> Float[Tensor, "R B T D"]:
            slots = [self._pull(slot, g, resid, at, rules) for slot, g in zip(SLOTS, gradients, strict=True)]
            return torch.stack(slots, 1).flatten(0, 1)

        return Recorded(out, separate, [q, k, v], pull)

    def _pull(
        self, slot: str, upstream: Tensor | None, resid: Tensor, at: Positions, rules: GradientRules
    ) -> Float[Tensor, "H B T D"]:
        """The gradient of each head's own Q, K or V input, before the norm."""
        if upstream is None:
            return torch.zeros((self.heads, *resid.shape), dtype=resid.dtype, device=resid.device)
        attn, norm = self.attn, self.layer.norm1
        if slot == "V" or not (attn.config.qk_norm or attn.config.positions == "rotary"):
            weight = {"Q": attn.W_Q, "K": attn.W_K, "V": attn.W_V}[slot]
            if len(weight) < self.heads:
                weight = weight.repeat_interleave(attn.config.group, 0)
            after = (upstream.permute(2, 0, 1, 3).flatten(1, 2) @ weight.transpose(1, 2)).unflatten(1, resid.shape[:2])
        else:
            after = _through_projection(attn, slot, normalise(norm, resid, rules), upstream, at)
        return norm_transposed(norm, resid, after, rules)

    def work(self, plan: StagePlan, length: int, share: float) -> float:
        """Numbers a pair: rows, their projections, and patterns of copies; or one slice of layer groups."""
        config = self.attn.config
        rows = len({row for copy in plan.copies for some in copy.rows for row in some})
        read = len({(row, copy.component) for copy in plan.copies for some in copy.rows[1:] for row in some})
        projected = rows * self.heads if read * 2 >= rows * self.heads else read
        single = 2 * rows * config.d_model + 3 * projected * config.d_head
        single += len(plan.copies) * (3 * config.d_head + 3 * length + config.d_model) * share
        group = min(len(plan.groups), 1) * (3 * config.d_model + 5 * self.heads * config.d_head)
        return length * max(single, group)


def _after(
    before: Float[Tensor, "B S K E"], made: Float[Tensor, "N B T E"], place: Mapping[tuple[int, int], int]
) -> Float[Tensor, "N B S+T E"]:
    """Keys or values of copies, ``place`` by (row, K/V head), after those of the positions that are not computed."""
    heads = [head for _, head in sorted(place, key=place.__getitem__)]
    return torch.cat([before.movedim(-2, 0)[heads], made], -2)


def _through_projection(attn: Attention, slot: str, x: Tensor, upstream: Tensor, at: Positions) -> Tensor:
    """Pull the gradient of queries or keys back to each head's own (normalised) input, rotation and all."""
    with torch.enable_grad():
        own = x.detach().unsqueeze(-2).expand(*x.shape[:-1], attn.config.n_heads, x.shape[-1]).requires_grad_()
        read = attn.q if slot == "Q" else attn.k
        (gradient,) = torch.autograd.grad(read(own, at, per_head=True), own, upstream)
    return gradient.movedim(-2, 0)
