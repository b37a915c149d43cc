"""The study ``go.match``: players against one another, with balanced colours and varied openings.

Every pairing of players plays ``games`` games. Game 2i and 2i + 1 of a pairing start from opening i with colours
exchanged. Games are played ``parallel`` at a time; each such group is one shard, which leaves one file, so a run
that is killed loses the running groups and resumes to the same bytes. A win rate is over *distinct* games (players by
colour, rules and moves): deterministic players repeat themselves, and a repetition says nothing new. Games from one
opening are one observation: n counts openings, and intervals resample them. Draws, void games
and forfeits of the opponent are counted in the table; a win is a win on the score under the rules, by resignation or by
forfeit.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from toulmin.evidence import Items, Measure, mean_interval
from toulmin.faults import FaultError
from toulmin.go.engine.rules import Rules
from toulmin.go.match.game_record import GameRecord
from toulmin.go.players.kinds import HARD_CODED
from toulmin.go.players.spec import PlayerSpec
from toulmin.studies import Cost, Doubt, Input, MeasureSpec, Run, Study, Summary

_RATE = "wins over distinct games"


class Match(Study):
    """Who beats whom, and how surely.

    ``rules`` is a name or KataGo's compact form (:meth:`toulmin.go.Rules.parse`), ``komi`` points for White.
    ``schedule``: each of the ``first`` players against each of the rest, or everybody against everybody. Each game
    starts with ``opening_moves`` random moves; with ``positions``, the reference of an SGF file, they follow its games
    in turn (set-up stones, the side to move, moves). ``limit`` is the number of moves after which a game is scored as
    it stands (0: three times the area). ``shown`` games of each pairing are kept for replay, with the ownership every
    ``ownership_every`` moves.
    """

    kind: ClassVar[str] = "go.match"
    version: ClassVar[int] = 2
    measures: ClassVar[Mapping[str, MeasureSpec]] = {
        "win_rate": MeasureSpec(
            "proportion", "higher", f"{_RATE} of the first player, score under the rules", 0.0, 1.0
        ),
        "win_rate_area": MeasureSpec(
            "proportion", "higher", f"{_RATE} of the first player, Tromp-Taylor score", 0.0, 1.0
        ),
        "forfeits": MeasureSpec(
            "proportion", "lower", "distinct games that ended by forfeit, of either player", 0.0, 1.0
        ),
        "distinct": MeasureSpec("proportion", "higher", "distinct games over games played", 0.0, 1.0),
    }
    presets: ClassVar = {
        "tiny": {"size": 5, "komi": 0.5, "players": [{"kind": "random"}, {"kind": "pass"}], "games": 6},
        "demo": {
            "size": 5,
            "komi": 4.5,
            "players": [
                {"kind": "rollouts", "playouts": 4, "search": {"visits": 32}},
                {"kind": "mirror"},
                {"kind": "edge"},
            ],
            "games": 24,
            "parallel": 12,
            "shown": 2,
        },
        "full": {
            "size": 9,
            "komi": 7.5,
            "players": [
                {"kind": "rollouts", "search": {"visits": 200}},
                *({"kind": kind} for kind in HARD_CODED),
            ],
            "games": 100,
            "shown": 2,
        },
    }
    doubts: ClassVar = (
        Doubt(
            "opponents",
            "Strength against ordinary opponents does not bound what an adversary trained against it does.",
            "an adversarial attack against the same frozen player, or a claim limited to this pairing",
        ),
    )

    size: Annotated[int, Field(ge=2, le=19)] = 9
    rules: str = "tromp-taylor"
    komi: float = 7.5
    players: Annotated[tuple[PlayerSpec, ...], Field(min_length=2, max_length=64)]
    schedule: Literal["first_against_rest", "round_robin"] = "first_against_rest"
    first: Annotated[int, Field(ge=1)] = 1
    games: Annotated[int, Field(ge=2, le=100_000)] = 20
    opening_moves: Annotated[int, Field(ge=0, le=40)] = 2
    positions: str | None = None
    limit: Annotated[int, Field(ge=0, le=10_000)] = 0
    parallel: Annotated[int, Field(ge=1, le=1024)] = 8
    shown: Annotated[int, Field(ge=0, le=100)] = 2
    ownership_every: Annotated[int, Field(ge=1, le=400)] = 8

    @field_validator("games")
    @classmethod
    def _even(cls, games: int) -> int:
        if games % 2:
            raise ValueError("an even number of games balances the colours")
        return games

    @model_validator(mode="after")
    def _check(self) -> Match:
        repeated = [label for label, count in Counter(p.label for p in self.players).items() if count > 1]
        if repeated:
            raise ValueError(f"two players are called {', '.join(repeated)}: give them names")
        if self.first >= len(self.players):
            raise ValueError(f"there is no player left to play against the first {self.first}")
        try:
            self.parsed_rules()
        except FaultError as faulty:
            raise ValueError("; ".join(fault.message for fault in faulty.faults)) from None
        return self

    def parsed_rules(self) -> Rules:
        """The rules with their komi."""
        return Rules.parse(self.rules, komi=self.komi)

    def pairings(self) -> list[tuple[int, int]]:
        """The pairs of players, by number, in the order in which they play."""
        pairs = itertools.combinations(range(len(self.players)), 2)
        return [(a, b) for a, b in pairs if self.schedule == "round_robin" or a < self.first <= b]

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """The measures of the class, and one win rate for each pairing."""
        named = dict(self.measures)
        for first, second in self.pairings():
            a, b = self.players[first].label, self.players[second].label
            named[f"win_rate:{a}:{b}"] = MeasureSpec("proportion", "neither", f"{_RATE} of {a} against {b}", 0.0, 1.0)
        return named

    def inputs(self) -> tuple[Input, ...]:
        """The nets, one for each player that has one, and the positions."""
        nets = tuple(self.input(role, net) for p in self.players for role, net in p.net_roles())
        return nets if self.positions is None else (*nets, self.input("positions", self.positions))

    def cost(self) -> Cost | None:
        """Seconds from the evaluations, at the rates of one core: 2 ms a net, 0.2 ms a random playout on 9x9.

        None where a player is a program or a network of any other size: :meth:`collect` then times their moves.
        """
        if any(player.is_foreign for player in self.players):
            return None
        turns = self.games * self.size**2 / 2
        seconds = 0.0
        for number, player in enumerate(self.players):
            each = {"net": 0.004, "policy": 0.004, "rollouts": 2e-4 * player.playouts}.get(player.kind, 2e-4)
            pairings = sum(number in pair for pair in self.pairings())
            seconds += pairings * turns * each * max(player.visits, 1) * (self.size / 9) ** 2
        return Cost(seconds=seconds, bytes=512 << 20)

    def collect(self, run: Run) -> Items:
        """Play what has not been played yet; one item for each distinct game."""
        if self.cost() is None:
            from toulmin.go.match.timing import announce_time

            pairs = [(self.players[a], self.players[b]) for a, b in self.pairings()]
            announce_time(run, self.kind, pairs, self.games, self.size, self.parsed_rules(), self._locate)
        return self.play(run)

    def _locate(self, reference: str) -> str:
        return str(self.resolver.locate(reference))

    def play(self, run: Run) -> Items:
        """As :meth:`collect`, for a study of several matches that has said itself how long they will take."""
        from toulmin.go.match.shards import distinct_games, play_shard, shards_of

        shards = shards_of(self, run)
        missing = [shard for shard in shards if not shard.done()]
        for _ in run.track(run.pool.map(play_shard, missing), "games", total=len(missing)):
            pass
        return distinct_games(self, shards, run.workdir)

    def summarise(self, items: Items) -> Summary:
        """Win rates, the tables of pairings and of games, and the games to replay."""
        from toulmin.go.match.figures import board_of, games_table, pairings_table, visits_chart

        games = [GameRecord.from_json(text) for text in items["record"].tolist()]
        pairing, times = items["pairing"], items["times"]
        measures: dict[str, Measure] = {}
        first = self.players[0].label
        labels = np.array(items.units if items.clusters is None else items.clusters)
        of_first = [first in (game.black, game.white) for game in games]
        measures["win_rate"] = win_rate(games, first, labels, of_first)
        measures["win_rate_area"] = win_rate(games, first, labels, of_first, area=True)
        forfeits = [game.ending == "forfeit" for game in games]
        measures["forfeits"] = _proportion(forfeits, labels, "lower")
        played = int(np.sum(times))
        measures["distinct"] = Measure(
            value=len(games) / played,
            unit="proportion",
            better="higher",
            n=played,
            n_of="games",
            no_interval="a property of these games, not an estimate",
        )
        by_pairing: list[list[GameRecord]] = []
        for number, (a, b) in enumerate(self.pairings()):
            mine = [game for game, which in zip(games, pairing.tolist(), strict=True) if which == number]
            by_pairing.append(mine)
            label = self.players[a].label
            rate = win_rate(games, label, labels, [which == number for which in pairing.tolist()])
            measures[f"win_rate:{label}:{self.players[b].label}"] = rate.model_copy(update={"better": "neither"})
        chart = visits_chart(self, by_pairing)
        board = board_of(self, by_pairing)
        return Summary(
            measures=measures,
            tables=(pairings_table(self, by_pairing, pairing, times), games_table(games, times)),
            figures=tuple(figure for figure in (chart, board) if figure is not None),
        )


def win_rate(
    games: Sequence[GameRecord],
    label: str,
    openings: Sequence[str] | NDArray[np.str_],
    among: Sequence[bool] | None = None,
    *,
    area: bool = False,
) -> Measure:
    """Wins of ``label`` over distinct games, n the number of their openings; draws and void games are not wins.

    :param openings: the opening of each game; its interval resamples these (:func:`toulmin.evidence.mean_interval`).
    :param among: which of the games count; all of them by default.
    :param area: by the Tromp-Taylor score instead of that under the rules.
    """
    chosen = [index for index in range(len(games)) if among is None or among[index]]
    won = [games[index].won_by(label, games[index].score_area if area else None) for index in chosen]
    return _proportion(won, np.asarray(openings)[chosen], "higher")


def _proportion(values: Sequence[bool], openings: NDArray[np.str_], better: Literal["higher", "lower"]) -> Measure:
    held = np.array(values, dtype=np.float64)
    interval, reason = mean_interval(held, clusters=openings)
    return Measure(
        value=float(held.mean()),
        unit="proportion",
        better=better,
        n=len(set(openings.tolist())),
        n_of="openings",
        interval=interval,
        no_interval=reason,
    )


__all__ = ["Match", "win_rate"]
