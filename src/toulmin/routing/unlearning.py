"""Expand, Route, Ablate: train with routing, take the region out, tune, attack (Cloud et al. 2024, section 4.2).

A small transformer whose MLPs are widened by a region is trained from scratch. Batches are of labelled rows or of the
others, in one order for every method, so that methods differ in what a labelled batch may do:

- ``base``: it trains everything; ``filtered``: it is skipped;
- ``parameter``: it trains the region's parameters alone, and nothing else moves;
- ``activation``: at the neurons, weights 1 inside and -0.75 outside, by token weights from frequencies;
- ``forward``: selective gradient masking; half of the other batches are labelled retain;
- ``random_labels``: as ``parameter``, with as many rows chosen at random; ``random_region``: as ``parameter``, but what
  is ablated is another region of the same size: the two placebos.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from toulmin.routing.ablation import ablate, expand, region_span
from toulmin.routing.blocking import freeze_excluded
from toulmin.routing.corpora import Corpus
from toulmin.routing.plan import Route, RoutePlan
from toulmin.routing.router import Router
from toulmin.routing.token_weights import token_strengths, token_weights
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.training import IndexedBatches, Schedule, State, fit, generator_at

ROUTED = ("parameter", "activation", "forward", "random_labels", "random_region")
METHODS = ("base", "filtered", *ROUTED)
MLPS = "layers.*.mlp"


@dataclass(frozen=True)
class Recipe:
    """Sizes and steps; the defaults make a model of 0.1 M parameters."""

    layers: int = 2
    width: int = 32
    heads: int = 4
    mlp: int = 96
    region: int = 32
    steps: int = 600
    batch: int = 32
    lr: float = 4e-3
    weight_decay: float = 0.01
    tuning: int = 20  #: steps of coherence fine-tuning
    relearning: int = 40  #: steps of the relearning attack
    attack_lr: float = 2e-3


def make_model(corpus: Corpus, recipe: Recipe, seed: int) -> Transformer:
    """A fresh transformer whose MLPs were widened by the region."""
    config = TransformerConfig(
        n_layers=recipe.layers,
        d_model=recipe.width,
        n_heads=recipe.heads,
        d_head=recipe.width // recipe.heads,
        d_vocab=corpus.vocabulary,
        n_ctx=corpus.train.shape[1],
        d_mlp=recipe.mlp,
    )
    return expand(Transformer(config, torch.Generator().manual_seed(seed)), {MLPS: recipe.region}, seed=seed)


def make_plan(method: str, model: nn.Module, recipe: Recipe) -> RoutePlan:
    """The routes of a method; the region is the units that were added."""
    span = region_span(model, MLPS, recipe.region)
    if method == "activation":
        return RoutePlan([Route("forget", at="layers.*.mlp.post", dims=span, inside=1.0, outside=-0.75)])
    if method == "forward":
        return RoutePlan([Route("forget", at="layers.*.mlp.post", dims=span, params=MLPS, kind="forward")])
    return RoutePlan([Route("forget", params=MLPS, rows_or_cols=span, kind="parameter")])


def ablation_plan(method: str, model: nn.Module, recipe: Recipe) -> RoutePlan:
    """What is taken out: the region, or (``random_region``) as many units that no label was routed to."""
    plan = make_plan("parameter", model, recipe)
    if method != "random_region":
        return plan
    return RoutePlan([Route("forget", params=MLPS, rows_or_cols=slice(0, recipe.region), kind="parameter")])


def train_model(
    corpus: Corpus,
    labelled: Bool[Tensor, " N"],
    method: str,
    recipe: Recipe,
    seed: int,
    token_mask: Bool[Tensor, " V"] | None = None,
) -> Transformer:
    """Train one model by a method of :data:`METHODS`.

    With ``token_mask`` only these tokens of labelled rows are routed (or, for ``filtered``, have no loss), and all
    others train as they do everywhere: the measure of absorption needs it.
    """
    model = make_model(corpus, recipe, seed)
    torch.manual_seed(seed)
    if method == "random_labels":
        order = torch.randperm(len(labelled), generator=torch.Generator().manual_seed(seed + 1))
        labelled = labelled[order]
    yes, no = labelled.nonzero()[:, 0], (~labelled).nonzero()[:, 0]
    share = len(yes) / len(labelled)

    def draw(i: int) -> tuple[Tensor, str]:
        rng = generator_at(seed, i)
        forget = rng.random() < share
        rows = (yes if forget else no)[torch.from_numpy(rng.integers(0, len(yes if forget else no), recipe.batch))]
        retain = rng.random() < 0.5
        return corpus.train[rows], "forget" if forget else "retain" if retain and method == "forward" else "unlabelled"

    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
    router = Router(model, make_plan(method, model, recipe)) if method in ROUTED else None
    if router is not None and method != "activation":
        router.block_updates(optimizer)
    counts = [torch.bincount(corpus.train[rows].flatten(), minlength=corpus.vocabulary) for rows in (yes, no)]
    weights = token_weights(counts[0], counts[1]) if method == "activation" and len(yes) else None

    def step(state: State, batch: tuple[Tensor, str]) -> dict[str, Tensor]:
        tokens, label = batch
        forget = label == "forget"
        optimizer.zero_grad()
        if forget and method == "filtered" and token_mask is None:
            return {"loss": torch.zeros(())}
        if forget and token_mask is not None and method != "base":
            each_loss = _routed_tokens(model, router, tokens, token_mask)
        elif router is not None:
            labels = label
            if weights is not None and forget:
                labels = token_strengths(tokens, weights, torch.ones(len(tokens), dtype=torch.bool))
            with router(labels=labels):
                each_loss = row_losses(model, tokens).mean()
            each_loss.backward()
        else:
            each_loss = row_losses(model, tokens).mean()
            each_loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return {"loss": each_loss.detach()}

    schedule = Schedule(recipe.steps, recipe.lr, kind="cosine", warmup=min(20, recipe.steps // 4), floor=0.1)
    fit(step, State(model, optimizer), IndexedBatches(draw), schedule)
    if router is not None:
        router.remove()
    return model.eval()


def _routed_tokens(model: Transformer, router: Router | None, tokens: Tensor, mask: Tensor) -> Tensor:
    """One step's gradients where only some tokens of the batch are labelled; without a router they have no loss."""
    chosen = mask[tokens[:, 1:]]
    if router is None:
        value = (token_losses(model, tokens) * ~chosen).mean()
        value.backward()
        return value
    with router(labels=torch.where(chosen, 0, -1)):
        losses = token_losses(model, tokens)
    return router.backward(losses)


