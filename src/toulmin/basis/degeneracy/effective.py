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

Independence fails as soon as the ranks rho_b sum to more than there are samples, so ``valid`` tells whether it holds,
and :mod:`toulmin.basis.degeneracy.parameters` counts the rank itself.
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
    """``count``: N_eff by the formula; ``valid``: whether the groups' masked inputs are jointly independent on the
    data, so that the formula is exact; ``parameters``: how many there are; ``dead``: neurons that never fire."""

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
    basis: list[Tensor] = []
    for key, neurons in columns.items():
        always = key == everywhere
        on = torch.ones(len(x), dtype=torch.bool) if always else fires[:, neurons[0]]
        if not bool(on.any()):
            dead += neurons
            continue
        masked = inputs * on[:, None]
        found = acts[:, neurons]
        if always:
            found = torch.cat([found, inputs[:, -1:]], 1)
        groups.append(
            Group(
                tuple(neurons),
                int(on.sum()),
                rank_of_matrix(inputs[on], threshold).rank,
                rank_of_matrix(found, threshold).rank,
                rank_of_matrix(out[neurons], threshold).rank if neurons else 0,
                always,
            )
        )
        basis.append(masked if neurons else inputs[:, -1:])
    parameters = sum(p.numel() for p in model.parameters())
    expected = sum(group.inputs if group.neurons else 1 for group in groups)
    valid = expected <= len(x) and rank_of_matrix(torch.cat(basis, 1), threshold).rank == expected
    count = sum(group.effective(d_out) for group in groups)
    return EffectiveParameters(count, valid, parameters, tuple(groups), tuple(dead))


@torch.no_grad()
def hidden_layer_rank(
    first: Float[Tensor, "I K"], second: Float[Tensor, "K O"], x: Float[Tensor, "N I"], threshold: float = 1e-6
) -> Rank:
    """The rank of the parameter Jacobian of relu(x W_1) W_2 + b_2, biases of W_1 folded in (x ends in 1), for sizes at
    which the Jacobian itself cannot be held.

    Its columns are a_k (x) e_o (outgoing weights; 1 (x) e_o for the bias) and m_k x_i (x) w_k (incoming). With P the
    projector on the complement of the activations and the constant, the rank is that of the activations times d_out,
    plus that of the columns P m_k x_i (x) w_k, whose Gram matrix (m_k x_i)^T P (m_l x_j) (w_k . w_l) has d_in K rows.
    The spectrum is that of both parts. Singular values are roots of eigenvalues, hence the coarser threshold.
    """
    x, first, second = x.double(), first.double(), second.double()
    pre = x @ first
    on = (pre > 0).double()
    acts = torch.cat([pre * on, x.new_ones(len(x), 1)], 1)
    U, S, _ = torch.linalg.svd(acts, full_matrices=False)
    U = U[:, threshold * S[0] < S]
    alive = on.any(0).nonzero()[:, 0]
    masked = (on[:, alive].T[:, :, None] * x).permute(1, 0, 2).flatten(1)  # [N, K I]
    beyond = masked - U @ (U.T @ masked)
    overlap = second[alive] @ second[alive].T
    gram = (beyond.T @ beyond).unflatten(0, (len(alive), -1)).unflatten(2, (len(alive), -1))
    gram = (gram * overlap[:, None, :, None]).flatten(2, 3).flatten(0, 1)
    inner = rank_of_gram(gram, threshold).spectrum
    missing = second.numel() + second.shape[1] - len(S) * second.shape[1] + (first.shape[1] - len(alive)) * len(first)
    zeros = S.new_zeros(max(0, missing))
    return rank_of(torch.cat([S.repeat_interleave(second.shape[1]), inner, zeros]), threshold)
