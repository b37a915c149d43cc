"""Vega-Lite specifications for the shapes that studies draw again and again.

They say what is drawn and never how it looks: colours, fonts and sizes belong to the renderer's theme. A threshold is a
rule of style ``threshold``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import JsonValue

Row = dict[str, JsonValue]
Spec = dict[str, JsonValue]


def rows(**columns: Any) -> list[Row]:
    """Columns of equal length as rows; a column that is None is left out.

    :raises ValueError: lengths differ.
    """
    given: dict[str, list[Any]] = {
        name: cast("list[Any]", column.tolist() if hasattr(column, "tolist") else list(column))
        for name, column in columns.items()
        if column is not None
    }
    lengths = {name: len(column) for name, column in given.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of different lengths: {lengths}")
    size = next(iter(lengths.values()), 0)
    return [{name: _scalar(column[index]) for name, column in given.items()} for index in range(size)]


def _scalar(value: Any) -> JsonValue:
    return value.item() if hasattr(value, "item") else value


def _data(values: Sequence[Row]) -> JsonValue:
    return {"values": cast("JsonValue", list(values))}


def _rule(axis: str, threshold: float) -> dict[str, JsonValue]:
    return {
        "data": _data([{"threshold": float(threshold)}]),
        "mark": {"type": "rule", "style": "threshold"},
        "encoding": {axis: {"field": "threshold", "type": "quantitative"}},
    }


def _quantity(field: str, title: str, *, log: bool = False, zero: bool = False) -> dict[str, JsonValue]:
    scale: dict[str, JsonValue] = {"type": "log", "nice": False} if log else {"zero": zero}
    return {"field": field, "type": "quantitative", "title": title or None, "scale": scale}


def _colour(field: str) -> dict[str, JsonValue]:
    return {"field": field, "type": "nominal", "title": None}


def _layers(data: Sequence[Row], layers: list[JsonValue], encoding: dict[str, JsonValue] | None = None) -> Spec:
    return {"data": _data(data), "layer": layers, **({"encoding": encoding} if encoding else {})}


def _together(layers: list[JsonValue]) -> Spec:
    return {"layer": layers}


def points(data: Sequence[Row], unit: str, threshold: float | None) -> Spec:
    """A point and its interval for each label, labels down the side in the order given."""
    grouped = any("group" in row for row in data)
    encoding: dict[str, JsonValue] = {"y": {"field": "label", "type": "nominal", "sort": None, "title": None}}
    if grouped:
        encoding["color"] = _colour("group")
        encoding["yOffset"] = {"field": "group", "type": "nominal"}
    interval: dict[str, JsonValue] = {
        "mark": {"type": "rule", "style": "interval"},
        "encoding": {"x": _quantity("low", unit), "x2": {"field": "high"}},
    }
    point: dict[str, JsonValue] = {
        "mark": {"type": "point", "style": "estimate"},
        "encoding": {"x": _quantity("value", unit)},
    }
    # shared encodings would give the threshold a row of its own, so it stands outside them
    inner = _layers(data, [interval, point], encoding)
    return inner if threshold is None else _together([cast("JsonValue", inner), _rule("x", threshold)])


def ladder(data: Sequence[Row], unit: str, threshold: float | None) -> Spec:
    """Ordered rungs along the bottom, joined by a line, each with its interval."""
    encoding: dict[str, JsonValue] = {"x": {"field": "rung", "type": "ordinal", "sort": None, "title": None}}
    inner = _layers(
        data,
        [
            {"mark": {"type": "line", "style": "joined"}, "encoding": {"y": _quantity("value", unit)}},
            {
                "mark": {"type": "rule", "style": "interval"},
                "encoding": {"y": _quantity("low", unit), "y2": {"field": "high"}},
            },
            {"mark": {"type": "point", "style": "estimate"}, "encoding": {"y": _quantity("value", unit)}},
        ],
        encoding,
    )
    spec = inner if threshold is None else _together([cast("JsonValue", inner), _rule("y", threshold)])
    longest = max((len(str(row["rung"])) for row in data), default=0)
    return {**spec, "width": {"step": max(64, 7 * longest + 12)}}  # names stand beside each other, unturned


def curves(
    data: Sequence[Row], x: str, y: str, *, log_x: bool = False, log_y: bool = False, threshold: float | None = None
) -> Spec:
    """Lines by series, with bands where rows have low and high."""
    encoding: dict[str, JsonValue] = {"x": _quantity("x", x, log=log_x)}
    if len({str(row["series"]) for row in data}) > 1:
        encoding["color"] = _colour("series")
    else:
        encoding["detail"] = {"field": "series"}
    layers: list[JsonValue] = []
    if any("low" in row for row in data):
        band: dict[str, JsonValue] = {"y": _quantity("low", y, log=log_y), "y2": {"field": "high"}}
        layers.append({"mark": {"type": "area", "style": "band"}, "encoding": band})
    layers.append({"mark": {"type": "line", "style": "curve"}, "encoding": {"y": _quantity("y", y, log=log_y)}})
    inner = _layers(data, layers, encoding)
    return inner if threshold is None else _together([cast("JsonValue", inner), _rule("y", threshold)])


def binned(groups: Mapping[str, Any], bins: int) -> list[Row]:
    """Counts over common equal bins, as rows from, to, count, group.

    :raises ValueError: there are no values, or one is not finite.
    """
    import numpy as np

    arrays = {name: np.asarray(values, dtype=np.float64).ravel() for name, values in groups.items()}
    together = np.concatenate(list(arrays.values())) if arrays else np.zeros(0)
    if together.size == 0 or not np.isfinite(together).all():
        raise ValueError("a histogram needs values, all finite")
    edges = np.histogram_bin_edges(together, bins=bins)
    found: list[Row] = []
    for name, values in arrays.items():
        counts = np.histogram(values, bins=edges)[0]
        for low, high, count in zip(edges[:-1].tolist(), edges[1:].tolist(), counts.tolist(), strict=True):
            found.append({"from": low, "to": high, "count": int(count), "group": name})
    return found


def histogram(data: Sequence[Row], unit: str, threshold: float | None) -> Spec:
    """Bars over bins; groups overlap, half transparent."""
    several = len({str(row["group"]) for row in data}) > 1
    encoding: dict[str, JsonValue] = {
        "x": {"field": "from", "type": "quantitative", "bin": {"binned": True}, "title": unit or None},
        "x2": {"field": "to"},
        "y": {
            "field": "count",
            "type": "quantitative",
            "title": "count",
            "stack": None,
            "axis": {"tickMinStep": 1, "format": "d"},
        },
    }
    if several:
        encoding["color"] = _colour("group")
    style = "overlapping" if several else "bars"
    inner = _layers(data, [{"mark": {"type": "bar", "style": style}}], encoding)
    return inner if threshold is None else _together([cast("JsonValue", inner), _rule("x", threshold)])


def scatter(data: Sequence[Row], x: str, y: str, *, log_x: bool = False, log_y: bool = False) -> Spec:
    """Points of two quantities."""
    encoding: dict[str, JsonValue] = {"x": _quantity("x", x, log=log_x), "y": _quantity("y", y, log=log_y)}
    if any("group" in row for row in data):
        encoding["color"] = _colour("group")
    point: dict[str, JsonValue] = {"mark": {"type": "point", "style": "dot"}}
    layers: list[JsonValue] = [point]
    if any("label" in row for row in data):
        name: dict[str, JsonValue] = {"text": {"field": "label", "type": "nominal"}}
        layers.append({"mark": {"type": "text", "style": "name"}, "encoding": name})
    for row in data:
        for axis, log in (("x", log_x), ("y", log_y)):
            value = row[axis]
            if log and isinstance(value, int | float) and (value <= 0 or not math.isfinite(value)):
                raise ValueError(f"{axis} = {value} has no place on a logarithmic axis")
    return _layers(data, layers, encoding)
