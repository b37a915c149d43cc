"""Positions of tokens, in the form that each way of encoding them needs: learned, shortformer, rotary, ALiBi.

Learned positions are added to the residual stream by the model; the other kinds act inside attention, from a
:class:`Positions` that is prepared once for all layers: shortformer vectors (Press et al. 2021), rotary angles (Su et
al. 2021; scaled as in Llama 3.1 or in YaRN, Peng et al. 2023) and ALiBi's distance penalties (Press et al. 2022).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.subjects.config import RotaryScaling, TransformerConfig

Rotary = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Positions:
    """The positions of a sequence of tokens, prepared once for all layers (:meth:`Transformer.positions`).

    :param index: [T] the position numbers.
    :param shortformer: [T, D] what is added to the inputs of Q and K, or None.
    :param rotary: cosines and sines [T, R/2] of the angles by which R of the E dimensions turn, or None.
    :param rotary_local: the same for layers with a window, where their base differs.
    :param plain: the positions are 0 … T−1 in order (so that a fused causal kernel applies).
    """

    index: Int[Tensor, " T"]
    shortformer: Float[Tensor, "T D"] | None = None
    rotary: Rotary | None = None
    rotary_local: Rotary | None = None
    plain: bool = False

    def __len__(self) -> int:
        return self.index.shape[0]

    def at(self, which: Int[Tensor, " S"] | slice) -> Positions:
        """A subset of these positions, for evaluating a layer at some positions only."""

        def pick(pair: Rotary | None) -> Rotary | None:
            return None if pair is None else (pair[0][which], pair[1][which])

        return replace(
            self,
            index=self.index[which],
            shortformer=None if self.shortformer is None else self.shortformer[which],
            rotary=pick(self.rotary),
            rotary_local=pick(self.rotary_local),
            plain=False,
        )


def prepare_positions(
    config: TransformerConfig, index: Int[Tensor, " T"], W_pos: Tensor | None, dtype: torch.dtype, *, plain: bool
) -> Positions:
    """What the layers of a model need to know about the positions ``index``."""
    if config.positions == "shortformer" and W_pos is not None:
        return Positions(index, shortformer=W_pos[index], plain=plain)
    if config.positions != "rotary":
        return Positions(index, plain=plain)
    dims = config.d_head if config.rotary_dim is None else config.rotary_dim
    local = config.rotary_local_base
    return Positions(
        index,
        rotary=rotary_angles(index, dims, config.rotary_base, config.rotary_scaling, dtype),
        rotary_local=None if local is None else rotary_angles(index, dims, local, None, dtype),
        plain=plain,
    )


def rotary_angles(
    index: Int[Tensor, " T"], dims: int, base: float, scaling: RotaryScaling | None, dtype: torch.dtype
) -> Rotary:
    """Cosines and sines [T, dims/2] of ``index * base ** (-2 i / dims)``, the frequencies scaled where asked."""
    exact = torch.promote_types(dtype, torch.float32)
    frequency = 1.0 / base ** (torch.arange(0, dims, 2, device=index.device).to(exact) / dims)
    if scaling is not None:
        frequency = _scale_frequencies(frequency, scaling, base)
    angle = index.to(exact)[:, None] * frequency
    cos, sin = angle.cos(), angle.sin()
    if scaling is not None and scaling.amplitude != 1.0:
        cos, sin = cos * scaling.amplitude, sin * scaling.amplitude
    return cos.to(dtype), sin.to(dtype)


def _scale_frequencies(frequency: Tensor, scaling: RotaryScaling, base: float) -> Tensor:
    slowed = frequency / scaling.factor
    if scaling.kind == "linear":
        return slowed
    if scaling.kind == "yarn":
        keep = _kept_by_yarn(frequency, scaling, base)
        return (1.0 - keep) * slowed + keep * frequency
    turns = scaling.original_context * frequency / (2 * math.pi)  # full turns within the trained context
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    keep = ((turns - low) / (high - low)).clamp(0.0, 1.0)
    return (1.0 - keep) * slowed + keep * frequency


def _kept_by_yarn(frequency: Tensor, scaling: RotaryScaling, base: float) -> Tensor:
    """How much of each frequency YaRN keeps: 1 below the index that turns ``beta_fast`` times in the original context,
    0 above the one that turns ``beta_slow`` times."""
    half = len(frequency)

    def index_of(turns: float) -> float:
        return half * math.log(scaling.original_context / (turns * 2 * math.pi)) / math.log(base)

    first, last = index_of(scaling.beta_fast), index_of(scaling.beta_slow)
    if scaling.truncate:
        first, last = float(math.floor(first)), float(math.ceil(last))
    first, last = max(first, 0.0), min(last, 2.0 * half - 1.0)
    last += 0.001 if first == last else 0.0  # as transformers: a step instead of a division by zero
    index = torch.arange(half, device=frequency.device, dtype=frequency.dtype)
    return 1.0 - ((index - first) / (last - first)).clamp(0.0, 1.0)


def rotate(x: Float[Tensor, "*B T H E"], angles: Rotary, *, interleaved: bool) -> Float[Tensor, "*B T H E"]:
    """Turn the first R dimensions of each head's vector pairwise by the position's angles; leave the rest."""
    cos, sin = angles[0][:, None, :], angles[1][:, None, :]
    dims = 2 * cos.shape[-1]
    turned = x[..., :dims]
    if interleaved:
        first, second = turned[..., 0::2], turned[..., 1::2]
        turned = torch.stack((first * cos - second * sin, second * cos + first * sin), dim=-1).flatten(-2)
    else:
        first, second = turned.chunk(2, dim=-1)
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned if dims == x.shape[-1] else torch.cat((turned, x[..., dims:]), dim=-1)


def may_attend(query: Int[Tensor, " T"], key: Int[Tensor, " S"], *, causal: bool, window: int | None) -> Tensor | None:
    """[T, S] true where a query may look at a key; None where every query may look at every key."""
    if not causal and window is None:
        return None
    back = query[:, None] - key[None, :]
    allowed = back >= 0 if causal else torch.ones_like(back, dtype=torch.bool)
    return allowed if window is None else allowed & (back.abs() < window)


def alibi_slopes(heads: int) -> list[float]:
    """ALiBi's slope of each head: ``2 ** (-8 (h + 1) / n)`` for n a power of two; otherwise those of the power below,
    then every other one of the power above (Press et al. 2022, section 3)."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2.0 ** (-8.0 * (head + 1) / power) for head in range(power)]
    return slopes + [2.0 ** (-4.0 * (2 * head + 1) / power) for head in range(heads - power)]


def alibi_bias(query: Int[Tensor, " T"], key: Int[Tensor, " S"], slopes: Float[Tensor, " H"]) -> Float[Tensor, "H T S"]:
    """What ALiBi adds to the scores: ``-slope * |query - key|``."""
    return -slopes[:, None, None] * (query[:, None] - key[None, :]).abs().to(slopes.dtype)
