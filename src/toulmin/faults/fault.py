"""Fault, the exception that carries faults, and the exit codes."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from types import ModuleType


class ExitCode(IntEnum):
    """What the exit status of ``toulmin`` means.

    0 to 4 are those of ``toulmin case check``; where several apply the order is 2, 4, 1, 3, 0.
    """

    OK = 0  #: done; of a case: releasable
    NOT_SUPPORTED = 1  #: the answer is no: a case that is not supported, a comparison that differs
    INVALID = 2  #: the input is malformed: command line, configuration, case file
    STALE = 3  #: everything holds except that some evidence is out of date
    EVIDENCE = 4  #: evidence is damaged, was edited, or does not re-derive
    SUBJECT = 5  #: a model, network, tokenizer or data file cannot be read
    NUMERICAL = 6  #: a number that should be finite is NaN or infinite, or a ratio has no meaning
    MISSING = 7  #: an optional part (an extra, an external program) is not installed
    LIMIT = 8  #: a bound the caller gave (states, memory, size) would be exceeded
    INTERRUPTED = 130  #: stopped by the user; what was checkpointed is kept


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong.

    ``code`` is stable and documented (``package.what``, or a numbered diagnostic such as ``C014``); ``message`` is one
    plain sentence; ``file``, ``line`` (from 1) and ``name`` (of the tensor, key, node, edge) say where; ``hint`` what
    to do about it.
    """

    code: str
    message: str
    file: str | None = None
    line: int | None = None
    name: str | None = None
    hint: str | None = None

    def __str__(self) -> str:
        place = self.file or ""
        if self.line is not None:
            place += f":{self.line}"
        name = f" [{self.name}]" if self.name else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place + ': ' if place else ''}{self.code}{name}: {self.message}{hint}"


class FaultError(Exception):
    """Raised with every fault found, never only the first.

    ``exit_code`` is the status with which the command line ends.
    """

    def __init__(self, faults: Fault | Iterable[Fault], exit_code: ExitCode = ExitCode.INVALID) -> None:
        self.faults: Sequence[Fault] = [faults] if isinstance(faults, Fault) else list(faults)
        self.exit_code = exit_code
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type[FaultError], tuple[Sequence[Fault], ExitCode]]:
        return (FaultError, (self.faults, self.exit_code))  # so that it crosses process pools


class MissingExtra(FaultError):
    """An optional dependency is not installed; the message says which extra to install."""

    def __init__(self, module: str, extra: str) -> None:
        self.module, self.extra = module, extra
        super().__init__(
            Fault("extra.missing", f"{module} is not installed", hint=f"pip install 'toulmin[{extra}]'"),
            ExitCode.MISSING,
        )

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:  # type: ignore[override]
        return (MissingExtra, (self.module, self.extra))


def require_extra(module: str, extra: str) -> ModuleType:
    """Import an optional module, or raise :class:`MissingExtra` with the one line that says what to install."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtra(module, extra) from error
