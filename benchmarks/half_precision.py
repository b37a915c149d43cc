"""What bfloat16 and float16 change: logits and EAP scores of SmolLM2-135M on IOI pairs, against float32.

    python benchmarks/half_precision.py [--pairs 8] [--seeds 0,1,2] [--subject cached:smollm2-135m] [--device cpu]

Weights, activations and gradients are of the type named; norms, softmax statistics and matrix products accumulate in
float32 inside PyTorch's kernels. A seed draws the pairs. Scores are compared over all edges: Spearman's correlation of
absolute scores, and the Jaccard index of the 100 (2,000) edges of largest absolute score.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

import torch
from scipy.stats import spearmanr

from toulmin.circuits import CircuitRunner, Eap
from toulmin.subjects import load
from toulmin.tasks import find_task

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def measured(subject: Any, pairs: Any) -> dict[str, Any]:
    """Logits at the scored positions, the logit difference, the scores of all edges, and CPU seconds of EAP."""
    runner = CircuitRunner(subject.model, pairs, batch=8)
    with torch.no_grad():
        logits = torch.cat([runner.full(index).float() for index in range(len(runner.batches))])
    difference = runner.full_scores(["logit_diff"])["logit_diff"]
    start = time.process_time()
    scores = Eap().scores(runner)
    return {"logits": logits, "diff": difference, "scores": scores, "seconds": time.process_time() - start}


def jaccard(a: Any, b: Any, size: int) -> float:
    """Of the circuits of this size."""
    first, second = a.top(size), b.top(size)
    return len(first & second) / len(first | second)


def main() -> None:
    """Print one row for each type and seed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--subject", default="cached:smollm2-135m")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    exact: dict[int, dict[str, Any]] = {}
    for name, dtype in TYPES.items():
        subject: Any = load(options.subject, dtype=dtype)
        subject.model.to(options.device).requires_grad_(False)
        for seed in map(int, options.seeds.split(",")):
            found = measured(subject, find_task("ioi", subject).generate(options.pairs, seed))
            if name == "float32":
                exact[seed] = found
            base = exact[seed]
            rank = spearmanr(abs(base["scores"].flat()), abs(found["scores"].flat())).statistic
            same = (base["logits"].argmax(-1) == found["logits"].argmax(-1)).float().mean()
            row = [
                float((found["logits"] - base["logits"]).abs().max()),
                float(abs(found["diff"] - base["diff"]).max()),
                float(same),
                float(rank),
                jaccard(base["scores"], found["scores"], 100),
                jaccard(base["scores"], found["scores"], 2000),
                found["seconds"],
            ]
            print(f"| {name} | {seed} | {' | '.join(f'{value:.3f}' for value in row)} |", flush=True)


if __name__ == "__main__":
    main()
