"""What commands print: faults, tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from toulmin.faults import Fault, FaultError

if TYPE_CHECKING:
    from toulmin.evidence import Evidence, Measure

JSON_OPTION = typer.Option(False, "--json", help="Print JSON for machines.")
FEW_UNITS = 30  # below this a single unit moves a share by more than 3 percentage points
TRUST_HELP = "Take hashes of earlier runs for inputs whose size, times and inode are the same, instead of reading them."
STORE_OPTION = typer.Option(".toulmin", "--store", envvar="TOULMIN_STORE", help="The folder that keeps the evidence.")


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_faults(faults: FaultError | Iterable[Fault]) -> None:
    """Each fault on its line of standard error; as JSON on standard output where ``--json`` was asked for."""
    listed = list(faults.faults if isinstance(faults, FaultError) else faults)
    if "--json" in sys.argv:
        print_json({"faults": [asdict(fault) for fault in listed]})
        return
    for fault in listed:
        typer.echo(f"error: {fault}", err=True)


def write_new(path: Path, text: str) -> None:
    """Write a file that must not exist yet.

    :raises FaultError: there is one, or it cannot be written.
    """
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise FaultError(Fault("file.exists", "there is a file already; it was left as it is", str(path))) from None
    except OSError as error:
        raise FaultError(Fault("file.unwritable", error.strerror or str(error), str(path))) from None


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table, as wide as the terminal, or as its contents where the output is not a terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=140)
    console.print(table)


def describe_measure(measure: Measure) -> str:
    """``0.91 [0.87, 0.94] (n = 200 prompts)``, or with the reason why there is no interval."""
    from toulmin.evidence import format_number

    unit = "" if measure.unit in ("", "1") else f" {measure.unit}"
    value = format_number(measure.value, 4)
    if measure.interval is None:
        return f"{value}{unit} (no interval: {measure.no_interval}; n = {measure.n} {measure.n_of})"
    low, high = format_number(measure.interval.low, 4), format_number(measure.interval.high, 4)
    return f"{value}{unit} [{low}, {high}] (n = {measure.n} {measure.n_of})"


def print_evidence(evidence: Evidence) -> None:
    """A record's kind, id and measures."""
    print_table(
        f"{evidence.kind}  evidence {evidence.id[:12]}  ({evidence.seconds:.1f} s)",
        ("measure", "value"),
        [(name, describe_measure(measure)) for name, measure in evidence.measures.items()],
    )
    if few := sorted(name for name, measure in evidence.measures.items() if measure.n < FEW_UNITS):
        typer.echo(f"note: fewer than {FEW_UNITS} units behind {', '.join(few)}: read the interval, not the value")
