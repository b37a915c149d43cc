"""Train story-4l: 4 layers, d=128, 8 heads, on storyworld mixed with repeated random sequences.

    python scripts/train_story.py --work DIR [--steps N]      train; a killed run goes on from its checkpoint
    python scripts/train_story.py --work DIR --measure        measure the newest checkpoint
    python scripts/train_story.py --work DIR --embed          and write it to src/toulmin/assets/story-4l

Tokens that the latent factors decide (who receives, he or she, the repeated item) weigh more in the loss than tokens
that nothing decides (which object is found). With equal weights the same model learns the templates and little else in
the same time.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import torch
from torch import nn

from toulmin.subjects import Tokenizer, Transformer, TransformerConfig, load, save_subject
from toulmin.tasks import (
    RepeatedTokens,
    Stories,
    accuracy,
    at_position,
    batch_pairs,
    copying_rows,
    cross_entropy,
    prefix_matching_score,
    repeated_tokens,
    token_cross_entropy,
)
from toulmin.tasks.story_tasks import story_tasks
from toulmin.tasks.storyworld import HELD_OUT_NAMES, NAMES, ROLES, story_tokenizer, story_vocabulary
from toulmin.tasks.storyworld.templates import MORE_PRONOUNS
from toulmin.training import (
    Checkpoint,
    Evaluate,
    IndexedBatches,
    Logger,
    PrintProgress,
    Schedule,
    generator_at,
    start_positions,
    train_language_model,
)

NAME = "story-4l"
ASSETS = Path(__file__).resolve().parent.parent / "src" / "toulmin" / "assets"
SEED = 20261122
LENGTH, BATCH = 64, 16
SHORT, SHORT_BATCH = 24, 40
#: from which step on, which kinds of batch take turns: first who receives and he or she, then induction as well
PHASES = [
    (0, ["short", "short", "repeated", "short", "short", "long"]),
    (1000, ["repeated", "short", "repeated", "long"]),
    (1200, ["repeated", "short", "names", "long"]),
    (3600, ["short", "long", "names", "short", "short", "repeated"]),
    (4000, ["scrambled", "short", "names", "scrambled", "long", "scrambled", "short", "repeated"]),
    (5400, ["scrambled", "short", "short", "long", "names", "short", "short", "repeated"]),
    (7000, ["pronouns", "short", "scrambled", "pronouns", "long", "names", "short", "repeated"]),
]
SMALL = ("short", "scrambled", "pronouns")  # the kinds whose rows are short
WEIGHTS = {"recipient": 8.0, "pronoun": 6.0, "owner": 4.0, "repeated": 3.0, "word": 0.6, "year": 0.6}
OTHER, FRESH, COPIED = 0.3, 0.2, 2.0
EMBEDDED = 0.5  # standard deviation of W_E at the start: from the usual small one the MLPs drown the names
LR, WEIGHT_DECAY = 1.5e-3, 0.05
STEPS, COOLDOWN = 7400, 1800
WATCHED_SEED, FRESH_SEED = 999_331, 424_243  # of the pairs measured while training, and of those on the card


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
        "turns_from_step": PHASES,
        "short": {"row_tokens": SHORT, "rows": SHORT_BATCH},
        "long": {"row_tokens": LENGTH, "rows": BATCH},
        "repeated": {"row_tokens": LENGTH, "rows": BATCH, "segment": [5, 28], "before": [0, 8]},
        "names": "as repeated, of the 64 names only, the held-out ones too",
        "scrambled": "as short, every name of a row exchanged for a random word that is no held-out name",
        "pronouns": "as short, of the sentences MORE_PRONOUNS",
        "loss_weights": {**WEIGHTS, "other": OTHER, "repeated_tokens": [FRESH, COPIED]},
        "bos": 0,
    }


def kind_of(i: int) -> str:
    """What batch i is made of."""
    turns = next(turns for start, turns in reversed(PHASES) if i >= start)
    return turns[i % len(turns)]


def tokens_until(step: int) -> int:
    """Tokens of the batches before ``step``."""
    sizes = dict.fromkeys(SMALL, SHORT * SHORT_BATCH)
    return sum(sizes.get(kind_of(i), LENGTH * BATCH) for i in range(step))


def scramble(tokens: torch.Tensor, i: int) -> torch.Tensor:
    """Exchange the names of each row for other words, the same one for the same name.

    Who is named twice is then a question about any word, so that the answer does not depend on having met the name.
    """
    words = story_vocabulary()
    others = torch.tensor([k for k, word in enumerate(words) if k > 1 and word not in HELD_OUT_NAMES])
    names = range(words.index(NAMES[0]), words.index(NAMES[0]) + len(NAMES))
    rng, out = generator_at(SEED + 4, i), tokens.clone()
    for row, new in zip(tokens, out, strict=True):
        present = sorted(set(row.tolist()) & set(names))
        drawn = others[torch.from_numpy(rng.choice(len(others), len(present), replace=False))]
        for name, word in zip(present, drawn, strict=True):
            new[row == name] = word
    return out


def batches() -> IndexedBatches[tuple[torch.Tensor, torch.Tensor]]:
    """Batch i: tokens and their weights; its kind takes its turn in the phase that i falls in."""
    words = story_vocabulary()
    first = words.index(NAMES[0])
    assert words[first : first + len(NAMES)] == NAMES
    kinds = {
        "short": Stories(SHORT, SEED + 1, introduced=0.05),
        "scrambled": Stories(SHORT, SEED + 3, introduced=0.05),
        "pronouns": Stories(SHORT, SEED + 5, sentences=MORE_PRONOUNS),
        "long": Stories(LENGTH, SEED),
        "repeated": RepeatedTokens(LENGTH, len(words), SEED, 5, 28, before=8, first_token=2),
        "names": RepeatedTokens(LENGTH, first + len(NAMES), SEED + 2, 5, 28, before=8, first_token=first),
    }
    by_role = torch.tensor([WEIGHTS.get(role, OTHER) for role in ROLES])

    def make(i: int) -> tuple[torch.Tensor, torch.Tensor]:
        kind = kind_of(i)
        source, size = kinds[kind], SHORT_BATCH if kind in SMALL else BATCH
        if isinstance(source, Stories):
            tokens, roles = source.labelled(i * size, size)
            if kind == "scrambled":
                return scramble(tokens, i), by_role[roles] * (roles != ROLES.index("pronoun"))
            return tokens, by_role[roles]
        tokens = source.rows(i * size, size)
        weights = torch.full(tokens.shape, FRESH)
        weights[:, 1:] += (COPIED - FRESH) * copying_rows(tokens)[:, :-1]
        return tokens, weights

    return IndexedBatches(make)


@torch.no_grad()
def measure(model: nn.Module, n: int = 256, seed: int = WATCHED_SEED) -> dict[str, float]:
    """Accuracy of every task (top-1 of the vocabulary; choice of right and wrong ids; p(right)), losses, heads."""
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
    tokens = repeated_tokens(n // 8, (LENGTH - 1) // 2, len(story_vocabulary()), seed, first_token=2)
    layers = model.config.n_layers
    logits, cache = model.run_with_cache(tokens, [f"L{i}.pattern" for i in range(layers)])
    scores = torch.stack([prefix_matching_score(cache[f"L{i}.pattern"], tokens) for i in range(layers)])
    found["prefix_matching"] = float(scores.max())
    found["prefix_matching.layer"], found["prefix_matching.head"] = divmod(int(scores.argmax()), model.config.n_heads)
    losses, half = token_cross_entropy(logits, tokens), (LENGTH - 1) // 2
    found["repeated.first"] = float(losses[:, : half - 1].mean())
    found["repeated.second"] = float(losses[:, half:].mean())
    held_out = Stories(LENGTH, seed).rows(0, 64)
    found["story.loss"] = float(token_cross_entropy(model(held_out), held_out).mean())
    return found


def embed(model: Transformer, card: dict[str, object], out: Path) -> dict[str, float]:
    """Write the subject in float16, and measure what was written."""
    tokenizer = Tokenizer(story_tokenizer(), bos=0)
    save_subject(out, model, tokenizer, card, torch.float16)
    found = {name: round(value, 4) for name, value in measure(load(f"dir:{out}").model, 1000, FRESH_SEED).items()}
    card = {**card, "loss": found["story.loss"], "loss_unit": "nats/token on 64 fresh stories of 64 words"}
    save_subject(
        out, model, tokenizer, {**card, "measured": found, "measured_on": "1000 pairs a task and split"}, torch.float16
    )
    return found


def main() -> None:
    """Train, measure or embed."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=STEPS)
    arguments.add_argument("--cooldown", type=int, default=COOLDOWN)
    arguments.add_argument("--measure", action="store_true")
    arguments.add_argument("--embed", action="store_true")
    arguments.add_argument("--out", type=Path, default=ASSETS / NAME)
    chosen = arguments.parse_args()
    torch.set_num_threads(1)
    model = Transformer(configuration(), torch.Generator().manual_seed(SEED))
    assert model.W_pos is not None
    start_positions(model.W_pos, amplitude=1.5, fastest=2.0)
    with torch.no_grad():
        model.W_E.mul_(EMBEDDED / model.W_E.std())
    # the end and its cooldown are not part of `run`: until the cooldown, a longer and a shorter run are the same
    run = {"config": model.config.to_dict(), "lr": LR, "decay": WEIGHT_DECAY, "seed": SEED, "data": data()}
    if chosen.measure or chosen.embed:
        step = Checkpoint(chosen.work / "checkpoints", run=run).load_module(model)
        if step is None:
            raise SystemExit(f"no checkpoint in {chosen.work}")
        if chosen.measure:
            print(json.dumps({"step": step, **measure(model)}, indent=2))
            return
        card = {
            "name": NAME,
            "format": 1,
            "description": "4-layer transformer on storyworld: two-name sentences, pronouns, years, lists, induction",
            "licence": "MIT",
            "trained_by": "scripts/train_story.py",
            "config": model.config.to_dict(),
            "data": data(),
            "steps": step,
            "tokens": tokens_until(step),
            "optimizer": f"AdamW {LR}, warm-up 100, constant, linear cool-down over the last {chosen.cooldown} steps "
            f"to 2%, betas 0.9 0.98, weight decay {WEIGHT_DECAY}, clip 1",
            "seed": SEED,
            "stored": "float16",
        }
        print(json.dumps(embed(model.eval(), card, chosen.out), indent=2))
        return
    started = time.process_time()
    train_language_model(
        model,
        batches(),
        Schedule(chosen.steps, LR, "constant", warmup=100, cooldown=chosen.cooldown, floor=0.02),
        weight_decay=WEIGHT_DECAY,
        checkpoint=Checkpoint(chosen.work / "checkpoints", every=200, keep=3, run=run),
        callbacks=[
            PrintProgress(every=50),
            Logger(chosen.work / "log.jsonl", every=50),
            Evaluate(measure, chosen.work / "measured.jsonl", every=200),
        ],
    )
    print(json.dumps({"cpu_seconds": time.process_time() - started}))


if __name__ == "__main__":
    main()
