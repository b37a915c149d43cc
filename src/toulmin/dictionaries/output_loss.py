r"""Losses of the output distribution with their gradients in closed form, a few hundred tokens at a time.

With p the model's distribution, q the distribution with dictionaries inserted, N tokens:

    KL(p || q) = 1/N sum_n sum_v p (ln p - ln q),    d KL / d logits_q = (q - p) / N
    CE         = 1/M sum_n -ln q[next token],        d CE / d logits_q = (q - onehot) / M     (M = B (T - 1))

Only one chunk of logits exists at a time: each chunk's gradient goes back through the unembedding at once, and what is
kept for the backward pass is the gradient with respect to the normalised residual stream, [N, D]. Statistics are taken
in float32 or better.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.subjects import Transformer

CHUNK_BYTES = 64 << 20  #: of one chunk of logits
KEPT_BYTES = 512 << 20  #: of the original's log-probabilities, which several dictionaries can share


@dataclass(frozen=True)
class Original:
    """The model's own output: ``final`` [N, D] normalised, and its log-probabilities [N, V] where they are kept."""

    final: Tensor
    log_p: Tensor | None


def chunk_rows(model: Transformer) -> int:
    """How many tokens' logits fill a chunk."""
    size = CHUNK_BYTES * (8 if model.W_E.is_cuda else 1)  # a GPU is idle between small products
    return max(1, size // (4 * model.config.vocab_out))


@torch.no_grad()
def original_output(model: Transformer, final: Float[Tensor, "B T D"], *, share: bool) -> Original:
    """What the inserted passes are compared with; ``share``: keep log p, if it is not too large."""
    rows = model.final_norm(final).flatten(0, -2)
    size = 4 * rows.shape[0] * model.config.vocab_out
    if not share or size > KEPT_BYTES:
        return Original(rows, None)
    parts = [_log_softmax(_logits(model, part)) for part in rows.split(chunk_rows(model))]
    return Original(rows, torch.cat(parts))


def output_losses(
    model: Transformer,
    resid: Float[Tensor, "B T D"],
    original: Original | None,
    tokens: Int[Tensor, "B T"] | None,
) -> tuple[Float[Tensor, ""] | None, Float[Tensor, ""] | None]:
    """``(KL(original || with dictionaries), CE)`` in nats a token, each None where it is not asked for.

    :param resid: what the unembedding reads in the pass with dictionaries.
    :param original: from :func:`original_output`; None leaves KL out.
    :param tokens: for the cross-entropy of each next token; None leaves CE out.
    """
    if original is None and tokens is None:
        return None, None
    x = model.final_norm(resid).flatten(0, -2)
    targets = None
    if tokens is not None:
        targets = torch.cat([tokens[:, 1:], torch.full_like(tokens[:, :1], -1)], dim=1).flatten()
    kl, ce = _OutputLosses.apply(x, model, original, targets)  # type: ignore[misc]
    return (kl if original is not None else None), (ce if targets is not None else None)


def _logits(model: Transformer, rows: Tensor) -> Tensor:
    logits = rows @ model.W_U
    logits = logits if model.b_U is None else logits + model.b_U
    cap = model.config.logit_softcap
    return logits if cap is None else cap * torch.tanh(logits / cap)


def _log_softmax(logits: Tensor) -> Tensor:
    exact = torch.promote_types(logits.dtype, torch.float32)
    return torch.log_softmax(logits, -1, dtype=exact)


class _OutputLosses(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, model: Transformer, original: Original | None, targets: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        size, exact = len(x), torch.promote_types(x.dtype, torch.float32)
        kl, ce = x.new_zeros((), dtype=exact), x.new_zeros((), dtype=exact)
        need = ctx.needs_input_grad[0]
        kl_grad = torch.empty_like(x) if need and original is not None else None
        ce_grad = torch.empty_like(x) if need and targets is not None else None
        counted = 0 if targets is None else int(targets.shape[0])
        weights = None
        if targets is not None:
            weights = (targets >= 0).to(exact)
            weights = weights / weights.sum()
        for rows in _chunks(size, chunk_rows(model)):
            logits = _logits(model, x[rows])
            log_q = _log_softmax(logits)
            q = log_q.exp() if need else None
            if original is not None:
                log_p = original.log_p[rows] if original.log_p is not None else None
                if log_p is None:
                    log_p = _log_softmax(_logits(model, original.final[rows]))
                p = log_p.exp()
                kl += torch.dot(p.flatten(), (log_p - log_q).flatten())
                if kl_grad is not None and q is not None:
                    kl_grad[rows] = _back(model, torch.sub(q, p, out=p).div_(size), logits)
            if targets is not None and weights is not None and counted:
                place, share = targets[rows].clamp(min=0)[:, None], weights[rows]
                ce -= (log_q.gather(1, place)[:, 0] * share).sum()
                if ce_grad is not None and q is not None:
                    slope = q.scatter_add(1, place, torch.full_like(share, -1.0)[:, None]) * share[:, None]
                    ce_grad[rows] = _back(model, slope, logits)
        ctx.save_for_backward(kl_grad, ce_grad)
        return kl / size, ce

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None, None]:
        total = None
        for grad, upstream in zip(ctx.saved_tensors, grads, strict=True):
            if grad is not None:
                part = grad * upstream.to(grad.dtype)
                total = part if total is None else total + part
        return total, None, None, None


def _back(model: Transformer, slope: Tensor, logits: Tensor) -> Tensor:
    """From the gradient with respect to logits to that with respect to the normalised stream."""
    cap = model.config.logit_softcap
    if cap is not None:
        slope = slope * (1 - (logits / cap) ** 2)
    return slope.to(logits.dtype) @ model.W_U.T


def _chunks(size: int, rows: int) -> Iterator[slice]:
    return (slice(start, min(start + rows, size)) for start in range(0, size, rows))
