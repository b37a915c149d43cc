"""Streams of batches with a position that can be saved and restored.

A stream that can be resumed bit-identically either carries its whole state as JSON (:class:`Batches`), or needs none
because batch number i is a function of (seed, i) (:class:`IndexedBatches`): then the position is one integer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from torch import Tensor

from toulmin.tasks import TokenSource

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Batches(Protocol[T_co]):
    """An endless iterator of batches with a position that is JSON."""

    def __iter__(self) -> Iterator[T_co]:
        """Itself."""
        ...

    def __next__(self) -> T_co:
        """The next batch."""
        ...

    def position(self) -> dict[str, Any]:
        """Where the stream is: JSON from which :meth:`seek` goes on with the same next batch."""
        ...

    def seek(self, position: dict[str, Any]) -> None:
        """Go to a position."""
        ...


def generator_at(seed: int, *index: int) -> np.random.Generator:
    """The generator of batch ``index`` of the stream ``seed``: independent of every other one (SeedSequence)."""
    return np.random.default_rng(np.random.SeedSequence(entropy=seed, spawn_key=index))


class IndexedBatches(Generic[T]):
    """Batches made by ``make(i)``, i = 0, 1, ...; the position is i."""

    def __init__(self, make: Callable[[int], T]) -> None:
        self.make, self.index = make, 0

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        batch = self.make(self.index)
        self.index += 1
        return batch

    def position(self) -> dict[str, Any]:
        """The number of batches already given."""
        return {"index": self.index}

    def seek(self, position: dict[str, Any]) -> None:
        """Continue with batch ``position["index"]``."""
        self.index = int(position["index"])


def token_batches(source: TokenSource, size: int, start: int = 0) -> IndexedBatches[Tensor]:
    """Batches ``(size, T)`` of a token source: batch i has the rows from ``start`` + i ``size``."""
    return IndexedBatches(lambda i: source.rows(start + i * size, size))
