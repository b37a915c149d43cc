"""Numbers as people read them, in tables and sentences."""

from __future__ import annotations

import math


def format_number(value: float | int | str | None, digits: int = 3) -> str:
    """``digits`` significant digits with thousands set apart: 17,812 and not 1.78e+04; text as it is, "" for None.

    An exponent is used only from a million on and below 0.0001.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e15):
        return f"{int(value):,}"
    if not math.isfinite(value):
        return str(value)
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"
