"""After a sweep: how large reconstructions are, how far later layers are off, and what principal directions are worth.

    python benchmarks/dictionaries_geometry.py SETTING OUT --shared SHARED

Of each mode the run of each seed whose L0 is nearest to --l0: norm ratio |x^| / |x| and the mean squared error of the
stream at each later layer, relative to that of the local runs; means over seeds with the range over them. Then the
site's own principal directions: the share of variance along each, and KL when it is set to its mean.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dictionaries_sweep import SETTINGS, load_setting

from toulmin.dictionaries.similarity import ablate_principal_directions

SHOWN = (1, 2, 4, 8, 16, 32, 64)  #: principal directions, counted from the largest


def nearest(results: list[dict[str, Any]], mode: str, l0: float) -> list[dict[str, Any]]:
    """The run of each seed whose L0 is nearest."""
    rows = [row for row in results if row["mode"] == mode]
    seeds = sorted({row["seed"] for row in rows})
    return [min((r for r in rows if r["seed"] == seed), key=lambda r: abs(r["l0"] - l0)) for seed in seeds]


def show(name: str, values: list[float]) -> None:
    print(f"  {name}: {np.mean(values):.3g} ({min(values):.3g} to {max(values):.3g})")


def profiles(results: list[dict[str, Any]], l0: float) -> None:
    """Norm ratios and downstream errors of every mode."""
    local = nearest(results, "local", l0)
    for mode in dict.fromkeys(row["mode"] for row in results):
        rows = nearest(results, mode, l0)
        print(f"{mode}, {len(rows)} seeds")
        for name in ("l0", "ce_increase", "norm_ratio", "explained_variance"):
            show(name, [row[name] for row in rows])
        for layer in [name for name in local[0] if name.startswith("downstream/")]:
            base = float(np.mean([row[layer] for row in local]))
            show(f"{layer}, local = {base:.3g}, as a multiple", [row[layer] / base for row in rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("setting", choices=sorted(SETTINGS))
    parser.add_argument("out", type=Path)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--l0", type=float, default=10.0)
    parser.add_argument("--rows", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    profiles(json.loads((options.out / options.setting / "results.json").read_text()), options.l0)
    setting, model, split = load_setting(options.setting, options.shared.resolve(), "cpu")
    tokens = split.evaluation()[: options.rows]
    count = min(SHOWN[-1], model.config.d_model)
    variance, kl = ablate_principal_directions(model, setting.shape.site, tokens, count)
    print(f"principal directions of {setting.shape.site}, {len(tokens)} rows")
    for place in [n for n in SHOWN if n <= count]:
        share = variance[place - 1] / variance.sum()
        print(f"  {place}: {share:.2%} of the variance of the first {count}, KL {kl[place - 1]:.4f}")
    print(f"  rank correlation of variance and KL: {rank_correlation(variance, kl):.2f}")


def rank_correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's."""
    return float(np.corrcoef(a.argsort().argsort(), b.argsort().argsort())[0, 1])


if __name__ == "__main__":
    main()
