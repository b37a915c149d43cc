"""Bases for all sites of a chain, from the last backwards, and the interactions between their features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.alignment import overlap_moments, rotate_by_overlap
from toulmin.basis.closed_forms import Elementwise, Function, ResidualAttention, ResidualMlp
from toulmin.basis.grams import gram_matrices
from toulmin.basis.jacobians import DEFAULT_BYTES, interactions, second_moment
from toulmin.basis.nodes import Node
from toulmin.basis.norm_mlp import NormMlp
from toulmin.basis.rotation import Rotation, Whitened, orthogonal_rotation, pca_rotation, rotate, whiten
from toulmin.basis.sections import Chain
from toulmin.faults import Fault, FaultError

Formula = Literal["jacobian", "overlap"]
Batches = Sequence[Float[Tensor, "N P d"]]


@dataclass(frozen=True)
class InteractionGraph:
    """A basis for every site but the last, and the interactions between neighbouring ones.

    :ivar edges: for each section E [F, J]: how strongly feature j acts on feature i of the next site; at the last site
        the features are the outputs themselves.
    """

    rotations: tuple[Rotation, ...]
    edges: tuple[Float[Tensor, "F J"], ...]


def local_interaction_basis(
    chain: Chain,
    batches: Batches,
    *,
    formula: Formula = "jacobian",
    centred: bool = True,
    nodes: Sequence[Node] | None = None,
    gram_threshold: float = 1e-12,
    strength_threshold: float = 1e-12,
    sources: int | None = None,
    generator: torch.Generator | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> InteractionGraph:
    """The Local Interaction Basis: each site's directions are those that act apart from one another on the next site.

    :param batches: activations of the first site.
    :param formula: ``jacobian``, or ``overlap``: the reference's ``(1-0)*alpha`` (:mod:`toulmin.basis.alignment`).
    :param centred: take the mean out of the Gram matrices and keep the constant apart.
    :param nodes: points of integrated gradients (:func:`line_nodes`); default the Jacobian itself.
    :param gram_threshold: directions of variance below this share of the largest are dropped; ``strength_threshold``
        the same for Lambda.
    :param sources: estimate M' from this many random sign vectors a sample (:func:`second_moment`); default exactly.
    :raises FaultError: ``basis.data``, ``basis.gram``, ``basis.memory``; ``basis.formula`` sources with ``overlap``.
    """
    if formula == "overlap" and sources is not None:
        raise FaultError(Fault("basis.formula", "random sources estimate the Jacobian formula only", name="sources"))
    options: dict[str, Any] = {"nodes": nodes, "sources": sources, "generator": generator, "max_bytes": max_bytes}
    white = _whiten(chain, batches, centred, gram_threshold)
    rotations: list[Rotation] = []
    readout: Tensor | None = None
    for number in range(len(chain.sections) - 1, -1, -1):
        site, section, inputs = chain.sites[number], chain.sections[number], _inputs(chain, batches, number)
        if formula == "overlap":
            overlap = overlap_moments(section, inputs, readout, nodes=nodes)
            found, _ = rotate_by_overlap(site, white[number], overlap, threshold=strength_threshold)
        else:
            moment = second_moment(section, inputs, readout, **options)
            found, _ = rotate(site, white[number], moment.matrix, threshold=strength_threshold)
        rotations.insert(0, found)
        readout = found.C
    return _with_edges(chain, batches, rotations, nodes, max_bytes)


def interaction_basis(
    chain: Chain,
    batches: Batches,
    *,
    centred: bool = True,
    nodes: Sequence[Node] | None = None,
    gram_threshold: float = 1e-12,
    strength_threshold: float = 1e-12,
    sources: int | None = None,
    generator: torch.Generator | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> InteractionGraph:
    """The Interaction Basis: as the local one, with the Jacobian of the network's output in place of the next site's.

    With a large output (a vocabulary) the exact sum takes a vector-Jacobian product for each logit; ``sources``
    estimates it. Parameters and faults are those of :func:`local_interaction_basis`.
    """
    options: dict[str, Any] = {"nodes": nodes, "sources": sources, "generator": generator, "max_bytes": max_bytes}
    white = _whiten(chain, batches, centred, gram_threshold)
    rotations: list[Rotation] = []
    for number in range(len(chain.sections)):
        rest = _rest(chain, number)
        inputs = _inputs(chain, batches, number)
        moment = second_moment(rest, inputs, None, **options)
        found, _ = rotate(chain.sites[number], white[number], moment.matrix, threshold=strength_threshold)
        rotations.append(found)
    return _with_edges(chain, batches, rotations, nodes, max_bytes)


def pca_basis(
    chain: Chain,
    batches: Batches,
    *,
    centred: bool = True,
    nodes: Sequence[Node] | None = None,
    gram_threshold: float = 1e-12,
    max_bytes: int = DEFAULT_BYTES,
) -> InteractionGraph:
    """The baseline: principal components of every site, and the interactions between them."""
    white = _whiten(chain, batches, centred, gram_threshold)
    rotations = [pca_rotation(site, one) for site, one in zip(chain.sites[:-1], white, strict=True)]
    return _with_edges(chain, batches, rotations, nodes, max_bytes)


def neuron_basis(
    chain: Chain,
    batches: Batches,
    *,
    centred: bool = True,
    nodes: Sequence[Node] | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> InteractionGraph:
    """The baseline: the coordinates of every site as they are, less their mean where centred."""
    rotations = []
    for number, gram in enumerate(gram_matrices(chain, batches, centred=centred)[:-1]):
        apart = centred and chain.constant[number]
        axes = torch.eye(len(gram.mean) - apart, dtype=gram.mean.dtype, device=gram.mean.device)
        rotations.append(orthogonal_rotation(chain.sites[number], gram, axes, axes.new_ones(len(axes)), apart=apart))
    return _with_edges(chain, batches, rotations, nodes, max_bytes)


def random_basis(
    chain: Chain,
    batches: Batches,
    *,
    centred: bool = True,
    nodes: Sequence[Node] | None = None,
    max_bytes: int = DEFAULT_BYTES,
    seed: int = 0,
) -> InteractionGraph:
    """The placebo: a random rotation of every site, less the mean where centred."""
    generator = torch.Generator().manual_seed(seed)
    rotations = []
    for number, gram in enumerate(gram_matrices(chain, batches, centred=centred)[:-1]):
        apart = centred and chain.constant[number]
        width = len(gram.mean) - apart
        drawn = torch.randn(width, width, generator=generator, dtype=torch.float64)
        axes = torch.linalg.qr(drawn).Q.to(gram.mean)
        rotations.append(orthogonal_rotation(chain.sites[number], gram, axes, axes.new_ones(width), apart=apart))
    return _with_edges(chain, batches, rotations, nodes, max_bytes)


def svd_basis(
    chain: Chain,
    batches: Batches,
    *,
    centred: bool = True,
    nodes: Sequence[Node] | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> InteractionGraph:
    """The baseline: the singular directions of the weights that read each site, largest first, whatever the data are.

    The weights are those of a linear or elementwise section, an MLP's input, a layer of heads' Q, K and V side by side;
    for another section the Jacobians of all samples side by side.
    """
    rotations = []
    for number, gram in enumerate(gram_matrices(chain, batches, centred=centred)[:-1]):
        apart = centred and chain.constant[number]
        reading = _reading(chain.sections[number], _inputs(chain, batches, number), nodes, max_bytes)
        reading = reading[:-1, :-1] if apart else reading
        values, axes = torch.linalg.eigh(reading)
        values = values.flip(0).clamp(min=0)
        rotations.append(orthogonal_rotation(chain.sites[number], gram, axes.flip(1), values, apart=apart))
    return _with_edges(chain, batches, rotations, nodes, max_bytes)


def _reading(
    section: Function, inputs: Sequence[Tensor], nodes: Sequence[Node] | None, max_bytes: int
) -> Float[Tensor, "d d"]:
    """W W^T of the weights that read a site."""
    if isinstance(section, Elementwise):
        weights = [section.weight]
    elif isinstance(section, ResidualMlp):
        weights = [section.W_in]
    elif isinstance(section, NormMlp):
        weights = [w for w in (section.first, section.second) if w is not None]
    elif isinstance(section, ResidualAttention):
        weights = [w for part in (section.W_Q, section.W_K, section.W_V) for w in part]
    else:
        return second_moment(section, inputs, None, nodes=nodes, max_bytes=max_bytes).matrix
    both = torch.cat([w.double() for w in weights], 1)
    return both @ both.T


def _whiten(chain: Chain, batches: Batches, centred: bool, threshold: float) -> list[Whitened]:
    grams = gram_matrices(chain, batches, centred=centred)[:-1]
    flags = chain.constant[:-1]
    return [whiten(g, constant=c, centred=centred, threshold=threshold) for g, c in zip(grams, flags, strict=True)]


def _inputs(chain: Chain, batches: Batches, number: int) -> Sequence[Tensor]:
    """The activations of a site, a batch at a time; made again for each use, so that one batch is held."""
    return _Lazy(chain, batches, number)


class _Lazy(Sequence[Tensor]):
    def __init__(self, chain: Chain, batches: Batches, number: int) -> None:
        self._chain, self._batches, self._number = chain, batches, number

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Tensor:  # type: ignore[override]
        x = self._batches[index]
        with torch.no_grad():
            for section in self._chain.sections[: self._number]:
                x = section(x)
        return x


def _rest(chain: Chain, number: int) -> Function:
    parts: Sequence[Callable[[Tensor], Tensor]] = chain.sections[number:]
    if len(parts) == 1:
        return parts[0]

    def run(x: Tensor) -> Tensor:
        for part in parts:
            x = part(x)
        return x

    return run


def _with_edges(
    chain: Chain, batches: Batches, rotations: Sequence[Rotation], nodes: Sequence[Node] | None, max_bytes: int
) -> InteractionGraph:
    edges: list[Tensor] = []
    for number, section in enumerate(chain.sections):
        own = rotations[number]
        readout = rotations[number + 1].C if number + 1 < len(rotations) else None
        inputs = _inputs(chain, batches, number)
        edges.append(interactions(section, inputs, own.C, own.C_inverse, readout, nodes=nodes, max_bytes=max_bytes))
    return InteractionGraph(tuple(rotations), tuple(edges))
