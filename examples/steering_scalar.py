"""Can one number of the residual stream be made the handle of one word? Route the word's gradients to it, then turn it.

    python examples/steering_scalar.py [--seeds 3] [--steps 400] [--shape story-4l]

Gradient routing (Cloud et al. 2024, section 4.2.1; the public code routes at the outputs of layers 6 to 18 of 20, ties
the embeddings and steers after layer 10): where the next token is WORD, the gradient reaches dimension 0 alone. Then
dimension 0 is moved by 4 of its standard deviations to the side that favours WORD; the cosine of WORD's unembedding
with it is read too. Placebos: another word was routed; another dimension is moved; to their better side too.
"""

import argparse

import torch
from torch.nn.functional import normalize

from toulmin.evidence import interval_over_seeds
from toulmin.routing import Route, RoutePlan, Router
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks.storyworld import encode_words, story_vocabulary, write_story
from toulmin.training import next_token_loss

WORD, OTHER = map(story_vocabulary().index, ("bag", "year"))
SHAPES, TURNED, LENGTH = {"small": (2, 32, 4), "story-4l": (4, 128, 8)}, 4.0, 24  # layers, width, heads; sd; tokens


def rows(seed: int, count: int) -> torch.Tensor:
    """Stories as tokens."""
    return torch.tensor([encode_words(write_story(seed, i, LENGTH).words) for i in range(count)])


def train(word: int, shape: str, steps: int, seed: int) -> Transformer:
    """A model of which dimension 0 gets all gradients of ``word``."""
    layers, width, heads = SHAPES[shape]
    config = TransformerConfig(n_layers=layers, d_model=width, n_heads=heads, d_head=width // heads,
                               d_vocab=len(story_vocabulary()), n_ctx=LENGTH, d_mlp=4 * width, tied=True)  # fmt: skip
    model = Transformer(config, torch.Generator().manual_seed(seed))
    routed = range(layers // 2 - 1, layers - 1)  # of 2 layers the first, of 4 the second and third
    router = Router(model, RoutePlan([Route("word", f"layers.{i}", [0]) for i in routed]))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3 if shape == "small" else 1.5e-3)
    text, draw = rows(seed, 6000), torch.Generator().manual_seed(seed)
    for batch in text[torch.randint(len(text), (steps, 32), generator=draw)]:
        optimizer.zero_grad()
        with router(labels=batch[:, 1:] == word):
            loss = next_token_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval()


@torch.no_grad()
def turn(model: Transformer, held: torch.Tensor, dimension: int = 0) -> float:
    """By how much the logit of WORD rises above the mean of all others when the dimension is moved."""
    layer = model.config.n_layers // 2
    resid, rises = model.run_to(held[:, :-1], layer), []
    step = torch.zeros_like(resid[0, 0]).index_fill(0, torch.tensor([dimension]), float(resid[..., dimension].std()))
    for moved in (resid - TURNED * step, resid + TURNED * step):
        rise = (model.run_from(moved, layer) - model.run_from(resid, layer)).flatten(0, -2).mean(0)
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
    cosines = (float(normalize(m.W_U.detach()[:, WORD], dim=0)[0].abs()) for m in (model, placebo))
    found.append((*each, each[0] - max(each[1:]), *cosines))
names = ("rise", "rise, another word routed", "rise, another dimension", "rise less placebos", "cosine", "its placebo")
for name, values in zip(names, zip(*found, strict=True), strict=True):
    interval, why = interval_over_seeds(values)
    between = why if interval is None else f"[{interval.low:.2f}, {interval.high:.2f}]"
    print(f"{name}: {sum(values) / len(values):.2f} {between}; seeds {[round(v, 2) for v in values]}")
