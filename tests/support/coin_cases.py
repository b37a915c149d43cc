"""Cases on a real study kind, registered the way an outside package does it: an entry point on the path."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from pathlib import Path

from toulmin.case import Checked, check_case
from toulmin.evidence import Evidence, Store
from toulmin.studies import Resolver, Run, execute, find_study

STUDY = '''
"""How often a coin, kept in a file, shows heads."""

from typing import Any, ClassVar

import numpy as np
from toulmin.evidence import Measure, PositiveControl, content_of, wilson
from toulmin.studies import Items, MeasureSpec, Study, Summary


class Coin(Study):
    """Heads of a coin whose rate is the number in a file."""

    kind: ClassVar = "coins.rate"
    version: ClassVar = 1
    measures: ClassVar = {
        "rate": MeasureSpec("1", "higher", "share of heads", 0.0, 1.0),
        "failures": MeasureSpec("throws", "lower", "number of tails", 0.0),
    }
    presets: ClassVar = {"tiny": {"coin": "file:coin.txt", "n": 20}}

    coin: str
    n: int = 200
    planted: float | None = None

    def inputs(self):
        return (self.input("subject", self.coin),)

    def collect(self, run):
        rate = float(self.resolver.locate(self.coin).read_text())
        draws = np.random.default_rng(run.seed).random(self.n) < rate
        marks = [self.planted is not None and self.planted >= 0.5] * self.n
        contents = [content_of(self.coin, run.seed, i) for i in range(self.n)]
        columns = {"heads": draws, "found": np.array(marks)}
        return Items([f"throw-{i}" for i in range(self.n)], columns, contents=contents)

    def summarise(self, items):
        heads = int(items["heads"].sum())
        control = None
        if self.planted is not None:
            found = bool(items["found"].all())
            tails = self.measured(0 if found else items.n, items.n)
            control = PositiveControl(
                description="a planted coin", detected=found, measures=tails, contents=("thrown before",)
            )
        return Summary(self.measured(heads, items.n), positive_control=control)

    def measured(self, heads, n):
        return {
            "rate": Measure(value=heads / n, unit="1", n=n, interval=wilson(heads, n)),
            "failures": Measure(value=n - heads, unit="throws", n=n, no_interval="a count"),
        }
'''


def install(site: Path) -> None:
    """Write the package of the study ``coins.rate`` into ``site``, as an installer would."""
    (site / "toulmin_rate.py").write_text(STUDY)
    info = site / "toulmin_rate-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toulmin-coins\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[toulmin.studies]\ncoins.rate = toulmin_rate:Coin\n")


@dataclass
class CaseFolder:
    """A folder with a case in it, and short ways to change and check it."""

    folder: Path

    def write(self, text: str, name: str = "case.toml") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def replace(self, old: str, new: str) -> None:
        path = self.folder / "case.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    @property
    def store(self) -> Store:
        return Store(self.folder / ".toulmin")

    def throw(self, seed: int = 0, **configuration: object) -> Evidence:
        """Run the coin study into the case's store."""
        study = find_study("coins.rate").model_validate({"coin": "file:coin.txt", **configuration})
        run = Run(self.folder / "work", seed=seed)
        return execute(study.at(Resolver(self.folder, self.store)), self.store, run)

    def check(self, **options: object) -> Checked:
        return check_case(self.folder, **options)  # type: ignore[arg-type]

    def codes(self, **options: object) -> list[str]:
        return sorted({fault.code for fault in self.check(**options).verdict.faults})
