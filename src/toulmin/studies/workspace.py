"""The folder a study works in while it collects.

It belongs to one question (study, inputs, code, seed) and to one process: whoever asks the same at the same time gets
another folder, and a process holds a lock on its own. The lock goes when the process ends, however it ends, so a run
that was killed is taken up again by the next run of the same question, and the other folders that killed runs left
are removed.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Generator
from itertools import count
from pathlib import Path

from toulmin.evidence.disk import Held, try_lock


@contextlib.contextmanager
def workspace(root: Path, key: str) -> Generator[Path]:
    """A folder below ``root`` for the question ``key``; it is removed at the end, unless the block raises.

    :raises OSError: it cannot be made: a full or read-only disk.
    """
    root.mkdir(parents=True, exist_ok=True)
    folder, held = _first_free(root, key)
    try:
        _remove_abandoned(root, key, folder)
        folder.mkdir(exist_ok=True)
        yield folder
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        held.release(remove=True)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _first_free(root: Path, key: str) -> tuple[Path, Held]:
    for number in count():
        folder = root / f"{key}-{number}"
        held = try_lock(_lock_of(folder))
        if held is not None:
            return folder, held
    raise AssertionError


def _remove_abandoned(root: Path, key: str, mine: Path) -> None:
    """What killed runs of the same question left, except the folder we take up ourselves."""
    for folder in root.glob(f"{key}-*"):
        if folder == mine:
            continue
        held = try_lock(_lock_of(folder))
        if held is not None:
            shutil.rmtree(folder, ignore_errors=True)
            held.release(remove=True)
