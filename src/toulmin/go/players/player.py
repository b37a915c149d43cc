"""The protocol of players: each chooses an action for many games at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

RESIGN = -1
"""The action of a player that resigns."""

FORFEIT = -2
"""The action of a player that cannot go on; :attr:`Choice.reason` says why."""


@dataclass(frozen=True)
class Choice:
    """A chosen action, and the player's estimates of the position before it.

    ``action`` is an action of the game, ``RESIGN`` or ``FORFEIT``. ``black_wins`` is a probability, ``black_leads`` in
    points, ``ownership`` (size, size) from +1 Black to -1 White; ``None`` from a player that estimates nothing.
    ``visits`` and ``prior`` (actions,) are those of a search's root (prior -1 at moves that were not allowed).
    """

    action: int
    black_wins: float | None = None
    black_leads: float | None = None
    ownership: NDArray[np.float32] | None = None
    reason: str = ""
    visits: NDArray[np.int64] | None = None
    prior: NDArray[np.float32] | None = None


class Player(Protocol):
    """A player. Its choices depend on the games' states, the generators and its own settings, and on nothing else."""

    name: str

    def choose(self, games: Games, rows: NDArray[np.int64], generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice for each of ``rows``; the generator of a row is used for that row only."""
        ...

    def close(self) -> None:
        """Release what the player holds (processes); it is not used again."""
        ...
