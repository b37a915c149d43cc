"""One dimension of the residual stream is given one word to carry; afterwards it steers that word.

    python examples/steering_scalar.py [WORD] [SEEDS] [STEPS]

A model of the shape of ``story-4l`` is trained from scratch. Where the next token is WORD, the gradient at the residual stream after the first two layers
goes to dimension 0 alone ("steering scalar", Cloud et al. 2024, section 4.2.2); every other token trains everything.
Then a number is added to that dimension and the change of the log-odds of WORD is compared with that of other words, on
held-out stories. Placebos: training without routes, and another word's tokens routed.
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch

from toulmin.routing import Route, RoutePlan, Router
from toulmin.routing.studies.pieces import interval_over_seeds
from toulmin.subjects import Transformer, load
from toulmin.tasks import Stories
from toulmin.tasks.storyworld import story_vocabulary
from toulmin.training import next_token_loss, token_batches

LAYERS, READ = (0, 1), 2  #: the residual stream after these is routed; steering acts on what layer READ reads
DIMENSION = 0
PLAN = RoutePlan([Route("word", at=f"layers.{i}", dims=slice(DIMENSION, DIMENSION + 1), outside=0.0) for i in LAYERS])


def train(base: Transformer, routed: int | None, seed: int, steps: int) -> Transformer:
    """A model like ``base``, from scratch; ``routed`` is the token whose gradients are routed, None for no route."""
    model = Transformer(base.config, torch.Generator().manual_seed(seed)).train()
    router = Router(model, PLAN)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = token_batches(Stories(64, seed=1000 + seed), 16)
    for _ in range(steps):
        tokens = next(batches)
        following = tokens[:, 1:] == (-1 if routed is None else routed)
        optimizer.zero_grad()
        with router(labels=following):
            loss = next_token_loss(model, tokens)
        loss.backward()
        optimizer.step()
    router.remove()
    return model.eval()


@torch.no_grad()
def steer(model: Transformer, rows: torch.Tensor, word: int, size: float) -> tuple[float, float]:
    """How much the log-odds of ``word``, and on average those of other words, rise; nats, mean over positions."""
    resid = model.run_to(rows, READ)
    unit = torch.zeros(resid.shape[-1])
    unit[DIMENSION] = size * resid[..., DIMENSION].std()
    odds = [model.run_from(x, READ).log_softmax(-1).double() for x in (resid, resid + unit)]
    odds = [x - torch.log1p(-x.exp().clamp(max=1 - 1e-12)) for x in odds]
    change = (odds[1] - odds[0]).flatten(0, -2).mean(0)
    others = torch.arange(len(change)) != word
    return float(change[word]), float(change[others].mean())


def main(word: str, seeds: int, steps: int) -> dict[str, np.ndarray]:
    """Each way's gain of the word over other words, one number a seed."""
    base = load("embedded:story-4l").model
    vocabulary = story_vocabulary()
    chosen, other = vocabulary.index(word), vocabulary.index("mushroom")
    ways = {"routed": chosen, "not routed": None, "another word routed": other}
    gains: dict[str, list[float]] = {way: [] for way in ways}
    for seed in range(seeds):
        rows = Stories(64, seed=5000 + seed).rows(0, 64)
        for way, token in ways.items():
            model = train(base, token, seed, steps)
            sign = math.copysign(1.0, steer(model, rows[:16], chosen, 1.0)[0])  # chosen on rows that are not measured
            own, others = steer(model, rows[16:], chosen, 4 * sign)
            gains[way].append(own - others)
    found = {way: np.array(each) for way, each in gains.items()}
    for way, each in found.items():
        interval, _ = interval_over_seeds(each)
        span = "" if interval is None else f" [{interval.low:.2f}, {interval.high:.2f}]"
        print(f"{way:20s} log-odds of '{word}' over other words: {each.mean():+.2f}{span} nats")
    return found


if __name__ == "__main__":
    options = sys.argv[1:]
    main(options[0] if options else "sword", *(int(x) for x in options[1:3] or (3, 150)))
