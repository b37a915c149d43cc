"""The whole demo, as a person runs it: studies, case, and a report that opens in a browser and fetches nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.slow
@pytest.mark.browser
def test_the_demo_ends_with_a_report_to_open(tmp_path, open_page) -> None:
    command = [sys.executable, "-m", "toulmin", "demo", "--out", "demo"]
    env = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env, check=False, timeout=540)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "G is undeveloped, current" in done.stdout
    report = tmp_path / "demo" / "report.html"
    assert done.stdout.rstrip().endswith(f"report: {report.resolve()}")
    page = open_page(report.read_text(encoding="utf-8"))
    shown = page.inner_text("body")
    for words in ("Not releasable", "E-ladder", "D-card", "SI-hidden", "win_rate"):
        assert words in shown
    assert page.locator("svg").count() >= 3  # the argument, and plots
    check = [sys.executable, "-m", "toulmin", "case", "check", "demo"]
    again = subprocess.run(check, cwd=tmp_path, capture_output=True, text=True, env=env, check=False, timeout=240)
    assert again.returncode == 1, again.stderr
    assert "defeater D-card stands against the step from E-circuit" in again.stdout
