"""What TopK dictionaries and their random controls recover of synthetic features, against L0.

    python benchmarks/dictionaries_synthetic.py

Ten worlds (D = 64, 192 true features, 6 active on average), in each a dictionary with k = 2, 4, 8, 16, 32 and its three
controls of equal budget: the same first weights, batches and steps. Worlds are the units of the intervals.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch

from toulmin.dictionaries.studies.evaluate import EvaluateDictionary
from toulmin.evidence import bootstrap_mean
from toulmin.studies import Run

KS = (2, 4, 8, 16, 32)
KEYS = ("l0", "mcc", "precision", "recall", "f1", "uniqueness", "shrinkage", "dead", "explained_variance")
NAMES = ("trained", "frozen_decoder", "soft_frozen_decoder", "frozen_encoder")


def study(k: int, worlds: int) -> EvaluateDictionary:
    """The measurement at one k."""
    return EvaluateDictionary(
        truth="synthetic", architecture="topk", k=k, features=256, world_features=192, world_width=64, world_l0=6.0,
        worlds=worlds, steps=400, batch=256, lr=3e-3, controls=NAMES[1:],
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| k | dictionary |", " | ".join(KEYS), "| MCC above the frozen decoder |")
    with tempfile.TemporaryDirectory() as work:
        for k in KS:
            items = study(k, options.worlds).collect(Run(Path(work)))
            for name in NAMES:
                numbers = " | ".join(f"{items[f'{name}/{key}'].mean():.3f}" for key in KEYS)
                above = items[f"{name}/mcc"] - items["frozen_decoder/mcc"]
                ends = bootstrap_mean(above)
                print(
                    f"| {k} | {name} | {numbers} | {above.mean():.3f} [{ends.low:.3f}, {ends.high:.3f}] |", flush=True
                )


if __name__ == "__main__":
    main()
