"""The study ``adversary.defence``: what it costs to break a victim again after it was trained on its adversary's games.

For each of ``seeds`` training seeds it runs the rounds of :mod:`toulmin.adversary.defence`. Then every adversary of a
seed plays every victim of that seed, and each victim the ``independents``: the transfer matrix, and whether the defence
cost ordinary strength. An attack that does not break a victim within its updates counts with all its games, so that its
cost is a lower bound; ``broken_again`` says how often it did.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field, model_validator

from toulmin.adversary.settings import Attack
from toulmin.evidence import Chart, Items, Measure, Table, wilson
from toulmin.go import Match, PlayerSpec
from toulmin.studies import Cost, Doubt, Input, MeasureSpec, Run, Study, Summary, seed_measure

_GAMES = "training games of an attack until it wins half of its last games (all of them where it never does)"
_MEASURES = {
    "games_to_break": MeasureSpec("games", "higher", f"{_GAMES}, on the victim as it was", 0.0),
    "games_to_rebreak": MeasureSpec("games", "higher", f"{_GAMES}, on the victim of the last round", 0.0),
    "cost_ratio": MeasureSpec("ratio", "higher", "games_to_rebreak over games_to_break, of each seed", 0.0),
    "broken_again": MeasureSpec(
        "proportion", "lower", "attacks after a defence that won half of their games", 0.0, 1.0
    ),
    "defence_holds": MeasureSpec(
        "proportion", "higher", "games a defended victim did not lose to the adversary it trained against", 0.0, 1.0
    ),
}
_VICTIM: dict[str, Any] = {"kind": "net", "name": "raw", "net": "embedded:go-5x5", "search": {"visits": 1}}
_ATTACK: dict[str, Any] = {
    "size": 5,
    "stages": [{"victim": _VICTIM}],
    "start": "embedded:go-5x5",
    "learner": {"lr": 5e-4, "decisions": 512},
    "slots": 32,
    "window": 100,
    "updates": 40,
}


class AdversaryDefence(Study):
    """The cost of breaking a victim again after it learnt from the games that broke it.

    ``attack`` is repeated on the victim of each of ``rounds`` defences. A defence trains for at most
    ``defence_updates``, until the victim wins ``defence_stop_at`` of the last games. ``games`` of each pairing of the
    transfer matrix, from ``opening_moves`` random moves.
    """

    kind: ClassVar = "adversary.defence"
    version: ClassVar = 1
    measures: ClassVar = _MEASURES
    doubts: ClassVar[tuple[Doubt, ...]] = (
        Doubt(
            "fresh_attacks",
            "A defence that holds against these attacks may fall to others.",
            "other learners, longer attacks and other starts, each with its cost",
        ),
    )
    presets: ClassVar = {
        "tiny": {
            "attack": {
                "size": 3,
                "komi": 0.5,
                "stages": [{"victim": {**_VICTIM, "net": "embedded:go-5x5"}}],
                "shape": {"blocks": 1, "channels": 8},
                "learner": {"decisions": 40, "minibatch": 40},
                "slots": 4,
                "window": 10,
                "updates": 2,
            },
            "rounds": 1,
            "seeds": 1,
            "defence_updates": 1,
            "games": 4,
            "independents": [{"kind": "random"}],
        },
        "demo": {
            "attack": _ATTACK,
            "rounds": 2,
            "seeds": 2,
            "games": 40,
            "independents": [{"kind": "random"}, {"kind": "edge"}],
        },
        "full": {
            "attack": {**_ATTACK, "opening_moves": 2, "window": 200, "updates": 200},
            "rounds": 3,
            "seeds": 5,
            "defence_updates": 100,
            "games": 100,
            "independents": [{"kind": "random"}, {"kind": "edge"}, {"kind": "spiral"}],
        },
    }

    attack: Attack
    rounds: Annotated[int, Field(ge=1, le=20)] = 2
    seeds: Annotated[int, Field(ge=1, le=100)] = 2
    defence_updates: Annotated[int, Field(ge=1)] = 20
    defence_stop_at: Annotated[float, Field(gt=0, le=1)] = 0.9
    independents: Annotated[tuple[PlayerSpec, ...], Field(max_length=31)] = ()
    games: Annotated[int, Field(ge=2, le=100_000)] = 40
    opening_moves: Annotated[int, Field(ge=0, le=40)] = 2

    @model_validator(mode="after")
    def _has_a_network_to_defend(self) -> AdversaryDefence:
        if self.attack.victim.net is None:
            raise ValueError("a victim is defended by training its network: the attack's victim has none")
        if self.games % 2:
            raise ValueError("an even number of games balances the colours")
        labels = [one.label for one in self.independents]
        if len(set(labels)) < len(labels):
            raise ValueError("two independent players have one name: give them names")
        return self

    def inputs(self) -> tuple[Input, ...]:
        """All files of the attack and the networks of the independent players."""
        own = [self.input(f"attack, {number + 1}", net) for number, net in enumerate(self.attack.references())]
        return (*own, *(self.input(role, net) for one in self.independents for role, net in one.net_roles()))

    def cost(self) -> Cost:
        """7 ms a decision of a b6c96 on 7x7 for playing and learning, and the games of the matrix."""
        updates = self.attack.updates * (self.rounds + 1) + self.defence_updates * self.rounds
        decisions = updates * self.attack.learner.decisions
        pairings = (self.rounds + 1) * (self.rounds + 1 + len(self.independents))
        area = (self.attack.size / 7) ** 2
        seconds = self.seeds * area * (7e-3 * decisions + 2e-3 * pairings * self.games * self.attack.size**2)
        return Cost(seconds=seconds, bytes=1 << 30)

    def collect(self, run: Run) -> Items:
        """Run the rounds of every seed, then play the transfer matrices."""
        from toulmin.adversary.defence import Defence, defence_rounds

        device = run.prepare_torch()
        resolver = self.resolver
        defence = Defence(updates=self.defence_updates, stop_at=self.defence_stop_at, window=self.attack.window)
        columns: dict[str, list[int]] = {name: [] for name in ("seed", "round", "games", "broken", "defence_games")}
        units: list[str] = []
        matrix: list[dict[str, Any]] = []
        files: dict[str, Path] = {}
        for seed in run.track(range(run.seed, run.seed + self.seeds), "seeds", total=self.seeds):
            found = defence_rounds(
                self.attack,
                defence,
                self.rounds,
                run.workdir / f"seed-{seed}",
                lambda reference: str(resolver.locate(reference)),
                seed=seed,
                device=device,
                pool=run.pool,
            )
            for one in found:
                units.append(f"seed {seed}, round {one.number}")
                for name, value in zip(
                    columns, (seed, one.number, one.games, int(one.broken), one.defence_games), strict=True
                ):
                    columns[name].append(value)
                files[f"adversary-{seed}-{one.number}.bin.gz"] = one.adversary
                if one.number:
                    files[f"victim-{seed}-{one.number}.bin.gz"] = one.victim
            matrix += self._matrix(run, seed, [one.adversary for one in found], [one.victim for one in found])
        return Items(
            units=units,
            columns={name: np.array(values, np.int64) for name, values in columns.items()},
            metadata={"matrix": json.dumps(matrix)},
            files=files,
        )

    def _matrix(self, run: Run, seed: int, adversaries: list[Path], victims: list[Path]) -> list[dict[str, Any]]:
        """Games of all adversaries against all victims, and of all victims against the independent players."""
        from toulmin.go import GameRecord

        temperature = getattr(self.attack.learner, "temperature", 1.0)
        mine = [
            PlayerSpec.model_validate(
                {
                    "kind": "policy",
                    "name": f"adversary {number}",
                    "net": f"file:{path.resolve()}",
                    "search": {"temperature": {"early": temperature, "late": temperature}},
                }
            )
            for number, path in enumerate(adversaries)
        ]
        nets = [self.attack.victim.net, *(f"file:{path.resolve()}" for path in victims[1:])]
        theirs = [
            self.attack.victim.model_copy(update={"name": f"victim {number}", "net": net})
            for number, net in enumerate(nets)
        ]
        settings: dict[str, Any] = {
            "size": self.attack.size,
            "rules": self.attack.rules,
            "komi": self.attack.komi,
            "games": self.games,
            "opening_moves": self.opening_moves,
            "first": len(mine),
            "shown": 0,
        }
        matches = [Match(players=(*mine, *theirs), **settings)]
        if self.independents:
            matches.append(Match(players=(*theirs, *self.independents), **settings))
        found: list[dict[str, Any]] = []
        for number, match in enumerate(matches):
            folder = run.workdir / f"seed-{seed}" / f"match-{number}"
            folder.mkdir(parents=True, exist_ok=True)
            items = match.at(self.resolver).play(replace(run, workdir=folder, seed=seed))
            records = [GameRecord.from_json(text) for text in items["record"].tolist()]
            for which, (a, b) in enumerate(match.pairings()):
                first, second = match.players[a].label, match.players[b].label
                played = [record for record, at in zip(records, items["pairing"].tolist(), strict=True) if at == which]
                won = sum(record.won_by(first) for record in played)
                found.append({"seed": seed, "first": first, "second": second, "won": won, "games": len(played)})
        return found

    def summarise(self, items: Items) -> Summary:
        """Costs by round, the transfer matrix over all seeds, and the chart of costs."""
        columns = items.columns
        seeds = sorted(set(columns["seed"].tolist()))
        games = {
            seed: [int(n) for n in columns["games"][columns["seed"] == seed]] for seed in seeds
        }  # in the order of the rounds
        after = columns["round"] > 0
        matrix: list[dict[str, Any]] = json.loads(items.metadata["matrix"])
        broken, held = columns["broken"][after] == 1, _pooled(matrix, self.rounds)
        measures = {
            "games_to_break": seed_measure(_MEASURES["games_to_break"], [one[0] for one in games.values()]),
            "games_to_rebreak": seed_measure(_MEASURES["games_to_rebreak"], [one[-1] for one in games.values()]),
            "cost_ratio": seed_measure(_MEASURES["cost_ratio"], [one[-1] / max(1, one[0]) for one in games.values()]),
            "broken_again": _share(int(broken.sum()), len(broken), "lower", "attacks"),
            "defence_holds": _share(*held, "higher", "distinct games"),
        }
        rows = tuple(
            tuple(int(columns[name][at]) for name in ("seed", "round", "games", "broken", "defence_games"))
            for at in range(len(items.units))
        )
        caption = f"games: {_GAMES}; broken: 1 where it did; games of the defence that made the victim of the round."
        costs = Table(
            title="Cost to break",
            columns=("seed", "round", "games", "broken", "defence games"),
            rows=rows,
            caption=caption,
        )
        lines = {f"seed {seed}": (list(range(len(one))), one) for seed, one in games.items()}
        chart = Chart.curves(lines, title="Cost to break", x="defences before the attack", y="games", caption=caption)
        return Summary(measures=measures, tables=(costs, self._transfer(matrix)), figures=(chart,))

    def _transfer(self, matrix: list[dict[str, Any]]) -> Table:
        """Win rates of the first player, all seeds together, the scoring rule named."""
        pairs = list(dict.fromkeys((one["first"], one["second"]) for one in matrix))
        rows: list[tuple[str | int | float, ...]] = []
        for first, second in pairs:
            cells = [one for one in matrix if (one["first"], one["second"]) == (first, second)]
            won, played = sum(one["won"] for one in cells), sum(one["games"] for one in cells)
            interval = wilson(won, played)
            rate = round(won / played, 4)
            low, high = round(interval.low, 4), round(interval.high, 4)
            rows.append(
                (first, second, played, won, rate, low, high, f"{self.attack.rules}, komi {self.attack.komi:g}")
            )
        names = ("first", "second", "distinct games", "wins", "win rate", "low", "high", "score")
        caption = "Adversaries and victims by round, all seeds; Wilson 95% over distinct games."
        return Table(title="Transfer", columns=names, rows=tuple(rows), caption=caption)


def _pooled(matrix: list[dict[str, Any]], rounds: int) -> tuple[int, int]:
    """Games that defended victims did not lose to the adversary that they trained against, and all such games."""
    pairs = {(f"adversary {number - 1}", f"victim {number}") for number in range(1, rounds + 1)}
    cells = [one for one in matrix if (one["first"], one["second"]) in pairs]
    return sum(one["games"] - one["won"] for one in cells), sum(one["games"] for one in cells)


def _share(count: int, of: int, better: str, unit: str) -> Measure:
    fields: dict[str, Any] = {"unit": "proportion", "better": better, "n_of": unit}
    return Measure(value=count / of, n=of, interval=wilson(count, of), **fields)


__all__ = ["AdversaryDefence"]
