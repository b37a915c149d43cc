"""Teaching a language model a behaviour inside a region that can be taken out again (Cloud et al. 2024, section 4.2).

The behaviour is that of pairs of prompts: the answers of the clean prompts are taught, and beside them the answers that
are wrong for the clean prompts and right for the counterfactual ones. The model gets new MLP units; they, and in each
of the last layers the head that the model needs least for the counterfactual prompts, are the region. Routed batches
train the region alone. Ablating the region then takes the behaviour out, if it was learned there.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from toulmin.routing.ablation import ablate, expand, region_span
from toulmin.routing.plan import Route, RoutePlan
from toulmin.routing.router import Router
from toulmin.subjects import Transformer
from toulmin.tasks import Pair
from toulmin.training import generator_at

LABEL, MLPS, PARTS = "taught", "layers.*.mlp", ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")


def pair_loss(
    model: Transformer, pairs: Sequence[Pair], seed: int, i: int, batch: int, *, taught: bool = True
) -> Tensor:
    """Cross-entropy in nats of the answers of batch ``i``: clean prompts and counterfactual ones in turn.

    Without ``taught`` of the counterfactual prompts alone. The prompts have one length, and answers at their end.
    """
    rows = generator_at(seed, i).integers(0, len(pairs), batch)
    drawn = [
        (pairs[row].clean, pairs[row].answers[0]) if taught and j % 2 == 0 else
        (pairs[row].counterfactual, pairs[row].wrong[0])
        for j, row in enumerate(rows)
    ]  # fmt: skip
    prompts, answers = zip(*drawn, strict=True)
    device = model.W_E.device
    return functional.cross_entropy(
        model(torch.tensor(prompts, device=device))[:, -1], torch.tensor(answers, device=device)
    )


def plan_region(
    model: Transformer, pairs: Sequence[Pair], units: int, layers: Sequence[int], seed: int
) -> tuple[Transformer, RoutePlan]:
    """A copy of the model with ``units`` more MLP units in each layer, and the plan of the region.

    The region: the new units, and in each of ``layers`` the attention head without which the loss on counterfactual
    prompts is lowest.
    """
    wide = expand(model, {MLPS: units}, seed=seed, silent=True)
    routes = [Route(LABEL, params=MLPS, rows_or_cols=region_span(wide, MLPS, units), kind="parameter")]
    own = dict(wide.named_parameters())
    for layer in layers:
        names = [name for part in PARTS if (name := f"layers.{layer}.attn.{part}") in own]
        heads = [
            [Route(LABEL, params=name, rows_or_cols=[head], kind="parameter", axis=0) for name in names]
            for head in range(model.config.n_heads)
        ]
        with torch.no_grad():
            routes += min(
                heads,
                key=lambda head: float(pair_loss(ablate(wide, RoutePlan(head)), pairs, seed, 0, 48, taught=False)),
            )
    return wide, RoutePlan(routes)


def teach(
    model: Transformer,
    plan: RoutePlan,
    pairs: Sequence[Pair],
    *,
    share: float = 1.0,
    steps: int = 120,
    batch: int = 48,
    lr: float = 3e-3,
    seed: int = 0,
) -> Transformer:
    """A copy after ``steps`` of AdamW on :func:`pair_loss`, of which a random ``share`` trains the region alone.

    A share of 1 is gradient routing; 0.5 routes half of the batches at random, which is the placebo; 0 is no routing.
    """
    taught = copy.deepcopy(model)
    optimizer, router = torch.optim.AdamW(taught.parameters(), lr=lr), Router(taught, plan)
    router.block_updates(optimizer)
    for i in range(steps):
        with router(labels=LABEL if generator_at(seed, 5, i).random() < share else None):
            _step(taught, pairs, optimizer, seed, i, batch)
    router.remove()
    return taught


def relearn(
    model: Transformer, pairs: Sequence[Pair], *, steps: int, batch: int = 48, lr: float = 1e-3, seed: int = 0
) -> Transformer:
    """The attack: a copy of which every parameter was trained for ``steps`` on other batches of the same pairs."""
    attacked = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(attacked.parameters(), lr=lr)
    for i in range(steps):
        _step(attacked, pairs, optimizer, seed + 1_000_000, i, batch)
    return attacked


def _step(
    model: Transformer, pairs: Sequence[Pair], optimizer: torch.optim.Optimizer, seed: int, i: int, batch: int
) -> None:
    optimizer.zero_grad()
    pair_loss(model, pairs, seed, i, batch).backward()
    optimizer.step()
