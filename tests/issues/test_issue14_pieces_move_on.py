"""A piece of a sweep that was over at a step with a checkpoint raised before that checkpoint was written: pieces
shorter than one interval began at the same step again and again, and never ended."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from toulmin.training import Checkpoint, IndexedBatches, PrintProgress, Schedule, State, fit


class OverError(Exception):
    """The piece is over."""


def piece(folder: Path) -> int:
    """Train until the first report, which ends the piece; the step that was reached."""
    module = nn.Linear(2, 1)
    state = State(module, torch.optim.SGD(module.parameters(), lr=0.1))

    def step(state: State, batch: Tensor) -> dict[str, Tensor]:
        loss = module(batch).pow(2).mean()
        loss.backward()
        return {"loss": loss.detach()}

    def report(done: int, total: int, _: str) -> None:
        if done < total:
            raise OverError

    batches = IndexedBatches(lambda index: torch.full((3, 2), float(index)))
    with suppress(OverError):
        fit(step, state, batches, Schedule(8, 0.1), Checkpoint(folder, every=2), [PrintProgress(2, report)])
    return state.step


def test_pieces_that_end_at_a_checkpoint_move_on(tmp_path: Path) -> None:
    assert [piece(tmp_path) for _ in range(4)] == [2, 4, 6, 8]
    assert Checkpoint(tmp_path).steps() == [8]


def test_a_callback_that_fails_elsewhere_leaves_no_checkpoint_of_its_step(tmp_path: Path) -> None:
    class Fails:
        every = 3

        def on_start(self, state: State, steps: int) -> None: ...
        def on_end(self, state: State) -> None: ...
        def on_step(self, state: State, metrics: object) -> None:
            raise OverError

    module = nn.Linear(2, 1)
    state = State(module, torch.optim.SGD(module.parameters(), lr=0.1))
    batches = IndexedBatches(lambda _: torch.ones(3, 2))
    with pytest.raises(OverError):
        fit(lambda s, b: {"loss": b.sum()}, state, batches, Schedule(8, 0.1), Checkpoint(tmp_path, every=2), [Fails()])
    assert Checkpoint(tmp_path).steps() == [2]
