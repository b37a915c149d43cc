"""What every player is: something that chooses an action for each of many games."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from toulmin.go.gtp.protocol import RESIGN

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

FORFEIT = -2
"""The action of a player that cannot go on; :attr:`Choice.reason` says why."""


@dataclass(frozen=True)
class Choice:
    """A chosen action, and what the player thinks of the position before it.

    ``action`` is an action of the game, ``RESIGN`` or ``FORFEIT``. ``black_wins`` is a probability, ``black_leads`` in
    points, ``ownership`` (size, size) from +1 Black to -1 White; ``None`` from a player that has no opinion.
    """

    action: int
    black_wins: float | None = None
    black_leads: float | None = None
    ownership: NDArray[np.float32] | None = None
    reason: str = ""


class Player(Protocol):
    """A player. All that a choice depends on is the games' states, the generators and the player's own settings."""

    name: str

    def choose(self, games: Games, rows: NDArray[np.int64], generators: Sequence[np.random.Generator]) -> list[Choice]:
        """One choice for each of ``rows``; the generator of a row is used for that row only."""
        ...

    def close(self) -> None:
        """Let go of what the player holds (processes); it is not used again."""
        ...


__all__ = ["FORFEIT", "RESIGN", "Choice", "Player"]
