"""The rank of the parameter Jacobian: how many directions of parameter space the behaviour on the data depends on.

Rows are the outputs on every sample, columns the parameters. A network's free directions are those in the null space:
parameters can move along them without a change of any output, to first order. For a generic deep ReLU network they are
as many as there are hidden neurons, because incoming and outgoing weights of each can be scaled against each other.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

from toulmin.basis.degeneracy.spectra import RELATIVE, Rank, rank_of_gram, rank_of_matrix
from toulmin.basis.jacobians import DEFAULT_BYTES
from toulmin.faults import Fault, FaultError


def parameter_rank(
    model: nn.Module, x: Float[Tensor, "N ..."], threshold: float = RELATIVE, max_bytes: int = DEFAULT_BYTES
) -> Rank:
    """The rank of the Jacobian [N d_out, parameters] of the model's outputs, in float64.

    By its singular values where it fits in half of ``max_bytes``, else by a Gram matrix over the shorter side.

    :raises FaultError: ``basis.memory`` neither fits; ``basis.data`` no data.
    """
    if not len(x):
        raise FaultError(Fault("basis.data", "no data"))
    count = sum(p.numel() for p in model.parameters())
    with torch.no_grad():
        outputs = model(x[:1]).numel() * len(x)
    if 2 * outputs * count * 8 <= max_bytes:
        rows = torch.cat(list(_jacobians(model, x, max_bytes // 2)))
        return rank_of_matrix(rows if len(rows) > count else rows.T, threshold)
    if 4 * count * count * 8 > max_bytes:
        message = (
            f"the Gram matrix of {count} parameters takes {count * count * 8} bytes, over a quarter of {max_bytes}"
        )
        raise FaultError(Fault("basis.memory", message))
    gram = x.new_zeros(count, count, dtype=torch.float64)
    for rows in _jacobians(model, x, max_bytes // 4):
        gram.addmm_(rows.T, rows)
    return rank_of_gram(gram, threshold)


def _jacobians(model: nn.Module, x: Tensor, max_bytes: int) -> Iterator[Float[Tensor, "M parameters"]]:
    """Rows of the Jacobian, some samples at a time."""
    parameters = {name: p.detach().double() for name, p in model.named_parameters()}
    buffers = {name: b.double() if b.is_floating_point() else b for name, b in model.named_buffers()}
    x = x.double() if x.is_floating_point() else x

    def outputs(values: dict[str, Tensor], one: Tensor) -> Tensor:
        return functional_call(model, (values, buffers), (one[None],)).flatten()

    with torch.no_grad():
        width = outputs(parameters, x[0]).numel()
    size = max(1, int(max_bytes // (8 * width * sum(p.numel() for p in parameters.values()) * 3)))
    for start in range(0, len(x), size):
        parts = vmap(jacrev(outputs), in_dims=(None, 0))(parameters, x[start : start + size])
        yield torch.cat([part.flatten(2) for part in parts.values()], 2).flatten(0, 1).detach()
