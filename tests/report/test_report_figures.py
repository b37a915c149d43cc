"""Figures as data, and each drawn: validated, deterministic, escaped, fetching nothing."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError

from toulmin.evidence import Board, Chart, FeatureIndex, Figure, GraphFigure, Heatmap
from toulmin.evidence.figures import Example, Feature, FigureEdge, Game, Move, Node, Ownership
from toulmin.faults import FaultError
from toulmin.report import render_figure
from toulmin.report.charts import chart_svg
from toulmin.report.graphs import lay_out_graph
from toulmin.report.layout import Box
from toulmin.report.numbers import format_bytes, format_number, format_plain

EVIL = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>"


def figures(word: str = "word") -> list[Figure]:
    """One figure of each kind and each shape of chart, with ``word`` wherever words go."""
    game = Game(
        name=word,
        black=word,
        white=word,
        komi=7.5,
        rules=word,
        result=word,
        moves=(Move(colour="b", x=1, y=1), Move(colour="w")),
        score_area=-1.5,
        win_estimates={word: (0.5, None, 0.25)},
        ownership=(Ownership(move=2, values=tuple(np.linspace(-1, 1, 9))),),
        facts={word: word},
    )
    two: dict[str, Any] = {"title": word, "caption": word, "alt": word}
    return [
        Chart.points_with_intervals(
            [word, "b"], [1, 2], [0, 1], [2, 3], unit=word, groups=[word, "y"], threshold=1.5, **two
        ),
        Chart.ladder([word, "b"], [1, 2], [0, 1], [2, 3], unit=word, threshold=1.5, **two),
        Chart.curves(
            {word: ([1, 2], [3, 4], [2, 3], [4, 5]), "q": ([1, 2], [0, 1])}, x=word, y=word, log_x=True, **two
        ),
        Chart.histogram({word: np.arange(9.0), "q": [1.5]}, unit=word, **two),
        Chart.scatter([1, 2], [3, 4], x=word, y=word, labels=[word, "b"], groups=[word, "b"], **two),
        Heatmap(
            x_labels=(word, "b"),
            y_labels=(word,),
            values=((0.5, None),),
            low=((0, None),),
            high=((1, None),),
            x_title=word,
            y_title=word,
            unit=word,
            centre=0.2,
            threshold=0.3,
            text=((word, ""),),
            **two,
        ),
        GraphFigure(
            nodes=(
                Node(id=word, layer=0, group=word, position=0, facts={word: 1.0}),
                Node(id="b", layer=1, position=0),
            ),
            edges=(FigureEdge(source=word, target="b", weight=-1, group=word, facts={word: word}),),
            layers=(word, "l1"),
            positions=(word,),
            unit=word,
            **two,
        ),
        Board(size=3, games=(game,), **two),
        FeatureIndex(
            features=(
                Feature(
                    id=word,
                    label=word,
                    density=0.1,
                    promotes=((word, 1.0),),
                    facts={word: 1},
                    examples=(Example(tokens=(word, "b"), activations=(1.0, -0.5), source=word),),
                ),
            ),
            **two,
        ),
    ]


@pytest.mark.parametrize("figure", figures(), ids=lambda figure: f"{figure.kind}")
def test_a_figure_survives_json_and_draws_the_same_each_time(figure: Figure) -> None:
    text = figure.model_dump_json()
    again = TypeAdapter[Figure](Figure).validate_json(text)
    assert again == figure
    assert again.model_dump_json() == text
    page = render_figure(figure)
    assert page == render_figure(again)
    assert "default-src 'none'" in page
    assert not re.search(r"""(src|href)=["']?(https?:)?//|@import|url\((?!#)""", page)


@pytest.mark.parametrize("figure", figures(EVIL), ids=lambda figure: f"{figure.kind}")
def test_words_are_escaped_everywhere(figure: Figure) -> None:
    page = render_figure(figure)
    assert EVIL not in page
    assert "<script>window" not in page
    assert "<img" not in page


