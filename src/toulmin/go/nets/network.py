"""A KataGo network in PyTorch, for inference: residual towers of every block kind the reader knows.

Batch norms are affine maps with fixed statistics. Where nothing lies between a convolution and its norm, the norm is
folded into the convolution's weights and bias; the norm before a block's first convolution stays. Tensors are NHWC in
memory (``channels_last``), the layout in which the CPU's convolutions are fastest. On boards smaller than the tensor a
mask keeps everything off the board at zero after each activation, and pools count the points of the board only.

Letters: B batch, C channels, Y, X rows and columns, N numbers, P policies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from toulmin.go.nets import layers

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": fn.relu,
    "mish": fn.mish,
    "silu": fn.silu,
}


class Extent(NamedTuple):
    """The board within the tensor: points per board, and 1 on the board where some of the tensor is off it."""

    area: Float[Tensor, "B 1"]
    mask: Float[Tensor, "B 1 Y X"] | None


class Heads(NamedTuple):
    """What the network says before any scaling, for the side to move."""

    policy: Float[Tensor, "B P Y X"]
    pass_policy: Float[Tensor, "B P"]
    value: Float[Tensor, "B 3"]
    score: Float[Tensor, "B S"]
    ownership: Float[Tensor, "B Y X"]


def _constant(values: NDArray[np.floating]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.ascontiguousarray(values)), requires_grad=False)


class _Convolve(nn.Module):
    """A convolution, with the norm that follows it folded in where one is given."""

    def __init__(self, layer: layers.Convolution, norm: layers.Norm | None = None) -> None:
        super().__init__()
        weights, bias = layer.weights, None
        if norm is not None:
            slope, bias = norm.folded()
            weights = weights * slope[:, None, None, None]
        self.weight = nn.Parameter(
            torch.from_numpy(np.ascontiguousarray(weights)).contiguous(memory_format=torch.channels_last), False
        )
        self.bias = None if bias is None else _constant(bias)
        self.dilation = layer.dilation
        ky, kx = layer.weights.shape[2:]
        self.padding = (ky // 2 * layer.dilation[0], kx // 2 * layer.dilation[1])

    def forward(self, x: Tensor) -> Tensor:
        return fn.conv2d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)


class _Activate(nn.Module):
    """A norm, where it could not be folded, an activation, and the mask."""

    def __init__(self, act: layers.Activation, norm: layers.Norm | None = None) -> None:
        super().__init__()
        self.slope = self.shift = None
        if norm is not None:
            slope, shift = norm.folded()
            self.slope, self.shift = _constant(slope[:, None, None]), _constant(shift[:, None, None])
        self.act = _ACTIVATIONS[act.kind]
        self.in_place = act.kind == "relu"

    def forward(self, x: Tensor, extent: Extent, *, fresh: bool = True) -> Tensor:
        """``fresh``: ``x`` is nobody else's, and may be overwritten."""
        if self.slope is not None and self.shift is not None:
            x = torch.addcmul(self.shift, x, self.slope)
            fresh = True
        x = fn.relu_(x) if fresh and self.in_place else self.act(x)
        return x if extent.mask is None else x.mul_(extent.mask) if fresh else x * extent.mask


