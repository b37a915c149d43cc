r"""The attention stage of a layer that normalises what its heads write together (Gemma-2 and -3, OLMo-2 and -3).

The norm is a part of the senders. With r_h what head h computes from its own inputs and n the post-norm's weights,

.. math:: y_h = n \odot r_h / \mathrm{rms}\Bigl(\sum_{h'} r_{h'} + b_O\Bigr), \qquad r_h \to r_h + b_O / H

(LayerNorm: centred first, its bias a constant of the stage). So the heads' values sum to what the layer writes, in
every run; the scale is that of the very run, or circuit, in which the head is computed. The price is that a head's
value depends on the inputs of all heads of the layer: in the graph these are one component with the heads as its
sources, and an edge into one head can be read by later components through another one.

Letters: C circuits, B batch, T position, D residual, H head, R receivers (3 H).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.patching.kernels import GradientRules, Recorded, Run, StageKernel, Written
from toulmin.patching.plan import Copy, StagePlan
from toulmin.patching.relevance import normalise
from toulmin.patching.stages import SLOTS, Stage

if TYPE_CHECKING:
    from toulmin.subjects import Layer, Positions


class JointHeadsKernel(StageKernel):
    """All heads of one layer as one component with H sources. ``positions`` prepares 0 … T−1."""

    def __init__(self, stage: Stage, layer: Layer, positions: Callable[[int], Positions]) -> None:
        super().__init__(stage, partial(self._heads, rules="gradient"), bias=layer.post_norm1.b)
        self.layer, self.attn, self.positions = layer, layer.attn, positions
        self.count = layer.attn.config.n_heads

    def _heads(self, *reads: Float[Tensor, "B T D"], rules: GradientRules) -> tuple[Tensor, ...]:
        """What each head writes, each input reading a stream of its own."""
        attn, at = self.attn, self.positions(reads[0].shape[-2])
        apart = torch.stack(reads, -2).unflatten(-2, (self.count, len(SLOTS)))  # [B, T, H, 3, D]
        x = normalise(self.layer.norm1, apart, rules)
        q, k, v = (read(x[..., slot, :], at, per_head=True) for slot, read in enumerate((attn.q, attn.k, attn.v)))
        if rules == "gradient":
            return self._shares(attn.attend(q, k, v, at), rules)
        pattern = attn.scores(q, k, at, at).softmax(-1)
        return self._shares(attn.mix(pattern.detach() if rules == "relp" else pattern, v), rules)

    def _shares(self, z: Float[Tensor, "B T H E"], rules: GradientRules) -> tuple[Tensor, ...]:
        """What each head adds to the stream, of the heads' mixed values."""
        results = self.attn.result(z)
        if self.attn.b_O is not None:
            results = results + self.attn.b_O / self.count
        whole = results.sum(-2, keepdim=True)
        whole = whole if rules == "gradient" else whole.detach()
        return self.layer.post_norm1.share(results, whole).unbind(-2)

    def together(self, read: Float[Tensor, "B T D"]) -> Written:
        """The sum over the heads, and what each writes [B, T, D, H], when all read one stream."""
        attn, x, at = self.attn, self.layer.norm1(read), self.positions(read.shape[-2])
        value = torch.stack(self._shares(attn.attend(attn.q(x, at), attn.k(x, at), attn.v(x, at), at), "gradient"), -1)
        return value.sum(-1), value

    def copies(self, run: Run, copies: Sequence[Copy]) -> Iterator[tuple[int, list[int], Tensor]]:
        """Copies of all heads, in pieces: each input of each copy is a stream."""
        for some in run.slices(len(copies), len(self.stage.inputs) * self.attn.config.d_model):
            for _, numbers, made in super().copies(run, copies[some]):
                yield 0, [some.start + number for number in numbers], made

    def record(self, read: Float[Tensor, "B T D"], rules: GradientRules) -> Recorded:
        """One pass in which every input of every head reads the stream through a tensor of its own."""
        own = [read.view_as(read) for _ in self.stage.inputs]
        value = torch.stack(self._heads(*own, rules=rules), -1)

        def pull(gradients: Sequence[Tensor | None]) -> Float[Tensor, "R B T D"]:
            return torch.stack([torch.zeros_like(read) if g is None else g for g in gradients])

        return Recorded(value.sum(-1), value.detach().unsqueeze(0), own, pull, value)

    def work(self, plan: StagePlan, length: int, share: float) -> float:
        """Numbers a pair: the streams, projections and patterns of one slice, and what all copies write."""
        config = self.attn.config
        one = self.count * (2 * len(SLOTS) * config.d_model + 4 * config.d_head + 3 * length)
        return length * (min(len(plan.copies), 1) * one + len(plan.copies) * self.count * config.d_model)
