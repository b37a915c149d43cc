r"""Circuits: sets of edges, any number at once, with masks that may be real numbers.

A circuit is given by its mask, which is 1 on the edges that are cut and 0 on those that are left alive. A cut edge
carries a value that is given (another run's, zeros, means); a live edge carries what its source writes in this same
patched run, recomputed even if all of the source's own inputs are cut: with zero or mean values that is not the cached
value. Boolean masks go through a plan that computes only what differs from a plain run and reaches the output
(:mod:`toulmin.patching.plan_circuits`); masks of real numbers are computed densely and are differentiable
(:mod:`toulmin.patching.dense`).

Letters: C circuit, S source, R receiver, B batch, T position, D residual, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.cache import FixedValues, SourceValues, advance_together
from toulmin.patching.computation import Computation
from toulmin.patching.dense import run_dense
from toulmin.patching.graph import Graph
from toulmin.patching.kernels import Terms
from toulmin.patching.memory import bytes_per_pair, default_bytes
from toulmin.patching.models import Model, as_computation
from toulmin.patching.plan_circuits import plan_circuits
from toulmin.patching.position_classes import PositionClasses
from toulmin.patching.run_paths import run_plan, start_of
from toulmin.patching.scored import Scored, common_positions, scored_of_rows


def run_circuits(
    model: Model,
    tokens: Tensor,
    values: Tensor | Sequence[Tensor] | SourceValues,
    masks: Tensor | NDArray[np.generic],
    *,
    graph: Graph | None = None,
    terms: Terms | None = None,
    scored: Scored = None,
    max_bytes: int | None = None,
    clean: SourceValues | None = None,
) -> Tensor:
    """Logits of C circuits on one batch: [C, B, V], or [C, B, P, V] for P scored positions.

    :param model: a Transformer, or any :class:`~toulmin.patching.computation.Computation`, whose output takes the place
        of logits.
    :param tokens: [B, T], the run whose edges are cut; of a computation, its input [B, ..].
    :param values: [S, B, T, D], or broadcastable to it: what a cut edge carries (of a computation whose sources differ
        in shape, one tensor a source); or the run whose values it carries, of which, with Boolean masks, only what is
        read is computed.
    :param masks: [C, S, R] or [C, S, R, T] (T the position of the source); 1 cuts, 0 leaves alive; where the graph has
        no edge the entry is not read. Differentiable in ``masks`` and ``values``.
    :param terms: for each component that is split into terms, by name, functions whose values sum to its output.
    :param max_bytes: circuits are run in chunks so that the activations of one chunk stay below this; default
        :func:`toulmin.patching.default_bytes` of the device.
    :param clean: ``source_values(model, tokens, graph=graph)``, where the caller has it already (Boolean masks only).
    :raises FaultError: ``patching.masks``, ``patching.values``, ``patching.tokens``, ``patching.terms``;
        ``patching.nan`` (exit NUMERICAL).
    """
    computation = as_computation(model, graph, terms)
    graph = graph or computation.graph
    computation.check(tokens)
    max_bytes = default_bytes(tokens.device) if max_bytes is None else max_bytes
    like = values.value(0) if isinstance(values, SourceValues) else values[0]
    boolean = masks.dtype in (torch.bool, np.bool_)
    mask = _checked_masks(masks, computation.graph, len(graph.receivers), tokens, like)
    for run in (values, clean):
        if isinstance(run, SourceValues):
            _check_run(run, computation, tokens)
    # of another model's run a node that reads only its values would not have its value: that is a tensor like any other
    if not (boolean and isinstance(values, SourceValues) and values.is_of(computation)):
        if isinstance(values, SourceValues):
            values = values.values if computation.graph.shape is not None else values.all_values
        _check_values(values, computation, tokens)
    if graph.merged_qkv:
        mask = mask[:, :, torch.from_numpy(graph.unmerged_columns).to(mask.device)]
    if boolean:
        return _sparse(computation, tokens, values, mask.cpu().numpy(), scored, max_bytes, clean)
    assert not isinstance(values, SourceValues)
    size = (
        sum(value[0].numel() for value in values) if not isinstance(values, Tensor) else _numbers(computation, tokens)
    )
    per_circuit = size * like.element_size() * len(tokens)
    chunk = max(1, int(max_bytes // per_circuit))
    parts = [run_dense(computation, tokens, values, part, scored) for part in mask.split(chunk)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _numbers(computation: Computation, tokens: Tensor) -> int:
    """About how many numbers a circuit needs for one row of the batch when every receiver has a stream of its own."""
    stream = computation.start(tokens[:1])[0].numel()
    largest = max(len(stage.inputs) for stage in computation.graph.stages)
    return stream * (len(computation.graph.sources) + 8 * largest)


def _check_run(run: SourceValues, computation: Computation, tokens: Tensor) -> None:
    if run.shape != tuple(tokens.shape):
        raise FaultError(
            Fault("patching.values", f"a run on {run.shape} tokens is given for {tuple(tokens.shape)} tokens")
        )
    if run.graph.sources != computation.graph.sources:
        raise FaultError(Fault("patching.values", "a run's sources are not the graph's: make it with graph=graph"))


def _check_values(values: Tensor | Sequence[Tensor], computation: Computation, tokens: Tensor) -> None:
    count = len(computation.graph.sources)
    if isinstance(values, Tensor):
        width = (count, *computation.start(tokens[:1])[0].shape)
        width = (count, len(tokens), *width[2:])
        if values.ndim != len(width) or any(
            have not in (1, want) for have, want in zip(values.shape, width, strict=True)
        ):
            raise FaultError(
                Fault("patching.values", f"values are {list(values.shape)}, not {list(width)} or broadcastable to it")
            )
    elif len(values) != count:
        raise FaultError(Fault("patching.values", f"values of {len(values)} sources are given for {count} sources"))
    for value in (values,) if isinstance(values, Tensor) else values:
        if bool(torch.isnan(value).any()):
            raise FaultError(Fault("patching.nan", "a value for cut edges is NaN"), ExitCode.NUMERICAL)


def _checked_masks(
    masks: Tensor | NDArray[np.generic], graph: Graph, receivers: int, tokens: Tensor, like: Tensor
) -> Tensor:
    """[C, S, R] or [C, S, R, T]: Boolean as they are, real numbers in the values' type."""
    mask = torch.as_tensor(masks)  # Boolean ones are planned with, on the CPU, and never become numbers
    if mask.dtype != torch.bool:
        mask = mask.to(like.device, like.dtype)
    want = (len(graph.sources), receivers)
    positions = () if mask.ndim == 3 else (tokens.shape[-1],)
    allowed = (3, 4) if graph.shape is not None else (3,)
    if mask.ndim not in allowed or tuple(mask.shape[1:]) != (*want, *positions):
        last = " or with a last axis T" if len(allowed) > 1 else ""
        raise FaultError(Fault("patching.masks", f"masks are {list(mask.shape)}, not [C, {want[0]}, {want[1]}]{last}"))
    if mask.dtype != torch.bool and bool(torch.isnan(mask).any()):
        raise FaultError(Fault("patching.nan", "a mask is NaN"), ExitCode.NUMERICAL)
    return mask


