"""The interval of a measure. How one is computed is in :mod:`toulmin.evidence.intervals`, which needs NumPy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator


class Interval(BaseModel):
    """Where the value lies, at ``level``; ``method`` says how it was found and from what."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    low: FiniteFloat
    high: FiniteFloat
    level: float = 0.95
    method: str

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if not 0 < self.level < 1:
            raise ValueError(f"level {self.level} is not between 0 and 1")
        return self
