"""Formats numbers for people: few digits, a true minus sign, intervals."""

from __future__ import annotations

from toulmin.evidence import Interval
from toulmin.evidence import format_number as plain_number

MINUS = "\u2212"


def format_number(value: float | int | str | None, digits: int = 3) -> str:
    """:func:`toulmin.evidence.format_number` with a true minus sign; text as it is, nothing for ``None``."""
    text = plain_number(value, digits)
    return text if isinstance(value, str) else text.replace("-", MINUS)


def format_fixed(value: float, decimals: int) -> str:
    """A fixed number of decimals, so that a column of numbers lines up; what rounds to zero has no sign."""
    return f"{value:z,.{decimals}f}".replace("-", MINUS)


def format_plain(value: float | int | str | None) -> str:
    """A number given and not measured (a threshold, komi): no digit it was not written with."""
    return "" if value is None else str(value) if isinstance(value, str) else f"{value:g}".replace("-", MINUS)


def format_interval(interval: Interval | None) -> str:
    """``[low, high]``, or an empty string."""
    return f"[{format_number(interval.low)}, {format_number(interval.high)}]" if interval else ""


def format_level(interval: Interval) -> str:
    """The level in percent: ``95%``."""
    return f"{format_number(round(interval.level * 100, 6), 4)}%"


def format_unit(unit: str | None) -> str:
    """A unit, or nothing for a pure number (``1``)."""
    return "" if unit in (None, "1") else unit


def format_bytes(size: int) -> str:
    """A size in the unit that keeps it short."""
    steps = 0 if size < 1000 else min(3, (len(str(size)) - 1) // 3)
    return f"{format_number(size / 1000**steps)} {('bytes', 'kB', 'MB', 'GB')[steps]}"


def format_seconds(seconds: float) -> str:
    """A duration: seconds, minutes or hours."""
    if seconds < 90:
        return f"{format_number(seconds)} s"
    if seconds < 5400:
        return f"{format_number(seconds / 60)} min"
    return f"{format_number(seconds / 3600)} h"
