"""Games in SGF: read through sgfmill with every fault placed, written, and replayed in lockstep.

The main line of each game of a file or collection is read: size, rules, komi, set-up stones before the first move, and
moves. A game that says what cannot be honoured (unknown rules, a set-up in mid-game) is refused, not approximated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from toulmin.faults import ExitCode, Fault, FaultError, require_extra
from toulmin.go.engine.game import Game
from toulmin.go.engine.games import Games
from toulmin.go.engine.points import LARGEST, SMALLEST, vertex_of
from toulmin.go.engine.rules import BLACK, WHITE, Rules

_COLORS = {"b": BLACK, "w": WHITE}
_START = re.compile(rb"\(\s*;")
_RESULT = re.compile(r"([BbWw])\+([0-9]+(?:\.[0-9]*)?)")
LONGEST = 10_000  # moves of one game


@dataclass(frozen=True)
class SgfGame:
    """The main line of one game. ``moves`` are (colour, action); ``headers`` the root's other properties as text.

    ``result`` is what RE says. ``has_rules`` is False where the file names none (Tromp-Taylor is then assumed).
    """

    size: int
    rules: Rules
    moves: tuple[tuple[int, int], ...] = ()
    black: tuple[int, ...] = ()
    white: tuple[int, ...] = ()
    to_move: int = BLACK
    result: str = ""
    has_rules: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)
    comments: tuple[str, ...] = ()
    file: str | None = None
    line: int | None = None

    @property
    def komi(self) -> float:
        """White's komi."""
        return self.rules.komi

    @property
    def recorded_lead(self) -> float | None:
        """White's lead that the result records; None where it was not counted (resignation, time, unknown)."""
        if self.result in {"0", "Draw", "Jigo"}:
            return 0.0
        match = _RESULT.fullmatch(self.result.strip())
        return None if match is None else float(match[2]) * (1 if match[1] in "Ww" else -1)


def read_sgf(source: str | Path | bytes) -> list[SgfGame]:
    """The games of a file (or of its bytes); raises :class:`FaultError` (``go.sgf``) with every fault, file and
    line."""
    games, faults = scan_sgf(source)
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return games


def scan_sgf(source: str | Path | bytes) -> tuple[list[SgfGame], list[Fault]]:
    """The games of a file that can be read, and the faults of the others.

    Raises :class:`FaultError` only where the file itself cannot be opened.
    """
    file = None if isinstance(source, bytes) else str(source)
    if isinstance(source, bytes):
        data = source
    else:
        try:
            data = Path(source).read_bytes()
        except OSError as error:
            fault = Fault("file.unreadable", error.strerror or str(error), file=file)
            raise FaultError(fault, ExitCode.SUBJECT) from error
    games: list[SgfGame] = []
    faults: list[Fault] = []
    for number, (tree, line, problem) in enumerate(_trees(data), 1):
        if tree is None:
            faults.append(Fault("go.sgf", problem, file=file, line=line, name=f"game {number}"))
            continue
        found = _Main(tree, file, line, f"game {number}")
        game = found.read()
        faults += found.faults
        if game is not None and not found.faults:
            games.append(game)
    if not games and not faults:
        faults.append(Fault("go.sgf", "there is no SGF game in it", file=file, line=1))
    return games, faults


def _trees(data: bytes) -> Iterator[tuple[Any, int, str]]:
    """The parsed games of a collection, each with its line; None and what is wrong where one does not parse."""
    grammar = require_extra("sgfmill.sgf_grammar", "go")
    at = 0
    while True:
        start = _START.search(data, at)
        if start is None:
            return
        _, end = grammar.tokenise(data, start.start())
        line = data.count(b"\n", 0, start.start()) + 1
        try:
            yield grammar.parse_sgf_game(data[start.start() : end]), line, ""
        except ValueError as error:
            stop = data.count(b"\n", 0, end) + 1
            yield None, stop if "end" in str(error) else line, f"{error} (the game starts at line {line})"
        at = max(end, start.end())


