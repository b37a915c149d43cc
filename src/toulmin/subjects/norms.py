"""LayerNorm, RMSNorm, or none, over the last axis."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from toulmin.subjects.config import Norm


class Normalise(nn.Module):
    r"""``layer``: :math:`w (x - \bar x) / \sqrt{\mathrm{var}(x) + \epsilon} + b`; ``rms``:
    :math:`w x / \sqrt{\overline{x^2} + \epsilon}`; ``none``: x.

    The statistics are taken in float32 where x is of lower precision.
    """

    def __init__(self, kind: Norm, width: int, eps: float) -> None:
        super().__init__()
        self.kind, self.eps, self.width = kind, eps, width
        self.w = nn.Parameter(torch.ones(width)) if kind != "none" else None
        self.b = nn.Parameter(torch.zeros(width)) if kind == "layer" else None

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """Normalise over the last axis."""
        if self.kind == "none":
            return x
        if self.kind == "layer":
            return nn.functional.layer_norm(x, (self.width,), self.w, self.b, self.eps)
        return nn.functional.rms_norm(x, (self.width,), self.w, self.eps)

    def share(self, part: Float[Tensor, "*#B D"], whole: Float[Tensor, "*#B D"]) -> Float[Tensor, "*C D"]:
        """What an addend ``part`` of ``whole`` contributes to ``forward(whole)``, the scale held at that of the whole.

        The shares of all addends sum to ``forward(whole)`` less the bias b: this is direct logit attribution's step
        (Elhage et al. 2021). Axes before the last broadcast.
        """
        if self.w is None:
            return part
        if self.kind == "layer":
            part, whole = (x - x.mean(-1, keepdim=True) for x in (part, whole))
        return self.w * part / (whole.pow(2).mean(-1, keepdim=True) + self.eps).sqrt()

    def extra_repr(self) -> str:
        """The kind and width."""
        return f"{self.kind}, {self.width}"
