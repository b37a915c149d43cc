"""Proportion explained, from the effects on each clean prompt. Pure NumPy: what a study's summary is made of.

With x_r a clean prompt, x_c a counterfactual, G_P the model in which only the paths of P read x_r, and delta a distance
of two outputs (Goldowsky-Dill et al. 2023, section 2.3):

    average unexplained effect   AUE(P) = mean over r of mean over c of delta(G(x_r), G_P(x_r, x_c))
    average total effect         ATE    = AUE(baseline)
    proportion explained         PE(P)  = 1 − AUE(P) / ATE, which may be negative

The independent unit is the clean prompt: effects are first averaged over its counterfactuals, and bootstrap intervals
resample clean prompts, numerator and denominator together.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toulmin.evidence import Chart, Figure, Interval, Table, TabularResult, bootstrap_mean, bootstrap_ratio
from toulmin.faults import ExitCode, Fault, FaultError

FEW_PROMPTS = 50  #: below this many clean prompts a result says that its intervals are unreliable
MIN_EFFECT = 1e-6
Effect = NDArray[np.float64]


@dataclass(frozen=True)
class Explained(TabularResult):
    """One hypothesis: AUE, ATE and PE with their intervals, over ``n`` clean prompts.

    ``n_paths``: the exact number of its paths, counted by the automaton through components, inputs and the classes of
    positions that the hypotheses distinguish. ``n_copies``: the mixed (node, state) copies that were computed.
    """

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
    n_paths: int | None = None
    n_copies: int | None = None
    notes: tuple[str, ...] = ()

    def tables(self) -> tuple[Table, ...]:
        """One row."""
        return (_table([self]),)

    def __str__(self) -> str:
        low, high = self.pe_interval.low, self.pe_interval.high
        paths = "" if self.n_paths is None else f"{count_text(self.n_paths)} paths, "
        lines = [
            f"{self.name}: explains {self.pe:.3f} [{low:.3f}, {high:.3f}] of the effect against {self.baseline}",
            f"  {paths}unexplained {self.aue:.4g}, total {self.ate:.4g} {self.unit}, {self.n} clean prompts",
            *(f"  note: {note}" for note in self.notes),
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class Ladder(TabularResult, Sequence[Explained]):
    """Hypotheses in the order given, each :class:`Explained`, and what each adds to the one before.

    A sequence: ``for result in ladder``, ``ladder[0]``, ``(result,) = ladder``.
    """

    rungs: tuple[Explained, ...]
    gains: Table | None = None

    def __getitem__(self, index: int) -> Explained:  # type: ignore[override]
        return self.rungs[index]

    def __len__(self) -> int:
        return len(self.rungs)

    def __iter__(self) -> Iterator[Explained]:
        return iter(self.rungs)

    def tables(self) -> tuple[Table, ...]:
        """PE of each hypothesis, and the gain of each over the one before."""
        return (_table(self.rungs), *([] if self.gains is None else [self.gains]))

    def figures(self) -> tuple[Figure, ...]:
        """PE of each hypothesis with its interval, where there are several."""
        return (self.chart(),) if len(self.rungs) > 1 else ()

    def chart(self, title: str = "Ladder of hypotheses") -> Chart:
        """PE of each hypothesis with its interval, in the order given."""
        spoken = "; ".join(f"{r.name} {r.pe:.2f}" for r in self.rungs)
        first = self.rungs[0]
        return Chart.ladder(
            [r.name for r in self.rungs],
            [r.pe for r in self.rungs],
            [r.pe_interval.low for r in self.rungs],
            [r.pe_interval.high for r in self.rungs],
            title=title,
            unit="proportion explained",
            caption=f"Proportion of the effect against {first.baseline} that each hypothesis explains, "
            f"{first.n} clean prompts, 95% bootstrap intervals over clean prompts.",
            alt=f"Proportion explained: {spoken}.",
        )


def explain_ladder(
    unexplained: Mapping[str, Effect],
    total: Effect,
    *,
    baseline: str = "everything",
    unit: str = "nats",
    seed: int = 0,
    resamples: int = 2000,
    n_paths: Mapping[str, int] | None = None,
    n_copies: Mapping[str, int] | None = None,
    notes: Mapping[str, Sequence[str]] | None = None,
    clusters: Sequence[str] | None = None,
) -> Ladder:
    """AUE, ATE and PE of each hypothesis, and the gain of each over the one before.

    :param unexplained: for each hypothesis, [n] its mean effect on each clean prompt.
    :param total: [n] the baseline's.
    :param clusters: the label that each clean prompt is resampled with, such as its template; default itself.
    :raises FaultError: as :func:`explain_proportion`.
    """
    rungs = tuple(
        explain_proportion(
            name,
            values,
            total,
            baseline=baseline,
            unit=unit,
            seed=seed,
            resamples=resamples,
            n_paths=(n_paths or {}).get(name),
            n_copies=(n_copies or {}).get(name),
            notes=(notes or {}).get(name, ()),
            clusters=clusters,
        )
        for name, values in unexplained.items()
    )
    gains = _gains(unexplained, total, seed, resamples, clusters) if len(rungs) > 1 else None
    return Ladder(rungs, gains)


def explain_proportion(
    name: str,
    unexplained: Effect,
    total: Effect,
    *,
    baseline: str = "everything",
    unit: str = "nats",
    seed: int = 0,
    resamples: int = 2000,
    min_effect: float = MIN_EFFECT,
    n_paths: int | None = None,
    n_copies: int | None = None,
    notes: Sequence[str] = (),
    clusters: Sequence[str] | None = None,
) -> Explained:
    """AUE, ATE and PE of one hypothesis from [n] its mean effect, and the baseline's, on each clean prompt.

    :raises FaultError: ``paths.no_effect`` (exit NUMERICAL) where ATE is not above ``min_effect``, so that a proportion
        of it has no meaning; ``paths.nan``.
    """
    if not (np.isfinite(unexplained).all() and np.isfinite(total).all()):
        raise FaultError(Fault("paths.nan", "an effect is not finite", name=name), ExitCode.NUMERICAL)
    ate, aue = float(total.mean()), float(unexplained.mean())
    if not ate > min_effect:
        message = f"the total effect {ate:.3g} is not above {min_effect:g}: there is nothing to explain a proportion of"
        raise FaultError(Fault("paths.no_effect", message, name=name), ExitCode.NUMERICAL)
    said = list(notes)
    if clusters is not None:
        said.append(f"intervals resample {len(set(clusters))} groups of prompts, such as templates")
    elif len(total) < FEW_PROMPTS:
        said.append(f"only {len(total)} clean prompts; intervals below {FEW_PROMPTS} are unreliable")
    return Explained(
        name=name,
        aue=aue,
        aue_interval=bootstrap_mean(unexplained, clusters=clusters, seed=seed, resamples=resamples),
        ate=ate,
        ate_interval=bootstrap_mean(total, clusters=clusters, seed=seed, resamples=resamples),
        pe=1 - aue / ate,
        pe_interval=bootstrap_ratio(
            unexplained, total, transform=_remainder, clusters=clusters, seed=seed, resamples=resamples
        ),
        n=len(total),
        unit=unit,
        baseline=baseline,
        n_paths=n_paths,
        n_copies=n_copies,
        notes=tuple(said),
    )


def _remainder(ratio: Effect) -> Effect:
    return 1 - ratio


def count_text(count: int) -> str:
    """A number of paths: every digit up to 30 of them, an exponent beyond."""
    if abs(count) < 10**30:
        return f"{count:,}"
    digits = str(abs(count)) if abs(count) < 10**4000 else None
    return f"{digits[0]}.{digits[1:3]}e{len(digits) - 1}" if digits else "more than 1e4000"


def _table(rungs: Sequence[Explained]) -> Table:
    """One row for each hypothesis; notes in the caption."""
    shared = set.intersection(*(set(r.notes) for r in rungs))
    said = [*sorted(shared), *(f"{r.name}: {note}" for r in rungs for note in r.notes if note not in shared)]
    return Table(
        title=f"Proportion explained, of the effect against {rungs[0].baseline}",
        columns=("hypothesis", "PE", "low", "high", "AUE", "ATE", "unit", "clean prompts", "paths", "copies"),
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
                r.n_paths if r.n_paths is None or r.n_paths < 2**53 else count_text(r.n_paths),
                r.n_copies,
            )
            for r in rungs
        ),
        caption=" ".join(f"{text[0].upper()}{text[1:]}." for text in said),
    )


def _gains(
    unexplained: Mapping[str, Effect], total: Effect, seed: int, resamples: int, clusters: Sequence[str] | None
) -> Table:
    """What each hypothesis adds to PE over the one before: (AUE before − AUE after) / ATE, over the same prompts."""
    rows: list[tuple[str, float, float, float]] = []
    for before, after in itertools.pairwise(unexplained):
        gain = unexplained[before] - unexplained[after]
        interval = bootstrap_ratio(gain, total, clusters=clusters, seed=seed, resamples=resamples)
        rows.append((f"{after} over {before}", float(gain.sum() / total.sum()), interval.low, interval.high))
    return Table(title="Gain of each hypothesis", columns=("step", "gain in PE", "low", "high"), rows=tuple(rows))
