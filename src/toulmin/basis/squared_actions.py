r"""Squared actions of features through one layer of neurons, summed over samples.

With s the slopes of the neurons, A [J, K] what reads the features, B [K, F] what the next features read, and f the
features,

.. math:: E_{ij} = \sum_n f_{nj}^2 \Big( T_{ji} + \sum_k A_{jk} s_{nk} B_{ki} \Big)^2 ,

N J K F multiply-adds as it stands, the costliest step of the method. Three orders of the products give the same sum:

- with few outputs, s is multiplied into B, so that what is made is F wide instead of J;
- where many slopes are exactly zero (ReLU), a sample's products leave out the neurons that it does not fire;
- otherwise s is multiplied into A, for as many samples at a time as memory allows.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

#: neurons without slope are left out where at least this share of all slopes is zero
_ZERO_SHARE = 0.2
#: and a matrix product is large enough to be worth a call for each sample
_LARGE = 1 << 18


def pieces(count: int, bytes_each: int, max_bytes: int) -> list[slice]:
    """Slices of so many samples that what each of them takes stays within ``max_bytes``."""
    size = max(1, int(max_bytes // max(1, bytes_each)))
    return [slice(start, start + size) for start in range(0, count, size)]


def squared_actions(
    A: Float[Tensor, "J K"],
    slopes: Float[Tensor, "N K"],
    B: Float[Tensor, "K F"],
    features: Float[Tensor, "N J"],
    straight: Float[Tensor, "J F"] | None,
    max_bytes: int,
) -> Float[Tensor, "F J"]:
    """The sum over samples, in float64.

    :param straight: T, what acts past the neurons; None for nothing.
    :param max_bytes: a bound on the products held at once; one sample's are made in any case.
    """
    J, K = A.shape
    F, size = B.shape[1], A.element_size()
    weights = features.square()
    total = torch.zeros(J, F, dtype=torch.float64, device=A.device)
    if 2 * F <= J:
        for some in pieces(len(slopes), size * (K * F + 2 * J * F), max_bytes):
            through = (slopes[some].T[:, :, None] * B[:, None]).flatten(1)  # [K, n F]
            acting = (A @ through).unflatten(1, (-1, F))  # [J, n, F]
            if straight is not None:
                acting += straight[:, None]
            total += torch.einsum("jnf,nj->jf", acting.square_(), weights[some]).double()
    elif J * K * F >= _LARGE and float((slopes == 0).double().mean()) >= _ZERO_SHARE:
        reading = A.T.contiguous()
        for row, weight in zip(slopes, weights, strict=True):
            on = row.nonzero()[:, 0]
            acting = (reading[on] * row[on, None]).T @ B[on]
            if straight is not None:
                acting += straight
            total += acting.square_().mul_(weight[:, None])
    else:
        for some in pieces(len(slopes), 2 * size * (J * K + J * F), max_bytes):
            reading = A * slopes[some, None]
            if straight is None:
                acting = reading @ B  # [n, J, F]
            else:
                acting = torch.baddbmm(straight, reading, B.expand(len(reading), -1, -1))
            total += torch.einsum("njf,nj->jf", acting.square_(), weights[some]).double()
    return total.T
