"""Which victim of an attack is faced, by the results of the last games."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

from toulmin.adversary.settings import Attack


class Outcome(NamedTuple):
    """A finished training game: its number, the adversary's colour, +1/0/-1 for it, moves, the victim's stage, and the
    size of the board."""

    game: int
    colour: int
    result: float
    moves: int
    stage: int
    size: int


class Curriculum:
    """Counts games: when the win rate of a stage's last ``window`` games reaches its threshold, the next begins.

    One that ``follows`` a curriculum elsewhere keeps to the stage of that number.
    """

    def __init__(self, attack: Attack, follows: int | None = None) -> None:
        self.attack, self.follows = attack, follows
        self.finished, self.stage = 0, follows or 0
        first = attack.window if len(attack.stages) == 1 else attack.stages[0].window
        self.recent: deque[float] = deque(maxlen=first)

    @property
    def win_rate(self) -> float:
        """Of the last games of the present stage (0 before there is one); a draw is no win."""
        return sum(result > 0 for result in self.recent) / max(1, len(self.recent))

    @property
    def reached(self) -> bool:
        """Whether the last stage's last ``window`` games were won at the rate at which training may end."""
        attack = self.attack
        final = self.stage == len(attack.stages) - 1
        return final and len(self.recent) >= attack.window and self.win_rate >= attack.stop_at

    def count(self, outcome: Outcome) -> None:
        """Count a finished game; one against the victim of an earlier stage decides nothing."""
        self.finished += 1
        if self.follows is not None or outcome.stage != self.stage:
            return
        self.recent.append(outcome.result)
        stage = self.attack.stages[self.stage]
        full = len(self.recent) >= stage.window
        if self.stage + 1 < len(self.attack.stages) and full and self.win_rate >= stage.threshold:
            self.stage += 1
            last = self.stage + 1 == len(self.attack.stages)
            self.recent = deque(maxlen=self.attack.window if last else self.attack.stages[self.stage].window)

    def counts(self) -> dict[str, Any]:
        """All that was counted, as JSON."""
        return {
            "finished": self.finished,
            "stage": self.stage,
            "recent": list(self.recent),
            "window": self.recent.maxlen,
        }

    def seek_counts(self, kept: dict[str, Any]) -> None:
        """Go on from what :meth:`counts` gave."""
        self.finished, self.stage = kept["finished"], kept["stage"]
        self.recent = deque(kept["recent"], maxlen=kept["window"])
