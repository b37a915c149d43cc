"""A folder with a coin in it, for regressions of cases and of the store."""

from __future__ import annotations

from pathlib import Path

import pytest
from coin_cases import CaseFolder


@pytest.fixture
def bench(tmp_path: Path, coins: Path) -> CaseFolder:
    """A folder with a coin that always shows heads."""
    (tmp_path / "coin.txt").write_text("1.0")
    return CaseFolder(tmp_path)
