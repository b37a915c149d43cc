"""Playing the games of a match: many at once, in lockstep, each from its own opening with its own random numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from toulmin.go.engine.games import Games
from toulmin.go.engine.passing import without_suicide
from toulmin.go.engine.points import vertex_of
from toulmin.go.engine.rules import BLACK, Rules
from toulmin.go.match.game_record import Ending, GameRecord
from toulmin.go.players.player import FORFEIT, RESIGN, Choice, Player


@dataclass(frozen=True)
class Pairing:
    """A game to be played: the actions of its opening, and the seed of everything drawn in it."""

    black: Player
    white: Player
    opening: tuple[int, ...] = ()
    seed: tuple[int, ...] = (0,)
    visits: tuple[int, int] = (0, 0)
    passing: tuple[str, str] = ("standard", "standard")


@dataclass
class _GameLog:
    """The estimates, the ownership and the ending of a game while it is played."""

    pairing: Pairing
    generators: tuple[np.random.Generator, np.random.Generator]
    estimates: dict[str, dict[int, float]] = field(default_factory=dict)
    ownership: list[tuple[int, list[float]]] = field(default_factory=list)
    ending: Ending = "passes"
    decided: str = ""
    reason: str = ""

    def note(self, move: int, player: Player, colour: int, choice: Choice, every: int) -> None:
        if choice.black_wins is not None:
            twice = self.pairing.black.name == self.pairing.white.name
            name = f"{player.name} ({'Black' if colour == BLACK else 'White'})" if twice else player.name
            self.estimates.setdefault(name, {})[move] = round(min(max(choice.black_wins, 0.0), 1.0), 4)
        if every and choice.ownership is not None and move % every == 0:
            flat = np.clip(choice.ownership, -1, 1).ravel()
            self.ownership.append((move, [round(float(value), 2) for value in flat]))


def draw_opening(moves: int, size: int, rules: Rules, generator: np.random.Generator) -> list[int]:
    """``moves`` random legal moves (fewer where there are none left).

    Not suicide, and not on the first line of a board of 5 or more.
    """
    line = np.ones((size, size), bool)
    if size >= 5:
        line[1:-1, 1:-1] = False
    inner = np.append(~line.ravel() if size >= 5 else line.ravel(), False)
    games, actions = Games(1, size, rules), []
    while len(actions) < moves:
        open_ = np.flatnonzero(without_suicide(games, 0, games.legal()[0]) & inner)
        if not len(open_):
            break
        actions.append(int(generator.choice(open_)))
        games.play([actions[-1]])
    return actions


def draw_openings(count: int, moves: int, size: int, rules: Rules, seed: int) -> list[tuple[int, ...]]:
    """``count`` openings (:func:`draw_opening`), distinct as long as chance finds new ones.

    Opening i depends on the seed and on i, and on the earlier ones only where it would repeat one.
    """
    found: list[tuple[int, ...]] = []
    for index in range(count):
        actions: list[int] = []
        for attempt in range(50):
            actions = draw_opening(moves, size, rules, np.random.default_rng((seed, 7919, index, attempt)))
            if tuple(actions) not in found:
                break
        found.append(tuple(actions))
    return found


def play_games(
    pairings: Sequence[Pairing], size: int, rules: Rules, *, limit: int | None = None, ownership_every: int = 0
) -> list[GameRecord]:
    """Play every game to its end; records in the order of ``pairings``.

    Moves of one player in several games are asked for together. After ``limit`` moves (3 · size² by default) a game
    is scored as it stands. Every ``ownership_every`` moves the ownership that the player to move estimates is kept.

    :raises FaultError: an opening is illegal, or a program is not installed.
    """
    games = Games(len(pairings), size, rules, capacity=2 * size * size)
    limit = 3 * size * size if limit is None else limit
    logs = [
        _GameLog(pairing, (np.random.default_rng((*pairing.seed, 1)), np.random.default_rng((*pairing.seed, 2))))
        for pairing in pairings
    ]
    for step in range(max((len(p.opening) for p in pairings), default=0)):
        games.play([p.opening[step] if step < len(p.opening) else -1 for p in pairings])
    stopped = np.zeros(len(pairings), bool)
    while True:
        full = ~stopped & ~games.finished & (games.move_count >= limit)
        for row in np.flatnonzero(full):
            logs[row].ending, stopped[row] = "limit", True
        active = np.flatnonzero(~stopped & ~games.finished)
        if not len(active):
            break
        for row in _one_round(games, active, logs, ownership_every):
            stopped[row] = True
    scores, void = games.scores(), games.no_result
    return [_record(games, row, logs[row], rules, scores[row], bool(void[row])) for row in range(len(pairings))]


def _one_round(games: Games, active: np.ndarray, logs: list[_GameLog], every: int) -> list[int]:
    """One move in each active game; the rows whose games ended without one."""
    to_move, counts = games.to_move, games.move_count
    asked: dict[int, tuple[Player, list[int]]] = {}
    for row in active.tolist():
        pairing = logs[row].pairing
        player = pairing.black if to_move[row] == BLACK else pairing.white
        asked.setdefault(id(player), (player, []))[1].append(row)
    rows: list[int] = []
    actions: list[int] = []
    ended: list[int] = []
    for player, mine in asked.values():
        generators = [logs[row].generators[to_move[row] - 1] for row in mine]
        legal = games.legal(mine)
        choices = player.choose(games, np.array(mine), generators)
        for which, (row, choice) in enumerate(zip(mine, choices, strict=True)):
            log, colour = logs[row], int(to_move[row])
            log.note(int(counts[row]), player, colour, choice, every)
            legal_move = 0 <= choice.action < games.actions and bool(legal[which, choice.action])
            if legal_move:
                rows.append(row)
                actions.append(choice.action)
                continue
            ended.append(row)
            log.decided = "w" if colour == BLACK else "b"
            log.ending = "resignation" if choice.action == RESIGN else "forfeit"
            log.reason = choice.reason
            if choice.action not in (RESIGN, FORFEIT):
                known = 0 <= choice.action < games.actions
                name = vertex_of(choice.action, games.size) if known else str(choice.action)
                log.reason = f"illegal move {name}"
    if rows:
        games.play(actions, rows)
    return ended


def _record(games: Games, row: int, log: _GameLog, rules: Rules, scores: np.ndarray, void: bool) -> GameRecord:
    pairing = log.pairing
    moves = tuple(vertex_of(action, games.size) for _, action in games.history(row))
    described = rules.as_dict()
    komi = float(described.pop("komi"))
    return GameRecord(
        black=pairing.black.name,
        white=pairing.white.name,
        size=games.size,
        rules=described,
        komi=komi,
        moves=moves,
        opening=len(pairing.opening),
        ending="void" if void else log.ending,
        reason=log.reason,
        decided=log.decided,  # type: ignore[arg-type]
        score_area=-float(scores[0]) + 0.0,
        score_rules=-float(scores[1]) + 0.0,
        visits=pairing.visits,
        passing=pairing.passing,
        estimates={name: [noted.get(move) for move in range(len(moves) + 1)] for name, noted in log.estimates.items()},
        ownership=log.ownership,
    )


__all__ = ["Pairing", "draw_opening", "draw_openings", "play_games"]
