r"""The hard-concrete distribution of a gate (Louizos et al. 2018, https://arxiv.org/abs/1712.01312).

With u ~ U(0, 1): s = sigmoid((ln u - ln(1 - u) + a) / temperature), gate = clip(s (right - left) + left, 0, 1): exactly
0 or 1 with positive probability, and differentiable in the parameter a. P(gate > 0) = sigmoid(a - temperature ln(-left
/ right)). Defaults are those of subnetwork probing (Cao et al. 2021): left -0.1, right 1.1, temperature 2/3, and a gate
is open with p0 = 0.9 at the start.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class HardConcrete:
    """The gate's distribution; ``start`` is the parameter a at which the stretched sigmoid is p0."""

    left: float = -0.1
    right: float = 1.1
    temperature: float = 2 / 3
    p0: float = 0.9

    @property
    def start(self) -> float:
        """ln(p / (1 - p)), p = (p0 - left) / (right - left): the stretched sigmoid of a is p0."""
        p = (self.p0 - self.left) / (self.right - self.left)
        return math.log(p / (1 - p))

    def sample(self, a: Tensor, generator: torch.Generator) -> Tensor:
        """One gate for each parameter."""
        u = torch.rand(a.shape, generator=generator, dtype=a.dtype, device=a.device).clamp(1e-4, 1 - 1e-4)
        s = torch.sigmoid((u.log() - (1 - u).log() + a) / self.temperature)
        return (s * (self.right - self.left) + self.left).clamp(0.0, 1.0)

    def parameter(self, likely: Tensor) -> Tensor:
        """The parameters a at which the gates are open with these probabilities: the inverse of the next."""
        return torch.logit(likely) + self.temperature * math.log(-self.left / self.right)

    def open_probability(self, a: Tensor) -> Tensor:
        """P(gate > 0)."""
        return torch.sigmoid(a - self.temperature * math.log(-self.left / self.right))