class _Main:
    """Reads the main line of one parsed game, collecting faults."""

    def __init__(self, tree: Any, file: str | None, line: int, name: str) -> None:
        self.sgf = require_extra("sgfmill.sgf", "go")
        self.tree, self.file, self.line, self.label = tree, file, line, name
        self.faults: list[Fault] = []

    def fault(self, message: str) -> None:
        self.faults.append(Fault("go.sgf", message, file=self.file, line=self.line, name=self.label))

    def read(self) -> SgfGame | None:
        raw = self.tree.sequence[0]
        if raw.get("GM", [b"1"])[0].strip() not in {b"1", b""}:
            self.fault("it is not a game of Go (GM)")
            return None
        try:
            game = self.sgf.Sgf_game.from_coarse_game_tree(self.tree)
            nodes = game.get_main_sequence()
        except (ValueError, LookupError) as error:  # sgfmill: sizes outside 1 to 26, unknown encodings
            self.fault(str(error))
            return None
        size = game.get_size()
        if not SMALLEST <= size <= LARGEST:
            self.fault(f"a board of {size} is not between {SMALLEST} and {LARGEST}")
            return None
        headers = {name: self.text(nodes[0], name) for name in raw if name not in {"AB", "AW", "AE", "B", "W", "C"}}
        rules = self.rules(headers)
        black: set[int] = set()
        white: set[int] = set()
        moves: list[tuple[int, int]] = []
        comments: list[str] = []
        to_move = {"b": BLACK, "w": WHITE}.get(headers.get("PL", "").strip().lower()[:1])
        for node in nodes:
            self.set_up(node, size, black, white, started=bool(moves))
            move = self.move(node, size)
            if move is not None:
                moves.append(move)
                comments.append(self.text(node, "C"))
            if len(moves) > LONGEST or len(self.faults) > 20:
                self.fault(f"it has more than {LONGEST} moves, or too many faults to go on")
                return None
        if to_move is None:
            to_move = moves[0][0] if moves else (WHITE if black and not white else BLACK)
        if rules is None:
            return None
        stones = tuple(sorted(black)), tuple(sorted(white))
        named = bool(headers.get("RU", "").strip())
        return SgfGame(
            size,
            rules,
            tuple(moves),
            *stones,
            to_move,
            headers.get("RE", ""),
            named,
            headers,
            tuple(comments),
            self.file,
            self.line,
        )

    def text(self, node: Any, name: str) -> str:
        if not node.has_property(name):
            return ""
        try:
            return node.get_raw(name).decode(node.get_encoding(), errors="replace").strip()
        except LookupError:
            return node.get_raw(name).decode("utf-8", errors="replace").strip()

    def rules(self, headers: Mapping[str, str]) -> Rules | None:
        komi = headers.get("KM", "").strip()
        try:
            value = float(komi) if komi else None
        except ValueError:
            self.fault(f"komi {komi[:20]!r} is not a number (KM)")
            value = None
        name = headers.get("RU", "").strip()
        try:
            return Rules.parse(name or "tromp-taylor", komi=0.0 if value is None else value)
        except FaultError as error:
            for fault in error.faults:
                self.fault(fault.message)
            return None

    def set_up(self, node: Any, size: int, black: set[int], white: set[int], *, started: bool) -> None:
        try:
            if not node.has_setup_stones():
                return
            added_black, added_white, cleared = node.get_setup_stones()
        except ValueError as error:
            self.fault(f"set-up stones: {error}")
            return
        if started:
            self.fault("stones are set up after the first move")
            return
        placed = [
            (name, point) for name in ("AB", "AW", "AE") if node.has_property(name) for point in _points(node, name)
        ]
        if repeated := sorted({point for _, point in placed if [p for _, p in placed].count(point) > 1}):
            self.fault(f"set-up stones: {', '.join(repeated)} is named more than once in one node")
            return
        for points, own, other in ((added_black, black, white), (added_white, white, black), (cleared, None, None)):
            actions = {(size - 1 - row) * size + column for row, column in points}
            (other if other is not None else white).difference_update(actions)
            if own is None:
                black.difference_update(actions)
            else:
                own |= actions

    def move(self, node: Any, size: int) -> tuple[int, int] | None:
        try:
            color, point = node.get_move()
        except ValueError as error:
            self.fault(f"a move cannot be read: {error}")
            return None
        if color is None:
            return None
        return _COLORS[color], size * size if point is None else (size - 1 - point[0]) * size + point[1]


