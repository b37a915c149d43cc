r"""Gradients of every edge at once.

Let m_{sr} be the mask of the edge from source s to receiver r, so that r reads
:math:`x_r = b + \sum_s (1 - m_{sr}) c_s + m_{sr} v_s` with c_s what s writes in this run and v_s what a cut edge
carries. Then :math:`\partial L / \partial m_{sr} = \sum_{b,t} \langle \partial L / \partial x_r, v_s - c_s \rangle`.
Where all masks are equal (0 in attribution patching; any value on the straight line of integrated gradients) every
receiver of a layer reads the same stream, so one plain forward and backward pass gives all receivers' gradients, and
one matrix product a layer gives all scores. The gradient of a head's Q, K or V input is taken after the norm and
brought before it by the norm's Jacobian, in closed form. (Edge attribution patching: Nanda 2023, Syed et al. 2023.)

With ``rules="relp"`` the backward pass is that of relevance patching (Jafari et al. 2025, after Achtibat et al.
2024): a norm's scale, an attention pattern and the slope f(x)/x of an activation function are constants, a gate's two
factors take half each. Queries and keys then get no relevance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.attention import Attention
from toulmin.subjects.mlp import FeedForward
from toulmin.subjects.norms import Normalise
from toulmin.subjects.positions import Positions
from toulmin.subjects.transformer import Layer, Transformer

Loss = Callable[[Tensor], Tensor]
Rules = Literal["gradient", "relp"]


@dataclass(frozen=True)
class EdgeGradients:
    """``table``: [S, R], or [S, R, T]; ``loss``: the loss of the run; ``sources``: [S, B, T, D], what each wrote in
    it."""

    table: Tensor
    loss: Tensor
    sources: Tensor


@dataclass
class _Reading:
    """What a layer read, and where the gradients of its inputs are to be found."""

    layer: Layer
    resid: Tensor
    slots: dict[str, Tensor]
    mlp_in: Tensor | None


def edge_gradients(
    model: Transformer,
    tokens: Int[Tensor, "B T"],
    loss: Loss,
    *,
    values: Float[Tensor, "S B T D"] | None = None,
    differences: Float[Tensor, "S B T D"] | None = None,
    mix: float = 0.0,
    scored: Int[Tensor, "B"] | None = None,
    merged_qkv: bool = False,
    per_position: bool = False,
    rules: Rules = "gradient",
    replace: Mapping[str, Tensor] | None = None,
) -> EdgeGradients:
    """d loss / d mask of every edge, all masks being ``mix``.

    :param loss: from the logits at the scored positions, [B, V], to a scalar (a sum or mean over the batch).
    :param values: v_s, what cut edges carry; broadcastable to [S, B, T, D]. Needed unless ``differences`` are given and
        ``mix`` is 0.
    :param differences: use these instead of v_s - c_s (integrated gradients keep those of the end points).
    :param mix: the value of all masks, 0 the run itself, 1 everything replaced.
    :param scored: the scored position of each prompt; default the last.
    :param replace: activations to put in place of what a component writes, by name: ``embed``, ``L0.attn`` (all heads
        of the layer together, without b_O), ``L0.mlp``; [B, T, D].
    :returns: receivers in the graph's order (Q, K, V of head 0, of head 1, ..., the MLP; at the end the logits).
    :raises FaultError: a model whose components are not addends of the stream (post-norms); neither values nor
        differences.
    """
    if not model.config.additive:
        raise FaultError(Fault("patching.post_norms", "with post-norms a head's output is no addend of the stream"))
    if values is None and (differences is None or mix != 0.0):
        raise FaultError(Fault("patching.values", "edge gradients need the values that cut edges carry"))
    with torch.enable_grad():
        run = _Run(model, tokens, values if mix else None, mix, rules, replace or {})
        final = run.final
        logits = model.unembed(final) if rules == "gradient" else _unembed_linearised(model, final)
        where = torch.full((len(tokens),), tokens.shape[1] - 1) if scored is None else scored
        value = loss(logits[torch.arange(len(tokens), device=tokens.device), where.to(tokens.device)])
        gradients = run.gradients(value)
    if not bool(torch.isfinite(value.detach()).all()):
        raise FaultError(Fault("patching.loss", "the loss is NaN or infinite"), ExitCode.NUMERICAL)
    sources = torch.stack(run.sources)
    with torch.no_grad():
        differences = values - sources if differences is None and values is not None else differences
        assert differences is not None
        table = _contract(model, run, gradients, differences.expand_as(sources), merged_qkv, per_position, rules)
    return EdgeGradients(table, value.detach(), sources)


class _Run:
    """A forward pass in which every receiver reads (1 - m) c + m v, recording what is needed of it."""

    def __init__(
        self,
        model: Transformer,
        tokens: Tensor,
        values: Tensor | None,
        mix: float,
        rules: Rules,
        replace: Mapping[str, Tensor],
    ) -> None:
        self.model, self.mix, self.values, self.replace = model, mix, values, replace
        self.rules: Rules = rules
        self.sources: list[Tensor] = []
        self.readings: list[_Reading] = []
        self.at = model.positions(tokens.shape[-1])
        start = model.start(tokens, self.at).detach()
        self._written = torch.zeros_like(start)  # the sum of (1 - m) c_s + m v_s so far, and of the biases b_O
        self._add("embed", start.unsqueeze(0), replace.get("embed", start).requires_grad_())
        for index, layer in enumerate(model.layers):
            self._layer(f"L{index}", layer)
        self.final = self._written.view_as(self._written)

    def _add(self, name: str, separate: Tensor, together: Tensor) -> None:
        """Record sources [N, B, T, D], and let their sum reach the later receivers."""
        first = len(self.sources)
        self.sources += list(separate.detach())
        together = self.replace.get(name, together)
        if self.values is None:
            self._written = self._written + together
        else:
            carried = self.values[first : len(self.sources)].sum(0)
            self._written = self._written + (1 - self.mix) * together + self.mix * carried

    def _layer(self, name: str, layer: Layer) -> None:
        attn, resid = layer.attn, self._written
        x = _normalise(layer.norm1, resid, self.rules)
        heads = attn.config.n_heads  # with grouped queries each head has a K and a V input of its own
        slots = {
            "Q": attn.q(x, self.at),
            "K": attn.expand(attn.k(x, self.at), heads),
            "V": attn.expand(attn.v(x, self.at), heads),
        }
        pattern = attn.scores(slots["Q"], slots["K"], self.at, self.at).softmax(-1)
        z = attn.mix(pattern if self.rules == "gradient" else pattern.detach(), slots["V"])
        out = z.flatten(-2) @ attn.W_O.flatten(0, 1)
        with torch.no_grad():
            separate = torch.einsum("bthe,hed->hbtd", z, attn.W_O)
        self._add(f"{name}.attn", separate, out)
        if attn.b_O is not None:
            self._written = self._written + attn.b_O
        mlp_in = None
        if layer.mlp is not None:
            source = resid if layer.parallel else self._written
            mlp_in = source.view_as(source)
            written = _mlp(layer.mlp, _normalise(layer.norm2, mlp_in, self.rules), self.rules)
            self._add(f"{name}.mlp", written.unsqueeze(0), written)
        self.readings.append(_Reading(layer, resid.detach(), slots, mlp_in))

    def gradients(self, value: Tensor) -> list[Tensor | None]:
        """Of each layer's Q, K, V (after projection) and MLP input, and of what the logits read."""
        wanted: list[Tensor] = []
        for reading in self.readings:
            wanted += [*reading.slots.values(), *([] if reading.mlp_in is None else [reading.mlp_in])]
        return list(torch.autograd.grad(value, [*wanted, self.final], allow_unused=True))


