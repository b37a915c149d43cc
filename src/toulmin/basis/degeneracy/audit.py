"""The degeneracy of a network on data, as one report.

Three ways in which parameters can move without an effect (Bushnaq et al. 2024, "Using Degeneracy in the Loss
Landscape", section 3), each counted at every layer with the gap of the spectrum it is read from:

- *activations* that depend linearly on each other: a weight that reads a direction in which they do not vary does
  nothing;
- *Jacobians* of the output that depend linearly on each other: a weight that writes a direction that nothing reads does
  nothing;
- *ReLU neurons that fire on the same samples*: within such a group the layer is linear, and its weights can be mixed.

A linear layer of d_in (with the constant) by d_out weights then has d_in d_out - r_activations r_jacobians free
directions. The whole network's are counted by the rank of the parameter Jacobian, and for one hidden ReLU layer by an
exact formula; where the two disagree the report says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.basis.closed_forms import Function
from toulmin.basis.degeneracy.effective import EffectiveParameters, effective_parameters, layers_of
from toulmin.basis.degeneracy.parameters import parameter_rank
from toulmin.basis.degeneracy.spectra import RELATIVE, Rank, rank_of_matrix
from toulmin.basis.jacobians import DEFAULT_BYTES, jacobian_rows
from toulmin.basis.nodes import line_nodes
from toulmin.basis.sections import ACTIVATIONS, Chain, mlp_chain, with_constant
from toulmin.faults import Fault, FaultError
from toulmin.subjects import Mlp


@dataclass(frozen=True)
class Synchronised:
    """ReLU neurons of one layer that fire on the same samples.

    :ivar groups: sets of two and more, the neurons that always fire among them (they are in step with the constant).
    :ivar dead: neurons that never fire.
    :ivar merged: how many neurons less there would be with one for each group.
    :ivar gap: the smallest share of samples on which two neurons of different groups differ; the analogue of a spectral
        gap. One where there are not two groups.
    """

    groups: tuple[tuple[int, ...], ...]
    dead: tuple[int, ...]
    merged: int
    gap: float


@dataclass(frozen=True)
class LayerDegeneracy:
    """One linear layer.

    :ivar activations: the rank of what it reads, the constant among it, out of ``d_in``.
    :ivar jacobians: the rank of the Jacobians of the output with respect to what it writes, out of ``d_out``.
    :ivar neurons: of the ReLU neurons that it feeds; None for the last layer.
    """

    site: str
    d_in: int
    d_out: int
    activations: Rank
    jacobians: Rank
    neurons: Synchronised | None

    @property
    def free(self) -> int:
        """Directions of its weights that change no output, to first order, of those that one layer shows alone."""
        return self.d_in * self.d_out - self.activations.rank * self.jacobians.rank


@dataclass(frozen=True)
class DegeneracyReport:
    """What :func:`audit` finds.

    :ivar rank: of the parameter Jacobian; :ivar formula: for one hidden ReLU layer, else None.
    """

    parameters: int
    samples: int
    layers: tuple[LayerDegeneracy, ...]
    rank: Rank
    formula: EffectiveParameters | None

    @property
    def free(self) -> int:
        """Free directions of parameter space."""
        return self.parameters - self.rank.rank

    @property
    def disagreement(self) -> str | None:
        """Why the formula and the rank differ, None where they agree or there is no formula."""
        if self.formula is None or self.formula.count == self.rank.rank:
            return None
        text = f"the formula counts {self.formula.count} effective parameters, the Jacobian has rank {self.rank.rank}"
        if not self.formula.valid:
            return (
                text + ": the groups' masked inputs depend on each other on these samples, so the formula does not hold"
            )
        return text + f": the spectrum may have no clear gap there (10^{self.rank.gap:.1f})"


def audit(
    model: Mlp, x: Float[Tensor, "N I"], *, threshold: float = RELATIVE, max_bytes: int = DEFAULT_BYTES
) -> DegeneracyReport:
    """The degeneracy of an MLP on the inputs x.

    :param threshold: singular values below this share of the largest count as zero.
    :raises FaultError: ``basis.data`` no data; ``basis.memory`` too many parameters for ``max_bytes``;
        ``basis.activation`` an activation function that cannot be folded.
    """
    if not len(x):
        raise FaultError(Fault("basis.data", "no data"))
    double = x.double()
    copy = Mlp(model.widths, model.activation, model.bias).double()
    copy.load_state_dict(model.state_dict())
    chain = mlp_chain(copy)
    inputs = with_constant(double)[:, None]
    with torch.no_grad():
        at = chain.activations(inputs)
        _, cache = copy.run_with_cache(double)
    layers: list[LayerDegeneracy] = []
    for number, linear in enumerate(layers_of(copy)):
        last = number == copy.n_layers - 1
        pre = cache[f"L{number}.pre"]
        relu = copy.activation == "relu" and not last
        layers.append(
            LayerDegeneracy(
                chain.sites[number],
                linear.in_features + 1,
                linear.out_features,
                rank_of_matrix(at[number].flatten(0, 1), threshold),
                _jacobian_rank(_after(copy, number), pre[:, None], threshold, max_bytes),
                synchronised(pre > 0) if relu else None,
            )
        )
    one = copy.n_layers == 2 and copy.activation == "relu" and copy.bias
    return DegeneracyReport(
        sum(p.numel() for p in copy.parameters()),
        len(x),
        tuple(layers),
        parameter_rank(copy, double, threshold, max_bytes),
        effective_parameters(copy, double, threshold) if one else None,
    )


def audit_chain(
    chain: Chain, x: Float[Tensor, "N P d"], *, threshold: float = RELATIVE, max_bytes: int = DEFAULT_BYTES
) -> dict[str, tuple[Rank, Rank]]:
    """For every site of any chain but the last: the rank of its activations, and of the Jacobians passed back to it."""
    with torch.no_grad():
        at = chain.activations(x)
    found: dict[str, tuple[Rank, Rank]] = {}
    for number, site in enumerate(chain.sites[:-1]):

        def rest(value: Tensor, number: int = number) -> Tensor:
            for section in chain.sections[number:]:
                value = section(value)
            return value

        acts = rank_of_matrix(at[number].flatten(0, 1), threshold)
        found[site] = acts, _jacobian_rank(rest, at[number], threshold, max_bytes)
    return found


def synchronised(fires: Tensor) -> Synchronised:
    """Which neurons fire on the same samples, from a table [N, neurons] of whether they fire."""
    n = len(fires)
    columns: dict[bytes, list[int]] = {}
    for neuron, column in enumerate(fires.T.cpu().numpy()):
        columns.setdefault(column.tobytes(), []).append(neuron)
    counts = fires.sum(0)
    dead = tuple((counts == 0).nonzero()[:, 0].tolist())
    always = tuple((counts == n).nonzero()[:, 0].tolist())
    shared = [tuple(g) for g in columns.values() if len(g) > 1 and g[0] not in dead and g[0] not in always]
    merged = sum(len(group) - 1 for group in shared) + len(always)
    alive = [group[0] for group in columns.values() if group[0] not in dead]
    gap = 1.0
    if len(alive) > 1:
        some = fires[:, alive].double()
        differ = (some.T @ (1 - some) + (1 - some).T @ some) / n
        gap = float((differ + torch.eye(len(alive), dtype=differ.dtype)).min())
    return Synchronised(tuple([*shared, *([always] if always else [])]), dead, merged, gap)


def _after(model: Mlp, number: int) -> Function:
    """The network from what linear layer ``number`` writes."""
    act = ACTIVATIONS[model.activation][0]

    def run(pre: Tensor) -> Tensor:
        if number == model.n_layers - 1:
            return pre
        return model.run_from(act(pre), number + 1)

    return run


def _jacobian_rank(rest: Function, x: Tensor, threshold: float, max_bytes: int) -> Rank:
    """The rank of the Jacobians of all samples side by side, by a QR decomposition that is brought up to date."""
    kept: Tensor | None = None
    for rows in jacobian_rows(rest, x, None, nodes=line_nodes(), max_bytes=max_bytes // 4):
        flat = rows.flatten(0, 2).double()
        kept = torch.linalg.qr(flat if kept is None else torch.cat([kept, flat]), mode="r").R
    assert kept is not None
    return rank_of_matrix(kept, threshold)
