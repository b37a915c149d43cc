"""The study ``adversary.train``: an attack from its start to its games against the victim.

An adversary is trained, then plays the games of :mod:`toulmin.adversary.studies.attack_study`, at the temperature
it was trained at: at a low one it would play a deterministic victim the same few games again.
With ``null``, which only self-play goes without, a second network gets the same start and as many updates of ordinary
self-play, and plays the same victim: what it wins is strength that came with training, not exploitation. An attack on
boards of several sizes plays all of these games on one of them, and the victim on each of the others. The network is an
artefact of the record, so ``evidence:ID/adversary.bin.gz`` names it as a player's net. Training is kept in
``checkpoints`` where that is given: a run that was killed goes on there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from toulmin.adversary.settings import Attack, PpoSettings
from toulmin.adversary.studies.attack_study import MEASURES, AttackStudy, share
from toulmin.evidence import Chart, Items, Measure, Table
from toulmin.go import Match, PlayerSpec
from toulmin.studies import Cost, Input, MeasureSpec, Run, Summary

if TYPE_CHECKING:
    from toulmin.adversary.settings import BoardShare
    from toulmin.studies import Resolver

_MEASURES = {
    **MEASURES,
    "training_games": MeasureSpec("games", "higher", "games against victims until training ended", 0.0),
    "games_to_half": MeasureSpec(
        "games", "higher", "games until half of the last games were won (all of them where that never was)", 0.0
    ),
    "null_win_rate": MeasureSpec(
        "proportion", "neither", "wins of a network of equal start and compute that trained without a victim", 0.0, 1.0
    ),
}
_TRAITS = ("games", "evaluations", "decisions", "won", "played", "win_rate", "stage", "entropy", "kl", "value_loss")


_EMBEDDED: dict[str, Any] = {"kind": "net", "name": "raw", "net": "embedded:go-5x5", "search": {"visits": 1}}


class AdversaryTraining(AttackStudy):
    """Trains an adversary against a frozen victim and measures what it wins, and how.

    ``attack`` says what is trained; board, rules and komi are its own. The last of its ``stages`` is the first of
    ``victims``. ``temperature`` is the one the adversary plays at (from ``early`` to ``late``, KataGo's schedule).
    """

    kind: ClassVar = "adversary.train"
    version: ClassVar = 2
    measures: ClassVar = _MEASURES
    presets: ClassVar = {
        "tiny": {
            "attack": {
                "size": 3,
                "komi": 0.5,
                "stages": [{"victim": {"kind": "pass"}}],
                "shape": {"blocks": 1, "channels": 8},
                "learner": {"decisions": 64, "minibatch": 32},
                "slots": 8,
                "updates": 2,
            },
            "victims": [{"kind": "pass"}],
            "games": 8,
            "null": True,
        },
        "demo": {
            "attack": {
                "size": 5,
                "stages": [{"victim": _EMBEDDED}],
                "start": "embedded:go-5x5",
                "learner": {"lr": 5e-4},
                "updates": 40,
                "stop_at": 0.97,
            },
            "victims": [_EMBEDDED, {**_EMBEDDED, "name": "hardened", "passing": "avoid_pass_alive"}],
            "independents": [{"kind": "random"}, {"kind": "edge"}],
            "null": True,
        },
        "full": {
            "attack": {
                "size": 5,
                "stages": [{"victim": _EMBEDDED}],
                "shape": {"blocks": 6, "channels": 96},
                "updates": 400,
            },
            "victims": [_EMBEDDED, {**_EMBEDDED, "name": "hardened", "passing": "avoid_pass_alive"}],
            "independents": [{"kind": "random"}, {"kind": "edge"}],
            "games": 200,
            "null": True,
        },
    }

    attack: Attack
    null: bool = True
    temperature: tuple[float, float] = (1.0, 1.0)
    checkpoints: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _board_of_the_attack(cls, data: Any) -> Any:
        """Board, rules and komi come from the attack; saying them twice differently is a fault."""
        if not isinstance(data, dict) or "attack" not in data:
            return data
        given: Any = data["attack"]
        attack = given if isinstance(given, Attack) else Attack.model_validate(given)
        fields = {"size": attack.size, "rules": attack.rules, "komi": attack.komi}
        differ = [name for name, value in fields.items() if data.get(name, value) != value]
        if differ:
            raise ValueError(f"{', '.join(differ)} are not those of the attack")
        return {**data, **fields, "attack": attack}

    @model_validator(mode="after")
    def _attacks_the_first_victim(self) -> AdversaryTraining:
        if self.victims[0] != self.attack.victim:
            raise ValueError("the first of the victims is the one of the attack's last stage")
        return self

    def measure_specs(self) -> Mapping[str, MeasureSpec]:
        """Those of the games, and the win rate on every other size of board of the attack."""
        named = dict(super().measure_specs())
        for board in self._other_boards():
            text = f"adversary's wins over distinct games against the first victim on {board.size}x{board.size}"
            named[f"win_rate:{board.size}x{board.size}"] = MeasureSpec("proportion", "lower", text, 0.0, 1.0)
        return named

    @property
    def _has_null(self) -> bool:
        """The null attacker of self-play would be self-play again."""
        return self.null and self.attack.opponent == "victim"

    def _other_boards(self) -> list[BoardShare]:
        return [one for one in self.attack.sizes if one.size != self.size]

    def _player(self, name: str, net: str) -> PlayerSpec:
        early, late = self.temperature
        search = {"visits": 1, "temperature": {"early": early, "late": late}}
        return PlayerSpec.model_validate({"kind": "policy", "name": name, "net": net, "search": search})

    def adversary_spec(self) -> PlayerSpec:
        """The trained network as a player; its file is known once it is trained."""
        return self._player("adversary", "file:adversary.bin.gz")

    def inputs(self) -> tuple[Input, ...]:
        """The networks of the victims, the stages and the start, and the positions."""
        start = () if self.attack.start is None else (self.input("start", self.attack.start),)
        stages = tuple(
            self.input(f"{'model' if at else 'net'} of stage {number + 1}", net)
            for number, stage in enumerate(self.attack.stages[:-1])
            for at, net in enumerate(stage.victim.nets)
        )
        positions = () if self.attack.positions is None else (self.input("training positions", self.attack.positions),)
        return (*start, *stages, *positions, *super().inputs())

    def cost(self) -> Cost:
        """The games, and 7 ms a decision of a b6c96 on 7x7 for playing and learning."""
        attack = self.attack
        decisions = attack.updates * attack.learner.decisions * (1 + self._has_null)
        size = (attack.size / 7) ** 2
        return Cost(seconds=self.rough_seconds() + 7e-3 * decisions * size, bytes=1 << 30)

    def collect(self, run: Run) -> Items:
        """Train, then play."""
        from toulmin.adversary.studies.live import LiveCurve
        from toulmin.adversary.training import train_adversary
        from toulmin.go import read_network

        device = run.prepare_torch()
        base = run.workdir if self.checkpoints is None else Path(self.checkpoints)
        resolver: Resolver = self.resolver

        def locate(reference: str) -> str:
            return str(resolver.locate(reference))

        plans = [("adversary", self.attack)] + ([("null", self.attack.null())] if self._has_null else [])
        curves: dict[str, list[dict[str, float]]] = {}
        items: list[Items] = []
        for name, attack in plans:
            with run.progress.task(f"{name}: updates", attack.updates) as advance:
                trained = train_adversary(
                    attack,
                    base / f"{name}-{run.seed}",
                    locate,
                    seed=run.seed,
                    device=device,
                    callbacks=[LiveCurve(name, attack, run.progress, advance)],
                    pool=run.pool,
                )
            curves[name] = [
                {key: value for key, value in row.items() if key in _TRAITS or key.startswith(("won_", "played_"))}
                for row in trained.curve
            ]
            player = self._player(name, f"file:{trained.network.resolve()}")
            folder = run.workdir / name
            folder.mkdir(exist_ok=True)
            study = self if name == "adversary" else self.model_copy(update={"independents": (), "shown": 0})
            items.append(study.at(resolver).play(replace(run, workdir=folder), player))
            files = {**items[0].files, f"{name}.bin.gz": trained.network}
            items[0] = replace(items[0], files=files)
        arrays: dict[str, Any] = {}
        for board in self._other_boards():
            arrays[f"won_{board.size}"] = self._won_on(
                board, run, f"file:{items[0].files['adversary.bin.gz'].resolve()}"
            )
        if self._has_null:
            arrays["null_won"] = items[1].columns["won"][items[1].columns["pairing"] == 0]
        operations = read_network(items[0].files["adversary.bin.gz"]).operations(self.size)
        return replace(items[0], arrays=arrays, metadata={"curves": curves, "operations": operations})

    def _won_on(self, board: BoardShare, run: Run, net: str) -> NDArray[np.int64]:
        """Of each distinct game against the victim on another size of board, whether the adversary won it."""
        from toulmin.go import GameRecord

        players = (self._player("adversary", net), self.victims[0])
        fields: dict[str, Any] = {
            "size": board.size,
            "komi": board.komi,
            "rules": self.rules,
            "parallel": self.parallel,
        }
        match = Match(**fields, players=players, games=self.games, opening_moves=self.opening_moves, shown=0)
        folder = run.workdir / f"board-{board.size}"
        folder.mkdir(exist_ok=True)
        items = match.at(self.resolver).play(replace(run, workdir=folder))
        records = [GameRecord.from_json(text) for text in items.columns["record"].tolist()]
        return np.array([int(record.won_by("adversary")) for record in records], np.int64)

    def summarise(self, items: Items) -> Summary:
        """The measures of the games, the curve, and the budget."""
        found = self.summary_of_games(items)
        curves: dict[str, list[dict[str, float]]] = items.metadata["curves"]
        rows = curves["adversary"]
        games = int(rows[-1]["games"]) if rows else 0
        half = next((int(row["games"]) for row in rows if row["games"] >= 100 and row["win_rate"] >= 0.5), games)
        once = {"unit": "games", "better": "higher", "n_of": "runs", "n": 1, "no_interval": "one run; seeds tell more"}
        won = items.arrays.get("null_won")
        if won is None:
            spec: dict[str, Any] = {"unit": "proportion", "n_of": "distinct games", "n": 1}
            null = Measure(value=0.0, no_interval="no null attacker was trained", **spec)
        else:
            null = share(won == 1, np.ones(len(won), np.bool_))
        measures = {
            **found.measures,
            "training_games": Measure(value=games, **once),
            "games_to_half": Measure(value=half, **once),
            "null_win_rate": null,
        }
        for board in self._other_boards():
            beaten = items.arrays[f"won_{board.size}"] == 1
            rate = share(beaten, np.ones(len(beaten), np.bool_), "lower")
            measures[f"win_rate:{board.size}x{board.size}"] = rate
        lines = {
            name: ([row["games"] for row in curve], [row["won"] / row["played"] for row in curve])
            for name, curve in curves.items()
            if curve
        }
        chart = Chart.curves(
            lines,
            title="Training",
            x="games",
            y="win rate in training",
            caption="Of the games of each update. The null attacker plays itself: one half is no strength.",
        )
        tables = (*found.tables, self._budget(curves, items.metadata["operations"]))
        if self.attack.sizes:
            tables = (*tables, self._by_size(rows, measures))
        return Summary(measures=measures, tables=tables, figures=(chart, *found.figures) if lines else found.figures)

    def _budget(self, curves: dict[str, list[dict[str, float]]], operations: int) -> Table:
        attack = self.attack
        start = "random weights" if attack.start is None else attack.start
        rows = tuple(
            (
                name,
                attack.learner.method,
                start,
                len(curve),
                int(curve[-1]["games"]) if curve else 0,
                int(sum(row["decisions"] for row in curve)),
                int(curve[-1]["evaluations"]) if curve else 0,
                float(f"{operations * self._positions(curve):.3g}"),
                self.attacks,
            )
            for name, curve in curves.items()
        )
        columns = (
            "network",
            "learner",
            "start",
            "updates",
            "games",
            "decisions",
            "own evaluations",
            "FLOPs",
            "best of",
        )
        caption = (
            "What the attack cost; its failure would bound only this. FLOPs of its own network, on the board of the "
            "result: its evaluations, and three times as many for a position that it learnt from (all epochs); the "
            f"victim's are not in it. Threat model: {self.threat}. "
        ) + ("The start is the victim's own weights: white-box initialisation. " if self._white_box() else "")
        return Table(title="Budget", columns=columns, rows=rows, caption=caption.strip())

    def _positions(self, curve: list[dict[str, float]]) -> float:
        """Evaluations, and three for each position that was learnt from: forwards and backwards."""
        if not curve:
            return 0.0
        learner = self.attack.learner
        if isinstance(learner, PpoSettings):
            learnt = learner.epochs * sum(row["decisions"] for row in curve)
        else:
            learnt = learner.minibatches * learner.minibatch * len(curve)
        return curve[-1]["evaluations"] + 3 * learnt

    def _by_size(self, curve: list[dict[str, float]], measures: Mapping[str, Measure]) -> Table:
        """The win rate on every size of board, in training and against the victim."""
        rows: list[tuple[str | int | float | None, ...]] = []
        for board in self.attack.sizes:
            at = f"{board.size}x{board.size}"
            played, won = (int(sum(row[f"{of}_{board.size}"] for row in curve)) for of in ("played", "won"))
            rate = measures["win_rate" if board.size == self.size else f"win_rate:{at}"]
            bounds = (None, None) if rate.interval is None else (rate.interval.low, rate.interval.high)
            low, high = (None if one is None else round(one, 4) for one in bounds)
            rows.append((at, board.komi, board.share, played, won, rate.n, round(rate.value, 4), low, high))
        columns = ("board", "komi", "share", "training games", "won", "distinct games", "win rate", "low", "high")
        caption = "Shares in proportion; games against the first victim after training; Wilson 95%."
        return Table(title="By size of board", columns=columns, rows=tuple(rows), caption=caption)

    def _white_box(self) -> bool:
        return self.attack.start is not None and self.attack.start in {one.net for one in self.victims}
