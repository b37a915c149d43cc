r"""Second moments of Jacobians, and the strengths of interactions.

With J the Jacobian of the next section's features f C_next (or, for the interaction basis, of the network's output),
averaged over nodes on the line a x (:mod:`toulmin.basis.nodes`):

.. math:: M' = \frac{1}{N P} \sum_{n} \sum_{p', p} J_{p' p}^T J_{p' p}, \qquad
    E_{ij} = \frac{1}{N P} \sum_{n, p'} \Big( \sum_p \frac{\partial \hat f_i(p')}{\partial \hat f_j(p)} \hat f_j(p)
    \Big)^2 .

Some sections have closed forms (:mod:`toulmin.basis.closed_forms`, :mod:`toulmin.basis.norm_mlp`). Other sections are
differentiated: vector-Jacobian products for a chunk of outputs at a time, never the whole Jacobian.
With ``sources`` the sum over outputs is estimated from random signs instead (Rademacher): each source is one
vector-Jacobian product, and the standard error over sources is returned.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from typing_extensions import TypeIs

from toulmin.basis.closed_forms import ClosedForm, Function, ResidualAttention
from toulmin.basis.nodes import Node, line_nodes
from toulmin.basis.norm_mlp import NormMlp
from toulmin.faults import Fault, FaultError

DEFAULT_BYTES = 1 << 30


@dataclass(frozen=True)
class SecondMoment:
    """``matrix``: M' [d, d], float64; ``error``: its standard error over random sources, where there are any."""

    matrix: Float[Tensor, "d d"]
    error: Float[Tensor, "d d"] | None = None


