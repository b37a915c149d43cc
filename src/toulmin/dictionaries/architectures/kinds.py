"""The activation functions of dictionaries, and the one place that makes a dictionary from its configuration."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from toulmin.dictionaries.architectures.config import DictionaryConfig
from toulmin.dictionaries.architectures.dictionary import Dictionary
from toulmin.faults import Fault, FaultError

THRESHOLD_MEMORY = 0.99  #: how much of the running threshold of BatchTopK each batch keeps


class ReluDictionary(Dictionary):
    """``codes = ReLU(pre)``: the sparse autoencoder of Braun et al. 2024, sparse by its penalty."""

    def activate(self, pre: Float[Tensor, "*N F"]) -> Float[Tensor, "*N F"]:
        """The positive part."""
        return pre.relu()


class TopKDictionary(Dictionary):
    """The k largest positive pre-activations of each token (Gao et al. 2024, section 2.3)."""

    def activate(self, pre: Float[Tensor, "*N F"]) -> Float[Tensor, "*N F"]:
        """The k largest, where they are positive."""
        return keep_largest(pre, self.config.k or 1)


def keep_largest(pre: Float[Tensor, "*N F"], k: int) -> Float[Tensor, "*N F"]:
    """``pre`` where it is among the k largest of its row and positive, 0 elsewhere."""
    values, places = pre.topk(k, dim=-1, sorted=False)
    return torch.zeros_like(pre).scatter(-1, places, values.relu())


class BatchTopKDictionary(Dictionary):
    """In training the k N largest positive pre-activations of a batch of N tokens (Bussmann et al. 2024).

    ``threshold`` is a running mean of the smallest activation kept. In evaluation mode a feature is active where its
    pre-activation exceeds it, so that a token's codes do not depend on the rest of the batch.
    """

    threshold: Tensor

    def __init__(self, config: DictionaryConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        self.register_buffer("threshold", torch.tensor(-1.0))

    def activate(self, pre: Float[Tensor, "*N F"]) -> Float[Tensor, "*N F"]:
        """Over the batch in training, over the running threshold in evaluation."""
        positive = pre.relu()
        if not self.training and bool(self.threshold >= 0):
            return torch.where(positive > self.threshold.to(pre.dtype), positive, 0)
        tokens = positive[..., 0].numel()
        least = positive.detach().flatten().topk((self.config.k or 1) * tokens, sorted=False).values.min()
        codes = torch.where(positive >= least, positive, 0)
        if self.training:
            with torch.no_grad():
                now = least.to(self.threshold.dtype)
                moved = THRESHOLD_MEMORY * self.threshold + (1 - THRESHOLD_MEMORY) * now
                self.threshold.copy_(torch.where(self.threshold < 0, now, moved))
        return codes


class MatryoshkaDictionary(BatchTopKDictionary):
    """BatchTopK whose first m features must reconstruct alone, for each m of ``prefixes`` (Bussmann et al. 2025)."""

    def squared_error(
        self, output: Float[Tensor, "*N O"], codes: Float[Tensor, "*N F"], target: Float[Tensor, "*N O"]
    ) -> Float[Tensor, ""]:
        """The mean over prefixes of the mean squared error of what each reconstructs."""
        directions, before = self.directions.to(codes.dtype), 0
        partial = output - codes @ directions  # the biases, and the skip connection where there is one
        total = output.new_zeros(())
        for size in self.config.prefixes:
            partial = partial + codes[..., before:size] @ directions[before:size]
            total, before = total + nn.functional.mse_loss(partial, target), size
        return total / len(self.config.prefixes)


class _Jump(torch.autograd.Function):
    """``z H(z - theta)``, and ``H(z - theta)``, with the kernel estimate of the threshold's gradient."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, theta: Tensor, bandwidth: float) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(z, theta)
        ctx.bandwidth = bandwidth
        above = (z > theta).to(z.dtype)
        return z * above, above

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        z, theta = ctx.saved_tensors
        value, count = grads
        near = ((z - theta).abs() < ctx.bandwidth / 2).to(z.dtype) / ctx.bandwidth
        for_theta = -(value * theta + count) * near
        return value * (z > theta), for_theta.flatten(0, -2).sum(0), None


class JumpReluDictionary(Dictionary):
    """``z H(z - theta)`` with a learned threshold for each feature (Rajamanoharan et al. 2024).

    Its sparsity penalty is the number of active features; thresholds get the paper's rectangle-kernel gradient.
    ``log_threshold`` [F] holds ln(theta).
    """

    def __init__(self, config: DictionaryConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        self.log_threshold = nn.Parameter(torch.full((config.n_features,), config.threshold).log())

    def activate(self, pre: Float[Tensor, "*N F"]) -> Float[Tensor, "*N F"]:
        """Pre-activations above their thresholds."""
        return self._jump(pre.relu())[0]

    def sparsity(
        self, codes: Float[Tensor, "*N F"], pre: Float[Tensor, "*N F"], p: float = 1.0, *, root: bool = True
    ) -> Float[Tensor, ""]:
        """Mean number of active features; p and root have no part in it."""
        return self._jump(pre.relu())[1].sum(-1).mean()

    def _jump(self, z: Tensor) -> tuple[Tensor, Tensor]:
        rows = z.flatten(0, -2)
        values, above = _Jump.apply(rows, self.log_threshold.exp().to(z.dtype), self.config.bandwidth)  # type: ignore[misc]
        return values.view_as(z), above.view_as(z)


class GatedDictionary(Dictionary):
    """A gate decides which features are active, another branch how strongly (Rajamanoharan et al. 2024).

    ``b_gate``, ``r_mag``, ``b_mag`` [F]; W_enc (and ``b_enc``, 0 in others' files) is shared. For dictionaries
    that others trained: there is no objective for it here.
    """

    def __init__(self, config: DictionaryConfig, generator: torch.Generator | None = None) -> None:
        super().__init__(config, generator)
        self.b_gate, self.r_mag, self.b_mag = (nn.Parameter(torch.zeros(config.n_features)) for _ in range(3))
        with torch.no_grad():
            self.b_enc.zero_()

    def activate(self, pre: Float[Tensor, "*N F"]) -> Float[Tensor, "*N F"]:
        """``H(pre + b_gate) ReLU(pre exp(r_mag) + b_mag)``."""
        gate, scale, shift = (p.to(pre.dtype) for p in (self.b_gate, self.r_mag.exp(), self.b_mag))
        return (pre * scale + shift).relu() * (pre + gate > 0)


KINDS: dict[str, type[Dictionary]] = {
    "relu": ReluDictionary,
    "topk": TopKDictionary,
    "batch_topk": BatchTopKDictionary,
    "jumprelu": JumpReluDictionary,
    "matryoshka": MatryoshkaDictionary,
    "gated": GatedDictionary,
}


def make_dictionary(config: DictionaryConfig, seed: int | torch.Generator = 0) -> Dictionary:
    """A new dictionary; the same configuration and seed give the same weights.

    :raises FaultError: (``dictionaries.kind``) a kind that there is not.
    """
    if config.kind not in KINDS:
        raise FaultError(Fault("dictionaries.kind", f"is one of {', '.join(KINDS)}", name=config.kind))
    generator = torch.Generator().manual_seed(seed) if isinstance(seed, int) else seed
    return KINDS[config.kind](config, generator)
