"""A ReLU dictionary and the sum of its codes, forward and backward, some tokens at a time.

The codes of a batch do not fit in a processor's cache: every pass over them (ReLU, their sum, the penalty's gradient,
the mask) waits for memory. Here each chunk of tokens goes through encoder, ReLU, sum and decoder, and backward through
all of them, before the next one is touched. The result is that of the plain operations, up to the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK_BYTES = 4 << 20  #: of the codes of one chunk; a GPU takes all tokens at once


def fused_relu(
    x: Float[Tensor, "*N D"],
    W_enc: Float[Tensor, "D F"],
    b_enc: Float[Tensor, " F"],
    directions: Float[Tensor, "F O"],
    b_dec: Float[Tensor, " O"],
) -> tuple[Float[Tensor, "*N O"], Float[Tensor, "*N F"], Float[Tensor, ""]]:
    """Output, codes (without a gradient of their own), and the mean over tokens of the sum of the codes."""
    rows = x.flatten(0, -2)
    output, codes, penalty = _FusedRelu.apply(rows, W_enc, b_enc, directions, b_dec)  # type: ignore[misc]
    lead = x.shape[:-1]
    return output.view(*lead, -1), codes.view(*lead, -1), penalty


class _FusedRelu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, W_enc: Tensor, b_enc: Tensor, directions: Tensor, b_dec: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        codes, output = x.new_empty(len(x), W_enc.shape[1]), x.new_empty(len(x), directions.shape[1])
        exact = torch.promote_types(x.dtype, torch.float32)
        total = x.new_zeros((), dtype=exact)
        for rows in _chunks(codes):
            part = codes[rows]
            torch.addmm(b_enc, x[rows], W_enc, out=part)
            total += part.relu_().sum(dtype=exact)
            torch.addmm(b_dec, part, directions, out=output[rows])
        ctx.save_for_backward(x, W_enc, directions, codes)
        ctx.mark_non_differentiable(codes)
        ctx.set_materialize_grads(False)  # or autograd fills a gradient of the codes' size with zeros
        return output, codes, total / len(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        d_output, _, d_penalty = grads
        x, W_enc, directions, codes = ctx.saved_tensors
        d_output = x.new_zeros(len(x), directions.shape[1]) if d_output is None else d_output
        d_penalty = x.new_zeros(()) if d_penalty is None else d_penalty / len(x)
        each = d_penalty.to(x.dtype).expand(codes.shape[1])  # what the penalty adds to every active code's gradient
        d_x = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        d_enc, d_bias = torch.zeros_like(W_enc), W_enc.new_zeros(W_enc.shape[1])
        d_directions = torch.zeros_like(directions)
        for rows in _chunks(codes):
            part, upstream = codes[rows], d_output[rows]
            slope = torch.addmm(each, upstream, directions.T)
            torch.ops.aten.threshold_backward.grad_input(slope, part, 0, grad_input=slope)  # 0 for inactive features
            d_directions.addmm_(part.T, upstream)
            d_enc.addmm_(x[rows].T, slope)
            d_bias += slope.sum(0)
            if d_x is not None:
                torch.mm(slope, W_enc.T, out=d_x[rows])
        return d_x, d_enc, d_bias, d_directions, d_output.sum(0)


def _chunks(codes: Tensor) -> Iterator[slice]:
    size = len(codes)
    step = size if codes.is_cuda else max(64, CHUNK_BYTES // (codes.shape[1] * codes.element_size()))
    return (slice(start, min(start + step, size)) for start in range(0, size, step))
