"""Issue 12, "is done when" 1: every route on the page of threats is held by a test that exists."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_page_of_threats_names_tests_that_exist() -> None:
    tests = {
        node.name
        for path in (ROOT / "tests/issues").glob("test_issue12_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    rows = [line for line in (ROOT / "docs/threats.md").read_text(encoding="utf-8").splitlines() if "| `test" in line]
    assert len(rows) > 30
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row.rpartition(" | ")[2])}
    assert named - tests == set()


def test_every_diagnostic_of_the_lock_is_on_the_page() -> None:
    page = (ROOT / "docs/threats.md").read_text(encoding="utf-8") + (ROOT / "docs/case.md").read_text(encoding="utf-8")
    assert {f"C{n:03}" for n in (51, 52, 57, *range(70, 82))} <= set(re.findall(r"C\d{3}", page))
