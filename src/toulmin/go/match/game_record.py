"""One finished game as plain data: everything that is recorded of it, and its identity. No tensors, no numba."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from toulmin.faults import ExitCode, Fault, FaultError

Ending = Literal["passes", "limit", "resignation", "forfeit", "void"]
"""Two passes; the limit on moves (scored as it stands); a resignation; a player that could not go on; a long cycle."""


@dataclass(frozen=True)
class GameRecord:
    """A game between ``black`` and ``white``, named by their labels.

    ``moves`` are vertices, ``first`` playing the first of them and the first ``opening`` given and not chosen;
    ``black_stones`` and ``white_stones`` were set up before them; ``rules`` as a JSON object without its komi.
    ``score_area`` (Tromp-Taylor) and ``score_rules`` (pass-alive-aware, under the rules) are Black minus White, komi
    included, of the last position whatever the ending. ``decided`` is the winner where the score did not decide
    (resignation, forfeit): "b" or "w". ``visits`` and ``passing`` are those of Black and of White. ``estimates`` holds,
    for each player that evaluates, the probability that Black wins before each move (None where it did not) and after
    the last; ``ownership`` pairs a number of moves with the estimate (+1 Black), by rows.
    """

    black: str
    white: str
    size: int
    rules: dict[str, Any]
    komi: float
    moves: tuple[str, ...]
    opening: int
    ending: Ending
    reason: str
    decided: Literal["", "b", "w"]
    score_area: float
    score_rules: float
    visits: tuple[int, int]
    passing: tuple[str, str]
    estimates: dict[str, list[float | None]] = field(default_factory=dict)
    ownership: list[tuple[int, list[float]]] = field(default_factory=list)
    black_stones: tuple[str, ...] = ()
    white_stones: tuple[str, ...] = ()
    first: Literal["b", "w"] = "b"

    @property
    def digest(self) -> str:
        """What makes two games the same game: players by colour, board, rules, komi, moves, and who could not go on."""
        same = (self.black, self.white, self.size, self.rules, self.komi, self.moves, self.ending, self.decided)
        if self.black_stones or self.white_stones or self.first != "b":
            same = (*same, self.black_stones, self.white_stones, self.first)
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:16]

    def mover(self, number: int) -> Literal["b", "w"]:
        """Who made the move of that number, counted from 0."""
        return self.first if number % 2 == 0 else "w" if self.first == "b" else "b"

    @property
    def given(self) -> str:
        """The stones set up and the moves given, as text: equal for games from one opening."""
        return " ".join((*self.black_stones, "/", *self.white_stones, "/", self.first, *self.moves[: self.opening]))

    def winner(self, score: float) -> Literal["b", "w", "draw", "void"]:
        """Who won, counting by ``score`` (one of the two of this game)."""
        if self.decided:
            return self.decided
        if self.ending == "void":
            return "void"
        return "draw" if score == 0 else "b" if score > 0 else "w"

    def won_by(self, label: str, score: float | None = None) -> bool:
        """Whether the player of that label won, counting by ``score`` (by default that under the rules)."""
        return self.winner(self.score_rules if score is None else score) == ("b" if self.black == label else "w")

    @property
    def result(self) -> str:
        """The result under the rules, as an SGF says it: ``B+3.5``, ``W+R``, ``W+F``, ``0``, ``Void``."""
        won = self.winner(self.score_rules)
        if won == "void":
            return "Void"
        if won == "draw":
            return "0"
        if self.decided:
            return f"{won.upper()}+{'R' if self.ending == 'resignation' else 'F'}"
        return f"{won.upper()}+{abs(self.score_rules):g}"

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> GameRecord:
        """The record of one line.

        :raises FaultError: ``go.record``.
        """
        try:
            data = json.loads(text)
            known = {f.name for f in fields(cls)}
            if not known - {"black_stones", "white_stones", "first"} <= set(data) <= known:  # older games lack these
                raise ValueError("its fields are not those of a game")
            for name in ("moves", "visits", "passing", "black_stones", "white_stones"):
                data[name] = tuple(data.get(name, ()))
            data["ownership"] = [(int(move), values) for move, values in data["ownership"]]
            return cls(**data)
        except (ValueError, TypeError, KeyError) as error:
            raise FaultError(Fault("go.record", f"not the record of a game: {error}"), ExitCode.EVIDENCE) from None
