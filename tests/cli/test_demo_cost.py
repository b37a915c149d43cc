"""What the demo says that its studies take: a setting that outgrows the demo fails here, and not in front of a user."""

from __future__ import annotations

import tomllib
from pathlib import Path

import toulmin.cli
from toulmin.studies import find_study

CASES = Path(toulmin.cli.__file__).parent / "demo_case"


def test_the_studies_of_the_demo_keep_to_three_minutes() -> None:
    entries = tomllib.loads((CASES / "case.toml").read_text(encoding="utf-8"))["evidence"]
    costs = []
    for entry in entries:
        if "study" in entry:
            kind = find_study(entry["study"])
            settings = {**kind.presets.get(entry.get("preset", ""), {}), **entry.get("configuration", {})}
            cost = kind.model_validate(settings).cost()
            assert cost is not None, entry["id"]
            costs.append(cost.seconds)
    assert len(costs) >= 4
    assert sum(costs) <= 180
