"""Players made of nets, of search and of external engines, and the one function that makes a player from its spec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine.passing import allowed_actions
from toulmin.go.engine.points import vertex_of
from toulmin.go.gtp.client import Engine, Refusal
from toulmin.go.players.hardcoded import HardCoded
from toulmin.go.players.player import FORFEIT, Choice, Player
from toulmin.go.players.spec import HARD_CODED, PlayerSpec
from toulmin.go.search.mcts import Evaluates, choose_by_visits, sample, search
from toulmin.go.search.rollouts import Rollouts
from toulmin.go.search.settings import Passing, SearchSettings, Temperature

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Rows = NDArray[np.int64]


class SearchPlayer:
    """Searches every position afresh with ``settings`` and chooses by visits at the temperature of the move."""

    def __init__(
        self, name: str, evaluator: Evaluates, settings: SearchSettings, passing: Passing = "standard"
    ) -> None:
        self.name, self.evaluator, self.settings = name, evaluator, settings
        self.passing: Passing = passing

    def choose(self, games: Games, rows: Rows, generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice a row; the opinion is that of the root after the search."""
        if not len(rows):
            return []
        allowed = allowed_actions(games, rows, self.passing)
        found = search(games, rows, self.evaluator, self.settings, generators, allowed)
        moves = games.move_count[rows]
        return [
            Choice(
                choose_by_visits(found, which, self.settings.temperature.at(int(moves[which]), games.size), generator),
                black_wins=float(found.black_wins[which]),
                black_leads=float(found.black_leads[which]),
                ownership=found.ownership[which],
            )
            for which, generator in enumerate(generators)
        ]

    def close(self) -> None:
        """Nothing to let go of."""


class PolicyPlayer(SearchPlayer):
    """Plays the raw policy at a temperature schedule: one evaluation a move, no search."""

    def __init__(
        self, name: str, evaluator: Evaluates, temperature: Temperature, passing: Passing = "standard"
    ) -> None:
        super().__init__(name, evaluator, SearchSettings(visits=1), passing)
        self.temperature = temperature

    def choose(self, games: Games, rows: Rows, generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice a row, drawn from policy^(1/temperature) over the moves allowed."""
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


class EnginePlayer:
    """An external GTP engine. Each game has a process of its own, started when it is first asked.

    The engine is told the moves it has not seen; when the position is not a continuation of what it knows (a new
    game), its board is cleared and the game told from the start. An engine that fails, refuses a legal move, or cannot
    take the board loses that game by forfeit: the choice says why.
    """

    def __init__(self, name: str, command: Sequence[str], timeout: float = 60.0) -> None:
        self.name, self.command, self.timeout = name, tuple(command), timeout
        self._engines: dict[int, Engine] = {}
        self._told: dict[int, tuple[int, float, list[tuple[int, int]]]] = {}

    def choose(self, games: Games, rows: Rows, generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice a row; the engine's own randomness is its own affair."""
        choices: list[Choice] = []
        for row in rows.tolist():
            try:
                choices.append(Choice(self._ask(games, row)))
            except FaultError as error:
                if error.exit_code == ExitCode.MISSING:
                    raise
                self._drop(row)
                choices.append(Choice(FORFEIT, reason=str(error.faults[0])))
        return choices

    def close(self) -> None:
        """End every process."""
        for row in list(self._engines):
            self._drop(row)

    def _drop(self, row: int) -> None:
        engine = self._engines.pop(row, None)
        self._told.pop(row, None)
        if engine is not None:
            engine.close()

    def _ask(self, games: Games, row: int) -> int:
        engine = self._engines.get(row)
        if engine is None:
            engine = self._engines[row] = Engine(self.command, self.timeout)
        size, komi, history = games.size, float(games.komi[row]), games.history(row)
        known_size, known_komi, known = self._told.get(row, (0, 0.0, []))
        if (known_size, known_komi) != (size, komi) or history[: len(known)] != known:
            engine.start_game(size, komi)
            known = []
        for colour, action in history[len(known) :]:
            try:
                engine.play(colour, action, size)
            except Refusal as error:
                move = vertex_of(action, size)
                raise FaultError(
                    Fault("gtp.refused", f"refuses the legal move {move}: {error.faults[0].message}")
                ) from None
        colour = int(games.to_move[row])
        action = engine.genmove(colour, size)
        self._told[row] = (size, komi, [*history, (colour, action)])
        return action


def make_player(spec: PlayerSpec, locate: Callable[[str], str], seed: int = 0, device: str = "cpu") -> Player:
    """The player that ``spec`` describes; ``locate`` turns the reference of a net into a path.

    :raises FaultError: the net cannot be read, or there is no such program.
    """
    if spec.kind in HARD_CODED:
        return HardCoded(spec.kind)
    if spec.kind == "gtp":
        return EnginePlayer(spec.label, spec.command, spec.timeout)
    if spec.kind == "rollouts":
        return SearchPlayer(spec.label, Rollouts(spec.playouts, seed), spec.search, spec.passing)
    from toulmin.go.nets import Evaluator

    evaluator = Evaluator(locate(spec.net or ""), device=device)
    if spec.kind == "policy":
        return PolicyPlayer(spec.label, evaluator, spec.search.temperature, spec.passing)
    return SearchPlayer(spec.label, evaluator, spec.search, spec.passing)
