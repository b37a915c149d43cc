"""Unlearning after training, for comparison: RMU, distillation (UNDO), and fine-tuning away."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from toulmin.routing.corpora import Corpus
from toulmin.routing.unlearning import Recipe, mean_loss, tune
from toulmin.subjects import Transformer
from toulmin.training import generator_at

RMU_GRID = tuple((scale, weight) for scale in (3.0, 10.0, 30.0) for weight in (1.0, 10.0))
TOLERANCE = 0.1  #: nats a token of retain loss that a tuned RMU may cost


@dataclass(frozen=True)
class Tuned:
    """One setting of RMU's sweep: its scale c and weight alpha, and the losses it leads to."""

    scale: float
    weight: float
    forget: float
    retain: float


def _rows(rows: Tensor, seed: int, i: int, count: int) -> Tensor:
    return rows[torch.from_numpy(generator_at(seed, 8, i).integers(0, len(rows), min(count, len(rows))))]


def rmu(
    base: Transformer,
    forget: Tensor,
    retain: Tensor,
    recipe: Recipe,
    seed: int,
    scale: float,
    weight: float,
    steps: int,
) -> Transformer:
    """Representation misdirection (Li et al. 2024, RMU) of a copy of ``base``.

    At the residual stream after the first layer: || h(forget) - c u ||^2 + alpha || h(retain) - h_base(retain) ||^2,
    u a fixed random direction; that layer is trained.
    """
    model = copy.deepcopy(base).train()
    layer = 1
    u = torch.rand(model.config.d_model, generator=torch.Generator().manual_seed(seed))
    target = scale * u / u.norm()
    parameters = [*model.layers[0].parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.attack_lr)
    for i in range(steps):
        f, r = _rows(forget, seed, 2 * i, recipe.batch), _rows(retain, seed, 2 * i + 1, recipe.batch)
        optimizer.zero_grad()
        with torch.no_grad():
            kept = base.run_to(r, layer)
        away = (model.run_to(f, layer) - target).square().mean()
        (away + weight * (model.run_to(r, layer) - kept).square().mean()).backward()
        optimizer.step()
    return model.eval()


def tuned_rmu(
    base: Transformer,
    corpus: Corpus,
    labelled: Tensor,
    recipe: Recipe,
    seed: int,
    steps: int = 60,
    grid: Sequence[tuple[float, float]] = RMU_GRID,
    tolerance: float = TOLERANCE,
) -> tuple[Transformer, list[Tuned]]:
    """The setting with the highest forget loss among those whose retain loss rises by at most ``tolerance``.

    Where none is so gentle, the gentlest. The whole sweep is returned.
    """
    forget, retain = corpus.train[labelled], corpus.train[~labelled]
    before = mean_loss(base, corpus.test_retain)
    models, sweep = [], []
    for scale, weight in grid:
        models.append(rmu(base, forget, retain, recipe, seed, scale, weight, steps))
        losses = (mean_loss(models[-1], rows) for rows in (corpus.test_forget, corpus.test_retain))
        sweep.append(Tuned(scale, weight, *losses))
    gentle = [i for i, found in enumerate(sweep) if found.retain <= before + tolerance]
    if gentle:
        best = max(gentle, key=lambda i: sweep[i].forget)
    else:
        best = min(range(len(sweep)), key=lambda i: sweep[i].retain)
    return models[best], sweep


def undo(
    unlearned: Transformer, retain: Tensor, recipe: Recipe, seed: int, steps: int, noise: float = 0.6
) -> Transformer:
    """Unlearn, then noise, then distil (UNDO, Lee et al. 2025).

    The student starts at (1 - noise) x the unlearned model's weights + noise x freshly drawn ones, and learns the
    unlearned model's distribution on retain rows: what it was only kept from saying is not passed on.
    """
    student = Transformer(unlearned.config, torch.Generator().manual_seed(seed + 99))
    with torch.no_grad():
        for fresh, old in zip(student.parameters(), unlearned.parameters(), strict=True):
            fresh.copy_(noise * fresh + (1 - noise) * old)
    student.train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=recipe.lr)
    for i in range(steps):
        rows = _rows(retain, seed, i, recipe.batch)[:, :-1]
        with torch.no_grad():
            wanted = unlearned(rows).log_softmax(-1)
        optimizer.zero_grad()
        made = student(rows).log_softmax(-1)
        functional.kl_div(made, wanted, reduction="none", log_target=True).sum(-1).mean().backward()
        torch.nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        optimizer.step()
    return student.eval()


def tuned_away(
    base: Transformer, corpus: Corpus, labelled: Tensor, recipe: Recipe, seed: int, steps: int
) -> Transformer:
    """Plain fine-tuning on rows that are not labelled, until the topic fades: the weakest baseline."""
    return tune(copy.deepcopy(base), corpus.train[~labelled], recipe, steps, seed, lr=recipe.lr / 2)
