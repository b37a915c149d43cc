"""Graphs of a model drawn by layer: y is the layer, x the position (token) or, without positions, the order given.

Nodes of one layer and position stand side by side and never overlap: each column is as wide as its most crowded cell.
Edges leave the top of their source and enter the bottom of their target; width and opacity follow the size of the
weight relative to the largest, colour its sign (or the edge's group). The page's script adds hovering, focus and a
slider that hides light edges; without it the drawing is whole.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from toulmin.evidence import GraphFigure
from toulmin.evidence.figures import Facts, FigureEdge, Node
from toulmin.report.numbers import format_number
from toulmin.report.pages import Fragment, render

_CHARACTER, _PADDING, _NODE_HEIGHT, _GAP, _COLUMN_GAP = 7.2, 20.0, 26.0, 10.0, 26.0
_LAYER_STEP, _MARGIN, _COLOURS = 74.0, 14.0, 8
_LABEL_ROOM = 90.0
_TABLE_ROWS = 300


@dataclass(frozen=True)
class PlacedNode:
    """A node and its box."""

    node: Node
    x: float
    y: float
    width: float
    height: float
    colour: int
    tip: str


@dataclass(frozen=True)
class PlacedEdge:
    """An edge, its curve, and how it is drawn."""

    edge: FigureEdge
    path: str
    width: float
    opacity: float
    share: float  #: |weight| as a part of the largest
    colour: int
    tip: str


@dataclass(frozen=True)
class Drawing:
    """A graph with every box and curve placed."""

    width: float
    height: float
    nodes: tuple[PlacedNode, ...]
    edges: tuple[PlacedEdge, ...]
    layers: tuple[tuple[float, str], ...]
    positions: tuple[tuple[float, str], ...]


def _tip(head: str, facts: Facts) -> str:
    return "\n".join([head, *(f"{name}: {format_number(value, 4)}" for name, value in facts.items())])


def _width(node: Node) -> float:
    return max(34.0, len(node.label or node.id) * _CHARACTER + _PADDING)


def _boxes(graph: GraphFigure) -> tuple[dict[str, tuple[float, float, float]], dict[int, float], float]:
    """x, y and width of each node, the middle of each position's column, and the total width."""
    cells: dict[tuple[int, int], list[Node]] = defaultdict(list)
    for node in graph.nodes:
        cells[node.layer, -1 if node.position is None else node.position].append(node)
    needs = {key: sum(map(_width, nodes)) + _GAP * (len(nodes) - 1) for key, nodes in cells.items()}
    columns: dict[int, float] = {}
    for (_, position), need in needs.items():
        token = graph.positions[position] if position >= 0 else ""
        columns[position] = max(columns.get(position, 0.0), need, len(token) * _CHARACTER)
    left: dict[int, float] = {}
    edge = _MARGIN + (_LABEL_ROOM if graph.layers else 0.0)
    for position in sorted(columns):
        left[position] = edge
        edge += columns[position] + _COLUMN_GAP
    top = max(node.layer for node in graph.nodes)
    boxes: dict[str, tuple[float, float, float]] = {}
    for (layer, position), nodes in cells.items():
        x = left[position] + (columns[position] - needs[layer, position]) / 2
        for node in nodes:
            boxes[node.id] = (x, _MARGIN + (top - layer) * _LAYER_STEP, _width(node))
            x += _width(node) + _GAP
    middles = {position: left[position] + columns[position] / 2 for position in columns if position >= 0}
    return boxes, middles, edge - _COLUMN_GAP + _MARGIN


def _curve(source: tuple[float, float, float], target: tuple[float, float, float]) -> str:
    x0, y0 = source[0] + source[2] / 2, source[1]
    x1, y1 = target[0] + target[2] / 2, target[1] + _NODE_HEIGHT
    if abs(source[1] - target[1]) < 1:  # within a layer: an arc over the boxes
        y1 = target[1]
        lift = min(46.0, 18 + abs(x1 - x0) / 12)
        return f"M{x0:.1f},{y0:.1f}C{x0:.1f},{y0 - lift:.1f} {x1:.1f},{y1 - lift:.1f} {x1:.1f},{y1:.1f}"
    bend = (y0 - y1) * 0.45
    return f"M{x0:.1f},{y0:.1f}C{x0:.1f},{y0 - bend:.1f} {x1:.1f},{y1 + bend:.1f} {x1:.1f},{y1:.1f}"


def lay_out_graph(graph: GraphFigure) -> Drawing:
    """Place every node and edge; the same graph always gives the same drawing."""
    boxes, middles, width = _boxes(graph)
    top = max(node.layer for node in graph.nodes)
    groups = list(dict.fromkeys(node.group for node in graph.nodes if node.group))
    edge_groups = list(dict.fromkeys(edge.group for edge in graph.edges if edge.group))
    nodes = tuple(
        PlacedNode(
            node,
            *boxes[node.id][:2],
            boxes[node.id][2],
            _NODE_HEIGHT,
            groups.index(node.group) % _COLOURS + 1 if node.group else 0,
            _tip(node.label or node.id, ({"value": node.value} if node.value is not None else {}) | node.facts),
        )
        for node in graph.nodes
    )
    largest = max((abs(edge.weight) for edge in graph.edges), default=1.0) or 1.0
    unit = f" {graph.unit}" if graph.unit else ""
    names = {node.id: node.label or node.id for node in graph.nodes}
    edges: list[PlacedEdge] = []
    for edge in sorted(graph.edges, key=lambda one: (abs(one.weight), one.source, one.target)):
        share = abs(edge.weight) / largest
        sign = 1 if edge.weight >= 0 else 2
        colour = edge_groups.index(edge.group) % _COLOURS + 1 if edge.group else sign
        head = f"{names[edge.source]} \u2192 {names[edge.target]}\nweight: {format_number(edge.weight, 4)}{unit}"
        curve = _curve(boxes[edge.source], boxes[edge.target])
        drawn = (round(0.8 + 4.7 * share, 2), round(0.25 + 0.7 * share, 2), round(share, 4))
        edges.append(PlacedEdge(edge, curve, *drawn, colour, _tip(head, edge.facts)))
    bottom = _MARGIN + top * _LAYER_STEP + _NODE_HEIGHT
    return Drawing(
        width=width,
        height=bottom + (34.0 if graph.positions else _MARGIN),
        nodes=nodes,
        edges=tuple(edges),
        layers=tuple((_MARGIN + (top - i) * _LAYER_STEP, name) for i, name in enumerate(graph.layers[: top + 1])),
        positions=tuple((middles[position], graph.positions[position]) for position in sorted(middles)),
    )


def render_graph(graph: GraphFigure) -> Fragment:
    """The drawing, its key, and the edges as a table."""
    groups = list(dict.fromkeys(node.group for node in graph.nodes if node.group))
    edge_groups = list(dict.fromkeys(edge.group for edge in graph.edges if edge.group))
    heaviest = sorted(graph.edges, key=lambda edge: (-abs(edge.weight), edge.source, edge.target))
    html = render(
        "graph.html",
        graph=graph,
        drawing=lay_out_graph(graph),
        groups=[(index % _COLOURS + 1, name) for index, name in enumerate(groups)],
        edge_groups=[(index % _COLOURS + 1, name) for index, name in enumerate(edge_groups)],
        signs={edge.weight < 0 for edge in graph.edges if not edge.group},
        heaviest=heaviest[:_TABLE_ROWS],
        left_out=max(0, len(heaviest) - _TABLE_ROWS),
    )
    return Fragment(html, frozenset({"graph"}))