@pytest.mark.browser
def test_hostile_words_run_nothing(open_page) -> None:
    for figure in figures(EVIL):
        page = open_page(render_figure(figure))
        assert page.evaluate("window.pwned") is None
        assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Chart(title="t", spec={"data": {"values": [{"x": float("nan")}]}}), "not finite"),
        (lambda: Chart(title="t", spec={"data": {"url": "http://x"}}), "not allowed"),
        (lambda: Chart(title="t", spec={"mark": "bar"}), "no data"),
        (lambda: Chart(title="", spec={"data": {"values": [{"x": 1}]}}), "at least 1"),
        (lambda: Chart.curves({"a": ([1, 2], [1])}, title="t"), "different lengths"),
        (lambda: Chart.histogram([], title="t"), "needs values"),
        (lambda: Chart.scatter([0, 1], [1, 1], title="t", log_x=True), "logarithmic"),
        (lambda: Heatmap(title="t", x_labels=("a",), y_labels=("b",), values=((1, 2),)), "1 rows of 1"),
        (
            lambda: Heatmap(title="t", x_labels=("a",), y_labels=("b",), values=((1,),), low=((0,),)),
            "both low and high",
        ),
        (lambda: GraphFigure(title="t", nodes=(Node(id="a", layer=0), Node(id="a", layer=1))), "same id"),
        (
            lambda: GraphFigure(title="t", nodes=(Node(id="a", layer=0),), edges=(FigureEdge(source="a", target="z"),)),
            "unknown nodes: z",
        ),
        (
            lambda: GraphFigure(title="t", nodes=(Node(id="a", layer=0, position=1),), positions=("x",)),
            "position 1 of 1",
        ),
        (lambda: Move(colour="b", x=1), "both coordinates"),
        (lambda: Example(tokens=("a", "b"), activations=(1.0,)), "2 tokens but 1"),
        (lambda: Feature(id="a", unknown=1), "Extra inputs"),  # pyright: ignore[reportCallIssue]
    ],
)
def test_what_cannot_be_drawn_is_refused(make, said: str) -> None:
    with pytest.raises((ValidationError, ValueError), match=said):
        make()


def test_games_must_fit_the_board() -> None:
    def game(**changes) -> Game:
        base: dict[str, Any] = dict(
            name="g", black="b", white="w", komi=0, rules="r", result="?", moves=(Move(colour="b", x=8, y=0),)
        )
        return Game(**(base | changes))

    Board(title="t", size=9, games=(game(),))
    with pytest.raises(ValidationError, match="outside a board of 8"):
        Board(title="t", size=8, games=(game(),))
    with pytest.raises(ValidationError, match="3 values for 1 moves"):
        game(win_estimates={"net": (0.5, 0.5, 0.5)})
    with pytest.raises(ValidationError, match="does not fit"):
        Board(title="t", size=9, games=(game(ownership=(Ownership(move=1, values=(0.0,)),)),))


def test_charts_are_well_formed_drawings_in_the_page_s_colours() -> None:
    charts = [figure for figure in figures() if isinstance(figure, Chart)]
    assert len(charts) == 5
    for chart in charts:
        svg = chart_svg(chart)
        root = ET.fromstring(svg)
        assert root.tag.endswith("svg")
        assert "var(--" in svg
        assert root.get("aria-label") == chart.alt
    ids = [set(re.findall(r'\bid="([^"]+)"', chart_svg(chart))) for chart in charts]
    assert not ids[0] & ids[1]


def test_a_histogram_counts_every_value() -> None:
    values = np.random.default_rng(0).normal(size=500)
    chart = Chart.histogram({"a": values, "b": values[:20]}, title="t", bins=7)
    rows: Any = chart.rows()
    assert sum(row["count"] for row in rows if row["group"] == "a") == 500
    assert sum(row["count"] for row in rows if row["group"] == "b") == 20
    assert rows[0]["from"] == values.min()