def token_losses(model: nn.Module, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T-1"]:
    """-ln p of each next token (nats)."""
    logits = model(tokens[:, :-1])
    return functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:], reduction="none")


def row_losses(model: nn.Module, tokens: Int[Tensor, "B T"]) -> Float[Tensor, " B"]:
    """The mean loss of each row (nats a token)."""
    return token_losses(model, tokens).mean(1)


@torch.no_grad()
def mean_loss(model: nn.Module, rows: Int[Tensor, "B T"]) -> float:
    """Nats a token."""
    return float(row_losses(model, rows).mean())


def tune(
    model: Transformer,
    rows: Int[Tensor, "N T"],
    recipe: Recipe,
    steps: int,
    seed: int,
    *,
    lr: float | None = None,
    frozen: RoutePlan | None = None,
    watch: Callable[[int, Transformer], None] | None = None,
) -> Transformer:
    """Fine-tune ``model`` in place on ``rows``; the slices of ``frozen`` do not move; ``watch`` sees every step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr or recipe.attack_lr, weight_decay=0.0)
    if frozen is not None:
        freeze_excluded(model, frozen, optimizer)
    model.train()
    for i in range(steps):
        picked = rows[torch.from_numpy(generator_at(seed, 7, i).integers(0, len(rows), min(recipe.batch, len(rows))))]
        optimizer.zero_grad()
        row_losses(model, picked).mean().backward()
        optimizer.step()
        if watch is not None:
            watch(i + 1, model)
    return model.eval()


def remove_region(
    model: Transformer, corpus: Corpus, labelled: Tensor, method: str, recipe: Recipe, seed: int, to: str
) -> tuple[Transformer, Transformer]:
    """The model after ablation, and after coherence fine-tuning on rows that were not labelled."""
    plan = ablation_plan(method, model, recipe)
    gone = ablate(model, plan, to, seed=seed)  # type: ignore[arg-type]
    tuned = copy.deepcopy(gone)
    rows = corpus.train[(~labelled).nonzero()[:256, 0]]
    return gone, tune(tuned, rows, recipe, recipe.tuning, seed, frozen=plan if to == "zero" else None)


def relearning_curve(model: Transformer, corpus: Corpus, recipe: Recipe, seed: int, at: Sequence[int]) -> list[float]:
    """Forget loss on held-out rows after so many steps on a few rows of the topic (``at[0]`` is 0)."""
    found = [mean_loss(model, corpus.test_forget)]

    def watch(step: int, now: Transformer) -> None:
        if step in at:
            found.append(mean_loss(now, corpus.test_forget))

    tune(copy.deepcopy(model), corpus.relearn, recipe, max(at), seed, watch=watch)
    return found


def calibrated_loss(model: Transformer, corpus: Corpus) -> float:
    """Forget loss after only the output bias was fitted, on rows of both kinds: what is left is no offset of logits."""
    tokens = corpus.calibrate
    with torch.no_grad():
        bias = fit_output_bias(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())
        out = model(corpus.test_forget[:, :-1]) + bias
        return float(functional.cross_entropy(out.flatten(0, 1), corpus.test_forget[:, 1:].flatten()))


def fit_output_bias(
    logits: Float[Tensor, "N V"], targets: Int[Tensor, " N"], ridge: float = 1e-5, iterations: int = 30
) -> Float[Tensor, " V"]:
    """The bias b with the least mean -ln softmax(logits + b)[target] + ridge |b|^2 / 2, by Newton's method.

    With p the softmax: gradient mean(p) - share of each target + ridge b, Hessian diag(mean(p)) - mean(p p^T) + ridge.
    A step is halved until the loss falls. The ridge keeps the bias of tokens that are no target finite.
    """
    bias = torch.zeros(logits.shape[-1], dtype=torch.float64)
    shares = torch.bincount(targets, minlength=len(bias)).double() / len(targets)
    plain = float(logits.gather(1, targets[:, None]).double().mean())

    def loss_at(b: Tensor) -> tuple[float, Tensor]:
        moved = logits + b.to(logits.dtype)
        total = moved.logsumexp(-1, keepdim=True)
        value = float(total.double().mean()) - plain - float(shares @ b) + ridge / 2 * float(b @ b)
        return value, (moved - total).exp_()

    value, p = loss_at(bias)
    for _ in range(iterations):
        mean = p.mean(0).double()
        gradient = mean - shares + ridge * bias
        if float(gradient.abs().max()) < 1e-6:
            break
        curvature = torch.diag(mean + ridge) - (p.T @ p).double() / len(p)
        step = torch.linalg.solve(curvature, gradient)
        size = 1.0
        while size > 1e-4:
            tried, probabilities = loss_at(bias - size * step)
            if tried < value:
                break
            size /= 2
        else:
            break
        bias, value, p = bias - size * step, tried, probabilities
    return bias.to(logits.dtype)


def steered_loss(model: Transformer, corpus: Corpus, steps: int = 60) -> float:
    """Forget loss with one vector added to the residual stream after the first layer, fitted on the attacker's rows."""
    layer = min(1, model.config.n_layers - 1)
    with torch.no_grad():
        resid = model.run_to(corpus.relearn[:, :-1], layer)
        held = model.run_to(corpus.test_forget[:, :-1], layer)
    vector = torch.zeros(model.config.d_model, requires_grad=True)
    optimizer = torch.optim.Adam([vector], lr=0.05)
    model.train()  # lets gradients through the fused attention kernel
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model.run_from(resid + vector, layer)
        functional.cross_entropy(logits.flatten(0, 1), corpus.relearn[:, 1:].flatten()).backward()
        optimizer.step()
    model.zero_grad()
    model.eval()
    with torch.no_grad():
        logits = model.run_from(held + vector, layer)
        return float(functional.cross_entropy(logits.flatten(0, 1), corpus.test_forget[:, 1:].flatten()))
