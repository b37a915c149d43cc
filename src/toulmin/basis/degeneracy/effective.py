r"""The number of effective parameters of a network with one hidden ReLU layer, exactly.

N_eff is the rank of the Jacobian of the outputs on the data with respect to all parameters: the parameters that the
behaviour depends on (the behavioural loss of Bushnaq et al. 2024, section 2). Hidden neurons that fire on the same
samples form a group b; within it a change of incoming weights and one of outgoing weights can do the same, across
groups they cannot, as long as the groups' masked inputs are linearly independent of each other on the data:

.. math:: N_{eff} = \sum_b \big( r_b d_{out} + q_b \rho_b - r_b q_b \big)

with rho_b the rank of the inputs (and the constant) on the samples where the group fires, r_b the rank of the
group's activations, q_b the rank of its outgoing weights. The group that always fires also has the constant of the
output bias, an activation without incoming weights. Dead neurons count for nothing. Derivation: a group's Jacobian
spans A_b (x) R^{d_out} + X_b (x) Q_b, with A_b the span of its activations, inside the span X_b of its masked inputs,
and Q_b that of its outgoing weights; the two meet in A_b (x) Q_b.

Independence of the X_b fails as soon as the ranks rho_b sum to more than there are samples. It is enough, though, that
the Q_b are independent (at most d_out neurons), the A_b are, and each X_b meets the sum A of all activations in its
own A_b only, because with independent Q_b

.. math:: N_{eff} = d_{out} \dim A + \sum_b q_b \dim\big((X_b + A) / A\big) .

``valid`` tells whether one of the two holds, :func:`hidden_layer_rank` counts the rank of this one layer at sizes at
which no Jacobian can be held, and :mod:`toulmin.basis.degeneracy.parameters` that of any network.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from toulmin.basis.degeneracy.spectra import RELATIVE, Rank, rank_of, rank_of_gram, rank_of_matrix
from toulmin.basis.sections import with_constant
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects import Mlp

#: singular values from a Gram matrix are known to no smaller share of the largest
GRAM = 1e-6


@dataclass(frozen=True)
class Group:
    """Hidden neurons that fire on the same samples.

    ``inputs``: rho; ``activations``: r; ``outgoing``: q; ``always``: they fire on all samples, and the constant is
    among them.
    """

    neurons: tuple[int, ...]
    firing: int
    inputs: int
    activations: int
    outgoing: int
    always: bool

    def effective(self, d_out: int) -> int:
        """r d_out + q rho - r q."""
        return self.activations * d_out + self.outgoing * self.inputs - self.activations * self.outgoing


@dataclass(frozen=True)
class EffectiveParameters:
    """``count``: N_eff by the formula; ``valid``: whether the groups' masked inputs, or their outgoing weights and
    activations, are independent of each other on the data, so that the formula is exact; ``parameters``: how many there
    are; ``dead``: neurons that never fire."""

    count: int
    valid: bool
    parameters: int
    groups: tuple[Group, ...]
    dead: tuple[int, ...]


def layers_of(model: Mlp) -> list[nn.Linear]:
    """The linear layers of an MLP."""
    return [layer for layer in model.layers if isinstance(layer, nn.Linear)]


@torch.no_grad()
def effective_parameters(model: Mlp, x: Float[Tensor, "N I"], threshold: float = RELATIVE) -> EffectiveParameters:
    """N_eff of an MLP with one hidden ReLU layer on the inputs x.

    :param threshold: singular values below this share of the largest count as zero.
    :raises FaultError: ``basis.model`` (exit SUBJECT) another depth, activation, or no biases.
    """
    if model.n_layers != 2 or model.activation != "relu" or not model.bias:
        message = "the formula is for one hidden layer of ReLU neurons with biases"
        raise FaultError(Fault("basis.model", message), ExitCode.SUBJECT)
    first, second = layers_of(model)
    inputs = with_constant(x.double())
    pre = inputs @ torch.cat([first.weight.T, first.bias[None]]).double()
    fires = pre > 0
    acts = pre * fires
    columns: dict[bytes, list[int]] = {}
    for neuron, column in enumerate(fires.T.cpu().numpy()):
        columns.setdefault(column.tobytes(), []).append(neuron)
    everywhere = torch.ones(len(x), dtype=torch.bool).numpy().tobytes()
    columns.setdefault(everywhere, [])
    out = second.weight.double().T  # [neurons, d_out]
    d_out = out.shape[1]
    groups: list[Group] = []
    dead: list[int] = []
    for key, neurons in columns.items():
        always = key == everywhere
        on = torch.ones(len(x), dtype=torch.bool) if always else fires[:, neurons[0]]
        if not bool(on.any()):
            dead += neurons
            continue
        found = acts[:, neurons]
        if always:
            found = torch.cat([found, inputs[:, -1:]], 1)
        groups.append(
            Group(
                tuple(neurons),
                int(on.sum()),
                _rank(inputs[on], threshold),
                rank_of_matrix(found, threshold).rank,
                rank_of_matrix(out[neurons], threshold).rank if neurons else 0,
                always,
            )
        )
    parameters = sum(p.numel() for p in model.parameters())
    count = sum(group.effective(d_out) for group in groups)
    valid = _exact(groups, inputs, fires, acts, out, threshold)
    return EffectiveParameters(count, valid, parameters, tuple(groups), tuple(dead))


def _exact(groups: list[Group], inputs: Tensor, fires: Tensor, acts: Tensor, out: Tensor, threshold: float) -> bool:
    """Whether the formula is exact for these groups (the module's docstring)."""
    every = torch.cat([acts, torch.ones_like(acts[:, :1])], 1)
    U, S, _ = torch.linalg.svd(every, full_matrices=False)
    U = U[:, threshold * S[0] < S]
    if U.shape[1] != sum(group.activations for group in groups):
        return False
    trainable = [group for group in groups if group.outgoing]
    masks = [torch.ones_like(fires[:, 0]) if g.always else fires[:, g.neurons[0]] for g in trainable]
    for group, on in zip(trainable, masks, strict=True):
        gram = _gram_beyond(inputs, on, U)
        size = float(inputs[on].square().sum().sqrt())
        left = int((rank_of_gram(gram).spectrum > max(threshold, GRAM) * size).sum())
        if left != group.inputs - group.activations:
            return False  # then the masked inputs are not independent either
    rows = [neuron for group in trainable for neuron in group.neurons]
    if rank_of_matrix(out[rows], threshold).rank == sum(group.outgoing for group in trainable):
        return True
    # what no weight reads, and the output bias, move by their activations alone
    silent = [neuron for group in groups if not group.outgoing for neuron in group.neurons]
    masked = [inputs * on[:, None] for on in masks] + [acts[:, silent]]
    if not any(group.always for group in trainable):
        masked.append(inputs[:, -1:])
    expected = sum(group.inputs if group.outgoing else group.activations for group in groups)
    return expected <= len(inputs) and rank_of_matrix(torch.cat(masked, 1), threshold).rank == expected


def _rank(matrix: Tensor, threshold: float) -> int:
    """From the Gram matrix where that is much smaller and its rounding does not reach the threshold."""
    if threshold >= GRAM and len(matrix) > 4 * matrix.shape[1]:
        return rank_of_gram(matrix.T @ matrix, threshold).rank
    return rank_of_matrix(matrix, threshold).rank


def _gram_beyond(x: Tensor, on: Tensor, U: Tensor) -> Float[Tensor, "I I"]:
    """The Gram matrix of the inputs masked by ``on``, less their part in the span of the orthonormal U."""
    masked = x[on]
    inside = U[on].T @ masked
    return masked.T @ masked - inside.T @ inside


@torch.no_grad()
def hidden_layer_rank(
    first: Float[Tensor, "I K"], second: Float[Tensor, "K O"], x: Float[Tensor, "N I"], threshold: float = 1e-6
) -> Rank:
    """The rank of the parameter Jacobian of relu(x W_1) W_2 + b_2, biases of W_1 folded in (x ends in 1), for sizes at
    which the Jacobian itself cannot be held.

    Its columns are a_k (x) e_o (outgoing weights; 1 (x) e_o for the bias) and m_k x_i (x) w_k (incoming). With P the
    projector on the complement of the activations and the constant, the rank is that of the activations times d_out,
    plus that of the columns P m_k x_i (x) w_k, whose Gram matrix (m_k x_i)^T P (m_l x_j) (w_k . w_l) has d_in K rows.
    Where the w_k are independent of each other (no more than d_out neurons), no combination of columns of different
    neurons vanishes, so the rank is the sum of those of the neurons' own columns, and only these blocks of d_in rows
    are made. The spectrum is that of both parts. Singular values are roots of eigenvalues, hence the coarser threshold.
    """
    x, first, second = x.double(), first.double(), second.double()
    pre = x @ first
    on = (pre > 0).double()
    acts = torch.cat([pre * on, x.new_ones(len(x), 1)], 1)
    U, S, _ = torch.linalg.svd(acts, full_matrices=False)
    U = U[:, threshold * S[0] < S]
    alive = on.any(0).nonzero()[:, 0]
    written = second[alive]
    if rank_of_matrix(written, threshold).rank == len(alive):
        sizes = written.norm(dim=1)
        blocks = [rank_of_gram(_gram_beyond(x, on[:, k] > 0, U)).spectrum for k in alive.tolist()]
        inner = torch.cat([x.new_zeros(0), *(size * block for size, block in zip(sizes, blocks, strict=True))])
    else:
        masked = (on[:, alive].T[:, :, None] * x).permute(1, 0, 2).flatten(1)  # [N, K I]
        beyond = masked - U @ (U.T @ masked)
        overlap = written @ written.T
        gram = (beyond.T @ beyond).unflatten(0, (len(alive), -1)).unflatten(2, (len(alive), -1))
        gram = (gram * overlap[:, None, :, None]).flatten(2, 3).flatten(0, 1)
        inner = rank_of_gram(gram, threshold).spectrum
    missing = second.numel() + second.shape[1] - len(S) * second.shape[1] + (first.shape[1] - len(alive)) * len(first)
    zeros = S.new_zeros(max(0, missing))
    return rank_of(torch.cat([S.repeat_interleave(second.shape[1]), inner, zeros]), threshold)
