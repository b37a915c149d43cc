"""One training run, eight models: three topics routed to three regions, each of which can be switched off afterwards.

    python examples/access_profiles.py [--seeds 3] [--steps 600]

A small transformer learns stories of ten topics by forward masks: a batch of one of three topics sees and trains that
topic's region, one of the others sees no region. Printed: the 2^3 access profiles of the first seed (held-out nats a
token), and by how much a topic's loss falls where its region alone is on, and, the placebo, where another's alone is.
"""

import argparse

import numpy as np
import torch

from toulmin.evidence import interval_over_seeds
from toulmin.routing import Route, RoutePlan, Router, access_profiles, expand, region_span
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks.storyworld import TOPICS, encode_words, story_vocabulary, write_story
from toulmin.training import next_token_loss

LENGTH, UNITS, MLPS, COUNT = 24, 32, "layers.*.mlp", 3
NAMES = [topic.name for topic in TOPICS[:COUNT]]


def rows_by_topic(seed: int, count: int) -> list[torch.Tensor]:
    """Stories as tokens: those of each routed topic, then all others."""
    stories = [write_story(seed, i, LENGTH) for i in range(count)]
    tokens, topics = torch.tensor([encode_words(s.words) for s in stories]), torch.tensor([s.topic for s in stories])
    return [tokens[topics.clamp(max=COUNT) == k] for k in range(COUNT + 1)]


def train(seed: int, steps: int) -> tuple[Transformer, RoutePlan]:
    """A model and the plan of its regions."""
    config = TransformerConfig(n_layers=2, d_model=32, n_heads=4, d_head=8, d_vocab=len(story_vocabulary()),
                               n_ctx=LENGTH, d_mlp=96)  # fmt: skip
    model = expand(Transformer(config, torch.Generator().manual_seed(seed)), {MLPS: COUNT * UNITS}, seed=seed)
    first = region_span(model, MLPS, COUNT * UNITS).start
    spans = [slice(first + k * UNITS, first + (k + 1) * UNITS) for k in range(COUNT)]
    where = zip(NAMES, spans, strict=True)
    plan = RoutePlan([Route(n, f"{MLPS}.post", dims, MLPS, kind="forward") for n, dims in where])
    optimizer, router = torch.optim.AdamW(model.parameters(), lr=4e-3), Router(model, plan)
    router.block_updates(optimizer)
    text, rng = rows_by_topic(seed, 6000), np.random.default_rng(seed)
    share = [len(rows) / sum(map(len, text)) for rows in text]
    for _ in range(steps):
        topic = int(rng.choice(COUNT + 1, p=share))
        batch = text[topic][torch.from_numpy(rng.integers(len(text[topic]), size=32))]
        optimizer.zero_grad()
        with router(labels=[*NAMES, "retain"][topic]):
            loss = next_token_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    router.remove()
    return model.eval(), plan


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in (("--seeds", 3), ("--steps", 600)):
    parser.add_argument(name, type=int, default=default)
options = parser.parse_args()
falls: list[tuple[float, ...]] = []
for seed in range(options.seeds):
    model, plan = train(seed, options.steps)
    held = dict(zip([*NAMES, "others"], rows_by_topic(10_000 + seed, 1500), strict=True))
    scores = {n: lambda m, rows=r: float(next_token_loss(m, rows).detach()) for n, r in held.items()}
    table = access_profiles(model, plan, scores)
    loss = {row[:COUNT]: np.array(row[COUNT:], float) for row in table.rows}
    alone = [tuple("yes" if i == k else "no" for i in range(COUNT)) for k in range(COUNT)]
    fall = np.array([loss[("no",) * COUNT] - loss[profile] for profile in alone])[:, :COUNT]  # region on x topic
    own, other = np.diag(fall).mean(), (fall.sum() - np.trace(fall)) / (COUNT * (COUNT - 1))
    falls.append((own, other, own - other))
    for row in (table.columns, *table.rows) if seed == 0 else ():
        print(*(f"{cell:>9}" if isinstance(cell, str) else f"{cell:9.2f}" for cell in row))
names = ("its own", "another topic's", "the one less the other")
for name, values in zip(names, zip(*falls, strict=True), strict=True):
    interval, why = interval_over_seeds(values)
    between = why if interval is None else f"[{interval.low:.2f}, {interval.high:.2f}]"
    print(f"fall of loss with {name}: {np.mean(values):.2f} {between}; seeds {[round(float(v), 2) for v in values]}")
