"""A second implementation of a circuit's forward pass, written from the formulas and kept apart from the package.

It reads a Transformer's parameters and nothing else: no method of the model, no module of ``toulmin.patching``. Heads
are computed one by one, and every receiver sums what its edges carry, so the gradient of each mask comes from autograd.
With ``relp`` the constants of relevance patching (Jafari et al. 2025) are detached: the scale of a norm, the pattern,
f(x)/x of an activation; each factor of a gate takes half. With ``patterns`` the pattern is not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from toulmin.subjects import Transformer


class Independent:
    """The circuits of ``model``: LayerNorm or RMSNorm, GELU, ReLU or gated SiLU, grouped queries, learned or rotary."""

    def __init__(self, model: Transformer, *, relp: bool = False, patterns: bool = False) -> None:
        self.model, self.config, self.relp, self.patterns = model, model.config, relp, patterns
        c = model.config
        self.sources, self.receivers = ["embed"], list[str]()
        self.readable: dict[str, int] = {}
        for layer in range(c.n_layers):
            for head in range(c.n_heads):
                for slot in "QKV":
                    self._receiver(f"L{layer}.H{head}[{slot}]")
            before = len(self.sources)
            self.sources += [f"L{layer}.H{head}" for head in range(c.n_heads)]
            if c.d_mlp:
                self._receiver(f"L{layer}.mlp", before if c.parallel else len(self.sources))
                self.sources.append(f"L{layer}.mlp")
        self._receiver("logits")

    def _receiver(self, name: str, count: int | None = None) -> None:
        self.receivers.append(name)
        self.readable[name] = len(self.sources) if count is None else count

    def run(
        self, tokens: Tensor, values: Tensor, mask: Tensor, replace: Mapping[str, Tensor] | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Logits [B, T, V] under the mask [S, R], and what each source wrote.

        :param replace: by name of a stage, what its sources are moved to together, their differences unchanged.
        """
        c, model, length = self.config, self.model, tokens.shape[1]
        embedded = model.W_E[tokens]
        if c.positions == "learned":
            assert model.W_pos is not None
            embedded = embedded + model.W_pos[:length]
        written: dict[str, Tensor] = {}
        shift = replace or {}
        written["embed"] = shift.get("embed", embedded)

        def read(receiver: str, biases: int) -> Tensor:
            column, total = self.receivers.index(receiver), torch.zeros(c.d_model, dtype=embedded.dtype)
            for number, name in enumerate(self.sources[: self.readable[receiver]]):
                m = mask[number, column]
                total = total + (1 - m) * written[name] + m * values[number]
            for layer in range(0 if c.post_norms else biases):
                b_o = model.layers[layer].attn.b_O
                total = total if b_o is None else total + b_o
            return total

        for number in range(c.n_layers):
            made = {f"L{number}.H{head}": self._head(number, head, read, length) for head in range(c.n_heads)}
            if c.post_norms:
                made = self._shares(number, made)
            stage = f"L{number}.attn"
            if stage in shift:  # heads enter only as their sum: the first head is moved by what the sum is moved
                first = f"L{number}.H0"
                made[first] = made[first] + shift[stage] - sum(made.values())
            if c.d_mlp and c.parallel:
                made[f"L{number}.mlp"] = self._mlp(number, read(f"L{number}.mlp", number))
            written |= made
            if c.d_mlp and not c.parallel:
                written[f"L{number}.mlp"] = self._mlp(number, read(f"L{number}.mlp", number + 1))
            if f"L{number}.mlp" in shift:
                written[f"L{number}.mlp"] = shift[f"L{number}.mlp"]
        final = self._norm(model.final_norm, read("logits", c.n_layers))
        logits = final @ model.W_U
        return (logits if model.b_U is None else logits + model.b_U), written

    def _norm(self, norm: object, x: Tensor) -> Tensor:
        kind, w, b, eps = (getattr(norm, name) for name in ("kind", "w", "b", "eps"))
        if kind == "none":
            return x
        x = x - x.sum(-1, keepdim=True) / x.shape[-1] if kind == "layer" else x
        scale = 1 / ((x * x).sum(-1, keepdim=True) / x.shape[-1] + eps).sqrt()
        x = x * (scale.detach() if self.relp else scale) * w
        return x if b is None else x + b

    def _shares(self, number: int, results: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Heads divided by the scale of their sum; b_O belongs to them in equal parts. RMSNorm only."""
        attn, norm = self.model.layers[number].attn, self.model.layers[number].post_norm1
        assert norm.kind == "rms"
        assert norm.w is not None
        weight = norm.w
        bias = 0.0 if attn.b_O is None else attn.b_O / self.config.n_heads
        parts = {name: result + bias for name, result in results.items()}
        whole = torch.stack(list(parts.values())).sum(0)
        scale = ((whole * whole).sum(-1, keepdim=True) / whole.shape[-1] + norm.eps).sqrt()
        return {name: weight * part / (scale.detach() if self.relp else scale) for name, part in parts.items()}

    def _joint_scale(self, slot: str, number: int, x: Tensor) -> Tensor:
        """The root mean square of the queries (or keys) that all heads would have if they read x."""
        attn = self.model.layers[number].attn
        norm = attn.q_norm if slot == "Q" else attn.k_norm
        assert norm is not None
        total, count = torch.zeros(x.shape[:-1], dtype=x.dtype), 0
        bias = getattr(attn, f"b_{slot}")
        for index, weight in enumerate(getattr(attn, f"W_{slot}")):
            out = x @ weight if bias is None else x @ weight + bias[index]
            total, count = total + (out * out).sum(-1), count + out.shape[-1]
        return (total / count + norm.eps).sqrt()

    def _head(self, number: int, head: int, read: Callable[[str, int], Tensor], length: int) -> Tensor:
        attn, norm, c = self.model.layers[number].attn, self.model.layers[number].norm1, self.config
        kv = head * c.kv_heads // c.n_heads  # consecutive query heads share a key/value head
        projected = []
        for slot, index in (("Q", head), ("K", kv), ("V", kv)):
            x = self._norm(norm, read(f"L{number}.H{head}[{slot}]", number))
            out = x @ getattr(attn, f"W_{slot}")[index]
            bias = getattr(attn, f"b_{slot}")
            out = out if bias is None else out + bias[index]
            if c.qk_norm_joint and slot != "V":
                weights = getattr(attn, f"{slot.lower()}_norm").w.view(-1, c.d_head)
                out = weights[index] * out / self._joint_scale(slot, number, x).unsqueeze(-1)
            projected.append(out if slot == "V" or c.positions != "rotary" else rotated(out, c.rotary_base))
        q, k, v = projected
        scores = torch.einsum("bte,bse->bts", q, k) / math.sqrt(c.d_head)
        future = torch.ones(length, length, dtype=torch.bool).triu(1)
        weights = scores.masked_fill(future, -math.inf).exp()
        pattern = weights / weights.sum(-1, keepdim=True)
        z = torch.einsum("bts,bse->bte", pattern.detach() if self.relp and not self.patterns else pattern, v)
        return z @ attn.W_O[head]

    def _mlp(self, number: int, x: Tensor) -> Tensor:
        mlp = self.model.layers[number].mlp
        assert mlp is not None
        x = self._norm(self.model.layers[number].norm2, x)
        up = x @ mlp.W_in if mlp.b_in is None else x @ mlp.W_in + mlp.b_in
        if mlp.W_gate is None:
            hidden = self._act(up)
        else:
            gate = x @ mlp.W_gate if mlp.b_gate is None else x @ mlp.W_gate + mlp.b_gate
            act = self._act(gate)
            hidden = act * up if not self.relp else (act * up.detach() + act.detach() * up) / 2
        out = hidden @ mlp.W_out
        out = out if mlp.b_out is None else out + mlp.b_out
        return self._norm(self.model.layers[number].post_norm2, out)

    def _act(self, x: Tensor) -> Tensor:
        slope = {
            "gelu": lambda: (1 + torch.erf(x / math.sqrt(2))) / 2,
            "silu": lambda: 1 / (1 + torch.exp(-x)),
            "relu": lambda: (x > 0).to(x.dtype),
        }[self.config.activation]()
        return x * (slope.detach() if self.relp else slope)


def rotated(x: Tensor, base: float) -> Tensor:
    """Rotary positions by complex numbers: dimension i of the first half and of the second half make one number."""
    length, half = x.shape[-2], x.shape[-1] // 2
    angles = torch.arange(length)[:, None] * base ** (-torch.arange(half, dtype=torch.float64) / half)
    turned = torch.complex(x[..., :half], x[..., half:]) * torch.polar(torch.ones_like(angles), angles)
    return torch.cat([turned.real, turned.imag], -1)
