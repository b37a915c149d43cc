"""Folders with a coin in them, and the study that throws it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from coin_cases import CaseFolder


@pytest.fixture
def bench(tmp_path: Path, coins: None) -> CaseFolder:
    """A fresh folder with a fair-ish coin in it."""
    (tmp_path / "coin.txt").write_text("0.97")
    return CaseFolder(tmp_path)


@pytest.fixture
def make_bench(tmp_path: Path, coins: None) -> Callable[[str], CaseFolder]:
    """Several such folders."""

    def make(name: str) -> CaseFolder:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "coin.txt").write_text("0.97")
        return CaseFolder(folder)

    return make
