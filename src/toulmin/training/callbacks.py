"""Callbacks of a training run: progress with rate and remaining time, and a log as JSON lines."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol, TextIO

from toulmin.training.state import State

Metrics = Mapping[str, float]


class Callback(Protocol):
    """Called during a run.

    ``every``: steps from one call of :meth:`on_step` to the next; metrics become floats only for those.
    """

    every: int

    def on_start(self, state: State, steps: int) -> None:
        """Before the first update of this process; ``state.step`` is where it resumes, ``steps`` where it ends."""
        ...

    def on_step(self, state: State, metrics: Metrics) -> None:
        """After update number ``state.step`` (from 1)."""
        ...

    def on_end(self, state: State) -> None:
        """After the last update."""
        ...


class Rate:
    """Steps per second of this process, smoothed, and the seconds that remain."""

    def __init__(self, done: int, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.total, self.clock = total, clock
        self.done, self.time = done, clock()
        self.per_second: float | None = None

    def update(self, done: int) -> None:
        """Note that ``done`` steps are done now; the estimate halves the weight of the past at each call."""
        now = self.clock()
        if done > self.done and now > self.time:
            rate = (done - self.done) / (now - self.time)
            self.per_second = rate if self.per_second is None else 0.5 * (rate + self.per_second)
            self.done, self.time = done, now

    @property
    def remaining(self) -> float | None:
        """Seconds to the end at the present rate; None before there is one."""
        return None if not self.per_second else max(0, self.total - self.done) / self.per_second


class PrintProgress:
    """Tells ``report(done, total, text)`` how far the run is; by default one line on stderr.

    The text has the rate (steps/s), the seconds remaining and the metrics.
    """

    def __init__(
        self,
        every: int = 50,
        report: Callable[[int, int, str], None] | None = None,
        out: TextIO | None = None,
    ) -> None:
        self.every, self.out = every, out
        self.report = report or self._line

    def _line(self, done: int, total: int, text: str) -> None:
        out = self.out or sys.stderr
        end = "\n" if done >= total or not out.isatty() else "\r"
        print(f"step {done}/{total}  {text}", end=end, file=out, flush=True)

    def on_start(self, state: State, steps: int) -> None:
        """Start the clock."""
        self.rate = Rate(state.step, steps)

    def on_step(self, state: State, metrics: Metrics) -> None:
        """Report."""
        self.rate.update(state.step)
        left = self.rate.remaining
        text = "" if left is None else f"{self.rate.per_second:.1f} steps/s, {left:.0f} s left  "
        self.report(state.step, self.rate.total, text + "  ".join(f"{k} {v:.4g}" for k, v in metrics.items()))

    def on_end(self, state: State) -> None:
        """Nothing to do."""


class Logger:
    """Appends ``{"step": n, metric: value, ...}`` to a JSON-lines file.

    On resume the lines after the checkpoint are dropped (they will be written again, with the same values), and so is a
    last line that a kill cut short.
    """

    def __init__(self, path: Path | str, every: int = 50) -> None:
        self.path, self.every = Path(path), every

    def on_start(self, state: State, steps: int) -> None:
        """Keep the rows up to ``state.step``."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rows = []
        if state.step and self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    if json.loads(line)["step"] <= state.step:
                        rows.append(line)
                except (ValueError, KeyError, TypeError):
                    break
        kept = self.path.with_name(f".{self.path.name}")  # renamed into place: a kill here must not cost the rows
        kept.write_text("".join(row + "\n" for row in rows))
        os.replace(kept, self.path)

    def on_step(self, state: State, metrics: Metrics) -> None:
        """Write one row."""
        with self.path.open("a") as file:
            file.write(json.dumps({"step": state.step, **metrics}) + "\n")

    def on_end(self, state: State) -> None:
        """Nothing to do: every row is written and closed at once."""
