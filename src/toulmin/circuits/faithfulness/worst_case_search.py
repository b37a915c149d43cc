"""How far the adversary of the worst case searches: the settings that a card states beside what it found. No torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class WorstCaseSearch(BaseModel):
    """The budget of :func:`toulmin.circuits.faithfulness.worst_case.worst_ablation`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    steps: int = Field(default=12, ge=1)  #: of projected gradient from each of three starts
    toggled: int = Field(default=6, ge=0, le=12)  #: edges of which every subset is tried
    rounds: int = Field(default=10, ge=0)  #: changes of the worst set

    @property
    def passes(self) -> float:
        """About how many forward passes a prompt: 32 for a gradient of all masks, 15 for a run of a set of edges."""
        return 32.0 * 3 * self.steps + 15.0 * (2**self.toggled + 8 * self.rounds)

    @property
    def budget(self) -> str:
        """In words."""
        tried = f"the {2**self.toggled} subsets of the {self.toggled} edges of largest gradient"
        return f"{3 * self.steps} gradient steps from three starts, {tried}, at most {self.rounds} rounds of changes"
