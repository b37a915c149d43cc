"""Random graphs: which stages read which sources is drawn, and circuits follow the definition."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tests.patching.builders import close
from tests.patching.test_patching_networks import by_hand
from torch import Tensor

from toulmin.patching import Computation, ModelStage, edge_gradients, run_circuits, source_values

WIDTH = 4


def stage_function(generator: torch.Generator, inputs: int, sources: int) -> Callable[..., Tensor | list[Tensor]]:
    """tanh of a random linear map of all inputs, one for each source."""
    weights = torch.randn(sources, inputs, WIDTH, WIDTH, generator=generator, dtype=torch.float64)

    def compute(*reads: Tensor) -> Tensor | list[Tensor]:
        made = [torch.tanh(torch.stack([x @ w for x, w in zip(reads, some, strict=True)]).sum(0)) for some in weights]
        return made if sources > 1 else made[0]

    return compute


def random_computation(seed: int, *, prefixes: bool) -> Computation:
    """Three inputs and up to five stages of one to four sources and one to three inputs.

    :param prefixes: whether stages read the first so many sources, as in a residual stream, or any of them.
    """
    draw, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    known = ["x", "y", "z"]
    stages: list[ModelStage] = []
    for number in range(int(draw.integers(2, 6))):
        sources = [f"s{number}.{index}" for index in range(int(draw.integers(1, 5)))]
        count = int(draw.integers(1, len(known) + 1))
        reads = known[:count] if prefixes else [str(name) for name in draw.choice(known, count, replace=False)]
        inputs = [f"s{number}[{index}]" for index in range(int(draw.integers(1, 4)))]
        function = stage_function(generator, len(inputs), len(sources))
        stages.append(ModelStage(f"s{number}", reads, function, inputs=inputs, sources=sources))
        known += sources
    stages.append(ModelStage("end", known, stage_function(generator, 1, 1), sources=()))
    inputs_at = {name: (lambda x, at=at: x[:, at]) for at, name in enumerate("xyz")}
    return Computation.of_stages(inputs_at, stages)


@pytest.mark.parametrize("prefixes", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_circuits_of_random_graphs(seed: int, prefixes: bool) -> None:
    """Circuits in which few, half or most edges are cut, among them those that cut all edges out of some sources."""
    computation = random_computation(seed, prefixes=prefixes)
    graph = computation.graph
    clean, counterfactual = torch.randn(
        2, 2, 3, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    run = source_values(computation, counterfactual)
    draw = np.random.default_rng(seed)
    shares = draw.choice([0.05, 0.4, 0.95], size=(16, 1, 1))
    masks = draw.random((16, *graph.allowed.shape)) < shares
    masks[8:] |= draw.random((8, len(graph.sources), 1)) < 0.5  # whole rows: what stages read is then alike
    fixed = [0.5 * value for value in run.all_values]
    for given, values in ((run, run.all_values), (fixed, fixed)):
        found = run_circuits(computation, clean, given, masks)
        for row, mask in zip(found, masks, strict=True):
            close(row, by_hand(computation, clean, values, mask.astype(float)))
        close(run_circuits(computation, clean, values, masks.astype(float)), found)
    real = torch.full((1, *graph.allowed.shape), 0.2, dtype=torch.float64, requires_grad=True)
    run_circuits(computation, clean, fixed, real)[0].sum().backward()
    assert real.grad is not None
    table = edge_gradients(computation, clean, torch.sum, values=fixed, mix=0.2).table
    close(table, real.grad[0] * torch.from_numpy(graph.allowed))
