"""How far a patched output is from the reference output, per pair and before any averaging.

Letters: B batch, V vocabulary, A answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import Fault, FaultError

Dissimilarity = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def kl(reference: Float[Tensor, "*B V"], patched: Float[Tensor, "*B V"], _a: Tensor, _w: Tensor) -> Float[Tensor, "*B"]:
    """KL(p || q) of the reference's next-token distribution from the patched one's; nats."""
    p, q = reference.log_softmax(-1), patched.log_softmax(-1)
    return (p.exp() * (p - q)).sum(-1)


def _loss(logits: Float[Tensor, "*B V"], answers: Int[Tensor, "B A"]) -> Float[Tensor, "*B"]:
    """−ln p(answers), summed over the right ids (−1 pads)."""
    ids = answers.expand(*logits.shape[:-1], answers.shape[-1])
    chosen = logits.log_softmax(-1).gather(-1, ids.clamp(min=0)).masked_fill(ids < 0, -torch.inf)
    return -chosen.logsumexp(-1)


def absolute_loss(
    reference: Float[Tensor, "*B V"], patched: Float[Tensor, "*B V"], answers: Int[Tensor, "B A"], _w: Tensor
) -> Float[Tensor, "*B"]:
    """|loss change|; nats."""
    return (_loss(patched, answers) - _loss(reference, answers)).abs()


def squared_loss(
    reference: Float[Tensor, "*B V"], patched: Float[Tensor, "*B V"], answers: Int[Tensor, "B A"], _w: Tensor
) -> Float[Tensor, "*B"]:
    """(loss change)²; nats²."""
    return (_loss(patched, answers) - _loss(reference, answers)).square()


def signed_loss(
    reference: Float[Tensor, "*B V"], patched: Float[Tensor, "*B V"], answers: Int[Tensor, "B A"], _w: Tensor
) -> Float[Tensor, "*B"]:
    """Loss of the patched less that of the reference output; nats. For attribution: a mean of it cancels."""
    return _loss(patched, answers) - _loss(reference, answers)


def logit_difference(
    logits: Float[Tensor, "*B V"], answers: Int[Tensor, "B A"], wrong: Int[Tensor, "B W"]
) -> Float[Tensor, "*B"]:
    """Mean logit of the right ids minus that of the wrong ids; of all ids, for pairs that name no wrong one."""

    def mean(ids: Tensor) -> tuple[Tensor, Tensor]:
        ids = ids.expand(*logits.shape[:-1], ids.shape[-1])
        count = (ids >= 0).sum(-1)
        total = logits.gather(-1, ids.clamp(min=0)).masked_fill(ids < 0, 0.0).sum(-1)
        return total / count.clamp(min=1), count

    right, _ = mean(answers)
    if wrong.shape[-1] == 0:
        return right - logits.mean(-1)
    other, count = mean(wrong)
    return right - torch.where(count > 0, other, logits.mean(-1))


def squared_logit_diff(
    reference: Float[Tensor, "*B V"],
    patched: Float[Tensor, "*B V"],
    answers: Int[Tensor, "B A"],
    wrong: Int[Tensor, "B W"],
) -> Float[Tensor, "*B"]:
    """(change of the logit difference)²; logits²."""
    return (logit_difference(patched, answers, wrong) - logit_difference(reference, answers, wrong)).square()


def signed_logit_diff(
    reference: Float[Tensor, "*B V"],
    patched: Float[Tensor, "*B V"],
    answers: Int[Tensor, "B A"],
    wrong: Int[Tensor, "B W"],
) -> Float[Tensor, "*B"]:
    """Logit difference of the patched less that of the reference output; logits. For attribution."""
    return logit_difference(patched, answers, wrong) - logit_difference(reference, answers, wrong)


DISSIMILARITIES: Mapping[str, Dissimilarity] = {
    "kl": kl,
    "absolute_loss": absolute_loss,
    "squared_loss": squared_loss,
    "squared_logit_diff": squared_logit_diff,
}
SIGNED: Mapping[str, Dissimilarity] = {"signed_loss": signed_loss, "signed_logit_diff": signed_logit_diff}


def find_dissimilarity(name: str, *, signed: bool = False) -> Dissimilarity:
    """The dissimilarity of that name; a signed one, which has no proportion explained, only where asked for.

    :raises FaultError: ``paths.unknown_dissimilarity``.
    """
    known = {**DISSIMILARITIES, **(SIGNED if signed else {})}
    if name not in known:
        hint = f"one of {', '.join(known)}"
        if name in SIGNED:
            hint = f"signed changes cancel in a mean and explain no proportion; {hint}"
        raise FaultError(Fault("paths.unknown_dissimilarity", "no such dissimilarity", name=name, hint=hint))
    return known[name]
