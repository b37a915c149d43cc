"""Results as text, HTML and files."""

from __future__ import annotations

import inspect
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path
from types import FunctionType

import pytest

from toulmin import circuits, paths
from toulmin.evidence import Heatmap, Table, TabularResult, format_number
from toulmin.evidence.figure_base import FigureBase
from toulmin.faults import FaultError
from toulmin.report import render_figure

TABLE = Table(
    title="scores <of> edges",
    columns=("edge", "percent", "remark"),
    rows=(("embed->L0.H1", 17812.3, "large & odd"), ("L0.H1->logits", -0.5, None)),
    caption="Threshold 80%.",
)


@dataclass(frozen=True)
class Result(TabularResult):
    def tables(self) -> tuple[Table, ...]:
        return (TABLE,)

    def figures(self) -> tuple[Heatmap, ...]:
        return (Heatmap(title="t", caption="c", alt="a", x_labels=("x",), y_labels=("y",), values=((1.0,),)),)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (17812.3, "17,812"), (1.78e6 + 0.5, "1.78e+06"), (0.12345, "0.123"), (-12.34, "-12.3"), (3.0, "3"),
        (0.00001234, "1.23e-05"), (None, ""), ("as it is", "as it is"), (1234567, "1,234,567"),
    ],
)  # fmt: skip
def test_numbers_are_readable(value: float | str | None, text: str) -> None:
    assert format_number(value) == text


def test_text_has_every_cell_and_fits_the_width() -> None:
    text = TABLE.to_text(width=60)
    lines = text.splitlines()
    assert next(line for line in lines if "remark" in line).startswith(" edge")  # one blank and no more
    assert lines[0] == "scores <of> edges"
    assert lines[-1] == "Threshold 80%."
    assert max(map(len, lines)) <= 60
    for cell in ("embed->L0.H1", "17,812", "large & odd", "-0.500"):
        assert cell in text
    ends = {line.index(cell) + len(cell) for line in lines for cell in ("17,812", "-0.500") if cell in line}
    assert len(ends) == 1  # numbers end in one column
    assert str(TABLE) == TABLE.to_text()


def test_html_is_escaped_and_numbers_are_aligned() -> None:
    html = TABLE.to_html()
    assert "scores &lt;of&gt; edges" in html
    assert "large &amp; odd" in html
    assert '<td class="number">17,812</td>' in html
    assert "<td>embed-&gt;L0.H1</td>" in html
    assert html.count("<tr>") == 3


def test_a_result_prints_shows_and_saves(tmp_path: Path) -> None:
    result = Result()
    assert str(result) == TABLE.to_text()
    shown = result._repr_html_()
    assert shown == f"{TABLE.to_html()}\n{result.figures()[0]._repr_html_()}"
    page = result.save(tmp_path / "result.html").read_text("utf-8")
    assert TABLE.to_html() in page
    assert page.startswith("<!doctype html>")
    assert result.figures()[0]._repr_html_() in page
    data = json.loads(result.save(tmp_path / "result.json").read_text("utf-8"))
    assert data["result"] == "Result"
    assert Table.model_validate(data["tables"][0]) == TABLE
    assert Heatmap.model_validate(data["figures"][0]) == result.figures()[0]
    assert TABLE.to_html() in TABLE.save(tmp_path / "table.html").read_text("utf-8")
    data = json.loads(TABLE.save(tmp_path / "table.json").read_text("utf-8"))
    assert [Table.model_validate(table) for table in data["tables"]] == [TABLE]
    with pytest.raises(FaultError, match="HTML or JSON"):
        result.save(tmp_path / "result.png")
    with pytest.raises(FaultError, match="cannot be written"):
        result.save(tmp_path / "no" / "folder.json")


def test_a_notebook_draws_a_figure_in_a_frame_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Heatmap(title="a <b>", x_labels=("x",), y_labels=("y",), values=((0.75,),))
    shown = figure._repr_html_()
    tags: list[tuple[str, dict[str, str | None]]] = []
    reader = HTMLParser()
    reader.handle_starttag = lambda tag, attrs: tags.append((tag, dict(attrs)))
    reader.feed(shown)
    ((tag, attributes),) = tags  # the page is text in an attribute: nothing of it leaves the frame
    assert (tag, attributes["title"], attributes["srcdoc"]) == ("iframe", "a <b>", render_figure(figure))
    monkeypatch.setattr(metadata, "entry_points", lambda **_: ())  # no package that draws is installed
    assert figure._repr_html_() == "<p>a &lt;b&gt;</p>"


def test_a_figure_is_saved_as_a_page_or_as_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figure = Heatmap(title="t", x_labels=("x",), y_labels=("y",), values=((0.75,),))
    assert figure.save(tmp_path / "f.html").read_text("utf-8") == render_figure(figure)
    assert Heatmap.model_validate_json(figure.save(tmp_path / "f.json").read_text("utf-8")) == figure
    monkeypatch.setattr(metadata, "entry_points", lambda **_: ())
    with pytest.raises(FaultError, match="no installed package draws"):
        figure.save(tmp_path / "f.html")


@pytest.mark.parametrize(
    "function",
    [
        *(paths.activation_patching, paths.describe, paths.difference, paths.draw, paths.effects, paths.evaluate),
        *(paths.explain_inputs, paths.head_to_head, paths.sender_to_logits),
        *(circuits.attribution_agreement, circuits.discover, circuits.draw_circuit, circuits.faithfulness_card),
        *(circuits.hypothesis_tests, circuits.sweep_sizes),
    ],
)
def test_what_a_public_function_finds_prints_shows_and_saves(function: FunctionType) -> None:
    plain = inspect.unwrap(function)  # the tests wrap functions to check their arrays
    returned = plain.__globals__[plain.__annotations__["return"]]
    assert issubclass(returned, TabularResult | Table | FigureBase)
