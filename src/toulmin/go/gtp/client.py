"""External Go engines, spoken to over GTP: any program as a player or as the victim.

An :class:`Engine` is a child process in a process group of its own. Every command has a time limit and every answer
a size limit. Whatever the engine does instead of answering (ends, hangs, writes garbage, writes without end, repeats a
wrong number, names a point that does not exist) becomes one :class:`EngineFailure` that says which, and the whole
process group is ended. A command that the engine refuses with ``?`` is no failure: it is a :class:`Refusal`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from types import TracebackType

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine.points import action_of, vertex_of
from toulmin.go.gtp.protocol import Command, parse_answer
from toulmin.go.players.player import RESIGN

MAX_ANSWER = 1 << 20
_COLOURS = {1: "black", 2: "white"}


class EngineFailure(FaultError):
    """The engine cannot be used any more: ``gtp.ended``, ``gtp.timeout``, ``gtp.garbage`` or ``gtp.too_long``."""

    def __init__(self, faults: Fault | Sequence[Fault], exit_code: ExitCode = ExitCode.SUBJECT) -> None:
        super().__init__(faults, exit_code)


class Refusal(FaultError):
    """The engine answered ``?``: it is well, and will not do what was asked."""

    def __init__(self, faults: Fault | Sequence[Fault], exit_code: ExitCode = ExitCode.SUBJECT) -> None:
        super().__init__(faults, exit_code)


class Engine:
    """A running GTP engine.

    :param command: the program and its arguments; the program is looked up on the path.
    :param timeout: seconds allowed for one answer.
    :raises FaultError: ``gtp.program``: there is no such program (exit status MISSING).
    """

    def __init__(self, command: Sequence[str], timeout: float = 60.0) -> None:
        program = shutil.which(command[0]) if command else None
        if program is None:
            name = command[0] if command else ""
            raise FaultError(Fault("gtp.program", "no such program", name=name or None), ExitCode.MISSING)
        self.command, self.timeout = tuple(command), timeout
        self._number = 0
        self._buffer = b""
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the engine
        try:
            self._process = subprocess.Popen(
                [program, *command[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._complaints,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            self._complaints.close()
            fault = Fault("gtp.program", error.strerror or str(error), name=command[0])
            raise FaultError(fault, ExitCode.MISSING) from None
        assert self._process.stdout is not None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._process.stdout, selectors.EVENT_READ)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def send(self, name: str, *arguments: str) -> str:
        """Send one command and return the text of the answer.

        :raises Refusal: the engine answered ``?``.
        :raises EngineFailure: it did not answer in time, ended, or wrote something that is no answer to this.
        """
        if self.closed:
            raise self._failure("gtp.ended", "the engine is not running")
        self._number += 1
        command = Command(self._number, name, arguments)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{command}\n".encode())
        except OSError:
            raise self._failure("gtp.ended", f"the engine ended before {name!r}") from None
        text = self._read(name)
        try:
            answer = parse_answer(text)
        except FaultError as error:
            raise self._failure("gtp.garbage", f"to {name!r}: {error.faults[0].message}") from None
        if answer.number != self._number:
            message = f"to {name!r}: the answer carries number {answer.number}, not {self._number}"
            raise self._failure("gtp.garbage", message)
        if not answer.ok:
            raise Refusal(Fault("gtp.refused", f"{command.name}: {answer.text or 'no reason given'}", name=self.name))
        return answer.text

    @property
    def name(self) -> str:
        """The program's file name."""
        return os.path.basename(self.command[0])

    @property
    def closed(self) -> bool:
        """True once the engine has been ended, by us or by its failure."""
        return self._complaints.closed

    def start_game(self, size: int, komi: float) -> None:
        """``boardsize``, ``clear_board``, ``komi``."""
        self.send("boardsize", str(size))
        self.send("clear_board")
        self.send("komi", f"{komi:g}")

    def play(self, colour: int, action: int, size: int) -> None:
        """Tell the engine of a move (colour 1 Black, 2 White)."""
        self.send("play", _COLOURS[colour], vertex_of(action, size))

    def genmove(self, colour: int, size: int) -> int:
        """Let the engine move; :data:`toulmin.go.gtp.protocol.RESIGN` when it resigns."""
        text = self.send("genmove", _COLOURS[colour])
        if text.lower() == "resign":
            return RESIGN
        try:
            return action_of(text, size)
        except FaultError as error:
            raise self._failure("gtp.garbage", f"to 'genmove': {error.faults[0].message}") from None

    def close(self) -> None:
        """Ask the engine to quit, then end its whole process group; never raises."""
        if self.closed:
            return
        if self._process.poll() is None and self._process.stdin is not None:
            with contextlib.suppress(OSError, subprocess.TimeoutExpired):
                self._process.stdin.write(b"quit\n")
                self._process.wait(0.5)
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # children the engine left behind die with it
        self._process.wait()
        self._selector.close()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._complaints.close()

    def _failure(self, code: str, message: str) -> EngineFailure:
        hint = None
        if not self.closed:
            self._complaints.seek(max(self._complaints.seek(0, os.SEEK_END) - 300, 0))
            said = self._complaints.read().decode(errors="replace").strip().splitlines()
            hint = f"it wrote: {said[-1][:200]!a}" if said else None
            self._end()
        return EngineFailure(Fault(code, message, name=self.name, hint=hint))

    def _read(self, name: str) -> str:
        deadline = time.monotonic() + self.timeout
        self._buffer = self._buffer.lstrip(b"\r\n")  # blank lines left over from the answer before
        while True:
            end = _end_of_answer(self._buffer)
            if end >= 0:
                text, self._buffer = self._buffer[:end], self._buffer[end:]
                return text.decode(errors="replace").replace("\r", "")
            if len(self._buffer) > MAX_ANSWER:
                raise self._failure("gtp.too_long", f"more than {MAX_ANSWER} bytes in answer to {name!r}")
            remaining = deadline - time.monotonic()
            if remaining <= 0 or not self._selector.select(remaining):
                raise self._failure("gtp.timeout", f"no answer to {name!r} within {self.timeout:g} s")
            assert self._process.stdout is not None
            piece = os.read(self._process.stdout.fileno(), 1 << 16)
            if not piece:
                self._process.wait()
                code = self._process.returncode
                raise self._failure("gtp.ended", f"the engine ended with status {code} instead of answering {name!r}")
            self._buffer = (self._buffer + piece).lstrip(b"\r\n") if not self._buffer else self._buffer + piece


def _end_of_answer(buffer: bytes) -> int:
    """Where the blank line that ends an answer begins, or -1."""
    found = [at for at in (buffer.find(b"\n\n"), buffer.find(b"\n\r\n")) if at >= 0]
    return min(found) if found else -1
