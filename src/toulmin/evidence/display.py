"""Results that print as tables in a terminal, show as tables in a notebook, and save themselves to a file.

A result class inherits from :class:`TabularResult` and says which tables (and figures, as data) it consists of. Text
is laid out by rich and HTML is written here; both libraries and this module are needed only when something is shown.
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
        """The result's figures, as data; saved with it as JSON."""
        return ()

    def overview(self) -> Sequence[Table]:
        """The tables that are printed and shown in a notebook; default: all."""
        return self.tables()

    def __str__(self) -> str:
        return "\n\n".join(table_as_text(table) for table in self.overview())

    def _repr_html_(self) -> str:
        return "\n".join(table_as_html(table) for table in self.overview())

    def save(self, path: str | Path) -> Path:
        """Write the result to ``path``: a page of its tables (``.html``), or tables and figures as data (``.json``).

        :raises FaultError: another suffix, or a folder that does not exist.
        """
        path = Path(path)
        if path.suffix not in (".html", ".json"):
            hint = "end the name in .html or .json"
            raise FaultError(Fault("evidence.suffix", "a result is saved as HTML or JSON", name=path.name, hint=hint))
        if path.suffix == ".html":
            body = "\n".join(table_as_html(table) for table in self.tables())
            text = _PAGE.format(title=html.escape(type(self).__name__), body=body)
        else:
            parts = {"tables": self.tables(), "figures": self.figures()}
            data = {name: [part.model_dump(mode="json") for part in found] for name, found in parts.items()}
            text = json.dumps({"result": type(self).__name__, **data}, indent=1, ensure_ascii=False)
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            message = f"cannot be written: {error.strerror or error}"
            raise FaultError(Fault("evidence.write", message, name=str(path))) from None
        return path
