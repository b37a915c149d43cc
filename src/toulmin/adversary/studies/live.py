"""The learning curve of an attack while it trains, for whoever waits at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from toulmin.adversary.settings import Attack
from toulmin.studies import Progress

if TYPE_CHECKING:
    from toulmin.training import State

_BARS = "▁▂▃▄▅▆▇█"
_SHOWN = 40  # updates of the curve that are drawn


class LiveCurve:
    """Moves the progress on at every update, and notes the curve so far at every checkpoint.

    A note says the games, the share of the update's games that were won, the win rate over the last games, the stage of
    the curriculum, and draws the shares of the last updates as bars from 0 to 1.
    """

    every = 1

    def __init__(self, name: str, attack: Attack, progress: Progress, advance: Callable[[int], None]) -> None:
        self.name, self.attack, self.progress, self.advance = name, attack, progress, advance
        self.done = 0
        self.shares: list[float] = []

    def on_start(self, state: State, steps: int) -> None:
        """A resumed run begins where it was."""
        self.advance(state.step - self.done)
        self.done = state.step

    def on_step(self, state: State, metrics: Mapping[str, float]) -> None:
        """One more update."""
        self.advance(state.step - self.done)
        self.done = state.step
        self.shares.append(float(metrics["won"]) / max(1.0, float(metrics["played"])))
        if state.step % self.attack.checkpoint_every == 0 or state.step == self.attack.updates:
            self.progress.note(self._text(metrics))

    def on_end(self, state: State) -> None:
        """Nothing to do."""

    def _text(self, metrics: Mapping[str, float]) -> str:
        attack = self.attack
        stage = f", stage {int(metrics['stage']) + 1} of {len(attack.stages)}" if len(attack.stages) > 1 else ""
        bars = "".join(_BARS[min(7, int(8 * share))] for share in self.shares[-_SHOWN:])
        return (
            f"{self.name}: update {self.done} of {attack.updates}, {int(metrics['games'])} games, won "
            f"{self.shares[-1]:.2f} ({float(metrics['win_rate']):.2f} of the last {attack.window}){stage}  {bars}"
        )
