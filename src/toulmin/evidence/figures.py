"""Figures as data: what a study found, kept so that any renderer can draw it and any reader can check it.

Five kinds, told apart by ``kind``: :class:`Chart` (a Vega-Lite specification with its data inside), :class:`Heatmap`
(a grid of numbers with intervals), :class:`GraphFigure` (components of a model and weighted edges), :class:`Board`
(games of Go) and :class:`FeatureIndex` (sparse features with the contexts that activate them most).

A figure holds no colour, no pixel and no markup. It is frozen, validated (every number finite, every length equal to
the one it must match, nothing fetched from a network), and the same figure always gives the same JSON. Numpy arrays and
scalars are accepted wherever numbers are and become plain numbers.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, FiniteFloat, model_validator

from toulmin.evidence.charts import Chart
from toulmin.evidence.figure_base import FigureBase, FigurePart

Grid: TypeAlias = tuple[tuple[FiniteFloat | None, ...], ...]
Facts: TypeAlias = dict[str, FiniteFloat | int | str]
Probability: TypeAlias = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Heatmap(FigureBase):
    """A grid of numbers: ``values[row][column]``, rows named by ``y_labels`` from the top, ``None`` where empty.

    ``low`` and ``high`` are intervals of the same shape; ``text`` replaces the number printed in a cell; ``centre`` is
    the value that has no colour in a diverging scale (``None``: the scale runs one way); ``threshold`` marks the cells
    on its far side.
    """

    kind: Literal["heatmap"] = "heatmap"
    x_labels: tuple[str, ...] = Field(min_length=1)
    y_labels: tuple[str, ...] = Field(min_length=1)
    values: Grid
    low: Grid | None = None
    high: Grid | None = None
    text: tuple[tuple[str, ...], ...] | None = None
    x_title: str = ""
    y_title: str = ""
    unit: str = ""
    centre: FiniteFloat | None = None
    threshold: FiniteFloat | None = None

    @model_validator(mode="after")
    def _check(self) -> Heatmap:
        for name, grid in (("values", self.values), ("low", self.low), ("high", self.high), ("text", self.text)):
            if grid is None:
                continue
            if len(grid) != len(self.y_labels) or any(len(row) != len(self.x_labels) for row in grid):
                raise ValueError(f"{name} must be {len(self.y_labels)} rows of {len(self.x_labels)}")
        if (self.low is None) != (self.high is None):
            raise ValueError("give both low and high, or neither")
        return self


class Node(FigurePart):
    """A node of a :class:`GraphFigure`: ``layer`` from 0 at the bottom, ``position`` an index into its positions."""

    id: str = Field(min_length=1)
    label: str = ""
    layer: int = Field(ge=0)
    position: int | None = Field(default=None, ge=0)
    group: str = ""
    value: FiniteFloat | None = None
    facts: Facts = Field(default_factory=dict)


class FigureEdge(FigurePart):
    """A directed edge; ``weight`` may be negative, its size is the width; ``group``, if any, chooses the colour."""

    source: str
    target: str
    weight: FiniteFloat = 1.0
    group: str = ""
    facts: Facts = Field(default_factory=dict)


class GraphFigure(FigureBase):
    """Components of a model and the edges between them, drawn by layer: a circuit, a hypothesis, an interaction graph.

    ``layers`` names layers from the bottom; ``positions`` names columns (tokens), if nodes have positions; ``unit`` is
    that of the weights.
    """

    kind: Literal["graph"] = "graph"
    nodes: tuple[Node, ...] = Field(min_length=1)
    edges: tuple[FigureEdge, ...] = ()
    layers: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    unit: str = ""

    @model_validator(mode="after")
    def _check(self) -> GraphFigure:
        ids = {node.id for node in self.nodes}
        if len(ids) != len(self.nodes):
            raise ValueError("two nodes have the same id")
        unknown = sorted({end for edge in self.edges for end in (edge.source, edge.target)} - ids)
        if unknown:
            raise ValueError(f"edges name unknown nodes: {', '.join(unknown[:5])}")
        for node in self.nodes:
            if self.layers and node.layer >= len(self.layers):
                raise ValueError(f"node {node.id!r} is on layer {node.layer} of {len(self.layers)}")
            if node.position is not None and node.position >= len(self.positions):
                raise ValueError(f"node {node.id!r} is at position {node.position} of {len(self.positions)}")
        return self


class Move(FigurePart):
    """A move: ``x`` from the left and ``y`` from the top, from 0; both ``None`` for a pass."""

    colour: Literal["b", "w"]
    x: int | None = Field(default=None, ge=0)
    y: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Move:
        if (self.x is None) != (self.y is None):
            raise ValueError("a move has both coordinates, or neither (a pass)")
        return self


class Ownership(FigurePart):
    """Who is expected to own each point after ``move`` moves: row by row from the top, +1 Black, -1 White."""

    move: int = Field(ge=0)
    values: tuple[FiniteFloat, ...]


class Game(FigurePart):
    """One game of Go.

    ``setup`` holds stones placed before the first move; ``win_estimates`` maps an estimator's name to its probability
    that Black wins, before the first move and after each (length moves + 1, ``None`` where it was not asked).
    ``score_area`` (Tromp-Taylor) and ``score_pass_alive`` are Black minus White, komi included.
    """

    name: str = Field(min_length=1)
    black: str
    white: str
    komi: FiniteFloat
    rules: str
    result: str
    moves: tuple[Move, ...]
    setup: tuple[Move, ...] = ()
    score_area: FiniteFloat | None = None
    score_pass_alive: FiniteFloat | None = None
    suicide: bool = False
    win_estimates: dict[str, tuple[Probability | None, ...]] = Field(default_factory=dict)
    ownership: tuple[Ownership, ...] = ()
    facts: Facts = Field(default_factory=dict)

    @model_validator(mode="after")
    def _check(self) -> Game:
        for name, curve in self.win_estimates.items():
            if len(curve) != len(self.moves) + 1:
                raise ValueError(
                    f"win estimate {name!r} has {len(curve)} values for {len(self.moves)} moves (one more)"
                )
        if any(stone.x is None for stone in self.setup):
            raise ValueError("a setup stone needs a point")
        return self


class Board(FigureBase):
    """Games of Go on one size of board, to be replayed."""

    kind: Literal["board"] = "board"
    size: int = Field(ge=2, le=25)
    games: tuple[Game, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Board:
        for game in self.games:
            for move in (*game.setup, *game.moves):
                if max(move.x or 0, move.y or 0) >= self.size:
                    raise ValueError(f"{game.name}: ({move.x}, {move.y}) is outside a board of {self.size}")
            for owned in game.ownership:
                if len(owned.values) != self.size**2 or owned.move > len(game.moves):
                    raise ValueError(f"{game.name}: ownership after move {owned.move} does not fit the game")
        return self


class Example(FigurePart):
    """A context in which a feature is active: ``tokens`` and the activation on each."""

    tokens: tuple[str, ...] = Field(min_length=1)
    activations: tuple[FiniteFloat, ...]
    source: str = ""

    @model_validator(mode="after")
    def _check(self) -> Example:
        if len(self.tokens) != len(self.activations):
            raise ValueError(f"{len(self.tokens)} tokens but {len(self.activations)} activations")
        return self


class Feature(FigurePart):
    """A feature of a sparse dictionary: ``density`` is the share of tokens on which it is active, from 0 to 1."""

    id: str = Field(min_length=1)
    label: str = ""
    density: Probability | None = None
    examples: tuple[Example, ...] = ()
    promotes: tuple[tuple[str, FiniteFloat], ...] = ()
    suppresses: tuple[tuple[str, FiniteFloat], ...] = ()
    facts: Facts = Field(default_factory=dict)


class FeatureIndex(FigureBase):
    """Sparse features, each with its top activating examples."""

    kind: Literal["features"] = "features"
    features: tuple[Feature, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> FeatureIndex:
        if len({feature.id for feature in self.features}) != len(self.features):
            raise ValueError("two features have the same id")
        return self


Figure: TypeAlias = Annotated[Chart | Heatmap | GraphFigure | Board | FeatureIndex, Field(discriminator="kind")]

__all__ = [
    "Board",
    "Chart",
    "Example",
    "Feature",
    "FeatureIndex",
    "Figure",
    "FigureEdge",
    "Game",
    "GraphFigure",
    "Heatmap",
    "Move",
    "Node",
    "Ownership",
]
