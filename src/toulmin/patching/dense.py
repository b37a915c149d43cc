r"""Circuits whose masks are real numbers: every receiver of every circuit reads a stream of its own.

The input of receiver ``r`` in circuit ``c`` is

.. math:: x_{c,r} = b + \sum_s (1 - m_{c,s,r})\, y_{c,s} + m_{c,s,r}\, a_s

with ``y`` the source's output in this same patched run and ``a`` the value a cut edge carries: the sum of the current
outputs, to which each receiver adds ``m (a - y)``. Differentiable in masks and values.

Letters: C circuit, S source, R receiver, K component, B batch; ``*`` the axes of a stream.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from toulmin.patching.computation import Computation
from toulmin.patching.scored import Scored


def run_dense(
    computation: Computation, inputs: Tensor, values: Tensor | Sequence[Tensor], mask: Tensor, scored: Scored
) -> Tensor:
    """The model's output in each circuit: [C, B, V] of a Transformer.

    :param values: [S, B, *], or one tensor for each source: what cut edges carry.
    :param mask: [C, S, R], or [C, S, R, T] by position.
    """
    graph, circuits = computation.graph, mask.shape[0]
    blocks: list[tuple[range, Tensor]] = []  # what was written so far: numbers of sources, and [C, S', B, *]
    totals: list[Tensor] = []  # by stage
    streams: list[Tensor] = []  # by stage, the sum of the current outputs that it reads
    for source, value in enumerate(computation.start(inputs)):  # inputs of the model may differ in shape
        blocks.append((range(source, source + 1), value.expand(circuits, 1, *value.shape)))
    n_inputs = len(blocks)

    def total(stage: int) -> Tensor:
        return totals[stage] if stage >= 0 else torch.cat([made for _, made in blocks[:n_inputs]], 1).sum(1)

    def output(source: int) -> Tensor:
        numbers, made = next(block for block in blocks if source in block[0])
        return made[:, source - numbers.start]

    for number, kernel in enumerate(computation.kernels):
        earlier, stages, sources = graph.stream_steps[number]
        stream = None if earlier is None else streams[earlier]
        for part in (*map(total, stages), *map(output, sources)):
            stream = part if stream is None else stream + part
        assert stream is not None
        streams.append(stream)
        receivers, read = graph.stage_receivers[number], graph.read_numbers[number]
        out = stream[:, None].expand(-1, len(receivers), *stream.shape[1:])
        for numbers, made in blocks:
            some = read[(read >= numbers.start) & (read < numbers.stop)]
            if not len(some):
                continue
            gap = _select(values, some) - _rows(made, some - numbers.start)
            part = _rows(mask, some)[:, :, receivers.start : receivers.stop]
            if part.ndim == 3:
                out = out + (part.transpose(1, 2) @ gap.flatten(2)).unflatten(-1, gap.shape[2:])
            else:
                out = out + torch.einsum("csrt,csbtd->crbtd", part, gap)
        constant = computation.constants[number]
        out = out if constant is None else out + constant
        if number == len(graph.stages) - 1:
            return kernel.output(kernel.pick(out[:, 0], scored), leading=1)
        made = kernel.sources_of(kernel.apart(out), 1)
        blocks.append((graph.writes[number], made))
        totals.append(made.sum(1))
    raise AssertionError("a graph ends in its output")


def _rows(table: Tensor, numbers: np.ndarray) -> Tensor:
    """Entries along the second axis; a view where they follow one another."""
    first, count = int(numbers[0]), len(numbers)
    if int(numbers[-1]) - first + 1 == count:
        return table.narrow(1, first, count)
    return table[:, numbers.tolist()]


def _select(values: Tensor | Sequence[Tensor], numbers: np.ndarray) -> Tensor:
    """[S', B, *] the values of some sources."""
    if isinstance(values, Tensor):
        return _rows(values[None], numbers)[0]
    return torch.stack([values[number] for number in numbers.tolist()])
