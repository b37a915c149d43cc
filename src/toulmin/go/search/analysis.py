"""A search of one position, told move by move: visits, chances, points, lower bounds and main lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.rules import BLACK
from toulmin.go.search.choice import lower_bounds, selection_weights
from toulmin.go.search.mcts import Evaluates, Search, Searched

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games
    from toulmin.go.search.settings import SearchSettings


@dataclass(frozen=True)
class MoveAnalysis:
    """What a search says of a move, seen by Black: ``utility`` and its lower bound ``lcb``, ``wins``, ``leads``.

    ``lcb`` is Black's utility at the bound of the mover: below ``utility`` where Black moves, else above.
    ``variation`` are actions, the move first.
    """

    action: int
    visits: int
    prior: float
    utility: float
    lcb: float
    wins: float
    leads: float
    variation: tuple[int, ...]


@dataclass(frozen=True)
class Analysis:
    """A searched position: ``moves`` that were visited, in the order in which they would be chosen; ``policy`` with -1
    at illegal actions; the rest as :class:`~toulmin.go.Searched`, of one game."""

    moves: tuple[MoveAnalysis, ...]
    searched: Searched
    policy: NDArray[np.float32]
    visits: int


def analyse(
    games: Games, row: int, evaluator: Evaluates, settings: SearchSettings, generator: np.random.Generator
) -> Analysis:
    """Search the position of game ``row``, which is not over, with ``settings.visits`` visits."""
    search = Search(games, np.array([row]), evaluator, settings, [generator], None)
    found, forest = search.run(), search.forest
    sign = 1.0 if found.mover[0] == BLACK else -1.0
    bound, _ = lower_bounds(found, 0, settings)
    wins, leads = forest.root_means(1)[0], forest.root_means(2)[0]
    weight = selection_weights(found, 0, settings)
    visited = np.flatnonzero(found.visits[0] > 0)
    order = visited[np.lexsort((-found.prior[0, visited], -weight[visited]))]
    moves = tuple(
        MoveAnalysis(
            action=action,
            visits=int(found.visits[0, action]),
            prior=float(found.prior[0, action]),
            utility=float(found.means[0, action]),
            lcb=sign * float(bound[action]),
            wins=float(wins[action]),
            leads=float(leads[action]),
            variation=tuple(forest.variation(0, action)),
        )
        for action in order.tolist()
    )
    return Analysis(moves, found, found.prior[0], int(forest.visits[0, 0]))
