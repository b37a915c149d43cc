"""Chances of moves: the noise on a root's prior, and the choice of a move from the visits of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toulmin.go.search.mcts import Searched

Floats = NDArray[np.float64]


def add_noise(policy: Floats, generator: np.random.Generator, concentration: float, weight: float) -> Floats:
    """KataGo's root noise: (1 - weight) · policy + weight · Dirichlet(alpha), over the legal moves only.

    Half of the total ``concentration`` is uniform; the other half goes to the moves whose log policy, capped at
    log 0.01, is above the mean of these logs, in proportion to the excess.
    """
    logs = np.log(np.minimum(policy, 0.01) + 1e-20)
    excess = np.maximum(logs - logs.mean(), 0.0)
    uniform = np.full(len(policy), 1.0 / len(policy))
    shape = uniform if excess.sum() <= 0 else 0.5 * (excess / excess.sum() + uniform)
    drawn = generator.gamma(shape * concentration)
    total = drawn.sum()
    noise = drawn / total if total > 0 else uniform
    return np.asarray((1.0 - weight) * policy + weight * noise, np.float64)


def choice_chances(searched: Searched, which: int, temperature: float) -> Floats:
    """How likely each action of game ``which`` is: visits^(1/temperature); at 0 the most visited, then the likeliest.

    With a single visit there are no visits below the root, and the prior stands in for them.
    """
    weight = searched.visits[which].astype(np.float64)
    prior = np.maximum(searched.prior[which].astype(np.float64), 0.0)
    if not weight.any():
        weight = prior
    chance = np.zeros(len(weight))
    if temperature <= 1e-4:
        best = np.flatnonzero(weight == weight.max())
        chance[best[prior[best].argmax()]] = 1.0
        return chance
    some = weight > 0
    chance[some] = np.exp((np.log(weight[some]) - np.log(weight.max())) / temperature)
    return chance / chance.sum()


def choose_by_visits(searched: Searched, which: int, temperature: float, generator: np.random.Generator) -> int:
    """An action of game ``which`` drawn by :func:`choice_chances`."""
    if temperature <= 1e-4:
        return int(choice_chances(searched, which, temperature).argmax())
    weight = searched.visits[which].astype(np.float64)
    return sample(weight if weight.any() else np.maximum(searched.prior[which], 0), temperature, generator)


def sample(weight: Floats, temperature: float, generator: np.random.Generator) -> int:
    """An index drawn in proportion to weight^(1/temperature); the arg max (the first of equals) near 0."""
    if temperature <= 1e-4:
        return int(weight.argmax())
    chance = np.zeros(len(weight))
    some = weight > 0
    chance[some] = np.exp((np.log(weight[some]) - np.log(weight.max())) / temperature)
    below = np.cumsum(chance)
    return int(np.searchsorted(below, generator.random() * below[-1], side="right"))
