"""A replay buffer on disk: one file for each update's games, of which the newest are drawn from.

A file is written beside its place and renamed into it, so there is a whole file or none. Files are numbered by update,
and a run that goes on from a checkpoint writes the later ones again, with the same bytes.
"""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError


class SearchedMoves(NamedTuple):
    """N searched moves: inputs (N, Y, X, 22) and (N, 19), legal (N, A), and what the network is to say of them.

    ``policy`` (N, A) the shares of the root's visits; ``result`` (N,) +1, 0 or -1 and ``score`` (N,) points, both the
    mover's; ``ownership`` (N, Y, X) in -1, 0, 1, the mover's, as the finished board was counted.
    """

    planes: NDArray[np.float32]
    numbers: NDArray[np.float32]
    legal: NDArray[np.bool_]
    policy: NDArray[np.float32]
    result: NDArray[np.float32]
    score: NDArray[np.float32]
    ownership: NDArray[np.float32]

    def take(self, rows: NDArray[np.int64]) -> SearchedMoves:
        """Some of them; a row may be taken more than once."""
        columns: list[Any] = [column[rows] for column in self]
        return SearchedMoves(*columns)


class ReplayBuffer:
    """The moves of past updates in ``folder``; at least the newest ``kept`` of them stay."""

    def __init__(self, folder: Path, kept: int) -> None:
        self.folder, self.kept = folder, kept
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(".moves-*"):
            left.unlink(missing_ok=True)

    def _path(self, number: int) -> Path:
        return self.folder / f"moves-{number:06d}.npz"

    def write(self, number: int, moves: SearchedMoves) -> None:
        """Write the file of an update, and remove those that nobody will draw from any more."""
        unfinished = self.folder / f".moves-{number:06d}.{os.getpid()}.npz"
        with unfinished.open("wb") as file:
            np.savez(file, **moves._asdict())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path(number))

    def newest(self, number: int) -> SearchedMoves:
        """The newest ``kept`` moves of the updates up to ``number``, oldest first.

        :raises FaultError: ``adversary.buffer``, a file is damaged.
        """
        parts: list[SearchedMoves] = []
        count = 0
        while number >= 0 and count < self.kept and self._path(number).exists():
            try:
                # opened here: numpy leaves a damaged file open
                with self._path(number).open("rb") as file, np.load(file) as kept:
                    parts.append(SearchedMoves(**{name: kept[name] for name in SearchedMoves._fields}))
            except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
                fault = Fault("adversary.buffer", f"cannot be read: {error}", file=str(self._path(number)))
                raise FaultError(fault, ExitCode.SUBJECT) from None
            count += len(parts[-1].result)
            number -= 1
        joined = [np.concatenate(column)[-self.kept :] for column in zip(*reversed(parts), strict=True)]
        return SearchedMoves(*joined)

    def prune(self, number: int) -> None:
        """Remove files that lie wholly before the newest ``kept`` moves of update ``number``."""
        count = 0
        for one in sorted((int(path.stem[6:]) for path in self.folder.glob("moves-*.npz")), reverse=True):
            if one > number:
                continue
            if count >= self.kept:
                self._path(one).unlink(missing_ok=True)
                continue
            with self._path(one).open("rb") as file, np.load(file) as kept:
                count += len(kept["result"])
