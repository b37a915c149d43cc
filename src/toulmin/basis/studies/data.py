"""What the studies of interaction bases share: a model's chain, its data and its score; means over models."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from toulmin.evidence import Interval, Measure, interval_over_seeds, mean_interval
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.studies import MeasureSpec, Resolver

if TYPE_CHECKING:
    from torch import Tensor

    from toulmin.basis.ablation import EdgesNeeded
    from toulmin.basis.build import InteractionGraph
    from toulmin.basis.sections import Chain

Task = Literal["modular_addition", "language"]
BasisName = Literal["neurons", "random", "svd", "pca", "lib", "ib"]


@dataclass(frozen=True)
class Prepared:
    """``build``: activations of the first site that bases are made from; ``test``: those that ablations are scored on;
    ``score``: of the chain's outputs; ``everything``: of all pairs [p p, P, d], for modular addition."""

    chain: Chain
    build: Tensor
    test: Tensor
    score: Callable[[Tensor], float]
    lower_is_better: bool = False  #: of the score
    everything: Tensor | None = None
    modulus: int = 0


def prepare_addition(reference: str, resolver: Resolver, share: float) -> Prepared:
    """The whole of a one-layer model without norm that adds modulo a prime, built from a ``share`` of all pairs (the
    split of seed 0, as the published checkpoints were trained) and scored by accuracy on the others.

    :raises FaultError: (exit SUBJECT) a model of another shape.
    """
    import torch

    from toulmin.subjects import load

    return _modular_addition(load(reference, resolver, dtype=torch.float64).model, reference, share)


def prepare_language(
    reference: str, resolver: Resolver, layers: Sequence[int], *, sequences: int, length: int, seed: int
) -> list[Prepared]:
    """The MLPs of some layers of a language model, position by position, on texts that the model itself writes, half of
    them to build from; the score is the cross-entropy (nats) of the next token, through the rest of the model.

    :param layers: negative ones count from the last.
    :raises FaultError: (exit SUBJECT) a model that has no such layer, or layers of another shape.
    """
    import torch

    from toulmin.basis.transformers import site_inputs, transformer_chain
    from toulmin.subjects import generate, load

    # in float32, which ablations are scored in; closed forms compute in the precision of their inputs
    subject = load(reference, resolver, dtype=torch.float32)
    model, count = subject.model, subject.model.config.n_layers
    faults = [
        Fault("basis.model", f"the model has {count} layers", name=f"layer {layer}")
        for layer in layers
        if not -count <= layer < count
    ]
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    begin = None if subject.tokenizer is None else subject.tokenizer.bos
    if begin is None and subject.tokenizer is not None:
        begin = subject.tokenizer.eos
    start = torch.full((2 * sequences, 1), begin or 0)
    generator = torch.Generator().manual_seed(seed)
    tokens = generate(model, start, length - 1, temperature=1.0, generator=generator)
    found: list[Prepared] = []
    for layer in dict.fromkeys(layer % count for layer in layers):
        sites = [f"L{layer}.resid_mid", f"L{layer}.resid_post"]
        chain = transformer_chain(model, sites, 1)
        with torch.no_grad():
            x = site_inputs(model, tokens[:, :-1], sites[0])
        build, test = (part.flatten(0, 1)[:, None] for part in (x[:sequences], x[sequences:]))
        found.append(Prepared(chain, build.double(), test, _text_score(model, layer, tokens[sequences:]), True))
    return found


def _text_score(model: Any, layer: int, tokens: Tensor) -> Callable[[Tensor], float]:
    """Of what a layer writes at every position of the texts, [N P, 1, d], the cross-entropy of the next tokens."""
    import torch
    from torch.nn import functional

    @torch.no_grad()
    def score(outputs: Tensor) -> float:
        logits = model.run_from(outputs[:, 0, :-1].unflatten(0, (len(tokens), -1)), layer + 1)
        return float(functional.cross_entropy(logits.flatten(0, 1).double(), tokens[:, 1:].flatten()))

    return score


def _modular_addition(model: Any, reference: str, share: float) -> Prepared:
    import torch

    from toulmin.basis.ablation import accuracy_of
    from toulmin.basis.transformers import site_inputs, transformer_chain

    config = model.config
    if (config.n_layers, config.n_ctx, config.norm) != (1, 3, "none"):
        message = "modular addition is studied in one-layer transformers without norm that read three tokens"
        raise FaultError(Fault("basis.model", message, name=reference), ExitCode.SUBJECT)
    p = config.d_vocab - 1
    pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
    order = torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))
    cut = int(share * len(pairs))
    tokens = torch.cat([pairs, torch.full((len(pairs), 1), p)], 1)
    sites = ["L0.resid_pre", "L0.resid_mid", "L0.resid_post", "logits"]
    chain = transformer_chain(model, sites, 3, last_position=sites[1])
    with torch.no_grad():
        x = site_inputs(model, tokens, sites[0])
    test = order[cut:]
    score = accuracy_of(pairs[test].sum(1) % p)
    return Prepared(chain, x[order[:cut]], x[test].float(), score, everything=x, modulus=p)


def build_basis(name: BasisName, prepared: Prepared, *, seed: int, max_bytes: int) -> InteractionGraph:
    """One of the bases, on the data to build from."""
    from toulmin.basis import build

    chain, batches = prepared.chain, [prepared.build]
    if name == "random":
        return build.random_basis(chain, batches, seed=seed, max_bytes=max_bytes)
    make = {
        "neurons": build.neuron_basis,
        "svd": build.svd_basis,
        "pca": build.pca_basis,
        "lib": build.local_interaction_basis,
        "ib": build.interaction_basis,
    }[name]
    return make(chain, batches, max_bytes=max_bytes)


def needed_of_section(
    prepared: Prepared, graph: InteractionGraph, number: int, *, tolerance: float, most: int | None = None
) -> tuple[EdgesNeeded, Tensor]:
    """The edges that a section needs on the data held out, and the mask [F, J] of those that count: kept, of positive
    strength, and not from the constant."""
    from toulmin.basis.ablation import edges_needed

    result = edges_needed(
        prepared.chain,
        prepared.test,
        graph.rotations,
        graph.edges,
        number,
        prepared.score,
        tolerance=tolerance,
        lower_is_better=prepared.lower_is_better,
        most=most,
    )
    counted = result.mask & (graph.edges[number] > 0)
    if graph.rotations[number].constant:
        counted[:, 0] = False
    return result, counted


def interval_over_models(values: Any) -> tuple[Interval | None, str | None]:
    """A bootstrap over models, or Student's t where they are fewer than ten."""
    return mean_interval(values) if len(values) >= 10 else interval_over_seeds(values)


def over_models(spec: MeasureSpec, values: Any) -> Measure:
    """The mean over models, its interval within the measure's range."""
    interval, reason = interval_over_models(values)
    if interval is not None:
        low, high = (-math.inf if spec.low is None else spec.low), (math.inf if spec.high is None else spec.high)
        interval = interval.model_copy(update={"low": max(interval.low, low), "high": min(interval.high, high)})
    fields: dict[str, Any] = {"unit": spec.unit, "better": spec.better, "n": len(values), "n_of": "models"}
    return Measure(value=float(sum(values) / len(values)), interval=interval, no_interval=reason, **fields)