def _sparse(
    computation: Computation,
    tokens: Tensor,
    values: Tensor | Sequence[Tensor] | SourceValues,
    mask: NDArray[np.bool_],
    scored: Scored,
    max_bytes: int,
    clean: SourceValues | None,
) -> Tensor:
    """The same by a plan: only copies that differ from the plain run and reach the output are computed, each once.

    What does not fit is cut by the batch first, which costs nothing, and then by circuits, which share work.
    """
    run = clean or SourceValues(computation, tokens, scored)
    graph, batch = computation.graph, len(tokens)
    is_run = isinstance(values, SourceValues)
    if isinstance(values, SourceValues):
        other = values
    elif isinstance(values, Tensor):
        other = FixedValues(values.expand(-1, *run.value(0).shape), graph)
    else:
        other = FixedValues([value.expand_as(run.value(source)) for source, value in enumerate(values)], graph)
    classes = PositionClasses.everywhere(tokens.shape[-1]) if mask.ndim == 4 else None
    start = start_of(run, other, scored) if graph.shape is not None else 0
    everywhere = graph.shape is not None and common_positions(scored, tokens.shape[-1]) is None

    waiting, outputs = [mask], list[Tensor]()
    while waiting:
        some = waiting.pop(0)
        plan = plan_circuits(graph, some, counterfactual_is_run=is_run)
        per_pair = bytes_per_pair(computation, plan, tokens, everywhere=everywhere, start=start)
        pieces = min(len(some), math.ceil(per_pair / max_bytes))
        if pieces > 1:
            waiting[:0] = np.array_split(some, pieces)
            continue
        advance_together((run, other), plan.opposite_stages)
        chunk = max(1, int(max_bytes // per_pair))
        parts: list[Tensor] = []
        for start in range(0, batch, chunk):
            rows = slice(start, min(batch, start + chunk))
            runs = run.of_rows(rows), other.of_rows(rows)
            parts.append(run_plan(computation, plan, *runs, classes=classes, scored=scored_of_rows(scored, rows)))
        outputs.append(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
    logits = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    if is_run and bool(torch.isnan(logits).any()):  # of fixed values this is asked before anything runs
        raise FaultError(Fault("patching.nan", "the patched run's logits are NaN"), ExitCode.NUMERICAL)
    return logits
