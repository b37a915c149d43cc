"""Figures as data: what a study found, kept so that any renderer can draw it and any reader can check it.

Five kinds, told apart by ``kind``: :class:`Chart` (a Vega-Lite specification with its data inside), :class:`Heatmap`
(a grid of numbers with intervals), :class:`Graph` (components of a model and weighted edges), :class:`Board` (games of
Go) and :class:`FeatureIndex` (sparse features with the contexts that activate them most).

A figure holds no colour, no pixel and no markup. It is frozen, validated (every number finite, every length equal to
the one it must match, nothing fetched from a network), and the same figure always gives the same JSON. Numpy arrays and
scalars are accepted wherever numbers are and become plain numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, JsonValue, model_validator

from toulmin.evidence import chart_specs

Numbers: TypeAlias = "Sequence[float] | Any"  #: a sequence of numbers or a one-dimensional array
Grid: TypeAlias = tuple[tuple[FiniteFloat | None, ...], ...]
Facts: TypeAlias = dict[str, FiniteFloat | int | str]


def _plain(value: Any) -> Any:
    """Arrays and numpy scalars as Python numbers, inside containers too."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("Sequence[Any]", value)]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _accept_arrays(cls, data: Any) -> Any:
        return _plain(data)


class _Figure(_Data):
    """What every figure has: ``title``; ``caption``, what it shows in a sentence; ``alt``, the same for who cannot see it."""

    title: str = Field(min_length=1)
    caption: str = ""
    alt: str = ""


def _walk(value: JsonValue, key: str = "") -> Iterator[tuple[str, JsonValue]]:
    yield key, value
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _walk(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, key)


