"""What the reference code (ApolloResearch/e2e_sae) computes otherwise: its schedules, and ``legacy_`` metrics.

The trainer never uses the metrics; they are here so that published numbers can be compared with.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from toulmin.training import Schedule


@dataclass(frozen=True)
class ReferenceCosine(Schedule):
    """The reference's cosine schedule: the warm-up begins at 0, so that the first update changes nothing.

    s < w: lr s / w; then lr max(f, f + (1 - f) (1 + cos(pi (s - w) / (n - w))) / 2), which rises again after n.
    """

    def at(self, step: int) -> float:
        """The learning rate used by update ``step`` (the first is 0)."""
        if step < self.warmup:
            return self.lr * step / max(1, self.warmup)
        share = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * max(self.floor, self.floor + (1 - self.floor) * (0.5 * (1 + math.cos(math.pi * share))))


@dataclass(frozen=True)
class ReferenceLinear(Schedule):
    """The reference's linear schedule: lr (s + 1) / w, then lr, then down to the floor over the last ``cooldown``.

    With n ``steps`` the cool-down begins at n + 1 - ``cooldown``, and falls as max(f, 1 - i / cooldown) with i steps
    done of it.
    """

    def __post_init__(self) -> None:
        """The base class's checks, but for the kind that a cool-down belongs to."""

    def at(self, step: int) -> float:
        """The learning rate used by update ``step`` (the first is 0)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        into = step - (self.steps + 1 - self.cooldown)
        if self.cooldown and into >= 0:
            return self.lr * max(self.floor, 1 - into / self.cooldown)
        return self.lr


def legacy_explained_variance(
    pred: Float[Tensor, "*N D"], target: Float[Tensor, "*N D"], *, layer_norm: bool = False
) -> Float[Tensor, "*N"]:
    """The reference's explained variance of each token: 1 - |pred - target|^2 / |target - mean target|^2.

    A mean of ratios, not the ratio of means; the reference passes the input as ``pred`` and the reconstruction as
    ``target`` for its local loss, so that the variance is the reconstruction's. ``layer_norm`` normalises both first.
    """
    if layer_norm:
        pred, target = (functional.layer_norm(x, x.shape[-1:]) for x in (pred, target))
    mean = target.flatten(0, -2).mean(0)
    return 1 - (pred - target).pow(2).sum(-1) / (target - mean).pow(2).sum(-1)


def legacy_top1_accuracy(logits: Float[Tensor, "B T V"], tokens: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """The reference's accuracy, which compares the prediction at a position with the token at the same position."""
    return (logits.argmax(-1) == tokens).float().mean()


def legacy_metrics(
    tokens: Int[Tensor, "B T"], original: Float[Tensor, "B T V"], inserted: Float[Tensor, "B T V"]
) -> dict[str, float]:
    """The reference's output metrics, under its names: note that its CE difference is original less inserted."""
    p, q = original.log_softmax(-1), inserted.log_softmax(-1)
    ce = [-x[:, :-1].gather(2, tokens[:, 1:, None]).mean().item() for x in (p, q)]
    top1 = [legacy_top1_accuracy(x, tokens).item() for x in (original, inserted)]
    return {
        "orig_model_ce_loss": ce[0],
        "sae_model_ce_loss": ce[1],
        "difference_ce_loss": ce[0] - ce[1],
        "orig_model_top1_accuracy": top1[0],
        "sae_model_top1_accuracy": top1[1],
        "difference_top1_accuracy": top1[0] - top1[1],
        "orig_vs_sae_top1_consistency": (original.argmax(-1) == inserted.argmax(-1)).float().mean().item(),
        "orig_vs_sae_statistical_distance": 0.5 * (p.exp() - q.exp()).abs().sum(-1).mean().item(),
    }


def legacy_sparsity_metrics(codes: Float[Tensor, "*N F"]) -> dict[str, float | int | list[int]]:
    """The reference's L0, share of zeros, and alive features (active on any token of the batch)."""
    alive = torch.nonzero((codes != 0).flatten(0, -2).any(0))[:, 0].tolist()
    return {
        "L_0": (codes != 0).sum(-1).double().mean().item(),
        "frac_zeros": ((codes == 0).sum() / codes.numel()).item(),
        "alive_dict_elements_indices": alive,
        "alive_dict_elements": len(alive),
    }
