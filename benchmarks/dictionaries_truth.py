"""Local and end-to-end dictionaries against storyworld's latent factors, each beside a frozen-decoder control.

    python benchmarks/dictionaries_sweep.py story-4l OUT              # until it is done: the dictionaries
    python benchmarks/dictionaries_truth.py OUT                       # trains the controls, then prints the tables

The dictionaries are those of the sweep at two sparsities that give about the same L0. A control has the same first
weights, tokens, steps and objective, and keeps its random directions. Factors (the role of the present word, of the
next one, the topic) are the units of the intervals; each value is first averaged over seeds. Then the geometry of the
same dictionaries: likeness within one, across seeds and across ways of training, and features that fire together.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from dictionaries_sweep import Setting, groups_of, load_setting
from torch import Tensor

from toulmin.dictionaries import Dictionary
from toulmin.dictionaries.evaluation import Usage, cofiring_information
from toulmin.dictionaries.recovery import match_correlations, recover_labels
from toulmin.dictionaries.similarity import compare_dictionaries, largest_cosines
from toulmin.dictionaries.sites import clean_pass
from toulmin.dictionaries.story_truth import story_factors
from toulmin.dictionaries.sweep import SweepRun, load_trained, train_sweep
from toulmin.evidence import bootstrap_mean
from toulmin.subjects import Transformer
from toulmin.tasks import Stories

SPARSITIES = {"local": 5.0, "e2e": 0.5}
KEYS = ("mcc", "f1", "union_f1", "needed", "l0", "dead")


def dictionaries_of(model: Transformer, split: object, setting: Setting, out: Path, seed: int) -> dict[str, Dictionary]:
    """The two trained dictionaries of a seed, and their controls."""
    folder = out / "story-4l"
    tuned = {mode: json.loads((folder / f"tune-{mode}.json").read_text()) for mode in SPARSITIES}
    scales = {mode: float(min(rows, key=lambda r: r["objective"])["lr_scale"]) for mode, rows in tuned.items()}
    runs = groups_of(setting, scales)[f"group-{seed:03d}"]
    made = dict(zip(runs, load_trained(model, setting.shape, runs, folder / f"group-{seed:03d}"), strict=True))
    found: dict[str, Dictionary] = {}
    for mode, sparsity in SPARSITIES.items():
        (run,) = [r for r in runs if r.mode == mode and r.objective.sparsity == sparsity]
        found[mode] = made[run]
        control: SweepRun = replace(run, control="frozen_decoder")
        work = out / "truth" / f"{mode}-{seed}"
        (result,) = train_sweep(model, split, setting.shape, [control], workdir=work, every=100)  # type: ignore[arg-type]
        found[f"{mode}, frozen decoder"] = result.dictionary
    return found


@torch.no_grad()
def recovery(dictionary: Dictionary, acts: Tensor, labels: Tensor, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Each measure of every factor: features are chosen on the first half of the tokens, and measured on the rest."""
    codes = dictionary.eval().encode(acts)
    active, half = codes > 0, len(acts) // 2
    found = recover_labels((active[:half], labels[:half]), (active[half:], labels[half:]), names)
    one = np.ones(len(names))
    return {
        "mcc": match_correlations(codes[half:], labels[half:]),
        "f1": found.f1,
        "union_f1": found.union_f1,
        "needed": found.needed.astype(float),
        "l0": float(active.sum(1).double().mean()) * one,
        "dead": float(1 - active.any(0).double().mean()) * one,
    }


@torch.no_grad()
def geometry(made: dict[str, list[Dictionary]], acts: Tensor) -> None:
    """Prints the mean over seeds, and the range over them, of each likeness; only features that are ever active."""
    active = {name: [d.eval().encode(acts) > 0 for d in found] for name, found in made.items()}
    directions = {
        name: [d.directions[a.any(0)] for d, a in zip(found, active[name], strict=True)] for name, found in made.items()
    }

    def show(label: str, values: list[float]) -> None:
        print(f"{label}: {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})")

    for name, found in directions.items():
        show(f"{name}: largest cosine within", [float(largest_cosines(d).mean()) for d in found])
        pairs = [compare_dictionaries(a, b) for a in found for b in found if a is not b]
        show(f"{name}: largest cosine with another seed's", [pair.mean for pair in pairs])
        show(f"{name}: share found again by another seed", [pair.found_again for pair in pairs])
        show(f"{name}: share of a feature's entropy told by its best partner", [partner(a) for a in active[name]])
    across = [compare_dictionaries(a, b) for a, b in zip(directions["e2e"], directions["local"], strict=True)]
    show("e2e with local of the same seed: largest cosine", [pair.mean for pair in across])
    show("e2e with local of the same seed: share found again", [pair.found_again for pair in across])


def partner(active: Tensor) -> float:
    """The mean over features of max_j I(i, j) / H(i): how much the best other feature tells of when one is active."""
    values = active.float()
    fired = values.sum(0).double().numpy()
    usage = Usage(len(active), fired, fired, fired, (values.T @ values).double().numpy())
    information = cofiring_information(usage, least=10)
    p = usage.frequency[fired >= 10]
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p))
    return float((information.max(1) / entropy).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the folder of the sweep")
    parser.add_argument("--rows", type=int, default=256)
    options = parser.parse_args()
    torch.set_num_threads(1)
    setting, model, split = load_setting("story-4l", Path(), "cpu")
    assert isinstance(split.held_out, Stories)
    rows, labels, names = story_factors(split.held_out, options.rows)
    site = setting.shape.site
    with torch.no_grad():
        acts = torch.cat([
            clean_pass(model, part, [site], (), whole=False).activations[site].flatten(0, 1) for part in rows.split(16)
        ])  # fmt: skip
    values: dict[str, list[dict[str, np.ndarray]]] = {}
    made: dict[str, list[Dictionary]] = {}
    for seed in range(setting.seeds):
        for name, dictionary in dictionaries_of(model, split, setting, options.out, seed).items():
            values.setdefault(name, []).append(recovery(dictionary, acts, labels, names))
            made.setdefault(name, []).append(dictionary)
    means = {name: {key: np.mean([v[key] for v in found], 0) for key in KEYS} for name, found in values.items()}
    print(f"{len(names)} factors, {setting.seeds} seeds, {len(acts)} tokens")
    for name, found in means.items():
        numbers = "  ".join(f"{key} {found[key].mean():.3f}" for key in KEYS)
        print(f"{name:24s} {numbers}")
    pairs = [(mode, f"{mode}, frozen decoder") for mode in SPARSITIES] + [("e2e", "local")]
    for first, second in pairs:
        for key in ("mcc", "f1", "union_f1"):
            difference = means[first][key] - means[second][key]
            ends = bootstrap_mean(difference)
            print(f"{first} less {second}: {key} {difference.mean():.3f} [{ends.low:.3f}, {ends.high:.3f}]")
    geometry(made, acts)


if __name__ == "__main__":
    main()
