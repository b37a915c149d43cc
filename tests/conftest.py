"""What every test may ask for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Two workers share two cores: one torch thread each."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of reference outputs and data beside the checkout; skips where there is none."""
    folder = Path(os.environ.get("TOULMIN_SHARED", ROOT.parent / "shared"))
    if not (folder / "golden").is_dir():
        if os.environ.get("TOULMIN_REQUIRE_SHARED") == "1":
            pytest.fail(f"shared data are required and {folder} has none")
        pytest.skip("no shared data beside the checkout")
    return folder
