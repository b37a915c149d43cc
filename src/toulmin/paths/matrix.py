"""Matrices of effects: every pair of heads, every component on the logits, activation patching by layer and position.

Each cell is one patched run: the clean run in which some edges carry the counterfactual run's value of their source
(noising). All cells are run together, so what they share is computed once. A cell is the mean over clean prompts of the
change of a metric; intervals are percentile bootstraps over clean prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching import SLOTS, Graph, default_bytes, run_circuits, source_values
from toulmin.paths.effect_matrix import Matrix
from toulmin.paths.evaluation import unit_names
from toulmin.paths.metric_change import AnyMetric, change_unit, find_change, measure_change
from toulmin.tasks import Metric, Pair, batch_pairs, check_prompts

if TYPE_CHECKING:
    from toulmin.subjects import Subject, Transformer

Component = Literal["Q", "K", "V"]
TOGETHER = 1024  # circuits that are planned together
OUTPUT_SHARE, LOGIT_COPIES = 0.25, 3  # of max_bytes, for logits; how often a metric holds them


def head_to_head(
    model: Transformer | Subject,
    pairs: Iterable[Pair],
    component: Component = "K",
    *,
    receivers: Sequence[str] | None = None,
    metric: AnyMetric = "logit_diff",
    max_bytes: int | None = None,
    batch: int | None = None,
    seed: int = 0,
) -> Matrix:
    """Every head's direct effect through every later head's Q, K or V input.

    Cell (s, r): the paths ``s -> [component] r ~> logits`` read the counterfactual, all others the clean prompt. What r
    writes then reaches everything after it; only the direct edge changes what r reads (paths from s to r through MLPs
    in between are another set, ``s ~> [component] r``).

    :param receivers: the heads whose inputs are patched, by name; default all after the first layer. A part of a matrix
        takes its share of the time: the cells of one receiver cost about alike, most in the early layers.
    :param metric: a metric by name, a :class:`toulmin.tasks.Metric`, or a function of (patched logits [C, B, V], batch,
        clean logits [B, V]) that gives [C, B]. A cell is m(patched) − m(clean), or the metric where it is a distance.
    :param max_bytes: activations stay below this; default :func:`toulmin.patching.default_bytes` of the device.
    :param batch: pairs in one evaluation; default all of one length.
    :param seed: of the bootstrap.
    :raises FaultError: ``paths.component``, ``paths.layers``, ``paths.receiver``, ``tasks.metric``,
        ``tasks.no_wrong``, faults of the model and the pairs (:func:`toulmin.tasks.check_prompts`).
    """
    model, pairs = check_prompts(model, pairs)
    if component not in SLOTS:
        raise FaultError(Fault("paths.component", "a head has no such input", name=component, hint="Q, K or V"))
    graph = Graph.of(model)
    every = [f"L{layer}.H{head}" for layer in range(1, graph.n_layers) for head in range(graph.n_heads)]
    receivers = every if receivers is None else list(receivers)
    if unknown := [name for name in receivers if name not in every]:
        message = "no head that another head comes before"
        raise FaultError([Fault("paths.receiver", message, name=name, hint="such as L1.H0") for name in unknown])
    last = max(map(_layer, receivers), default=0)
    senders = [name for name in graph.sources if ".H" in name and _layer(name) < last]
    if not senders:
        raise FaultError(Fault("paths.layers", "a model of one layer has no pairs of heads that follow each other"))
    cells = [(s, r) for s in senders for r in receivers if _layer(s) < _layer(r)]
    cells.sort(key=lambda cell: _layer(cell[1]))  # cells run together then begin at one layer
    source, receiver = ({name: at for at, name in enumerate(names)} for names in (graph.sources, graph.receivers))
    edges = np.array([(source[s], receiver[f"{r}[{component}]"]) for s, r in cells])

    def masks(some: slice) -> NDArray[np.bool_]:
        chosen = edges[some]
        made = np.zeros((len(chosen), *graph.allowed.shape), dtype=np.bool_)
        made[np.arange(len(chosen)), chosen[:, 0], chosen[:, 1]] = True
        return made

    values, units, measured = _run(model, graph, (len(cells), masks), pairs, metric, max_bytes, batch)
    place = {cell: index for index, cell in enumerate(cells)}
    grid = np.array([[place.get((s, r), -1) for r in receivers] for s in senders])
    return Matrix(
        f"Effect of each head through the {component} input of each later head",
        tuple(senders),
        tuple(receivers),
        _spread(values, grid),
        units,
        measured.name,
        change_unit(measured, signed=True),
        ("sender", f"receiver [{component}]"),
        seed,
    )


def sender_to_logits(
    model: Transformer | Subject,
    pairs: Iterable[Pair],
    *,
    metric: AnyMetric = "logit_diff",
    max_bytes: int | None = None,
    batch: int | None = None,
    seed: int = 0,
) -> Matrix:
    """The direct effect of every head and MLP on the logits: only the paths ``s -> logits`` read the counterfactual.

    Arguments and errors as :func:`head_to_head`.
    """
    model, pairs = check_prompts(model, pairs)
    graph = Graph.of(model)
    masks = np.zeros((len(graph.sources), *graph.allowed.shape), dtype=np.bool_)
    masks[np.arange(len(graph.sources)), np.arange(len(graph.sources)), -1] = True
    found = _run(model, graph, masks, pairs, metric, max_bytes, batch)
    return _by_layer("Direct effect of each component on the logits", graph, *found, seed)


def activation_patching(
    model: Transformer | Subject,
    pairs: Iterable[Pair],
    what: Literal["resid_pre", "attn", "mlp", "heads"] = "resid_pre",
    *,
    metric: AnyMetric = "logit_diff",
    max_bytes: int | None = None,
    batch: int | None = None,
    seed: int = 0,
) -> Matrix:
    """The effect of giving an activation its counterfactual value: by layer and position, or (``heads``) by head.

    An activation is patched by cutting every edge that carries it: ``resid_pre`` of layer l at p is every edge from
    before l to l or later, at p; ``attn`` and ``mlp`` every edge out of the layer's heads or MLP, at p.

    Other arguments as :func:`head_to_head`.

    :raises FaultError: ``paths.lengths`` where the pairs differ in length, so that positions do not correspond;
        ``paths.activation``; those of :func:`head_to_head`.
    """
    model, pairs = check_prompts(model, pairs)
    graph = Graph.of(model)
    if what == "heads":
        sources = len(graph.sources)
        masks = np.zeros((sources, *graph.allowed.shape), dtype=np.bool_)
        masks[np.arange(sources), np.arange(sources)] = True
        return _by_layer(
            "Effect of patching each component",
            graph,
            *_run(model, graph, masks, pairs, metric, max_bytes, batch),
            seed,
        )
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
    values, units, measured = _run(model, graph, flat, pairs, metric, max_bytes, batch)
    return Matrix(
        f"Effect of patching {what}",
        tuple(f"L{layer}" for layer in range(graph.n_layers)),
        tuple(str(position) for position in range(length)),
        values.reshape(len(pairs), graph.n_layers, length),
        units,
        measured.name,
        change_unit(measured, signed=True),
        ("layer", "position"),
        seed,
    )


def _layer(name: str) -> int:
    return int(name[1 : name.index(".")])


def _run(
    model: Transformer,
    graph: Graph,
    masks: NDArray[np.bool_] | tuple[int, Callable[[slice], NDArray[np.bool_]]],
    pairs: Sequence[Pair],
    metric: AnyMetric,
    max_bytes: int | None,
    size: int | None,
) -> tuple[NDArray[np.float64], tuple[str, ...], Metric]:
    """[n pairs, C] the change of the metric in each patched run, the clean prompt of each pair, and the metric.

    Circuits are run some at a time, of which the metric is taken at once, so that the logits of all of them are never
    held together. ``masks`` are given, or how many there are and a function that makes some of them.
    """
    measured = find_change(metric, signed=True)
    count, make = (len(masks), masks.__getitem__) if isinstance(masks, np.ndarray) else masks
    found = np.zeros((len(pairs), count))
    bound = default_bytes(model.W_E.device) if max_bytes is None else max_bytes
    for batch in batch_pairs(pairs, size or len(pairs)):
        batch = batch.to(model.W_E.device)
        with torch.no_grad():
            clean = source_values(model, batch.clean, graph=graph, scored=batch.at)
            counterfactual = source_values(model, batch.counterfactual, graph=graph)
            outputs = LOGIT_COPIES * clean.logits.numel() * clean.logits.element_size()
            step = max(1, min(TOGETHER, int(bound * OUTPUT_SHARE // outputs)))
            for start in range(0, count, step):
                some = slice(start, min(count, start + step))
                logits = run_circuits(
                    model,
                    batch.clean,
                    counterfactual,
                    make(some),
                    graph=graph,
                    scored=batch.at,
                    max_bytes=int(bound * (1 - OUTPUT_SHARE)),
                    clean=clean,
                )
                effect = measure_change(measured, logits, batch, clean.logits, signed=True)
                found[list(batch.index), some] = effect.T.double().cpu().numpy()
    if not np.isfinite(found).all():
        raise FaultError(Fault("paths.nan", "an effect is NaN or infinite"), ExitCode.NUMERICAL)
    return found, unit_names(pairs), measured


def _spread(values: NDArray[np.float64], grid: NDArray[np.int64]) -> NDArray[np.float64]:
    """[n, rows, columns] from [n, C] and the number of the circuit of each cell, NaN where −1."""
    out = values[:, np.maximum(grid, 0)]
    out[:, grid < 0] = np.nan
    return out


def _by_layer(
    title: str,
    graph: Graph,
    values: NDArray[np.float64],
    units: tuple[str, ...],
    metric: Metric,
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
    cells, unit = _spread(values, grid), change_unit(metric, signed=True)
    return Matrix(title, tuple(rows), tuple(columns), cells, units, metric.name, unit, ("layer", "component"), seed)
