"""Training games in several lanes, which any number of processes may play.

The slots of an attack are shared among its ``lanes``. A lane is a stream of games of its own (:class:`VictimGames` or
:class:`SearchedGames`) with random numbers of its own, and plays its share of an update's decisions with the network as
it is then. A task holds everything: the network, the position of the lane, the stage of the curriculum. So what comes
out depends on the number of lanes and on no process: any pool of :mod:`toulmin.studies` gives the same games, and a
process that is killed takes nothing with it that the checkpoint does not have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Self

import numpy as np
import torch

from toulmin.adversary.amcts import Replay, SearchedGames, victim_model
from toulmin.adversary.curriculum import Curriculum, Outcome
from toulmin.adversary.episodes import VictimGames
from toulmin.adversary.mixture import MixedGames
from toulmin.adversary.settings import AmctsSettings, Attack
from toulmin.go import Evaluator, NetworkFile, Opening, Player, VictimModel, make_player, read_openings
from toulmin.studies import Pool


@dataclass(frozen=True)
class LaneTask:
    """One lane's share of an update: its attack (slots and decisions of a lane), where files are, and its position."""

    attack: Attack
    seed: int
    network: NetworkFile
    located: tuple[tuple[str, str], ...]
    stage: int
    position: Mapping[str, Any] | None
    device: str
    threads: int


class LaneGames(NamedTuple):
    """What a lane played: the columns of its batch, how the games ended, its new position, and evaluations so far."""

    batch: Any
    outcomes: list[Outcome]
    position: dict[str, Any]
    evaluations: int


@lru_cache(maxsize=4)
def _victims(attack: str, located: tuple[tuple[str, str], ...], device: str) -> list[Player]:
    """The players of the stages of an attack in JSON; kept by a process from task to task."""
    stages = Attack.model_validate_json(attack).stages
    return [make_player(stage.victim, dict(located).__getitem__, 0, device) for stage in stages]


@lru_cache(maxsize=4)
def _models(attack: str, located: tuple[tuple[str, str], ...], device: str) -> list[VictimModel]:
    plan = Attack.model_validate_json(attack)
    assert isinstance(plan.learner, AmctsSettings)
    return [victim_model(stage.victim, plan.learner, dict(located).__getitem__, device) for stage in plan.stages]


def games_of(
    attack: Attack,
    evaluator: Callable[[], Evaluator],
    victims: Sequence[Player],
    models: Sequence[VictimModel] | None,
    replay: Replay | None,
    *,
    seed: int,
    starts: Sequence[Opening] = (),
    follows: int | None = None,
) -> VictimGames | MixedGames:
    """The games of an attack in one lane: by its learner (``models`` are A-MCTS's), on one size of board or several."""

    def on_one_size(plan: Attack, number: int, own: Replay | None, stage: int | None) -> VictimGames:
        settings: dict[str, Any] = {"seed": number, "starts": starts, "follows": stage}
        if models is None:
            return VictimGames(plan, evaluator, victims, **settings)
        return SearchedGames(plan, evaluator, victims, models, own, **settings)

    if not attack.sizes:
        return on_one_size(attack, seed, replay, follows)

    def board(plan: Attack, number: int) -> VictimGames:
        return on_one_size(plan, number, None, follows or 0)

    return MixedGames(attack, board, replay, seed=seed, follows=follows)


def play_lane(task: LaneTask) -> LaneGames:
    """Play one lane's share of an update; a function of the task, in whatever process."""
    torch.set_num_threads(task.threads)
    attack, located = task.attack, dict(task.located)
    evaluator = Evaluator(task.network, device=task.device, max_batch=4096)
    starts = ()
    if attack.positions is not None:
        starts = read_openings(located[attack.positions], attack.size, attack.parsed_rules())
    victims = _victims(attack.model_dump_json(), task.located, task.device)
    models = None
    if isinstance(attack.learner, AmctsSettings):
        models = _models(attack.model_dump_json(), task.located, task.device)
    stream = games_of(
        attack, lambda: evaluator, victims, models, None, seed=task.seed, starts=starts, follows=task.stage
    )
    if task.position is not None:
        stream.seek(dict(task.position))
        stream.stage = task.stage
    batch = stream.batch()
    return LaneGames(batch, stream.last, stream.position(), stream.evaluations)


class Lanes(Curriculum):
    """The stream of games of an attack with several lanes; batches as those of :class:`VictimGames`.

    ``network`` gives the network in training as it is now, ``located`` the path of every reference of the attack.
    """

    def __init__(
        self,
        attack: Attack,
        network: Callable[[], NetworkFile],
        located: Mapping[str, str],
        pool: Pool,
        *,
        seed: int = 0,
        device: str = "cpu",
        replay: Replay | None = None,
    ) -> None:
        super().__init__(attack)
        self.network, self.pool, self.replay, self.device = network, pool, replay, device
        self.located = tuple(sorted(located.items()))
        share = -(-attack.learner.decisions // attack.lanes)
        learner = attack.learner.model_copy(update={"decisions": share})
        self.lane = attack.model_copy(update={"slots": attack.slots // attack.lanes, "learner": learner, "lanes": 1})
        self.seeds = [int(np.random.SeedSequence((seed, 5, lane)).generate_state(1)[0]) for lane in range(attack.lanes)]
        self.positions: list[dict[str, Any] | None] = [None] * attack.lanes
        self.last: list[Outcome] = []
        self.evaluations = self.decisions = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        network, threads = self.network(), torch.get_num_threads()
        tasks = [
            LaneTask(self.lane, seed, network, self.located, self.stage, position, self.device, threads)
            for seed, position in zip(self.seeds, self.positions, strict=True)
        ]
        played = list(self.pool.map(play_lane, tasks))
        self.positions = [one.position for one in played]
        self.last = [outcome for one in played for outcome in one.outcomes]
        self.evaluations = sum(one.evaluations for one in played)
        for outcome in self.last:
            self.count(outcome)
        columns = zip(*(one.batch for one in played), strict=True)
        batch = type(played[0].batch)(*(np.concatenate(column) for column in columns))
        self.decisions = len(batch.planes)
        return batch if self.replay is None else self.replay(batch)

    def position(self) -> dict[str, Any]:
        """The running games of every lane and all counters, as JSON."""
        update = 0 if self.replay is None else self.replay.update
        return {**self.counts(), "lanes": self.positions, "evaluations": self.evaluations, "update": update}

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        self.seek_counts(position)
        self.positions, self.evaluations = position["lanes"], position["evaluations"]
        if self.replay is not None:
            self.replay.update = position["update"]


__all__ = ["LaneGames", "LaneTask", "Lanes", "games_of", "play_lane"]
