"""``toulmin demo``: the main job, on real input, in a minute."""

from __future__ import annotations

from pathlib import Path

import typer


def demo(
    out: Path = typer.Option(Path("toulmin-demo"), "--out", help="The folder to write: case, evidence and report."),
) -> None:
    """Study a real trained model, check a safety case bound to the evidence, and write a report to open in a browser."""
    raise NotImplementedError(out)
