"""Pieces of a long study: each is computed once and kept in the work folder, so that a killed run goes on."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from toulmin.evidence import Interval

Json = dict[str, Any]


def keep_piece(folder: Path, name: str, make: Callable[[], Json]) -> Json:
    """What ``make`` gives, from the file ``name`` of ``folder`` where it was made before."""
    path = folder / f"{name}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{name}.json"
    hidden.write_text(json.dumps(made), encoding="utf-8")
    os.replace(hidden, path)
    return json.loads(path.read_text(encoding="utf-8"))


def interval_over_seeds(values: Iterable[float], level: float = 0.95) -> tuple[Interval | None, str | None]:
    """Student's t interval of the mean over independent training runs, or the reason why there is none.

    mean +- t(level, n - 1) s / sqrt(n): runs of a few seeds are too few for a bootstrap, and their means are close to
    normal; whoever doubts that reads the values themselves in the items.
    """
    import numpy as np

    array = np.array(list(values), dtype=float)
    if len(array) < 2:
        return None, "one training run says nothing of how far another one would differ"
    if np.ptp(array) == 0:
        return None, f"all {len(array)} training runs gave the same number"
    from scipy.special import stdtrit  # pyright: ignore[reportMissingTypeStubs]

    half = float(stdtrit(len(array) - 1, (1 + level) / 2)) * float(array.std(ddof=1)) / math.sqrt(len(array))
    mean = float(array.mean())
    return Interval(low=mean - half, high=mean + half, level=level, method=f"Student t over {len(array)} seeds"), None


def seed_measure(spec: Any, values: Iterable[float]) -> Any:
    """The mean over seeds as a measure of evidence."""
    import numpy as np

    from toulmin.evidence import Measure

    values = list(values)
    interval, reason = interval_over_seeds(values)
    fields: Json = {"unit": spec.unit, "better": spec.better, "n": len(values), "n_of": "seeds"}
    return Measure(value=float(np.mean(values)), interval=interval, no_interval=reason, **fields)
