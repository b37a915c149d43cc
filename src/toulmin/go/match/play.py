"""Playing the games of a match: many at once, in lockstep, each from its own opening with its own random numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from toulmin.go.engine.games import Games
from toulmin.go.engine.points import vertex_of
from toulmin.go.engine.rules import BLACK, Rules
from toulmin.go.match.game_record import Ending, GameRecord
from toulmin.go.match.opening import Opening
from toulmin.go.players.player import FORFEIT, RESIGN, Choice, Player


@dataclass(frozen=True)
class Pairing:
    """A game to be played: its opening, and the seed of everything drawn in it."""

    black: Player
    white: Player
    opening: Opening = field(default_factory=Opening)
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
    decided: Literal["", "b", "w"] = ""
    reason: str = ""

    def note(self, move: int, player: Player, colour: int, choice: Choice, every: int) -> None:
        if choice.black_wins is not None:
            twice = self.pairing.black.name == self.pairing.white.name
            name = f"{player.name} ({'Black' if colour == BLACK else 'White'})" if twice else player.name
            self.estimates.setdefault(name, {})[move] = round(min(max(choice.black_wins, 0.0), 1.0), 4)
        if every and choice.ownership is not None and move % every == 0:
            flat = np.clip(choice.ownership, -1, 1).ravel()
            self.ownership.append((move, [round(float(value), 2) for value in flat]))


def play_games(
    pairings: Sequence[Pairing],
    size: int,
    rules: Rules,
    *,
    limit: int | None = None,
    ownership_every: int = 0,
    parallel: int | None = None,
) -> list[GameRecord]:
    """Play every game to its end; records in the order of ``pairings``.

    ``parallel`` games (all by default) are played in lockstep; a game that ends is replaced by the next at once. Moves
    of one player in several games are asked for together. After ``limit`` moves (3 · size² by default) a game is scored
    as it stands. Every ``ownership_every`` moves the ownership that the player to move estimates is kept.

    :raises FaultError: an opening is illegal, or a program is not installed.
    """
    slots = min(len(pairings), parallel or len(pairings))
    games = Games(slots, size, rules, capacity=2 * size * size)
    limit = 3 * size * size if limit is None else limit
    records: dict[int, GameRecord] = {}
    waiting = iter(range(len(pairings)))
    playing: dict[int, int] = {}  # the number of the game in each slot
    logs: dict[int, _GameLog] = {}
    free = list(range(slots))
    while True:
        for slot, number in zip(free, waiting):  # noqa: B905 - slots stay empty where no game waits
            pairing = pairings[number]
            playing[slot] = number
            seeds = (*pairing.seed, 1), (*pairing.seed, 2)
            logs[slot] = _GameLog(pairing, (np.random.default_rng(seeds[0]), np.random.default_rng(seeds[1])))
            pairing.opening.begin(games, slot)
        if not playing:
            return [records[number] for number in range(len(pairings))]
        full = games.move_count >= limit
        free = [slot for slot in sorted(playing) if full[slot] or games.finished[slot]]
        for slot in free:
            logs[slot].ending = logs[slot].ending if games.finished[slot] else "limit"
        if not free:
            free = sorted(_one_round(games, np.array(sorted(playing), np.int64), logs, ownership_every))
        if free:
            ended = games.take(free)
            scores, void = ended.scores(), ended.no_result
            for which, slot in enumerate(free):
                record = _record(ended, which, logs.pop(slot), rules, scores[which], bool(void[which]))
                records[playing.pop(slot)] = record


def _one_round(games: Games, active: np.ndarray, logs: Mapping[int, _GameLog], every: int) -> list[int]:
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
        opening=len(pairing.opening.moves),
        black_stones=tuple(vertex_of(action, games.size) for action in pairing.opening.black),
        white_stones=tuple(vertex_of(action, games.size) for action in pairing.opening.white),
        first="b" if pairing.opening.to_move == BLACK else "w",
        ending="void" if void else log.ending,
        reason=log.reason,
        decided=log.decided,
        score_area=-float(scores[0]) + 0.0,
        score_rules=-float(scores[1]) + 0.0,
        visits=pairing.visits,
        passing=pairing.passing,
        estimates={name: [noted.get(move) for move in range(len(moves) + 1)] for name, noted in log.estimates.items()},
        ownership=log.ownership,
    )


__all__ = ["Pairing", "play_games"]
