"""Training an adversary: the network, the victims, the loop with its checkpoints, and what it leaves.

    FOLDER/checkpoints/     the state of the run (:class:`toulmin.training.Checkpoint`)
    FOLDER/curve.jsonl      one line an update: games so far, win rate, stage, losses
    FOLDER/buffer/          the searched moves of past updates, where the learner is A-MCTS
    FOLDER/networks/        the networks after every ``snapshots`` updates, where the attack keeps them
    FOLDER/adversary.bin.gz the network as it is after the newest checkpoint, in KataGo's format

A run that is killed goes on from its newest checkpoint, bit for bit: the games that were running are part of it.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toulmin.adversary.amcts import Replay, amcts_step, victim_model
from toulmin.adversary.buffer import ReplayBuffer
from toulmin.adversary.episodes import VictimGames
from toulmin.adversary.lanes import Lanes, games_of
from toulmin.adversary.mixture import MixedGames
from toulmin.adversary.ppo import ppo_step
from toulmin.adversary.settings import Attack, PpoSettings
from toulmin.go import (
    Evaluator,
    NetworkFile,
    TrainableNetwork,
    fresh_network,
    make_player,
    read_network,
    read_openings,
    write_network,
)
from toulmin.studies import Pool
from toulmin.training import Callback, Checkpoint, Logger, Schedule, State, fit


@dataclass(frozen=True)
class TrainedAdversary:
    """What training left: the network's file, the rows of the curve, games and evaluations by the end."""

    network: Path
    curve: list[dict[str, float]]
    games: int
    updates: int
    reached: bool  #: the win rate at which training may end


def train_adversary(
    attack: Attack,
    folder: Path,
    locate: Callable[[str], str],
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    callbacks: Sequence[Callback] = (),
    seconds: float | None = None,
    pool: Pool | None = None,
) -> TrainedAdversary:
    """Train until the attack's ``updates`` are done or its ``stop_at`` is reached; resume where ``folder`` has a run.

    ``locate`` turns a reference into a path. ``pool`` plays the lanes of the attack (here, where it is absent); it
    decides how fast they are played, not what is played. After ``seconds`` of the clock it stops at the next
    checkpoint, and goes on in another call: long work in short pieces.

    :raises FaultError: a network cannot be read; the folder holds a run of another attack, or a damaged one.
    """
    device = torch.device(device)
    start = (
        fresh_network(attack.shape.blocks, attack.shape.channels, seed=seed, name="adversary")
        if attack.start is None
        else read_network(locate(attack.start))
    )
    module = TrainableNetwork(start).to(device)
    folder.mkdir(parents=True, exist_ok=True)
    pool = pool or Pool()
    stream = _stream(attack, module, folder, locate, seed, device, pool)
    if isinstance(attack.learner, PpoSettings):
        step = ppo_step(attack.learner, device, seed)
    else:
        step = amcts_step(attack.learner, device)
    step = _counting(step, stream)
    rate = attack.learner.lr
    state = State(module, torch.optim.Adam(module.parameters(), lr=rate))
    run = {"attack": attack.model_dump(mode="json"), "seed": seed, "start": start.sha256}
    checkpoint = Checkpoint(folder / "checkpoints", attack.checkpoint_every, run=run)
    curve = Logger(folder / "curve.jsonl", every=1)
    checkpoint.resume(state, stream)
    network = folder / "adversary.bin.gz"
    try:
        with pool.kept():
            begun = time.monotonic()
            while state.step < attack.updates and not stream.reached:
                if seconds is not None and time.monotonic() - begun >= seconds:
                    break
                schedule = Schedule(min(attack.updates, state.step + attack.checkpoint_every), rate, "constant")
                fit(step, state, stream, schedule, checkpoint, [curve, *callbacks])
                _write(network, module.export("adversary"))
                if attack.snapshots and state.step % attack.snapshots == 0:
                    kept = folder / "networks" / f"{state.step:06d}.bin.gz"
                    kept.parent.mkdir(exist_ok=True)
                    _write(kept, module.export(f"adversary-{state.step}"))
    finally:
        for victim in () if isinstance(stream, Lanes) else stream.victims:
            victim.close()
    if not network.exists():
        _write(network, module.export("adversary"))
    return TrainedAdversary(network, read_curve(curve.path), stream.finished, state.step, stream.reached)


def _stream(
    attack: Attack,
    module: TrainableNetwork,
    folder: Path,
    locate: Callable[[str], str],
    seed: int,
    device: torch.device,
    pool: Pool,
) -> VictimGames | MixedGames | Lanes:
    """The games of the attack: here where it has one lane, else wherever the pool plays them."""
    learner, replay = attack.learner, None
    if not isinstance(learner, PpoSettings):
        replay = Replay(ReplayBuffer(folder / "buffer", learner.kept), learner, seed)
    if attack.lanes > 1:
        located = {reference: locate(reference) for reference in attack.references()}
        return Lanes(attack, module.export, located, pool, seed=seed, device=str(device), replay=replay)
    starts = ()
    if attack.positions is not None:
        starts = read_openings(locate(attack.positions), attack.size, attack.parsed_rules())
    current = _CurrentNetwork(module, device)
    victims = [make_player(stage.victim, locate, seed, str(device)) for stage in attack.stages]
    models = None
    if not isinstance(learner, PpoSettings):
        models = [victim_model(stage.victim, learner, locate, str(device), seed) for stage in attack.stages]
    return games_of(attack, current, victims, models, replay, seed=seed, starts=starts)


def read_curve(path: Path) -> list[dict[str, float]]:
    """The rows of a learning curve; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class _CurrentNetwork:
    """The evaluator of the module's weights as they are now; rebuilt where they have changed."""

    def __init__(self, module: TrainableNetwork, device: torch.device) -> None:
        self.module, self.device = module, device

    def __call__(self) -> Evaluator:
        return Evaluator(self.module.export(), device=self.device, max_batch=4096)


def _counting(
    step: Callable[[State, Any], Mapping[str, Tensor]], stream: VictimGames | MixedGames | Lanes
) -> Callable[[State, Any], Mapping[str, Tensor]]:
    """The step with what the stream knows added to its metrics."""

    def counted(state: State, batch: Any) -> Mapping[str, Tensor]:
        metrics: dict[str, Any] = dict(step(state, batch))
        games = stream.last
        facts = {
            "games": stream.finished,
            "evaluations": stream.evaluations,
            "decisions": stream.decisions,
            "won": sum(game.result > 0 for game in games),
            "played": len(games),
            "win_rate": stream.win_rate,
            "stage": stream.stage,
            "moves": float(np.mean([game.moves for game in games])),
        }
        for board in stream.attack.sizes:
            results = [game.result for game in games if game.size == board.size]
            facts |= {f"won_{board.size}": sum(one > 0 for one in results), f"played_{board.size}": len(results)}
        return metrics | {name: torch.tensor(float(value)) for name, value in facts.items()}

    return counted


def _write(path: Path, network: NetworkFile) -> None:
    """Write a network, whole or not at all."""
    for left in path.parent.glob(f".{path.name}.*"):  # of a run that was killed here
        left.unlink(missing_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    unfinished.write_bytes(write_network(network))
    unfinished.replace(path)
