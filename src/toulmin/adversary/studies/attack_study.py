"""What the studies of attacks share: the games they play, the items these leave, and the measures of them.

An adversary plays every victim. It plays the first victim from random openings too: a victim that never varies can be
beaten by lines learnt by heart, which says little of its judgement. The first victim plays itself (the mirror, which
shows how often it loses without having seen it). Independent players play both, so that "it wins without being strong"
can be seen: an adversary that wins by exploitation loses to players that its victim beats.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from toulmin.evidence import Items, Measure, Table, wilson
from toulmin.go import Match, PlayerSpec
from toulmin.studies import Cost, Doubt, Input, MeasureSpec, Run, Study, Summary

if TYPE_CHECKING:
    from toulmin.go import GameRecord

Bools = NDArray[np.bool_]
ATTACK, OPENINGS, OTHERS = "attack", "attack, random openings", "independent"
MIRROR, VICTIM = "mirror", "victim's strength"
_OPENING = 2  # random moves: a deterministic player would play itself once, and an attack may know its lines by heart

MEASURES: Mapping[str, MeasureSpec] = {
    "win_rate": MeasureSpec(
        "proportion", "lower", "adversary's wins over distinct games against the first victim", 0.0, 1.0
    ),
    "win_rate_openings": MeasureSpec(
        "proportion",
        "lower",
        "the same from positions after random moves, which no line learnt by heart covers",
        0.0,
        1.0,
    ),
    "win_rate_black": MeasureSpec("proportion", "neither", "the same, of its games as Black", 0.0, 1.0),
    "win_rate_white": MeasureSpec("proportion", "neither", "the same, of its games as White", 0.0, 1.0),
    "blind_spot": MeasureSpec(
        "proportion",
        "neither",
        "of its wins, those in which the victim thought itself ahead at its last move",
        0.0,
        1.0,
    ),
    "blind_spot_mirror": MeasureSpec(
        "proportion", "neither", "the same of the lost games of the victim against itself", 0.0, 1.0
    ),
    "passed_ahead": MeasureSpec(
        "proportion", "neither", "of its wins, those in which the victim passed first, thinking itself ahead", 0.0, 1.0
    ),
    "adversary_passed_first": MeasureSpec("proportion", "neither", "of its games, those it passed first in", 0.0, 1.0),
    "largest_capture": MeasureSpec(
        "stones", "neither", "mean over its wins of the most stones it took with one move", 0.0
    ),
    "lines": MeasureSpec(
        "games",
        "neither",
        "distinct beginnings, a third of the board's points in moves, of its games against the first victim: "
        "games that differ later only are one line",
        0.0,
    ),
    "mirror_black": MeasureSpec("proportion", "neither", "Black's wins in mirror games of the victim", 0.0, 1.0),
}

ATTACK_DOUBTS = (
    Doubt(
        "attack_budget",
        "An attack that fails bounds what this attack could do with its budget; others may succeed.",
        "stronger attacks (more games, other learners, white box), or a claim limited to this budget",
    ),
    Doubt(
        "exploitation",
        "A win rate does not tell exploitation from plain strength.",
        "independent players that the victim beats and the adversary loses to, and a null attacker of equal compute",
    ),
)


class AttackStudy(Study):
    """Games of an adversary against frozen victims, beside the games that say what they mean.

    ``victims``: the first is the one that is attacked, the others (hardened, with more visits) show how far the attack
    carries. ``independents`` play the adversary and the first victim. ``games`` of each pairing, colours balanced, from
    ``opening_moves`` random moves, which follow the games of the SGF file ``positions`` in turn where that is given
    (:class:`toulmin.go.Match`). ``threat`` states what the attack knows of the victim.
    """

    doubts: ClassVar[tuple[Doubt, ...]] = ATTACK_DOUBTS

    size: Annotated[int, Field(ge=2, le=19)] = 7
    rules: str = "tromp-taylor"
    komi: float = 8.5
    victims: Annotated[tuple[PlayerSpec, ...], Field(min_length=1, max_length=32)]
    independents: Annotated[tuple[PlayerSpec, ...], Field(max_length=31)] = ()
    games: Annotated[int, Field(ge=2, le=100_000)] = 100
    opening_moves: Annotated[int, Field(ge=0, le=40)] = 0
    positions: str | None = None
    limit: Annotated[int, Field(ge=0, le=10_000)] = 0
    parallel: Annotated[int, Field(ge=1, le=1024)] = 64
    shown: Annotated[int, Field(ge=0, le=100)] = 2
    threat: str = "frozen victim; its moves and its network's outputs are seen; no gradients through it"
    attacks: Annotated[int, Field(ge=1)] = 1  #: of how many attacks this adversary is the best

    @field_validator("games")
    @classmethod
    def _even(cls, games: int) -> int:
        if games % 2:
            raise ValueError("an even number of games balances the colours")
        return games

    @model_validator(mode="after")
    def _labels_differ(self) -> AttackStudy:
        labels = [one.label for one in (*self.victims, *self.independents)]
        if repeated := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"two players are called {', '.join(repeated)}: give them names")
        return self

    @abstractmethod
    def adversary_spec(self) -> PlayerSpec:
        """The adversary as it plays."""

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """The measures of the class, and a win rate for each pairing."""
        named = dict(self.measures)
        for _, first, second in self._pairings():
            spec = MeasureSpec("proportion", "neither", f"wins of {first} against {second}, distinct games", 0.0, 1.0)
            named[f"win_rate:{first}:{second}"] = spec
        return named

    def inputs(self) -> tuple[Input, ...]:
        """The networks of the victims and the independent players, and the positions."""
        players = (*self.victims, *self.independents)
        nets = tuple(self.input(role, net) for one in players for role, net in one.net_roles())
        return nets if self.positions is None else (*nets, self.input("positions", self.positions))

    def rough_seconds(self) -> float:
        """Of the games' evaluations, at 1 ms each on 7x7."""
        pairs = self._paired_specs()
        visits = sum(one.visits for pair in pairs for one in pair)
        turns = self.games * self.size**2 / 2
        return 10 + turns * visits * 1e-3 * (self.size / 7) ** 2

    def cost(self) -> Cost | None:
        """Seconds of the games; None where a player is a program or an own network: their moves are timed first."""
        if any(one.is_foreign for pair in self._paired_specs() for one in pair):
            return None
        return Cost(seconds=self.rough_seconds(), bytes=512 << 20)

    def _paired_specs(self, adversary: PlayerSpec | None = None) -> list[tuple[PlayerSpec, PlayerSpec]]:
        """The players of every pairing, the adversary as it plays here."""
        mine, first = adversary or self.adversary_spec(), self.victims[0]
        against = (*self.victims, self._from_openings(), *self.independents)
        return [*((mine, one) for one in against), (first, self._twin()), *((first, one) for one in self.independents)]

    # -- games ------------------------------------------------------------------------------------------------------

    def _twin(self) -> PlayerSpec:
        first = self.victims[0]
        return first.model_copy(update={"name": f"{first.label} (mirror)"})

    def _from_openings(self) -> PlayerSpec:
        first = self.victims[0]
        return first.model_copy(update={"name": f"{first.label} (openings)"})

    def _pairings(self) -> list[tuple[str, str, str]]:
        """(group, first label, second label) of every pairing."""
        mine, victim = self.adversary_spec().label, self.victims[0].label
        found = [(ATTACK, mine, one.label) for one in self.victims]
        found.append((OPENINGS, mine, self._from_openings().label))
        found += [(OTHERS, mine, one.label) for one in self.independents]
        found.append((MIRROR, victim, self._twin().label))
        return found + [(VICTIM, victim, one.label) for one in self.independents]

    def play(self, run: Run, adversary: PlayerSpec) -> Items:
        """The games of all pairings, as items: records, traits from the first player's side, the pairing's number."""
        from toulmin.adversary.traits import as_columns, game_traits
        from toulmin.go import GameRecord

        shared = ("size", "rules", "komi", "positions", "games", "limit", "parallel", "shown")
        common: dict[str, Any] = {name: getattr(self, name) for name in shared}
        openings = max(self.opening_moves, _OPENING)
        matches = [
            Match(**common, players=(adversary, *self.victims), opening_moves=self.opening_moves),
            Match(**common, players=(adversary, self._from_openings(), *self.independents), opening_moves=openings),
            Match(**common, players=(self.victims[0], self._twin(), *self.independents), opening_moves=openings),
        ]
        if any(one.is_foreign for one in (adversary, *self.victims, *self.independents)):
            from toulmin.go import Rules, announce_time

            rules, pairs = Rules.parse(self.rules, komi=self.komi), self._paired_specs(adversary)
            announce_time(run, self.kind, pairs, self.games, self.size, rules, self._locate)
        units: list[str] = []
        records: list[GameRecord] = []
        pairing: list[int] = []
        clusters: list[str] = []
        base, traits = 0, []
        seen: set[tuple[int, tuple[str, ...]]] = set()
        for number, match in enumerate(matches):
            (run.workdir / f"match-{number}").mkdir(parents=True, exist_ok=True)
            items = match.at(self.resolver).play(replace(run, workdir=run.workdir / f"match-{number}"))
            first = match.players[0].label
            for unit, text, which, cluster in zip(
                items.units,
                items.columns["record"].tolist(),
                items.columns["pairing"].tolist(),
                items.clusters or [],
                strict=True,
            ):
                record = GameRecord.from_json(text)
                if (base + which, record.moves) in seen:  # a victim's game with itself, with the labels exchanged
                    continue
                seen.add((base + which, record.moves))
                units.append(unit)
                records.append(record)
                pairing.append(base + which)
                clusters.append(f"{number} {cluster} {which}" if match.opening_moves or match.positions else unit)
                traits.append(game_traits(record, first))
            base += len(match.pairings())
        sgf = run.workdir / "games.sgf"
        sgf.write_bytes(_sgf(records, pairing, self.shown))
        columns = {"record": np.array([one.to_json() for one in records]), "pairing": np.array(pairing)}
        return Items(
            units=units, columns={**columns, **as_columns(traits)}, clusters=clusters, files={"games.sgf": sgf}
        )

    def _locate(self, reference: str) -> str:
        return str(self.resolver.locate(reference))

    # -- measures ---------------------------------------------------------------------------------------------------

    def summary_of_games(self, items: Items) -> Summary:
        """The measures of the games, the table of pairings with the threat model, and games to replay."""
        groups = self._pairings()
        pairing, won = items.columns["pairing"], items.columns["won"] == 1
        names = [group for group, _, _ in groups]
        attack, from_openings = pairing == 0, pairing == names.index(OPENINGS)
        mirror = pairing == names.index(MIRROR)
        black, believed = items.columns["black"] == 1, items.columns["believed"] == 1
        lost_mirror = mirror & (items.columns["lost"] + items.columns["won"] > 0)
        # of a mirror game the loser may be either player; the traits speak of the second's belief only
        second_lost = lost_mirror & won
        wins = attack & won
        no_win = "the adversary won no game"
        black_won = np.where(black, won, items.columns["lost"] == 1)
        measures = {
            "win_rate": share(won, attack, "lower"),
            "win_rate_openings": share(won, from_openings, "lower"),
            "win_rate_black": share(won, attack & black),
            "win_rate_white": share(won, attack & ~black),
            "blind_spot": share(believed, wins, otherwise=no_win),
            "blind_spot_mirror": share(believed, second_lost, otherwise="no mirror game was decided this way"),
            "passed_ahead": share(items.columns["opponent_passed_ahead"] == 1, wins, otherwise=no_win),
            "adversary_passed_first": share(items.columns["first_pass"] == 1, attack),
            "largest_capture": _mean_capture(items.columns["capture"], wins),
            "lines": _line_count(items.columns["record"][attack].tolist()),
            "mirror_black": share(black_won, mirror),
        }
        rows: list[tuple[str | int | float | None, ...]] = []
        for number, (group, first, second) in enumerate(groups):
            mine = pairing == number
            measures[f"win_rate:{first}:{second}"] = share(won, mine)
            interval = wilson(int((won & mine).sum()), int(mine.sum()))
            rows.append(
                (
                    group,
                    first,
                    second,
                    int(mine.sum()),
                    int((won & mine).sum()),
                    int((items.columns["lost"][mine] == 1).sum()),
                    round(float(won[mine].mean()), 4),
                    round(interval.low, 4),
                    round(interval.high, 4),
                    self._passing(second),
                    self.komi,
                    self.rules,
                )
            )
        columns = (
            *("what", "first", "second", "distinct games", "wins", "losses", "win rate", "low", "high"),
            *("second's passing", "komi", "rules"),
        )
        caption = (
            f"Wins of the first over distinct games, score under the rules, Wilson 95%. Threat model: {self.threat}. "
            f"The adversary is the best of {self.attacks}."
        )
        from toulmin.adversary.studies.boards import attack_board

        board = attack_board(self.size, items, self.shown, groups)
        return Summary(
            measures=measures,
            tables=(Table(title="Pairings", columns=columns, rows=tuple(rows), caption=caption),),
            figures=() if board is None else (board,),
        )

    def _passing(self, label: str) -> str:
        players = {one.label: one for one in (*self.victims, *self.independents, self._twin(), self._from_openings())}
        return players[label].passing


