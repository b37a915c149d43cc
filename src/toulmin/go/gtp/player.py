"""An external GTP engine as a player, and the kind ``gtp``. Importable without tensors or numba."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine.points import vertex_of
from toulmin.go.engine.rules import BLACK, WHITE
from toulmin.go.gtp.client import Engine, Refusal
from toulmin.go.players.player import FORFEIT, Choice, Player
from toulmin.go.players.spec import PlayerKind, PlayerSetting, PlayerSpec

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Rows = NDArray[np.int64]


class EnginePlayer:
    """An external GTP engine. Each game has a process of its own, started when it is first asked.

    The engine is sent the moves that it has not been sent before; where the position does not continue those (a new
    game), its board is cleared and all moves are sent, stones set up before them as moves of their colour. An engine
    that fails, refuses a legal move, or cannot take the board loses that game by forfeit: the choice says why.
    """

    def __init__(self, name: str, command: Sequence[str], timeout: float = 60.0) -> None:
        self.name, self.command, self.timeout = name, tuple(command), timeout
        self._engines: dict[int, Engine] = {}
        self._told: dict[int, tuple[int, float, list[tuple[int, int]]]] = {}  # size, komi, set-up stones and moves

    def choose(self, games: Games, rows: Rows, generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice for each row; ``generators`` are not used, since the engine draws its own random numbers."""
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
        size, komi = games.size, float(games.komi[row])
        black, white, _ = games.setup(row)
        history = [*((BLACK, action) for action in black), *((WHITE, action) for action in white), *games.history(row)]
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


def _make(spec: PlayerSpec, _: PlayerSetting) -> Player:
    return EnginePlayer(spec.label, spec.command, spec.timeout)


GTP = PlayerKind("gtp", _make, needs="command")
