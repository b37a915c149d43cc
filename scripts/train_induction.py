"""Train induction-2l: 2 attention-only layers, 8 heads, shortformer positions, on repeated random sequences.

    python scripts/train_induction.py [--work DIR] [--out DIR]

About 2.5 CPU-minutes; a killed run goes on from its checkpoint in DIR and ends with the same bytes. ``--out`` is where
the subject is written (default: the package's assets).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from toulmin.subjects import Transformer, TransformerConfig, save_subject
from toulmin.tasks import (
    MarkovRepeats,
    Mixture,
    RepeatedTokens,
    accuracy,
    at_position,
    collate,
    induction_task,
    prefix_matching_score,
    previous_token_score,
    repeated_tokens,
    token_cross_entropy,
)
from toulmin.training import (
    Checkpoint,
    Logger,
    PrintProgress,
    Schedule,
    start_positions,
    token_batches,
    train_language_model,
)

NAME = "induction-2l"
ASSETS = Path(__file__).resolve().parent.parent / "src" / "toulmin" / "assets"
VOCABULARY, LENGTH, BATCH, SEED = 128, 64, 24, 2022
MARKOV = 0.25


def configuration() -> TransformerConfig:
    """The shape of the model."""
    return TransformerConfig(
        n_layers=2, d_model=128, n_heads=8, d_head=16, d_vocab=VOCABULARY, n_ctx=LENGTH, positions="shortformer"
    )


def source() -> Mixture:
    """Half uniform random segments repeated, half stretches of a random bigram language repeated."""
    return Mixture(
        [
            RepeatedTokens(LENGTH, VOCABULARY, SEED, shortest=8, longest=31, before=12),
            MarkovRepeats(LENGTH, VOCABULARY, SEED),
        ],
        [1 - MARKOV, MARKOV],
        SEED,
    )


@torch.no_grad()
def measure(model: Transformer, n: int = 256, seed: int = 7_000_003) -> dict[str, object]:
    """Loss on both halves of uniform repeated sequences, head scores, accuracy on the induction task."""
    half = (LENGTH - 1) // 2
    tokens = repeated_tokens(n, half, VOCABULARY, seed)
    logits, cache = model.run_with_cache(tokens, ["L0.pattern", "L1.pattern"])
    losses = token_cross_entropy(logits, tokens)
    prefix = [prefix_matching_score(cache[f"L{i}.pattern"], tokens) for i in range(2)]
    previous = [previous_token_score(cache[f"L{i}.pattern"]) for i in range(2)]
    batch = collate(induction_task(VOCABULARY, 32).generate(n, seed))
    right = accuracy(at_position(model(batch.clean), batch.at), batch.answers)
    return {
        "loss_first_half": round(float(losses[:, : half - 1].mean()), 4),
        "loss_second_half": round(float(losses[:, half:].mean()), 4),
        "induction_accuracy": round(float(right.mean()), 4),
        "prefix_matching": {f"L{i}": [round(float(s), 3) for s in scores] for i, scores in enumerate(prefix)},
        "previous_token": {f"L{i}": [round(float(s), 3) for s in scores] for i, scores in enumerate(previous)},
        "n_sequences": n,
    }


@torch.no_grad()
def held_out_loss(model: Transformer) -> float:
    """Mean loss on rows that training does not reach."""
    rows = source().rows(10**7, 256)
    return round(float(token_cross_entropy(model(rows), rows).mean()), 4)


def main() -> None:
    """Train, measure, write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--work", type=Path, default=Path("build/induction-2l"))
    arguments.add_argument("--out", type=Path, default=ASSETS / NAME)
    arguments.add_argument("--steps", type=int, default=2000)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    model = Transformer(configuration(), torch.Generator().manual_seed(SEED))
    assert model.W_pos is not None
    start_positions(model.W_pos, amplitude=1.5, fastest=2.0)
    schedule = Schedule(chosen.steps, 3e-3, "cosine", warmup=100, floor=0.02)
    data = {
        "kind": "repeated random sequences",
        "uniform": {"share": 1 - MARKOV, "segment": [8, 31], "before": [0, 12]},
        "markov": {"share": MARKOV, "branching": 8, "stretch": [8, 24]},
        "row_tokens": LENGTH,
        "bos": 0,
    }
    run = {"config": model.config.to_dict(), "data": data, "batch": BATCH, "seed": SEED, "steps": chosen.steps}
    train_language_model(
        model,
        token_batches(source(), BATCH),
        schedule,
        checkpoint=Checkpoint(chosen.work / "checkpoints", every=250, run=run),
        callbacks=[PrintProgress(every=50), Logger(chosen.work / "log.jsonl", every=25)],
    )
    card = {
        "name": NAME,
        "format": 1,
        "description": "2-layer attention-only transformer with induction heads",
        "licence": "MIT",
        "trained_by": "scripts/train_induction.py",
        "config": model.config.to_dict(),
        "data": data,
        "steps": chosen.steps,
        "batch": BATCH,
        "tokens": chosen.steps * BATCH * LENGTH,
        "optimizer": "AdamW 3e-3, warm-up 100, cosine to 2%, betas 0.9 0.98, weight decay 0.01, clip 1",
        "seed": SEED,
        "loss": held_out_loss(model.eval()),
        "loss_unit": "nats/token on 256 fresh rows of the same mixture",
        "measured": measure(model),
    }
    save_subject(chosen.out, model, card=card)
    print(json.dumps(card["measured"], indent=2))


if __name__ == "__main__":
    main()
