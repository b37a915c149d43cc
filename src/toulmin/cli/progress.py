"""Progress bars on standard error."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator

from toulmin.studies import Progress


class BarProgress(Progress):
    """A bar with rate and remaining time for each task, where standard error is a terminal; notes are always said."""

    def note(self, text: str) -> None:
        """The text, on a line of its own."""
        import typer

        typer.echo(text, err=True)

    @contextlib.contextmanager
    def task(self, description: str, total: int | None = None) -> Generator[Callable[[int], None]]:
        """A context that yields the function to call with the steps done."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        console = Console(stderr=True)
        with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task(description, total=total)
            yield lambda steps: bars.advance(task, steps)
