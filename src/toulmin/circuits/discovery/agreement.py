r"""Attribution agreement: how well a method's scores agree with exact single-edge effects.

On a sample of edges: Spearman's rank correlation of scores and effects, and of their absolute values (by which circuits
are cut); the overlap of the k edges that each calls largest; and the share of the effects' sign that the scores get
right, weighted by the effects' size: :math:`\sum_e |x_e| [\mathrm{sign}(a_e) = \mathrm{sign}(x_e)] / \sum_e |x_e|`,
with scores a and effects x. Intervals resample edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.checks import check_runner
from toulmin.circuits.discovery.exact_effects import Place, effects_per_prompt
from toulmin.circuits.discovery.method import MetricSetting, Progress
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.edges import edge_name
from toulmin.circuits.methodology import Ablation
from toulmin.evidence import Interval, Table, TabularResult, bootstrap
from toulmin.faults import Fault, FaultError
from toulmin.patching import Graph

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

Array = NDArray[np.float64]
LARGEST = (10, 50)  # the k whose overlap is told


@dataclass(frozen=True, repr=False)
class AttributionAgreement(TabularResult):
    """Agreement of ``method`` with exact effects on ``n`` edges; ``top[k]`` is the overlap of the k largest."""

    method: str
    graph: Graph
    rank_correlation: float
    rank_interval: Interval | None
    absolute_rank_correlation: float
    absolute_rank_interval: Interval | None
    top: dict[int, float]
    sign_agreement: float
    scores: Array
    effects: Array
    edges: NDArray[np.int64]  #: [n, 2 or 3]: source, receiver (and position)

    @property
    def n(self) -> int:
        """The number of edges compared."""
        return len(self.edges)

    @property
    def sentence(self) -> str:
        """The result in one sentence."""
        rank = f"rank correlation {self.absolute_rank_correlation:.2f}"
        if self.absolute_rank_interval is not None:
            rank += f" [{self.absolute_rank_interval.low:.2f}, {self.absolute_rank_interval.high:.2f}]"
        parts = [rank, *(f"top-{k} {share:.0%}" for k, share in self.top.items())]
        return f"{self.method} against exact effects on {self.n} edges: {'; '.join(parts)}"

    def __repr__(self) -> str:
        return self.sentence

    def overview(self) -> tuple[Table, ...]:
        """The numbers, without the edges."""
        return self.tables()[:1]

    def tables(self) -> tuple[Table, ...]:
        """The numbers, and each edge's score and effect."""

        def row(name: str, value: float, interval: Interval | None = None) -> tuple[str | float | None, ...]:
            return name, value, None if interval is None else interval.low, None if interval is None else interval.high

        numbers = [
            row(
                "rank correlation of |score| and |effect|", self.absolute_rank_correlation, self.absolute_rank_interval
            ),
            row("rank correlation of score and effect", self.rank_correlation, self.rank_interval),
            *(row(f"overlap of the {k} largest", share) for k, share in self.top.items()),
            row("share of the effect with the right sign", self.sign_agreement),
        ]
        at = () if self.edges.shape[1] == 2 else ("position",)
        rows = [
            (edge_name(self.graph, place[0], place[1]), *place[2:], float(score), float(effect))
            for place, score, effect in zip(self.edges.tolist(), self.scores, self.effects, strict=True)
        ]
        title = f"{self.method} against exact effects on {self.n} edges"
        return (
            Table(title=title, columns=("agreement", "value", "low", "high"), rows=tuple(numbers)),
            Table(title="edges compared", columns=("edge", *at, "score", "exact effect"), rows=tuple(rows)),
        )


def attribution_agreement(
    runner: CircuitRunner,
    scores: EdgeScores,
    *,
    metric: MetricSetting | None = None,
    ablation: Ablation | None = None,
    sample: int | None = 200,
    seed: int = 0,
    progress: Progress | None = None,
) -> AttributionAgreement:
    """Compare scores with the exact effects of a sample of edges; per-position scores with effects at one position.

    :param metric: whose effects are measured; default the metric that the scores estimate, else ``logit_diff``.
    :param ablation: what a cut edge carries; default the ablation that the scores estimate, else ``resample``.
    :param sample: how many edges, drawn uniformly without replacement; None for all.
    :raises FaultError: fewer than three edges; prompts of several lengths with per-position scores.
    """
    check_runner(runner)
    metric, ablation = target_of(scores, metric, ablation)
    chosen = sample_edges(scores, sample, seed)
    effects = effects_per_prompt(runner, metric, chosen.tolist(), ablation, progress=progress).mean(1)
    return compare_scores(scores, chosen, effects)


def target_of(
    scores: EdgeScores, metric: MetricSetting | None = None, ablation: Ablation | None = None
) -> tuple[MetricSetting, Ablation]:
    """The effect that scores are compared with: what is given, or what the scores estimate, or the default."""
    return metric or scores.metric or "logit_diff", ablation or scores.ablation or "resample"


def sample_edges(scores: EdgeScores, sample: int | None, seed: int) -> NDArray[np.int64]:
    """[n, 2 or 3]: source, receiver (and position) of edges drawn uniformly without replacement, in their order."""
    places = scores.places()
    if sample is None or sample >= len(places):
        return places
    return places[np.sort(np.random.default_rng(seed).choice(len(places), size=sample, replace=False))]


def compare_scores(
    scores: EdgeScores, edges: NDArray[np.int64] | Sequence[Place], effects: Array, *, resamples: int = 500
) -> AttributionAgreement:
    """Compare ``scores`` with the ``effects`` of ``edges``.

    :raises FaultError: fewer than three edges, or not one effect for each.
    """
    places = np.array(edges, dtype=np.int64)
    if len(places) < 3 or len(places) != len(effects):
        text = f"{len(places)} edges with {len(effects)} effects: at least three are compared"
        raise FaultError(Fault("circuits.agreement", text))
    a, b = scores.values[tuple(places.T)], np.asarray(effects, dtype=np.float64)
    flat = len(np.unique(a)) < 2 or len(np.unique(b)) < 2

    def interval(x: Array, y: Array) -> Interval | None:
        return None if flat else bootstrap(spearman, x, y, method="percentile", resamples=resamples, seed=0)

    weight = np.abs(b).sum()
    return AttributionAgreement(
        method=scores.method,
        graph=scores.graph,
        rank_correlation=spearman(a, b),
        rank_interval=interval(a, b),
        absolute_rank_correlation=spearman(np.abs(a), np.abs(b)),
        absolute_rank_interval=interval(np.abs(a), np.abs(b)),
        top={k: overlap(a, b, k) for k in LARGEST if k <= len(places)},
        sign_agreement=float(np.abs(b)[np.sign(a) == np.sign(b)].sum() / weight) if weight > 0 else 1.0,
        scores=a,
        effects=b,
        edges=places,
    )


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