def _points(node: Any, name: str) -> list[str]:
    """The points of a list property, rectangles (``aa:bc``) spelled out; sgfmill gives a set, in which none repeats."""
    found: list[str] = []
    for raw in node.get_raw_list(name):
        first, _, last = raw.decode("ascii", errors="replace").strip().partition(":")
        last = last or first
        columns, rows = (range(ord(first[i]), ord(last[i]) + 1) for i in (0, 1))
        found += [chr(column) + chr(row) for row in rows for column in columns]
    return found


def write_sgf(game: Game | SgfGame, *, headers: Mapping[str, str] | None = None, comments: Sequence[str] = ()) -> bytes:
    """One game as SGF (FF 4, UTF-8); ``headers`` add to or replace the properties of the root."""
    if isinstance(game, Game):
        black, white, to_move = game.setup
        game = SgfGame(game.size, game.rules, tuple(game.moves), black, white, to_move, game.result())
    root = {"GM": "1", "FF": "4", "CA": "UTF-8", "SZ": str(game.size), "KM": f"{game.komi:g}"}
    root |= {"RU": game.rules.compact()} | ({"RE": game.result} if game.result not in {"", "?"} else {})
    root |= {name: value for name, value in game.headers.items() if name not in root}
    root |= dict(headers or {})
    if game.black or game.white:
        root["PL"] = "BW"[game.to_move == WHITE]

    def place(action: int) -> str:
        row, column = divmod(action, game.size)
        return "" if action == game.size * game.size else f"{chr(97 + column)}{chr(97 + row)}"

    text = "(;" + "".join(f"{name}[{_escape(value)}]" for name, value in root.items())
    for name, stones in (("AB", game.black), ("AW", game.white)):
        text += name + "".join(f"[{place(a)}]" for a in stones) if stones else ""
    notes = list(comments) or list(game.comments)
    for number, (color, action) in enumerate(game.moves):
        note = notes[number] if number < len(notes) else ""
        text += f"\n;{'BW'[color == WHITE]}[{place(action)}]" + (f"C[{_escape(note)}]" if note else "")
    return (text + ")\n").encode("utf-8")


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("]", "\\]")


def replay(record: SgfGame) -> Game:
    """Play a record; raises :class:`FaultError` (``go.illegal``) with file and number at the first move that is
    illegal."""
    game = Game(record.size, record.rules, black=record.black, white=record.white, to_move=record.to_move)
    for number, (color, action) in enumerate(record.moves, 1):
        try:
            game.play(action, color)
        except FaultError as error:
            raise FaultError(_illegal(record, number, action, error.faults[0].message), ExitCode.SUBJECT) from error
    return game


def replay_many(records: Sequence[SgfGame]) -> tuple[Games, dict[int, Fault]]:
    """Play records of one board size in lockstep; returns the games as they ended, and a fault where one did not.

    A game with an illegal move stops before it, and has its fault under its number.
    """
    games = Games(len(records), records[0].size if records else 19, [r.rules for r in records], capacity=512)
    for b, record in enumerate(records):
        if record.black or record.white or record.to_move != BLACK:
            games.place(b, record.black, record.white, record.to_move)
    longest = max((len(r.moves) for r in records), default=0)
    colors, actions = np.zeros((2, longest + 1, len(records)), np.int64) - 1
    for b, record in enumerate(records):
        if record.moves:
            colors[: len(record.moves), b], actions[: len(record.moves), b] = np.array(record.moves).T
    faults: dict[int, Fault] = {}
    for turn in range(longest):
        rows = np.array([b for b in np.flatnonzero(actions[turn] >= 0) if b not in faults])
        if not len(rows):
            break
        games.set_to_move(rows, colors[turn, rows])
        legal = games.legal(rows)[np.arange(len(rows)), actions[turn, rows]]
        for b in rows[~legal].tolist():
            why = "the game is over" if games.finished[b] else "it is illegal"
            faults[b] = _illegal(records[b], turn + 1, int(actions[turn, b]), why)
        games.play(actions[turn, rows[legal]], rows[legal])
    return games, faults


def _illegal(record: SgfGame, number: int, action: int, why: str) -> Fault:
    name = vertex_of(action, record.size)
    return Fault("go.illegal", f"move {number} ({name}) cannot be played: {why}", record.file, record.line, name)
