r"""Circuits: sets of edges, any number at once, with masks that may be real numbers.

The input of receiver ``r`` in circuit ``c`` is

.. math:: x_{c,r} = b + \sum_s (1 - m_{c,s,r})\, y_{c,s} + m_{c,s,r}\, a_s

with ``y`` the source's output in this same patched run (recomputed even if all of its own inputs are cut: with zero or
mean values that is not the cached value, so nothing is pruned) and ``a`` the value a cut edge carries. Circuits ride on
the leading axis; the stream is the sum of the current outputs, and each receiver adds ``m (a - y)``.

Letters: C circuit, S source, R receiver, B batch, T position, D residual, H head, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.cache import (
    FixedValues,
    Scored,
    SourceValues,
    advance_together,
    check_tokens,
    constant_biases,
    pick_scored,
    source_values,
)
from toulmin.patching.execute import common_positions
from toulmin.patching.graph import SLOTS, Graph
from toulmin.patching.plan_circuits import plan_circuits
from toulmin.patching.position_classes import PositionClasses
from toulmin.patching.run_paths import rows_of, run_plan

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

DEFAULT_BYTES = 2 * 1024**3


def run_circuits(
    model: Transformer,
    tokens: Int[Tensor, "B T"],
    values: Tensor | SourceValues,
    masks: Tensor | NDArray[np.generic],
    *,
    graph: Graph | None = None,
    scored: Scored = None,
    max_bytes: int = DEFAULT_BYTES,
    clean: SourceValues | None = None,
) -> Tensor:
    """Logits of C circuits on one batch: [C, B, V], or [C, B, P, V] for P scored positions.

    :param tokens: the run whose edges are cut.
    :param values: [S, B, T, D], or broadcastable to it: what a cut edge carries; or the run whose values it carries,
        of which, with Boolean masks, only what is read is made.
    :param masks: [C, S, R] or [C, S, R, T] (T the position of the source); 1 cuts, 0 leaves alive; where the graph has
        no edge the entry is not read. Differentiable in ``masks`` and ``values``.
    :param max_bytes: circuits are run in chunks so that the activations of one chunk stay below this.
    :param clean: ``source_values(model, tokens, graph=graph)``, where the caller has it already (Boolean masks only).
    :raises FaultError: ``patching.masks``, ``patching.values``, ``patching.tokens``; ``patching.nan`` (exit NUMERICAL).
    """
    graph = graph or Graph.of(model)
    check_tokens(model, tokens)
    mask = _checked_masks(masks, graph, tokens, model.W_E)
    boolean = masks.dtype in (torch.bool, np.bool_)
    for run in (values, clean):
        if isinstance(run, SourceValues):
            _check_run(run, graph, tokens)
    # of another model's run a node that reads only its values would not have its value: that is a tensor like any other
    if not (boolean and isinstance(values, SourceValues) and values.is_of(model)):
        values = values.values if isinstance(values, SourceValues) else values
        _check_values(values, (len(graph.sources), *tokens.shape, model.config.d_model))
    if graph.merged_qkv:
        mask = mask[:, :, torch.from_numpy(graph.unmerged_columns).to(mask.device)]
    if boolean:
        return _sparse(model, tokens, values, mask.bool().cpu().numpy(), graph, scored, max_bytes, clean)
    assert isinstance(values, Tensor)
    row = tokens.numel() * model.config.d_model * model.W_E.element_size()
    per_circuit = row * (len(graph.sources) + 8 * len(SLOTS) * graph.n_heads)
    chunk = max(1, int(max_bytes // per_circuit))
    parts = [_dense(model, tokens, values, part, graph, scored) for part in mask.split(chunk)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _check_run(run: SourceValues, graph: Graph, tokens: Tensor) -> None:
    if run.shape != tuple(tokens.shape):
        raise FaultError(
            Fault("patching.values", f"a run on {run.shape} tokens is given for {tuple(tokens.shape)} tokens")
        )
    if run.graph.sources != graph.sources:
        raise FaultError(Fault("patching.values", "a run's sources are not the graph's: make it with graph=graph"))


def _check_values(values: Tensor, width: tuple[int, ...]) -> None:
    if values.ndim != 4 or any(have not in (1, want) for have, want in zip(values.shape, width, strict=True)):
        raise FaultError(
            Fault("patching.values", f"values are {list(values.shape)}, not {list(width)} or broadcastable to it")
        )
    if bool(torch.isnan(values).any()):
        raise FaultError(Fault("patching.nan", "a value for cut edges is NaN"), ExitCode.NUMERICAL)


def _checked_masks(
    masks: Tensor | NDArray[np.generic], graph: Graph, tokens: Tensor, like: Tensor
) -> Float[Tensor, "C S R *T"]:
    mask = torch.as_tensor(masks, device=like.device).to(like.dtype)
    want = (len(graph.sources), len(graph.receivers))
    positions = () if mask.ndim == 3 else (tokens.shape[-1],)
    if mask.ndim not in (3, 4) or tuple(mask.shape[1:]) != (*want, *positions):
        raise FaultError(
            Fault(
                "patching.masks", f"masks are {list(mask.shape)}, not [C, {want[0]}, {want[1]}] or with a last axis T"
            )
        )
    if bool(torch.isnan(mask).any()):
        raise FaultError(Fault("patching.nan", "a mask is NaN"), ExitCode.NUMERICAL)
    return mask


def _sparse(
    model: Transformer,
    tokens: Tensor,
    values: Tensor | SourceValues,
    mask: NDArray[np.bool_],
    graph: Graph,
    scored: Scored,
    max_bytes: int,
    clean: SourceValues | None,
) -> Tensor:
    """The same by a plan: only copies that differ from the plain run and reach the logits are computed, each once.

    What does not fit is cut by the batch first, which costs nothing, and then by circuits, which share work.
    """
    graph = graph if not graph.merged_qkv else replace(graph, merged_qkv=False)
    run_values = clean or source_values(model, tokens, graph=graph, scored=scored)
    config, (batch, length) = model.config, tokens.shape
    is_run = isinstance(values, SourceValues)
    other = values if is_run else FixedValues(values.expand(-1, batch, length, -1), graph)
    classes = PositionClasses.everywhere(length) if mask.ndim == 4 else None
    everywhere = common_positions(scored, length) is None

    waiting, outputs = [mask], list[Tensor]()
    while waiting:
        some = waiting.pop(0)
        plan = plan_circuits(graph, some, counterfactual_is_run=is_run)
        per_pair = length * plan.bytes_per_token(
            config.d_model, config.d_head, config.d_mlp, length, model.W_E.element_size(), everywhere=everywhere
        )
        pieces = min(len(some), math.ceil(per_pair / max_bytes))
        if pieces > 1:
            waiting[:0] = np.array_split(some, pieces)
            continue
        advance_together((run_values, other), plan.opposite_stage)
        chunk = max(1, int(max_bytes // per_pair))
        parts: list[Tensor] = []
        for start in range(0, batch, chunk):
            rows = slice(start, min(batch, start + chunk))
            runs = run_values.of_rows(rows), other.of_rows(rows)
            parts.append(run_plan(model, plan, *runs, classes=classes, scored=rows_of(scored, rows)))
        outputs.append(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
    logits = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
    if is_run and bool(torch.isnan(logits).any()):  # of fixed values this is asked before anything runs
        raise FaultError(Fault("patching.nan", "the patched run's logits are NaN"), ExitCode.NUMERICAL)
    return logits


class _Stream:
    """The current outputs of all circuits: their sum, and what each receiver must add to it."""

    def __init__(self, values: Tensor, mask: Tensor) -> None:
        self.values, self.mask = values, mask
        self.total: Tensor | None = None
        self.blocks: list[tuple[int, Tensor]] = []  # first source, [C, k, B, T, D] of (a - y)
        self.count = 0

    def add(self, outputs: Float[Tensor, "C K B T D"]) -> None:
        """Append the outputs of the next K sources."""
        summed = outputs.sum(1)
        self.total = summed if self.total is None else self.total + summed
        self.blocks.append((self.count, self.values[self.count : self.count + outputs.shape[1]] - outputs))
        self.count += outputs.shape[1]

    def read(self, first: int, count: int, sources: int) -> Float[Tensor, "C R B T D"]:
        """What ``count`` receivers from number ``first`` read of the first ``sources`` sources, without constants."""
        assert self.total is not None
        out = self.total[:, None].expand(-1, count, -1, -1, -1)
        for start, gap in self.blocks:
            if start >= sources:
                continue
            mask = self.mask[:, start : start + gap.shape[1], first : first + count]
            if mask.ndim == 3:
                out = out + (mask.transpose(1, 2) @ gap.flatten(2)).unflatten(-1, gap.shape[2:])
            else:
                out = out + torch.einsum("csrt,csbtd->crbtd", mask, gap)
        return out


def _dense(model: Transformer, tokens: Tensor, values: Tensor, mask: Tensor, graph: Graph, scored: Scored) -> Tensor:
    circuits, heads = mask.shape[0], graph.n_heads
    at = model.positions(tokens.shape[-1])
    constants = constant_biases(model, graph)
    embedded, placed = model.embed(tokens), model.pos_embed(at)
    inputs = [embedded] if placed is None else [embedded, placed.expand_as(embedded)]
    start = torch.stack(inputs) if graph.split_embed else torch.stack(inputs).sum(0, keepdim=True)
    stream = _Stream(values, mask)
    stream.add(start.expand(circuits, -1, -1, -1, -1))
    receiver = 0
    pending: Tensor | None = None
    for index, stage in enumerate(graph.stages):
        if stage.kind == "logits":
            resid = stream.read(receiver, 1, stage.reads)[:, 0] + constants[index]
            return model.unembed(pick_scored(resid, scored))
        layer = model.layers[stage.layer]
        if stage.kind == "attn":
            x = stream.read(receiver, len(SLOTS) * heads, stage.reads) + constants[index]
            x = layer.norm1(x).unflatten(1, (heads, len(SLOTS))).movedim(1, 4)  # [C, 3, B, T, H, D]
            q = layer.attn.q(x[:, 0], at, per_head=True)
            k = layer.attn.k(x[:, 1], at, per_head=True)
            v = layer.attn.v(x[:, 2], at, per_head=True)
            out = layer.attn.result(layer.attn.attend(q, k, v, at)).movedim(-2, 1)  # [C, H, B, T, D]
            receiver += len(SLOTS) * heads
            if graph.parallel:
                pending = out  # the MLP of a parallel layer reads the stream before the heads write
            else:
                stream.add(out)
        else:
            out = layer.mlp_out(stream.read(receiver, 1, stage.reads)[:, 0] + constants[index])[:, None]
            receiver += 1
            if pending is not None:
                stream.add(pending)
                pending = None
            stream.add(out)
        if stage.kind == "attn" and not graph.has_mlp and pending is not None:
            stream.add(pending)
            pending = None
    raise AssertionError("a graph ends in its logits")
