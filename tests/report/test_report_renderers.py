"""Renderers of figures come by entry point, so that another package adds one."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from toulmin.evidence.figure_base import FigureBase
from toulmin.faults import FaultError
from toulmin.report import render_figure


class Tally(FigureBase):
    kind: Literal["tally"] = "tally"
    count: int


def test_a_kind_that_nobody_draws_is_a_fault() -> None:
    with pytest.raises(FaultError, match=r"report\.no_renderer"):
        render_figure(Tally(title="Marks", count=3))


def test_an_outside_package_adds_a_renderer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tallies.py").write_text(
        "from markupsafe import Markup\nfrom toulmin.report import Fragment\n\n"
        "def render_tally(figure):\n    return Fragment(Markup('<p>{}</p>').format('|' * figure.count))\n"
    )
    info = tmp_path / "tallies-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tallies\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[toulmin.figures]\ntally = tallies:render_tally\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    page = render_figure(Tally(title="Marks", count=3))
    assert "<p>|||</p>" in page
    assert "Marks" in page
