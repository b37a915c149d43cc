"""Chances of moves: the noise on a root's prior, and the choice of a move from the visits of a search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from toulmin.go.search.mcts import Searched
    from toulmin.go.search.settings import SearchSettings

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


def lower_bounds(searched: Searched, which: int, settings: SearchSettings) -> tuple[Floats, Floats]:
    """The lower confidence bound of each move's utility for the mover, and its radius; -inf and inf without visits.

    With n visits of mean utility q and mean square s, the variance is that of the visits together with a prior of
    weight 1/n² whose variance is the square of the largest utility R = 1 + static_score + dynamic_score, as KataGo has
    it: v = (n s + (q² + R²)/n²) / (n + 1/n²) - q². The radius is ``lcb_stdevs`` · sqrt(v / m) with the effective number
    of visits m = (n + 1/n²)² / (n + 1/n⁴).
    """
    visits = searched.visits[which].astype(np.float64)
    bound, radius = np.full(len(visits), -np.inf), np.full(len(visits), np.inf)
    some = visits > 0
    n, mean = visits[some], searched.means[which][some]
    square = np.maximum(searched.squares[which][some], mean**2 + 1e-8)
    largest = 1.0 + settings.static_score + settings.dynamic_score
    weight = 1.0 / n**2
    square = (square * n + (mean**2 + largest**2) * weight) / (n + weight)
    effective = (n + weight) ** 2 / (n + weight**2)
    radius[some] = settings.lcb_stdevs * np.sqrt((square - mean**2) / effective)
    bound[some] = (mean if searched.mover[which] == 1 else -mean) - radius[some]
    return bound, radius


def selection_weights(searched: Searched, which: int, settings: SearchSettings | None = None) -> Floats:
    """What a move is chosen by: the visits; with a single visit, which has none below the root, the prior.

    With the choice "lcb" the move of the largest lower bound, among those with ``lcb_least_visits`` of the most visited
    one's visits, counts as at least f² n of every move that has n visits and a bound lower by d with radius r:
    f = (r + d) / (r + d/5), how much wider that radius would have to be, at most 5 (KataGo's rule).
    """
    weight = searched.visits[which].astype(np.float64)
    if not weight.any():
        return np.maximum(searched.prior[which].astype(np.float64), 0.0)
    if settings is None or settings.choice == "visits":
        return weight
    bound, radius = lower_bounds(searched, which, settings)
    eligible = np.flatnonzero((weight > 0) & (weight >= settings.lcb_least_visits * weight.max()))
    best = int(eligible[bound[eligible].argmax()])
    for other in np.flatnonzero(weight > 0).tolist():
        excess = bound[best] - bound[other]
        if other != best and excess >= 0:
            factor = (radius[other] + excess) / (radius[other] + 0.2 * excess)
            weight[best] = max(weight[best], factor**2 * searched.visits[which, other])
    return weight


def choice_chances(
    searched: Searched, which: int, temperature: float, settings: SearchSettings | None = None
) -> Floats:
    """How likely each action of game ``which`` is: weight^(1/temperature); at 0 the largest, then of most prior.

    The weights are :func:`selection_weights`: the visits, unless ``settings`` choose otherwise.
    """
    weight = selection_weights(searched, which, settings)
    chance = np.zeros(len(weight))
    if temperature <= 1e-4:
        best = np.flatnonzero(weight == weight.max())
        chance[best[searched.prior[which][best].argmax()]] = 1.0
        return chance
    some = weight > 0
    chance[some] = np.exp((np.log(weight[some]) - np.log(weight.max())) / temperature)
    return chance / chance.sum()


def choose_by_visits(
    searched: Searched,
    which: int,
    temperature: float,
    generator: np.random.Generator,
    settings: SearchSettings | None = None,
) -> int:
    """An action of game ``which`` drawn by :func:`choice_chances`."""
    if temperature <= 1e-4:
        return int(choice_chances(searched, which, temperature, settings).argmax())
    return sample(selection_weights(searched, which, settings), temperature, generator)


def sample(weight: Floats, temperature: float, generator: np.random.Generator) -> int:
    """An index drawn in proportion to weight^(1/temperature); the arg max (the first of equals) near 0."""
    if temperature <= 1e-4:
        return int(weight.argmax())
    chance = np.zeros(len(weight))
    some = weight > 0
    chance[some] = np.exp((np.log(weight[some]) - np.log(weight.max())) / temperature)
    below = np.cumsum(chance)
    return int(np.searchsorted(below, generator.random() * below[-1], side="right"))
