"""What people do daily: all sender-receiver pairs, senders to logits, activation patching; calls of the one evaluator.

Each cell is one circuit: the reference run in which some edges carry the counterfactual run's value of their source.
All cells are run together, so what they share is computed once. A cell is the mean over pairs of a change of the
output; intervals are percentile bootstraps over references.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.cache import source_values
from toulmin.patching.graph import SLOTS, Graph
from toulmin.patching.run_circuits import run_edges
from toulmin.patching.run_paths import DEFAULT_BYTES
from toulmin.paths.effect_matrix import Matrix
from toulmin.tasks import Pair, batch_pairs, check_prompts, find_metric

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

Component = Literal["Q", "K", "V"]


def head_to_head(
    model: Transformer,
    pairs: Sequence[Pair],
    component: Component = "K",
    *,
    measure: str = "signed_logit_diff",
    max_bytes: int = DEFAULT_BYTES,
    batch: int | None = None,
    seed: int = 0,
) -> Matrix:
    """Every head's direct effect through every later head's Q, K or V input.

    Cell (s, r): the paths ``s -> [component] r ~> logits`` read the counterfactual, all others the reference. What r
    passes on goes on through everything after it; nothing but the direct edge enters r changed (MLPs between s and r
    are not part of the path: that would be another path set, ``s ~> [component] r``).

    :param measure: ``signed_logit_diff``, ``signed_loss``, or another metric that compares with the clean run.
    :param batch: pairs in one evaluation; default all of one length.
    :raises FaultError: ``paths.component``, ``tasks.metric``, faults of the pairs.
    """
    if component not in SLOTS:
        raise FaultError(Fault("paths.component", "a head has no such input", name=component, hint="Q, K or V"))
    model, pairs = check_prompts(model, pairs)
    graph = Graph.of(model)
    senders = [name for name in graph.sources if ".H" in name and _layer(name) < graph.n_layers - 1]
    receivers = [f"L{layer}.H{head}" for layer in range(1, graph.n_layers) for head in range(graph.n_heads)]
    if not senders:
        raise FaultError(Fault("paths.layers", "a model of one layer has no pairs of heads that follow each other"))
    cells = [(s, r) for s in senders for r in receivers if _layer(s) < _layer(r)]
    masks = np.zeros((len(cells), *graph.allowed.shape), dtype=np.bool_)
    for index, (sender, receiver) in enumerate(cells):
        masks[index, graph.sources.index(sender), graph.receivers.index(f"{receiver}[{component}]")] = True
    values, references = _run(model, graph, masks, pairs, measure, max_bytes, batch)
    place = {cell: index for index, cell in enumerate(cells)}
    grid = np.array([[place.get((s, r), -1) for r in receivers] for s in senders])
    return Matrix(
        f"Effect of each head through the {component} input of each later head",
        tuple(senders),
        tuple(receivers),
        _spread(values, grid),
        references,
        measure,
        ("sender", f"receiver [{component}]"),
        seed,
    )


def sender_to_logits(
    model: Transformer,
    pairs: Sequence[Pair],
    *,
    measure: str = "signed_logit_diff",
    max_bytes: int = DEFAULT_BYTES,
    batch: int | None = None,
    seed: int = 0,
) -> Matrix:
    """The direct effect of every head and MLP on the logits: ``s -> logits`` counterfactual, all else reference."""
    model, pairs = check_prompts(model, pairs)
    graph = Graph.of(model)
    masks = np.zeros((len(graph.sources), *graph.allowed.shape), dtype=np.bool_)
    masks[np.arange(len(graph.sources)), np.arange(len(graph.sources)), -1] = True
    values, references = _run(model, graph, masks, pairs, measure, max_bytes, batch)
    return _by_layer("Direct effect of each component on the logits", graph, values, references, measure, seed)


def activation_patching(
    model: Transformer,
    pairs: Sequence[Pair],
    what: Literal["resid_pre", "attn", "mlp", "heads"] = "resid_pre",
    *,
    measure: str = "signed_logit_diff",
    max_bytes: int = DEFAULT_BYTES,
    batch: int | None = None,
    seed: int = 0,
) -> Matrix:
    """The effect of giving an activation its counterfactual value: by layer and position, or (``heads``) by head.

    An activation is patched by cutting every edge that carries it: ``resid_pre`` of layer l at p is every edge from
    before l to l or later, at p; ``attn`` and ``mlp`` every edge out of the layer's heads or MLP, at p.

    :raises FaultError: ``paths.lengths`` where the pairs differ in length, so that positions do not correspond;
        ``paths.activation``.
    """
    model, pairs = check_prompts(model, pairs)
    graph = Graph.of(model)
    if what == "heads":
        sources = len(graph.sources)
        masks = np.zeros((sources, *graph.allowed.shape), dtype=np.bool_)
        masks[np.arange(sources), np.arange(sources)] = True
        values, references = _run(model, graph, masks, pairs, measure, max_bytes, batch)
        return _by_layer("Effect of patching each component", graph, values, references, measure, seed)
    if what not in ("resid_pre", "attn", "mlp") or (what == "mlp" and not graph.has_mlp):
        raise FaultError(
            Fault("paths.activation", "no such activation", name=what, hint="resid_pre, attn, mlp or heads")
        )
    lengths = sorted({pair.length for pair in pairs})
    if len(lengths) != 1:
        raise FaultError(Fault("paths.lengths", f"positions of pairs of lengths {lengths} do not correspond"))
    length = lengths[0]
    masks = np.zeros((graph.n_layers, length, *graph.allowed.shape, length), dtype=np.bool_)
    heads = np.array([".H" in name for name in graph.sources])
    for layer in range(graph.n_layers):
        if what == "resid_pre":
            edges = (graph.source_layer < layer)[:, None] & (graph.receiver_layer >= layer)[None, :]
        else:
            chosen = (graph.source_layer == layer) & (heads if what == "attn" else ~heads)
            edges = np.broadcast_to(chosen[:, None], graph.allowed.shape)
        for position in range(length):
            masks[layer, position, :, :, position] = edges
    flat = masks.reshape(-1, *masks.shape[2:])
    values, references = _run(model, graph, flat, pairs, measure, max_bytes, batch)
    return Matrix(
        f"Effect of patching {what}",
        tuple(f"L{layer}" for layer in range(graph.n_layers)),
        tuple(str(position) for position in range(length)),
        values.reshape(len(pairs), graph.n_layers, length),
        references,
        measure,
        ("layer", "position"),
        seed,
    )


def _layer(name: str) -> int:
    return int(name[1 : name.index(".")])


def _run(
    model: Transformer,
    graph: Graph,
    masks: NDArray[np.bool_],
    pairs: Sequence[Pair],
    measure: str,
    max_bytes: int,
    size: int | None,
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """[n pairs, C] the change of the output in each circuit, and the reference of each pair."""
    change = find_metric(measure)
    found = np.zeros((len(pairs), len(masks)))
    for batch in batch_pairs(pairs, size or len(pairs)):
        batch = batch.to(model.W_E.device)
        with torch.no_grad():
            clean = source_values(model, batch.clean, graph=graph, scored=batch.at)
            other = source_values(model, batch.counterfactual, graph=graph)
            logits = run_edges(
                model, batch.clean, other, masks, graph=graph, scored=batch.at, max_bytes=max_bytes, clean=clean
            )
            effect = change(logits, batch, clean.logits)
        found[list(batch.index)] = effect.T.double().cpu().numpy()
    if not np.isfinite(found).all():
        raise FaultError(Fault("paths.nan", "an effect is NaN or infinite"), ExitCode.NUMERICAL)
    return found, tuple(pair.unit or f"pair-{i}" for i, pair in enumerate(pairs))


def _spread(values: NDArray[np.float64], grid: NDArray[np.int64]) -> NDArray[np.float64]:
    """[n, rows, columns] from [n, C] and the number of the circuit of each cell, NaN where −1."""
    out = values[:, np.maximum(grid, 0)]
    out[:, grid < 0] = np.nan
    return out


def _by_layer(
    title: str,
    graph: Graph,
    values: NDArray[np.float64],
    references: tuple[str, ...],
    measure: str,
    seed: int,
) -> Matrix:
    """Layers down, heads and MLP across; the embedding in a row of its own."""
    columns = [f"H{head}" for head in range(graph.n_heads)] + (["mlp"] if graph.has_mlp else [])
    rows = ["embed", *(f"L{layer}" for layer in range(graph.n_layers))]
    grid = np.full((len(rows), len(columns)), -1)
    grid[0, 0] = 0
    for layer in range(graph.n_layers):
        for column, name in enumerate(columns):
            grid[layer + 1, column] = graph.sources.index(f"L{layer}.{name}")
    return Matrix(
        title, tuple(rows), tuple(columns), _spread(values, grid), references, measure, ("layer", "component"), seed
    )
