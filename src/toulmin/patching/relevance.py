"""Norms, MLPs and unembedding with the backward rules of relevance patching, and the norms' Jacobians in closed form.

With ``rules="relp"`` (Jafari et al. 2025, after Achtibat et al. 2024) the backward pass treats as constants a norm's
scale, an attention pattern, and the slope f(x)/x of an activation function; a gate's two factors take half each.
``relp_patterns`` differentiates the pattern. The forward values are those of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

if TYPE_CHECKING:
    from toulmin.patching.kernels import GradientRules
    from toulmin.subjects import FeedForward, Normalise, Transformer


def normalise(norm: Normalise, x: Tensor, rules: GradientRules) -> Tensor:
    """The norm; under ``relp`` its scale is a constant."""
    if rules == "gradient" or norm.kind == "none" or norm.w is None:
        return norm(x)
    centred = x - x.mean(-1, keepdim=True) if norm.kind == "layer" else x
    out = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + norm.eps).detach() * norm.w
    return out if norm.b is None else out + norm.b


def norm_transposed(
    norm: Normalise, resid: Float[Tensor, "B T D"], gradient: Float[Tensor, "H B T D"], rules: GradientRules
) -> Float[Tensor, "H B T D"]:
    r"""J^T g of the norm at ``resid``.

    LayerNorm: (g w - mean(g w) - x mean(g w x)) / s with x the normalised stream and s its scale; RMSNorm: without the
    first mean; under ``relp`` without the last term.
    """
    if norm.kind == "none" or norm.w is None:
        return gradient
    given = gradient.dtype
    if given == torch.float16:  # the square of an activation above 256 is none of its numbers
        resid, gradient = resid.float(), gradient.float()
    gradient = gradient * norm.w
    centred = resid
    if norm.kind == "layer":
        centred = resid - resid.mean(-1, keepdim=True)
        gradient -= gradient.mean(-1, keepdim=True)
    rstd = torch.rsqrt(centred.square().mean(-1, keepdim=True) + norm.eps)
    x = centred * rstd
    if rules == "gradient":
        along = torch.einsum("hbtd,btd->hbt", gradient, x) / x.shape[-1]
        gradient.addcmul_(along.unsqueeze(-1), x, value=-1.0)
    return gradient.mul_(rstd).to(given)


def mlp_out(mlp: FeedForward, x: Tensor, rules: GradientRules) -> Tensor:
    """The MLP on a normalised stream; under ``relp`` linear in it, with a gate's factors at half each."""
    if rules == "gradient":
        return mlp(x)
    pre = mlp.pre(x)
    post = mlp.post(pre.detach(), x.detach())
    if mlp.W_gate is None:
        return mlp.write(pre * _ratio(post, pre))
    up = x @ mlp.W_in if mlp.b_in is None else x @ mlp.W_in + mlp.b_in
    acted = pre * _ratio(post, pre * up.detach())
    half = 0.5 * (acted * up.detach() + acted.detach() * up)
    return mlp.write(half)


def unembed(model: Transformer, resid: Tensor, rules: GradientRules) -> Tensor:
    """Logits; under ``relp`` linear in the stream."""
    if rules == "gradient":
        return model.unembed(resid)
    logits = normalise(model.final_norm, resid, rules) @ model.W_U
    return logits if model.b_U is None else logits + model.b_U


def _ratio(post: Tensor, pre: Tensor) -> Tensor:
    """f(x)/x as a constant; 0 where x is 0."""
    pre = pre.detach()
    return torch.where(
        pre == 0, torch.zeros_like(pre), post.detach() / torch.where(pre == 0, torch.ones_like(pre), pre)
    )