class _Matrix(nn.Module):
    def __init__(self, layer: layers.Dense) -> None:
        super().__init__()
        self.weight = _constant(layer.weights.T)
        self.bias = None if layer.bias is None else _constant(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return fn.linear(x, self.weight, self.bias)


def _mean(x: Tensor, extent: Extent) -> Tensor:
    exact = torch.float64 if x.dtype == torch.float64 else torch.float32  # bfloat16 would lose the sum
    return x.sum(dim=(2, 3), dtype=exact) / extent.area


def pool(x: Float[Tensor, "B C Y X"], extent: Extent) -> Float[Tensor, "B 3*C"]:
    """Mean, mean * d / 10 and maximum over the board, with d = sqrt(points) - 14."""
    mean = _mean(x, extent)
    d = extent.area.sqrt() - 14
    on_board = x if extent.mask is None else x.masked_fill(extent.mask == 0, -torch.inf)
    return torch.cat([mean, mean * d / 10, on_board.amax(dim=(2, 3)).to(mean.dtype)], dim=1).to(x.dtype)


def pool_for_value(x: Float[Tensor, "B C Y X"], extent: Extent) -> Float[Tensor, "B 3*C"]:
    """Mean, mean * d / 10 and mean * (d^2 / 100 - 0.1) over the board."""
    mean = _mean(x, extent)
    d = extent.area.sqrt() - 14
    return torch.cat([mean, mean * d / 10, mean * (d * d / 100 - 0.1)], dim=1).to(x.dtype)


class _OrdinaryBlock(nn.Module):
    def __init__(self, block: layers.Ordinary) -> None:
        super().__init__()
        self.enter = _Activate(block.act1, block.norm1)
        self.conv1 = _Convolve(block.conv1, block.norm2)
        self.mid = _Activate(block.act2)
        self.conv2 = _Convolve(block.conv2)

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        y = self.mid(self.conv1(self.enter(x, extent)), extent)
        return x.add_(self.conv2(y))


class _PoolingBlock(nn.Module):
    def __init__(self, block: layers.Pooling) -> None:
        super().__init__()
        self.enter = _Activate(block.act1, block.norm1)
        self.conv1 = _Convolve(block.conv1)
        self.pool_conv = _Convolve(block.pool_conv, block.pool_norm)
        self.pool_act = _Activate(block.pool_act)
        self.to_bias = _Matrix(block.to_bias)
        self.mid = _Activate(block.act2, block.norm2)
        self.conv2 = _Convolve(block.conv2)

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        y = self.enter(x, extent)
        bias = self.to_bias(pool(self.pool_act(self.pool_conv(y), extent), extent))
        y = self.conv1(y).add_(bias[:, :, None, None])
        return x.add_(self.conv2(self.mid(y, extent)))


class _BottleneckBlock(nn.Module):
    def __init__(self, block: layers.Bottleneck) -> None:
        super().__init__()
        self.enter = _Activate(block.act1, block.norm1)
        self.conv1 = _Convolve(block.conv1)
        self.blocks = _tower(block.blocks)
        self.leave = _Activate(block.act2, block.norm2)
        self.conv2 = _Convolve(block.conv2)

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        y = self.conv1(self.enter(x, extent))
        for inner in self.blocks:
            y = inner(y, extent)
        return x.add_(self.conv2(self.leave(y, extent)))


def _tower(blocks: tuple[layers.Block, ...]) -> nn.ModuleList:
    kinds = {layers.Ordinary: _OrdinaryBlock, layers.Pooling: _PoolingBlock, layers.Bottleneck: _BottleneckBlock}
    return nn.ModuleList(kinds[type(block)](block) for block in blocks)  # type: ignore[arg-type]


class Network(nn.Module):
    """The network of a file, for inference only: its parameters need no gradient, and blocks work in place."""

    def __init__(self, file: layers.NetworkFile) -> None:
        super().__init__()
        trunk, policy, value = file.trunk, file.policy, file.value
        self.conv, self.dense = _Convolve(trunk.conv), _Matrix(trunk.dense)
        self.blocks = _tower(trunk.blocks)
        self.tip = _Activate(trunk.act, trunk.norm)
        self.policy_conv = _Convolve(policy.conv)
        self.policy_pool_conv = _Convolve(policy.pool_conv, policy.pool_norm)
        self.policy_pool_act = _Activate(policy.pool_act)
        self.policy_bias = _Matrix(policy.to_bias)
        self.policy_act = _Activate(policy.act, policy.norm)
        self.policy_out = _Convolve(policy.out)
        self.to_pass = _Matrix(policy.to_pass)
        self.pass_act = None if policy.pass_act is None else _Activate(policy.pass_act).act
        self.to_pass2 = None if policy.to_pass2 is None else _Matrix(policy.to_pass2)
        self.value_conv = _Convolve(value.conv, value.norm)
        self.value_act = _Activate(value.act)
        self.value_dense, self.value_dense_act = _Matrix(value.dense), _ACTIVATIONS[value.dense_act.kind]
        self.value_out, self.score_out = _Matrix(value.value), _Matrix(value.score)
        self.ownership = _Convolve(value.ownership)

    def forward(self, planes: Float[Tensor, "B 22 Y X"], numbers: Float[Tensor, "B 19"], extent: Extent) -> Heads:
        """Everything the network says of a batch; ``planes`` in any memory layout, best ``channels_last``."""
        x = self.conv(planes).add_(self.dense(numbers)[:, :, None, None])
        for block in self.blocks:
            x = block(x, extent)
        x = self.tip(x, extent)
        pooled = pool(self.policy_pool_act(self.policy_pool_conv(x), extent), extent)
        p = self.policy_conv(x).add_(self.policy_bias(pooled)[:, :, None, None])
        points = self.policy_out(self.policy_act(p, extent))
        passes = self.to_pass(pooled)
        if self.pass_act is not None and self.to_pass2 is not None:
            passes = self.to_pass2(self.pass_act(passes))
        v = self.value_act(self.value_conv(x), extent)
        hidden = self.value_dense_act(self.value_dense(pool_for_value(v, extent)))
        owner = self.ownership(v)[:, 0]
        return Heads(points, passes, self.value_out(hidden), self.score_out(hidden), owner)
