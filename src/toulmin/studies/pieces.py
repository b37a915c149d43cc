"""Pieces of a long study: each is computed once and kept in the work folder, so that a killed run goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def keep_piece(folder: Path, name: str, make: Callable[[], Json]) -> Json:
    """What ``make`` gives, from the file ``name`` of ``folder`` where it was made before."""
    path = folder / f"{name}.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    hidden = folder / f".{name}.json"
    hidden.write_text(json.dumps(made), encoding="utf-8")
    os.replace(hidden, path)
    return json.loads(path.read_text(encoding="utf-8"))
