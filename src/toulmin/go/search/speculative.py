"""Positions that a search will probably ask for next, evaluated together with the one it asks for now.

A batch of a few positions costs a network hardly more than one position. So when one tree (or very few) waits for an
evaluation, further descents are tried on it as if the values under way were known already: a visit under way leaves the
mean of its node as it is, and a new node is worth what its parent is. The edges they end at are evaluated in the same
batch and kept. A search that comes to such an edge takes what is kept, and one that never does has lost the
evaluation. What the search does is the same with and without, visit for visit; only the batches differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.compiled import kernel
from toulmin.go.search.tree import Forest, choose

Index = NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.int64]] | slice

TRIES = 3
"""Descents tried for every position looked for: some end at a position that is already known or under way."""


@kernel
def _look_ahead(
    prior,
    child,
    visits,
    pending,
    total,
    mover,
    ended,
    tree,
    rule,
    wanted,
    attempts,
    ahead,
    used,
    parent,
    edge,
    extra,
    tries,
):
    """Give slots to at most ``wanted`` new edges of one tree; returns how many."""
    for node in range(extra.shape[0]):
        extra[node] = 0
    for slot in range(tries.shape[0]):
        tries[slot] = 0
    found = 0
    for _ in range(attempts):
        if found == wanted or used[tree] == tries.shape[0]:
            break
        node, depth = 0, 0
        while not ended[tree, node] and visits[tree, node] > 0:
            chosen = choose(
                prior, child, visits, pending, total, mover, tree, node, rule, depth == 0, extra, ahead, tries
            )
            depth += 1
            down = child[tree, node, chosen]
            if down >= 0:
                extra[down] += 1
                node = down
                continue
            slot = ahead[tree, node, chosen]
            if slot < 0:
                slot = used[tree]
                used[tree] += 1
                ahead[tree, node, chosen] = slot
                parent[tree, slot], edge[tree, slot] = node, chosen
                found += 1
            tries[slot] += 1
            break
    return found


class Known(NamedTuple):
    """The evaluations of positions, as arrays over any leading axes.

    ``prior`` (..., A) with -1 at illegal actions, ``mover``, whether the game ``ended``, ``values`` (..., 3).
    """

    prior: NDArray[np.float32]
    mover: NDArray[np.int64]
    ended: NDArray[np.bool_]
    values: NDArray[np.float64]

    @classmethod
    def room(cls, shape: tuple[int, ...], actions: int) -> Known:
        """Arrays of this shape, without values yet."""
        prior = np.full((*shape, actions), -1.0, np.float32)
        return cls(prior, np.ones(shape, np.int64), np.zeros(shape, np.bool_), np.zeros((*shape, 3)))

    def at(self, which: Index) -> Known:
        """Some of them."""
        return Known(self.prior[which], self.mover[which], self.ended[which], self.values[which])

    def write(self, which: Index, given: Known) -> None:
        """Overwrite some of them."""
        for to, of in zip(self, given, strict=True):
            to[which] = of


class SpeculativeEvaluation:
    """Evaluations of edges without a node, for T trees: at most S slots a tree, an edge and its evaluation each."""

    def __init__(self, forest: Forest, slots: int) -> None:
        trees, nodes, actions = forest.prior.shape
        self.forest, self.slots = forest, slots
        self.ahead = np.full((trees, nodes, actions), -1, np.int32)
        self.used = np.zeros(trees, np.int64)
        self.parent, self.edge = np.zeros((trees, slots), np.int64), np.zeros((trees, slots), np.int64)
        self.known = Known.room((trees, slots), actions)
        self._extra, self._tries = np.zeros(nodes, np.int64), np.zeros(slots, np.int64)

    def slots_of(
        self, trees: NDArray[np.int64], parents: NDArray[np.int64], actions: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """The slots of these edges, -1 where they have none."""
        return self.ahead[trees, parents, actions].astype(np.int64)

    def look(
        self, trees: NDArray[np.int64], rule: NDArray[np.float64], wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Up to ``wanted`` new edges for each of these trees: (tree, slot) of all; ``parent``, ``edge`` say which."""
        forest = self.forest
        found: list[tuple[int, int]] = []
        for tree in trees.tolist():
            first = int(self.used[tree])
            count = _look_ahead(
                forest.prior,
                forest.child,
                forest.visits,
                forest.pending,
                forest.total,
                forest.mover,
                forest.ended,
                tree,
                rule,
                wanted,
                TRIES * wanted,
                self.ahead,
                self.used,
                self.parent,
                self.edge,
                self._extra,
                self._tries,
            )
            found += [(tree, slot) for slot in range(first, first + count)]
        pairs = np.array(found, np.int64).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]
