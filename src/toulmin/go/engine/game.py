"""One game with names: colours may repeat, moves can be taken back, the result reads "W+3.5"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from toulmin.faults import Fault, FaultError
from toulmin.go.engine.games import Games
from toulmin.go.engine.points import COLUMNS, action_of
from toulmin.go.engine.rules import BLACK, WHITE, Rules

LETTERS = {BLACK: "B", WHITE: "W"}


class Scores(NamedTuple):
    """White's lead in points, komi included."""

    tromp_taylor: float
    pass_alive: float


class Game:
    """A game on one board; ``games`` is the engine's state of it, a batch of one.

    ``black`` and ``white`` are stones set up before the first move (actions). Every method that takes a move accepts
    an action number or a GTP vertex, and raises :class:`FaultError` (``go.vertex``, ``go.illegal``) for what cannot be
    played.
    """

    def __init__(
        self,
        size: int = 19,
        rules: Rules | None = None,
        *,
        black: Sequence[int] = (),
        white: Sequence[int] = (),
        to_move: int = BLACK,
    ) -> None:
        self.size = size
        self.rules = rules or Rules()
        self.setup = (tuple(black), tuple(white), to_move)
        self.games = self._start()

    def _start(self) -> Games:
        games = Games(1, self.size, self.rules)
        black, white, to_move = self.setup
        if black or white or to_move != BLACK:
            games.place(0, black, white, to_move)
        return games

    @property
    def to_move(self) -> int:
        """The colour to move: 1 Black, 2 White."""
        return int(self.games.to_move[0])

    @property
    def moves(self) -> list[tuple[int, int]]:
        """The moves so far, as (colour, action)."""
        return self.games.history(0)

    @property
    def finished(self) -> bool:
        """Whether the game is over by passes, or void."""
        return bool(self.games.finished[0])

    def action(self, move: int | str) -> int:
        """The action number of a move."""
        return action_of(move, self.size) if isinstance(move, str) else int(move)

    def play(self, move: int | str, color: int | None = None) -> Game:
        """Play a move, of ``color`` where it is not the side to move's; returns the game itself."""
        action = self.action(move)
        before = self.to_move
        if color is not None:
            self.games.set_to_move(0, color)
        try:
            self.games.play([action])
        except FaultError:
            self.games.set_to_move(0, before)
            raise
        return self

    def is_legal(self, move: int | str, color: int | None = None) -> bool:
        """Whether the move may be played."""
        games = self.games
        if color is not None and color != self.to_move:
            games = games.take([0])
            games.set_to_move(0, color)
        action = self.action(move)
        return 0 <= action < games.actions and bool(games.legal()[0, action])

    def undo(self) -> Game:
        """Take the last move back, by playing the others again."""
        moves = self.moves
        if not moves:
            raise FaultError(Fault("go.undo", "there is no move to take back"))
        self.games = self._start()
        for color, action in moves[:-1]:
            self.games.set_to_move(0, color)
            self.games.play([action])
        return self

    def scores(self) -> Scores:
        """White's lead by both ways of counting, as the board stands."""
        plain, aware = self.games.scores()[0].tolist()
        return Scores(plain, aware)

    @property
    def winner(self) -> str | None:
        """``"B"``, ``"W"``, ``"draw"`` or ``"void"`` by the pass-alive-aware score; None while the game goes on."""
        if not self.finished:
            return None
        if self.games.no_result[0]:
            return "void"
        lead = self.scores().pass_alive
        return "draw" if lead == 0 else ("W" if lead > 0 else "B")

    def result(self) -> str:
        """The result as SGF writes it: ``"W+3.5"``, ``"0"``, ``"Void"``; ``"?"`` while the game goes on."""
        winner = self.winner
        if winner in (None, "draw", "void"):
            return {None: "?", "draw": "0", "void": "Void"}[winner]
        return f"{winner}+{abs(self.scores().pass_alive):g}"

    def render(self) -> str:
        """The board in characters, as GTP's showboard draws it: X Black, O White, the last move in brackets."""
        moves = self.moves
        last = moves[-1][1] if moves else -1
        columns = "   " + " ".join(COLUMNS[: self.size])
        lines = [columns]
        for y, row in enumerate(self.games.stones()[0].tolist()):
            text = "".join(
                (")" if y * self.size + x - 1 == last and x else "(" if y * self.size + x == last else " ") + ".XO"[c]
                for x, c in enumerate(row)
            )
            closing = ")" if last == y * self.size + self.size - 1 else " "
            lines.append(f"{self.size - y:2d}{text}{closing}{self.size - y}")
        return "\n".join([*lines, columns])
