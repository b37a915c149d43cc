"""PUCT search over many games at once: one tree a game, and one batch of evaluations for all their leaves.

Every round each tree descends to a leaf (:mod:`toulmin.go.search.tree`), the position there is its parent's plus one
move (a pool keeps the state at every node, so nothing is replayed and the ladders of the parent are not read again),
all new leaves are evaluated in one batch, and their values are added along the ways back. A game's search depends on
its position, the settings and its own generator only; a batch changes nothing but the last bits of floating-point sums.
Where there are fewer leaves than the evaluator's ``good_batch``, the batch is filled with positions that will probably
be asked for next (:mod:`toulmin.go.search.speculative`), which changes no visit either.

Utility of a position for the mover, as in KataGo: win - loss + static_score · E[s(score, 0, 2)] +
dynamic_score · E[s(score, c, dynamic_scale)], with s(x, c, k) = 2/pi · atan((x - c) / (k · size)), the score normal
with the net's mean and standard deviation (the expectation by the trapezoidal rule, in steps of 0.1 standard
deviations), and c the root's expected score times 0.8, at most dynamic_scale · size from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from toulmin.go.search.choice import add_noise
from toulmin.go.search.settings import SearchSettings
from toulmin.go.search.speculative import Known, SpeculativeEvaluation
from toulmin.go.search.tree import FINISHED, NEW, Forest, selection_rule

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games

Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

POOL_BYTES = 512 << 20
"""States kept at once; more games than fit are searched group after group."""

_SPREAD = np.linspace(-5.0, 5.0, 101)
_WEIGHT = np.exp(-0.5 * _SPREAD**2) / np.exp(-0.5 * _SPREAD**2).sum()


class EvaluationProtocol(Protocol):
    """The values of an evaluation, seen by the mover; :class:`toulmin.go.Evaluation` is one."""

    @property
    def policy(self) -> NDArray[np.float32]:
        """(B, actions): probabilities, 0 at illegal actions."""
        ...

    @property
    def win(self) -> NDArray[np.float32]:
        """(B,) probability."""
        ...

    @property
    def loss(self) -> NDArray[np.float32]:
        """(B,) probability."""
        ...

    @property
    def no_result(self) -> NDArray[np.float32]:
        """(B,) probability."""
        ...

    @property
    def lead(self) -> NDArray[np.float32]:
        """(B,) points."""
        ...

    @property
    def score_mean(self) -> NDArray[np.float32]:
        """(B,) points."""
        ...

    @property
    def score_stdev(self) -> NDArray[np.float32]:
        """(B,) points."""
        ...

    @property
    def ownership(self) -> NDArray[np.float32]:
        """(B, size, size) from +1, the mover's, to -1."""
        ...


class Evaluates(Protocol):
    """An evaluator: a net, playouts, or a made-up one.

    One may have an attribute ``good_batch``: how many positions it evaluates for little more than the cost of one.
    """

    def evaluate(
        self,
        games: Games,
        rows: Rows | None = None,
        *,
        symmetry: int | NDArray[np.int64] = 0,
        draw_equivalent_wins: float = 0.5,
        conservative_pass: bool = False,
    ) -> EvaluationProtocol:
        """Evaluate some rows of ``games``."""
        ...


@dataclass(frozen=True)
class Searched:
    """What the searches of n games found; everything about the position is seen by Black.

    ``visits`` (n, actions) at the root, ``means`` (n, actions) the utility of each move (NaN where never visited),
    ``utility``, ``black_wins`` (a probability) and ``black_leads`` (points) of the root, (n,); ``ownership``
    (n, size, size) of the root as the evaluator gave it; ``prior`` (n, actions) as the root used it, -1 at moves that
    were not allowed; ``squares`` (n, actions) the mean square of the utility of each move; ``mover`` (n,) who moves.
    """

    visits: NDArray[np.int64]
    means: Floats
    utility: Floats
    black_wins: Floats
    black_leads: Floats
    ownership: NDArray[np.float32]
    prior: NDArray[np.float32]
    squares: Floats
    mover: NDArray[np.int64]
    evaluations: int = 0


