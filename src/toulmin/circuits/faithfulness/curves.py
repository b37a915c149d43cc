r"""Faithfulness over circuit sizes, and how well scores find a known circuit.

CPR and CMD (Mueller et al. 2025, "MIB", section 3): with f(k) the faithfulness of the circuit of share k of all edges,
CPR = \int f(k) dk and CMD = \int |1 - f(k)| dk by the trapezoidal rule over the measured shares. ROC: edges ranked by
score, true against false positive rate; AUROC with ties counted half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.checks import check_runner
from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.faithfulness.recovered import Recovered, recovered
from toulmin.circuits.methodology import Methodology
from toulmin.circuits.pictures import draw_curves
from toulmin.evidence import Chart, Table, TabularResult
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks import MetricLike

if TYPE_CHECKING:
    from toulmin.circuits.runner import CircuitRunner

Array = NDArray[np.float64]
#: the shares of edges at which MIB evaluates
MIB_SHARES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


def _checked(x: Sequence[float] | Array, y: Sequence[float] | Array, log_x: bool) -> tuple[Array, Array]:
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.shape != ys.shape or xs.ndim != 1 or len(xs) < 2 or (np.diff(xs) < 0).any():
        raise FaultError(Fault("circuits.curve", "a curve needs two or more points with rising sizes"))
    if not (np.isfinite(xs).all() and np.isfinite(ys).all()):
        raise FaultError(Fault("circuits.curve", "a point of the curve is NaN or infinite"), ExitCode.NUMERICAL)
    if log_x and xs[0] <= 0:
        raise FaultError(Fault("circuits.curve", "a size of zero has no logarithm"))
    return (np.log(xs) if log_x else xs), ys


def area_under(x: Sequence[float] | Array, y: Sequence[float] | Array, *, log_x: bool = False) -> float:
    """The trapezoidal area under (x, y), over x or its natural logarithm.

    :raises FaultError: fewer than two points, falling x, NaN, or a logarithm of zero.
    """
    xs, ys = _checked(x, y, log_x)
    return float(((ys[1:] + ys[:-1]) / 2 * np.diff(xs)).sum())


def cpr(shares: Sequence[float] | Array, faithfulness: Sequence[float] | Array, *, log_x: bool = False) -> float:
    """MIB's circuit performance ratio: the area under f(k); ``faithfulness`` is a ratio, not percent."""
    return area_under(shares, faithfulness, log_x=log_x)


def cmd(shares: Sequence[float] | Array, faithfulness: Sequence[float] | Array, *, log_x: bool = False) -> float:
    """MIB's circuit-model distance: the area between f(k) and 1, 0 is best."""
    return area_under(shares, np.abs(1.0 - np.asarray(faithfulness, dtype=np.float64)), log_x=log_x)


@dataclass(frozen=True)
class Roc:
    """The ROC curve of scores against a reference circuit: points from (0, 0) to (1, 1), and the area under them."""

    false_positive_rate: Array
    true_positive_rate: Array
    auroc: float


def roc(scores: EdgeScores, reference: Circuit, *, signed: bool = False) -> Roc:
    """How well ``scores`` (absolute, unless ``signed``) separate the edges of ``reference`` from the rest.

    :raises FaultError: another graph, or a reference with none or all of the edges.
    """
    if scores.graph != reference.graph or scores.positions != reference.positions:
        raise FaultError(Fault("circuits.graph", "scores and reference are of different edges"))
    flat = scores.flat() if signed else np.abs(scores.flat())
    truth = reference.table.swapaxes(0, 1)[reference.graph.allowed.T].reshape(-1)
    positives = int(truth.sum())
    if positives in (0, len(truth)):
        raise FaultError(Fault("circuits.roc", "the reference holds none or all of the edges"))
    order = np.argsort(-flat, kind="stable")
    ends = np.nonzero(np.append(np.diff(flat[order]) != 0, True))[0]  # tied edges enter together
    hits = np.cumsum(truth[order])[ends]
    tpr = np.append(0.0, hits / positives)
    fpr = np.append(0.0, (ends + 1 - hits) / (len(truth) - positives))
    return Roc(fpr, tpr, float(((tpr[1:] + tpr[:-1]) / 2 * np.diff(fpr)).sum()))


