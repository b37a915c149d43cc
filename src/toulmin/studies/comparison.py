"""Comparing what a record says with what is derived or measured again.

Derived again from the same items: text, integers and truth values must be equal, floats to 1e-9 of their size. Another
version of NumPy sums in another order and differs in the last digits (about 1e-15); an edit that matters is far larger.
Measured again: each measure must lie within the recorded interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from toulmin.evidence import Measure
from toulmin.faults import Fault

RELATIVE = 1e-9  #: of the larger of two floats
ABSOLUTE = 1e-12  #: for differences of floats near zero, as sums that cancel leave them


def same_values(first: Any, second: Any) -> bool:
    """Whether two JSON values are equal, floats to :data:`RELATIVE` or :data:`ABSOLUTE`."""
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if type(first) is not type(second):
        return False
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same_values(value, second[key]) for key, value in first.items())  # type: ignore[misc]
    if isinstance(first, list):
        return len(first) == len(second) and all(map(same_values, first, second))  # type: ignore[arg-type]
    return first == second


def compare_derived(recorded: Mapping[str, Any], derived: Mapping[str, Any]) -> list[Fault]:
    """Each part of a record (as JSON) that does not follow from its items."""
    faults: list[Fault] = []
    message = "does not follow from the stored items"
    for part in ("measures", "tables", "figures", "positive_control", "notes", "n"):
        if same_values(recorded[part], derived[part]):
            continue
        if part == "measures":
            for name in sorted(recorded[part].keys() | derived[part].keys()):
                if not same_values(recorded[part].get(name), derived[part].get(name)):
                    faults.append(Fault("evidence.not_derived", message, name=f"measure {name}"))
        else:
            faults.append(Fault("evidence.not_derived", message, name=part))
    return faults


def compare_measures(recorded: Mapping[str, Measure], again: Mapping[str, Measure]) -> list[Fault]:
    """Each measure of ``again`` outside the recorded interval (or, where there is none, differing by over 1e-9)."""
    faults: list[Fault] = []
    for name, old in recorded.items():
        new = again.get(name)
        if new is None:
            faults.append(Fault("evidence.not_reproduced", "the measure is gone", name=name))
        elif old.interval is None:
            if abs(new.value - old.value) > RELATIVE * max(1.0, abs(old.value)):
                message = f"{new.value:g} now, {old.value:g} then"
                faults.append(Fault("evidence.not_reproduced", message, name=name))
        elif not old.interval.low <= new.value <= old.interval.high and new.value != old.value:
            message = f"{new.value:g} now, outside [{old.interval.low:g}, {old.interval.high:g}]"
            faults.append(Fault("evidence.not_reproduced", message, name=name))
    return faults
