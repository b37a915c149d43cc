r"""The basis of one site, from its Gram matrix and the second moment of the Jacobian of what follows.

Row vectors: a feature is x C. With the Gram matrix G = U D U^T, the centring Y, W = Y U, R = W D^{-1/2} and
R^+ = D^{1/2} U^T Y^{-1}, and M' the second moment of the Jacobian of the next section
(:mod:`toulmin.basis.jacobians`):

.. math:: M = R^+ M' R^{+T} = V \Lambda V^T, \qquad C = R V \Lambda^{1/2}, \qquad C^+ = \Lambda^{-1/2} V^T R^+ .

Where activations are centred the constant comes first and is kept apart: M is diagonalised on the other directions.
Directions with small D or small Lambda are dropped; thresholds are relative to the largest. (Bushnaq et al. 2024, "The
Local Interaction Basis", section 3 and appendix.)
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.grams import Gram
from toulmin.faults import ExitCode, Fault, FaultError


@dataclass(frozen=True)
class Rotation:
    """A basis of one site: features are x C, activations are features C^+ (up to what was dropped).

    :ivar C: [d, F]; ``C_inverse``: [F, d].
    :ivar strength: Lambda, [F], descending (the constant first where it is kept apart); the eigenvalues of G in a PCA
        basis, ones in the basis of neurons.
    :ivar spectrum: D, all eigenvalues of the Gram matrix, descending.
    :ivar kept: the number of directions whose D is above the threshold.
    :ivar constant: whether feature 0 is the constant.
    """

    site: str
    C: Float[Tensor, "d F"]
    C_inverse: Float[Tensor, "F d"]
    strength: Float[Tensor, "F"]
    spectrum: Float[Tensor, "d"]
    kept: int
    constant: bool

    @property
    def width(self) -> int:
        """The number of features."""
        return self.C.shape[1]

    def project(self, count: int) -> Float[Tensor, "d d"]:
        """x -> x P keeps the first ``count`` features only; all of them means no change at all."""
        if count >= self.width:
            return torch.eye(self.C.shape[0], dtype=self.C.dtype)
        return self.C[:, :count] @ self.C_inverse[:count]


@dataclass(frozen=True)
class Whitened:
    """R and R^+ of a site: activations as uncorrelated directions of unit variance."""

    R: Float[Tensor, "d K"]
    R_inverse: Float[Tensor, "K d"]
    W: Float[Tensor, "d K"]
    W_inverse: Float[Tensor, "K d"]
    D: Float[Tensor, "K"]
    spectrum: Float[Tensor, "d"]
    constant: bool


def whiten(gram: Gram, *, constant: bool, centred: bool, threshold: float) -> Whitened:
    """PCA of a site, with the constant as first direction where activations are centred.

    :param constant: the site's last coordinate is the constant 1.
    :param threshold: directions with D <= threshold times the largest D are dropped.
    :raises FaultError: ``basis.gram`` (exit NUMERICAL) nothing is left.
    """
    G = gram.matrix
    d = len(G)
    apart = constant and centred
    inner = G[:-1, :-1] if apart else G
    values, vectors = torch.linalg.eigh(inner)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    largest = float(values[0]) if len(values) else 0.0
    keep = values > threshold * largest
    spectrum = values
    D, U = values[keep], vectors[:, keep]
    if apart:  # G is block-diagonal: the constant, which has second moment 1, and the centred rest
        U = torch.block_diag(U, U.new_ones(1, 1)).roll(1, 1)
        D = torch.cat([G[-1:, -1], D])
        spectrum = torch.cat([G[-1:, -1], values])
    if not len(D):
        raise FaultError(Fault("basis.gram", "no direction is above the threshold"), ExitCode.NUMERICAL)
    eye = torch.eye(d, dtype=G.dtype, device=G.device)
    Y, Y_inverse = eye.clone(), eye.clone()
    if apart:
        Y[-1] -= gram.mean
        Y_inverse[-1] += gram.mean
    W, W_inverse = Y @ U, U.T @ Y_inverse
    return Whitened(W / D.sqrt(), D.sqrt()[:, None] * W_inverse, W, W_inverse, D, spectrum, apart)


def rotate(
    site: str, white: Whitened, second_moment: Float[Tensor, "d d"], *, threshold: float
) -> tuple[Rotation, Float[Tensor, "K"]]:
    """The interaction basis of a site, and all eigenvalues Lambda before small ones are dropped.

    :param second_moment: M', of the Jacobian of what follows.
    :param threshold: features with Lambda <= threshold times the largest are dropped.
    """
    M = white.R_inverse @ second_moment @ white.R_inverse.T
    first = 1 if white.constant else 0
    values, vectors = torch.linalg.eigh(M[first:, first:])
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    V = torch.block_diag(torch.eye(first, dtype=M.dtype, device=M.device), vectors)
    every = torch.cat([M.diagonal()[:first], values])
    return keep_strong(site, white, V, every, threshold), every


def keep_strong(
    site: str, white: Whitened, V: Float[Tensor, "K K"], strength: Float[Tensor, "K"], threshold: float
) -> Rotation:
    """C = R V Lambda^1/2 and its inverse, with the features of strength above ``threshold`` times the largest, in
    descending order; the constant first where it is kept apart."""
    first = 1 if white.constant else 0
    values = strength[first:]
    largest = float(values.max()) if len(values) else 0.0
    order = values.argsort(descending=True, stable=True)
    order = order[values[order] > threshold * largest]
    index = torch.cat([torch.arange(first, device=V.device), first + order])
    strength = strength[index]
    scale = strength.sqrt()
    if first and float(strength[0]) == 0.0:  # nothing reads the constant: leave its scale alone
        scale = torch.cat([scale.new_ones(1), scale[1:]])
    C = (white.R @ V)[:, index] * scale
    C_inverse = (V.T @ white.R_inverse)[index] / scale[:, None]
    return Rotation(site, C, C_inverse, strength, white.spectrum, len(white.D), white.constant)


def pca_rotation(site: str, white: Whitened) -> Rotation:
    """The PCA basis of a site: features are x W, of variance D."""
    return Rotation(site, white.W, white.W_inverse, white.D, white.spectrum, len(white.D), white.constant)


def orthogonal_rotation(
    site: str, gram: Gram, axes: Float[Tensor, "K K"], strength: Float[Tensor, "K"], *, apart: bool
) -> Rotation:
    """The basis of given orthonormal directions (columns), on activations less their mean.

    :param strength: one number for each direction; :param apart: the constant is kept apart, as feature 0, and
        ``axes`` are directions of the rest.
    """
    d = len(gram.mean)
    C, inverse = axes, axes.T
    if apart:
        C = torch.cat([axes.new_zeros(d, 1), torch.cat([axes, -(gram.mean[:-1] @ axes)[None]])], 1)
        C[-1, 0] = 1.0
        constant = torch.cat([gram.mean[:-1], axes.new_ones(1)])  # features of the constant alone: the mean
        inverse = torch.cat([constant[None], torch.cat([axes.T, axes.new_zeros(len(axes), 1)], 1)])
        strength = torch.cat([strength.new_ones(1), strength])
    return Rotation(site, C, inverse, strength, strength, len(strength), apart)
