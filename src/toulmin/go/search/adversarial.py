"""A-MCTS: search for one player against a model of the other (Wang et al. 2022, section 4.1).

At our own nodes the search is PUCT with our network. At the victim's nodes the move is drawn from a model of the
victim, kept on the node; they have no value of their own, so the value of a position is the mean over our own leaves
and the ends of games below it. A playout that comes to a new victim node goes on below it at once: it is one visit.

Three models (:class:`PolicyModel`, :class:`SearchModel`) give the paper's variants: **S** the victim's raw policy,
**S++** the same averaged over the board's eight symmetries, **R** the victim's own search at its visits. Each obeys the
victim's temperature and its rule of passing. There is no speculative evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.passing import Passing, allowed_actions
from toulmin.go.search.choice import choice_chances
from toulmin.go.search.mcts import Evaluates, Search, Searched, search
from toulmin.go.search.settings import SearchSettings, Temperature
from toulmin.go.search.speculative import Known, SpeculativeEvaluation
from toulmin.go.search.tree import FINISHED, NEW, Forest

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]
SYMMETRIES = 8


class VictimModel(Protocol):
    """What is known of the victim: the chances of its moves."""

    def chances(self, games: Games, rows: Rows) -> Floats:
        """(B, actions), each row a distribution over the moves that the victim may choose; its own turn in all."""
        ...


def tempered(policy: Floats, allowed: NDArray[np.bool_], temperature: Floats) -> Floats:
    """Rows in proportion to policy^(1/temperature) over the allowed actions; the first of the largest at 0."""
    weight = np.where(allowed, np.maximum(policy, 1e-30), 0.0)
    weight /= weight.max(axis=1, keepdims=True)
    found = np.zeros_like(weight)
    for row, t in enumerate(temperature.tolist()):
        if t <= 1e-4:
            found[row, weight[row].argmax()] = 1.0
        else:
            found[row] = np.where(allowed[row], weight[row], 0.0) ** (1.0 / t) * allowed[row]
    return found / found.sum(axis=1, keepdims=True)


class PolicyModel:
    """A victim that plays its raw policy: A-MCTS-S, and A-MCTS-S++ with ``symmetries`` of 8."""

    def __init__(
        self,
        evaluator: Evaluates,
        temperature: Temperature | None = None,
        passing: Passing = "standard",
        symmetries: int = 1,
    ) -> None:
        if not 1 <= symmetries <= SYMMETRIES:
            raise ValueError(f"{symmetries} symmetries: a board has 1 to {SYMMETRIES}")
        self.evaluator, self.temperature = evaluator, temperature or Temperature()
        self.passing: Passing = passing
        self.symmetries = symmetries

    def chances(self, games: Games, rows: Rows) -> Floats:
        """The mean policy over the symmetries, at the temperature of the move number."""
        each = [self.evaluator.evaluate(games, rows, symmetry=k).policy for k in range(self.symmetries)]
        policy = np.stack(each).mean(axis=0, dtype=np.float64)
        at = np.array([self.temperature.at(int(move), games.size) for move in games.move_count[rows]])
        return tempered(policy, allowed_actions(games, rows, self.passing), at)


class SearchModel:
    """A victim that searches: A-MCTS-R. Each of its searches draws from a generator made of ``seed`` and position."""

    def __init__(
        self, evaluator: Evaluates, settings: SearchSettings, passing: Passing = "standard", seed: int = 0
    ) -> None:
        self.evaluator, self.settings, self.seed = evaluator, settings, seed
        self.passing: Passing = passing

    def chances(self, games: Games, rows: Rows) -> Floats:
        """In proportion to visits^(1/temperature) of the victim's own search."""
        allowed = allowed_actions(games, rows, self.passing)
        marks = games.take(rows).situation.astype(np.uint64).tolist()
        generators = [np.random.default_rng((self.seed, mark)) for mark in marks]
        found = search(games, rows, self.evaluator, self.settings, generators, allowed)
        moves = games.move_count[rows]
        at = [self.settings.temperature.at(int(move), games.size) for move in moves]
        return np.stack([choice_chances(found, which, t, self.settings) for which, t in enumerate(at)])


def adversarial_search(
    games: Games,
    rows: Rows,
    evaluator: Evaluates,
    model: VictimModel,
    settings: SearchSettings,
    generators: Sequence[np.random.Generator],
    allowed: NDArray[np.bool_] | None = None,
) -> Searched:
    """Search the positions of ``rows`` for the side to move, against ``model``; as :func:`search` otherwise."""
    return search(games, rows, evaluator, settings, generators, allowed, made_by=_Adversarial.against(model))


class _Adversarial(Search):
    model: VictimModel

    @classmethod
    def against(cls, model: VictimModel) -> type[_Adversarial]:
        """The search against one model."""
        return type("_Adversarial", (cls,), {"model": model})

    def _room(self) -> int:
        # a visit makes a victim node and the node below it
        return 2 * (self.settings.visits + self.settings.leaves)

    def _speculate(self, forest: Forest) -> SpeculativeEvaluation | None:
        return None

    def _round(self, forest: Forest, trees: Rows, rule: Floats) -> None:
        keys = np.array([self.generators[tree].integers(1 << 63) for tree in trees.tolist()], np.uint64)
        descent = forest.descend(trees, rule, keys)
        values = np.zeros((len(trees), 3))
        new = np.flatnonzero(descent.kind == NEW)
        self._play(trees[new], descent.node[new], descent.parent[new], descent.action[new])
        places = trees * self.nodes + descent.node
        theirs = new[(self.pool.to_move[places[new]] != self.mover[trees[new]]) & ~self.pool.finished[places[new]]]
        if len(theirs):
            chances = self.model.chances(self.pool, places[theirs])
            prior = np.where(chances > 0, chances, -1.0).astype(np.float32)
            none = np.zeros(len(theirs), np.bool_)
            forest.expand(
                trees[theirs], descent.node[theirs], prior, self.pool.to_move[places[theirs]], none, sampled=True
            )
            forest.descend_on(descent, theirs, rule)
            on = theirs[descent.kind[theirs] == NEW]
            self._play(trees[on], descent.node[on], descent.parent[on], descent.action[on])
            places = trees * self.nodes + descent.node
        new = np.flatnonzero(descent.kind == NEW)
        over = np.flatnonzero(descent.kind == FINISHED)
        if len(new):
            found: Known = self._evaluated(trees[new], places[new])
            forest.expand(trees[new], descent.node[new], found.prior, found.mover, found.ended)
            values[new] = found.values
            over = np.concatenate([new[found.ended], over])
        if len(over):
            values[over] = self._final(self.pool, places[over], trees[over])
        forest.backup(descent, values)

    def _play(self, trees: Rows, nodes: Rows, parents: Rows, actions: Rows) -> None:
        """Make the states of new nodes."""
        if len(trees):
            places = trees * self.nodes + nodes
            self.pool.assign(places, self.pool, trees * self.nodes + parents)
            self.pool.play(actions, places)


def described(model: VictimModel) -> str:
    """The variant of the paper that a model makes of the search."""
    if isinstance(model, SearchModel):
        return "R"
    return "S++" if isinstance(model, PolicyModel) and model.symmetries == SYMMETRIES else "S"


__all__ = ["PolicyModel", "SearchModel", "VictimModel", "adversarial_search", "described"]
