"""How charts look: a Vega configuration that speaks the page's own colour variables.

Vega writes a colour into the SVG as it was given, so ``var(--ink)`` follows the page's theme, light or dark, and one
rendering serves both.
"""

from __future__ import annotations

from typing import Any

CATEGORIES = tuple(f"var(--c{index})" for index in range(1, 9))
_INK, _SECOND, _MUTED, _LINE, _STRONG = "var(--ink)", "var(--ink-2)", "var(--muted)", "var(--line)", "var(--line-2)"

VEGA_CONFIG: dict[str, Any] = {
    "background": None,
    "font": "Arial",
    "padding": {"left": 6, "top": 6, "right": 14, "bottom": 6},
    "view": {
        "stroke": None,
        "continuousWidth": 520,
        "continuousHeight": 260,
        "discreteWidth": {"step": 72},
        "discreteHeight": {"step": 30},
    },
    "axis": {
        "labelColor": _SECOND,
        "labelFontSize": 12,
        "labelLimit": 260,
        "titleColor": _MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "titlePadding": 10,
        "gridColor": _LINE,
        "domainColor": _STRONG,
        "tickColor": _STRONG,
    },
    "axisX": {"labelAngle": 0, "grid": True},
    "axisDiscrete": {"grid": False, "ticks": False, "domain": False},
    "legend": {
        "orient": "top",
        "labelColor": _SECOND,
        "labelFontSize": 12,
        "labelLimit": 260,
        "titleColor": _MUTED,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "symbolOpacity": 1,
    },
    "header": {"labelColor": _SECOND, "titleColor": _MUTED},
    "title": {"color": _INK, "anchor": "start", "fontSize": 13},
    "range": {"category": list(CATEGORIES)},
    "mark": {"color": CATEGORIES[0]},
    "text": {"color": _SECOND},
    "rule": {"color": _SECOND},
    "line": {"strokeWidth": 2},
    "point": {"filled": True, "size": 55, "opacity": 1},
    "bar": {"cornerRadiusEnd": 2},
    "style": {
        "threshold": {"color": "var(--refuted)", "strokeDash": [5, 4], "strokeWidth": 1.5},
        "interval": {"color": CATEGORIES[0], "strokeWidth": 2.5, "opacity": 0.75, "strokeCap": "round"},
        "estimate": {"filled": True, "size": 70, "opacity": 1},
        "joined": {"color": _STRONG, "strokeWidth": 1.5},
        "band": {"opacity": 0.18},
        "curve": {"strokeWidth": 2},
        "bars": {"opacity": 0.85},
        "overlapping": {"opacity": 0.55},
        "dot": {"filled": True, "size": 45, "opacity": 0.8},
        "name": {"align": "left", "dx": 7, "fontSize": 11},
    },
}
