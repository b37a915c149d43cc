r"""Means and Gram matrices of the activations of every site, streamed over batches in float64.

.. math:: G = \frac{1}{NP} \sum_{n,p} x x^T, \qquad x \to x - \bar x \text{ where centred (the constant is not
shifted).}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.sections import Chain
from toulmin.faults import ExitCode, Fault, FaultError


@dataclass(frozen=True)
class Gram:
    """``matrix`` [d, d] and ``mean`` [d] of one site (zero where not centred, and always in the constant), float64."""

    matrix: Float[Tensor, "d d"]
    mean: Float[Tensor, "d"]
    samples: int
    positions: int


def gram_matrices(chain: Chain, batches: Iterable[Float[Tensor, "N P d"]], *, centred: bool = True) -> list[Gram]:
    """The Gram matrix of every site over all batches of inputs.

    One pass: second moments and means are summed in float64, and the mean is taken out at the end, with
    G = E[x x^T] - m m^T in the coordinates that are shifted.

    :raises FaultError: ``basis.data`` no data, or activations that are not finite.
    """
    moments: list[Tensor] = []
    sums: list[Tensor] = []
    counts: list[int] = []
    positions: list[int] = []
    samples = 0
    for batch in batches:
        samples += len(batch)
        for number, x in enumerate(chain.activations(batch)):
            flat = x.detach().flatten(0, 1).double()
            if number == len(moments):
                moments.append(flat.new_zeros(flat.shape[1], flat.shape[1]))
                sums.append(flat.new_zeros(flat.shape[1]))
                counts.append(0)
                positions.append(x.shape[1])
            moments[number] += flat.T @ flat
            sums[number] += flat.sum(0)
            counts[number] += len(flat)
    if not samples:
        raise FaultError(Fault("basis.data", "no data"))
    found: list[Gram] = []
    for number, (moment, total) in enumerate(zip(moments, sums, strict=True)):
        if not bool(torch.isfinite(moment).all()):
            message = "activations are NaN or infinite"
            raise FaultError(Fault("basis.data", message, name=chain.sites[number]), ExitCode.NUMERICAL)
        matrix, mean = moment / counts[number], torch.zeros_like(total)
        if centred:
            mean = total / counts[number]
            if chain.constant[number]:
                mean = torch.cat([mean[:-1], mean.new_zeros(1)])
            average = total / counts[number]
            shifted = torch.outer(mean, average)
            matrix = matrix - shifted - shifted.T + torch.outer(mean, mean)
        found.append(Gram(matrix, mean, samples, positions[number]))
    return found
