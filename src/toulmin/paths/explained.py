"""Proportion explained, from the effects on each pair. Pure NumPy: what a study's summary is made of.

Average unexplained effect AUE(P) = mean of delta(G(x_r), G_P(x_r, x_c)); average total effect ATE = AUE(baseline);
proportion explained PE = 1 − AUE / ATE, which may be negative (Goldowsky-Dill et al. 2023, section 2.3). Intervals
resample references, numerator and denominator together.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toulmin.evidence import Chart, Interval, Table, bootstrap_mean, bootstrap_ratio
from toulmin.faults import ExitCode, Fault, FaultError

FEW_REFERENCES = 50
MIN_EFFECT = 1e-6


@dataclass(frozen=True)
class Explained:
    """One hypothesis: AUE, ATE and PE with their intervals, over ``n`` references."""

    name: str
    aue: float
    aue_interval: Interval
    ate: float
    ate_interval: Interval
    pe: float
    pe_interval: Interval
    n: int
    unit: str
    baseline: str
    n_paths: int = 0
    n_copies: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        low, high = self.pe_interval.low, self.pe_interval.high
        lines = [
            f"{self.name}: explains {self.pe:.3f} [{low:.3f}, {high:.3f}] of the effect against {self.baseline}",
            f"  unexplained {self.aue:.4g}, total {self.ate:.4g} {self.unit}, {self.n} references",
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


def explain_proportion(
    name: str,
    unexplained: NDArray[np.float64],
    total: NDArray[np.float64],
    *,
    references: Sequence[str] | None = None,
    baseline: str = "everything",
    unit: str = "nats",
    seed: int = 0,
    resamples: int = 2000,
    min_effect: float = MIN_EFFECT,
    n_paths: int = 0,
    n_copies: int = 0,
    notes: Sequence[str] = (),
) -> Explained:
    """AUE, ATE and PE of one hypothesis from the per-pair effects [n].

    :param references: the reference each pair belongs to; pairs of one reference are drawn together.
    :raises FaultError: ``paths.no_effect`` (exit NUMERICAL) where ATE is not above ``min_effect``, so that a
        proportion of
        it has no meaning; ``paths.nan``.
    """
    if not (np.isfinite(unexplained).all() and np.isfinite(total).all()):
        raise FaultError(Fault("paths.nan", "an effect is not finite", name=name), ExitCode.NUMERICAL)
    ate, aue = float(total.mean()), float(unexplained.mean())
    if not ate > min_effect:
        message = f"the total effect {ate:.3g} is not above {min_effect:g}: there is nothing to explain a proportion of"
        raise FaultError(Fault("paths.no_effect", message, name=name), ExitCode.NUMERICAL)
    labels = None if references is None else list(references)
    n = len(total) if labels is None else len(set(labels))
    said = list(notes)
    if n < FEW_REFERENCES:
        said.append(f"only {n} references; intervals below {FEW_REFERENCES} are unreliable")
    options = {"clusters": labels, "seed": seed, "resamples": resamples}
    return Explained(
        name=name,
        aue=aue,
        aue_interval=bootstrap_mean(unexplained, **options),
        ate=ate,
        ate_interval=bootstrap_mean(total, **options),
        pe=1 - aue / ate,
        pe_interval=bootstrap_ratio(unexplained, total, transform=_remainder, **options),
        n=n,
        unit=unit,
        baseline=baseline,
        n_paths=n_paths,
        n_copies=n_copies,
        notes=tuple(said),
    )


def _remainder(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 - ratio


def table_of(rungs: Sequence[Explained], title: str = "Proportion explained") -> Table:
    """One row a hypothesis."""
    return Table(
        title=title,
        columns=("hypothesis", "PE", "low", "high", "AUE", "ATE", "unit", "references", "baseline", "paths", "copies"),
        rows=tuple(
            (
                r.name,
                r.pe,
                r.pe_interval.low,
                r.pe_interval.high,
                r.aue,
                r.ate,
                r.unit,
                r.n,
                r.baseline,
                r.n_paths,
                r.n_copies,
            )
            for r in rungs
        ),
    )


def ladder_chart(rungs: Sequence[Explained], title: str = "Ladder of hypotheses") -> Chart:
    """PE of each rung with its interval, in the order given."""
    spoken = "; ".join(f"{r.name} {r.pe:.2f}" for r in rungs)
    return Chart.ladder(
        [r.name for r in rungs],
        [r.pe for r in rungs],
        [r.pe_interval.low for r in rungs],
        [r.pe_interval.high for r in rungs],
        title=title,
        unit="proportion explained",
        caption=f"Proportion of the effect against {rungs[0].baseline} that each hypothesis explains, "
        f"{rungs[0].n} references, 95% bootstrap intervals over references.",
        alt=f"Proportion explained: {spoken}.",
    )


def compare_rungs(
    unexplained: Mapping[str, NDArray[np.float64]],
    total: NDArray[np.float64],
    *,
    references: Sequence[str] | None = None,
    seed: int = 0,
    resamples: int = 2000,
) -> Table:
    """What each rung adds over the one before it, paired over the same references."""
    names = list(unexplained)
    labels = None if references is None else list(references)
    rows: list[tuple[str, float, float, float]] = []
    for before, after in itertools.pairwise(names):
        gain = unexplained[before] - unexplained[after]
        interval = bootstrap_ratio(gain, total, clusters=labels, seed=seed, resamples=resamples)
        rows.append((f"{after} over {before}", float(gain.sum() / total.sum()), interval.low, interval.high))
    return Table(title="Gain of each rung", columns=("step", "gain in PE", "low", "high"), rows=tuple(rows))
