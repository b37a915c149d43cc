"""How well an attribution method's scores agree with exact single-edge effects. No torch.

Spearman's rank correlation of scores and effects, and of their absolute values (which circuits are built from); the
overlap of the k edges that each calls largest; and the share of the effect's sign that the scores get right, weighted
by its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.edges import Pair
from toulmin.circuits.methodology import Ablation
from toulmin.evidence import Interval, bootstrap
from toulmin.faults import Fault, FaultError

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner
    from toulmin.tasks import Metric

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Audit:
    """Agreement of ``method`` with exact effects over ``n`` edges; intervals resample edges."""

    method: str
    n: int
    rank_correlation: float
    rank_interval: Interval | None
    absolute_rank_correlation: float
    absolute_rank_interval: Interval | None
    top: dict[int, float]
    sign_agreement: float
    scores: Array
    effects: Array
    edges: NDArray[np.int64]

    def __str__(self) -> str:
        overlaps = ", ".join(f"top-{k} {share:.0%}" for k, share in self.top.items())
        rank = f"rank correlation {self.absolute_rank_correlation:.2f}"
        if self.absolute_rank_interval is not None:
            rank += f" [{self.absolute_rank_interval.low:.2f}, {self.absolute_rank_interval.high:.2f}]"
        return f"{self.method} against exact effects on {self.n} edges: {rank}; {overlaps}"


def ranks(values: Array) -> Array:
    """Ranks from 1, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def spearman(a: Array, b: Array) -> float:
    """Spearman's rank correlation; 0 where one of the two is constant."""
    x, y = ranks(a), ranks(b)
    x, y = x - x.mean(), y - y.mean()
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum() / scale) if scale > 0 else 0.0


def overlap(a: Array, b: Array, k: int) -> float:
    """The share of the k largest |a| that are among the k largest |b|; ties in the order given."""
    one, two = (set(np.argsort(-np.abs(v), kind="stable")[:k].tolist()) for v in (a, b))
    return len(one & two) / k


def audit_scores(
    scores: EdgeScores,
    exact: EdgeScores,
    edges: Sequence[Pair],
    *,
    ks: Sequence[int] = (10, 50),
    seed: int = 0,
    resamples: int = 500,
) -> Audit:
    """Compare ``scores`` with ``exact`` on ``edges``.

    :raises FaultError: scores of different graphs, or fewer than three edges.
    """
    if scores.graph != exact.graph or len(edges) < 3:
        raise FaultError(Fault("circuits.audit", "scores of two different graphs, or fewer than three edges"))
    rows, columns = np.array(edges).T
    a, b = scores.values[rows, columns], exact.values[rows, columns]
    flat = len(np.unique(a)) < 2 or len(np.unique(b)) < 2

    def interval(x: Array, y: Array) -> Interval | None:
        return None if flat else bootstrap(spearman, x, y, method="percentile", resamples=resamples, seed=seed)

    weight = np.abs(b).sum()
    agreement = float(np.abs(b)[np.sign(a) == np.sign(b)].sum() / weight) if weight > 0 else 1.0
    return Audit(
        method=scores.method,
        n=len(edges),
        rank_correlation=spearman(a, b),
        rank_interval=interval(a, b),
        absolute_rank_correlation=spearman(np.abs(a), np.abs(b)),
        absolute_rank_interval=interval(np.abs(a), np.abs(b)),
        top={k: overlap(a, b, k) for k in ks if k <= len(edges)},
        sign_agreement=agreement,
        scores=a,
        effects=b,
        edges=np.array(edges, dtype=np.int64),
    )


def audit(
    runner: CircuitRunner,
    scores: EdgeScores,
    *,
    metric: str | Metric = "logit_diff",
    ablation: Ablation = "resample",
    sample: int | None = 200,
    seed: int = 0,
) -> Audit:
    """Attribution scores against exact single-edge effects on a sample of edges.

    :param sample: how many edges, drawn uniformly; None for all.
    :raises FaultError: fewer than three edges.
    """
    from toulmin.circuits.discovery.exact_effects import exact_effects

    edges = [(edge.source, edge.receiver) for edge in runner.graph.edges]
    if sample is not None and sample < len(edges):
        drawn = np.random.default_rng(seed).choice(len(edges), size=sample, replace=False)
        edges = [edges[i] for i in np.sort(drawn)]
    exact = exact_effects(runner, metric, ablation=ablation, edges=edges)
    return audit_scores(scores.summed(), exact, edges)
