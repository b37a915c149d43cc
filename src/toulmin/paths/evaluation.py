"""Evaluating hypotheses on a model: effects on each pair, and the proportion of an effect that they explain.

For a hypothesis P the model is run so that every copy of an input at the end of a path in P reads the clean prompt and
every other copy the counterfactual (Goldowsky-Dill et al. 2023, section 2). The sets of paths of all hypotheses, of the
baseline and of the clean run are evaluated as one plan, so that what they share is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toulmin.evidence import Table, TabularResult, average_by_unit
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching import Graph, run_paths
from toulmin.paths.explained import Ladder, count_text, explain_ladder
from toulmin.paths.hypothesis import Hypothesis, hypothesis
from toulmin.paths.metric_change import AnyMetric, change_unit, find_change, measure_change
from toulmin.paths.space import MAX_COPIES, Space, make_space
from toulmin.tasks import Pair, batch_pairs, check_prompts, clusters_of

if TYPE_CHECKING:
    from toulmin.subjects import Subject, Transformer

EVERYTHING_PATCHED = "everything"
Functions = Mapping[str, Mapping[str, Callable[[Tensor], Tensor]]]


@dataclass(frozen=True)
class Effects(TabularResult):
    """Effects on each of n pairs, before any averaging.

    ``unexplained[name]``: [n] the change of the output under each hypothesis; ``total``: [n] under the baseline.
    ``units``: the clean prompt of each pair. ``n_paths``: the exact number of paths of each hypothesis. ``n_copies``:
    the mixed (node, state) copies computed for it. ``metric`` and ``unit``: what the effects are changes of, and in.
    ``clusters``: for each clean prompt what it is resampled with (its template), where that is not itself.
    """

    unexplained: Mapping[str, NDArray[np.float64]]
    total: NDArray[np.float64]
    units: tuple[str, ...]
    metric: str
    unit: str
    baseline: str
    n_paths: Mapping[str, int]
    n_copies: Mapping[str, int]
    notes: Mapping[str, tuple[str, ...]]
    clusters: Mapping[str, str] | None = None

    def by_prompt(self) -> tuple[list[str], dict[str, NDArray[np.float64]], NDArray[np.float64]]:
        """Clean prompts, and for each its mean unexplained effects and mean total effect over its pairs."""
        names, means = average_by_unit(self.units, {"total": self.total, **_keyed(self.unexplained)})
        total = means.pop("total")
        return names, {name: means[key] for name, key in zip(self.unexplained, means, strict=True)}, total

    def tables(self) -> tuple[Table, ...]:
        """Each hypothesis with its mean effects."""
        names, unexplained, total = self.by_prompt()
        rows = [
            (name, count_text(self.n_paths[name]), self.n_copies[name], float(values.mean()), float(total.mean()))
            for name, values in unexplained.items()
        ]
        caption = (
            f"Mean change of {self.metric} ({self.unit}) over {len(names)} clean prompts, total: of {self.baseline}."
        )
        columns = ("hypothesis", "paths", "copies", "unexplained", "total")
        return (Table(title="Effects", columns=columns, rows=tuple(rows), caption=caption),)

    def explain(self, *, seed: int = 0, resamples: int = 2000) -> Ladder:
        """The proportion that each hypothesis explains, with bootstrap intervals over clean prompts."""
        names, unexplained, total = self.by_prompt()
        return explain_ladder(
            unexplained,
            total,
            baseline=self.baseline,
            unit=self.unit,
            seed=seed,
            resamples=resamples,
            n_paths=self.n_paths,
            n_copies=self.n_copies,
            notes=self.notes,
            clusters=None if self.clusters is None else [self.clusters[name] for name in names],
        )


def _keyed(unexplained: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    return {f"unexplained/{name}": values for name, values in unexplained.items()}


def space_of(
    model: Transformer,
    hypotheses: Sequence[Hypothesis],
    length: int,
    *,
    pairs: Sequence[Pair] = (),
    terms: Functions | None = None,
) -> Space:
    """The refined graph for hypotheses on a model, for sequences of a length and the positions the pairs name."""
    if model.config.post_norms:
        message = "the scale of a norm after the heads is read from all heads of the layer, so a path through one head"
        message += " is not one head's: path sets are not defined for models with post-norms"
        hint = "circuits, head_to_head, sender_to_logits and activation_patching are"
        raise FaultError(Fault("paths.post_norms", message, hint=hint), ExitCode.SUBJECT)
    graph = Graph.of(model, split_embed=any(h.splits_embedding for h in hypotheses))
    common = set.intersection(*(set(pair.positions) for pair in pairs)) if pairs else set[str]()
    named = {name: np.array([pair.positions[name] for pair in pairs]) for name in sorted(common)}
    return make_space(
        graph, hypotheses, length, named=named, terms={source: tuple(parts) for source, parts in (terms or {}).items()}
    )


def effects(
    model: Transformer | Subject,
    hypotheses: str | Hypothesis | Iterable[Hypothesis],
    pairs: Iterable[Pair],
    *,
    metric: AnyMetric = "kl",
    signed: bool = False,
    baseline: str | Hypothesis = EVERYTHING_PATCHED,
    terms: Functions | None = None,
    max_copies: int = MAX_COPIES,
    max_bytes: int | None = None,
    batch: int | None = None,
) -> Effects:
    """The change of the output under each hypothesis P, delta(G(x_r), G_P(x_r, x_c)), and under the baseline.

    Arguments and errors as :func:`evaluate`. ``signed``: of a metric that is no distance, m(patched) − m(clean) instead
    of its square, for attribution.
    """
    model, pairs = check_prompts(model, pairs)
    chosen = listed(hypotheses)
    labels = [h.label for h in chosen]
    if repeated := {label for label in labels if labels.count(label) > 1}:
        raise FaultError(
            [Fault("paths.duplicate", "two hypotheses have this name", name=name) for name in sorted(repeated)]
        )
    measured = find_change(metric, signed=signed)
    against = baseline if isinstance(baseline, Hypothesis) else _baseline(baseline)
    everything = hypothesis("all")
    values = np.zeros((len(chosen) + 1, len(pairs)))
    n_paths: dict[str, int] = {}
    n_copies: dict[str, int] = {}
    notes: dict[str, tuple[str, ...]] = {}
    _check_terms(model, terms)
    for part in batch_pairs(pairs, batch or len(pairs)):
        here = [pairs[i] for i in part.index]
        space = space_of(model, [*chosen, against], part.clean.shape[1], pairs=here, terms=terms)
        sets = [space.compile(h, max_copies=max_copies) for h in (everything, against, *chosen)]
        for label, made in zip(labels, sets[2:], strict=True):
            n_paths[label] = max(n_paths.get(label, 0), made.count())
            n_copies[label] = max(n_copies.get(label, 0), made.n_copies())
            if not sets[1] <= made:
                notes[label] = ("it does not contain all paths of the baseline, so PE compares different things",)
        part = part.to(model.W_E.device)
        with torch.no_grad():
            logits = run_paths(
                model,
                sets,
                part.clean,
                part.counterfactual,
                graph=space.graph,
                classes=space.classes,
                terms=terms,
                scored=part.at,
                max_bytes=max_bytes,
            )
            found = measure_change(measured, logits[1:], part, logits[0], signed=signed)
        values[:, list(part.index)] = found.double().cpu().numpy()
    if not np.isfinite(values).all():
        raise FaultError(Fault("paths.nan", "an effect is NaN or infinite"), ExitCode.NUMERICAL)
    units = unit_names(pairs)
    clusters = clusters_of(units, pairs)
    return Effects(
        dict(zip(labels, values[1:], strict=True)),
        values[0],
        units,
        measured.name,
        change_unit(measured, signed=signed),
        against.label,
        n_paths,
        n_copies,
        notes,
        None if clusters is None else dict(zip(units, clusters, strict=True)),
    )


def evaluate(
    model: Transformer | Subject,
    hypotheses: str | Hypothesis | Iterable[Hypothesis],
    pairs: Iterable[Pair],
    *,
    baseline: str | Hypothesis,
    metric: AnyMetric = "kl",
    terms: Functions | None = None,
    seed: int = 0,
    resamples: int = 2000,
    max_copies: int = MAX_COPIES,
    max_bytes: int | None = None,
    batch: int | None = None,
) -> Ladder:
    """The proportion of an effect that each hypothesis explains, with bootstrap intervals over clean prompts.

    PE = 1 − AUE / ATE (Goldowsky-Dill et al. 2023, section 2.3; formulas in :mod:`toulmin.paths.explained`).

    :param hypotheses: one or several, as :class:`Hypothesis` or text of the path language.
    :param pairs: clean and counterfactual prompts; pairs with the same ``unit`` (without one, the same clean tokens)
        are one draw of the bootstrap.
    :param baseline: what PE is a proportion of: ``"everything"`` (the effect of patching everything) or a hypothesis,
        such as ``"!L1.H{5,6}"`` (the effect of patching only what runs through these heads).
    :param metric: a metric by name, a :class:`toulmin.tasks.Metric`, or a function of (patched logits [C, B, V], batch,
        clean logits [B, V]) that gives [C, B]. A distance (``kl``, ``absolute_loss``, ``squared_loss``,
        ``squared_logit_diff``, ``max_change``) is delta itself; of any other metric delta is the squared change.
    :param terms: for each source to split, functions by name that sum to its output.
    :param max_copies: bound on the (node, state) copies of one hypothesis.
    :param max_bytes: activations stay below this; default :func:`toulmin.patching.default_bytes` of the device.
    :param batch: pairs in one evaluation; default all of one length.
    :raises FaultError: names that match nothing, hypotheses without a path, pairs of unequal length, states beyond the
        bound, NaN, no effect, a metric of which no share has a meaning (``paths.metric``).
    """
    found = effects(
        model,
        hypotheses,
        pairs,
        metric=metric,
        baseline=baseline,
        terms=terms,
        max_copies=max_copies,
        max_bytes=max_bytes,
        batch=batch,
    )
    return found.explain(seed=seed, resamples=resamples)


def listed(hypotheses: str | Hypothesis | Iterable[str | Hypothesis]) -> list[Hypothesis]:
    """Hypotheses as a list; text is read.

    :raises FaultError: ``paths.syntax``; ``paths.no_hypothesis`` where there is none.
    """
    some = [hypotheses] if isinstance(hypotheses, str | Hypothesis) else list(hypotheses)
    if not some:
        raise FaultError(Fault("paths.no_hypothesis", "no hypothesis to evaluate"))
    return [hypothesis(one) if isinstance(one, str) else one for one in some]


def unit_names(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """For each pair, its independent unit: what it names, or else its clean prompt (numbered by first appearance)."""
    first: dict[tuple[int, ...], int] = {}
    return tuple(pair.unit or f"pair-{first.setdefault(pair.clean, i)}" for i, pair in enumerate(pairs))


def _baseline(text: str) -> Hypothesis:
    if text == EVERYTHING_PATCHED:
        return hypothesis("none", EVERYTHING_PATCHED)
    return hypothesis(text)


def _check_terms(model: Transformer, terms: Functions | None) -> None:
    """Terms must sum to what they split."""
    probe = torch.randn(5, model.config.d_model, generator=torch.Generator().manual_seed(0)).to(model.W_E)
    faults: list[Fault] = []
    for source, parts in (terms or {}).items():
        total = torch.stack([part(probe) for part in parts.values()]).sum(0)
        if not torch.allclose(total, probe, atol=1e-4 if probe.dtype == torch.float32 else 1e-9):
            faults.append(Fault("paths.terms", "the terms do not sum to the output they split", name=source))
    if faults:
        raise FaultError(faults)
