"""Networks whose structure is known because it was planted: the positive controls of the studies.

- :func:`planted_degeneracy`: a 6-10-3 ReLU network with one kind of degeneracy; :data:`PLANTED_DEGENERACY` gives the
  number of its 103 parameters that are effective.
- :func:`planted_modules`: two networks side by side, hidden from each other's neurons by an affine map of each hidden
  layer.
- :func:`planted_lines`: a linear network, in which every feature of the Local Interaction Basis acts on one other only.
"""

from __future__ import annotations

import itertools

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.sections import Chain, folded_chain, with_constant
from toulmin.subjects import Mlp

#: (kind, how many) to the number of effective parameters
PLANTED_DEGENERACY = {
    ("generic", 0): 93,
    ("copies", 1): 90,
    ("copies", 2): 87,
    ("copies", 4): 69,
    ("always on", 1): 92,
    ("always on", 2): 89,
    ("always on", 4): 75,
    ("always on", 6): 57,
    ("dead", 1): 84,
    ("dead", 3): 66,
    ("input rank", 5): 83,
    ("input rank", 3): 63,
    ("synchronised", 2): 91,
    ("synchronised", 4): 78,
    ("zero out-weights", 2): 81,
}

#: hidden neurons of the two planted modules, in both hidden layers
MODULE_SIZES = (9, 11)


@torch.no_grad()
def planted_degeneracy(kind: str, count: int, seed: int = 0, samples: int = 400) -> tuple[Mlp, Float[Tensor, "N 6"]]:
    """A 6-10-3 network with one kind of degeneracy, and inputs that show it.

    :param kind: ``copies`` further neurons equal to the first; ``always on`` and ``dead`` neurons; ``input rank``
        inputs in so many dimensions; ``synchronised`` neurons that fire on the same samples as the first without being
        copies; ``zero out-weights`` neurons that nothing reads; ``generic`` none of these.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    model = Mlp((6, 10, 3)).double()
    x = normal(samples, 6)
    first, second = (layer for layer in model.layers if isinstance(layer, torch.nn.Linear))
    first.weight.copy_(normal(10, 6))
    first.bias.copy_(0.3 * normal(10))
    second.weight.copy_(normal(3, 10))
    second.bias.copy_(normal(3))
    if kind == "copies":
        first.weight[1 : count + 1], first.bias[1 : count + 1] = first.weight[0].clone(), first.bias[0].clone()
    elif kind == "always on":
        first.bias[:count] = 100.0
    elif kind == "dead":
        first.bias[:count] = -100.0
    elif kind == "input rank":
        x = normal(samples, count) @ normal(count, 6)
    elif kind == "synchronised":  # directions so near that no sample lies between them
        for other in range(1, count):
            move = normal(6)
            for _ in range(60):
                first.weight[other], first.bias[other] = first.weight[0] + move, first.bias[0].clone()
                fires = first(x) > 0
                if bool((fires[:, other] == fires[:, 0]).all()):
                    break
                move = move / 1.5
    elif kind == "zero out-weights":
        second.weight[:, :count] = 0.0
    return model, x


def affine(width: int, generator: torch.Generator, size: float = 0.3) -> Float[Tensor, "d+1 d+1"]:
    """A random invertible affine map of ``width`` coordinates that leaves the constant, the last one, alone."""
    A = torch.eye(width + 1, dtype=torch.float64)
    A[:, :-1] += size * torch.randn(width + 1, width, generator=generator, dtype=torch.float64)
    return A


def reparametrised(chain: Chain, maps: list[Float[Tensor, "d d"]]) -> Chain:
    """The same function with hidden site l holding x A_l in place of x."""
    sections = []
    for number, section in enumerate(chain.sections):
        before = torch.linalg.inv(maps[number - 1]) if number else None
        after = maps[number] if number < len(maps) else None

        def run(x: Tensor, section=section, before=before, after=after) -> Tensor:
            x = x if before is None else x @ before
            x = section(x)
            return x if after is None else x @ after

        sections.append(run)
    return Chain(chain.sites, tuple(sections), chain.constant)


def planted_modules(seed: int = 0, levels: int = 40) -> tuple[Chain, Float[Tensor, "N 1 6"]]:
    """Two networks side by side (2-9-9-3 and 3-11-11-4) seen through affine maps of both hidden layers, on all pairs of
    ``levels`` inputs of the one with as many of the other: a factorial design, on which the two are exactly
    uncorrelated.

    Biases are set so that every neuron is silent on about 40 % of the inputs: a neuron that always fires is linear in
    its inputs, and a module with such neurons has fewer features than neurons.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    one, two = normal(levels, 2), normal(levels, 3)
    x = torch.cat([one.repeat_interleave(levels, 0), two.repeat(levels, 1)], 1)
    widths, layers, at = [(2, 3), MODULE_SIZES, MODULE_SIZES, (3, 4)], [], x
    for number, ((a, b), (c, d)) in enumerate(itertools.pairwise(widths)):
        block = torch.block_diag(normal(a, c) / a**0.5, normal(b, d) / b**0.5)
        bias = -(at @ block).quantile(0.4, dim=0, keepdim=True)
        at = torch.relu(at @ block + bias)
        folded = torch.cat([block, bias])
        if number < 2:
            keep = torch.zeros(a + b + 1, 1, dtype=torch.float64)
            keep[-1] = 1
            folded = torch.cat([folded, keep], 1)
        layers.append(folded)
    maps = [affine(sum(MODULE_SIZES), generator) for _ in range(2)]
    return reparametrised(folded_chain(layers), maps), with_constant(x)[:, None]


def planted_lines(seed: int = 0, widths: tuple[int, ...] = (7, 6, 5), samples: int = 400) -> tuple[Chain, Tensor]:
    """A linear network without biases, and inputs [N, 1, d]."""
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.randn(a, b, generator=generator, dtype=torch.float64) for a, b in itertools.pairwise(widths)]
    sections = folded_chain(layers, "identity").sections
    chain = Chain(tuple(f"layers.{number}" for number in range(len(widths))), sections, (False,) * len(widths))
    return chain, torch.randn(samples, 1, widths[0], generator=generator, dtype=torch.float64)
