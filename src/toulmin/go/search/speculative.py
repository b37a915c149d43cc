"""Positions that a search will probably ask for next, evaluated together with the one it asks for now.

A batch of a few positions costs a network hardly more than one position. So when one tree (or very few) waits for an
evaluation, further descents are tried on it as if the values under way were known already: a visit under way leaves the
mean of its node as it is, and a new node is worth what its parent is. The edges they end at are evaluated in the same
batch and kept. A search that comes to such an edge takes what is kept, and one that never does has lost the
evaluation. What the search does is the same with and without, visit for visit; only the batches differ.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.compiled import kernel
from toulmin.go.search.tree import Forest

Index = NDArray[np.int64] | tuple[NDArray[np.int64], NDArray[np.int64]] | slice

TRIES = 3
"""Descents tried for every position looked for: some end at a position that is already known or under way."""


@kernel
def _choose(prior, child, visits, pending, total, mover, tree, node, rule, root, extra, ahead, tries):
    """As the selection of :mod:`toulmin.go.search.tree`, with the visits supposed so far."""
    sign = 1.0 if mover[tree, node] == 1 else -1.0
    below, mass = 0.0, 0.0
    actions = prior.shape[2]
    for action in range(actions):
        down, slot = child[tree, node, action], ahead[tree, node, action]
        count = 0.0
        if down >= 0:
            count = visits[tree, down] + pending[tree, down] + extra[down]
        elif slot >= 0:
            count = tries[slot]
        if count > 0:
            below += count
            mass += prior[tree, node, action]
    scale = (rule[0] + rule[1] * math.log((below + rule[2]) / rule[2])) * math.sqrt(below + 0.01)
    mean = sign * total[tree, node, 0] / visits[tree, node]
    urgency = mean - (rule[4] if root else rule[3]) * math.sqrt(mass)
    best, best_action = -1e300, -1
    for action in range(actions):
        chance = prior[tree, node, action]
        if chance < 0:
            continue
        down, slot = child[tree, node, action], ahead[tree, node, action]
        value, count = urgency, 0.0
        if down >= 0:
            count = visits[tree, down] + pending[tree, down] + extra[down]
            value = sign * total[tree, down, 0] / visits[tree, down] if visits[tree, down] > 0 else mean
        elif slot >= 0 and tries[slot] > 0:
            count = tries[slot]
            value = mean
        score = value + scale * chance / (1.0 + count)
        if score > best:
            best, best_action = score, action
    return best_action


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
            chosen = _choose(
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
    """What evaluations said of positions, or of nothing yet: arrays over any leading axes.

    ``prior`` (..., A) with -1 at illegal actions, ``mover``, whether the game ``ended``, ``values`` (..., 3).
    """

    prior: NDArray[np.float32]
    mover: NDArray[np.int64]
    ended: NDArray[np.bool_]
    values: NDArray[np.float64]

    @classmethod
    def room(cls, shape: tuple[int, ...], actions: int) -> Known:
        """Room for so many."""
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
    """What is known of T trees beyond their nodes: at most S slots a tree, an edge and its evaluation each."""

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
