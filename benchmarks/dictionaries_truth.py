"""Local and end-to-end dictionaries against storyworld's latent factors, each beside a frozen-decoder control.

    python benchmarks/dictionaries_sweep.py story-4l OUT              # until it is done: the dictionaries
    python benchmarks/dictionaries_truth.py OUT                       # trains the controls, then prints the tables

The dictionaries are those of the sweep at two sparsities that give about the same L0. A control has the same first
weights, tokens, steps and objective, and keeps its random directions. Factors (the role of the present word, of the
next one, the topic) are the units of the intervals; each value is first averaged over seeds.
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
from toulmin.dictionaries.recovery import match_correlations, recover_labels
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
    runs = groups_of(setting, scales)[seed]
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
    for seed in range(setting.seeds):
        for name, dictionary in dictionaries_of(model, split, setting, options.out, seed).items():
            values.setdefault(name, []).append(recovery(dictionary, acts, labels, names))
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


if __name__ == "__main__":
    main()
