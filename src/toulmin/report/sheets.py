"""The argument on paper: an overview, then one arm a landscape page.

An arm that would have to be drawn too small to be read is drawn as far as it can be, and what is below that has pages
of its own.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace

from markupsafe import Markup

from toulmin.case import ArgumentEdge, Label, Verdict
from toulmin.report.diagram import draw_diagram
from toulmin.report.drawings import render_diagram
from toulmin.report.headline import arms_of
from toulmin.report.layout import Way
from toulmin.report.outline import Outline, outline

_SHEET = (1010.0, 600.0)  # what an A4 sheet on its side holds, in pixels
_LEAST = 0.6  # of full size, where the text is 12 pixels high
_SMALL = 4  # cards on a sheet that shares its page with another
_MOST = 400  # elements; a larger case is printed in words


@dataclass(frozen=True)
class Sheet:
    """A drawing and what stands above it."""

    title: str
    drawing: Markup
    small: bool = False  #: so few cards that two such sheets share a page


def _scale(verdict: Verdict, way: Way) -> float:
    """How large the argument can be drawn on a sheet; 1 is full size."""
    width, height = draw_diagram(verdict, outline(verdict)).sizes[way]
    return min(_SHEET[0] / width, _SHEET[1] / height)


def _drawn(verdict: Verdict) -> Markup:
    """The argument of a verdict, whichever way is larger on the sheet."""
    return Markup(render_diagram(verdict, way="lr" if _scale(verdict, "lr") >= _scale(verdict, "td") else "td"))


def _part(verdict: Verdict, names: Collection[str]) -> Verdict:
    """The argument between some of its elements."""
    nodes = {name: node for name, node in verdict.nodes.items() if name in names}
    edges = tuple(edge for edge in verdict.edges if edge.source in names and _aim(edge) in names)
    return replace(verdict, nodes=nodes, edges=edges)


def _aim(edge: ArgumentEdge) -> str:
    """The element at which an edge points; of an attack on a step, the claim above it."""
    return edge.target.partition("->")[0]


def _sheets(verdict: Verdict, root: str, done: set[str]) -> Iterator[Sheet]:
    """An element and everything below it, on as many sheets as it takes to be read; ``done`` have sheets already."""
    done.add(root)
    below = replace(verdict, root=root)
    tree = outline(below)
    ways: list[tuple[int, int, Verdict, list[str]]] = []
    for depth in range(1, max(branch.level for branch in tree.branches.values()) + 1):
        drawn = [branch for branch in tree.branches.values() if branch.level <= depth]
        shown = _part(below, {branch.id for branch in drawn} | {c for branch in drawn for c, _ in branch.beside})
        if depth > 1 and max(_scale(shown, "lr"), _scale(shown, "td")) < _LEAST:
            break
        cut = [branch.id for branch in drawn if branch.level == depth and branch.children and branch.id not in done]
        ways.append((len(cut), -depth, shown, cut))
    if not ways:
        return
    _, _, shown, cut = min(ways, key=lambda way: way[:2])  # the fewest sheets below it, then the most on this one
    yield Sheet(verdict.nodes[root].text, _drawn(shown), len(outline(shown).branches) <= _SMALL)
    for name in cut:
        if name not in done:
            yield from _sheets(verdict, name, done)


def overview(verdict: Verdict, tree: Outline) -> Verdict:
    """The conclusion, its arms, and the challenges that stand directly against them."""
    place = arms_of(tree, verdict)
    arms = {arm for arm in place.values() if arm}
    kept = {name for name, arm in place.items() if not arm} | arms
    against = {
        edge.source
        for edge in verdict.edges
        if edge.kind == "attacks" and edge.target in kept and verdict.nodes[edge.source].label is not Label.OUT
    }
    kept |= against
    return _part(verdict, kept)


def draw_sheets(verdict: Verdict, tree: Outline) -> list[Sheet]:
    """An overview, and sheets for each arm that has something below it; none for a very large case."""
    if not tree.branches or len(verdict.nodes) > _MOST:
        return []
    done: set[str] = set()
    sheets = [Sheet("The argument at a glance", _drawn(overview(verdict, tree)))]
    for arm in dict.fromkeys(arms_of(tree, verdict).values()):
        if arm and tree.branches[arm].children:
            sheets += _sheets(verdict, arm, done)
    return sheets
