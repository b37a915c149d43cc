"""Train story-4l: 4 layers, d=128, 8 heads, on storyworld mixed with repeated random sequences.

python scripts/train_story.py --work DIR [--steps N]      trains, resumes after a kill
python scripts/train_story.py --work DIR --measure        measures the newest checkpoint
python scripts/train_story.py --work DIR --embed          writes it to src/toulmin/assets/story-4l
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import nn

from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import (
    Mixture,
    RepeatedTokens,
    Stories,
    accuracy,
    at_position,
    batch_pairs,
    cross_entropy,
    prefix_matching_score,
    repeated_tokens,
    token_cross_entropy,
)
from toulmin.tasks.storyworld import story_tasks, story_vocabulary
from toulmin.training import (
    Batches,
    Checkpoint,
    Evaluate,
    Logger,
    Progress,
    Schedule,
    interleave,
    start_positions,
    train_language_model,
)

NAME = "story-4l"
LENGTH, BATCH, SEED = 64, 16, 20261122
SHORT, SHORT_BATCH = 24, 40
REPEATED = 0.4


def configuration() -> TransformerConfig:
    """The shape of the model."""
    return TransformerConfig(
        n_layers=4,
        d_model=128,
        n_heads=8,
        d_head=16,
        d_vocab=len(story_vocabulary()),
        n_ctx=LENGTH,
        d_mlp=512,
        positions="shortformer",
    )


def data() -> dict[str, object]:
    """What the model is trained on, for its card and its checkpoints."""
    return {
        "kind": "storyworld and repeated random sequences",
        "turns": ["short", "short", "long"],
        "short": {"row_tokens": SHORT, "rows": SHORT_BATCH, "stories": 1.0},
        "long": {"row_tokens": LENGTH, "rows": BATCH, "stories": 1 - REPEATED, "repeated": REPEATED},
        "bos": 0,
    }


def batches() -> Batches[torch.Tensor]:
    """In turn: two batches of short rows (a sentence or two), one of long rows, stories mixed with repeated tokens."""
    vocabulary = len(story_vocabulary())
    short = Stories(SHORT, SEED + 1, introduced=0.05)
    repeats = RepeatedTokens(LENGTH, vocabulary, SEED, shortest=5, longest=28, before=8, first_token=2)
    long = Mixture([Stories(LENGTH, SEED), repeats], [1 - REPEATED, REPEATED], SEED)
    return interleave([(short, SHORT_BATCH), (short, SHORT_BATCH), (long, BATCH)])


def measure(model: nn.Module, n: int = 256, seed: int = 999_331) -> dict[str, float]:
    """Accuracy of every task (top-1 of the vocabulary; p(right) and choice where several are right), loss, heads."""
    assert isinstance(model, Transformer)
    found: dict[str, float] = {}
    for name, task in story_tasks().items():
        if name == "two_name_abc":
            continue
        for split in task.splits:
            right, choice, loss = [], [], []
            for batch in batch_pairs(task.generate(n, seed, split), 128):
                logits = at_position(model(batch.clean), batch.at)
                right.append(accuracy(logits, batch.answers))
                choice.append(accuracy(logits, batch.answers, batch.wrong))
                loss.append(cross_entropy(logits, batch.answers))
            found[f"{name}.{split}.accuracy"] = float(torch.cat(right).mean())
            found[f"{name}.{split}.choice"] = float(torch.cat(choice).mean())
            found[f"{name}.{split}.p_right"] = float(torch.cat(loss).neg().exp().mean())
    tokens = repeated_tokens(32, 31, len(story_vocabulary()), seed, first_token=2)
    layers = model.config.n_layers
    logits, cache = model.run_with_cache(tokens, [f"L{i}.pattern" for i in range(layers)])
    scores = torch.stack([prefix_matching_score(cache[f"L{i}.pattern"], tokens) for i in range(layers)])
    best = int(scores.argmax())
    found["prefix_matching"] = float(scores.max())
    found["prefix_matching.layer"], found["prefix_matching.head"] = divmod(best, model.config.n_heads)
    losses = token_cross_entropy(logits, tokens)
    found["repeated.first"], found["repeated.second"] = float(losses[:, :30].mean()), float(losses[:, 31:].mean())
    held_out = Stories(LENGTH, seed).rows(0, 64)
    found["story.loss"] = float(token_cross_entropy(model(held_out), held_out).mean())
    return found


def main() -> None:
    """Train, measure or embed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=8000)
    arguments.add_argument("--cooldown", type=int, default=1600)
    arguments.add_argument("--lr", type=float, default=2e-3)
    arguments.add_argument("--measure", action="store_true")
    arguments.add_argument("--embed", action="store_true")
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    model = Transformer(configuration(), torch.Generator().manual_seed(SEED))
    assert model.W_pos is not None
    start_positions(model.W_pos, amplitude=1.5, fastest=2.0)
    # the end and its cooldown are not part of `run`: until the cooldown a longer and a shorter run are the same
    run = {"config": model.config.to_dict(), "lr": chosen.lr, "seed": SEED, "data": data()}
    folder = Checkpoint(chosen.work / "checkpoints", every=200, keep=2, run=run)
    started = time.process_time()
    train_language_model(
        model,
        batches(),
        Schedule(chosen.steps, chosen.lr, "constant", warmup=200, cooldown=chosen.cooldown, floor=0.02),
        checkpoint=folder,
        callbacks=[
            Progress(every=50),
            Logger(chosen.work / "log.jsonl", every=50),
            Evaluate(measure, chosen.work / "measured.jsonl", every=250),
        ],
    )
    print(json.dumps({"cpu_seconds": time.process_time() - started}))


if __name__ == "__main__":
    main()