def share(of: Bools, among: Bools, better: Literal["lower", "neither"] = "neither", otherwise: str = "") -> Measure:
    """Share of the games ``among`` that are ``of``, with Wilson's 95% interval; ``otherwise``: why there is none."""
    n = int(among.sum())
    fields: dict[str, Any] = {"unit": "proportion", "better": better, "n_of": "distinct games"}
    if n == 0:
        reason = otherwise or "there is no such game"
        return Measure(value=0.0, n=max(1, len(among)), no_interval=reason, **fields)
    count = int((of & among).sum())
    return Measure(value=count / n, n=n, interval=wilson(count, n), **fields)


def _mean_capture(capture: NDArray[np.int64], wins: Bools) -> Measure:
    from toulmin.evidence import mean_interval

    fields: dict[str, Any] = {"unit": "stones", "better": "neither", "n_of": "distinct games"}
    if not wins.any():
        return Measure(value=0.0, n=max(1, len(wins)), no_interval="the adversary won no game", **fields)
    values = capture[wins].astype(float)
    interval, reason = mean_interval(values, shares=False)
    return Measure(value=float(values.mean()), n=len(values), interval=interval, no_interval=reason, **fields)


def _line_count(records: Sequence[str]) -> Measure:
    from toulmin.adversary.traits import lines
    from toulmin.go import GameRecord

    fields: dict[str, Any] = {"unit": "games", "better": "neither", "n_of": "distinct games"}
    reason = "a property of these games, not an estimate"
    found = lines([GameRecord.from_json(text) for text in records])
    return Measure(value=len(found), n=max(1, len(records)), no_interval=reason, **fields)


def _sgf(records: Sequence[GameRecord], pairing: Sequence[int], shown: int) -> bytes:
    """All attack games, then the shown ones of the other pairings."""
    from toulmin.go import sgf_of

    kept: list[bytes] = []
    counts: dict[int, int] = {}
    for record, number in zip(records, pairing, strict=True):
        counts[number] = counts.get(number, 0) + 1
        if number == 0 or counts[number] <= shown:
            kept.append(sgf_of(record))
    return b"".join(kept)


def records_of(items: Items) -> list[GameRecord]:
    """The games of the items."""
    from toulmin.go import GameRecord

    return [GameRecord.from_json(text) for text in items.columns["record"].tolist()]


__all__ = ["ATTACK_DOUBTS", "MEASURES", "AttackStudy", "records_of", "share"]
