"""Train a one-layer transformer without norm on addition modulo a prime (Nanda et al. 2023, Bushnaq et al. 2024).

    python scripts/train_modular_addition.py --seed 2 --out DIR [--modulus 113] [--width 128] [--steps 12000]

Tokens a, b and "=" (the modulus itself); the answer is read at the last position. Full batches of a split (the same
for every seed, as in the reference), AdamW with weight decay 1. Only the last position reads, and what it reads is an
embedding, so keys and values are computed once for each token instead of once for each pair. About 25 CPU-minutes at
the default size, 2 with ``--modulus 59 --width 64 --share 0.4 --steps 6000``; a killed run goes on from its checkpoint.
``basis.interaction`` reads the folder as ``dir:DIR``. The embedded ``addition-23`` is that of
``--seed 0 --modulus 23 --width 32 --share 0.7 --steps 2000``.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from toulmin.subjects import FeedForward, Transformer, TransformerConfig, save_subject
from toulmin.training import Checkpoint, IndexedBatches, PrintProgress, Schedule, State, fit, gradient_step

RATE, DECAY = 1e-3, 1.0


def configuration(modulus: int, width: int) -> TransformerConfig:
    """The shape of the published checkpoints, where the width is 128."""
    return TransformerConfig(
        n_layers=1,
        d_model=width,
        n_heads=4,
        d_head=width // 4,
        d_vocab=modulus + 1,
        n_ctx=3,
        d_mlp=4 * width,
        norm="none",
        activation="relu",
    )


def last_logits(model: Transformer, pairs: Tensor) -> Tensor:
    """Logits [N, V] at the last position for pairs [N, 2] of numbers."""
    layer, modulus = model.layers[0], model.W_E.shape[0] - 1
    attn, mlp = layer.attn, layer.mlp
    assert model.W_pos is not None
    assert isinstance(mlp, FeedForward)
    last = model.W_E[modulus] + model.W_pos[2]

    def project(x: Tensor, letter: str) -> Tensor:
        """[n, D] to [H, n, E]."""
        weight, bias = getattr(attn, f"W_{letter}"), getattr(attn, f"b_{letter}")
        out = x @ weight
        return out if bias is None else out + bias[:, None]

    q = project(last[None], "Q")  # [H, 1, E]
    rows = [model.W_E[:modulus] + model.W_pos[0], model.W_E[:modulus] + model.W_pos[1], last[None]]
    scores = [(q @ project(row, "K").mT)[:, 0] * attn.config.scale for row in rows]  # [H, n]
    values = [project(row, "V") for row in rows]  # [H, n, E]
    a, b = pairs.unbind(1)
    pattern = torch.stack([scores[0][:, a], scores[1][:, b], scores[2].expand(-1, len(a))], -1).softmax(-1)
    z = pattern[..., :1] * values[0][:, a] + pattern[..., 1:2] * values[1][:, b] + pattern[..., 2:] * values[2]
    resid = last + (z.transpose(0, 1).flatten(1) @ attn.W_O.flatten(0, 1))
    resid = resid if attn.b_O is None else resid + attn.b_O
    out = (resid + mlp(resid)) @ model.W_U
    return out if model.b_U is None else out + model.b_U


class TestLoss:
    """Loss and accuracy on the pairs held out, in the log."""

    every = 500

    def __init__(self, pairs: Tensor, answers: Tensor) -> None:
        self.pairs, self.answers = pairs, answers

    def on_start(self, state: State, steps: int) -> None:
        """Nothing."""

    @torch.no_grad()
    def on_step(self, state: State, metrics: Mapping[str, float]) -> None:
        """One line."""
        assert isinstance(state.module, Transformer)
        logits = last_logits(state.module, self.pairs)
        loss = functional.cross_entropy(logits, self.answers)
        right = (logits.argmax(-1) == self.answers).double().mean()
        print(f"step {state.step}: train {metrics['loss']:.3g}, held out {loss:.3g}, {right:.4f} right", flush=True)

    def on_end(self, state: State) -> None:
        """Nothing."""


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--modulus", type=int, default=113)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--share", type=float, default=0.3, help="of all pairs, those trained on")
    given = parser.parse_args()
    modulus = given.modulus
    torch.manual_seed(given.seed)
    model = Transformer(configuration(modulus, given.width), torch.Generator().manual_seed(given.seed))
    pairs = torch.cartesian_prod(torch.arange(modulus), torch.arange(modulus))
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))
    cut = int(given.share * len(pairs))
    answers = pairs.sum(1) % modulus
    train, test = order[:cut], order[cut:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98))

    def loss(state: State, batch: tuple[Tensor, Tensor]) -> Tensor:
        assert isinstance(state.module, Transformer)
        return functional.cross_entropy(last_logits(state.module, batch[0]).double(), batch[1])

    run = {"seed": given.seed, "modulus": modulus, "lr": RATE, "weight_decay": DECAY, "share": given.share}
    metrics = fit(
        gradient_step(loss, clip=None),
        State(model, optimizer),
        IndexedBatches(lambda _: (pairs[train], answers[train])),
        Schedule(given.steps, RATE, kind="constant", warmup=10),
        Checkpoint(given.work or given.out / "work", run=run, every=500),
        [TestLoss(pairs[test], answers[test]), PrintProgress(every=100)],
    )
    with torch.no_grad():
        right = (last_logits(model, pairs[test]).argmax(-1) == answers[test]).double().mean()
    card = {
        **run,
        "name": given.out.name,
        "description": "a + b modulo a prime: one layer, 4 heads, no norm; reads a, b and the modulus",
        "licence": "MIT",
        "split_seed": 0,
        "steps": given.steps,
        "train_loss": metrics.get("loss"),
        "held_out_accuracy": round(float(right), 4),
    }
    save_subject(given.out, model, card=card)


if __name__ == "__main__":
    main()
