"""One renderer for each kind of figure."""

from __future__ import annotations

from toulmin.evidence import Board, Chart, FeatureIndex, Figure, Graph, Heatmap
from toulmin.report.boards import render_board
from toulmin.report.charts import render_chart, render_interactive_chart, vega_script
from toulmin.report.features import render_features
from toulmin.report.graphs import render_graph
from toulmin.report.heatmaps import render_heatmap
from toulmin.report.pages import Fragment, page, render


def draw(figure: Figure, *, interactive: bool = False) -> Fragment:
    """The figure with its title and caption, as a piece of a page."""
    match figure:
        case Chart():
            inner = render_interactive_chart(figure) if interactive else render_chart(figure)
        case Heatmap():
            inner = render_heatmap(figure)
        case Graph():
            inner = render_graph(figure)
        case Board():
            inner = render_board(figure)
        case FeatureIndex():
            inner = render_features(figure)
    return Fragment(render("figure.html", figure=figure, inner=inner.html), inner.needs)


def render_figure(figure: Figure, *, interactive: bool = False) -> str:
    """A page with one figure.

    ``interactive`` draws a chart with Vega in the reader's browser (the page is then nearly 1 MB); the other kinds are
    interactive as they are.

    :raises FaultError: Vega-Lite refuses a chart's specification.
    """
    drawn = draw(figure, interactive=interactive)
    live = "vega" in drawn.needs
    body = render("figure_page.html", figure=figure, drawn=drawn.html)
    if live:
        return page(figure.title, body, needs=drawn.needs, script=vega_script(), evaluates=True)
    return page(figure.title, body, needs=drawn.needs)
