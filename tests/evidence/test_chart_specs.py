"""The specifications of charts, read back: what is drawn, of which rows, and where the threshold stands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from toulmin.evidence import Chart, Measure, chart_specs, clopper_pearson
from toulmin.evidence.figures import Node

RATES = chart_specs.rows(label=["a", "b"], rung=["a", "b"], value=[1.0, 2.0], low=[0.5, 1.5], high=[1.5, 2.5])
CURVE = chart_specs.rows(x=[1.0, 2.0], y=[3.0, 4.0], series=["s", "s"])
BINS = chart_specs.binned({"s": [0.0, 1.0, 1.0, 4.0]}, 2)


def styles(spec: dict[str, Any]) -> list[str]:
    """The style of every mark, in drawing order."""
    own = [spec["mark"]["style"]] if "mark" in spec else []
    return own + [style for layer in spec.get("layer", []) for style in styles(layer)]


@pytest.mark.parametrize(
    ("draw", "axis", "marks"),
    [
        (lambda at: chart_specs.points(RATES, "nats", at), "x", ["interval", "estimate"]),
        (lambda at: chart_specs.ladder(RATES, "nats", at), "y", ["joined", "interval", "estimate"]),
        (lambda at: chart_specs.curves(CURVE, "size", "nats", threshold=at), "y", ["curve"]),
        (lambda at: chart_specs.histogram(BINS, "nats", at), "x", ["bars"]),
    ],
    ids=["points", "ladder", "curves", "histogram"],
)
def test_a_threshold_is_a_rule_beside_the_chart(draw: Callable[[float | None], Any], axis: str, marks: list[str]):
    assert styles(draw(None)) == marks
    with_rule = draw(0.8)
    assert styles(with_rule) == [*marks, "threshold"]
    rule = with_rule["layer"][-1]
    assert rule["data"] == {"values": [{"threshold": 0.8}]}
    assert list(rule["encoding"]) == [axis]


def test_points_of_a_scatter_have_names_where_rows_have_labels() -> None:
    rows = chart_specs.rows(x=[1.0, 10.0], y=[0.0, -1.0])
    assert styles(chart_specs.scatter(rows, "x", "y")) == ["dot"]
    assert styles(chart_specs.scatter([{**row, "label": "n"} for row in rows], "x", "y")) == ["dot", "name"]


def test_a_logarithmic_axis_refuses_what_has_no_logarithm() -> None:
    rows = chart_specs.rows(x=[1.0, 10.0], y=[0.0, -1.0])
    spec: Any = chart_specs.scatter(rows, "x", "y", log_x=True)
    assert spec["encoding"]["x"]["scale"]["type"] == "log"
    with pytest.raises(ValueError, match=r"y = 0\.0 has no place on a logarithmic axis"):
        chart_specs.scatter(rows, "x", "y", log_y=True)


def test_bins_are_common_and_count_every_value() -> None:
    found = chart_specs.binned({"s": [0.0, 1.0, 4.0], "t": [2.0]}, 2)
    assert [(row["from"], row["to"], row["count"], row["group"]) for row in found] == [
        (0.0, 2.0, 2, "s"), (2.0, 4.0, 1, "s"), (0.0, 2.0, 0, "t"), (2.0, 4.0, 1, "t"),
    ]  # fmt: skip
    alone: list[dict[str, Any]] = chart_specs.binned({"s": [3.0]}, 2)
    assert sum(row["count"] for row in alone) == 1
    for nothing in ({}, {"s": []}, {"s": [float("inf")]}):
        with pytest.raises(ValueError, match="needs values, all finite"):
            chart_specs.binned(nothing, 2)


def test_a_node_has_a_name_of_at_least_one_letter() -> None:
    assert Node(id="a", layer=0).id == "a"
    with pytest.raises(ValidationError, match="at least 1 character"):
        Node(id="", layer=0)


def test_a_measure_without_an_interval_is_a_point_without_a_line():
    found = {
        "some": Measure(value=0.5, unit="1", n=40, interval=clopper_pearson(20, 40)),
        "one": Measure(value=0.9, unit="1", n=1, no_interval="one prompt"),
    }
    chart = Chart.of_measures(found, title="shares")
    assert found["some"].ends == pytest.approx((0.338018, 0.661982), abs=1e-6)
    assert found["one"].ends == (None, None)
    low, high = found["some"].ends
    data: Any = chart.spec["data"]
    assert data["values"] == [
        {"label": "some", "value": 0.5, "low": low, "high": high},
        {"label": "one", "value": 0.9, "low": None, "high": None},
    ]
    assert chart.alt == "some 0.50, one 0.90"
