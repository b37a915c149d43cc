"""Batches of activations that come from anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class IteratorBatches(Generic[T]):
    """Batches of an iterable that is made anew by ``open_stream()``; the position is the number of batches given.

    Resuming opens it again and skips as many, so it must give the same batches each time.
    """

    def __init__(self, open_stream: Callable[[], Iterable[T]]) -> None:
        self.open_stream, self.given = open_stream, 0
        self._iterator = iter(open_stream())

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        batch = next(self._iterator)
        self.given += 1
        return batch

    def position(self) -> dict[str, Any]:
        """The number of batches already given."""
        return {"given": self.given}

    def seek(self, position: dict[str, Any]) -> None:
        """Open the stream again and skip to there."""
        self._iterator, self.given = iter(self.open_stream()), int(position["given"])
        for _ in range(self.given):
            next(self._iterator)
