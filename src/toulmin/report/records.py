"""One study's evidence: its numbers with their intervals, its figures and tables, and where it all came from."""

from __future__ import annotations

import json
from typing import Any

from toulmin.evidence import Evidence
from toulmin.report.bars import measure_bar
from toulmin.report.figures import draw
from toulmin.report.pages import Fragment, page, render


def _setting(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def reproduce_command(evidence: Evidence) -> str:
    """The shell command that collects the evidence again and compares it."""
    return f"toulmin evidence reproduce {evidence.id[:12]}"


def draw_record(evidence: Evidence, command: str = "") -> Fragment:
    """The record as a piece of a page."""
    drawn = [draw(figure) for figure in evidence.figures]
    html = render(
        "record.html",
        evidence=evidence,
        measures=[(name, measure, measure_bar(measure)) for name, measure in evidence.measures.items()],
        figures=[fragment.html for fragment in drawn],
        settings=[(name, _setting(value)) for name, value in evidence.configuration.items()],
        command=command or reproduce_command(evidence),
    )
    return Fragment(html, frozenset({"record"}).union(*(fragment.needs for fragment in drawn)))


def render_evidence(evidence: Evidence, *, command: str = "") -> str:
    """A page about one study's evidence.

    ``command`` is the shell command that reproduces it, by default ``toulmin evidence reproduce`` with its hash.

    :raises FaultError: Vega-Lite refuses a chart's specification.
    """
    record = draw_record(evidence, command)
    body = render("evidence_page.html", evidence=evidence, record=record.html)
    return page(f"{evidence.kind} {evidence.id[:12]}", body, needs=record.needs)
