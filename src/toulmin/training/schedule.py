"""Learning-rate schedules: a warm-up from zero, then constant, linear or cosine to a floor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from toulmin.faults import Fault, FaultError


@dataclass(frozen=True)
class Schedule:
    """How many steps, and the learning rate of each.

    With s the step (from 0), w = ``warmup``, n = ``steps``, c = ``cooldown``:

    - warm-up, s < w: lr (s + 1) / w
    - then, with p = (s - w) / max(1, n - w) clipped to [0, 1], f = ``floor``:
      constant: lr; linear: lr (1 - (1 - f) p); cosine: lr (f + (1 - f) (1 + cos pi p) / 2)
    - a constant schedule may end with a linear ``cooldown`` over its last c steps, to ``floor`` times lr.

    ``lr`` is the peak. A parameter group with a key ``lr_scale`` gets that multiple of it.

    :raises FaultError: a number out of range (every fault listed).
    """

    steps: int
    lr: float
    kind: Literal["constant", "linear", "cosine"] = "cosine"
    warmup: int = 0
    floor: float = 0.0
    cooldown: int = 0

    def __post_init__(self) -> None:
        checks = [
            (self.steps >= 0, "steps", "must not be negative"),
            (math.isfinite(self.lr) and self.lr >= 0, "lr", "must be finite and not negative"),
            (self.kind in ("constant", "linear", "cosine"), "kind", "is one of constant, linear, cosine"),
            (self.warmup >= 0, "warmup", "must not be negative"),
            (self.cooldown >= 0, "cooldown", "must not be negative"),
            (self.cooldown == 0 or self.kind == "constant", "cooldown", "belongs to a constant schedule only"),
            (self.warmup + self.cooldown <= max(self.steps, 0), "warmup", "warmup + cooldown exceed steps"),
            (0 <= self.floor <= 1, "floor", "is a fraction of lr, from 0 to 1"),
        ]
        faults = [Fault("training.schedule", text, name=name) for good, name, text in checks if not good]
        if faults:
            raise FaultError(faults)

    def at(self, step: int) -> float:
        """The learning rate used by update ``step`` (the first is 0)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        if self.kind == "constant":
            left = self.steps - step
            if self.cooldown and left <= self.cooldown:
                return self.lr * (self.floor + (1 - self.floor) * max(left, 0) / self.cooldown)
            return self.lr
        share = min(1.0, (step - self.warmup) / max(1, self.steps - self.warmup))
        if self.kind == "linear":
            return self.lr * (1 - (1 - self.floor) * share)
        return self.lr * (self.floor + (1 - self.floor) * (1 + math.cos(math.pi * share)) / 2)
