"""Run: what a study is given while it collects. Pool: where its pieces run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sized
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from toulmin.faults import ExitCode, Fault, FaultError, require_extra

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

    import torch

T = TypeVar("T")
R = TypeVar("R")


class Progress:
    """Where long work reports how far it is; this one says nothing. The command line draws bars."""

    @contextlib.contextmanager
    def task(self, description: str, total: int | None = None) -> Generator[Callable[[int], None]]:
        """A context that yields a function to call with the number of steps done since the last call."""
        yield lambda steps: None

    def note(self, text: str) -> None:
        """Something to tell who waits, such as an estimate of the time that is left."""


class Pool:
    """Runs the pieces of a study here, one after the other."""

    workers = 1

    def map(self, function: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
        """``function`` of each piece, in the order of the pieces."""
        return map(function, pieces)

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        """A context in which processes stay from one :meth:`map` to the next."""
        yield


class ProcessPool(Pool):
    """Runs pieces in ``workers`` processes; results keep the order of the pieces, so nothing depends on timing.

    Pieces and function must pickle. Each process starts fresh, so that threads of this one are not copied. They end
    with each :meth:`map`, except within :meth:`kept`.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._executor: ProcessPoolExecutor | None = None

    def _started(self) -> ProcessPoolExecutor:
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        return ProcessPoolExecutor(self.workers, mp_context=get_context("spawn"))

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        """A context in which processes stay from one :meth:`map` to the next."""
        with self._started() as self._executor:
            try:
                yield
            finally:
                self._executor = None

    def map(self, function: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
        """``function`` of each piece, in the order of the pieces.

        :raises FaultError: a process was killed.
        """
        from concurrent.futures.process import BrokenProcessPool

        kept = self._executor
        with self._started() if kept is None else contextlib.nullcontext(kept) as executor:
            try:
                yield from executor.map(function, pieces)
            except BrokenProcessPool:
                message = "a worker process ended without an answer: it was killed, most often because memory ran out"
                hint = "fewer processes at once need less memory; what was checkpointed is kept"
                raise FaultError(Fault("run.worker_died", message, hint=hint), ExitCode.LIMIT) from None


def _apply(function: Callable[[T], R], piece: T) -> R:
    """``function`` of a piece; Ray takes no built-in function for a task."""
    return function(piece)


class RayPool(Pool):
    """Runs pieces as tasks of a Ray cluster: one that is running (``address``), else one of ``workers`` started here.

    Results keep the order of the pieces. Pieces and function must pickle, and files that pieces name must be where the
    workers are.
    """

    def __init__(self, workers: int, address: str | None = None) -> None:
        self.workers, self.address = workers, address

    def map(self, function: Callable[[T], R], pieces: Iterable[T]) -> Iterator[R]:
        """``function`` of each piece, in the order of the pieces.

        :raises FaultError: Ray is not installed, or there is no cluster at the address.
        """
        with self.kept():
            ray = require_extra("ray", "ray")
            remote = ray.remote(_apply)
            waiting: list[Any] = []
            for piece in pieces:
                waiting.append(remote.remote(function, piece))
                if len(waiting) >= 2 * self.workers:  # pieces are handed out as results come in
                    yield ray.get(waiting.pop(0))
            for reference in waiting:
                yield ray.get(reference)

    @contextlib.contextmanager
    def kept(self) -> Generator[None]:
        """A context in which the cluster stays from one :meth:`map` to the next."""
        ray = require_extra("ray", "ray")
        if ray.is_initialized():
            yield
            return
        here = {} if self.address else {"num_cpus": self.workers, "include_dashboard": False}
        try:
            ray.init(address=self.address, log_to_driver=False, logging_level="error", **here)
        except ConnectionError as error:
            message = str(error).splitlines()[0]
            raise FaultError(Fault("run.ray", message, name=self.address or ""), ExitCode.MISSING) from None
        try:
            yield
        finally:
            ray.shutdown()


@dataclass(frozen=True)
class Run:
    """Progress, a folder to resume from, a pool, a device, threads and a seed."""

    workdir: Path
    progress: Progress = field(default_factory=Progress)
    pool: Pool = field(default_factory=Pool)
    device: str = "cpu"
    threads: int = 1
    seed: int = 0

    def track(self, pieces: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
        """Iterate over ``pieces`` and report each one done."""
        if total is None and isinstance(pieces, Sized):
            total = len(pieces)
        with self.progress.task(description, total) as advance:
            for piece in pieces:
                yield piece
                advance(1)

    def prepare_torch(self) -> torch.device:
        """Set torch's threads and give the device.

        :raises FaultError: the device is not there. MPS is never chosen unless it is named, since it has no float64.
        """
        import torch

        torch.set_num_threads(self.threads)
        try:
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:
            message = str(error).splitlines()[0]
            raise FaultError(Fault("run.device", message, name=self.device), ExitCode.MISSING) from None
        return torch.device(self.device)
