"""The faithfulness card, the sweep over sizes, and the audit of attributions, measured on a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.agreement import Audit, audit_scores
from toulmin.circuits.discovery.edge_scores import EdgeScores
from toulmin.circuits.discovery.exact_effects import exact_effects
from toulmin.circuits.faithfulness.card import Card, Values, make_card
from toulmin.circuits.methodology import Ablation, Methodology, grid
from toulmin.circuits.runner import CircuitRunner
from toulmin.subjects.transformer import Transformer
from toulmin.tasks import Metric
from toulmin.tasks.pair import Pair

CARD_METRICS = ("logit_diff", "prob_diff", "kl", "loss", "choice_accuracy")


def card_values(
    circuit: Circuit,
    runner: CircuitRunner,
    methodologies: Sequence[Methodology],
    metrics: Sequence[str],
    progress: Callable[[int], None] | None = None,
) -> dict[tuple[Methodology, str], Values]:
    """c_i, f_i and e_i of every methodology and metric: the circuit and the empty circuit in one batch each."""
    full = runner.full_scores(metrics)
    empty = Circuit.empty(circuit.graph, circuit.positions)
    found: dict[tuple[Methodology, str], Values] = {}
    for method in methodologies:
        scores = runner.scores([circuit, empty], method, metrics)
        for metric in metrics:
            found[method, metric] = Values(scores[metric][0], full[metric], scores[metric][1])
        if progress is not None:
            progress(1)
    return found


def faithfulness_card(
    circuit: Circuit,
    model: Transformer,
    task: Sequence[Pair],
    *,
    methodologies: Sequence[Methodology] | None = None,
    metrics: Sequence[str] = CARD_METRICS,
    threshold: float = 80.0,
    ceiling: float | None = None,
    batch: int = 32,
    seed: int = 0,
    resamples: int = 1000,
) -> Card:
    """Every faithfulness number of ``circuit`` on the prompts ``task``: methodology x metric x aggregation x baseline.

    :param methodologies: default :func:`~toulmin.circuits.methodology.grid`, with the circuit's own
        positions if it
        has any.
    :param threshold: percent from which a cell counts as faithful; ``ceiling``: percent above which it does not.
    :param batch: prompts a batch; it enters the batch means.
    :raises FaultError: unknown metrics, NaN, a circuit of another model.
    """
    runner = CircuitRunner(model, task, batch=batch, merged_qkv=circuit.graph.merged_qkv)
    chosen = methodologies or grid(specific=circuit.positions is not None)
    values = card_values(circuit, runner, chosen, metrics)
    return make_card(
        values, threshold=threshold, ceiling=ceiling, clusters=runner.units, seed=seed, resamples=resamples
    )


@dataclass(frozen=True)
class Sweep:
    """Metrics of nested circuits: ``scores[metric]`` is ``[sizes, N]``; ``full``, ``ablated`` are ``[N]`` a metric."""

    sizes: tuple[int, ...]
    n_edges: int
    scores: dict[str, NDArray[np.float64]]
    full: dict[str, NDArray[np.float64]]
    ablated: dict[str, NDArray[np.float64]]

    def faithfulness(self, metric: str) -> NDArray[np.float64]:
        """(mean c - mean e) / (mean f - mean e) at each size, as MIB has it."""
        low, high = self.ablated[metric].mean(), self.full[metric].mean()
        return np.asarray((self.scores[metric].mean(1) - low) / (high - low))

    @property
    def shares(self) -> NDArray[np.float64]:
        """The sizes as shares of all edges."""
        return np.array(self.sizes) / self.n_edges


def sweep_sizes(
    runner: CircuitRunner,
    scores: EdgeScores,
    sizes: Sequence[int],
    method: Methodology | None = None,
    metrics: Sequence[str | Metric] = ("logit_diff", "kl"),
    *,
    signed: bool = False,
    together: int = 8,
) -> Sweep:
    """Faithfulness of the circuits of each size under one methodology; all circuits run as batches of ``together``."""
    method = method or Methodology()
    circuits = [*scores.sweep(sizes, signed=signed), Circuit.empty(runner.graph, scores.positions)]
    parts = [runner.scores(circuits[at : at + together], method, metrics) for at in range(0, len(circuits), together)]
    names = list(parts[0])
    whole = {name: np.concatenate([part[name] for part in parts]) for name in names}
    full = runner.full_scores(metrics)
    n_edges = runner.graph.n_edges * (scores.positions or 1)
    return Sweep(
        tuple(sizes), n_edges, {n: v[:-1] for n, v in whole.items()}, full, {n: v[-1] for n, v in whole.items()}
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
    edges = [(edge.source, edge.receiver) for edge in runner.graph.edges]
    if sample is not None and sample < len(edges):
        drawn = np.random.default_rng(seed).choice(len(edges), size=sample, replace=False)
        edges = [edges[i] for i in np.sort(drawn)]
    exact = exact_effects(runner, metric, ablation=ablation, edges=edges)
    return audit_scores(scores.summed(), exact, edges)
