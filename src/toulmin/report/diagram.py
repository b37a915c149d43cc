"""The argument diagram: what each card says, where it stands in both arrangements, and which lines join them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from toulmin.case import Freshness, Label, Verdict
from toulmin.report.layout import Box, Layout, Way, extent, lay_out
from toulmin.report.outline import Outline
from toulmin.report.words import Status, node_status, pattern_mark

_ROOMY = 1180.0  # a top-down drawing no wider than this needs no scrolling
_SHOWN_FIRST = 30  # cards shown before the reader opens more


@dataclass(frozen=True)
class NodeCard:
    """An element (or away-link) and its boxes, left to right and top down."""

    key: str
    id: str
    type: str
    text: str
    status: Status | None
    stale: bool
    away: bool
    level: int
    parent: str | None
    note: str
    pattern: str  #: what a GSN pattern leaves open of its line to the parent, with the standard's symbol
    children: int  #: branches directly below
    below: int  #: cards anywhere below
    lr: Box
    td: Box
    extents: tuple[str, str] = ("", "")  #: breadth before and after the middle, both ways, for the page's script


@dataclass(frozen=True)
class Line:
    """A line from a card to its parent's; ``kind`` as in the verdict, ``quiet`` an attack that does not count now."""

    parent: str
    child: str
    kind: str
    path: str
    quiet: bool = False


@dataclass(frozen=True)
class Diagram:
    """Everything the template draws. ``open_levels`` is how many layers are shown before the reader opens more."""

    cards: tuple[NodeCard, ...]
    chips: tuple[NodeCard, ...]
    lines: tuple[Line, ...]
    way: Way
    sizes: Mapping[Way, tuple[float, float]]
    open_levels: int


def curve(parent: Box, child: Box, way: Way) -> str:
    """The line between two cards; the page's script draws the same one after a change."""
    if way == "lr":
        x0, y0, x1, y1 = parent.x + parent.width, parent.y + parent.height / 2, child.x, child.y + child.height / 2
        middle = (x0 + x1) / 2
        return f"M{x0:.1f},{y0:.1f}C{middle:.1f},{y0:.1f} {middle:.1f},{y1:.1f} {x1:.1f},{y1:.1f}"
    x0, y0, x1, y1 = parent.x + parent.width / 2, parent.y + parent.height, child.x + child.width / 2, child.y
    middle = (y0 + y1) / 2
    return f"M{x0:.1f},{y0:.1f}C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f} {x1:.1f},{y1:.1f}"


def _below(tree: Outline) -> dict[str, int]:
    counts = dict.fromkeys(tree.branches, 0)
    for key in reversed(tree.branches):
        parent = tree.branches[key].parent
        if parent is not None:
            counts[parent] += counts[key] + 1
    return counts


def _open_levels(tree: Outline) -> int:
    """As many layers as keep the first view readable, and at least one below the root."""
    levels = [branch.level for branch in tree.branches.values()]
    deepest = max(levels)
    shown = [sum(level <= depth for level in levels) for depth in range(deepest + 1)]
    return max((depth for depth, count in enumerate(shown) if count <= _SHOWN_FIRST or depth <= 1), default=0)


def accepted_in(verdict: Verdict) -> set[str]:
    """What a person has accepted: what the conclusion rests on, and doubts that are out because some element rests on
    living with them."""
    found = {resting.id for resting in verdict.resting if resting.accepted_by and not resting.expired}
    used = {name for node in verdict.nodes.values() for name in node.rests_on}
    return found | {name for name in used if name in verdict.nodes and verdict.nodes[name].label is Label.OUT}


def draw_diagram(verdict: Verdict, tree: Outline, accepted: Collection[str] | None = None) -> Diagram:
    """Lay the tree out both ways and describe every card; ``tree`` must not be empty.

    ``accepted`` names what a person has accepted, by default what the conclusion rests on and every accepted doubt.
    """
    layouts: dict[Way, Layout] = {"lr": lay_out(tree, "lr"), "td": lay_out(tree, "td")}
    if accepted is None:
        accepted = accepted_in(verdict)
    below = _below(tree)
    open_marks = {(edge.source, edge.target): edge.pattern for edge in verdict.edges if edge.pattern}
    way: Way = "td" if layouts["td"].width <= _ROOMY else "lr"
    cards: list[NodeCard] = []
    chips: list[NodeCard] = []
    lines: list[Line] = []
    for key, branch in tree.branches.items():
        node = verdict.nodes[branch.id]
        boxes = layouts["lr"].cards[key], layouts["td"].cards[key]
        status = node_status(node, branch.id in accepted)
        notes = branch.note, pattern_mark(branch.pattern)
        state = (status, node.freshness is Freshness.STALE, branch.away, branch.level, branch.parent, *notes)
        extents = ",".join(map(str, extent(branch, "lr"))), ",".join(map(str, extent(branch, "td")))
        counts = len(branch.children), below[key]
        cards.append(NodeCard(key, branch.id, node.type, node.text, *state, *counts, *boxes, extents))
        if branch.parent is not None:
            shape = curve(layouts[way].cards[branch.parent], layouts[way].cards[key], way)
            lines.append(Line(branch.parent, key, branch.link, shape, node.dormant or node.label is Label.OUT))
        for index, (identifier, away) in enumerate(branch.beside):
            if identifier not in verdict.nodes:
                continue
            chip = verdict.nodes[identifier]
            status = node_status(chip, identifier in accepted)
            boxes = layouts["lr"].chips[key, index], layouts["td"].chips[key, index]
            stale = chip.freshness is Freshness.STALE
            name = f"{identifier}@{key}" if away else identifier
            mark = pattern_mark(open_marks.get((branch.id, identifier), ""))
            state = status, stale, away, branch.level, key, "", mark, 0, 0
            chips.append(NodeCard(name, identifier, chip.type, chip.text, *state, *boxes))
    sizes: dict[Way, tuple[float, float]] = {name: (plan.width, plan.height) for name, plan in layouts.items()}
    return Diagram(tuple(cards), tuple(chips), tuple(lines), way, sizes, _open_levels(tree))
