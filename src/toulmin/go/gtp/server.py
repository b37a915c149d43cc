"""Our players behind GTP: ``toulmin go gtp`` in any graphical board, tournament program or other engine's match.

:class:`GtpServer` answers one line at a time and holds one game. It never lets a command end it: what is malformed,
unknown or illegal is answered with ``?`` and a reason, and the game stays as it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TextIO

import numpy as np

from toulmin import __version__
from toulmin.faults import Fault, FaultError
from toulmin.go.engine.game import Game
from toulmin.go.engine.points import action_of, handicap_points, vertex_of
from toulmin.go.engine.rules import WHITE, Rules
from toulmin.go.gtp.analysis import move_infos
from toulmin.go.gtp.protocol import Answer, Command, colour_of, format_answer, parse_command
from toulmin.go.players.player import FORFEIT, RESIGN, Choice, Player
from toulmin.go.players.searching import SearchPlayer
from toulmin.go.search.analysis import analyse
from toulmin.go.sgf import read_sgf, replay

LONGEST_LINE = 1 << 16
Handler = Callable[[tuple[str, ...]], str]


class GtpServer:
    """A GTP engine that plays as ``player``; the same seed and commands give the same answers.

    A game that is over answers ``genmove`` with a pass, which changes nothing.
    """

    def __init__(self, player: Player, rules: Rules | None = None, size: int = 19, seed: int = 0) -> None:
        self.player = player
        self.game = Game(size, rules)
        self.closed = False
        self._generator = np.random.default_rng(seed)
        self._commands: dict[str, tuple[Handler, int, int | None]] = {
            "protocol_version": (lambda _: "2", 0, 0),
            "name": (lambda _: f"Toulmin {player.name}", 0, 0),
            "version": (lambda _: __version__, 0, 0),
            "known_command": (lambda words: str(words[0] in self._commands).lower(), 1, 1),
            "list_commands": (lambda _: "\n".join(self._commands), 0, 0),
            "quit": (self._quit, 0, 0),
            "boardsize": (self._boardsize, 1, 1),
            "clear_board": (self._clear, 0, 0),
            "komi": (self._komi, 1, 1),
            "fixed_handicap": (self._fixed_handicap, 1, 1),
            "place_free_handicap": (self._fixed_handicap, 1, 1),
            "set_free_handicap": (self._free_handicap, 1, None),
            "play": (self._play, 2, 2),
            "genmove": (self._genmove, 1, 1),
            "reg_genmove": (self._reg_genmove, 1, 1),
            "undo": (self._undo, 0, 0),
            "showboard": (lambda _: self.game.render(), 0, 0),
            "final_score": (self._final_score, 0, 0),
            "final_status_list": (self._final_status_list, 1, 1),
            "loadsgf": (self._load_sgf, 1, 2),
            "time_settings": (lambda _: "", 3, 3),
            "kgs-time_settings": (lambda _: "", 1, None),
            "time_left": (lambda _: "", 3, 3),
            "kata-get-rules": (lambda _: self.game.rules.compact(), 0, 0),
            "kata-set-rules": (self._set_rules, 1, None),
            "kata-analyze": (self._analyze, 0, None),
            "toulmin-estimate": (self._estimate, 1, 1),
        }

    def answer(self, line: str) -> str:
        """The answer to one line, ready for the wire; empty where the line asks nothing."""
        command = parse_command(line)
        if command is None:
            return ""
        answer = self._answer(command)
        if command.name == "kata-analyze" and answer.ok:  # its lines begin below the sign of success
            return f"={'' if answer.number is None else answer.number}\n{answer.text}\n\n"
        return format_answer(answer)

    def serve(self, lines: TextIO, out: TextIO) -> None:
        """Answer every line until ``quit`` or the end of the input.

        An analysis is answered at once, and its blank line follows when the controller asks for something else.
        """
        open_ = False
        while not self.closed:
            line = lines.readline(LONGEST_LINE)
            if open_:
                out.write("\n")
            open_ = False
            answer = self.answer(line) if line else ""
            if "\ninfo move " in answer:
                open_, answer = True, answer[:-1]
            out.write(answer)
            out.flush()
            if not line:
                break

    def _answer(self, command: Command) -> Answer:
        handler, least, most = self._commands.get(command.name, (None, 0, None))
        if handler is None:
            return Answer(False, command.number, "unknown command")
        if len(command.arguments) < least or (most is not None and len(command.arguments) > most):
            expected = str(least) if most == least else f"{least} or more"
            given = len(command.arguments)
            return Answer(False, command.number, f"syntax error: {expected} arguments expected, {given} given")
        try:
            return Answer(True, command.number, handler(command.arguments))
        except FaultError as error:
            return Answer(False, command.number, "; ".join(fault.message for fault in error.faults))

    def _restart(self, size: int, rules: Rules) -> None:
        self.game = Game(size, rules)

    def _quit(self, _: tuple[str, ...]) -> str:
        self.closed = True
        self.player.close()
        return ""

    def _boardsize(self, words: tuple[str, ...]) -> str:
        if not words[0].isascii() or not words[0].isdigit() or len(words[0]) > 3 or not 2 <= int(words[0]) <= 19:
            raise FaultError(Fault("gtp.size", "unacceptable size"))
        self._restart(int(words[0]), self.game.rules)
        return ""

    def _clear(self, _: tuple[str, ...]) -> str:
        self._restart(self.game.size, self.game.rules)
        return ""

    def _komi(self, words: tuple[str, ...]) -> str:
        try:
            komi = float(words[0])
        except ValueError:
            komi = math.nan
        if not math.isfinite(komi):
            raise FaultError(Fault("gtp.komi", "syntax error: komi is a number"))
        self.game.rules = replace(self.game.rules, komi=komi)
        self.game.games.komi[0] = komi
        return ""

    def _set_rules(self, words: tuple[str, ...]) -> str:
        rules = Rules.parse(" ".join(words), komi=self.game.rules.komi)
        if self.game.moves:
            raise FaultError(Fault("gtp.rules", "rules are set before the first move"))
        black, white, to_move = self.game.setup
        self.game = Game(self.game.size, rules, black=black, white=white, to_move=to_move)
        return ""

    def _load_sgf(self, words: tuple[str, ...]) -> str:
        """The main line of a file's first game; with a number N, the position before its move N."""
        file, *number = words
        if number and not (number[0].isascii() and number[0].isdigit() and int(number[0]) > 0):
            raise FaultError(Fault("gtp.sgf", "syntax error: the move number is 1 or more"))
        record = read_sgf(file)[0]
        if number:
            record = replace(record, moves=record.moves[: int(number[0]) - 1])
        self.game = replay(record)
        return ""

    def _fixed_handicap(self, words: tuple[str, ...]) -> str:
        count = int(words[0]) if words[0].isascii() and words[0].isdigit() and len(words[0]) < 3 else -1
        return self._place(handicap_points(self.game.size, count))

    def _free_handicap(self, words: tuple[str, ...]) -> str:
        points = [action_of(word, self.game.size) for word in words]
        if len(points) < 2 or len(set(points)) < len(points) or self.game.size**2 in points:
            raise FaultError(Fault("gtp.handicap", "bad vertex list"))
        return self._place(points)

    def _place(self, points: list[int]) -> str:
        if self.game.moves or self.game.setup[0]:
            raise FaultError(Fault("gtp.handicap", "board not empty"))
        self.game = Game(self.game.size, self.game.rules, black=points, to_move=WHITE)
        return " ".join(vertex_of(point, self.game.size) for point in points)

    def _play(self, words: tuple[str, ...]) -> str:
        colour = colour_of(words[0])
        try:
            self.game.play(action_of(words[1], self.game.size), colour)
        except FaultError as error:
            if error.faults[0].code == "go.illegal":
                raise FaultError(Fault("gtp.illegal", "illegal move")) from None
            raise
        return ""

    def _choice(self, words: tuple[str, ...]) -> Choice:
        games = self.game.games.take([0])
        games.set_to_move(0, colour_of(words[0]))
        if games.finished[0]:
            return Choice(self.game.size**2)
        choice = self.player.choose(games, np.zeros(1, np.int64), [self._generator])[0]
        if choice.action == FORFEIT:
            raise FaultError(Fault("gtp.player", f"the player cannot go on: {choice.reason}"))
        if choice.action != RESIGN and not games.legal()[0, choice.action]:
            raise FaultError(
                Fault("gtp.player", f"the player chose the illegal move {vertex_of(choice.action, games.size)}")
            )
        return choice

    def _genmove(self, words: tuple[str, ...]) -> str:
        action = self._choice(words).action
        if action == RESIGN:
            return "resign"
        if not self.game.finished:
            self.game.play(action, colour_of(words[0]))
        return vertex_of(action, self.game.size)

    def _reg_genmove(self, words: tuple[str, ...]) -> str:
        action = self._choice(words).action
        return "resign" if action == RESIGN else vertex_of(action, self.game.size)

    def _estimate(self, words: tuple[str, ...]) -> str:
        choice = self._choice(words)
        if choice.black_wins is None or choice.black_leads is None:
            raise FaultError(Fault("gtp.player", "this player does not evaluate positions"))
        return f"black_wins {choice.black_wins:.4f} black_leads {choice.black_leads:.2f}"

    def _analyze(self, words: tuple[str, ...]) -> str:
        """One line of the moves that a search of the player's visits has visited, seen by the side to move.

        KataGo's command goes on searching until the next command; here the search ends at its visits, and the answer is
        open until then. An interval, which says how often to report, is accepted and has no use.
        """
        colour = self.game.to_move
        for word in words:
            if word != "interval" and not (word.isascii() and word.isdigit()):
                colour = colour_of(word)
        games = self.game.games.take([0])
        games.set_to_move(0, colour)
        if not isinstance(self.player, SearchPlayer) or self.player.settings.visits < 2:
            raise FaultError(Fault("gtp.player", "this player does not search positions with two visits or more"))
        if games.finished[0]:
            raise FaultError(Fault("gtp.finished", "the game is over"))
        found = analyse(games, 0, self.player.evaluator, self.player.settings, self._generator)
        return " ".join(_analysis_line(info, colour) for info in move_infos(found, games.size))

    def _undo(self, _: tuple[str, ...]) -> str:
        if not self.game.moves:
            raise FaultError(Fault("gtp.undo", "cannot undo"))
        self.game.undo()
        return ""

    def _final_score(self, _: tuple[str, ...]) -> str:
        lead = self.game.scores().pass_alive
        return "0" if lead == 0 else f"{'W' if lead > 0 else 'B'}+{abs(lead):g}"

    def _final_status_list(self, words: tuple[str, ...]) -> str:
        if words[0] not in ("alive", "dead", "seki"):
            raise FaultError(Fault("gtp.status", "invalid status"))
        if words[0] != "alive":
            return ""  # a stone that is on the board at the end counts: these rules remove nothing
        stones = np.flatnonzero(self.game.games.stones()[0])
        return " ".join(vertex_of(int(action), self.game.size) for action in stones)


def _analysis_line(info: dict[str, Any], colour: int) -> str:
    """A move as ``kata-analyze`` reports it, seen by the side to move."""
    seen = dict(info)
    if colour == WHITE:
        seen |= {name: 1 - info[name] for name in ("winrate", "lcb")}
        seen |= {name: -info[name] for name in ("scoreLead", "utility", "utilityLcb")}
    names = ("move", "visits", "utility", "winrate", "scoreLead", "prior", "lcb", "utilityLcb", "order")
    told = " ".join(f"{name} {seen[name]:.6g}" if name != "move" else f"{name} {seen[name]}" for name in names)
    return f"info {told} pv {' '.join(info['pv'])}"