def _contract(
    model: Transformer,
    run: _Run,
    gradients: list[Tensor | None],
    differences: Tensor,
    merged: bool,
    per_position: bool,
    rules: Rules,
) -> Tensor:
    columns: list[Tensor] = []
    heads, known = model.config.n_heads, 1
    found = iter(gradients)
    shape = run.sources[0].shape
    total = len(run.sources)

    def score(gradient: Tensor, before: int) -> None:
        """Scores of the receivers whose gradients are [R', B, T, D] from the first ``before`` sources."""
        if per_position:
            part = torch.einsum("sbtd,rbtd->srt", differences[:before], gradient)
        else:
            part = differences[:before].reshape(before, -1) @ gradient.reshape(len(gradient), -1).T
        pad = part.new_zeros(total - before, *part.shape[1:])
        columns.append(torch.cat([part, pad]))

    for reading in run.readings:
        by_slot = [
            _before_norm(reading, slot, next(found), run.at, rules, shape, heads) for slot in ("Q", "K", "V")
        ]  # three of [H, B, T, D]
        gradient = sum(by_slot[1:], by_slot[0]) if merged else torch.stack(by_slot, 1).flatten(0, 1)
        score(gradient, known)
        before_mlp, known = known, known + heads
        if reading.mlp_in is not None:
            gradient = next(found)
            gradient = torch.zeros(shape, dtype=differences.dtype) if gradient is None else gradient
            score(gradient.unsqueeze(0), before_mlp if reading.layer.parallel else known)
            known += 1
    last = next(found)
    assert last is not None
    score(last.unsqueeze(0), known)
    return torch.cat(columns, 1)


