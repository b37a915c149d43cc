"""A KataGo network in PyTorch, for inference: residual towers of every block kind the reader knows.

Batch norms are affine maps with fixed statistics. Where nothing lies between a convolution and its norm, the norm is
folded into the convolution's weights and bias (where only a bias made from pools is added, into both); the norm before
a block's first convolution stays. Tensors are NHWC in memory (``channels_last``), the layout in which the CPU's
convolutions are fastest; :meth:`Network.pack` goes further and keeps the weights as oneDNN wants them, which a small
batch feels, and lets it do activations and residual sums on the way. On boards smaller than the tensor a mask keeps
everything off the board at zero after each activation, and pools count the points of the board only.

Letters: B batch, C channels, Y, X rows and columns, N numbers, P policies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from toulmin.go.nets import layers
from toulmin.go.nets.extent import Extent
from toulmin.go.nets.transformer import AttentionLayer, FeedForwardLayer, RootMeanSquare

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "relu": fn.relu,
    "mish": fn.mish,
    "silu": fn.silu,
}


class Heads(NamedTuple):
    """What the network says before any scaling, for the side to move."""

    policy: Float[Tensor, "B P Y X"]
    pass_policy: Float[Tensor, "B P"]
    value: Float[Tensor, "B 3"]
    score: Float[Tensor, "B S"]
    ownership: Float[Tensor, "B Y X"]


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether oneDNN's operators for packed weights are there and serve this device and type."""
    served = device.type == "cpu" and dtype == torch.float32 and torch.backends.mkldnn.is_available()
    return served and hasattr(torch.ops.mkldnn, "_reorder_convolution_weight")


def _constant(values: NDArray[np.floating]) -> nn.Parameter:
    # strides of a side of length 1 may be anything, and a product's last bits depend on them
    plain = torch.from_numpy(np.ascontiguousarray(values)).clone(memory_format=torch.contiguous_format)
    return nn.Parameter(plain, requires_grad=False)


