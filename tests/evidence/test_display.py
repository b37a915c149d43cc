"""Results as text, HTML and files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from toulmin.evidence import Heatmap, Table, TabularResult, format_number
from toulmin.faults import FaultError

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
    assert result._repr_html_() == TABLE.to_html()
    page = result.save(tmp_path / "result.html").read_text("utf-8")
    assert TABLE.to_html() in page
    assert page.startswith("<!doctype html>")
    data = json.loads(result.save(tmp_path / "result.json").read_text("utf-8"))
    assert data["result"] == "Result"
    assert Table.model_validate(data["tables"][0]) == TABLE
    assert Heatmap.model_validate(data["figures"][0]) == result.figures()[0]
    with pytest.raises(FaultError, match="HTML or JSON"):
        result.save(tmp_path / "result.png")
    with pytest.raises(FaultError, match="cannot be written"):
        result.save(tmp_path / "no" / "folder.json")
