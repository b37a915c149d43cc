"""The study ``adversary.imitate``: a network trained on the moves of recorded adversaries, as the start of an attack.

Its record holds the network (``evidence:ID/imitation.bin.gz``, the ``start`` of an attack) and how often it plays the
adversary's move in games held out, beside the victim's own policy there, which is what imitation has to beat.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from toulmin.adversary.recorded import members_of, read_all
from toulmin.adversary.settings import Imitation, NetworkShape
from toulmin.evidence import Items, Table
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import Cost, Doubt, Input, MeasureSpec, Run, Study, Summary

_SHARE = "mean over held-out games of the share of the adversary's moves that are the"
_PLAYED = 361 * 22 * 4 * 2  # bytes of an input on 19x19, and as many for what is made of it
_EMBEDDED: dict[str, Any] = {
    **{"games": "embedded:go-5x5", "victim": "embedded:go-5x5", "start": "embedded:go-5x5"},
    **{"adversary": "Attacker", "won_only": False, "held_out": 0.5},
}


class AdversaryImitation(Study):
    """How well a network learns the moves of recorded adversaries, against the victim's policy.

    ``games`` is a folder or a ``.tar.gz`` of SGF files, of which ``select`` (patterns of their paths) are read. What
    counts is the distinct games that were scored, that name one player with ``adversary`` in it, and, with
    ``won_only``, that it won. Training starts from ``start``, or from random weights of ``shape`` where there is none.
    ``victim`` is the network whose policy is the baseline. ``tested`` turns of each held-out game are looked at.
    """

    kind: ClassVar = "adversary.imitate"
    version: ClassVar = 1
    measures: ClassVar = {
        "top1": MeasureSpec("proportion", "higher", f"{_SHARE} trained network's first choice", 0.0, 1.0),
        "top1_victim": MeasureSpec("proportion", "neither", f"{_SHARE} victim's first choice", 0.0, 1.0),
        "gain": MeasureSpec("proportion", "higher", "top1 minus top1_victim, game by game", -1.0, 1.0),
    }
    presets: ClassVar = {
        "tiny": {**_EMBEDDED, "tested": 5, "training": {"updates": 3, "minibatch": 16, "games": 4}},
        "demo": {**_EMBEDDED, "training": {"updates": 100}},
        "full": {**_EMBEDDED, "training": {"updates": 1000}},
    }
    doubts: ClassVar = (
        Doubt(
            "imitation",
            "Playing the moves of an attack on one network need not beat another, nor need it be what made them work.",
            "games of the trained network against the victim, and an attack that starts from it",
        ),
    )

    games: str
    victim: str
    start: str | None = None
    shape: NetworkShape = NetworkShape()
    training: Imitation = Imitation()
    select: tuple[str, ...] = ("*",)
    adversary: str = "Adversary"
    won_only: bool = True
    held_out: Annotated[float, Field(gt=0, lt=1)] = 0.2
    tested: Annotated[int, Field(ge=1)] = 30

    def inputs(self) -> tuple[Input, ...]:
        """The networks and the games."""
        start = () if self.start is None else (self.input("start", self.start),)
        return (self.input("victim", self.victim), *start, self.input("games", self.games))

    def cost(self) -> Cost:
        """25 ms a position for training and 10 for looking, of a b6c96 on 19x19."""
        moves = self.training.updates * self.training.minibatch
        return Cost(seconds=0.025 * moves + 0.02 * 200 * self.tested, bytes=(512 << 20) + _PLAYED * self.tested)

    def collect(self, run: Run) -> Items:
        """Train, then ask both networks about every held-out game."""
        from toulmin.adversary.imitation import (
            imitate,
            moves_of,
            recorded_games,
            split_games,
            top_moves,
            unseen_turns,
        )
        from toulmin.go import fresh_network, read_network, write_network
        from toulmin.training import PrintProgress, generator_at

        device = run.prepare_torch()
        source = self.resolver.locate(self.games)
        if not members_of(source, self.select):
            fault = Fault("adversary.games", f"no SGF file fits {', '.join(self.select)}", file=str(source))
            raise FaultError(fault, ExitCode.SUBJECT)
        games = recorded_games(list(read_all(source, self.select)), self.adversary, self.won_only)
        if len(games) < 2:
            fault = Fault("adversary.games", f"fewer than two games of a player {self.adversary!r}", file=str(source))
            raise FaultError(fault, ExitCode.SUBJECT)
        training, held_out = split_games(games, self.held_out, run.seed)
        start = (
            fresh_network(self.shape.blocks, self.shape.channels, seed=run.seed, name="imitation")
            if self.start is None
            else read_network(self.resolver.locate(self.start))
        )
        victim = read_network(self.resolver.locate(self.victim))
        with run.progress.task("imitation: updates", self.training.updates) as advance:
            done = [0]

            def report(now: int, total: int, text: str) -> None:
                advance(now - done[0])
                done[0] = now

            trained = imitate(
                start,
                training,
                self.training,
                run.workdir / "checkpoints",
                seed=run.seed,
                device=device,
                callbacks=[PrintProgress(every=1, report=report)],
            )
        network = run.workdir / "imitation.bin.gz"
        network.write_bytes(write_network(trained))
        units: list[str] = []
        columns: dict[str, list[Any]] = {"source": [], "positions": [], "right": [], "victim_right": []}
        left = list(zip(held_out, unseen_turns(held_out, training), strict=True))
        for number, (game, turns) in enumerate(run.track(left, "held-out games")):
            if not turns:
                continue
            some = generator_at(run.seed, 19, number).choice(turns, min(self.tested, len(turns)), replace=False)
            moves = moves_of(game, some.tolist(), trained.pass_alive_with_suicide)
            played = moves.policy.argmax(axis=1)
            theirs = moves
            if victim.pass_alive_with_suicide != trained.pass_alive_with_suicide:
                theirs = moves_of(game, some.tolist(), victim.pass_alive_with_suicide)
            units.append(game.digest)
            columns["source"].append(game.source)
            columns["positions"].append(len(played))
            columns["right"].append(int((top_moves(trained, moves, device) == played).sum()))
            columns["victim_right"].append(int((top_moves(victim, theirs, device) == played).sum()))
        if not units:
            fault = Fault("adversary.games", "no held-out game has a position that no training game has")
            raise FaultError(fault, ExitCode.SUBJECT)
        return Items(
            units=units,
            columns={name: np.array(values) for name, values in columns.items()},
            metadata={"training_games": len(training), "moves": sum(len(game.turns) for game in training)},
            files={"imitation.bin.gz": network},
        )

    def summarise(self, items: Items) -> Summary:
        """Both shares, their difference, and a table by source of the games."""
        positions = items.columns["positions"]
        right, theirs = items.columns["right"] / positions, items.columns["victim_right"] / positions
        measures = {
            "top1": self.measure("top1", right, items, shares=True, n_of="games"),
            "top1_victim": self.measure("top1_victim", theirs, items, shares=True, n_of="games"),
            "gain": self.measure("gain", right - theirs, items, n_of="games"),
        }
        rows: list[tuple[str | int | float, ...]] = []
        for source in sorted(set(items.columns["source"].tolist())):
            mine = items.columns["source"] == source
            counted = (int(items.columns[name][mine].sum()) for name in ("positions", "right", "victim_right"))
            rows.append((source, int(mine.sum()), *counted))
        kept = items.metadata
        caption = (
            f"Positions of held-out games that no training game has, and at how many the adversary's move was the "
            f"first choice; trained on {self.training.updates} minibatches of {self.training.minibatch} from "
            f"{kept['training_games']} games with {kept['moves']} moves of the adversary."
        )
        names = ("source", "held-out games", "positions", "first choice after training", "victim's first choice")
        return Summary(
            measures=measures, tables=(Table(title="Held-out games", columns=names, rows=tuple(rows), caption=caption),)
        )


__all__ = ["AdversaryImitation"]
