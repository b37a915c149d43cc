"""Charts drawn: Vega-Lite to SVG by vl-convert, offline, when the page is made.

The drawing names the page's colour variables (:mod:`toulmin.report.theme`), so it follows light and dark without a
second rendering. The interactive form takes Vega's JavaScript out of the installed vl-convert; a page with it stays
under 1 MB, and only a page that asks for it carries it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from markupsafe import Markup

from toulmin.evidence import Chart
from toulmin.faults import Fault, FaultError
from toulmin.report.pages import Fragment, render
from toulmin.report.theme import VEGA_CONFIG

_IDS = re.compile(r'(\bid="|url\(#|href="#)([A-Za-z][\w-]*)')
_TABLE_ROWS = 200


def themed(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification with the theme under whatever configuration it brings."""
    return {**spec, "config": _merge(VEGA_CONFIG, cast("Mapping[str, Any]", spec.get("config", {})))}


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = _merge(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value  # type: ignore[arg-type]
    return merged


def chart_svg(chart: Chart) -> Markup:
    """The chart as one ``<svg>`` element whose ids cannot meet those of another chart on the page.

    :raises FaultError: Vega-Lite refuses the specification.
    """
    import vl_convert

    try:
        svg = vl_convert.vegalite_to_svg(themed(chart.spec), allowed_base_urls=[])
    except ValueError as error:
        why = next((line for line in str(error).splitlines() if line.startswith("Error: ")), str(error).split("\n")[0])
        raise FaultError(Fault("report.chart", f"Vega-Lite refuses the chart: {why}", name=chart.title)) from None
    own = "v" + hashlib.sha256(chart.model_dump_json().encode()).hexdigest()[:8]
    svg = _IDS.sub(rf"\g<1>{own}-\g<2>", svg)
    label = Markup('<svg role="img" aria-label="{}" ').format(chart.alt or chart.caption or chart.title)
    return label + Markup(svg.removeprefix("<svg "))


def render_chart(chart: Chart) -> Fragment:
    """The chart and, folded away, its data as a table."""
    rows = chart.rows()
    columns = list(dict.fromkeys(key for row in rows for key in row))
    html = render(
        "chart.html",
        svg=chart_svg(chart),
        columns=columns,
        rows=rows[:_TABLE_ROWS],
        left_out=max(0, len(rows) - _TABLE_ROWS),
    )
    return Fragment(html)


@cache
def vega_script() -> Markup:
    """Vega, Vega-Lite and the embedder as one script, out of the installed vl-convert."""
    import vl_convert

    snippet = "window.drawChart = (where, spec) => vegaEmbed(where, spec, {renderer: 'svg', actions: false});"
    script = vl_convert.javascript_bundle(snippet)
    return Markup(script.replace("</script", "<\\/script"))


def render_interactive_chart(chart: Chart) -> Fragment:
    """A place for the chart and the specification to draw in it; the page must carry :func:`vega_script`."""
    return Fragment(render("chart_interactive.html", spec=themed(chart.spec), title=chart.title), frozenset({"vega"}))
