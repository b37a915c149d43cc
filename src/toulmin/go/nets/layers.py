"""A KataGo network as data: what its model file says, layer by layer, in NumPy.

Letters: C channels in, O channels out, K kernel. Blocks are pre-activation residual blocks; ``Pooling`` ones add a
bias made from global pools, ``Bottleneck`` ones hold a stack of blocks between two 1x1 convolutions. ``Attention`` and
``FeedForward`` are the two halves of a transformer layer over the points of the board (KataGo 1.17 and later).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float32]
ActivationKind = Literal["identity", "relu", "mish", "silu"]


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution without bias, ``weights [O, C, K, K]``."""

    name: str
    weights: Floats
    dilation: tuple[int, int] = (1, 1)


@dataclass(frozen=True, eq=False)
class Norm:
    """A batch norm with fixed statistics, each ``[C]``; ``scale`` and ``bias`` may be absent."""

    name: str
    epsilon: float
    mean: Floats
    variance: Floats
    scale: Floats | None = None
    bias: Floats | None = None

    def folded(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The same as one affine map in float64: s = scale / sqrt(variance + epsilon), b = bias - s * mean."""
        slope = 1 / np.sqrt(self.variance.astype(np.float64) + self.epsilon)
        if self.scale is not None:
            slope = slope * self.scale
        shift = -slope * self.mean if self.bias is None else self.bias - slope * self.mean
        return slope, shift


@dataclass(frozen=True)
class Activation:
    """An activation by name."""

    name: str
    kind: ActivationKind = "relu"


@dataclass(frozen=True, eq=False)
class Dense:
    """A matrix ``weights [C, O]``, with a bias ``[O]`` where the file has one."""

    name: str
    weights: Floats
    bias: Floats | None = None
    bias_name: str = ""


@dataclass(frozen=True, eq=False)
class Ordinary:
    """x + conv2(act(norm2(conv1(act(norm1(x))))))."""

    name: str
    norm1: Norm
    act1: Activation
    conv1: Convolution
    norm2: Norm
    act2: Activation
    conv2: Convolution


@dataclass(frozen=True, eq=False)
class Pooling:
    """As :class:`Ordinary`, with a second convolution of act(norm1(x)) pooled into a bias for conv1's output."""

    name: str
    norm1: Norm
    act1: Activation
    conv1: Convolution
    pool_conv: Convolution
    pool_norm: Norm
    pool_act: Activation
    to_bias: Dense
    norm2: Norm
    act2: Activation
    conv2: Convolution


@dataclass(frozen=True, eq=False)
class Bottleneck:
    """x + conv2(act(norm2(blocks(conv1(act(norm1(x)))))))."""

    name: str
    norm1: Norm
    act1: Activation
    conv1: Convolution
    blocks: tuple[Block, ...]
    norm2: Norm
    act2: Activation
    conv2: Convolution


@dataclass(frozen=True, eq=False)
class RmsNorm:
    """x / sqrt(mean x^2 + epsilon) * scale + bias, each ``[C]``; there is no bias inside a transformer layer.

    The mean is over the channels of each point, or over all points of the board as well where it is ``spatial``.
    """

    name: str
    epsilon: float
    scale: Floats
    bias: Floats | None = None
    spatial: bool = False


@dataclass(frozen=True, eq=False)
class Rotation:
    """Rotary positions in two dimensions: the angle by which each pair of channels is turned at point (x, y).

    ``frequencies [G, P, 2]`` of G groups of heads and P pairs were learnt: the angle is x f_0 + y f_1. Without them
    ``theta`` gives fixed ones, theta^(-2 i / P): the first half of the pairs turn with y, the others with x.
    """

    name: str
    frequencies: Floats | None = None
    theta: float = 0.0


@dataclass(frozen=True, eq=False)
class Attention:
    """x + out(softmax(q k / sqrt(q_dim)) v) with q, k, v of norm(x), over the points of the board.

    ``heads`` query heads share the keys and values of ``groups``; ``rotation`` turns queries and keys.
    """

    name: str
    heads: int
    groups: int
    q_dim: int
    v_dim: int
    norm: RmsNorm
    query: Dense
    key: Dense
    value: Dense
    out: Dense
    rotation: Rotation | None = None


@dataclass(frozen=True, eq=False)
class FeedForward:
    """x + down(silu(up(y)) * gate(y)) with y = norm(x), at every point (SwiGLU)."""

    name: str
    norm: RmsNorm
    up: Dense
    gate: Dense
    down: Dense


Block: TypeAlias = Ordinary | Pooling | Bottleneck | Attention | FeedForward


@dataclass(frozen=True, eq=False)
class Trunk:
    """The body: first convolution of the planes plus a dense map of the numbers, blocks, last norm and activation."""

    name: str
    channels: int
    mid_channels: int
    regular_channels: int
    pool_channels: int
    conv: Convolution
    dense: Dense
    blocks: tuple[Block, ...]
    norm: Norm | RmsNorm
    act: Activation


@dataclass(frozen=True, eq=False)
class PolicyHead:
    """Logits of the points and of the pass; later versions give several kinds, of which the first is the policy."""

    name: str
    conv: Convolution
    pool_conv: Convolution
    pool_norm: Norm
    pool_act: Activation
    to_bias: Dense
    norm: Norm
    act: Activation
    out: Convolution
    to_pass: Dense
    pass_act: Activation | None = None
    to_pass2: Dense | None = None


@dataclass(frozen=True, eq=False)
class ValueHead:
    """Logits of win, loss and no result; score outputs; ownership."""

    name: str
    conv: Convolution
    norm: Norm
    act: Activation
    dense: Dense
    dense_act: Activation
    value: Dense
    score: Dense
    ownership: Convolution


@dataclass(frozen=True)
class Scales:
    """What the outputs are multiplied by to be points; written in the file since version 13."""

    td_score: float = 20.0
    score_mean: float = 20.0
    score_stdev: float = 20.0
    lead: float = 20.0
    variance_time: float = 40.0
    shortterm_value_error: float = 0.25
    shortterm_score_error: float = 30.0


@dataclass(frozen=True, eq=False)
class NetworkFile:
    """A whole model file. ``sha256`` is of the file as stored; ``pass_alive_with_suicide`` a version 15 option."""

    name: str
    version: int
    planes: int
    numbers: int
    trunk: Trunk
    policy: PolicyHead
    value: ValueHead
    scales: Scales = field(default_factory=Scales)
    pass_alive_with_suicide: bool = False
    sha256: str = ""

    @property
    def parameters(self) -> int:
        """Numbers in all weights, statistics included."""
        return _count(self.trunk) + _count(self.policy) + _count(self.value)

    def operations(self, size: int) -> int:
        """Floating-point operations for one position on a board of ``size``, 2 for each multiplication and addition.

        Of convolutions, matrices and attention; norms, activations and pools are left out (a few in a hundred).
        """
        parts = (self.trunk, self.policy, self.value)
        return sum(_operations(part, size * size, per_point=False) for part in parts)


def _operations(part: object, points: int, *, per_point: bool) -> int:
    if isinstance(part, Convolution):
        return 2 * part.weights.size * points
    if isinstance(part, Dense):
        return 2 * part.weights.size * (points if per_point else 1)
    if isinstance(part, tuple):
        return sum(_operations(one, points, per_point=per_point) for one in part)
    if not hasattr(part, "__dataclass_fields__"):
        return 0
    inside = per_point or isinstance(part, Attention | FeedForward)
    found = sum(_operations(value, points, per_point=inside) for value in vars(part).values())
    if isinstance(part, Attention):  # of each head the products q k and softmax v over all pairs of points
        found += 2 * part.heads * (part.q_dim + part.v_dim) * points * points
    return found


def _count(part: object) -> int:
    if isinstance(part, np.ndarray):
        return part.size
    if isinstance(part, tuple):
        return sum(_count(p) for p in part)
    if hasattr(part, "__dataclass_fields__"):
        return sum(_count(value) for value in vars(part).values())
    return 0
