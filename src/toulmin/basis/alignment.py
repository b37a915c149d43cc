r"""The basis of the integrated gradient of an overlap: the formula ``(1-0)*alpha`` of the reference implementation.

In place of a whole Jacobian, one gradient for each sample: with f the next section's features, and nodes on the line
a x,

.. math:: g = \int_0^1 \nabla_x \langle f(a x), f(x) \rangle \, da, \qquad M' = E[g g^T], \qquad \Lambda' = E[g x^T],
    \qquad \Lambda = |\mathrm{diag}(V^T R^+ \Lambda' R V)|

where the gradient is with respect to a x, and V are the eigenvectors of R^+ M' R^{+T}. One backward pass a node costs
as much as one row of the Jacobian. (Bushnaq et al. 2024, "The Local Interaction Basis", appendix on earlier formulas.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.closed_forms import Function
from toulmin.basis.nodes import Node, line_nodes
from toulmin.basis.rotation import Rotation, Whitened, keep_strong
from toulmin.faults import Fault, FaultError


@dataclass(frozen=True)
class OverlapMoments:
    """``matrix``: M' = E[g g^T]; ``strength``: Lambda' = E[g x^T]; both [d, d], float64."""

    matrix: Float[Tensor, "d d"]
    strength: Float[Tensor, "d d"]


def overlap_moments(
    section: Function,
    inputs: Iterable[Float[Tensor, "N P d"]],
    readout: Float[Tensor, "O F"] | None,
    *,
    nodes: Sequence[Node] | None = None,
) -> OverlapMoments:
    """M' and Lambda' of the integrated gradient of <f(a x), f(x)>, f the features ``section(x) @ readout``.

    :param nodes: points of the line; default five of Gauss-Legendre.
    :raises FaultError: ``basis.data`` no data.
    """
    nodes = nodes or line_nodes("gauss-legendre", 4)
    matrix: Tensor | None = None
    strength: Tensor | None = None
    count = 0
    for x in inputs:
        count += x.shape[0] * x.shape[1]
        g = _gradient(section, x, readout, nodes).flatten(0, 1).double()
        flat = x.flatten(0, 1).double()
        matrix = g.T @ g if matrix is None else matrix.addmm_(g.T, g)
        strength = g.T @ flat if strength is None else strength.addmm_(g.T, flat)
    if matrix is None or strength is None:
        raise FaultError(Fault("basis.data", "no data"))
    return OverlapMoments(matrix / count, strength / count)


def rotate_by_overlap(
    site: str, white: Whitened, moments: OverlapMoments, *, threshold: float
) -> tuple[Rotation, Float[Tensor, "K"]]:
    """The basis that :func:`overlap_moments` gives, and all of Lambda before small ones are dropped.

    Features are in the order of the eigenvalues of M, Lambda is not sorted before it is cut; C is sorted by Lambda.
    """
    first = 1 if white.constant else 0
    M = white.R_inverse @ moments.matrix @ white.R_inverse.T
    _, vectors = torch.linalg.eigh(M[first:, first:])
    V = torch.block_diag(torch.eye(first, dtype=M.dtype, device=M.device), vectors.flip(1))
    every = (V.T @ white.R_inverse @ moments.strength @ white.R @ V).diagonal().abs()
    return keep_strong(site, white, V, every, threshold), every


def _gradient(section: Function, x: Tensor, readout: Tensor | None, nodes: Sequence[Node]) -> Float[Tensor, "N P d"]:
    def features(at: Tensor) -> Tensor:
        out = section(at)
        return out if readout is None else out @ readout.to(out.dtype)

    with torch.no_grad():
        target = features(x)
    total = torch.zeros_like(x)
    for node in nodes:
        with torch.enable_grad():
            at = (node.at * x).detach().requires_grad_()
            (gradient,) = torch.autograd.grad((features(at) * target).sum(), at)
        total += node.weight * gradient
    return total
