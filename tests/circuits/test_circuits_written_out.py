"""Score tables against a forward pass written out edge by edge from the weights alone, in float64 to 1e-12.

Every receiver reads an explicit sum over sources with a mask on each edge and position; the scores are gradients to
those masks. The rules of relevance patching are detached factors. Nothing of ``toulmin.patching`` is used.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from toulmin.circuits import CircuitRunner, Eap, EapIg, Relp
from toulmin.circuits.discovery import EapIgActivations, MaskGradient, MaskIg
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import Pair

V, T, D = 11, 5, 8
MODELS: dict[str, dict[str, Any]] = {
    "LayerNorm, GELU": {"norm": "layer", "activation": "gelu_tanh", "positions": "learned"},
    "LayerNorm, GELU, parallel": {"norm": "layer", "activation": "gelu_tanh", "positions": "learned", "parallel": True},
    "RMSNorm, gated, 2 of 4 K/V heads": {
        "norm": "rms", "activation": "silu", "gated": True, "positions": "rotary", "n_kv_heads": 2, "biases": (),
    },
    "RMSNorm, gated, 1 of 4 K/V heads": {
        "norm": "rms", "activation": "silu", "gated": True, "positions": "rotary", "n_kv_heads": 1,
    },
}  # fmt: skip


@pytest.fixture(params=MODELS)
def runner(request: Any) -> CircuitRunner:
    settings = {"n_layers": 2, "n_heads": 4, "d_model": D, "d_head": 4, "d_mlp": 10, "d_vocab": V, "n_ctx": T}
    generator = torch.Generator().manual_seed(0)
    model = Transformer(TransformerConfig(**{**settings, **MODELS[request.param]}), generator).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.4 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    rng, pairs = np.random.default_rng(1), []
    for at in (4, 2, 3):
        clean, other = (tuple(rng.integers(0, V, T).tolist()) for _ in range(2))
        right, wrong = rng.choice(V, 2, replace=False).tolist()
        pairs.append(Pair(clean, other, (right,), (wrong,), at=at))
    return CircuitRunner(model.requires_grad_(False), pairs, batch=2)


class WrittenOut:
    """One run on one prompt: ``logits`` [T, V], and what each source writes, ``written`` [S, T, D].

    :param mask: [S, R, T]; of each source a receiver reads y + m change(y, s), where y is what the source writes.
    :param replace: what a stage writes instead, by name: embed, L0.attn, L0.mlp.
    """

    def __init__(
        self,
        runner: CircuitRunner,
        tokens: tuple[int, ...],
        mask: Tensor | None = None,
        change: Callable[[Tensor, int], Tensor] = lambda y, s: torch.zeros_like(y),
        replace: dict[str, Tensor] | None = None,
        relp: str = "",
    ) -> None:
        self.graph, self.relp = runner.graph, relp  # what relevance patching treats patterns as, if it is done
        self.model: Any = runner.model
        self.mask, self.change, self.replace = mask, change, replace or {}
        self.written: list[Tensor] = []
        self.total = torch.zeros(T, D, dtype=torch.float64)  # of all stages so far, with biases b_O
        start = self.model.W_E[list(tokens)]
        self.write("embed", [start if self.model.W_pos is None else start + self.model.W_pos[:T]])
        for number, layer in enumerate(self.model.layers):
            before, known = self.total, len(self.written)
            heads = [self.head(number, head) for head in range(4)]
            if not self.model.config.parallel:
                self.write(f"L{number}.attn", heads)
                if layer.attn.b_O is not None:
                    self.total = self.total + layer.attn.b_O
                before, known = self.total, len(self.written)
                self.write(f"L{number}.mlp", [self.mlp(number, self.read(f"L{number}.mlp", before, known))])
            else:
                mlp = self.mlp(number, self.read(f"L{number}.mlp", before, known))
                self.write(f"L{number}.attn", heads)
                self.total = self.total + layer.attn.b_O
                self.write(f"L{number}.mlp", [mlp])
        final = self.norm(self.model.final_norm, self.read("logits", self.total, len(self.written)))
        self.logits = final @ self.model.W_U + (0 if self.model.b_U is None else self.model.b_U)

    def write(self, name: str, outputs: list[Tensor]) -> None:
        self.written += outputs
        self.total = self.total + self.replace.get(name, sum(outputs[1:], outputs[0]))

    def read(self, receiver: str, total: Tensor, known: int) -> Tensor:
        if self.mask is None:
            return total
        column = self.graph.receivers.index(receiver)
        for s in range(known):
            total = total + self.mask[s, column][:, None] * self.change(self.written[s], s)
        return total

    def norm(self, norm: Any, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if norm.kind == "layer" else x
        scale = (x.pow(2).mean(-1, keepdim=True) + norm.eps).sqrt()
        x = x / (scale.detach() if self.relp else scale) * norm.w
        return x if norm.b is None else x + norm.b

    def head(self, layer: int, head: int) -> Tensor:
        attn, norm = self.model.layers[layer].attn, self.model.layers[layer].norm1
        total, known, projected = self.total, len(self.written), {}
        for slot in "QKV":
            x = self.norm(norm, self.read(f"L{layer}.H{head}[{slot}]", total, known))
            own = head if slot == "Q" else head // (4 // attn.W_K.shape[0])
            bias = getattr(attn, f"b_{slot}")
            projected[slot] = x @ getattr(attn, f"W_{slot}")[own] + (0 if bias is None else bias[own])
        q, k, v = projected["Q"], projected["K"], projected["V"]
        if self.model.config.positions == "rotary":
            q, k = rotated(q), rotated(k)
        rows = []
        for t in range(T):
            weights = torch.stack([q[t] @ k[s] / 2.0 for s in range(t + 1)]).softmax(0)  # 2 is the root of d_head
            weights = weights.detach() if self.relp == "constant" else weights
            rows.append(sum((weights[s] * v[s] for s in range(1, t + 1)), weights[0] * v[0]))
        return torch.stack(rows) @ attn.W_O[head]

    def mlp(self, layer: int, resid: Tensor) -> Tensor:
        mlp, x = self.model.layers[layer].mlp, self.norm(self.model.layers[layer].norm2, resid)
        up = x @ mlp.W_in + (0 if mlp.b_in is None else mlp.b_in)
        pre = up if mlp.W_gate is None else x @ mlp.W_gate + (0 if mlp.b_gate is None else mlp.b_gate)
        if self.model.config.activation == "silu":
            acted = pre / (1 + torch.exp(-pre))
        else:
            acted = 0.5 * pre * (1 + torch.tanh(math.sqrt(2 / math.pi) * (pre + 0.044715 * pre**3)))
        if self.relp:
            acted = pre * (acted / pre).detach()
        if mlp.W_gate is not None:
            acted = 0.5 * (acted * up.detach() + acted.detach() * up) if self.relp else acted * up
        return acted @ mlp.W_out + (0 if mlp.b_out is None else mlp.b_out)


def rotated(x: Tensor) -> Tensor:
    """Dimensions i and i + 2 of position t turned by the angle t 10000^(-2i/4)."""
    out = x.clone()
    for t in range(T):
        for i in range(2):
            angle = t * 10000.0 ** (-2 * i / 4)
            out[t, i] = x[t, i] * math.cos(angle) - x[t, i + 2] * math.sin(angle)
            out[t, i + 2] = x[t, i + 2] * math.cos(angle) + x[t, i] * math.sin(angle)
    return out


def clean_and_other(runner: CircuitRunner, pair: Pair) -> tuple[Tensor, Tensor]:
    """What each source writes on the clean and on the counterfactual prompt, [S, T, D]."""
    clean, other = (torch.stack(WrittenOut(runner, tokens).written) for tokens in (pair.clean, pair.counterfactual))
    return clean, other


def drop(runner: CircuitRunner, pair: Pair, at: float = 0.0, **settings: Any) -> Tensor:
    """[S, R, T]: the gradient of minus the logit difference to the masks, all of which are ``at``."""
    mask = torch.full((*runner.graph.allowed.shape, T), at, dtype=torch.float64, requires_grad=True)
    logits = WrittenOut(runner, pair.clean, mask, **settings).logits[pair.scored]
    (gradient,) = torch.autograd.grad(logits[pair.wrong[0]] - logits[pair.answers[0]], mask)
    return gradient


def averaged(runner: CircuitRunner, table: Callable[[Pair], Tensor]) -> np.ndarray:
    return (sum((table(p) for p in runner.pairs[1:]), table(runner.pairs[0])) / len(runner.pairs)).numpy()


def check(runner: CircuitRunner, method: Any, expected: np.ndarray) -> None:
    assert np.abs(expected).max() > 1e-3
    placed = method.model_copy(update={"per_position": True}).scores(runner)
    np.testing.assert_allclose(placed.values, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(method.scores(runner).values, expected.sum(2), rtol=0, atol=1e-12)


def test_the_pass_written_out_is_the_models(runner: CircuitRunner) -> None:
    for pair in runner.pairs:
        expected = runner.model(torch.tensor([pair.clean]))[0]
        torch.testing.assert_close(WrittenOut(runner, pair.clean).logits, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("ablation", ["resample", "zero"])
def test_eap_and_its_forms_at_other_masks(runner: CircuitRunner, ablation: Any) -> None:
    def at(mix: float, relp: str = "") -> Callable[[Pair], Tensor]:
        def table(pair: Pair) -> Tensor:
            other = clean_and_other(runner, pair)[1] if ablation == "resample" else torch.zeros(11, T, D)
            return drop(runner, pair, mix, change=lambda y, s: other[s] - y, relp=relp)

        return table

    check(runner, Eap(ablation=ablation), averaged(runner, at(0.0)))
    for patterns in ("constant", "gradient"):
        method = Relp.model_validate({"ablation": ablation, "patterns": patterns})
        check(runner, method, averaged(runner, at(0.0, relp=patterns)))
    check(runner, MaskGradient(mix=0.3, ablation=ablation), averaged(runner, at(0.3)))
    points = [1.0, 2 / 3, 1 / 3, 0.0]
    mean = sum(averaged(runner, at(mix)) for mix in points) / 4
    check(runner, MaskIg(steps=3, ablation=ablation), np.asarray(mean))


def test_eap_is_a_finite_difference(runner: CircuitRunner) -> None:
    found, shape = Eap(per_position=True).scores(runner).values, (*runner.graph.allowed.shape, T)
    rng = np.random.default_rng(0)
    for place in rng.permutation(np.argwhere(np.abs(found) > 1e-3))[:6]:
        slope = 0.0
        for pair in runner.pairs:
            other = clean_and_other(runner, pair)[1]
            for step in (1e-5, -1e-5):
                mask = torch.zeros(shape, dtype=torch.float64)
                mask[tuple(place)] = step
                run = WrittenOut(runner, pair.clean, mask, change=lambda y, s, o=other: o[s] - y)
                logits = run.logits[pair.scored]
                slope += float(logits[pair.wrong[0]] - logits[pair.answers[0]]) / (2 * step) / len(runner.pairs)
        assert found[tuple(place)] == pytest.approx(slope, abs=1e-7)


#: alpha, the share of the way from counterfactual to clean
POINTS: dict[Any, list[float]] = {
    "counterfactual": [0.0, 1 / 3, 2 / 3],
    "clean": [1 / 3, 2 / 3, 1.0],
    "both": [0.0, 1 / 3, 2 / 3, 1.0],
    "midpoints": [1 / 6, 1 / 2, 5 / 6],
}


@pytest.mark.parametrize("endpoints", [None, *POINTS])
def test_eap_ig_over_inputs(runner: CircuitRunner, endpoints: Any) -> None:
    points = POINTS[endpoints or "counterfactual"]

    def table(pair: Pair) -> Tensor:
        clean, other = clean_and_other(runner, pair)
        parts = [
            drop(
                runner,
                pair,
                change=lambda y, s: (other - clean)[s],
                replace={"embed": other[0] + alpha * (clean[0] - other[0])},
            )
            for alpha in points
        ]
        return torch.stack(parts).mean(0)

    method = EapIg(steps=3) if endpoints is None else EapIg(steps=3, endpoints=endpoints)
    check(runner, method, averaged(runner, table))


@pytest.mark.parametrize(("endpoints", "ablation"), [(None, "resample"), ("midpoints", "zero")])
def test_eap_ig_over_activations(runner: CircuitRunner, endpoints: Any, ablation: Any) -> None:
    points = POINTS[endpoints or "clean"]
    groups = {"embed": [0], "L0.attn": [1, 2, 3, 4], "L0.mlp": [5], "L1.attn": [6, 7, 8, 9], "L1.mlp": [10]}

    def table(pair: Pair) -> Tensor:
        clean, other = clean_and_other(runner, pair)
        other = other if ablation == "resample" else torch.zeros_like(clean)
        whole = torch.zeros(*runner.graph.allowed.shape, T, dtype=torch.float64)
        for name, rows in groups.items():
            for alpha in points:
                moved = (other[rows] + alpha * (clean[rows] - other[rows])).sum(0)
                part = drop(runner, pair, change=lambda y, s: (other - clean)[s], replace={name: moved})
                whole[rows] += part[rows] / len(points)
        return whole

    settings = {} if endpoints is None else {"endpoints": endpoints}
    check(runner, EapIgActivations(steps=3, ablation=ablation, **settings), averaged(runner, table))
