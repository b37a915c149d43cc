"""Results that print as tables in a terminal, show tables and figures in a notebook, and save themselves to a file.

A result class inherits from :class:`TabularResult` and says which tables (and figures, as data) it consists of. Text
is laid out by rich and the HTML of tables is written here. Figures are drawn by the package that is named by the entry
point ``figure`` of the group ``toulmin.pages``, which is ``toulmin.report``: this package does not know that one.
"""

from __future__ import annotations

import html
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from toulmin.evidence.numbers import format_number
from toulmin.faults import Fault, FaultError

if TYPE_CHECKING:
    from toulmin.evidence.figure_base import FigureBase
    from toulmin.evidence.figures import Figure
    from toulmin.evidence.record import Table

_FALLBACK = (140, 24)  #: columns and lines, where the output is not a terminal
_NUMBER = '<td class="number">'
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font-family: sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; margin: 1em 0 2em; }}
caption {{ text-align: left; font-weight: bold; padding: 0.3em 0; }}
th, td {{ padding: 0.2em 0.7em; border-bottom: 1px solid #ccc; text-align: left; }}
td.number {{ text-align: right; }}
</style></head>
<body>
{body}
</body></html>
"""
_FRAME = (
    '<iframe title="{title}" srcdoc="{page}" style="border: 0; width: 100%; height: 30em" '
    "onload=\"this.style.height = this.contentDocument.documentElement.scrollHeight + 'px'\"></iframe>"
)


def table_as_text(table: Table, width: int | None = None) -> str:
    """The table for a terminal: title, columns, rows, caption; long text is folded to ``width`` characters.

    :param width: default: that of the terminal, or 140 where the output is not a terminal.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    numeric = _numeric_columns(table)
    grid = RichTable(
        title=table.title, title_justify="left", caption=table.caption or None, caption_justify="left",
        box=box.SIMPLE_HEAD, pad_edge=False,
    )  # fmt: skip
    for name, right in zip(table.columns, numeric, strict=True):
        grid.add_column(Text(name), overflow="fold", justify="right" if right else "left")
    for row in table.rows:
        grid.add_row(*(Text(format_number(cell)) for cell in row))
    columns = shutil.get_terminal_size(_FALLBACK).columns if width is None else width
    console = Console(width=columns, color_system=None, force_terminal=False, markup=False, highlight=False)
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines()).strip("\n")


def table_as_html(table: Table) -> str:
    """The table as an HTML ``<table>``, its text escaped and its numbers aligned to the right."""
    numeric = _numeric_columns(table)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.columns)
    rows = "\n".join(
        "<tr>"
        + "".join(
            f"{_NUMBER if right else '<td>'}{html.escape(format_number(cell))}</td>"
            for cell, right in zip(row, numeric, strict=True)
        )
        + "</tr>"
        for row in table.rows
    )
    below = f"<p>{html.escape(table.caption)}</p>" if table.caption else ""
    title = f"<caption>{html.escape(table.title)}</caption>"
    return f"<table>{title}<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table>{below}"


def figure_as_html(figure: FigureBase) -> str:
    """The figure as a page in a frame of its own, so that its style and scripts touch nothing around it.

    Where no installed package draws figures it is the title alone.

    :raises FaultError: the figure cannot be drawn.
    """
    title, drawn = html.escape(figure.title), _drawn(figure)
    return f"<p>{title}</p>" if drawn is None else _FRAME.format(title=title, page=html.escape(drawn))


def _drawn(figure: FigureBase) -> str | None:
    """The page that the installed package of drawers makes of the figure, if there is one."""
    from importlib.metadata import entry_points

    return next((drawer.load()(figure) for drawer in entry_points(group="toulmin.pages", name="figure")), None)


def save_result(path: str | Path, name: str, tables: Sequence[Table], figures: Sequence[Figure] = ()) -> Path:
    """Write tables and figures to ``path``: a page (``.html``), or data (``.json``).

    :raises FaultError: another suffix, or a folder that does not exist.
    """
    path = _path_of(path)
    if path.suffix == ".html":
        return _write(path, _PAGE.format(title=html.escape(name), body=_body(tables, figures)))
    parts = {"tables": tables, "figures": figures}
    data = {part: [one.model_dump(mode="json") for one in found] for part, found in parts.items()}
    return _write(path, json.dumps({"result": name, **data}, indent=1, ensure_ascii=False))


def save_figure(path: str | Path, figure: FigureBase) -> Path:
    """Write a figure to ``path``: the page with it drawn (``.html``), or its data (``.json``).

    :raises FaultError: another suffix, a folder that does not exist, or no installed package draws figures.
    """
    path = _path_of(path)
    if path.suffix == ".json":
        return _write(path, figure.model_dump_json(indent=1))
    drawn = _drawn(figure)
    if drawn is None:
        raise FaultError(Fault("evidence.no_drawer", "no installed package draws figures", name=figure.title))
    return _write(path, drawn)


def _path_of(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in (".html", ".json"):
        hint = "end the name in .html or .json"
        raise FaultError(Fault("evidence.suffix", "a result is saved as HTML or JSON", name=path.name, hint=hint))
    return path


def _write(path: Path, text: str) -> Path:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"cannot be written: {error.strerror or error}"
        raise FaultError(Fault("evidence.write", message, name=str(path))) from None
    return path


def _body(tables: Sequence[Table], figures: Sequence[Figure]) -> str:
    return "\n".join([*map(table_as_html, tables), *map(figure_as_html, figures)])


def _numeric_columns(table: Table) -> list[bool]:
    """For each column, whether its cells are numbers (or empty)."""
    return [
        all(not isinstance(row[i], str) for row in table.rows) and bool(table.rows) for i in range(len(table.columns))
    ]


class TabularResult(ABC):
    """A result that consists of tables: ``print(result)``, a notebook cell and ``result.save(path)`` show them."""

    @abstractmethod
    def tables(self) -> Sequence[Table]:
        """Everything the result says, as tables."""

    def figures(self) -> Sequence[Figure]:
        """The result's figures, as data: drawn in a notebook and in a saved page."""
        return ()

    def overview(self) -> Sequence[Table]:
        """The tables that are printed and shown in a notebook; default: all."""
        return self.tables()

    def __str__(self) -> str:
        return "\n\n".join(table_as_text(table) for table in self.overview())

    def _repr_html_(self) -> str:
        return _body(self.overview(), self.figures())

    def save(self, path: str | Path) -> Path:
        """Write the result to ``path``: a page of its tables and figures (``.html``), or both as data (``.json``).

        :raises FaultError: another suffix, or a folder that does not exist.
        """
        return save_result(path, type(self).__name__, self.tables(), self.figures())
