"""Players that evaluate positions: with a search, or by the raw policy of the evaluator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine.passing import Passing, allowed_actions
from toulmin.go.players.player import Choice
from toulmin.go.search.choice import choose_by_visits, sample
from toulmin.go.search.mcts import Evaluates, Searched, search
from toulmin.go.search.memory import Remembering
from toulmin.go.search.settings import SearchSettings, Temperature

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Rows = NDArray[np.int64]


class SearchPlayer:
    """Starts a new search in every position and chooses by visits, at the temperature of the move number."""

    def __init__(
        self, name: str, evaluator: Evaluates, settings: SearchSettings, passing: Passing = "standard"
    ) -> None:
        self.name, self.settings = name, settings
        self.evaluator = Remembering(evaluator, settings.reuse) if settings.reuse else evaluator
        self.passing: Passing = passing

    def choose(self, games: Games, rows: Rows, generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice for each row, with the root's estimates after the search."""
        if not len(rows):
            return []
        allowed = allowed_actions(games, rows, self.passing)
        found = self.searched(games, rows, generators, allowed)
        moves = games.move_count[rows]
        return [
            Choice(
                choose_by_visits(
                    found, which, self.settings.temperature.at(int(moves[which]), games.size), generator, self.settings
                ),
                black_wins=float(found.black_wins[which]),
                black_leads=float(found.black_leads[which]),
                ownership=found.ownership[which],
                visits=found.visits[which],
                prior=found.prior[which],
            )
            for which, generator in enumerate(generators)
        ]

    def searched(
        self, games: Games, rows: Rows, generators: Sequence[np.random.Generator], allowed: NDArray[np.bool_]
    ) -> Searched:
        """The search of the positions."""
        return search(games, rows, self.evaluator, self.settings, generators, allowed)

    def close(self) -> None:
        """Nothing is held."""


class PolicyPlayer(SearchPlayer):
    """Draws moves from the raw policy at a temperature schedule: one evaluation for each move, no search."""

    def __init__(
        self, name: str, evaluator: Evaluates, temperature: Temperature, passing: Passing = "standard"
    ) -> None:
        super().__init__(name, evaluator, SearchSettings(visits=1), passing)
        self.temperature = temperature

    def choose(self, games: Games, rows: Rows, generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice for each row, drawn from policy^(1/temperature) over the moves allowed."""
        if not len(rows):
            return []
        allowed = allowed_actions(games, rows, self.passing)
        found = search(games, rows, self.evaluator, self.settings, generators, allowed)
        moves = games.move_count[rows]
        choices: list[Choice] = []
        for which, generator in enumerate(generators):
            weight = np.maximum(found.prior[which].astype(np.float64), 0.0)
            action = sample(weight, self.temperature.at(int(moves[which]), games.size), generator)
            wins, leads = float(found.black_wins[which]), float(found.black_leads[which])
            choices.append(Choice(action, wins, leads, found.ownership[which]))
        return choices
