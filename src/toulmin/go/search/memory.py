"""Evaluations kept from one search to the next: what KataGo gains by keeping its tree, with a fresh search's results.

A tree that is kept brings its old visits into the next search, which then is no function of the position any more. Here
the next search starts anew and finds the evaluations of the last one: it visits the same moves as a search from
nothing, and the network is asked only about positions that it has not seen. (The last bits of a value may differ, since
a network's sums depend on the size of its batch.)
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toulmin.go.engine import turns

if TYPE_CHECKING:
    from toulmin.go.engine.games import Games
    from toulmin.go.search.mcts import Evaluates, EvaluationProtocol

Rows = NDArray[np.int64]


class Remembering:
    """An evaluator that keeps the newest ``most`` evaluations of another.

    A position is known by everything that came before it: size, rules, komi, set-up stones and all moves, since a
    network sees the last moves and rules forbid repetitions. So two ways to one board are two positions.
    """

    def __init__(self, evaluator: Evaluates, most: int) -> None:
        self.evaluator, self.most = evaluator, most
        self.good_batch = int(getattr(evaluator, "good_batch", 1))
        self.asked = self.known = 0  #: positions asked for so far, and how many of them were kept
        self._kept: OrderedDict[tuple[Any, ...], tuple[NDArray[Any], ...]] = OrderedDict()
        self._kind: type[Any] = object

    def evaluate(
        self,
        games: Games,
        rows: Rows | None = None,
        *,
        symmetry: int | NDArray[np.int64] = 0,
        draw_equivalent_wins: float = 0.5,
        conservative_pass: bool = False,
    ) -> EvaluationProtocol:
        """As the evaluator, which is asked about unknown positions only."""
        chosen = np.arange(games.batch) if rows is None else np.asarray(rows, np.int64)
        if not len(chosen):
            return self.evaluator.evaluate(games, chosen)
        turned = np.broadcast_to(np.asarray(symmetry, np.int64), chosen.shape)
        keys = [
            (_identity(games, row), k, draw_equivalent_wins, conservative_pass)
            for row, k in zip(chosen.tolist(), turned.tolist(), strict=True)
        ]
        # a position that is asked for twice at once is evaluated once
        missing = {key: which for which, key in enumerate(keys) if key not in self._kept}
        self.asked += len(keys)
        self.known += len(keys) - len(missing)
        found: dict[tuple[Any, ...], tuple[NDArray[Any], ...]] = {}
        if missing:
            which = np.array(list(missing.values()))
            new = self.evaluator.evaluate(
                games,
                chosen[which],
                symmetry=turned[which],
                draw_equivalent_wins=draw_equivalent_wins,
                conservative_pass=conservative_pass,
            )
            self._kind = type(new)
            columns = [getattr(new, one.name) for one in fields(self._kind)]
            found = {key: tuple(column[i] for column in columns) for i, key in enumerate(missing)}
        values = [found[key] if key in found else self._kept[key] for key in keys]
        for key in keys:
            self._kept[key] = found[key] if key in found else self._kept[key]
            self._kept.move_to_end(key)
        while len(self._kept) > self.most:
            self._kept.popitem(last=False)
        return self._kind(*(np.stack(column) for column in zip(*values, strict=True)))


def _identity(games: Games, row: int) -> tuple[Any, ...]:
    """All that an evaluation of a game can depend on."""
    moves = int(games.meta[row, turns.MOVES])
    past = games.past[row, :moves].tobytes()
    mover = int(games.meta[row, turns.TO_MOVE])
    return games.size, games.rules[row], float(games.komi[row]), games.setup(row), mover, past
