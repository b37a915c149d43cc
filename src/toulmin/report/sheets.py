"""The argument on paper: an overview, then one arm a landscape page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from markupsafe import Markup

from toulmin.case import Label, Verdict
from toulmin.report.diagram import draw_diagram
from toulmin.report.drawings import render_diagram
from toulmin.report.headline import arms_of
from toulmin.report.layout import Way
from toulmin.report.outline import Outline, outline

_SHEET = (1010.0, 600.0)  # what an A4 sheet on its side holds, in pixels
_MOST = 400  # elements; a larger case is printed in words


@dataclass(frozen=True)
class Sheet:
    """A drawing and what stands above it."""

    title: str
    drawing: Markup


def _drawn(verdict: Verdict) -> Markup:
    """The argument of a verdict, whichever way is larger on the sheet."""
    sizes = draw_diagram(verdict, outline(verdict)).sizes

    def scale(way: Way) -> float:
        return min(_SHEET[0] / sizes[way][0], _SHEET[1] / sizes[way][1])

    return Markup(render_diagram(verdict, way="lr" if scale("lr") >= scale("td") else "td"))


def overview(verdict: Verdict, tree: Outline) -> Verdict:
    """The conclusion, its arms, and the challenges that stand directly against them."""
    place = arms_of(tree, verdict)
    arms = {arm for arm in place.values() if arm}
    kept = {name for name, arm in place.items() if not arm and name in tree.branches} | arms
    against = {
        edge.source
        for edge in verdict.edges
        if edge.kind == "attacks" and edge.target in kept and verdict.nodes[edge.source].label is not Label.OUT
    }
    kept |= against
    nodes = {name: node for name, node in verdict.nodes.items() if name in kept}
    return replace(
        verdict, nodes=nodes, edges=tuple(edge for edge in verdict.edges if edge.source in kept and edge.target in kept)
    )


def draw_sheets(verdict: Verdict, tree: Outline) -> list[Sheet]:
    """An overview, and a sheet for each arm that has something below it; none for a very large case."""
    if not tree.branches or len(verdict.nodes) > _MOST:
        return []
    sheets = [Sheet("The argument at a glance", _drawn(overview(verdict, tree)))]
    for arm in dict.fromkeys(arms_of(tree, verdict).values()):
        if arm and tree.branches[arm].children:
            sheets.append(Sheet(verdict.nodes[arm].text, _drawn(replace(verdict, root=arm))))
    return sheets
