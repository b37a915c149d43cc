"""What several tests of attacks ask for."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_nets import make_network

from toulmin.go import PlayerSpec, write_network


@pytest.fixture
def victim(tmp_path: Path) -> PlayerSpec:
    """A small random network that plays its raw policy."""
    path = tmp_path / "victim.bin.gz"
    path.write_bytes(write_network(make_network(8, seed=9)))
    return PlayerSpec.model_validate({"kind": "net", "net": str(path), "search": {"visits": 1}})