def sizes_for(n_edges: int, points: int = 20) -> list[int]:
    """About ``points`` circuit sizes from 0 to ``n_edges``, even in the logarithm."""
    steps = np.unique(np.round(np.geomspace(1, n_edges, max(2, points - 1))).astype(int))
    return [0, *(int(step) for step in steps)]


@dataclass(frozen=True)
class Sweep(TabularResult):
    """Metrics of nested circuits: ``scores[metric]`` is ``[sizes, N]``; ``full``, ``ablated`` are ``[N]`` a metric.

    ``n_edges`` counts all edges, at every position where the circuits have positions; ``units`` are those of the
    prompts, which intervals resample.
    """

    sizes: tuple[int, ...]
    n_edges: int
    method: Methodology
    scores: dict[str, Array]
    full: dict[str, Array]
    ablated: dict[str, Array]
    units: tuple[str, ...]

    def faithfulness(self, metric: str) -> Array:
        """(mean c - mean e) / (mean f - mean e) at each size, as MIB has it.

        :raises FaultError: the ablated model has the full model's mean: there is nothing to recover.
        """
        low, high = self.ablated[metric].mean(), self.full[metric].mean()
        if high == low:
            message = "the full and the ablated model have the same mean: nothing to recover"
            raise FaultError(Fault("circuits.no_effect", message, name=metric), ExitCode.NUMERICAL)
        return np.asarray((self.scores[metric].mean(1) - low) / (high - low))

    def recovered(self, metric: str, *, resamples: int = 1000, seed: int = 0) -> list[Recovered]:
        """The same in percent at each size, with its interval over units."""
        clusters = list(self.units) if len(set(self.units)) < len(self.units) else None
        return [
            recovered(
                row, self.full[metric], self.ablated[metric], "percent_of_means",
                clusters=clusters, resamples=resamples, seed=seed,
            )
            for row in self.scores[metric]
        ]  # fmt: skip

    @property
    def shares(self) -> Array:
        """The sizes as shares of all edges."""
        return np.array(self.sizes) / self.n_edges

    def tables(self) -> tuple[Table, ...]:
        """One row a size: its share of all edges and, for each metric, the mean and the percent recovered."""
        columns, cells = ["edges", "share"], [self.sizes, [float(share) for share in self.shares]]
        for name, scores in self.scores.items():
            percents = self.recovered(name)
            columns += [name, f"{name}, % recovered", "low", "high"]
            cells += [
                [float(mean) for mean in scores.mean(1)],
                [found.value for found in percents],
                [None if found.interval is None else found.interval.low for found in percents],
                [None if found.interval is None else found.interval.high for found in percents],
            ]
        return (
            Table(
                title=f"circuits of {len(self.sizes)} sizes, {self.method}",
                columns=tuple(columns),
                rows=tuple(zip(*cells, strict=True)),
            ),
        )

    def figures(self) -> tuple[Chart, ...]:
        """Percent recovered over size, one line a metric."""
        sizes = np.array(self.sizes, dtype=np.float64)
        lines = {name: (sizes, 100 * self.faithfulness(name)) for name in self.scores}
        return (draw_curves(lines, title=f"Faithfulness over size, {self.method}", y="% recovered"),)


def sweep_sizes(
    runner: CircuitRunner,
    scores: EdgeScores,
    sizes: Sequence[int],
    method: Methodology | None = None,
    metrics: Sequence[MetricLike] = ("logit_diff", "kl"),
    *,
    signed: bool = False,
    together: int = 8,
) -> Sweep:
    """Metrics of the circuits of the ``sizes`` best-scored edges under one methodology.

    Of scores per position the circuits keep edges at positions, and ``sizes`` count edges at positions.

    :param together: circuits to run at once. :raises FaultError: unknown metrics, NaN, a size that does not exist.
    """
    check_runner(runner)
    method = method or Methodology()
    circuits = [*scores.sweep(sizes, signed=signed), Circuit.empty(runner.graph, scores.positions)]
    found = runner.scores(circuits, method, metrics, together=together)
    return Sweep(
        sizes=tuple(sizes),
        n_edges=runner.graph.n_edges * (scores.positions or 1),
        method=method,
        scores={name: values[:-1] for name, values in found.items()},
        full=runner.full_scores(metrics),
        ablated={name: values[-1] for name, values in found.items()},
        units=runner.units,
    )
