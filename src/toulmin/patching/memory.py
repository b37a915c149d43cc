"""How much memory a plan needs."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from toulmin.patching.cache import SourceValues
from toulmin.patching.models import Model, as_computation
from toulmin.patching.plan import LOOK_BACK, Plan

MOST_BYTES = 2 * 1024**3  #: for activations on a CPU


def default_bytes(device: torch.device) -> int:
    """The bound on activations where the caller gives none: half of a CUDA card's memory, elsewhere at most 2 GiB.

    A quarter of the machine's memory where that is less than 2 GiB. What happens to be free does not count, so that on
    one machine chunks, and with them the rounding of results, are the same in every run.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory // 2
    sizes = getattr(os, "sysconf_names", {})  # not on Windows
    if "SC_PHYS_PAGES" not in sizes:
        return MOST_BYTES
    return min(MOST_BYTES, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 4)


def bytes_per_pair(model: Model, plan: Plan, inputs: Tensor, *, everywhere: bool = True, start: int = 0) -> int:
    """An upper estimate of the memory that executing a plan needs for one pair of the batch.

    :param inputs: what the model is run on, of one pair or more: [B, T] tokens of a Transformer.
    :param start: the first position of a Transformer that is computed.
    :param everywhere: whether all positions are scored; if not, what a Transformer's last layer writes is held at few.
    """
    computation = as_computation(model)  # how a component is split changes no size
    run = SourceValues(computation, inputs[:1])
    first = run.value(0)
    sizes = [first[0].numel()]
    if plan.graph.shape is None:  # streams may differ in size
        sizes += [run.value(source)[0].numel() for source in range(1, len(plan.graph.sources))]
    length, computed = 1, 1.0
    if plan.graph.shape is not None:
        length, computed = first.shape[1] - start, 1 - start / first.shape[1]
    work, table = 0.0, float(len(plan.deltas))
    for stage in plan.stages:
        last = stage.stage.layer >= plan.graph.n_layers - 1
        share = 1 / length if last and not everywhere else 1.0
        made = len(stage.rows) * (1 + any(row.second_pass for row in stage.rows)) * max(sizes) * computed
        made *= share if stage.stage.kind != "attn" else 1
        work = max(work, made + computation.kernels[stage.number].work(stage, length, share))
        table += share * sum(map(len, (*stage.slots, *stage.group_slots)))
    before = sum(sorted((len(stage.rows) for stage in plan.stages[:-1]), reverse=True)[:LOOK_BACK])
    numbers = ((table + before) * computed + 4 * len(plan.graph.sources)) * max(sizes) + work
    return int(numbers * first.element_size())