class Chart(_Figure):
    """A Vega-Lite specification with its data inside.

    ``spec`` names no colours of its own: the renderer supplies the theme. Data are lists of rows under ``values`` (or
    ``datasets``). The class methods build the common shapes.

    :raises pydantic.ValidationError: a number is NaN or infinite, there are no rows, or the specification refers to
        anything outside itself (``url``, ``href``).
    """

    kind: Literal["chart"] = "chart"
    spec: dict[str, JsonValue]

    @model_validator(mode="after")
    def _check(self) -> Chart:
        for key, value in _walk(self.spec):
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"a number under {key!r} is not finite")
            if key in ("url", "href"):
                raise ValueError(f"{key!r} is not allowed: a chart carries its own data")
        if not self.rows():
            raise ValueError("the chart has no data: give rows under data.values")
        return self

    def rows(self) -> list[dict[str, JsonValue]]:
        """Every row of data in the chart, in order."""
        found: list[dict[str, JsonValue]] = []
        for key, value in _walk(self.spec):
            lists = (
                [value]
                if key == "values"
                else list(value.values())
                if key == "datasets" and isinstance(value, dict)
                else []
            )
            for rows in lists:
                if isinstance(rows, list):
                    found += [row for row in rows if isinstance(row, dict)]
        return found

    @classmethod
    def points_with_intervals(
        cls,
        labels: Sequence[str],
        values: Numbers,
        lows: Numbers,
        highs: Numbers,
        *,
        title: str,
        unit: str = "",
        groups: Sequence[str] | None = None,
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """One row a label: its value as a point, its interval [low, high] as a line; an optional threshold as a rule."""
        rows = chart_specs.rows(label=labels, value=values, low=lows, high=highs, group=groups)
        return cls(title=title, caption=caption, alt=alt, spec=chart_specs.points(rows, unit, threshold))

    @classmethod
    def ladder(
        cls,
        rungs: Sequence[str],
        values: Numbers,
        lows: Numbers,
        highs: Numbers,
        *,
        title: str,
        unit: str = "",
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Ordered steps (growing hypotheses, search budgets) joined by a line, each with its interval."""
        rows = chart_specs.rows(rung=rungs, value=values, low=lows, high=highs)
        return cls(title=title, caption=caption, alt=alt, spec=chart_specs.ladder(rows, unit, threshold))

    @classmethod
    def curves(
        cls,
        series: Mapping[str, tuple[Numbers, Numbers] | tuple[Numbers, Numbers, Numbers, Numbers]],
        *,
        title: str,
        x: str = "x",
        y: str = "y",
        log_x: bool = False,
        log_y: bool = False,
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Lines: name -> (x, y) or (x, y, low, high), the interval drawn as a band. ``x``, ``y`` are axis titles."""
        rows: list[dict[str, JsonValue]] = []
        for name, columns in series.items():
            named = dict(zip(("x", "y", "low", "high"), columns, strict=False))
            rows += [{"series": name, **row} for row in chart_specs.rows(**named)]
        spec = chart_specs.curves(rows, x, y, log_x=log_x, log_y=log_y, threshold=threshold)
        return cls(title=title, caption=caption, alt=alt, spec=spec)

    @classmethod
    def histogram(
        cls,
        values: Numbers | Mapping[str, Numbers],
        *,
        title: str,
        unit: str = "",
        bins: int = 30,
        threshold: float | None = None,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Counts of values (or of several named groups over common bins); binned here, so the figure stays small."""
        groups = cast("Mapping[str, Numbers]", values) if isinstance(values, Mapping) else {"": values}
        rows = chart_specs.binned(groups, bins)
        return cls(title=title, caption=caption, alt=alt, spec=chart_specs.histogram(rows, unit, threshold))

    @classmethod
    def scatter(
        cls,
        x_values: Numbers,
        y_values: Numbers,
        *,
        title: str,
        x: str = "x",
        y: str = "y",
        groups: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        log_x: bool = False,
        log_y: bool = False,
        caption: str = "",
        alt: str = "",
    ) -> Chart:
        """Points, optionally coloured by group and named by label."""
        rows = chart_specs.rows(x=x_values, y=y_values, group=groups, label=labels)
        spec = chart_specs.scatter(rows, x, y, log_x=log_x, log_y=log_y)
        return cls(title=title, caption=caption, alt=alt, spec=spec)


class Heatmap(_Figure):
    """A grid of numbers: ``values[row][column]``, rows named by ``y_labels`` from the top, ``None`` where there is none.

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


class Node(_Data):
    """A node of a :class:`Graph`: ``layer`` from 0 at the bottom; ``position`` is an index into the graph's positions."""

    id: str = Field(min_length=1)
    label: str = ""
    layer: int = Field(ge=0)
    position: int | None = Field(default=None, ge=0)
    group: str = ""
    value: FiniteFloat | None = None
    facts: Facts = {}


class Edge(_Data):
    """A directed edge; ``weight`` may be negative, and its size gives the width; ``group`` gives the colour if present."""

    source: str
    target: str
    weight: FiniteFloat = 1.0
    group: str = ""
    facts: Facts = {}


class Graph(_Figure):
    """Components of a model and the edges between them, drawn by layer: a circuit, a hypothesis, an interaction graph.

    ``layers`` names layers from the bottom; ``positions`` names columns (tokens), if nodes have positions; ``unit`` is
    that of the weights.
    """

    kind: Literal["graph"] = "graph"
    nodes: tuple[Node, ...] = Field(min_length=1)
    edges: tuple[Edge, ...] = ()
    layers: tuple[str, ...] = ()
    positions: tuple[str, ...] = ()
    unit: str = ""

    @model_validator(mode="after")
    def _check(self) -> Graph:
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


class Move(_Data):
    """A move: ``x`` from the left and ``y`` from the top, from 0; both ``None`` for a pass."""

    colour: Literal["b", "w"]
    x: int | None = Field(default=None, ge=0)
    y: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _check(self) -> Move:
        if (self.x is None) != (self.y is None):
            raise ValueError("a move has both coordinates, or neither (a pass)")
        return self


class Ownership(_Data):
    """Who is expected to own each point after ``move`` moves: row by row from the top, +1 Black, -1 White."""

    move: int = Field(ge=0)
    values: tuple[FiniteFloat, ...]


class Game(_Data):
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
    win_estimates: dict[str, tuple[Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None, ...]] = {}
    ownership: tuple[Ownership, ...] = ()
    facts: Facts = {}

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


class Board(_Figure):
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


class Example(_Data):
    """A context in which a feature is active: ``tokens`` and the activation on each."""

    tokens: tuple[str, ...] = Field(min_length=1)
    activations: tuple[FiniteFloat, ...]
    source: str = ""

    @model_validator(mode="after")
    def _check(self) -> Example:
        if len(self.tokens) != len(self.activations):
            raise ValueError(f"{len(self.tokens)} tokens but {len(self.activations)} activations")
        return self


class Feature(_Data):
    """A feature of a sparse dictionary: ``density`` is the share of tokens on which it is active, from 0 to 1."""

    id: str = Field(min_length=1)
    label: str = ""
    density: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    examples: tuple[Example, ...] = ()
    promotes: tuple[tuple[str, FiniteFloat], ...] = ()
    suppresses: tuple[tuple[str, FiniteFloat], ...] = ()
    facts: Facts = {}


class FeatureIndex(_Figure):
    """Sparse features, each with its top activating examples."""

    kind: Literal["features"] = "features"
    features: tuple[Feature, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> FeatureIndex:
        if len({feature.id for feature in self.features}) != len(self.features):
            raise ValueError("two features have the same id")
        return self


Figure: TypeAlias = Annotated[Chart | Heatmap | Graph | Board | FeatureIndex, Field(discriminator="kind")]
