"""Games of the network in training against a frozen victim, as a stream of decisions for policy gradients.

Many games run in lockstep; a slot whose game is over starts the next one at once. Only the adversary's own moves are
decisions: between two of them the victim moves as part of the environment. A decision keeps the network's inputs, the
legal moves, the action drawn, its log probability and the value estimated then.

Advantages are generalised advantage estimates (Schulman et al. 2015) without discount: with V_t the estimate of the
outcome at the adversary's t-th move, z the outcome (+1, 0 or -1) after the last of T moves, and d_t = V_{t+1} - V_t
(d_{T-1} = z - V_{T-1}), A_t = sum over k >= 0 of lambda^k d_{t+k}, and the value's target is A_t + V_t.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from toulmin.adversary.curriculum import Curriculum, Outcome
from toulmin.adversary.settings import Attack, PpoSettings
from toulmin.go import BLACK, WHITE, Evaluation, Evaluator, Games, Opening, Player, draw_opening, input_features


class Decisions(NamedTuple):
    """N moves of the adversary: inputs (N, Y, X, 22) and (N, 19), legal (N, A), and one number each for the rest."""

    planes: NDArray[np.float32]
    numbers: NDArray[np.float32]
    legal: NDArray[np.bool_]
    action: NDArray[np.int64]
    log_chance: NDArray[np.float32]
    advantage: NDArray[np.float32]
    target: NDArray[np.float32]


def advantages(values: Sequence[float], outcome: float, gae_lambda: float) -> tuple[list[float], list[float]]:
    """Advantages and value targets of one game; see the module for the formula."""
    found, running = [0.0] * len(values), 0.0
    after = outcome
    for t in range(len(values) - 1, -1, -1):
        running = after - values[t] + gae_lambda * running
        found[t], after = running, values[t]
    return found, [a + v for a, v in zip(found, values, strict=True)]


_KEPT = ("game", "colour", "start", "stage", "moves", "at", "log_chance", "value", "visits")


@dataclass
class Episode:
    """A game under way. ``moves`` are all its actions, the rest belongs to the adversary's decisions.

    ``start`` is the number of the position that it began with (-1: the empty board), the moves of which are part of
    ``moves``. ``at`` is how many moves had been played at each decision; ``visits`` those of its search, if any.
    """

    game: int
    colour: int
    stage: int
    generator: np.random.Generator  # the victim's
    start: int = -1
    moves: list[int] = field(default_factory=list[int])
    at: list[int] = field(default_factory=list[int])
    log_chance: list[float] = field(default_factory=list[float])
    value: list[float] = field(default_factory=list[float])
    visits: list[list[int]] = field(default_factory=list[list[int]])
    planes: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    numbers: list[NDArray[np.float32]] = field(default_factory=list[NDArray[np.float32]])
    legal: list[NDArray[np.bool_]] = field(default_factory=list[NDArray[np.bool_]])

    def position(self) -> dict[str, Any]:
        """All of it that replaying the moves does not give back, as JSON."""
        kept = {name: getattr(self, name) for name in _KEPT}
        return {**kept, "generator": self.generator.bit_generator.state}


class VictimGames(Curriculum):
    """An endless stream of :class:`Decisions`, each of at least ``decisions`` moves of finished games.

    ``evaluator`` gives the network in training as it is now, as an :class:`~toulmin.go.nets.Evaluator`; it is asked
    once for each batch. ``victims`` are the players of the attack's stages; when the win rate of the last ``window``
    games of a stage reaches its threshold, games that start from then on face the next one. Games begin with one of
    ``starts``, drawn anew for each, or with the empty board where there are none. The position is JSON and
    holds the running games, so that a resumed run goes on bit for bit. A stream that ``follows`` a curriculum elsewhere
    keeps to the stage of that number.
    """

    def __init__(
        self,
        attack: Attack,
        evaluator: Callable[[], Evaluator],
        victims: Sequence[Player],
        *,
        seed: int = 0,
        starts: Sequence[Opening] = (),
        follows: int | None = None,
        on_game: Callable[[Outcome, Games, int], None] | None = None,
    ) -> None:
        super().__init__(attack, follows)
        self.evaluator, self.victims, self.seed, self.on_game = evaluator, victims, seed, on_game
        self.starts = starts
        ppo = attack.learner if isinstance(attack.learner, PpoSettings) else PpoSettings()
        self.temperature, self.gae_lambda = ppo.temperature, ppo.gae_lambda
        self.random = np.random.default_rng((seed, 1))
        self.rules = attack.parsed_rules()
        self.games = Games(attack.slots, attack.size, self.rules, capacity=2 * attack.size**2)
        self.most_moves = max(1, int(attack.limit * attack.size**2))
        self.started = 0
        self.evaluations = 0
        """Of the network in training."""
        self.last: list[Outcome] = []
        """The games that gave the newest batch."""
        self.decisions = 0
        """The decisions of these."""
        self.slots = [self._start(row) for row in range(attack.slots)]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        """The :class:`Decisions` of the next games."""
        return self.batch()

    def batch(self) -> Any:
        """Play the next games, and what they leave to learn from."""
        return self.lessons(self._play_until(self.attack.learner.decisions))

    def _play_until(self, decisions: int) -> list[tuple[Episode, Outcome]]:
        """Play with the network as it is now, until that many decisions belong to finished games."""
        evaluator = self.evaluator()
        done: list[tuple[Episode, Outcome]] = []
        while sum(len(slot.at) for slot, _ in done) < decisions:
            done += self.advance(evaluator)
        self.last, self.decisions = [outcome for _, outcome in done], sum(len(slot.at) for slot, _ in done)
        return done

    def advance(self, evaluator: Evaluator) -> list[tuple[Episode, Outcome]]:
        """One move in every game: the games that are over then, counted, with others begun in their place."""
        self._move(evaluator)
        return self._finish()

    # -- playing ----------------------------------------------------------------------------------------------------

    def _start(self, row: int) -> Episode:
        """Begin the next game in a slot: the adversary is Black in every other one."""
        number = self.started
        self.started += 1
        generator = np.random.default_rng((self.seed, 2, number))
        slot = Episode(number, BLACK if number % 2 == 0 else WHITE, self.stage, generator)
        if self.starts:
            slot.start = int(generator.integers(len(self.starts)))
        attack = self.attack
        opening = draw_opening(attack.opening_moves, attack.size, self.rules, generator, self.set_up(slot))
        opening.begin(self.games, row)
        slot.moves += opening.moves
        return slot

    def set_up(self, slot: Episode) -> Opening:
        """What a game began with, before the moves drawn for it."""
        return self.starts[slot.start] if slot.start >= 0 else Opening()

    def _move(self, evaluator: Evaluator) -> None:
        """One move in every game."""
        colours = np.array([slot.colour for slot in self.slots])
        mine = self.games.to_move == colours
        actions = np.full(len(self.slots), -1, np.int64)
        rows = np.flatnonzero(mine)
        if len(rows):
            actions[rows] = self._decide(rows, evaluator)
        for stage, victim in enumerate(self.victims):
            rows = np.flatnonzero(~mine & np.array([slot.stage == stage for slot in self.slots]))
            if len(rows):
                actions[rows] = self._answer(rows, victim, evaluator)
        self.games.play(actions)  # a resignation, -1, leaves the game as it is
        for row, action in enumerate(actions.tolist()):
            self.slots[row].moves.append(action)

    def _answer(self, rows: NDArray[np.int64], victim: Player, evaluator: Evaluator) -> NDArray[np.int64]:
        """The moves of the other side."""
        if self.attack.opponent == "itself":
            return self._draw(rows, evaluator)[0]
        choices = victim.choose(self.games, rows, [self.slots[row].generator for row in rows])
        return np.array([choice.action for choice in choices], np.int64)

    def _draw(
        self, rows: NDArray[np.int64], evaluator: Evaluator
    ) -> tuple[NDArray[np.int64], NDArray[np.float64], Evaluation, tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Moves from the policy in training, the log probabilities of all, its view, and what it was shown."""
        inputs = input_features(self.games, rows, pass_alive_with_suicide=evaluator.file.pass_alive_with_suicide)
        view: Evaluation = evaluator.evaluate(self.games, rows, inputs=inputs)
        logs = log_softmax(view.logits.astype(np.float64) / self.temperature)
        below = np.cumsum(np.exp(logs), axis=1)
        drawn = self.random.random(len(rows)) * below[:, -1]
        self.evaluations += len(rows)
        return (below <= drawn[:, None]).sum(axis=1), logs, view, inputs

    def _decide(self, rows: NDArray[np.int64], evaluator: Evaluator) -> NDArray[np.int64]:
        actions, logs, view, inputs = self._draw(rows, evaluator)
        legal = np.isfinite(view.logits)
        for which, row in enumerate(rows.tolist()):
            slot = self.slots[row]
            slot.at.append(len(slot.moves))
            slot.log_chance.append(float(logs[which, actions[which]]))
            slot.value.append(float(view.win[which] - view.loss[which]))
            slot.planes.append(inputs[0][which])
            slot.numbers.append(inputs[1][which])
            slot.legal.append(legal[which])
        return actions

    def _finish(self) -> list[tuple[Episode, Outcome]]:
        """Take the games that are over out of their slots, and start others there."""
        games = self.games
        resigned = np.array([slot.moves[-1] < 0 for slot in self.slots])
        over = np.flatnonzero(games.finished | resigned | (games.move_count >= self.most_moves))
        if not len(over):
            return []
        ended = games.take(over)
        white_leads, void, finished = ended.scores()[:, 1], ended.no_result, ended.finished
        done: list[tuple[Episode, Outcome]] = []
        for which, row in enumerate(over.tolist()):
            slot = self.slots[row]
            if resigned[row]:
                result = 1.0  # only the victim resigns
            elif not finished[which]:
                result = -1.0  # the limit is the adversary's fault
            else:
                lead = white_leads[which] if slot.colour == WHITE else -white_leads[which]
                result = 0.0 if void[which] else float(np.sign(lead))
            outcome = Outcome(slot.game, slot.colour, result, len(slot.moves), slot.stage, games.size)
            if self.on_game is not None:
                self.on_game(outcome, ended, which)
            done.append((slot, outcome))
            self.count(outcome)
            self.slots[row] = self._start(row)
        return done

    def lessons(self, done: list[tuple[Episode, Outcome]]) -> Any:
        """The decisions of finished games, to learn from."""
        return self._decisions(done)

    def _decisions(self, done: list[tuple[Episode, Outcome]]) -> Decisions:
        advantage: list[float] = []
        target: list[float] = []
        for slot, outcome in done:
            more, targets = advantages(slot.value, outcome.result, self.gae_lambda)
            advantage += more
            target += targets
        return Decisions(
            planes=np.stack([one for slot, _ in done for one in slot.planes]),
            numbers=np.stack([one for slot, _ in done for one in slot.numbers]),
            legal=np.stack([one for slot, _ in done for one in slot.legal]),
            action=np.array([slot.moves[at] for slot, _ in done for at in slot.at], np.int64),
            log_chance=np.array([one for slot, _ in done for one in slot.log_chance], np.float32),
            advantage=np.array(advantage, np.float32),
            target=np.array(target, np.float32),
        )

    # -- resuming ---------------------------------------------------------------------------------------------------

    def position(self) -> dict[str, Any]:
        """The running games and all counters, as JSON."""
        return {
            "slots": [slot.position() for slot in self.slots],
            "random": self.random.bit_generator.state,
            "started": self.started,
            "evaluations": self.evaluations,
            **self.counts(),
        }

    def seek(self, position: dict[str, Any]) -> None:
        """Go on from a position: the running games are replayed to where they were."""
        self.random.bit_generator.state = position["random"]
        self.started, self.evaluations = position["started"], position["evaluations"]
        self.seek_counts(position)
        suicide = self.evaluator().file.pass_alive_with_suicide
        for row, kept in enumerate(position["slots"]):
            generator = np.random.default_rng(0)
            generator.bit_generator.state = kept["generator"]
            fields = {name: kept[name] for name in _KEPT}
            slot = self.slots[row] = Episode(**fields, generator=generator)
            replace(self.set_up(slot), moves=()).begin(self.games, row)
            for number, action in enumerate(slot.moves):
                if number in slot.at:
                    planes, numbers = input_features(self.games, [row], pass_alive_with_suicide=suicide)
                    slot.planes.append(planes[0])
                    slot.numbers.append(numbers[0])
                    slot.legal.append(self.games.legal([row])[0])
                self.games.play([action], [row])


def log_softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log softmax of each row; -inf stays -inf."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
