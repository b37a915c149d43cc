"""Evaluating hypotheses on a model: effects on each pair, and the proportion they explain.

All hypotheses, the baseline and the reference run are roots of one plan, so what they share is computed once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.graph import Graph
from toulmin.patching.run_paths import DEFAULT_BYTES, run_paths
from toulmin.paths.explained import Explained, explain_proportion
from toulmin.paths.hypothesis import MAX_COPIES, Hypothesis, Space, hypothesis, make_space
from toulmin.tasks import Metric, Pair, batch_pairs, check_prompts, find_metric

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

EVERYTHING_PATCHED = "everything"
Functions = Mapping[str, Mapping[str, Callable[[Tensor], Tensor]]]


@dataclass(frozen=True)
class Effects:
    """Per pair: ``unexplained[name]`` is delta of each hypothesis, ``total`` that of the baseline."""

    unexplained: Mapping[str, NDArray[np.float64]]
    total: NDArray[np.float64]
    references: tuple[str, ...]
    baseline: str
    n_paths: Mapping[str, int]
    n_copies: Mapping[str, int]
    notes: Mapping[str, tuple[str, ...]]


def space_of(
    model: Transformer,
    hypotheses: Sequence[Hypothesis],
    length: int,
    *,
    pairs: Sequence[Pair] = (),
    terms: Functions | None = None,
) -> Space:
    """The refined graph for hypotheses on a model, for sequences of a length and the positions the pairs name."""
    graph = Graph.of(model, split_embed=any(h.splits_embedding for h in hypotheses))
    common = set.intersection(*(set(pair.positions) for pair in pairs)) if pairs else set[str]()
    named = {name: np.array([pair.positions[name] for pair in pairs]) for name in sorted(common)}
    return make_space(
        graph, hypotheses, length, named=named, terms={source: tuple(parts) for source, parts in (terms or {}).items()}
    )


def effects(
    model: Transformer,
    hypotheses: Sequence[Hypothesis],
    pairs: Sequence[Pair],
    *,
    delta: str | Metric | Callable[..., Tensor] = "kl",
    baseline: str | Hypothesis = EVERYTHING_PATCHED,
    terms: Functions | None = None,
    max_copies: int = MAX_COPIES,
    max_bytes: int = DEFAULT_BYTES,
    batch: int | None = None,
    signed: bool = False,
) -> Effects:
    """delta(G(x_r), G_P(x_r, x_c)) of each hypothesis P, and of the baseline, for each pair.

    Arguments as :func:`evaluate`. ``batch``: pairs in one evaluation, default all of one length. ``signed`` allows a
    signed delta, for attribution.
    """
    labels = [h.label for h in hypotheses]
    if repeated := {label for label in labels if labels.count(label) > 1}:
        raise FaultError(
            [Fault("paths.duplicate", "two hypotheses have this name", name=name) for name in sorted(repeated)]
        )
    model, pairs = check_prompts(model, pairs)
    measure = find_metric(delta)
    if not (signed or measure.distance or not isinstance(delta, str)):
        hint = "kl, absolute_loss, squared_loss, squared_logit_diff"
        text = "changes of this metric cancel in a mean, so that no proportion of them is explained"
        raise FaultError(Fault("paths.metric", text, name=measure.name, hint=hint))
    against = baseline if isinstance(baseline, Hypothesis) else _baseline(baseline)
    everything = hypothesis("all")
    values = np.zeros((len(hypotheses) + 1, len(pairs)))
    n_paths: dict[str, int] = {}
    n_copies: dict[str, int] = {}
    notes: dict[str, tuple[str, ...]] = {}
    _check_terms(model, terms)
    for part in batch_pairs(pairs, batch or len(pairs)):
        here = [pairs[i] for i in part.index]
        space = space_of(model, [*hypotheses, against], part.clean.shape[1], pairs=here, terms=terms)
        sets = [space.compile(h, max_copies=max_copies) for h in (everything, against, *hypotheses)]
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
                cells=space.cells,
                terms=terms,
                scored=part.at,
                max_bytes=max_bytes,
            )
            found = measure(logits[1:], part, logits[0])
        values[:, list(part.index)] = found.double().cpu().numpy()
    if not np.isfinite(values).all():
        raise FaultError(Fault("paths.nan", "an effect is NaN or infinite"), ExitCode.NUMERICAL)
    return Effects(
        dict(zip(labels, values[1:], strict=True)),
        values[0],
        tuple(pair.unit or f"pair-{i}" for i, pair in enumerate(pairs)),
        against.label,
        n_paths,
        n_copies,
        notes,
    )


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


def evaluate(
    model: Transformer,
    hypotheses: Hypothesis | Sequence[Hypothesis],
    pairs: Sequence[Pair],
    *,
    baseline: str | Hypothesis,
    delta: str | Metric | Callable[..., Tensor] = "kl",
    terms: Functions | None = None,
    seed: int = 0,
    resamples: int = 2000,
    max_copies: int = MAX_COPIES,
    max_bytes: int = DEFAULT_BYTES,
) -> list[Explained]:
    """Proportion explained by each hypothesis, with bootstrap intervals over references.

    :param pairs: reference (``clean``) and counterfactual prompts; pairs with one ``unit`` are one reference.
    :param baseline: what PE is a proportion of: ``"everything"`` (the effect of patching everything) or a hypothesis,
        such as ``"!L1.H{5,6}"`` (the effect of patching only what runs through these heads).
    :param delta: ``kl``, ``absolute_loss``, ``squared_loss``, ``squared_logit_diff``.
    :param terms: for each source to split, functions by name that sum to its output.
    :param max_copies: bound on the (node, state) copies of one hypothesis.
    :param max_bytes: activations stay below this.
    :raises FaultError: names that match nothing, pairs of unequal length, states beyond the bound, NaN, or no effect.
    """
    chosen = [hypotheses] if isinstance(hypotheses, Hypothesis) else list(hypotheses)
    found = effects(
        model,
        chosen,
        pairs,
        delta=delta,
        baseline=baseline,
        terms=terms,
        max_copies=max_copies,
        max_bytes=max_bytes,
    )
    return [
        explain_proportion(
            name,
            unexplained,
            found.total,
            references=found.references,
            baseline=found.baseline,
            unit=find_metric(delta).unit,
            seed=seed,
            resamples=resamples,
            n_paths=found.n_paths[name],
            n_copies=found.n_copies[name],
            notes=found.notes.get(name, ()),
        )
        for name, unexplained in found.unexplained.items()
    ]
