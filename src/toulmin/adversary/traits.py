"""What an adversary's games show beside who won: estimates at the end, passes, captures.

A win is a *blind spot* where the loser still thought itself ahead at its own last move. Games between equals hold such
losses too, so the share stands beside the share in mirror games of the victim.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toulmin.go import BLACK, WHITE, GameRecord, Games, Rules, action_of

_COLOURS = {"b": BLACK, "w": WHITE}


@dataclass(frozen=True)
class GameTraits:
    """A game seen from one of its players, the attacker; all numbers are integers so that they are items.

    ``won`` and ``lost`` (neither: a draw or a void game); ``black``: it had Black; ``believed``: its opponent put its
    own chances above one half at its last estimate (-1 where it makes none); ``first_pass`` +1 the attacker, -1 its
    opponent, 0 nobody; ``capture`` the most stones it took with one move; ``opponent_passed_ahead``: the opponent
    passed first, in a position in which it put its chances above one half.
    """

    won: bool
    lost: bool
    black: bool
    believed: int
    first_pass: int
    capture: int
    opponent_passed_ahead: bool


def game_traits(record: GameRecord, attacker: str) -> GameTraits:
    """The traits of a game; ``attacker`` is the label of one of its players."""
    colour = BLACK if record.black == attacker else WHITE
    opponent = record.white if colour == BLACK else record.black
    winner = _COLOURS.get(record.winner(record.score_rules), 0)
    estimates = record.estimates.get(opponent, [])
    # the estimates are Black's chances; the opponent's own are the rest where it has White
    own = [None if chance is None else chance if colour == WHITE else 1 - chance for chance in estimates]
    known = [chance for chance in own if chance is not None]
    passes = [move for move, vertex in enumerate(record.moves) if vertex.lower() == "pass"]
    first = 0
    ahead = False
    if passes:
        by_black = record.mover(passes[0]) == "b"
        first = 1 if by_black == (colour == BLACK) else -1
        then = own[passes[0]] if first < 0 and passes[0] < len(own) else None
        ahead = then is not None and then > 0.5
    return GameTraits(
        won=winner == colour,
        lost=winner not in (0, colour),
        black=colour == BLACK,
        believed=-1 if not known else int(known[-1] > 0.5),
        first_pass=first,
        capture=largest_capture(record, colour),
        opponent_passed_ahead=ahead,
    )


def largest_capture(record: GameRecord, colour: int) -> int:
    """The most stones that ``colour`` took from its opponent with one move."""
    games = Games(1, record.size, Rules(**record.rules, komi=record.komi))
    stones = [[action_of(v, record.size) for v in side] for side in (record.black_stones, record.white_stones)]
    games.place(0, *stones, to_move=_COLOURS[record.first])
    most, before = 0, games.captures[0].copy()
    for number, vertex in enumerate(record.moves):
        mover = _COLOURS[record.mover(number)]
        games.play([action_of(vertex, record.size)])
        now = games.captures[0].copy()
        if mover == colour:
            most = max(most, int((now - before)[(WHITE if colour == BLACK else BLACK) - 1]))
        before = now
    return most


def lines(records: list[GameRecord]) -> set[tuple[str, ...]]:
    """The distinct beginnings of games: as many moves as a third of the board's points, rounded up.

    An adversary that has learnt one line by heart plays games that differ in the endgame only: many distinct games, one
    line.
    """
    return {record.moves[: -(-(record.size**2) // 3)] for record in records}


def as_columns(traits: list[GameTraits]) -> dict[str, np.ndarray]:
    """Items' columns, one a trait."""
    names = GameTraits.__dataclass_fields__
    return {name: np.array([int(getattr(one, name)) for one in traits], np.int64) for name in names}
