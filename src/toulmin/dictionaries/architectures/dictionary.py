"""A sparse dictionary: an encoder that gives each feature a non-negative activation, and a direction for each feature.

    pre   = (x - b_dec, where ``input_bias``) W_enc + b_enc
    codes = activate(pre)                                    [.., F], mostly zeros
    output = codes D + b_dec (+ x W_skip)                    D: W_dec, its rows divided by their norms

Dimension letters: N tokens (any leading axes), D width of the input, O width of the output, F features.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from toulmin.dictionaries.architectures.config import DictionaryConfig


class Reconstruction(NamedTuple):
    """What a dictionary makes of its input: ``output`` [.., O] and ``codes`` [.., F]."""

    output: Tensor
    codes: Tensor


class Dictionary(nn.Module, ABC):
    """A sparse autoencoder or transcoder.

    ``W_enc`` [D, F], ``b_enc`` [F], ``W_dec`` [F, O], ``b_dec`` [O], ``W_skip`` [D, O] or None. Parameters stay in
    their own precision; they are cast to that of the input in the forward pass.

    :param generator: where the first weights come from; default a generator with seed 0.
    """

    def __init__(self, config: DictionaryConfig, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.config = config
        width, features, out = config.d_in, config.n_features, config.width_out
        self.W_enc = nn.Parameter(torch.empty(width, features))
        self.b_enc = nn.Parameter(torch.zeros(features))
        self.W_dec = nn.Parameter(torch.empty(features, out))
        self.b_dec = nn.Parameter(torch.zeros(out))
        self.W_skip = nn.Parameter(torch.zeros(width, out)) if config.skip else None
        self.reset_parameters(generator or torch.Generator().manual_seed(0))

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the first weights.

        ``reference``: in the reference's order, so that one seed gives its numbers: the encoder uniform in
        +-1/sqrt(D), the decoder's bias in +-1/sqrt(F), the decoder's rows orthonormal as far as they can be.
        """
        shape = (self.config.n_features, self.config.d_in)
        bound, back = self.config.d_in**-0.5, self.config.n_features**-0.5
        encoder = torch.empty(shape).uniform_(-bound, bound, generator=generator)
        bias = torch.empty(shape[0]).uniform_(-bound, bound, generator=generator)
        torch.empty(self.config.width_out, shape[0]).uniform_(-back, back, generator=generator)  # the reference's too
        out_bias = torch.empty(self.config.width_out).uniform_(-back, back, generator=generator)
        decoder = nn.init.orthogonal_(torch.empty(shape[0], self.config.width_out), generator=generator)
        if self.config.start == "tied":
            decoder = nn.functional.normalize(decoder, dim=1)
            encoder, bias, out_bias = decoder, torch.zeros_like(bias), torch.zeros_like(out_bias)
        self.W_enc.copy_(encoder.T)
        self.b_enc.copy_(bias)
        self.W_dec.copy_(decoder)
        self.b_dec.copy_(out_bias)

    @torch.no_grad()
    def centre(self, mean: Float[Tensor, " D"]) -> None:
        """Move the origin of an autoencoder to ``mean``: b_dec is the mean, and the encoder reads x - mean.

        A start for activations whose mean is far from 0, which Adam would otherwise need many small steps to reach.
        """
        mean = mean.to(self.W_enc)
        self.b_dec.copy_(mean)
        if not self.config.input_bias:
            self.b_enc.sub_(mean @ self.W_enc)

    @property
    def directions(self) -> Float[Tensor, "F O"]:
        """What each feature writes for one unit of activation: the decoder's rows as the forward pass uses them."""
        return nn.functional.normalize(self.W_dec, dim=1) if self.config.normalised == "forward" else self.W_dec

    def pre_activations(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        """``(x - b_dec) W_enc + b_enc``, b_dec only where ``input_bias``."""
        if self.config.input_bias:
            x = x - self.b_dec.to(x.dtype)
        return nn.functional.linear(x, self.W_enc.T.to(x.dtype), self.b_enc.to(x.dtype))

    @abstractmethod
    def activate(self, pre: Float[Tensor, "*N F"]) -> Float[Tensor, "*N F"]:
        """Codes from pre-activations."""

    def encode(self, x: Float[Tensor, "*N D"]) -> Float[Tensor, "*N F"]:
        """The codes of x."""
        return self.activate(self.pre_activations(x))

    def decode(self, codes: Float[Tensor, "*N F"], x: Float[Tensor, "*N D"] | None = None) -> Float[Tensor, "*N O"]:
        """The output that codes give; ``x`` is the input, needed where there is a skip connection."""
        out = nn.functional.linear(codes, self.directions.T.to(codes.dtype), self.b_dec.to(codes.dtype))
        if self.W_skip is not None and x is not None:
            out = out + x @ self.W_skip.to(x.dtype)
        return out

    def forward(self, x: Float[Tensor, "*N D"]) -> Reconstruction:
        """Output and codes."""
        codes = self.encode(x)
        return Reconstruction(self.decode(codes, x), codes)

    def sparsity(
        self, codes: Float[Tensor, "*N F"], pre: Float[Tensor, "*N F"], p: float = 1.0, *, root: bool = True
    ) -> Float[Tensor, ""]:
        """Mean over tokens of (sum over features of codes^p)^(1/p); without ``root`` the sum itself.

        Codes are never negative, so that p = 1 is their sum. ``pre`` are the pre-activations that they came from.
        """
        if p == 1.0:
            return codes.sum(-1).mean()
        if root:
            return torch.linalg.vector_norm(codes, p, dim=-1).mean()
        return codes.pow(p).sum(-1).mean()

    def squared_error(
        self, output: Float[Tensor, "*N O"], codes: Float[Tensor, "*N F"], target: Float[Tensor, "*N O"]
    ) -> Float[Tensor, ""]:
        """Mean over tokens and width of ``(output - target)^2``; nested dictionaries average over their prefixes."""
        return nn.functional.mse_loss(output, target)

    def extra_repr(self) -> str:
        """The configuration."""
        return ", ".join(f"{name}={value!r}" for name, value in self.config.to_dict().items())
