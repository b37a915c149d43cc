"""How exact the basis package's estimates are: random signs, the sampled learning coefficient, and that of parts.

    python benchmarks/basis_estimators.py signs | quadratic | parts

``signs``: the error of M' from r random sign vectors against r, on an MLP whose M' is known exactly. ``quadratic``: the
sampled learning coefficient of a quadratic loss against its closed form. ``parts``: the learning coefficient of every
head, of attention, of the MLP, of the layer and of the whole of ``embedded:addition-23``, on its own training pairs.
Each prints its means, intervals (95 %) and CPU seconds; seeds are 0 to 19, for parts 0.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from torch.func import functional_call
from torch.nn import functional

from toulmin.basis import (
    learning_coefficient,
    mlp_chain,
    part_parameters,
    quadratic_coefficient,
    second_moment,
    with_constant,
)
from toulmin.evidence import interval_over_seeds
from toulmin.subjects import Mlp, load

SEEDS = range(20)
SOURCES = (4, 16, 64, 256, 1024)


def mean(values: list[float]) -> str:
    """The mean over seeds, with Student's interval."""
    ends, _ = interval_over_seeds(np.array(values))
    assert ends is not None
    return f"{np.mean(values):.3f} [{ends.low:.3f}, {ends.high:.3f}]"


def signs() -> None:
    """The exponent with which the error falls in the number of sources: the slope of a line through logarithms."""
    chain = mlp_chain(Mlp((6, 7, 5, 3), generator=torch.Generator().manual_seed(0)).double())
    x = torch.randn(50, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    section, inputs = chain.sections[0], [with_constant(x)[:, None]]
    exact = second_moment(section, inputs, None).matrix
    slopes: list[float] = []
    for seed in SEEDS:
        generator = torch.Generator().manual_seed(seed)
        found = [second_moment(section, inputs, None, sources=r, generator=generator).matrix for r in SOURCES]
        errors = [float((matrix - exact).norm()) for matrix in found]
        slopes.append(float(np.polyfit(np.log(SOURCES), np.log(errors), 1)[0]))
    print(f"exponent of the error in the number of sources: {mean(slopes)}, {len(slopes)} seeds")


def quadratic() -> None:
    """Sixteen chains of 1000 draws each on six directions, two of them free."""
    curvatures = torch.tensor([5.0, 2.0, 1.0, 0.5, 0.0, 0.0], dtype=torch.float64)
    step, localisation = 4e-4, 1.0
    exact = quadratic_coefficient(curvatures.numpy(), 1000, step=step, localisation=localisation)
    values: list[float] = []
    inside = 0
    for seed in SEEDS:
        found = learning_coefficient(
            lambda p: 0.5 * (curvatures * p["w"].square()).sum(),
            {"w": torch.zeros(6, dtype=torch.float64)},
            1000,
            step=step,
            localisation=localisation,
            chains=16,
            draws=1000,
            generator=torch.Generator().manual_seed(seed),
        )
        values.append(found.value)
        inside += found.interval[0] < exact < found.interval[1]
    print(
        f"closed form {exact:.3f}; sampled {mean(values)}; inside its own interval for {inside} of {len(values)} seeds"
    )


def parts() -> None:
    """Cross-entropy over the training pairs; an estimate whose chains disagree (R-hat above 1.1) is named as such."""
    model = load("embedded:addition-23").model
    p = model.config.d_vocab - 1
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))[: int(0.7 * len(pairs))]
    tokens = torch.cat([pairs, torch.full((len(pairs), 1), p)], 1)[order]
    answers = tokens[:, :2].sum(1) % p
    for part in ("L0.H0", "L0.H1", "L0.H2", "L0.H3", "L0.attn", "L0.mlp", "L0", "everything"):
        start = time.process_time()
        restrict = None if part == "everything" else part_parameters(model, part)
        found = learning_coefficient(
            lambda q: functional.cross_entropy(functional_call(model, q, (tokens,))[:, -1], answers),
            dict(model.named_parameters()),
            len(tokens),
            step=1e-3,
            localisation=50.0,
            restrict=restrict,
            most_r_hat=None,
            generator=torch.Generator().manual_seed(0),
        )
        masks = dict.fromkeys(dict(model.named_parameters())) if restrict is None else restrict
        free = sum(model.get_parameter(n).numel() if m is None else int(m.sum()) for n, m in masks.items())
        low, high = found.interval
        verdict = "refused" if found.r_hat > 1.1 else "taken"
        print(
            f"{part}: {free} parameters, {found.value:.2f} [{low:.2f}, {high:.2f}], R-hat {found.r_hat:.3f}, effective "
            f"samples {found.effective_samples:.0f}, {verdict}; {time.process_time() - start:.0f} CPU s",
            flush=True,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    begun = time.process_time()
    {"signs": signs, "quadratic": quadratic, "parts": parts}[sys.argv[1]]()
    print(f"{time.process_time() - begun:.0f} CPU seconds")
