"""Games on boards of several sizes in one attack (Wang et al. 2022 train on 7x7 to 19x19 at once).

Each size is a stream of games of its own in lockstep, since a batch of the rules' engine has one size; all are played
by the same network. The next moves are always played on the size whose finished games are furthest behind its share, so
that shares are of games, however long these are, and no chance decides. What a batch teaches is put into tensors of the
largest board: smaller ones lie in the top left corner, and all beyond is masked (:func:`pad_batch`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

import numpy as np

from toulmin.adversary.amcts import Replay
from toulmin.adversary.buffer import SearchedMoves
from toulmin.adversary.curriculum import Curriculum, Outcome
from toulmin.adversary.episodes import Decisions, VictimGames
from toulmin.adversary.settings import Attack
from toulmin.go import Player

Batch = TypeVar("Batch", Decisions, SearchedMoves)


class MixedGames(Curriculum):
    """The games of an attack with ``sizes``, as one stream; ``stream`` makes that of one size, of its attack and seed.

    Batches, position and resuming are those of :class:`~toulmin.adversary.VictimGames`. The curriculum counts the games
    of all sizes together.
    """

    def __init__(
        self,
        attack: Attack,
        stream: Callable[[Attack, int], VictimGames],
        replay: Replay | None = None,
        *,
        seed: int = 0,
        follows: int | None = None,
    ) -> None:
        super().__init__(attack, follows)
        boards = attack.boards()
        seeds = [int(np.random.SeedSequence((seed, 11, one.size)).generate_state(1)[0]) for one in boards]
        self.streams = [stream(one, number) for one, number in zip(boards, seeds, strict=True)]
        shares = np.array([one.share for one in attack.sizes])
        self.shares, self.replay = shares / shares.sum(), replay
        self.last: list[Outcome] = []
        self.decisions = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """What the next games leave to learn from."""
        batch = self.batch()
        return batch if self.replay is None else self.replay(batch)

    @property
    def evaluations(self) -> int:
        """Of the network in training."""
        return sum(one.evaluations for one in self.streams)

    @property
    def victims(self) -> Sequence[Player]:
        """The players of the stages, which all sizes share."""
        return self.streams[0].victims

    def batch(self) -> Any:
        """Play with the network as it is now, until enough decisions belong to finished games."""
        evaluator = self.streams[0].evaluator()
        done: list[list[Any]] = [[] for _ in self.streams]
        self.last, self.decisions = [], 0
        while self.decisions < self.attack.learner.decisions:
            finished = np.array([one.finished for one in self.streams])
            behind = int(np.argmax(self.shares * (finished.sum() + 1) - finished))
            stream = self.streams[behind]
            stream.stage = self.stage
            for episode, outcome in stream.advance(evaluator):
                done[behind].append((episode, outcome))
                self.last.append(outcome)
                self.decisions += len(episode.at)
                self.count(outcome)
        parts = [stream.lessons(some) for stream, some in zip(self.streams, done, strict=True) if some]
        largest = max(one.games.size for one in self.streams)
        padded = [pad_batch(part, largest) for part in parts]
        return type(padded[0])(*(np.concatenate(column) for column in zip(*padded, strict=True)))

    def position(self) -> dict[str, Any]:
        """The running games of every size and all counters, as JSON."""
        update = 0 if self.replay is None else self.replay.update
        return {**self.counts(), "boards": [one.position() for one in self.streams], "update": update}

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        self.seek_counts(position)
        for stream, kept in zip(self.streams, position["boards"], strict=True):
            stream.seek(kept)
        if self.replay is not None:
            self.replay.update = position["update"]


def pad_batch(batch: Batch, to: int) -> Batch:
    """The same moves in tensors of ``to`` rows and columns: points keep row and column, and the pass stays last."""
    size = batch.planes.shape[1]
    if size == to:
        return batch
    rows = np.arange(size)
    places = np.append((rows[:, None] * to + rows).ravel(), to * to)
    columns: dict[str, Any] = dict(batch._asdict())
    for name, column in columns.items():
        if name in ("planes", "ownership"):
            columns[name] = np.zeros((len(column), to, to, *column.shape[3:]), column.dtype)
            columns[name][:, :size, :size] = column
        elif name in ("legal", "policy"):
            columns[name] = np.zeros((len(column), to * to + 1), column.dtype)
            columns[name][:, places] = column
        elif name == "action":
            columns[name] = places[column]
    return type(batch)(**columns)


__all__ = ["MixedGames", "pad_batch"]
