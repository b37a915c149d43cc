"""One renderer for each kind of figure, found by entry point.

A package of one's own draws a kind of figure by naming a function of the figure that gives a :class:`Fragment`:

    [project.entry-points."toulmin.figures"]
    violin = "my_package.violins:render_violin"
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from toulmin.evidence import Chart
from toulmin.evidence.figures import FigureBase
from toulmin.report.charts import render_interactive_chart, vega_script
from toulmin.report.pages import Fragment, page, render
from toulmin.studies import Registry

Renderer = Callable[[Any], Fragment]
RENDERERS: Registry[Renderer] = Registry(
    "toulmin.figures", "figure renderer", "report.no_renderer", lambda found, _: callable(found)
)


def draw(figure: FigureBase, *, interactive: bool = False) -> Fragment:
    """The figure with its title and caption, as a piece of a page.

    :raises FaultError: ``report.no_renderer`` where no installed package draws its kind.
    """
    if interactive and isinstance(figure, Chart):
        inner = render_interactive_chart(figure)
    else:
        inner = RENDERERS.find(str(getattr(figure, "kind", "")))(figure)  # each figure class names its own kind
    return Fragment(render("figure.html", figure=figure, inner=inner.html), inner.needs)


def render_figure(figure: FigureBase, *, interactive: bool = False) -> str:
    """A page with one figure.

    ``interactive`` draws a chart with Vega in the reader's browser (the page is then nearly 1 MB); the other kinds are
    interactive as they are.

    :raises FaultError: no installed package draws its kind, or Vega-Lite refuses a chart's specification.
    """
    drawn = draw(figure, interactive=interactive)
    live = "vega" in drawn.needs
    body = render("figure_page.html", figure=figure, drawn=drawn.html)
    if live:
        return page(figure.title, body, needs=drawn.needs, script=vega_script(), evaluates=True)
    return page(figure.title, body, needs=drawn.needs)