class _Convolve(nn.Module):
    """A convolution, with the norm that follows it folded in where one is given.

    With ``bias_elsewhere`` the norm's shift is left out: it belongs to a bias that is added to the result.
    """

    def __init__(
        self, layer: layers.Convolution, norm: layers.Norm | None = None, *, bias_elsewhere: bool = False
    ) -> None:
        super().__init__()
        weights, bias = layer.weights, None
        if norm is not None:
            slope, shift = norm.folded()
            weights = weights * slope[:, None, None, None]
            bias = None if bias_elsewhere else shift
        self.weight = nn.Parameter(
            torch.from_numpy(np.ascontiguousarray(weights)).contiguous(memory_format=torch.channels_last), False
        )
        self.bias = None if bias is None else _constant(bias)
        self.dilation = layer.dilation
        ky, kx = layer.weights.shape[2:]
        self.padding = (ky // 2 * layer.dilation[0], kx // 2 * layer.dilation[1])
        self.point, self.packs = (ky, kx) == (1, 1), False
        self.packed: dict[torch.Size, Tensor] = {}  # by the board, for which oneDNN chooses the layout

    def pack(self) -> None:
        self.packs = not self.point
        self.packed.clear()

    def _packed_for(self, x: Tensor) -> Tensor:
        board = x.shape[2:]
        if board not in self.packed:
            self.packed[board] = torch.ops.mkldnn._reorder_convolution_weight(
                self.weight, self.padding, (1, 1), self.dilation, 1, (1, *x.shape[1:])
            )
        return self.packed[board]

    def forward(self, x: Tensor, after: str = "none") -> Tensor:
        """``after`` (none or relu) is done on the way; relu only where the weights are packed."""
        if self.point:  # a matrix, where the channels of a point lie together
            return fn.linear(x.permute(0, 2, 3, 1), self.weight[:, :, 0, 0], self.bias).permute(0, 3, 1, 2)
        if not self.packs:
            return fn.conv2d(x, self.weight, self.bias, padding=self.padding, dilation=self.dilation)
        return torch.ops.mkldnn._convolution_pointwise.default(
            x, self._packed_for(x), self.bias, self.padding, (1, 1), self.dilation, 1, after, [], ""
        )

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the result for ``x`` to ``total``, in place."""
        if not self.packs:
            return total.add_(self(x))
        return torch.ops.mkldnn._convolution_pointwise_.binary(
            total, x, self._packed_for(x), self.bias, self.padding, (1, 1), self.dilation, 1, "add", 1.0, None, [], None
        )


class _Activate(nn.Module):
    """A norm, where it could not be folded, an activation, and the mask."""

    def __init__(self, act: layers.Activation, norm: layers.Norm | None = None) -> None:
        super().__init__()
        self.slope = self.shift = None
        if norm is not None:
            slope, shift = norm.folded()
            self.slope, self.shift = _constant(slope[:, None, None]), _constant(shift[:, None, None])
        self.act = ACTIVATIONS[act.kind]
        self.in_place = act.kind == "relu"

    def forward(self, x: Tensor, extent: Extent, *, fresh: bool = True) -> Tensor:
        """``fresh``: ``x`` is used nowhere else, and may be overwritten."""
        if self.slope is not None and self.shift is not None:
            x = torch.addcmul(self.shift, x, self.slope)
            fresh = True
        x = fn.relu_(x) if fresh and self.in_place else self.act(x)
        return x if extent.mask is None else x.mul_(extent.mask) if fresh else x * extent.mask

    def of(self, conv: _Convolve, x: Tensor, extent: Extent) -> Tensor:
        """The activation of a convolution's result; one operation where it can be."""
        if self.in_place and conv.packs and self.slope is None and extent.mask is None:
            return conv(x, "relu")
        return self(conv(x), extent)


class _Matrix(nn.Module):
    """A matrix, with a norm of its result folded in where one is given."""

    def __init__(self, layer: layers.Dense, norm: layers.Norm | None = None) -> None:
        super().__init__()
        weights, bias = layer.weights.T, layer.bias
        if norm is not None:
            slope, shift = norm.folded()
            weights = weights * slope[:, None]
            bias = shift if bias is None else shift + slope * bias
        self.weight = _constant(weights)
        self.bias = None if bias is None else _constant(bias)

    def forward(self, x: Tensor) -> Tensor:
        return fn.linear(x, self.weight, self.bias)


def _mean(x: Tensor, extent: Extent) -> Tensor:
    exact = torch.float64 if x.dtype == torch.float64 else torch.float32  # bfloat16 would lose the sum
    return x.sum(dim=(2, 3), dtype=exact) / extent.area


def pool(x: Float[Tensor, "B C Y X"], extent: Extent) -> Float[Tensor, "B 3*C"]:
    """Mean, mean * d / 10 and maximum over the board, with d = sqrt(points) - 14."""
    mean = _mean(x, extent)
    on_board = x if extent.mask is None else x.masked_fill(extent.mask == 0, -torch.inf)
    return torch.cat([mean, mean * extent.slope, on_board.amax(dim=(2, 3)).to(mean.dtype)], dim=1).to(x.dtype)


def pool_for_value(x: Float[Tensor, "B C Y X"], extent: Extent) -> Float[Tensor, "B 3*C"]:
    """Mean, mean * d / 10 and mean * (d^2 / 100 - 0.1) over the board."""
    mean = _mean(x, extent)
    return torch.cat([mean, mean * extent.slope, mean * extent.curve], dim=1).to(x.dtype)


class _OrdinaryBlock(nn.Module):
    def __init__(self, block: layers.Ordinary) -> None:
        super().__init__()
        self.enter = _Activate(block.act1, block.norm1)
        self.conv1 = _Convolve(block.conv1, block.norm2)
        self.mid = _Activate(block.act2)
        self.conv2 = _Convolve(block.conv2)

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        y = self.mid.of(self.conv1, self.enter(x, extent), extent)
        return self.conv2.add_to(x, y)


class _PoolingBlock(nn.Module):
    def __init__(self, block: layers.Pooling) -> None:
        super().__init__()
        self.enter = _Activate(block.act1, block.norm1)
        self.conv1 = _Convolve(block.conv1, block.norm2, bias_elsewhere=True)
        self.pool_conv = _Convolve(block.pool_conv, block.pool_norm)
        self.pool_act = _Activate(block.pool_act)
        self.to_bias = _Matrix(block.to_bias, block.norm2)
        self.mid = _Activate(block.act2)
        self.conv2 = _Convolve(block.conv2)

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        y = self.enter(x, extent)
        bias = self.to_bias(pool(self.pool_act.of(self.pool_conv, y, extent), extent))
        y = self.conv1(y).add_(bias[:, :, None, None])
        return self.conv2.add_to(x, self.mid(y, extent))


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
        return self.conv2.add_to(x, self.leave(y, extent))


def _tower(blocks: tuple[layers.Block, ...]) -> nn.ModuleList:
    kinds: dict[type[Any], Callable[[Any], nn.Module]] = {
        layers.Ordinary: _OrdinaryBlock,
        layers.Pooling: _PoolingBlock,
        layers.Bottleneck: _BottleneckBlock,
        layers.Attention: AttentionLayer,
        layers.FeedForward: FeedForwardLayer,
    }
    return nn.ModuleList(kinds[type(block)](block) for block in blocks)


def _tip(trunk: layers.Trunk) -> nn.Module:
    """What follows the last block."""
    if isinstance(trunk.norm, layers.RmsNorm):
        return RootMeanSquare(trunk.norm, ACTIVATIONS[trunk.act.kind])
    return _Activate(trunk.act, trunk.norm)


class Network(nn.Module):
    """The network of a file, for inference only: its parameters need no gradient, and blocks work in place."""

    def __init__(self, file: layers.NetworkFile) -> None:
        super().__init__()
        trunk, policy, value = file.trunk, file.policy, file.value
        self.conv, self.dense = _Convolve(trunk.conv), _Matrix(trunk.dense)
        self.blocks = _tower(trunk.blocks)
        self.tip = _tip(trunk)
        self.policy_conv = _Convolve(policy.conv, policy.norm, bias_elsewhere=True)
        self.policy_pool_conv = _Convolve(policy.pool_conv, policy.pool_norm)
        self.policy_pool_act = _Activate(policy.pool_act)
        self.policy_bias = _Matrix(policy.to_bias, policy.norm)
        self.policy_act = _Activate(policy.act)
        self.policy_out = _Convolve(policy.out)
        self.to_pass = _Matrix(policy.to_pass)
        self.pass_act = None if policy.pass_act is None else _Activate(policy.pass_act).act
        self.to_pass2 = None if policy.to_pass2 is None else _Matrix(policy.to_pass2)
        self.value_conv = _Convolve(value.conv, value.norm)
        self.value_act = _Activate(value.act)
        self.value_dense, self.value_dense_act = _Matrix(value.dense), ACTIVATIONS[value.dense_act.kind]
        self.value_out, self.score_out = _Matrix(value.value), _Matrix(value.score)
        self.ownership = _Convolve(value.ownership)
        self.requires_grad_(False)

    def pack(self) -> Network:
        """Keep copies of the convolutions' weights in oneDNN's own layout (see :func:`can_pack`); returns self.

        One copy for each size of board, made at its first evaluation. To be called when the weights have their final
        type and place.
        """
        for module in self.modules():
            if isinstance(module, _Convolve):
                module.pack()
        return self

    def forward(self, planes: Float[Tensor, "B 22 Y X"], numbers: Float[Tensor, "B 19"], extent: Extent) -> Heads:
        """Everything the network says of a batch; ``planes`` in any memory layout, best ``channels_last``."""
        x = self.conv(planes).add_(self.dense(numbers)[:, :, None, None])
        for block in self.blocks:
            x = block(x, extent)
        x = self.tip(x, extent)
        pooled = pool(self.policy_pool_act.of(self.policy_pool_conv, x, extent), extent)
        p = self.policy_conv(x).add_(self.policy_bias(pooled)[:, :, None, None])
        points = self.policy_out(self.policy_act(p, extent))
        passes = self.to_pass(pooled)
        if self.pass_act is not None and self.to_pass2 is not None:
            passes = self.to_pass2(self.pass_act(passes))
        v = self.value_act.of(self.value_conv, x, extent)
        hidden = self.value_dense_act(self.value_dense(pool_for_value(v, extent)))
        owner = self.ownership(v)[:, 0]
        return Heads(points, passes, self.value_out(hidden), self.score_out(hidden), owner)
