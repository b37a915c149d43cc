"""The interval of a measure. How one is computed is in :mod:`toulmin.evidence.intervals`, which needs NumPy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, FiniteFloat, model_validator

MIN_CLUSTERS = 10  #: below this a bootstrap has seen too little to say how far a statistic varies


def why_no_bootstrap(units: int, *, alike: bool) -> str | None:
    """Why a bootstrap over so many clusters is no interval; None where it is one."""
    if units < MIN_CLUSTERS:
        return f"a bootstrap over {units} independent units says too little; at least {MIN_CLUSTERS} are needed"
    if alike:
        return f"all {units} independent units are alike, so that a bootstrap has no width"
    return None


class Interval(BaseModel):
    """Where the value lies, at ``level``; ``method`` says how it was found and from what."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    low: FiniteFloat
    high: FiniteFloat
    level: float = 0.95
    method: str
    units: int | None = None  #: of a bootstrap: how many clusters it drew from

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if self.low > self.high:
            raise ValueError(f"low {self.low} is above high {self.high}")
        if not 0 < self.level < 1:
            raise ValueError(f"level {self.level} is not between 0 and 1")
        return self

    @property
    def unusable(self) -> str | None:
        """Why a bootstrap interval is no ground for a number in evidence; None where it is one."""
        return None if self.units is None else why_no_bootstrap(self.units, alike=self.low == self.high)
