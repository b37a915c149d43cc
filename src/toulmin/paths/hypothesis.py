"""A hypothesis is a set of paths, written in the path language or built by set algebra. No tensors.

Goldowsky-Dill et al. 2023 (section 2) state a hypothesis about a behaviour as the set of input-to-output paths that
carry it. This module reads the text into a syntax tree; :mod:`toulmin.paths.space` compiles the tree against the graph
of a model. One expression a line, and the lines are united. ``#`` starts a comment. ::

    expression  =  chain | "all" | "none" | "(" expression ")" | "!" expression | "~" expression
                |  expression "&" expression | expression ("|" | "-") expression
    chain       =  element (("->" | "~>") element)*
    element     =  [ "[" inputs "]" ] names [ ":" term ] [ "[" inputs "]" ] [ "@" where ]
    names       =  embed | embed.tok | embed.pos | logits | L0.H1 | L0.mlp | L*.H{0,3} | L<2.H* | L2-4.mlp | *
    inputs      =  Q | K | V | QK | "Q|V" ..., each with an optional "@" where of what it reads
    where       =  i | i-1 | i-3..i | i-3.. | =0 | =-1 | =2..5 | a name of the task

``->`` is a direct edge, ``~>`` one or more edges through any components. ``[V] L1.H5`` and ``L1.H5[V]`` both say
through which input the path enters the head. ``@i-1`` counts tokens back from the position at which the reading
component writes, ``@=0`` is an absolute position, ``@subject`` a position that the task names. A chain that does not
begin at the embedding stands for every path from there to its first element, and one that does not end in the logits
for every path from its last element on. A name alone is therefore every path through that component, and ``!name``
every path that avoids it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from toulmin.faults import Fault, FaultError

SLOT_NAMES = ("Q", "K", "V")


@dataclass(frozen=True)
class Where:
    """Which positions: ``relative`` offsets i − j in [low, high], ``absolute`` positions, or a ``named`` one.

    ``high`` is None for a relative selector without a far end (``@..i-2``).
    """

    kind: str
    low: int = 0
    high: int | None = 0
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "named":
            return f"@{self.name}"
        if self.kind == "absolute":
            return f"@={self.low}" + ("" if self.high == self.low else f"..{self.high}")
        far = "" if self.high is None else f"i-{self.high}" if self.high else "i"
        near = f"i-{self.low}" if self.low else "i"
        return f"@{near}" if self.high == self.low else f"@{far}..{near}" if far else f"@..{near}"


@dataclass(frozen=True)
class Element:
    """The components that a path may visit at one step.

    ``slots``: the inputs (Q, K, V) through which it enters, each with the positions that the input reads, or None.
    """

    names: str
    term: str = ""
    slots: tuple[tuple[str, Where | None], ...] = ()
    where: Where | None = None
    line: int = 1
    column: int = 1

    def __str__(self) -> str:
        slots = "|".join(f"{slot}{'' if where is None else where}" for slot, where in self.slots)
        term = f":{self.term}" if self.term else ""
        return f"{self.names}{term}{f'[{slots}]' if slots else ''}{'' if self.where is None else self.where}"


@dataclass(frozen=True)
class Chain:
    """Elements joined by ``->`` or ``~>``."""

    elements: tuple[Element, ...]
    joins: tuple[str, ...]

    def __str__(self) -> str:
        rest = (f" {join} {element}" for join, element in zip(self.joins, self.elements[1:], strict=True))
        return str(self.elements[0]) + "".join(rest)


@dataclass(frozen=True)
class Constant:
    """All paths, or none."""

    everything: bool

    def __str__(self) -> str:
        return "all" if self.everything else "none"


@dataclass(frozen=True)
class Not:
    """The paths that are not in a set."""

    inner: Expression

    def __str__(self) -> str:
        return f"!{_grouped(self.inner)}"


@dataclass(frozen=True)
class Combination:
    """``|``, ``&`` or ``-`` of two sets."""

    operator: str
    left: Expression
    right: Expression

    def __str__(self) -> str:
        return f"{_grouped(self.left)} {self.operator} {_grouped(self.right)}"


Expression = Chain | Constant | Not | Combination


def _grouped(expression: Expression) -> str:
    return f"({expression})" if isinstance(expression, Combination) else str(expression)


def elements_of(expression: Expression) -> Iterator[Element]:
    """Every element of an expression, in order of the text."""
    if isinstance(expression, Chain):
        yield from expression.elements
    elif isinstance(expression, Not):
        yield from elements_of(expression.inner)
    elif isinstance(expression, Combination):
        yield from elements_of(expression.left)
        yield from elements_of(expression.right)


@dataclass(frozen=True)
class Hypothesis:
    """A set of paths, of any model that has the components it names. Combine with ``|``, ``&``, ``-``, ``~``.

    Made by :func:`hypothesis`. ``name`` is what tables and figures call it.
    """

    expression: Expression
    text: str = ""
    name: str = ""

    def __or__(self, other: Hypothesis) -> Hypothesis:
        return self._with(other, "|")

    def __and__(self, other: Hypothesis) -> Hypothesis:
        return self._with(other, "&")

    def __sub__(self, other: Hypothesis) -> Hypothesis:
        return self._with(other, "-")

    def __invert__(self) -> Hypothesis:
        return Hypothesis(Not(self.expression), f"~({self._inline()})")

    def _inline(self) -> str:
        lines = [line.split("#")[0].strip() for line in self.text.splitlines()]
        return " | ".join(line for line in lines if line)

    def _with(self, other: Hypothesis, operator: str) -> Hypothesis:
        text = f"({self._inline()}) {operator} ({other._inline()})"
        return Hypothesis(Combination(operator, self.expression, other.expression), text)

    def named(self, name: str) -> Hypothesis:
        """The same set of paths under another name."""
        return Hypothesis(self.expression, self.text, name)

    @property
    def label(self) -> str:
        """The name, or the text on one line."""
        return self.name or self._inline()

    @property
    def splits_embedding(self) -> bool:
        """Whether it names the token part and the position part of the embedding separately."""
        return any("embed." in element.names for element in elements_of(self.expression))


def hypothesis(text: str, name: str = "") -> Hypothesis:
    """Read a hypothesis; the grammar is at the top of :mod:`toulmin.paths.hypothesis`.

    :raises FaultError: ``paths.syntax`` for every line that does not parse, with line and column; ``paths.empty``.
    """
    return Hypothesis(parse(text), text, name)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int
    column: int
    end: int = field(default=0)


_TOKENS = re.compile(
    r"(?P<space>[ \t]+)|(?P<comment>#.*)|(?P<join>->|~>)|(?P<where>@\s*(?:=\s*-?\d+(?:\.\.-?\d+)?"
    r"|i\s*-\s*\d+\s*\.\.\s*i(?:\s*-\s*\d+)?|\.\.\s*i(?:\s*-\s*\d+)?|i\s*-\s*\d+|i(?![\w-])|[A-Za-z_]\w*))"
    r"|(?P<name>\*|(?:[A-Za-z_]|\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\})(?:[\w.*<>=]|\{[^{}]*\}|-(?=\d))*)"
    r"|(?P<term>:[A-Za-z_]\w*)|(?P<op>[\[\]()!~&|\-])"
)


def _tokens(text: str) -> list[list[_Token]]:
    lines: list[list[_Token]] = []
    faults: list[Fault] = []
    for number, line in enumerate(text.splitlines(), 1):
        found: list[_Token] = []
        at = 0
        while at < len(line):
            match = _TOKENS.match(line, at)
            if match is None:
                message = f"unexpected character {line[at]!r} at column {at + 1}"
                faults.append(Fault("paths.syntax", message, line=number, name=line.strip()))
                break
            kind = str(match.lastgroup)
            if kind not in ("space", "comment"):
                found.append(_Token(kind, match.group().replace(" ", ""), number, at + 1, match.end()))
            at = match.end()
        if found:
            lines.append(found)
    if faults:
        raise FaultError(faults)
    return lines


def read_where(text: str) -> Where:
    """``@i-3..i`` and the like (checked by the tokens)."""
    body = re.sub(r"\s", "", text)[1:]
    if body.startswith("="):
        low, _, high = body[1:].partition("..")
        return Where("absolute", int(low), int(high or low))
    if body.startswith(".."):
        return Where("relative", _back(body[2:]), None)
    if re.fullmatch(r"i(-\d+)?(\.\.i(-\d+)?)?", body):
        far, _, near = body.partition("..")
        return Where("relative", _back(near or far), _back(far))
    return Where("named", name=body)


def _back(text: str) -> int:
    return int(text[2:] or 0) if text != "i" else 0


class _Parser:
    """Recursive descent over one line."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.tokens, self.at = tokens, 0

    def peek(self, *texts: str) -> bool:
        return self.at < len(self.tokens) and (self.tokens[self.at].text in texts or self.tokens[self.at].kind in texts)

    def take(self) -> _Token:
        self.at += 1
        return self.tokens[self.at - 1]

    def fail(self, wanted: str) -> FaultError:
        last = self.tokens[-1]
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        column, got = (token.column, repr(token.text)) if token else (last.end + 1, "the end of the line")
        return FaultError(Fault("paths.syntax", f"expected {wanted}, found {got} at column {column}", line=last.line))

    def whole(self) -> Expression:
        found = self.union()
        if self.at < len(self.tokens):
            raise self.fail("'->', '~>', '|', '&', '-' or the end of the line")
        return found

    def union(self) -> Expression:
        left = self.intersection()
        while self.peek("|", "-"):
            left = Combination(self.take().text, left, self.intersection())
        return left

    def intersection(self) -> Expression:
        left = self.unary()
        while self.peek("&"):
            self.take()
            left = Combination("&", left, self.unary())
        return left

    def unary(self) -> Expression:
        if self.peek("!", "~"):
            self.take()
            return Not(self.unary())
        if self.peek("("):
            self.take()
            inner = self.union()
            if not self.peek(")"):
                raise self.fail("')'")
            self.take()
            return inner
        if self.peek("all", "none"):
            return Constant(self.take().text == "all")
        return self.chain()

    def chain(self) -> Chain:
        elements, joins = [self.element()], []
        while self.peek("join"):
            joins.append(self.take().text)
            elements.append(self.element())
        return Chain(tuple(elements), tuple(joins))

    def element(self) -> Element:
        slots = self.slots() if self.peek("[") else ()
        if not self.peek("name"):
            raise self.fail("a component such as embed, L0.H1, L0.mlp or logits")
        name = self.take()
        term = self.take().text[1:] if self.peek("term") else ""
        if self.peek("["):
            if slots:
                raise self.fail("one list of inputs, before or after the name")
            slots = self.slots()
        where = read_where(self.take().text) if self.peek("where") else None
        return Element(name.text, term, slots, where, name.line, name.column)

    def slots(self) -> tuple[tuple[str, Where | None], ...]:
        self.take()
        found: list[tuple[str, Where | None]] = []
        while True:
            if not self.peek("name"):
                raise self.fail("Q, K or V")
            name = self.tokens[self.at]
            if not name.text or set(name.text) - set(SLOT_NAMES):
                raise self.fail("Q, K, V, or several as in QK or Q|V")
            self.take()
            where = read_where(self.take().text) if self.peek("where") else None
            found += [(slot, where) for slot in name.text]
            if self.peek("|"):
                self.take()
                continue
            if self.peek("]"):
                self.take()
                return tuple(found)
            raise self.fail("'|' or ']'")


def parse(text: str) -> Expression:
    """The syntax tree of a hypothesis.

    :raises FaultError: ``paths.syntax`` for every line that does not parse, with line and column; ``paths.empty``.
    """
    lines = _tokens(text)
    if not lines:
        raise FaultError(Fault("paths.empty", "a hypothesis without a line", hint="write 'none' for the empty set"))
    faults: list[Fault] = []
    parts: list[Expression] = []
    for line in lines:
        try:
            parts.append(_Parser(line).whole())
        except FaultError as error:
            faults.extend(error.faults)
    if faults:
        raise FaultError(faults)
    found = parts[0]
    for part in parts[1:]:
        found = Combination("|", found, part)
    return found
