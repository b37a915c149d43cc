"""Per-item scores of next-token predictions.

All take logits at the scored position, ``(..., V)``, and give one number for each leading index, never a mean: means
belong to summaries, which know the independent units. ``answers`` and ``wrong`` are ids ``(..., A)`` and ``(..., W)``,
padded with -1. Where a pair has several right ids (a year greater than another), p(right) is the sum of their
probabilities. Units: nats for :func:`kl` and :func:`cross_entropy`, logits for :func:`logit_diff`, probability for
:func:`prob_diff`, 0 or 1 for :func:`accuracy`.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import Fault, FaultError


def at_position(
    logits: Float[Tensor, "B T V"], at: Int[Tensor, "B"] | Int[Tensor, "B P"]
) -> Float[Tensor, "B V"] | Float[Tensor, "B P V"]:
    """The logits of each item at its scored position, or at each of its P scored positions."""
    rows = torch.arange(len(logits), device=logits.device)
    return logits[rows, at] if at.ndim == 1 else logits[rows[:, None], at]


def _gather(values: Tensor, ids: Tensor, fill: float) -> Tensor:
    """values[..., ids], with ``fill`` where the id is padding; ids broadcast over leading dimensions."""
    ids = ids.expand(*values.shape[:-1], ids.shape[-1])
    return values.gather(-1, ids.clamp(min=0)).masked_fill(ids < 0, fill)


def kl(clean: Float[Tensor, "*#B V"], logits: Float[Tensor, "*#B V"]) -> Float[Tensor, "*B"]:
    """KL(p || q) = sum_v p_v (ln p_v - ln q_v), p the softmax of ``clean``, q of ``logits``; nats."""
    p, q = clean.log_softmax(-1), logits.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def cross_entropy(logits: Float[Tensor, "*#B V"], answers: Int[Tensor, "*#B A"]) -> Float[Tensor, "*B"]:
    """-ln p(answers), p summed over the right ids; nats."""
    return -_gather(logits.log_softmax(-1), answers, -torch.inf).logsumexp(-1)


def token_cross_entropy(logits: Float[Tensor, "B T V"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T-1"]:
    """-ln p(token i+1 | tokens up to i) for i = 0 .. T-2; nats per token."""
    return -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]


def logit_diff(
    logits: Float[Tensor, "*#B V"], answers: Int[Tensor, "*#B A"], wrong: Int[Tensor, "*#B W"]
) -> Float[Tensor, "*B"]:
    """Mean logit of the right ids minus mean logit of the wrong ids.

    :raises FaultError: an item without a wrong id.
    """
    _require(answers, "answer")
    _require(wrong, "wrong")
    return _mean(logits, answers) - _mean(logits, wrong)


def _require(ids: Tensor, what: str) -> None:
    if ids.shape[-1] == 0 or bool((ids < 0).all(-1).any()):
        raise FaultError(Fault("tasks.no_ids", f"this score needs at least one {what} token for each pair"))


def _mean(logits: Tensor, ids: Tensor) -> Tensor:
    """Mean logit of the ids; padding (-1) is not counted."""
    return _gather(logits, ids, 0.0).sum(-1) / (ids >= 0).sum(-1)


def prob_diff(
    logits: Float[Tensor, "*#B V"], answers: Int[Tensor, "*#B A"], wrong: Int[Tensor, "*#B W"]
) -> Float[Tensor, "*B"]:
    """p(right ids) - p(wrong ids).

    :raises FaultError: an item without a wrong id.
    """
    _require(wrong, "wrong")
    p = logits.softmax(-1)
    return _gather(p, answers, 0.0).sum(-1) - _gather(p, wrong, 0.0).sum(-1)


def accuracy(
    logits: Float[Tensor, "*#B V"],
    answers: Int[Tensor, "*#B A"],
    wrong: Int[Tensor, "*#B W"] | None = None,
) -> Float[Tensor, "*B"]:
    """1 where the most likely id is right: of the whole vocabulary, or, given ``wrong``, of the right and wrong ids.

    A right id must be strictly above every wrong one; NaN counts as failure.

    :raises FaultError: with ``wrong``, an item without a wrong id.
    """
    if wrong is None:
        best = logits.argmax(-1, keepdim=True)
        finite = logits.isfinite().all(-1)
        return ((best == answers).any(-1) & finite).to(logits.dtype)
    _require(wrong, "wrong")
    right = _gather(logits, answers, -torch.inf).amax(-1)
    return (right > _gather(logits, wrong, -torch.inf).amax(-1)).to(logits.dtype)
