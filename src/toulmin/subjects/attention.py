"""Multi-head attention with one weight matrix per head, in separable steps.

``q``, ``k``, ``v`` read a (normalised) residual stream, for all heads or some, either one input shared by the heads or
one input per head; ``attend`` turns them into each head's ``z``; ``result`` maps z to what each head writes. Patching
calls the steps one by one on inputs of its own; :meth:`forward` strings them together.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd.forward_ad import unpack_dual
from torch.nn.functional import scaled_dot_product_attention

from toulmin.subjects.config import TransformerConfig
from toulmin.subjects.norms import Normalise
from toulmin.subjects.positions import Positions, alibi_bias, alibi_slopes, may_attend, rotate

Heads = Sequence[int] | Tensor


class Attention(nn.Module):
    """The attention of one layer.

    ``W_Q`` [H, D, E], ``W_K`` and ``W_V`` [K, D, E] with K key/value heads, ``W_O`` [H, E, D]; ``b_Q`` [H, E], ``b_K``,
    ``b_V`` [K, E], ``b_O`` [D], each None where the model has no such bias. The three input weights lie in memory as
    [D, H, E], so that all heads are one matrix product without a copy.
    """

    def __init__(self, config: TransformerConfig, layer: int) -> None:
        super().__init__()
        self.config, self.window = config, config.window(layer)
        heads, kv_heads, width, head = config.n_heads, config.kv_heads, config.d_model, config.d_head

        def weight(count: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(width, count, head).permute(1, 0, 2))

        def bias(name: str, *shape: int) -> nn.Parameter | None:
            return nn.Parameter(torch.zeros(*shape)) if name in config.biases else None

        self.W_Q, self.W_K, self.W_V = weight(heads), weight(kv_heads), weight(kv_heads)
        self.W_O = nn.Parameter(torch.empty(heads, head, width))
        self.b_Q, self.b_K, self.b_V = bias("q", heads, head), bias("k", kv_heads, head), bias("v", kv_heads, head)
        self.b_O = bias("o", width)
        joint = config.qk_norm_joint
        self.q_norm = Normalise("rms", heads * head if joint else head, config.norm_eps) if config.qk_norm else None
        self.k_norm = Normalise("rms", kv_heads * head if joint else head, config.norm_eps) if config.qk_norm else None
        self.rotates = layer not in config.unrotated_layers

    def q(
        self, x: Tensor, at: Positions, heads: Heads | None = None, *, per_head: bool = False
    ) -> Float[Tensor, "*B T H E"]:
        """Queries, as the scores use them: projected, biased, normalised and rotated where the model does so.

        :param x: [..., T, D] the normalised residual stream, shared by the heads; with ``per_head`` [..., T, H, D].
        :param at: the T positions of x.
        :param heads: which heads, default all.
        """
        x = _add_shortformer(x, at, per_head)
        return self._turn(self._normalised(x, self.W_Q, self.b_Q, self.q_norm, heads, per_head), at)

    def k(
        self, x: Tensor, at: Positions, heads: Heads | None = None, *, per_head: bool = False
    ) -> Float[Tensor, "*B T H E"]:
        """Keys, as the scores use them. Arguments as :meth:`q`.

        Without ``heads``: one key per key/value head, [..., T, K, E]. With ``heads`` or ``per_head``: the numbers are
        those of query heads, and each gets a key of its own.
        """
        x = _add_shortformer(x, at, per_head)
        kv = self._kv(heads, per_head)
        return self._turn(self._normalised(x, self.W_K, self.b_K, self.k_norm, kv, per_head), at)

    def v(
        self, x: Tensor, at: Positions, heads: Heads | None = None, *, per_head: bool = False
    ) -> Float[Tensor, "*B T H E"]:
        """Values; arguments and heads as :meth:`k` (positions do not enter)."""
        return _project(x, self.W_V, self.b_V, self._kv(heads, per_head), per_head)

    def scores(
        self, q: Tensor, k: Tensor, q_at: Positions, k_at: Positions, heads: Heads | None = None
    ) -> Float[Tensor, "*B H T S"]:
        """Attention scores: ``scale * q·k``, soft-capped and penalised by distance if the model does so; masked −inf.

        :param q: [..., T, H, E]; :param k: [..., S, H or K, E].
        :param heads: which heads these are, needed only where heads differ in more than weights (ALiBi).
        """
        scores = (q.transpose(-3, -2) * self.config.scale) @ self.expand(k, q.shape[-2]).movedim(-3, -1)
        if self.config.attn_softcap is not None:
            scores = self.config.attn_softcap * torch.tanh(scores / self.config.attn_softcap)
        if self.config.positions == "alibi":
            scores = scores + self._alibi(scores, q_at, k_at, heads)
        allowed = may_attend(q_at.index, k_at.index, causal=self.config.causal, window=self.window)
        return scores if allowed is None else scores.masked_fill(~allowed, -torch.inf)

    def mix(self, pattern: Float[Tensor, "*B H T S"], v: Tensor) -> Float[Tensor, "*B T H E"]:
        """z: the values weighted by the pattern."""
        return (pattern @ self.expand(v, pattern.shape[-3]).transpose(-3, -2)).transpose(-3, -2)

    def attend(
        self,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        q_at: Positions,
        k_at: Positions | None = None,
        heads: Heads | None = None,
    ) -> Float[Tensor, "*B T H E"]:
        """z of each head: softmax of the scores over the keys, times the values.

        The leading axes of q, k and v broadcast against each other. Uses PyTorch's fused kernel where that is exact and
        differentiable enough: it has no forward-mode and no second derivative, so a gradient goes through it only in
        ``train()`` mode, and transforms of ``torch.func`` never do.
        """
        k_at = q_at if k_at is None else k_at
        if self._fusible(q, k, v):
            return self._attend_fused(q, k, v, q_at, k_at, heads)
        return self.mix(self.scores(q, k, q_at, k_at, heads).softmax(-1), v)

    def result(self, z: Float[Tensor, "*B T H E"], heads: Heads | None = None) -> Float[Tensor, "*B T H D"]:
        """What each head writes to the residual stream: ``z W_O`` (the bias b_O belongs to no head)."""
        weight = self.W_O if heads is None else self.W_O[_index(heads)]
        return torch.einsum("...he,hed->...hd", z, weight)

    def write(self, z: Float[Tensor, "*B T H E"]) -> Float[Tensor, "*B T D"]:
        """The sum over heads of :meth:`result`, plus b_O."""
        out = z.flatten(-2) @ self.W_O.flatten(0, 1)
        return out if self.b_O is None else out + self.b_O

    def expand(self, kv: Tensor, heads: int) -> Tensor:
        """Repeat keys or values [..., K, E] so that there is one for each of ``heads`` query heads."""
        return kv if kv.shape[-2] == heads else kv.repeat_interleave(heads // kv.shape[-2], dim=-2)

    def _kv(self, heads: Heads | None, per_head: bool) -> Tensor | None:
        """The key/value heads that the query heads ``heads`` read; None for all of them, once each."""
        if heads is None:
            if not per_head or self.config.group == 1:
                return None
            heads = range(self.config.n_heads)
        return _index(heads) // self.config.group

    def _normalised(
        self,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        norm: Normalise | None,
        heads: Heads | None,
        per_head: bool,
    ) -> Tensor:
        """Queries or keys before rotation: projected, and normalised where the model does so.

        Where the norm is over all heads together, its scale belongs to the input that a head reads: it is that of the
        projections of this input by the weights of all heads, so that a head depends on nothing but its own input.
        """
        if norm is None or not self.config.qk_norm_joint:
            projected = _project(x, weight, bias, heads, per_head)
            return projected if norm is None else norm(projected)
        count = len(weight)
        if not per_head:
            made = norm(_project(x, weight, bias, None, False).flatten(-2)).unflatten(-1, (count, -1))
            return made if heads is None else made[..., _index(heads).to(x.device), :]
        own = torch.arange(count, device=x.device) if heads is None else _index(heads).to(x.device)
        made = norm(_project(x, weight, bias, None, False).flatten(-2)).unflatten(-1, (count, -1))  # [.., H, K, E]
        return made[..., torch.arange(len(own), device=x.device), own, :]

    def _turn(self, x: Tensor, at: Positions) -> Tensor:
        """Rotation, where the layer has it."""
        if not self.rotates:
            return x
        angles = at.rotary_local if self.window is not None and at.rotary_local is not None else at.rotary
        return x if angles is None else rotate(x, angles, interleaved=self.config.rotary_interleaved)

    def _alibi(self, like: Tensor, q_at: Positions, k_at: Positions, heads: Heads | None) -> Tensor:
        slopes = torch.tensor(alibi_slopes(self.config.n_heads), dtype=like.dtype, device=like.device)
        return alibi_bias(q_at.index, k_at.index, slopes if heads is None else slopes[_index(heads)])

    def _fusible(self, q: Tensor, k: Tensor, v: Tensor) -> bool:
        parts = (q, k, v)
        return (
            self.config.attn_softcap is None
            and q.shape[:-3] == k.shape[:-3] == v.shape[:-3]
            and not (torch.is_grad_enabled() and not self.training and any(part.requires_grad for part in parts))
            and not any(is_functorch_wrapped_tensor(part) for part in parts)
            and all(unpack_dual(part).tangent is None for part in parts)
        )

    def _attend_fused(
        self, q: Tensor, k: Tensor, v: Tensor, q_at: Positions, k_at: Positions, heads: Heads | None
    ) -> Tensor:
        count, lead = q.shape[-2], q.shape[:-3]
        q, k, v = (
            part.reshape(-1, *part.shape[-3:]).transpose(1, 2)
            for part in (q, self.expand(k, count), self.expand(v, count))
        )
        mask, plain = None, self.config.causal and self.window is None and q_at is k_at and q_at.plain
        if self.config.positions == "alibi":
            mask, plain = self._alibi(q, q_at, k_at, heads), False
        if not plain:
            allowed = may_attend(q_at.index, k_at.index, causal=self.config.causal, window=self.window)
            if mask is None:
                mask = allowed
            elif allowed is not None:
                mask = mask.masked_fill(~allowed, -torch.inf)
        dtype = v.dtype
        if v.device.type == "cpu" and dtype in (torch.bfloat16, torch.float16):
            # a processor's half-precision kernel is no faster forward, and 3 to 10 times as slow backward
            q, k, v = q.float(), k.float(), v.float()
            mask = mask.float() if mask is not None and mask.is_floating_point() else mask
        z = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=plain, scale=self.config.scale).to(dtype)
        return z.transpose(1, 2).reshape(*lead, -1, count, v.shape[-1])


def _index(heads: Heads) -> Tensor:
    return heads if isinstance(heads, Tensor) else torch.tensor(list(heads), dtype=torch.long)


def _add_shortformer(x: Tensor, at: Positions, per_head: bool) -> Tensor:
    if at.shortformer is None:
        return x
    return x + (at.shortformer[:, None, :] if per_head else at.shortformer)


def _project(x: Tensor, weight: Tensor, bias: Tensor | None, heads: Heads | None, per_head: bool) -> Tensor:
    """x W + b for the chosen heads: [..., T, D] (shared) or [..., T, H, D] (per head) to [..., T, H, E]."""
    if heads is not None:
        index = _index(heads)
        weight, bias = weight[index], None if bias is None else bias[index]
    if per_head:
        out = torch.einsum("...hd,hde->...he", x, weight)
    else:
        count, _, head = weight.shape
        out = (x @ weight.permute(1, 0, 2).reshape(-1, count * head)).unflatten(-1, (count, head))
    return out if bias is None else out + bias