def second_moment(
    section: Function,
    inputs: Iterable[Float[Tensor, "N P d"]],
    readout: Float[Tensor, "O F"] | None,
    *,
    nodes: Sequence[Node] | None = None,
    sources: int | None = None,
    generator: torch.Generator | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> SecondMoment:
    """M' of a section: E over samples and input positions of J^T J, J the Jacobian of ``section(x) @ readout``.

    :param readout: C of the next site, [d_out, F]; None leaves the output as it is.
    :param nodes: points of integrated gradients; default the Jacobian itself.
    :param sources: estimate the sum over outputs and positions from this many random sign vectors.
    :param max_bytes: a bound on the memory of Jacobian rows held at once.
    :raises FaultError: ``basis.data`` no data; ``basis.memory`` one row of one sample does not fit.
    """
    nodes = nodes or line_nodes()
    total: Tensor | None = None
    per_source: Tensor | None = None
    count = 0
    for x in inputs:
        count += x.shape[0] * x.shape[1]
        if sources is None and _has_closed_form(section, nodes):
            part = section.moment(x, readout, nodes)
            total = part if total is None else total + part
        elif sources is None:
            for rows in jacobian_rows(section, x, readout, nodes=nodes, max_bytes=max_bytes):
                flat = rows.flatten(0, 2).double()
                total = flat.T @ flat if total is None else total.addmm_(flat.T, flat)
        else:
            made = _random_rows(section, x, readout, nodes, sources, generator)  # [R, N, P, d]
            parts = torch.stack([row.flatten(0, 1).double().T @ row.flatten(0, 1).double() for row in made])
            per_source = parts if per_source is None else per_source + parts
    if not count:
        raise FaultError(Fault("basis.data", "no data"))
    if per_source is not None:
        assert sources is not None
        estimates = per_source / count
        error = estimates.std(0) / math.sqrt(sources) if sources > 1 else None
        return SecondMoment(estimates.mean(0), error)
    assert total is not None
    return SecondMoment(total / count)


def interactions(
    section: Function,
    inputs: Iterable[Float[Tensor, "N P d"]],
    C: Float[Tensor, "d J"],
    C_inverse: Float[Tensor, "J d"],
    readout: Float[Tensor, "O F"] | None,
    *,
    nodes: Sequence[Node] | None = None,
    max_bytes: int = DEFAULT_BYTES,
) -> Float[Tensor, "F J"]:
    """E [F, J]: how strongly each feature of a site acts on each feature of the next.

    The section is run on what the features span, x C C^+, so that what the basis dropped takes no part.
    """
    nodes = nodes or line_nodes()
    total: Tensor | None = None
    count = 0
    for x in inputs:
        count += x.shape[0] * x.shape[1]
        features = x @ C.to(x.dtype)
        spanned = features @ C_inverse.to(x.dtype)
        if _has_closed_form(section, nodes):
            part = section.interactions(spanned, features, C_inverse, readout, nodes, max_bytes)
        else:
            part = _row_interactions(section, spanned, features, C_inverse, readout, nodes, max_bytes)
        total = part if total is None else total + part
    if total is None:
        raise FaultError(Fault("basis.data", "no data"))
    return total / count


def _has_closed_form(section: Function, nodes: Sequence[Node]) -> TypeIs[ClosedForm]:
    """The closed forms of attention and of MLPs behind a norm hold at one node of the line only."""
    return isinstance(section, ClosedForm) and (len(nodes) == 1 or not isinstance(section, ResidualAttention | NormMlp))


def jacobian_rows(
    section: Function,
    x: Float[Tensor, "N P d"],
    readout: Float[Tensor, "O F"] | None,
    *,
    nodes: Sequence[Node],
    max_bytes: int = DEFAULT_BYTES,
) -> Iterator[Float[Tensor, "K N P d"]]:
    """Rows of the Jacobian of every sample, a chunk of outputs (position, feature) at a time.

    Samples do not influence one another, so one vector-Jacobian product gives a row for all of them. Outputs are in the
    order of positions and then of features.

    :raises FaultError: ``basis.memory``.
    """
    with torch.no_grad():
        shape = section(x[:1]).shape
    width = shape[-1] if readout is None else readout.shape[1]
    outputs = shape[1] * width
    row = x.numel() * x.element_size()
    chunk = int(max_bytes // (3 * row))
    if chunk < 1:
        half = len(x) // 2
        if not half:
            message = f"one row of one sample takes {row} bytes, more than a third of the bound {max_bytes}"
            raise FaultError(Fault("basis.memory", message))
        for part in (x[:half], x[half:]):
            yield from jacobian_rows(section, part, readout, nodes=nodes, max_bytes=max_bytes)
        return
    pulls = [_pullback(section, x, readout, node) for node in nodes]
    for start in range(0, outputs, chunk):
        index = torch.arange(start, min(start + chunk, outputs), device=x.device)
        seeds = x.new_zeros(len(index), 1, shape[1], width)
        seeds[torch.arange(len(index)), 0, index // width, index % width] = 1
        rows: Tensor | None = None
        for node, pull in zip(nodes, pulls, strict=True):
            part = pull(seeds.expand(-1, len(x), -1, -1)) * node.weight
            rows = part if rows is None else rows + part
        assert rows is not None
        yield rows


def _pullback(section: Function, x: Tensor, readout: Tensor | None, node: Node) -> Function:
    """A function from [K, N, P', F] to the K vector-Jacobian products [K, N, P, d] at a x."""
    with torch.enable_grad():
        at = (node.at * x).detach().requires_grad_()
        out = section(at)
        out = out if readout is None else out @ readout.to(out.dtype)

    def pull(seeds: Tensor) -> Tensor:
        (rows,) = torch.autograd.grad(out, at, seeds, is_grads_batched=True, retain_graph=True)
        return rows

    return pull


def _random_rows(
    section: Function,
    x: Tensor,
    readout: Tensor | None,
    nodes: Sequence[Node],
    sources: int,
    generator: torch.Generator | None,
) -> Iterator[Float[Tensor, "N P d"]]:
    with torch.no_grad():
        shape = section(x[:1]).shape
    width = shape[-1] if readout is None else readout.shape[1]
    pulls = [_pullback(section, x, readout, node) for node in nodes]
    for _ in range(sources):
        signs = torch.randint(0, 2, (len(x), shape[1], width), generator=generator, device=x.device)
        seed = (2 * signs - 1).to(x.dtype)[None]
        rows: Tensor | None = None
        for node, pull in zip(nodes, pulls, strict=True):
            part = pull(seed)[0] * node.weight
            rows = part if rows is None else rows + part
        assert rows is not None
        yield rows


def _row_interactions(
    section: Function,
    spanned: Tensor,
    features: Tensor,
    C_inverse: Tensor,
    readout: Tensor | None,
    nodes: Sequence[Node],
    max_bytes: int,
) -> Float[Tensor, "F J"]:
    width = None if readout is None else readout.shape[1]
    parts: list[Tensor] = []
    per_output: list[Tensor] = []
    with torch.no_grad():
        out_shape = section(spanned[:1]).shape
    width = width or out_shape[-1]
    for rows in jacobian_rows(section, spanned, readout, nodes=nodes, max_bytes=max_bytes):
        acting = ((rows @ C_inverse.T.to(rows.dtype)) * features).sum(2)  # [K, N, J]
        per_output.append(acting.double().square().sum(1))
    parts = per_output
    every = torch.cat(parts)
    batches = len(every) // (out_shape[1] * width)  # jacobian_rows may have cut the batch
    return every.unflatten(0, (batches, out_shape[1], width)).sum((0, 1))
