"""SGF files as a figure to replay: a ``Board``, with a network's evaluation of every position."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from toulmin.evidence import Board
from toulmin.evidence.figures import Game as BoardGame
from toulmin.evidence.figures import Move, Ownership
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.engine.game import Game
from toulmin.go.engine.games import Games
from toulmin.go.engine.rules import BLACK, WHITE
from toulmin.go.search.mcts import Evaluates
from toulmin.go.sgf import SgfGame, read_sgf, replay

_LETTERS: dict[int, Literal["b", "w"]] = {BLACK: "b", WHITE: "w"}
_BATCH = 64


def board_of_files(
    paths: Sequence[str | Path],
    *,
    net: str | None = None,
    ownership_every: int = 4,
    most: int = 50,
    device: str = "cpu",
) -> Board:
    """The games of some SGF files (at most ``most``, all on one size of board), with a net's estimates if one is given.

    :raises FaultError: a file that cannot be read, an illegal move (with file and number), several sizes, or no games.
    """
    faults: list[Fault] = []
    games: list[tuple[str, SgfGame]] = []
    for path in paths:
        try:
            found = read_sgf(path)
        except FaultError as error:
            faults += error.faults
            continue
        for number, game in enumerate(found):
            games.append((f"{Path(path).stem} {number + 1}" if len(found) > 1 else Path(path).stem, game))
    games = games[:most]
    sizes = sorted({game.size for _, game in games})
    if len(sizes) > 1:
        faults.append(Fault("go.replay", f"one page replays one size of board, here are {', '.join(map(str, sizes))}"))
    if not games and not faults:
        faults.append(Fault("go.replay", "there are no games"))
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    evaluator: Evaluates | None = None
    if net is not None:
        from toulmin.go.nets import Evaluator

        evaluator = Evaluator(net, device=device)
    names = _distinct([name for name, _ in games])
    drawn = [
        replay_figure(name, game, evaluator, Path(net).name if net else "", ownership_every)
        for name, (_, game) in zip(names, games, strict=True)
    ]
    return Board(title="Games", size=sizes[0], games=tuple(drawn))


def replay_figure(
    name: str, record: SgfGame, evaluator: Evaluates | None = None, label: str = "", ownership_every: int = 4
) -> BoardGame:
    """One game: its moves, both scores of its last position, and the evaluation before and after each move.

    :raises FaultError: the first illegal move.
    """
    game = replay(record)
    scores = game.scores()
    curve: tuple[float | None, ...] = ()
    owned: list[Ownership] = []
    if evaluator is not None:
        curve, owned = _evaluations(game, evaluator, ownership_every)
    black, white, _ = game.setup
    return BoardGame(
        name=name,
        black=record.headers.get("PB", "") or "Black",
        white=record.headers.get("PW", "") or "White",
        komi=float(game.games.komi[0]),
        rules=game.rules.compact(),
        result=record.result or game.result(),
        moves=tuple(_move(colour, action, game.size) for colour, action in game.moves),
        setup=tuple(_move(BLACK, a, game.size) for a in black) + tuple(_move(WHITE, a, game.size) for a in white),
        score_area=-scores.tromp_taylor + 0.0,
        score_pass_alive=-scores.pass_alive + 0.0,
        suicide=game.rules.suicide,
        win_estimates={label or "net": curve} if curve else {},
        ownership=tuple(owned),
    )


def _evaluations(game: Game, evaluator: Evaluates, every: int) -> tuple[tuple[float | None, ...], list[Ownership]]:
    """Black's chances before every move and after the last (by the score, once the game is over); ownership maps."""
    moves = game.moves
    positions = _positions(game)
    asked = np.flatnonzero(~positions.finished)
    curve: list[float | None] = [None] * (len(moves) + 1)
    owned: list[Ownership] = []
    for start in range(0, len(asked), _BATCH):
        rows = asked[start : start + _BATCH]
        found = evaluator.evaluate(positions, rows)
        black = positions.to_move[rows] == BLACK
        wins = np.where(black, found.win, found.loss) + 0.5 * found.no_result
        for which, row in enumerate(rows.tolist()):
            curve[row] = float(np.clip(wins[which], 0, 1))
            if row % every == 0:
                sign = 1.0 if black[which] else -1.0
                flat = np.clip(sign * found.ownership[which], -1, 1).ravel()
                owned.append(Ownership(move=row, values=tuple(round(float(value), 2) for value in flat)))
    if positions.finished[-1] and not positions.no_result[-1]:
        lead = float(-positions.scores()[-1, 1])
        curve[-1] = 0.5 if lead == 0 else float(lead > 0)
    return tuple(curve), owned


def _positions(game: Game) -> Games:
    """The position before every move, and the last one, as the rows of one batch."""
    moves = game.moves
    start = Game(game.size, game.rules, black=game.setup[0], white=game.setup[1], to_move=game.setup[2])
    positions = start.games.take([0] * (len(moves) + 1))
    for number, (colour, action) in enumerate(moves):
        positions.set_to_move(number, colour)
        positions.assign([number + 1], positions, [number])
        positions.play([action], [number + 1])
    return positions


def _move(colour: int, action: int, size: int) -> Move:
    if action == size * size:
        return Move(colour=_LETTERS[colour])
    row, column = divmod(action, size)
    return Move(colour=_LETTERS[colour], x=column, y=row)


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, a number added where one returns."""
    seen: dict[str, int] = {}
    found: list[str] = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
