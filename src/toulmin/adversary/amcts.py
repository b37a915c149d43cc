"""The learner of Wang et al. 2022: games by A-MCTS against the victim, and the network trained on their moves.

:class:`SearchedGames` is the stream of games of :mod:`toulmin.adversary.episodes` with the adversary's moves searched;
each batch is a list of minibatches from the buffer. With pi the shares of the visits, z the result, s the score and o
the final ownership, all the mover's, the loss of a move is

    H(pi, p) + w_v H((1 + z) / 2, p(win) / (p(win) + p(loss))) + w_s ((s - s') / 20)^2 + w_o mean H((1 + o) / 2, o')

with s' the network's mean score and o' = (1 + tanh) / 2 of its ownership.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as fn

from toulmin.adversary.buffer import ReplayBuffer, SearchedMoves
from toulmin.adversary.episodes import Episode, Outcome, VictimGames
from toulmin.adversary.ppo import masked_logits, mixed_sizes, network_inputs
from toulmin.adversary.settings import AmctsSettings, Attack, MoveLoss
from toulmin.go import (
    BLACK,
    Evaluator,
    Games,
    Opening,
    Player,
    PlayerSpec,
    PolicyModel,
    SearchModel,
    SearchPlayer,
    SearchSettings,
    VictimModel,
    adversarial_search,
    choose_by_visits,
    input_features,
)
from toulmin.training import State, generator_at

_POINTS = 20.0  # the unit of score errors; also the scale of every network since version 8


def victim_model(
    spec: PlayerSpec, settings: AmctsSettings, locate: Callable[[str], str], device: str = "cpu", seed: int = 0
) -> VictimModel:
    """The model of a victim: it must be a player with a network.

    :raises FaultError: the network cannot be read.
    """
    if spec.net is None:
        raise ValueError(f"A-MCTS models a victim with a network, and {spec.label} has none")
    evaluator = Evaluator(locate(spec.net), device=device, max_batch=4096)
    if settings.variant == "R":
        search = spec.search.model_copy(update={"visits": settings.victim_visits or spec.search.visits})
        return SearchModel(evaluator, search, spec.passing, seed)
    return PolicyModel(evaluator, spec.search.temperature, spec.passing, 8 if settings.variant == "S++" else 1)


class Replay:
    """Puts the moves of an update into the buffer and draws the minibatches of that update from the newest of it."""

    def __init__(self, buffer: ReplayBuffer, learner: AmctsSettings, seed: int) -> None:
        self.buffer, self.learner, self.seed, self.update = buffer, learner, seed, 0

    def __call__(self, moves: SearchedMoves) -> list[SearchedMoves]:
        """The minibatches of the next update, whose games left ``moves``."""
        self.buffer.write(self.update, moves)
        newest = self.buffer.newest(self.update)
        self.buffer.prune(self.update)
        generator = generator_at(self.seed, 7, self.update)
        self.update += 1
        count = len(newest.result)
        draws = [generator.integers(count, size=self.learner.minibatch) for _ in range(self.learner.minibatches)]
        return [newest.take(rows) for rows in draws]


class SearchedGames(VictimGames):
    """The games of an attack whose learner is :class:`AmctsSettings`; each batch is a list of minibatches."""

    def __init__(
        self,
        attack: Attack,
        evaluator: Callable[[], Evaluator],
        victims: Sequence[Player],
        models: Sequence[VictimModel],
        replay: Replay | None,
        *,
        seed: int = 0,
        starts: Sequence[Opening] = (),
        follows: int | None = None,
    ) -> None:
        assert isinstance(attack.learner, AmctsSettings)
        super().__init__(attack, evaluator, victims, seed=seed, starts=starts, follows=follows)
        self.learner, self.models, self.replay = attack.learner, models, replay

    def __next__(self) -> list[SearchedMoves]:
        if self.replay is None:
            raise ValueError("there is no buffer to draw from")
        return self.replay(self.batch())

    def _decide(self, rows: NDArray[np.int64], evaluator: Evaluator) -> NDArray[np.int64]:
        inputs = input_features(self.games, rows, pass_alive_with_suicide=evaluator.file.pass_alive_with_suicide)
        legal, actions = self.games.legal(rows), np.empty(len(rows), np.int64)
        stages = np.array([self.slots[row].stage for row in rows.tolist()])
        for stage in np.unique(stages).tolist():
            which = np.flatnonzero(stages == stage)
            model = None if self.attack.opponent == "itself" else self.models[stage]
            actions[which], visits = self._searched(rows[which], evaluator, model)
            for place, counts in zip(which.tolist(), visits.tolist(), strict=True):
                slot = self.slots[int(rows[place])]
                slot.at.append(len(slot.moves))
                slot.visits.append(counts)
                slot.planes.append(inputs[0][place])
                slot.numbers.append(inputs[1][place])
                slot.legal.append(legal[place])
        return actions

    def _searched(
        self, rows: NDArray[np.int64], evaluator: Evaluator, model: VictimModel | None
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Moves and visits of searches against ``model``, or of ordinary searches where there is none."""
        settings: SearchSettings = self.learner.search
        slots = [self.slots[row] for row in rows.tolist()]
        # the numbers of a search belong to its game and move, and to no order of play
        generators = [np.random.default_rng((self.seed, 3, slot.game, len(slot.moves))) for slot in slots]
        if model is None:
            ordinary = SearchPlayer("itself", evaluator, settings)
            found = ordinary.searched(self.games, rows, generators, self.games.legal(rows))
        else:
            found = adversarial_search(self.games, rows, evaluator, model, settings, generators)
        self.evaluations += found.evaluations
        temperatures = [settings.temperature.at(int(count), self.games.size) for count in self.games.move_count[rows]]
        chosen = [choose_by_visits(found, i, temperatures[i], one) for i, one in enumerate(generators)]
        return np.array(chosen, np.int64), found.visits

    def _answer(self, rows: NDArray[np.int64], victim: Player, evaluator: Evaluator) -> NDArray[np.int64]:
        """The moves of the other side: in self-play searched as its own."""
        if self.attack.opponent == "itself":
            return self._searched(rows, evaluator, None)[0]
        return super()._answer(rows, victim, evaluator)

    def lessons(self, done: list[tuple[Episode, Outcome]]) -> SearchedMoves:
        """The searched moves of finished games, and how these ended."""
        size = self.games.size
        result: list[float] = []
        score: list[float] = []
        ownership: list[NDArray[np.float32]] = []
        for slot, outcome in done:
            final = Games(1, size, self.rules, capacity=len(slot.moves) + 2)
            replace(self.set_up(slot), moves=tuple(slot.moves)).begin(final, 0)
            sign = 1.0 if slot.colour == BLACK else -1.0
            lead = -sign * float(final.scores()[0, 1])
            area = final.area()[0].astype(np.int64)
            owner = sign * np.where(area == BLACK, 1.0, np.where(area == 0, 0.0, -1.0)).astype(np.float32)
            result += [outcome.result] * len(slot.at)
            score += [lead] * len(slot.at)
            ownership += [owner] * len(slot.at)
        visits = np.array([one for slot, _ in done for one in slot.visits], np.float32)
        return SearchedMoves(
            planes=np.stack([one for slot, _ in done for one in slot.planes]),
            numbers=np.stack([one for slot, _ in done for one in slot.numbers]),
            legal=np.stack([one for slot, _ in done for one in slot.legal]),
            policy=visits / visits.sum(axis=1, keepdims=True),
            result=np.array(result, np.float32),
            score=np.array(score, np.float32),
            ownership=np.stack(ownership).astype(np.float32),
        )

    def position(self) -> dict[str, Any]:
        """As :class:`VictimGames`, and the number of the update."""
        return {**super().position(), "update": 0 if self.replay is None else self.replay.update}

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from a position."""
        super().seek(position)
        if self.replay is not None:
            self.replay.update = position["update"]


def imitation_losses(state: State, moves: SearchedMoves, settings: MoveLoss, device: torch.device) -> dict[str, Tensor]:
    """The losses of one minibatch; see the module for the formula."""
    tensors = [torch.from_numpy(np.ascontiguousarray(one)).to(device) for one in moves]
    planes, numbers, legal, policy, result, score, owned = tensors
    heads = state.module(*network_inputs(planes, numbers, mixed_sizes(moves.planes)))
    logs = torch.log_softmax(masked_logits(heads, legal), dim=1)
    policy_loss = -(policy * logs.masked_fill(~legal, 0.0)).sum(dim=1).mean()
    chance = (1 + result) / 2
    value_loss = -(
        chance * fn.logsigmoid(heads.value[:, 0] - heads.value[:, 1])
        + (1 - chance) * fn.logsigmoid(heads.value[:, 1] - heads.value[:, 0])
    ).mean()
    score_loss = (heads.score[:, 0] - score / _POINTS).square().mean()
    # (1 + tanh x) / 2 is the logistic function of 2 x; plane 0 is 1 on the board
    points = fn.binary_cross_entropy_with_logits(2 * heads.ownership, (1 + owned) / 2, reduction="none")
    owner_loss = ((points * planes[..., 0]).sum(dim=(1, 2)) / planes[..., 0].sum(dim=(1, 2))).mean()
    loss = policy_loss + settings.value_weight * value_loss
    loss = loss + settings.score_weight * score_loss + settings.ownership_weight * owner_loss
    found = {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss}
    return {**found, "score_loss": score_loss, "ownership_loss": owner_loss}


def amcts_step(
    settings: AmctsSettings, device: torch.device
) -> Callable[[State, list[SearchedMoves]], Mapping[str, Tensor]]:
    """A step for :func:`toulmin.training.fit`: one optimizer update for each minibatch of a batch."""

    def step(state: State, batch: list[SearchedMoves]) -> Mapping[str, Tensor]:
        done: list[dict[str, Tensor]] = []
        for moves in batch:
            losses = imitation_losses(state, moves, settings, device)
            state.optimizer.zero_grad(set_to_none=True)
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(state.module.parameters(), settings.gradient_clip)
            state.optimizer.step()
            done.append({name: value.detach() for name, value in losses.items()})
        return {name: torch.stack([one[name] for one in done]).mean() for name in done[0]}

    return step