def test_a_legend_writes_the_names_of_groups_out() -> None:
    names = ("random circuits of its size", "random knock-outs of its size")
    svg = chart_svg(Chart.histogram({name: np.arange(5.0) for name in names}, title="t"))
    root = ET.fromstring(re.sub(r'xmlns="[^"]+"', "", svg))
    assert {text.text for text in root.iter("text")} >= set(names)


def test_a_bad_specification_is_one_line() -> None:
    chart = Chart(
        title="t", spec={"data": {"values": [{"x": 1}]}, "mark": "nonsense", "encoding": {"x": {"field": "x"}}}
    )
    with pytest.raises(FaultError) as caught:
        render_figure(chart)
    assert caught.value.faults[0].code == "report.chart"
    assert "\n" not in caught.value.faults[0].message


@pytest.mark.browser
def test_the_interactive_page_is_whole_and_small(open_page) -> None:
    page = render_figure(figures()[2], interactive=True)
    assert len(page.encode()) < 1_000_000
    assert open_page(page).locator(".vega svg").count() == 1


def test_heatmap_cells_say_where_they_stand() -> None:
    heatmap = Heatmap(
        title="t",
        x_labels=("a", "b", "c"),
        y_labels=("r",),
        values=((0.1, 0.5, 0.9),),
        low=((0.0, 0.3, 0.8),),
        high=((0.2, 0.7, 1.0),),
        threshold=0.6,
    )
    page = render_figure(heatmap)
    assert page.count('aria-label="below the threshold"') == 1
    assert page.count('aria-label="straddles the threshold"') == 1
    assert "0.100" in page
    assert "[0.300, 0.700]" in page


@pytest.mark.parametrize(("columns", "printed"), [(60, True), (61, False)])
def test_a_heatmap_of_many_columns_keeps_its_numbers_in_the_tooltips(columns: int, printed: bool) -> None:
    heatmap = Heatmap(
        title="t", x_labels=tuple(f"H{i}" for i in range(columns)), y_labels=("r",), values=((0.123,) * columns,)
    )
    page = render_figure(heatmap)
    assert page.count("H7\n0.123") == 1
    assert page.count(">0.123</td>") == (columns if printed else 0)


def test_what_rounds_to_zero_has_no_sign() -> None:
    heatmap = Heatmap(title="t", x_labels=("a", "b"), y_labels=("r",), values=((-0.00001, 12.0),), text=None)
    page = render_figure(heatmap)
    assert ">0.0</td>" in page
    assert "\u22120.0<" not in page


def test_graph_nodes_never_overlap() -> None:
    rng = np.random.default_rng(0)
    nodes = [
        Node(id=f"L{layer}.H{head}@{position}", layer=layer, position=position)
        for layer in range(4)
        for position in range(5)
        for head in range(6)
        if rng.random() < 0.6
    ]
    drawing = lay_out_graph(GraphFigure(title="t", nodes=tuple(nodes), positions=tuple("abcde")))
    boxes = [Box(n.x, n.y, n.width, n.height) for n in drawing.nodes]
    assert not any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[:i])
    by_id = {n.node.id: n for n in drawing.nodes}
    low, high = by_id[nodes[0].id], by_id[nodes[-1].id]
    assert low.y > high.y  # layer 0 is at the bottom
    assert low.x < high.x


def test_numbers_read_well() -> None:
    assert [format_number(x) for x in (0, 0.93214, 1234.6, -0.5, 3, 2e-7, None, "x")] == [
        "0",
        "0.932",
        "1,235",
        "\u22120.500",
        "3",
        "2.00e\u221207",
        "",
        "x",
    ]
    assert format_plain(7.5) == "7.5"
    assert [format_bytes(n) for n in (999, 1500, 2_000_000)] == ["999 bytes", "1.50 kB", "2 MB"]


def test_data_for_scripts_cannot_end_the_script() -> None:
    page = render_figure(figures("</script><b>")[7])
    data = re.search(r'class="go-data">(.*?)</script>', page, re.S)
    assert data
    assert json.loads(data[1])["games"][0]["name"] == "</script><b>"
