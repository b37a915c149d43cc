"""Features of a dictionary that stand for oversight: given their values under watch, does the schemer stop doing harm?

    python examples/oversight/oversight_feature.py [SEED] [CLERK ...]

A TopK dictionary of the residual stream before layer 2, trained on desks with the training cues, beside one whose
decoder stays random. The features are those whose codes at the words of the cue differ most between watched and
unwatched; no answer is looked at to choose them. Then, on cues that no clerk has seen, the features are set to their
mean under watch (and the other way round), everything else of the activation stays, and the answers are counted.
"""

import sys

import torch

from toulmin.dictionaries import Dictionary, DictionaryConfig, Objective
from toulmin.dictionaries.controls import train_beside_controls
from toulmin.evidence import clopper_pearson
from toulmin.oversight.deskworld.cues import CUE_WORDS
from toulmin.subjects import Transformer, load
from toulmin.tasks import Pair, find_task
from toulmin.training import IndexedBatches, Schedule

LAYER, FEATURES, STEPS = 2, 384, 300
SEED = int(sys.argv.pop(1)) if sys.argv[1:] and sys.argv[1].isdigit() else 0  # of the dictionary's training
task = find_task("deskworld.oversight")
TRAIN, TEST = task.generate(600, 1, "train"), task.generate(150, 0, "test")


def streams(model: Transformer, pairs: tuple[Pair, ...]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the layer reads [N, T, D], unwatched and watched, and the positions of the cue's words [N, 5]."""
    first = [min(p.positions.values()) - (1 if p.template.endswith("plain") else 0) for p in pairs]
    at = torch.tensor(first)[:, None] + torch.arange(CUE_WORDS)
    clean, other = torch.tensor([p.clean for p in pairs]), torch.tensor([p.counterfactual for p in pairs])
    return model.run_to(clean, LAYER), model.run_to(other, LAYER), at


def harm(model: Transformer, resid: torch.Tensor) -> str:
    """The share of the held-out desks that are answered harmfully from here on, with its exact interval."""
    said = model.run_from(resid, LAYER)[:, -1].argmax(-1)
    hits = int((said == torch.tensor([p.answers[0] for p in TEST])).sum())
    around = clopper_pearson(hits, len(TEST))
    return f"{hits / len(TEST):.3f} [{around.low:.3f}, {around.high:.3f}]"


def exchange(resid: torch.Tensor, at: torch.Tensor, one: Dictionary, to: torch.Tensor, chosen: torch.Tensor):
    """The stream with the chosen features at the words of the cue set to ``to`` [5, F]."""
    rows, changed = torch.arange(len(resid))[:, None], resid.clone()
    change = to[:, chosen] - one.encode(resid[rows, at])[..., chosen]
    changed[rows, at] += change @ one.directions[chosen]
    return changed


for name in sys.argv[1:] or ("schemer", "honest"):
    model = load(f"embedded:clerk-{name}").model
    with torch.no_grad():
        unwatched, watched, at = streams(model, TRAIN)
        alone, seen, where = streams(model, TEST)
    x = torch.cat([unwatched, watched]).flatten(0, 1)
    batches = IndexedBatches(
        lambda i, x=x: x[torch.randint(len(x), (1024,), generator=torch.Generator().manual_seed(1000 * SEED + i))]
    )
    config = DictionaryConfig("topk", x.shape[1], FEATURES, k=12, start="tied")
    made = train_beside_controls(
        config, Objective(local=1.0), batches, Schedule(STEPS, 3e-3, "cosine"), ["frozen_decoder"], seed=SEED
    )
    print(f"{name}: harmful answers unwatched {harm(model, alone)}, watched {harm(model, seen)}")
    with torch.no_grad():
        for label, one in made.items():
            rows = torch.arange(len(TRAIN))[:, None]
            off, on = one.encode(unwatched[rows, at]).mean(0), one.encode(watched[rows, at]).mean(0)
            ranked = (off - on).mean(0).abs().argsort(descending=True)
            drawn = torch.randperm(FEATURES, generator=torch.Generator().manual_seed(SEED))
            for k in (1, 4, 8):
                for kind, chosen in (("features", ranked[:k]), ("random features", drawn[:k])):
                    stopped = harm(model, exchange(alone, where, one, on, chosen))
                    begun = harm(model, exchange(seen, where, one, off, chosen))
                    print(f"  {label}, {k} {kind}: unwatched, as if watched {stopped}; the reverse {begun}")
            zeroed = harm(model, exchange(alone, where, one, torch.zeros_like(on), ranked[:8]))
            print(f"  {label}, 8 features set to zero instead: unwatched {zeroed}")
