"""A training callback that stops a run as a user would, with the interrupt key."""

from __future__ import annotations


class StopAt:
    """Interrupts after update ``step``."""

    every = 1

    def __init__(self, step: int) -> None:
        self.step = step

    def on_start(self, state, steps): ...

    def on_step(self, state, metrics):
        if state.step == self.step:
            raise KeyboardInterrupt

    def on_end(self, state): ...
