"""Many search trees side by side, in flat arrays, with compiled descent and backup.

A :class:`Forest` holds T trees of at most N nodes over A actions. Node 0 of a tree is its root. A node keeps the prior
over its actions (-1 where an action is illegal), the child behind every action (-1 where none), who moves (1 or 2), its
visits and the sums of K values over its visits, and of the square of the first of them. Values are seen by player 1;
column 0 is the utility that the search maximises for player 1 and minimises for player 2, the others are carried along
for reports.

Selection at a node with utility U and children i of prior P_i, visits n_i and mean utility q_i (all for the mover),
with N the sum of the n_i:

    argmax_i  q_i + P_i / (1 + n_i) · sqrt(N + 0.01) · (cpuct + cpuct_log · ln((N + base) / base))

where a child without visits has q_i = U - reduction · sqrt(sum of P over visited children), the first-play urgency.
Of equals the lowest action wins, so that a search depends on nothing but its inputs. Several leaves of one tree may
be under evaluation at once: each pending visit counts as ``virtual_loss`` visits lost by the mover.

A node marked ``sampled`` belongs to a player that is modelled and not searched for (A-MCTS, Wang et al. 2022, section
4): there the action is drawn from the prior, and the node has no value of its own. Its making adds no visit; the
descent that made it goes on below it (:meth:`Forest.descend_on`), and the one joined path is a single visit of the leaf
where that ends. So the mean of every node is over the leaves of the searching player and the ends of games. The numbers
that are drawn come from a key for each descent, which the caller gives: a tree depends on no other in its batch.

The game itself is elsewhere: the forest never learns what an action does.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.compiled import kernel
from toulmin.go.search.settings import SearchSettings

NEW, FINISHED, BUSY = 0, 1, 2
"""What a descent ended at: a new node, a finished position, or a node still under evaluation (nothing to do)."""


@kernel
def choose(prior, child, visits, pending, total, mover, tree, node, rule, root, extra, ahead, tries):
    """The action that the selection formula chooses at a node.

    ``extra``, ``ahead`` and ``tries`` are None in a search. In speculative evaluation (the search continued before the
    values under way are known) they hold the visits supposed so far, of nodes and of edges without a node, and a visit
    without a value leaves the mean of its node, or of its parent, as it is. Compiled once for each of the two.
    """
    sign = 1.0 if mover[tree, node] == 1 else -1.0
    loss = rule[5]
    below, mass = 0.0, 0.0
    actions = prior.shape[2]
    for action in range(actions):
        down, count = child[tree, node, action], 0.0
        if down >= 0:
            if extra is None:
                count = visits[tree, down] + loss * pending[tree, down]
            else:
                count = visits[tree, down] + pending[tree, down] + extra[down]
        elif extra is not None and ahead[tree, node, action] >= 0:
            count = tries[ahead[tree, node, action]]
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
        down, value, count = child[tree, node, action], urgency, 0.0
        if down >= 0:
            if extra is None:
                lost = loss * pending[tree, down]
                count = visits[tree, down] + lost
                value = (sign * total[tree, down, 0] - lost) / count
            else:
                count = visits[tree, down] + pending[tree, down] + extra[down]
                value = sign * total[tree, down, 0] / visits[tree, down] if visits[tree, down] > 0 else mean
        elif extra is not None and ahead[tree, node, action] >= 0 and tries[ahead[tree, node, action]] > 0:
            count, value = tries[ahead[tree, node, action]], mean
        score = value + scale * chance / (1.0 + count)
        if score > best:
            best, best_action = score, action
    return best_action


@kernel
def _uniform(key, depth):
    """A number in [0, 1) from a key and a depth (SplitMix64, Steele et al. 2014)."""
    z = np.uint64(key) + np.uint64(depth + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) / 9007199254740992.0


@kernel
def _draw(prior, tree, node, uniform):
    """An action of a sampled node, in proportion to its prior."""
    actions = prior.shape[2]
    mass = 0.0
    for action in range(actions):
        mass += max(prior[tree, node, action], 0.0)
    below, last = 0.0, -1
    for action in range(actions):
        chance = prior[tree, node, action]
        if chance > 0:
            below += chance
            last = action
            if below > uniform * mass:
                break
    return last


@kernel
def _descend(
    prior,
    child,
    visits,
    pending,
    total,
    mover,
    ended,
    known,
    sampled,
    used,
    trees,
    rule,
    keys,
    path,
    length,
    action,
    kind,
):
    for which in range(trees.shape[0]):
        tree = trees[which]
        depth = max(length[which] - 1, 0)  # a descent that goes on has a path already
        first = depth + 1 if depth > 0 else 0
        if depth == 0:
            path[which, 0] = 0
        node = path[which, depth]
        while True:
            if ended[tree, node]:
                kind[which] = FINISHED
                break
            if not known[tree, node]:
                kind[which] = BUSY
                break
            if sampled[tree, node]:
                chosen = _draw(prior, tree, node, _uniform(keys[which], depth))
            else:
                chosen = choose(
                    prior, child, visits, pending, total, mover, tree, node, rule, depth == 0, None, None, None
                )
            down = child[tree, node, chosen]
            depth += 1
            if down < 0:
                down = used[tree]
                used[tree] += 1
                child[tree, node, chosen] = down
                path[which, depth] = down
                action[which] = chosen
                kind[which] = NEW
                break
            node = down
            path[which, depth] = node
        length[which] = depth + 1
        if kind[which] != BUSY:
            for step in range(first, depth + 1):
                pending[tree, path[which, step]] += 1


@kernel
def _backup(visits, pending, total, square, trees, kind, path, length, values):
    for which in range(trees.shape[0]):
        if kind[which] == BUSY:
            continue
        tree = trees[which]
        for step in range(length[which]):
            node = path[which, step]
            pending[tree, node] -= 1
            visits[tree, node] += 1
            square[tree, node] += values[which, 0] * values[which, 0]
            for column in range(values.shape[1]):
                total[tree, node, column] += values[which, column]


class Descent:
    """Where a round of descents ended: arrays over its B leaves, in the order of ``trees``.

    ``kind`` says what was reached, ``parent`` and ``action`` the edge to it (of NEW leaves), ``node`` the node.
    """

    def __init__(self, trees: NDArray[np.int64], deepest: int) -> None:
        count = len(trees)
        self.trees = trees
        self.keys = np.zeros(count, np.uint64)
        self.path = np.empty((count, deepest), np.int32)
        self.length = np.zeros(count, np.int64)
        self.action = np.full(count, -1, np.int64)
        self.kind = np.zeros(count, np.int64)

    @property
    def node(self) -> NDArray[np.int64]:
        """The node each descent ended at."""
        return self.path[np.arange(len(self.trees)), self.length - 1].astype(np.int64)

    @property
    def parent(self) -> NDArray[np.int64]:
        """The node above it (meaningless at a root)."""
        return self.path[np.arange(len(self.trees)), np.maximum(self.length - 2, 0)].astype(np.int64)


class Forest:
    """T trees of N nodes over A actions with K value columns; see the module for the meaning of the arrays."""

    def __init__(self, trees: int, nodes: int, actions: int, columns: int = 1) -> None:
        self.prior = np.full((trees, nodes, actions), -1.0, np.float32)
        self.child = np.full((trees, nodes, actions), -1, np.int32)
        self.visits = np.zeros((trees, nodes), np.int32)
        self.pending = np.zeros((trees, nodes), np.int32)
        self.total = np.zeros((trees, nodes, columns))
        self.square = np.zeros((trees, nodes))
        self.mover = np.ones((trees, nodes), np.int8)
        self.ended = np.zeros((trees, nodes), np.bool_)
        self.known = np.zeros((trees, nodes), np.bool_)
        self.sampled = np.zeros((trees, nodes), np.bool_)
        self.used = np.ones(trees, np.int64)

    def descend(
        self, trees: NDArray[np.int64], rule: NDArray[np.float64], keys: NDArray[np.uint64] | None = None
    ) -> Descent:
        """Walk down from the root of each tree named (a tree may be named more than once) to a leaf.

        Visits along the way are pending until :meth:`backup` is called with the same descent. ``keys``, one a descent,
        decide what is drawn at sampled nodes; they may be absent where there are none.
        """
        # a way down is shorter than its tree, and one that goes on below a sampled node has one node more
        descent = Descent(trees, int(self.used.max()) + 2 * len(trees))
        descent.keys = np.zeros(len(trees), np.uint64) if keys is None else keys
        self._walk(descent, rule)
        return descent

    def descend_on(self, descent: Descent, which: NDArray[np.int64], rule: NDArray[np.float64]) -> None:
        """Go on, in these descents, from the sampled node that each has just made and that has been expanded."""
        rest = Descent(descent.trees[which], descent.path.shape[1])
        rest.keys, rest.path, rest.length = descent.keys[which], descent.path[which], descent.length[which]
        self._walk(rest, rule)
        descent.path[which], descent.length[which] = rest.path, rest.length
        descent.action[which], descent.kind[which] = rest.action, rest.kind

    def _walk(self, descent: Descent, rule: NDArray[np.float64]) -> None:
        _descend(
            self.prior,
            self.child,
            self.visits,
            self.pending,
            self.total,
            self.mover,
            self.ended,
            self.known,
            self.sampled,
            self.used,
            descent.trees,
            rule,
            descent.keys,
            descent.path,
            descent.length,
            descent.action,
            descent.kind,
        )

    def expand(
        self,
        trees: NDArray[np.int64],
        nodes: NDArray[np.int64],
        prior: NDArray[np.float32],
        mover: NDArray[np.int64],
        ended: NDArray[np.bool_],
        *,
        sampled: bool = False,
    ) -> None:
        """Write what an evaluation said about new nodes: prior (-1 at illegal actions), mover, and whether it ended.

        ``sampled``: the prior of these nodes is what their player draws its moves from.
        """
        self.known[trees, nodes] = True
        self.sampled[trees, nodes] = sampled
        self.prior[trees, nodes] = prior
        self.mover[trees, nodes] = mover
        self.ended[trees, nodes] = ended

    def backup(self, descent: Descent, values: NDArray[np.float64]) -> None:
        """Add the leaf values (B, K; seen by player 1) to every node on the way from the roots."""
        d = descent
        _backup(self.visits, self.pending, self.total, self.square, d.trees, d.kind, d.path, d.length, values)

    def plant(self, prior: NDArray[np.float32], mover: NDArray[np.int64], values: NDArray[np.float64]) -> None:
        """Give every root its prior, its mover and its first visit."""
        self.prior[:, 0], self.mover[:, 0] = prior, mover
        self.visits[:, 0], self.known[:, 0] = 1, True
        self.total[:, 0], self.square[:, 0] = values, values[:, 0] ** 2

    def root_visits(self) -> NDArray[np.int64]:
        """Visits of each action at the root, (T, A)."""
        return self._of_children(self.visits, 0).astype(np.int64)

    def root_means(self, column: int = 0) -> NDArray[np.float64]:
        """Mean value of each action at the root as player 1 sees it, (T, A); NaN where it was never visited."""
        count = self._of_children(self.visits, 0)
        total = self._of_children(self.total[:, :, column], 0.0)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def root_squares(self) -> NDArray[np.float64]:
        """Mean square of the utility of each action at the root, (T, A); NaN where it was never visited."""
        count = self._of_children(self.visits, 0)
        total = self._of_children(self.square, 0.0)
        return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)

    def variation(self, tree: int, action: int, most: int = 12) -> list[int]:
        """The action at a root and the most visited ones after it, at most ``most`` in all; of equals the likelier."""
        found, node = [action], int(self.child[tree, 0, action])
        while len(found) < most and node >= 0 and self.known[tree, node]:
            child = self.child[tree, node]
            count = np.where(child >= 0, self.visits[tree, np.maximum(child, 0)], 0)
            if not count.any():
                break
            best = int(np.lexsort((self.prior[tree, node], count))[-1])
            found.append(best)
            node = int(child[best])
        return found

    def means(self) -> NDArray[np.float64]:
        """Mean values of the roots, (T, K)."""
        return self.total[:, 0] / self.visits[:, 0, None]

    def _of_children(self, values: NDArray, absent: float) -> NDArray:
        child = self.child[:, 0]
        rows = np.arange(len(child))[:, None]
        return np.where(child >= 0, values[rows, np.maximum(child, 0)], absent)


def selection_rule(settings: SearchSettings) -> NDArray[np.float64]:
    """The numbers of the selection formula as the compiled code takes them."""
    return np.array(
        [
            settings.cpuct,
            settings.cpuct_log,
            settings.cpuct_base,
            settings.fpu_reduction,
            0.0 if settings.noise else settings.root_fpu_reduction,
            settings.virtual_loss,
        ]
    )
