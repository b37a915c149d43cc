r"""Modules: sets of features that interact more among themselves than with others, against a null.

Features are the nodes of a graph, with weights (Bushnaq et al. 2024, "The Local Interaction Basis", section 5)

.. math:: w_{ij} = \max\big(0, \log_{10}(E_{ij} / \epsilon)\big)

eps being the smallest interaction that an ablation keeps (:func:`toulmin.basis.edges_needed`); the constant's nodes are
left out. Communities are Leiden's, of the largest modularity

.. math:: Q = \frac{1}{2m} \sum_{ij} \Big( w_{ij} - \frac{s_i s_j}{2m} \Big) \, [c_i = c_j]

with s the sums of a node's weights and m that of all edges. Any graph has communities, so Q means something only beside
that of graphs without modules: of the same nodes, the same number of edges at each node and the same weights in each
section, rewired at random.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from toulmin.basis.build import InteractionGraph
from toulmin.faults import ExitCode, Fault, FaultError, require_extra

Weights = list[Float[np.ndarray, "F J"]]


@dataclass(frozen=True)
class Modules:
    """Communities of features.

    :ivar communities: for each site the community of each feature, numbered by size from 0; -1 where a feature has no
        edge. The last site has those of the outputs.
    :ivar modularity: Q; :ivar null: Q of rewired graphs, their communities searched for in the same way;
        :ivar null_communities: those communities, as in ``communities``.
    """

    communities: tuple[Int[np.ndarray, "F"], ...]
    modularity: float
    null: Float[np.ndarray, "R"]
    null_communities: tuple[tuple[Int[np.ndarray, "F"], ...], ...] = ()

    @property
    def count(self) -> int:
        """The number of communities."""
        return 1 + max((int(c.max(initial=-1)) for c in self.communities), default=-1)

    @property
    def excess(self) -> float:
        """Q less the mean of the null."""
        return self.modularity - float(self.null.mean()) if len(self.null) else self.modularity

    @property
    def p_value(self) -> float:
        """The share of rewired graphs with at least this modularity, the graph itself counted among them."""
        return float((1 + (self.null >= self.modularity - 1e-12).sum()) / (1 + len(self.null)))


def interaction_weights(graph: InteractionGraph, smallest: Sequence[float]) -> Weights:
    """w = max(0, log10(E / eps)) of every section, zero from and to the constant.

    :param smallest: eps for each section.
    :raises FaultError: ``basis.modules`` not one positive number for each section.
    """
    if len(smallest) != len(graph.edges) or min(smallest, default=0) <= 0:
        message = f"the smallest interaction is one positive number for each of {len(graph.edges)} sections"
        raise FaultError(Fault("basis.modules", message))
    found: Weights = []
    for number, (edges, least) in enumerate(zip(graph.edges, smallest, strict=True)):
        strength = edges.double().cpu().numpy() / least
        weights = np.log10(np.maximum(strength, 1.0))
        if graph.rotations[number].constant:
            weights[:, 0] = 0
        if number + 1 < len(graph.rotations) and graph.rotations[number + 1].constant:
            weights[0] = 0
        found.append(weights)
    return found


def modules(
    weights: Sequence[Float[np.ndarray, "F J"]],
    *,
    resolution: float = 1.0,
    rewired: int = 20,
    trials: int = 10,
    seed: int = 0,
) -> Modules:
    """Communities of the graph with these weights between neighbouring sites, and Q of ``rewired`` graphs.

    :param weights: :func:`interaction_weights`; :param trials: independent searches, of which the best is kept.
    :raises FaultError: ``basis.modules`` (exit NUMERICAL) no edge at all; without the extra ``[basis]``.
    """
    communities, quality = find_communities(weights, resolution=resolution, trials=trials, seed=seed)
    rng = np.random.default_rng(seed)
    null = [
        find_communities([rewire(w, rng) for w in weights], resolution=resolution, trials=trials, seed=seed + n)
        for n in range(rewired)
    ]
    return Modules(tuple(communities), quality, np.array([q for _, q in null]), tuple(tuple(c) for c, _ in null))


def find_communities(
    weights: Sequence[Float[np.ndarray, "F J"]], *, resolution: float = 1.0, trials: int = 10, seed: int = 0
) -> tuple[list[Int[np.ndarray, "F"]], float]:
    """Leiden communities, largest first, and their modularity."""
    native = require_extra("graspologic_native", "basis")
    edges: list[tuple[str, str, float]] = []
    for number, w in enumerate(weights):
        rows, columns = np.nonzero(w)
        edges += [(f"{number + 1}.{i}", f"{number}.{j}", float(w[i, j])) for i, j in zip(rows, columns, strict=True)]
    if not edges:
        raise FaultError(Fault("basis.modules", "the graph has no edges"), ExitCode.NUMERICAL)
    _, found = native.leiden(edges, resolution=resolution, iterations=2, seed=seed, trials=trials)
    widths = [weights[0].shape[1], *(w.shape[0] for w in weights)]
    order = sorted(set(found.values()), key=lambda c: (-sum(v == c for v in found.values()), c))
    renamed = {community: index for index, community in enumerate(order)}
    communities = [
        np.array([renamed[found[f"{site}.{i}"]] if f"{site}.{i}" in found else -1 for i in range(width)])
        for site, width in enumerate(widths)
    ]
    return communities, modularity(weights, communities, resolution=resolution)


def modularity(
    weights: Sequence[Float[np.ndarray, "F J"]],
    communities: Sequence[Int[np.ndarray, "F"]],
    *,
    resolution: float = 1.0,
) -> float:
    """Q of a partition."""
    total = sum(float(w.sum()) for w in weights)
    inside = 0.0
    sums = np.zeros(1 + max(int(c.max(initial=-1)) for c in communities))
    for w, before, after in zip(weights, communities[:-1], communities[1:], strict=True):
        inside += float(w[after[:, None] == before].sum())
        for strength, members in ((w.sum(0), before), (w.sum(1), after)):
            np.add.at(sums, members[members >= 0], strength[members >= 0])
    return inside / total - resolution * float(np.square(sums / (2 * total)).sum())


def rewire(weights: Float[np.ndarray, "F J"], rng: np.random.Generator, swaps: int = 10) -> Float[np.ndarray, "F J"]:
    """The same number of edges at every node, at other places, with the weights shuffled.

    Two edges (i, j), (k, l) become (i, l), (k, j) where neither exists yet; ``swaps`` attempts for each edge.
    """
    rows, columns = (list(map(int, found)) for found in np.nonzero(weights))
    there = set(zip(rows, columns, strict=True))
    count = len(rows)
    if count > 1:
        for a, b in rng.integers(0, count, (swaps * count, 2)):
            one, two = (rows[a], columns[b]), (rows[b], columns[a])
            if one in there or two in there:
                continue
            there -= {(rows[a], columns[a]), (rows[b], columns[b])}
            there |= {one, two}
            columns[a], columns[b] = columns[b], columns[a]
    out = np.zeros_like(weights)
    out[rows, columns] = rng.permutation(weights[np.nonzero(weights)])
    return out