def search(
    games: Games,
    rows: Rows,
    evaluator: Evaluates,
    settings: SearchSettings,
    generators: Sequence[np.random.Generator],
    allowed: NDArray[np.bool_] | None = None,
    made_by: type[Search] | None = None,
) -> Searched:
    """Search the positions of ``rows``; ``allowed`` (len(rows), actions) limits the moves at the root.

    ``settings.visits`` counts the root's own evaluation: one visit is the raw policy. Games that are over are not
    searched: naming one is an error of the caller. ``made_by`` is the kind of search, the ordinary one by default.
    """
    rows = np.asarray(rows, np.int64)
    made_by = made_by or Search
    nodes = made_by(games, rows, evaluator, settings, generators, allowed)._room()
    state = games.take(rows[:1])
    bytes_a_node = state.cells.nbytes + state.past.nbytes + state.meta.nbytes + 9 * games.actions
    group = max(1, POOL_BYTES // (bytes_a_node * 2 * nodes))
    found: list[Searched] = []
    for start in range(0, len(rows), group):
        part = slice(start, start + group)
        masks = None if allowed is None else allowed[part]
        found.append(made_by(games, rows[part], evaluator, settings, generators[part], masks).run())
    if len(found) == 1:
        return found[0]
    names = ("visits", "means", "utility", "black_wins", "black_leads", "ownership", "prior", "squares", "mover")
    joined = {name: np.concatenate([getattr(one, name) for one in found]) for name in names}
    return Searched(**joined, evaluations=sum(one.evaluations for one in found))


@dataclass
class Search:
    """One group of searches side by side; :func:`search` makes them."""

    games: Games
    rows: Rows
    evaluator: Evaluates
    settings: SearchSettings
    generators: Sequence[np.random.Generator]
    allowed: NDArray[np.bool_] | None
    evaluations: int = field(default=0)

    def _room(self) -> int:
        """Nodes of a tree."""
        return self.settings.visits + self.settings.leaves

    def run(self) -> Searched:
        """Search until every tree has its visits."""
        settings, count = self.settings, len(self.rows)
        self.nodes = self._room()
        roots = self.games.take(self.rows)
        self.mover = roots.to_move
        self.centre = np.zeros(count)
        prior, ownership, first = self._root(roots)
        self.forest = forest = Forest(count, self.nodes, self.games.actions, 3)
        forest.plant(prior, roots.to_move, first)
        if settings.visits > 1:
            self.speculative = self._speculate(forest)
            slots = self.speculative.slots if self.speculative else 0
            each = np.arange(count)
            self.pool = roots.take(np.concatenate([np.repeat(each, self.nodes), np.repeat(each, slots)]))
            rule = selection_rule(settings)
            while True:
                wanted = np.minimum(settings.visits - forest.visits[:, 0], settings.leaves)
                if not wanted.any():
                    break
                self._round(forest, np.repeat(np.arange(count), wanted), rule)
        means = forest.means()
        return Searched(
            visits=forest.root_visits(),
            means=forest.root_means(),
            utility=means[:, 0],
            black_wins=means[:, 1],
            black_leads=means[:, 2],
            ownership=ownership,
            prior=prior,
            squares=forest.root_squares(),
            mover=self.mover,
            evaluations=self.evaluations,
        )

    def _root(self, roots: Games) -> tuple[NDArray[np.float32], NDArray[np.float32], Floats]:
        """The roots' priors, ownership seen by Black, and values: the mean over the symmetries asked for."""
        settings, trees = self.settings, np.arange(len(self.rows))
        if settings.symmetry == "none" and settings.root_symmetries == 1:
            symmetries = np.zeros((len(trees), 1), np.int64)
        else:
            pick = [g.permutation(8)[: settings.root_symmetries] for g in self.generators]
            symmetries = np.stack(pick).astype(np.int64)
        policy = np.zeros((len(trees), self.games.actions))
        ownership = np.zeros((len(trees), self.games.size, self.games.size), np.float32)
        values = np.zeros((len(trees), 3))
        sign = np.where(roots.to_move == 1, 1.0, -1.0)
        each = [self._evaluate(roots, trees, column, settings.conservative_pass) for column in symmetries.T]
        # the centre of the dynamic score utility has to be known before the first utility
        self.centre = self._centre(sign * np.mean([one.score_mean for one in each], axis=0, dtype=np.float64))
        for evaluation in each:
            policy += evaluation.policy
            ownership += (sign[:, None, None] * evaluation.ownership).astype(np.float32)
            values += self._values(evaluation, sign, trees)
        share = 1.0 / len(each)
        return self._root_prior(policy * share, roots), ownership * np.float32(share), values * share

    def _root_prior(self, policy: Floats, roots: Games) -> NDArray[np.float32]:
        """Root temperature and noise over the moves allowed, normalised; -1 elsewhere."""
        legal = roots.legal() if self.allowed is None else self.allowed
        prior = np.full(policy.shape, -1.0, np.float32)
        for tree, generator in enumerate(self.generators):
            actions = np.flatnonzero(legal[tree])
            weight = np.maximum(policy[tree, actions], 0.0) + 1e-30
            weight = (weight / weight.max()) ** (1.0 / self.settings.root_temperature)
            weight /= weight.sum()
            if self.settings.noise:
                weight = add_noise(weight, generator, self.settings.noise_concentration, self.settings.noise_weight)
            prior[tree, actions] = weight
        return prior

    def _speculate(self, forest: Forest) -> SpeculativeEvaluation | None:
        """The speculative evaluation, where single leaves would leave the evaluator's batch unfilled; else None."""
        settings = self.settings
        # a random symmetry belongs to the evaluation it was drawn for, in the order of the visits
        if settings.leaves > 1 or settings.symmetry != "none" or 2 * len(self.rows) > self._good_batch():
            return None
        return SpeculativeEvaluation(forest, self.nodes)

    def _good_batch(self) -> int:
        return int(getattr(self.evaluator, "good_batch", 1))

    def _round(self, forest: Forest, trees: Rows, rule: Floats) -> None:
        descent = forest.descend(trees, rule)
        values = np.zeros((len(trees), 3))
        new = np.flatnonzero(descent.kind == NEW)
        places = trees * self.nodes + descent.node
        over = np.flatnonzero(descent.kind == FINISHED)
        if len(new):
            found = self._expand(trees[new], places[new], descent.parent[new], descent.action[new], rule)
            forest.expand(trees[new], descent.node[new], found.prior, found.mover, found.ended)
            values[new] = found.values
            over = np.concatenate([new[found.ended], over])
        if len(over):
            values[over] = self._final(self.pool, places[over], trees[over])
        forest.backup(descent, values)

    def _expand(self, trees: Rows, places: Rows, parents: Rows, actions: Rows, rule: Floats) -> Known:
        """Make the states of new nodes in the pool, and evaluate them where that has not been done ahead."""
        ahead, above = self.speculative, trees * self.nodes + parents
        if ahead is None:
            return self._enter(trees, places, above, actions)
        slots = ahead.slots_of(trees, parents, actions)
        base, out = len(self.rows) * self.nodes, Known.room((len(trees),), self.games.actions)
        fresh = np.flatnonzero(slots < 0)
        if len(fresh):
            more, at = ahead.look(trees[fresh], rule, max(0, self._good_batch() // len(fresh) - 1))
            found = self._enter(
                np.concatenate([trees[fresh], more]),
                np.concatenate([places[fresh], base + more * ahead.slots + at]),
                np.concatenate([above[fresh], more * self.nodes + ahead.parent[more, at]]),
                np.concatenate([actions[fresh], ahead.edge[more, at]]),
            )
            ahead.known.write((more, at), found.at(slice(len(fresh), None)))
            out.write(fresh, found.at(slice(0, len(fresh))))
        seen = np.flatnonzero(slots >= 0)
        if len(seen):
            self.pool.assign(places[seen], self.pool, base + trees[seen] * ahead.slots + slots[seen])
            out.write(seen, ahead.known.at((trees[seen], slots[seen])))
        return out

    def _enter(self, trees: Rows, places: Rows, above: Rows, actions: Rows) -> Known:
        """Play ``actions`` from the states at ``above`` into ``places`` and evaluate what is not over."""
        self.pool.assign(places, self.pool, above)
        self.pool.play(actions, places)
        return self._evaluated(trees, places)

    def _evaluated(self, trees: Rows, places: Rows) -> Known:
        """Evaluate the states at ``places`` that are not over."""
        pool = self.pool
        found = Known.room((len(places),), self.games.actions)
        found.ended[:], found.mover[:] = pool.finished[places], pool.to_move[places]
        open_ = np.flatnonzero(~found.ended)
        if len(open_):
            evaluation = self._evaluate(pool, places[open_], self._symmetries(trees[open_]))
            found.prior[open_] = np.where(evaluation.policy > 0, evaluation.policy, -1.0)
            sign = np.where(found.mover[open_] == 1, 1.0, -1.0)
            found.values[open_] = self._values(evaluation, sign, trees[open_])
        return found

    def _symmetries(self, trees: Rows) -> NDArray[np.int64]:
        if self.settings.symmetry == "none":
            return np.zeros(len(trees), np.int64)
        return np.array([self.generators[tree].integers(8) for tree in trees])

    def _evaluate(
        self, games: Games, rows: Rows, symmetry: NDArray[np.int64], conservative: bool = False
    ) -> EvaluationProtocol:
        self.evaluations += len(rows)
        return self.evaluator.evaluate(
            games,
            rows,
            symmetry=symmetry if symmetry.any() else 0,
            draw_equivalent_wins=self.settings.draw_equivalent_wins,
            conservative_pass=conservative,
        )

    def _centre(self, black_score: Floats) -> Floats:
        reach = self.settings.dynamic_scale * self.games.size
        return np.clip(0.8 * black_score, black_score - reach, black_score + reach)

    def _score_utility(self, mean: Floats, stdev: Floats, trees: Rows) -> Floats:
        settings, size = self.settings, self.games.size
        score = mean[:, None] + stdev[:, None] * _SPREAD
        static = np.arctan(score / (2.0 * size)) @ _WEIGHT
        dynamic = np.arctan((score - self.centre[trees, None]) / (settings.dynamic_scale * size)) @ _WEIGHT
        return (settings.static_score * static + settings.dynamic_score * dynamic) * (2.0 / np.pi)

    def _values(self, evaluation: EvaluationProtocol, sign: Floats, trees: Rows) -> Floats:
        """(utility, probability that Black wins, Black's lead) from evaluations for the mover; sign is +1 for Black."""
        win, loss = evaluation.win.astype(np.float64), evaluation.loss.astype(np.float64)
        mean, stdev = sign * evaluation.score_mean.astype(np.float64), evaluation.score_stdev.astype(np.float64)
        utility = sign * (win - loss) + self._score_utility(mean, stdev, trees)
        black_wins = np.where(sign > 0, win, loss) + 0.5 * evaluation.no_result
        return np.stack([utility, black_wins, sign * evaluation.lead], axis=1).astype(np.float64)

    def _final(self, pool: Games, rows: Rows, trees: Rows) -> Floats:
        ended = pool.take(rows)
        lead = np.where(ended.no_result, 0.0, -ended.scores()[:, 1])
        draw = 1.0 - self.settings.draw_equivalent_wins
        result = np.where(lead == 0, 2.0 * draw - 1.0, np.sign(lead))
        utility = result + self._score_utility(lead, np.zeros(len(lead)), trees)
        utility[ended.no_result] = 0.0
        black_wins = np.where(ended.no_result, 0.5, (result + 1) / 2)
        return np.stack([utility, black_wins, lead], axis=1).astype(np.float64)
