"""Can one number of the residual stream be made the handle of one word? Route the word's gradients to it, then turn it.

    python examples/steering_scalar.py [--seeds 3] [--steps 400] [--shape story-4l]

Gradient routing (Cloud et al. 2024, section 4.2.1) at the outputs of the first half of the layers: where the next
token is WORD, the gradient reaches dimension 0 alone. Afterwards dimension 0 is moved by 4 of its standard deviations,
to the side that favours WORD. Placebos: another word was routed; another dimension is moved; to their better side too.
"""

import argparse

import torch
from torch.nn import functional

from toulmin.evidence import interval_over_seeds
from toulmin.routing import Route, RoutePlan, Router
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks.storyworld import encode_words, story_vocabulary, write_story

WORD, OTHER = map(story_vocabulary().index, ("bag", "year"))
SHAPES = {"small": (2, 32, 4), "story-4l": (4, 128, 8)}  # layers, width, heads
TURNED, LENGTH = 4.0, 24  # standard deviations; tokens a row


def rows(seed: int, count: int) -> torch.Tensor:
    """Stories as tokens."""
    return torch.tensor([encode_words(write_story(seed, i, LENGTH).words) for i in range(count)])


def train(word: int, shape: str, steps: int, seed: int) -> Transformer:
    """A model of which dimension 0 gets all gradients of ``word``."""
    layers, width, heads = SHAPES[shape]
    config = TransformerConfig(n_layers=layers, d_model=width, n_heads=heads, d_head=width // heads,
                               d_vocab=len(story_vocabulary()), n_ctx=LENGTH, d_mlp=4 * width)  # fmt: skip
    model = Transformer(config, torch.Generator().manual_seed(seed))
    router = Router(model, RoutePlan([Route("word", f"layers.{i}", [0], outside=0.0) for i in range(layers // 2)]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3 if shape == "small" else 1.5e-3)
    text, draw = rows(seed, 6000), torch.Generator().manual_seed(seed)
    for _ in range(steps):
        batch = text[torch.randint(len(text), (32,), generator=draw)]
        optimizer.zero_grad()
        with router(labels=batch[:, 1:] == word):
            logits = model(batch[:, :-1])
        functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.no_grad()
def turn(model: Transformer, held: torch.Tensor, dimension: int = 0) -> float:
    """By how much the logit of WORD rises above the mean of all others when the dimension is moved."""
    layer = model.config.n_layers // 2
    resid = model.run_to(held[:, :-1], layer)
    plain, rises = model.run_from(resid, layer), []
    for side in (-TURNED, TURNED):
        moved = resid.clone()
        moved[..., dimension] += side * resid[..., dimension].std()
        rise = (model.run_from(moved, layer) - plain).flatten(0, -2).mean(0)
        rises.append(float(rise[WORD] - rise.mean()))
    return max(rises)


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
for name, default in (("--seeds", 3), ("--steps", 400)):
    parser.add_argument(name, type=int, default=default)
parser.add_argument("--shape", choices=SHAPES, default="small")
options = parser.parse_args()
found: list[tuple[float, ...]] = []
for seed in range(options.seeds):
    held = rows(10_000 + seed, 500)
    model, placebo = (train(w, options.shape, options.steps, seed) for w in (WORD, OTHER))
    each = (turn(model, held), turn(placebo, held), turn(model, held, dimension=1))
    found.append((*each, each[0] - max(each[1:])))
names = ("routed", "placebo: another word routed", "placebo: another dimension", "routed less the larger placebo")
for name, values in zip(names, zip(*found, strict=True), strict=True):
    interval, why = interval_over_seeds(values)
    between = why if interval is None else f"[{interval.low:.2f}, {interval.high:.2f}]"
    print(f"{name}: {sum(values) / len(values):.2f} logits {between}; seeds {[round(v, 2) for v in values]}")