def _before_norm(
    reading: _Reading, slot: str, upstream: Tensor | None, at: Positions, rules: Rules, shape: torch.Size, heads: int
) -> Float[Tensor, "H B T D"]:
    """The gradient of each head's own Q, K or V input, before the norm."""
    if upstream is None:
        return torch.zeros((heads, *shape), dtype=reading.resid.dtype, device=reading.resid.device)
    attn, norm = reading.layer.attn, reading.layer.norm1
    if slot == "V" or not (attn.config.qk_norm or attn.config.positions == "rotary"):
        weight = {"Q": attn.W_Q, "K": attn.W_K, "V": attn.W_V}[slot]
        if len(weight) < heads:
            weight = weight.repeat_interleave(attn.config.group, 0)
        after = (upstream.permute(2, 0, 1, 3).flatten(1, 2) @ weight.transpose(1, 2)).unflatten(1, shape[:2])
    else:
        after = _through_projection(attn, slot, _normalise(norm, reading.resid, rules), upstream, at)
    return _norm_transposed(norm, reading.resid, after, rules)


def _through_projection(attn: Attention, slot: str, x: Tensor, upstream: Tensor, at: Positions) -> Tensor:
    """Pull the gradient of queries or keys back to each head's own (normalised) input, rotation and all."""
    with torch.enable_grad():
        own = x.detach().unsqueeze(-2).expand(*x.shape[:-1], attn.config.n_heads, x.shape[-1]).requires_grad_()
        read = attn.q if slot == "Q" else attn.k if slot == "K" else attn.v
        (gradient,) = torch.autograd.grad(read(own, at, per_head=True), own, upstream)
    return gradient.movedim(-2, 0)


def _norm_transposed(norm: Normalise, resid: Tensor, gradient: Tensor, rules: Rules) -> Tensor:
    r"""J^T g of the norm at ``resid``, for g [H, B, T, D].

    LayerNorm: (g w - mean(g w) - x mean(g w x)) / s with x the normalised stream and s its scale; RMSNorm: without the
    first mean; with linearised rules without the last term.
    """
    if norm.kind == "none" or norm.w is None:
        return gradient
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
    return gradient.mul_(rstd)


def _normalise(norm: Normalise, x: Tensor, rules: Rules) -> Tensor:
    if rules == "gradient" or norm.kind == "none" or norm.w is None:
        return norm(x)
    centred = x - x.mean(-1, keepdim=True) if norm.kind == "layer" else x
    out = centred * torch.rsqrt(centred.square().mean(-1, keepdim=True) + norm.eps).detach() * norm.w
    return out if norm.b is None else out + norm.b


def _unembed_linearised(model: Transformer, resid: Tensor) -> Tensor:
    logits = _normalise(model.final_norm, resid, "relp") @ model.W_U
    return logits if model.b_U is None else logits + model.b_U


def _mlp(mlp: FeedForward, x: Tensor, rules: Rules) -> Tensor:
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


def _ratio(post: Tensor, pre: Tensor) -> Tensor:
    """f(x)/x as a constant; 0 where x is 0."""
    pre = pre.detach()
    return torch.where(
        pre == 0, torch.zeros_like(pre), post.detach() / torch.where(pre == 0, torch.ones_like(pre), pre)
    )
