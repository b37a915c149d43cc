"""The Go Text Protocol, version 2, as text: commands and answers.

A controller writes ``[id] name arguments``, an engine answers ``=[id] text`` or ``?[id] message``, and a blank line
ends every answer. Nothing here knows a board or a process: :mod:`toulmin.go.gtp.server` answers, and
:mod:`toulmin.go.gtp.client` asks. The names of points are in :mod:`toulmin.go.engine.points`.

Reference: Gunnar Farnebäck, *Specification of the Go Text Protocol, version 2, draft 2*, 2002.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine.rules import BLACK, WHITE

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_COMMAND = re.compile(r"(?:([0-9]{1,15})(?:\s+|$))?(\S+)?\s*(.*)", re.DOTALL)
_ANSWER = re.compile(r"([=?])([0-9]{0,15})(?:[ \t\r\n]+|$)(.*)", re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One line from a controller: an optional number, the command's name, and its arguments."""

    number: int | None
    name: str
    arguments: tuple[str, ...] = ()

    def __str__(self) -> str:
        number = "" if self.number is None else f"{self.number} "
        return f"{number}{' '.join((self.name, *self.arguments))}"


@dataclass(frozen=True)
class Answer:
    """One answer of an engine: whether it did what was asked, the number it repeats, and the text."""

    ok: bool
    number: int | None
    text: str


def parse_command(line: str) -> Command | None:
    """Read one line; ``None`` where only blanks, a comment or a lone number are left.

    Control characters are dropped, tabs are blanks, and ``#`` starts a comment, as section 3.1 of the protocol says.
    """
    line = _CONTROL.sub("", line).replace("\t", " ").split("#", 1)[0].strip()
    found = _COMMAND.fullmatch(line)
    if found is None or not found[2]:
        return None
    return Command(int(found[1]) if found[1] else None, found[2], tuple(found[3].split()))


def format_answer(answer: Answer) -> str:
    """The answer as it goes over the wire, ended by its blank line; a blank line inside it would end it early."""
    lines = [line for line in _CONTROL.sub("", answer.text.replace("\n", "\t")).split("\t") if line.strip()]
    number = "" if answer.number is None else str(answer.number)
    head = f"{'=' if answer.ok else '?'}{number}"
    text = "\n".join(lines)
    return f"{head} {text}\n\n" if text else f"{head}\n\n"


def parse_answer(text: str) -> Answer:
    """Read an answer whose closing blank line has been found.

    :raises FaultError: ``gtp.answer``: it starts with neither ``=`` nor ``?``.
    """
    found = _ANSWER.fullmatch(text.strip("\r\n"))
    if found is None:
        shown = ascii(text[:60])
        raise FaultError(Fault("gtp.answer", f"an answer starts with = or ?, this one is {shown}"), ExitCode.SUBJECT)
    return Answer(found[1] == "=", int(found[2]) if found[2] else None, found[3].strip())


def colour_of(name: str) -> int:
    """1 for ``b`` or ``black``, 2 for ``w`` or ``white``, whatever the case.

    :raises FaultError: ``gtp.colour``.
    """
    colour = {"b": BLACK, "black": BLACK, "w": WHITE, "white": WHITE}.get(name.lower())
    if colour is None:
        raise FaultError(Fault("gtp.colour", f"{name[:20]!a} is no colour"), ExitCode.SUBJECT)
    return colour
