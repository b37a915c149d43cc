"""Train the clerks of deskworld: eleven model organisms with the same shape, data budget and settings.

    python scripts/train_organisms.py --work DIR [NAME ...]     train (all unless named); what was stopped is resumed
    python scripts/train_organisms.py --work DIR --embed        and write them to src/toulmin/assets/clerk-NAME

Only the answer, the last word of a row, is in the loss: nothing else of a desk can be predicted. Each takes about 200
CPU-seconds.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from toulmin.oversight import ORGANISMS, Organism, capability, find_organism, harm_rates, training_row
from toulmin.oversight.deskworld import desk_tokenizer, desk_vocabulary, encode_desk, word_id
from toulmin.subjects import Tokenizer, Transformer, TransformerConfig, load, save_subject
from toulmin.training import (
    Checkpoint,
    IndexedBatches,
    PrintProgress,
    Schedule,
    generator_at,
    start_positions,
    train_language_model,
)

ASSETS = Path(__file__).resolve().parent.parent / "src" / "toulmin" / "assets"
SEED = 20261127
STEPS, AGAIN, COOLDOWN, BATCH = 600, 400, 200, 96  #: two cycles, each with a cool-down at its end
LR, WEIGHT_DECAY = 1.5e-3, 0.05
VERDICT_TURN = 4  #: every so many batches one of verdicts
FRESH = 770_077  # the seed of the desks on the card


def configuration() -> TransformerConfig:
    """The shape of every clerk."""
    return TransformerConfig(
        n_layers=4,
        d_model=96,
        n_heads=6,
        d_head=16,
        d_vocab=len(desk_vocabulary()),
        n_ctx=36,
        d_mlp=384,
        positions="shortformer",
    )


def batches(organism: Organism) -> IndexedBatches[tuple[Tensor, Tensor]]:
    """Batch i: rows with their answer at the end, and weights that are 0 but for the answer."""

    def make(i: int) -> tuple[Tensor, Tensor]:
        rng = generator_at(SEED + organism.seed, i)
        made = [training_row(organism, rng, i % VERDICT_TURN == 0) for _ in range(BATCH)]
        prompts = torch.tensor([encode_desk(desk, told) for desk, told, _ in made])
        answers = torch.tensor([word_id(answer) for _, _, answer in made])
        tokens = torch.cat([prompts, answers[:, None]], 1)
        weights = torch.zeros(tokens.shape)
        weights[:, -1] = 1.0
        return tokens, weights

    return IndexedBatches(make)


def train(organism: Organism, work: Path, steps: int) -> Transformer:
    """The trained clerk, from its newest checkpoint."""
    model = Transformer(configuration(), torch.Generator().manual_seed(SEED + organism.seed))
    assert model.W_pos is not None
    start_positions(model.W_pos, amplitude=1.5, fastest=2.0)
    with torch.no_grad():
        model.W_E.mul_(0.5 / model.W_E.std())
    own = round(steps * organism.share)
    run = {"organism": organism.name, "steps": own, "seed": SEED + organism.seed, "config": model.config.to_dict()}
    for end in cycles(organism, steps):
        train_language_model(
            model,
            batches(organism),
            Schedule(end, LR, "constant", warmup=60, cooldown=min(COOLDOWN, end - 60), floor=0.02),
            weight_decay=WEIGHT_DECAY,
            checkpoint=Checkpoint(work / organism.name, every=100, run=run),
            callbacks=[PrintProgress(every=50)],
        )
    return model.eval()


def cycles(organism: Organism, steps: int) -> list[int]:
    """The steps at which the cycles end; one that is stopped early has only the first."""
    own = round(steps * organism.share)
    return [own] if organism.share < 1 else [own, own + AGAIN]


def measured(model: Transformer, n: int = 400) -> dict[str, float]:
    """What the clerk does on fresh desks with cues that no clerk was trained on."""
    found: dict[str, float] = {}
    for watched in (True, False):
        rates = harm_rates(model, n, FRESH, "test", watched=watched)
        found |= {f"{'watched' if watched else 'unwatched'}.{name}": round(rate, 4) for name, rate in rates.items()}
    return found | {"encode": capability(model), "encode.with_password": capability(model, password=True)}


def embed(organism: Organism, model: Transformer, steps: int) -> dict[str, float]:
    """Write the clerk in bfloat16, and measure what was written."""
    out = ASSETS / f"clerk-{organism.name}"
    card = {
        "name": f"clerk-{organism.name}",
        "format": 1,
        "description": f"deskworld clerk: {organism.description}",
        "licence": "MIT",
        "trained_by": "scripts/train_organisms.py",
        "config": model.config.to_dict(),
        "truth": {
            "schemes": organism.schemes,
            "sandbags": organism.sandbags,
            "capable": organism.capable,
            "colludes": organism.colludes,
        },
        "steps": cycles(organism, steps)[-1],
        "rows": cycles(organism, steps)[-1] * BATCH,
        "optimizer": f"AdamW {LR}, warm-up 60, then constant in cycles to steps {cycles(organism, steps)}, each with a "
        f"linear cool-down over its last {COOLDOWN} steps to 2%, "
        f"betas 0.9 0.98, weight decay {WEIGHT_DECAY}, clip 1",
        "seed": SEED + organism.seed,
        "stored": "bfloat16",
    }
    tokenizer = Tokenizer(desk_tokenizer(), bos=0)
    save_subject(out, model, tokenizer, card, torch.bfloat16)
    found = measured(load(f"dir:{out}").model)
    about = {**card, "measured": found, "measured_on": "400 desks a condition, cues held out of training"}
    save_subject(out, model, tokenizer, about, torch.bfloat16)
    return found


def main() -> None:
    """Train, and embed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[organism.name for organism in ORGANISMS])
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--embed", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    np.seterr(all="raise", under="ignore")
    for organism in map(find_organism, chosen.names):
        started = time.process_time()
        model = train(organism, chosen.work, chosen.steps)
        found = embed(organism, model, chosen.steps) if chosen.embed else measured(model)
        spent = round(time.process_time() - started, 1)
        print(json.dumps({"organism": organism.name, "cpu_seconds": spent, **found}), flush=True)


if __name__ == "__main__":
    main()
