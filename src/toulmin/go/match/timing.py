"""How long a move of a player takes here: what the time that a match will take is estimated from."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np

from toulmin.faults import FaultError
from toulmin.go.engine.games import Games
from toulmin.go.engine.rules import Rules
from toulmin.go.match.opening import draw_opening
from toulmin.go.players.player import FORFEIT
from toulmin.go.players.spec import PlayerSpec, make_player
from toulmin.studies import Cost, Run

_TOGETHER = 8  # games of which a player is asked at once, as it is in a match
_EXPENSIVE = 256  # visits of a move from which one game has to do


def seconds_of_move(
    spec: PlayerSpec, size: int, rules: Rules, locate: Callable[[str], str], device: str = "cpu"
) -> float | None:
    """Seconds of one move of a player in the middle of a game; None where it gives none (a program that fails).

    The first moves, which start programs and compile kernels, are not timed. ``locate`` finds networks.
    """
    count = 1 if spec.visits > _EXPENSIVE or spec.command else _TOGETHER
    games, generators = Games(count, size, rules), [np.random.default_rng((3, row)) for row in range(count)]
    try:
        player = make_player(spec, locate, 0, device)
    except FaultError:
        return None
    try:
        for row, generator in enumerate(generators):
            draw_opening(min(40, size * size // 4), size, rules, generator).begin(games, row)
        rows, seconds = np.arange(count), 0.0
        for _ in range(2):
            begun = time.perf_counter()
            choices = player.choose(games, rows, generators)
            seconds = time.perf_counter() - begun
            if any(choice.action == FORFEIT for choice in choices):
                return None
            games.play([choice.action if choice.action >= 0 else games.actions - 1 for choice in choices])
        return seconds / count
    except FaultError:
        return None
    finally:
        player.close()


def announce_time(
    run: Run,
    kind: str,
    pairings: Sequence[tuple[PlayerSpec, PlayerSpec]],
    games: int,
    size: int,
    rules: Rules,
    locate: Callable[[str], str],
) -> None:
    """Tell the run's progress how long ``games`` games of each pairing will take in one process.

    The moves of every player are timed, a program's as well; a game is taken to be of size² moves, half of them each
    player's. A player whose moves could not be timed is named as unknown.
    """
    specs = [spec for pair in pairings for spec in pair]
    if any(spec.nets for spec in specs):
        run.prepare_torch()
    timed: list[tuple[PlayerSpec, float | None]] = []
    total, unknown = 0.0, dict[str, None]()
    for spec in specs:
        key = spec.model_copy(update={"name": ""})  # of two players that differ in their names alone one is timed
        seconds = next((seconds for known, seconds in timed if known == key), -1.0)
        if seconds == -1.0:
            seconds = seconds_of_move(spec, size, rules, locate, run.device)
            timed.append((key, seconds))
        if seconds is None:
            unknown[spec.label] = None
        total += games * size * size / 2 * (seconds or 0.0)
    text = f"{kind}: {Cost(seconds=total)} of one process for the games, from timed moves of each player"
    run.progress.note(text + (f"; unknown: the moves of {', '.join(unknown)}, which come on top" if unknown else ""))
