"""Heatmaps drawn as tables: the numbers stay text that can be read aloud, searched, copied and printed."""

from __future__ import annotations

import math
from dataclasses import dataclass

from toulmin.evidence import Heatmap
from toulmin.report.numbers import format_fixed, format_number
from toulmin.report.pages import Fragment, render

_CROWDED = 8  # columns from which intervals move out of the cells and into their tooltips
_DENSE = 60  # columns from which the numbers move there too: a model's heads against its heads are for looking at


@dataclass(frozen=True)
class Cell:
    """One cell: its words, how far along the scale (0 to 1), on which side, and how it stands to the threshold."""

    text: str
    interval: str
    strength: float
    side: str  #: high, low, none
    against: str  #: below, straddles, "" (at or above, or there is no threshold)
    tip: str


def _scale(heatmap: Heatmap) -> tuple[float, float, float]:
    values = [value for row in heatmap.values for value in row if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 0.0)
    return low, high, low if heatmap.centre is None else heatmap.centre


def _decimals(heatmap: Heatmap) -> int:
    """As many for every cell as give the largest three significant digits, at most four."""
    largest = max((abs(value) for row in heatmap.values for value in row if value is not None), default=0.0)
    return 2 if largest == 0 else max(0, min(4, 2 - math.floor(math.log10(largest))))


def _cell(heatmap: Heatmap, row: int, column: int, scale: tuple[float, float, float], decimals: int) -> Cell:
    value = heatmap.values[row][column]
    if value is None:
        return Cell("", "", 0.0, "none", "", "")
    low, high, centre = scale
    reach = max(high - centre, centre - low) or 1.0
    text = heatmap.text[row][column] if heatmap.text else format_fixed(value, decimals)
    interval, ends = "", (value, value)
    if heatmap.low is not None and heatmap.high is not None:
        bottom, top = heatmap.low[row][column], heatmap.high[row][column]
        if bottom is not None and top is not None:
            ends = (bottom, top)
            interval = f"[{format_fixed(bottom, decimals)}, {format_fixed(top, decimals)}]"
    against = ""
    if heatmap.threshold is not None and ends[0] < heatmap.threshold:
        against = "below" if ends[1] < heatmap.threshold else "straddles"
    unit = f" {heatmap.unit}" if heatmap.unit else ""
    where = f"{heatmap.y_labels[row]} \u00d7 {heatmap.x_labels[column]}"
    words = {"below": "below the threshold", "straddles": "its interval straddles the threshold", "": ""}[against]
    tip = "\n".join(part for part in (where, f"{format_number(value, 5)}{unit} {interval}".strip(), words) if part)
    side = "high" if value >= centre else "low"
    return Cell(text, interval, round(min(1.0, abs(value - centre) / reach), 3), side, against, tip)


def render_heatmap(heatmap: Heatmap) -> Fragment:
    """The table, its scale, and what its marks mean."""
    scale = _scale(heatmap)
    decimals = _decimals(heatmap)
    rows = [
        (label, [_cell(heatmap, row, column, scale, decimals) for column in range(len(heatmap.x_labels))])
        for row, label in enumerate(heatmap.y_labels)
    ]
    crowded = len(heatmap.x_labels) > _CROWDED
    dense = len(heatmap.x_labels) > _DENSE
    turned = dense or (crowded and max(map(len, heatmap.x_labels)) > 6)
    html = render("heatmap.html", heatmap=heatmap, rows=rows, scale=scale, crowded=crowded, dense=dense, turned=turned)
    return Fragment(html, frozenset({"heatmap"}))
