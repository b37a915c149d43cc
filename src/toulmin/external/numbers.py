"""What counts as a number in a foreign JSON file."""

from __future__ import annotations

import sys
from typing import TypeGuard


def is_finite_number(value: object) -> TypeGuard[int | float]:
    """Whether a JSON value is a number that a float can hold: not a truth value, NaN, infinite, or 10 to the 400."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
