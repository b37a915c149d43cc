"""A study outside Toulmin: is the coin of a file of tosses fair?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from toulmin.evidence import Measure, Table, wilson
from toulmin.studies import Cost, Input, Items, MeasureSpec, Run, Study, Summary


class Bias(Study):
    """The share of heads in a file of tosses (lines of H and T)."""

    kind: ClassVar = "coins.bias"
    version: ClassVar = 1
    measures: ClassVar = {"heads": MeasureSpec("1", "neither", "share of tosses")}
    presets: ClassVar = {"tiny": {"tosses": "file:tosses.txt", "limit": 10}}

    tosses: str
    limit: int = Field(default=1000, ge=1)
    poison: bool = False

    def inputs(self) -> tuple[Input, ...]:
        return (self.input("tosses", self.tosses),)

    def cost(self) -> Cost:
        return Cost(seconds=0.01)

    def collect(self, run: Run) -> Items:
        lines = self.resolver.locate(self.tosses).read_text().split()[: self.limit]
        heads = [line == "H" for line in run.track(lines, "tossing")]
        artefact = run.workdir / "seen.txt"
        artefact.write_text("\n".join(lines))
        return Items([f"toss-{i}" for i in range(len(heads))], {"heads": np.array(heads)}, files={"seen.txt": artefact})

    def summarise(self, items: Items) -> Summary:
        heads = int(items["heads"].sum())
        value = float("nan") if self.poison else heads / items.n
        measure = Measure(value=value, unit="1", n=items.n, n_of="tosses", interval=wilson(heads, items.n))
        table = Table(title="tosses", columns=("heads", "tails"), rows=((heads, items.n - heads),))
        return Summary({"heads": measure}, tables=(table,))
