"""Probing with gates that start equally open, or from the scores of an attribution method, at equal numbers of steps.

    python benchmarks/warm_start.py [--epochs 10,40,100] [--seeds 0,1,2] [--n 60] [--penalty 1] [--tasks ...]

A circuit of a fixed size is found on 16 prompts and measured on ``n`` others: the KL divergence from the full model in
nats, and the recovered share of the logit difference (percent of means, resampled complement). A seed draws the prompts
and the gates. The scores that a warm start begins from cost one forward and backward pass (EAP) or five (EAP-IG).
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np

from toulmin.circuits import Circuit, CircuitRunner, EapIg, Methodology
from toulmin.circuits.discovery import CircuitProbing
from toulmin.subjects import load
from toulmin.tasks import find_task

TASKS: dict[str, tuple[str, str, int, dict[str, Any]]] = {
    "induction": ("embedded:induction-2l", "induction", 60, {"length": 16}),
    "two_name": ("embedded:story-4l", "story.two_name", 150, {}),
}


def measure(runner: CircuitRunner, circuit: Circuit) -> tuple[float, float]:
    """KL in nats, and the recovered percent of the logit difference."""
    circuits = [circuit, Circuit.empty(runner.graph)]
    found = runner.scores(circuits, Methodology(), ["kl", "logit_diff"])
    full, (own, empty) = runner.full_scores(["logit_diff"])["logit_diff"].mean(), found["logit_diff"].mean(1)
    return float(found["kl"][0].mean()), float(100 * (own - empty) / (full - empty))


def main() -> None:
    """Print one row for each task, start and number of epochs: the values of all seeds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", default="10,40,100")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--n", type=int, default=60)
    parser.add_argument("--penalty", type=float, default=1.0)
    options = parser.parse_args()
    seeds = [int(seed) for seed in options.seeds.split(",")]
    for name in options.tasks.split(","):
        subject, task, size, settings = TASKS[name]
        loaded: Any = load(subject)
        source = find_task(task, loaded, **settings)
        runners = [
            (
                CircuitRunner(loaded.model, source.generate(16, 2 * s)),
                CircuitRunner(loaded.model, source.generate(options.n, 2 * s + 1)),
            )
            for s in seeds
        ]
        rows: list[tuple[str, str, list[tuple[float, float]]]] = []
        attributed = [measure(test, EapIg(size=size, metric="kl").discover(find).circuit) for find, test in runners]
        rows.append(("EAP-IG alone (of KL)", "0", attributed))
        for epochs in options.epochs.split(","):
            for start in (None, "eap_ig"):
                method = CircuitProbing(size=size, epochs=int(epochs), penalty=options.penalty, warm_start=start)
                found = [
                    measure(test, method.with_seed(seed).discover(find).circuit)
                    for seed, (find, test) in zip(seeds, runners, strict=True)
                ]
                rows.append(("cold" if start is None else "warm", epochs, found))
        for label, epochs, values in rows:
            kl, recovered = np.array(values).T
            shown = f"{', '.join(f'{value:.2f}' for value in kl)} | {', '.join(f'{value:.0f}' for value in recovered)}"
            print(f"| {name} | {label} | {epochs} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
