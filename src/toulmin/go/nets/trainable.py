"""A KataGo network whose weights are trained: the layers of :mod:`toulmin.go.nets.network`, with gradients.

Every batch norm is one affine map x * slope + shift with both trained (its statistics are fixed: they are folded in
when the network is read), so there is no difference between training and evaluation, and a batch of one is a batch.
Nothing works in place. :meth:`TrainableNetwork.export` gives the network back as a file's layers, in which the affine
map is a norm of mean 0 and variance 1, so that the evaluator, the writer and KataGo itself take what was trained.

Letters: B batch, C channels, O outputs, Y, X rows and columns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from toulmin.go.nets import layers
from toulmin.go.nets.extent import Extent
from toulmin.go.nets.network import ACTIVATIONS, Heads, pool, pool_for_value
from toulmin.go.nets.transformer import AttentionLayer, FeedForwardLayer, RootMeanSquare

_EPSILON = 1e-5  # of the norms that are written; their variance makes up for it


def _parameter(values: NDArray[np.floating]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(values, np.float32)))


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().copy()


class _Convolve(nn.Module):
    def __init__(self, layer: layers.Convolution) -> None:
        super().__init__()
        self.layer = layer
        weight = torch.from_numpy(layer.weights.astype(np.float32)).contiguous(memory_format=torch.channels_last)
        self.weight = nn.Parameter(weight)
        ky, kx = layer.weights.shape[2:]
        self.padding = (ky // 2 * layer.dilation[0], kx // 2 * layer.dilation[1])

    def forward(self, x: Tensor) -> Tensor:
        return fn.conv2d(x, self.weight, None, padding=self.padding, dilation=self.layer.dilation)

    def export(self) -> layers.Convolution:
        return replace(self.layer, weights=_numbers(self.weight))


class _Affine(nn.Module):
    """A norm as an affine map, its activation where one follows, and the mask."""

    def __init__(self, norm: layers.Norm, act: layers.Activation) -> None:
        super().__init__()
        self.norm = norm
        slope, shift = norm.folded()
        self.slope, self.shift = _parameter(slope), _parameter(shift)
        self.act: Callable[[Tensor], Tensor] = ACTIVATIONS[act.kind]

    def forward(self, x: Tensor, extent: Extent, bias: Tensor | None = None) -> Tensor:
        """act(slope * (x + bias) + shift), 0 off the board; ``bias [B, C]`` is added to every point."""
        if bias is not None:
            x = x + bias[:, :, None, None]
        x = self.act(torch.addcmul(self.shift[:, None, None], x, self.slope[:, None, None]))
        return x if extent.mask is None else x * extent.mask

    def export(self) -> layers.Norm:
        count = len(self.slope)
        mean, variance = np.zeros(count, np.float32), np.full(count, 1 - _EPSILON, np.float32)
        return layers.Norm(self.norm.name, _EPSILON, mean, variance, _numbers(self.slope), _numbers(self.shift))


class _Matrix(nn.Module):
    def __init__(self, layer: layers.Dense) -> None:
        super().__init__()
        self.layer = layer
        self.weight = _parameter(layer.weights.T)
        self.bias = None if layer.bias is None else _parameter(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return fn.linear(x, self.weight, self.bias)

    def export(self) -> layers.Dense:
        bias = None if self.bias is None else _numbers(self.bias)
        return replace(self.layer, weights=np.ascontiguousarray(_numbers(self.weight).T), bias=bias)


class _Block(nn.Module):
    """Any of the three kinds of residual blocks with convolutions."""

    def __init__(self, block: layers.Ordinary | layers.Pooling | layers.Bottleneck) -> None:
        super().__init__()
        self.block = block
        self.enter, self.conv1 = _Affine(block.norm1, block.act1), _Convolve(block.conv1)
        self.leave, self.conv2 = _Affine(block.norm2, block.act2), _Convolve(block.conv2)
        self.inner: nn.ModuleList | None = None
        self.pool_conv: _Convolve | None = None
        if isinstance(block, layers.Bottleneck):
            self.inner = _tower(block.blocks)
        elif isinstance(block, layers.Pooling):
            self.pool_conv = _Convolve(block.pool_conv)
            self.pool_act = _Affine(block.pool_norm, block.pool_act)
            self.to_bias = _Matrix(block.to_bias)

    def forward(self, x: Tensor, extent: Extent) -> Tensor:
        y = self.enter(x, extent)
        z, bias = self.conv1(y), None
        if self.pool_conv is not None:
            bias = self.to_bias(pool(self.pool_act(self.pool_conv(y), extent), extent))
        for one in self.inner or ():
            z = one(z, extent)
        return x + self.conv2(self.leave(z, extent, bias))

    def export(self) -> layers.Block:
        found = replace(
            self.block,
            norm1=self.enter.export(),
            conv1=self.conv1.export(),
            norm2=self.leave.export(),
            conv2=self.conv2.export(),
        )
        if isinstance(found, layers.Bottleneck):
            return replace(found, blocks=_exported(self.inner or ()))
        if isinstance(found, layers.Pooling) and self.pool_conv is not None:
            pooled = {"pool_conv": self.pool_conv.export(), "pool_norm": self.pool_act.export()}
            return replace(found, **pooled, to_bias=self.to_bias.export())
        return found


def _tower(blocks: tuple[layers.Block, ...]) -> nn.ModuleList:
    kinds: dict[type[Any], Callable[[Any], nn.Module]] = {
        layers.Attention: AttentionLayer,
        layers.FeedForward: FeedForwardLayer,
    }
    return nn.ModuleList(kinds.get(type(block), _Block)(block) for block in blocks)


def _exported(blocks: Iterable[Any]) -> tuple[layers.Block, ...]:
    """The layers of modules as they are now."""
    return tuple(block.export() for block in blocks)


def _tip(norm: layers.Norm | layers.RmsNorm, act: layers.Activation) -> _Affine | RootMeanSquare:
    if isinstance(norm, layers.RmsNorm):
        return RootMeanSquare(norm, ACTIVATIONS[act.kind])
    return _Affine(norm, act)


class TrainableNetwork(nn.Module):
    """The network of a file with weights that take gradients; equal to :class:`Network` of the same file."""

    def __init__(self, file: layers.NetworkFile) -> None:
        super().__init__()
        self.file = file
        trunk, policy, value = file.trunk, file.policy, file.value
        self.conv, self.dense = _Convolve(trunk.conv), _Matrix(trunk.dense)
        self.blocks = _tower(trunk.blocks)
        self.tip = _tip(trunk.norm, trunk.act)
        self.policy_conv, self.policy_pool_conv = _Convolve(policy.conv), _Convolve(policy.pool_conv)
        self.policy_pool_act = _Affine(policy.pool_norm, policy.pool_act)
        self.policy_bias = _Matrix(policy.to_bias)
        self.policy_act = _Affine(policy.norm, policy.act)
        self.policy_out, self.to_pass = _Convolve(policy.out), _Matrix(policy.to_pass)
        self.pass_act = None if policy.pass_act is None else ACTIVATIONS[policy.pass_act.kind]
        self.to_pass2 = None if policy.to_pass2 is None else _Matrix(policy.to_pass2)
        self.value_conv, self.value_act = _Convolve(value.conv), _Affine(value.norm, value.act)
        self.value_dense, self.value_dense_act = _Matrix(value.dense), ACTIVATIONS[value.dense_act.kind]
        self.value_out, self.score_out = _Matrix(value.value), _Matrix(value.score)
        self.ownership = _Convolve(value.ownership)

    def forward(self, planes: Float[Tensor, "B 22 Y X"], numbers: Float[Tensor, "B 19"], extent: Extent) -> Heads:
        """Everything the network says of a batch."""
        x = self.conv(planes) + self.dense(numbers)[:, :, None, None]
        for block in self.blocks:
            x = block(x, extent)
        x = self.tip(x, extent)
        pooled = pool(self.policy_pool_act(self.policy_pool_conv(x), extent), extent)
        points = self.policy_out(self.policy_act(self.policy_conv(x), extent, self.policy_bias(pooled)))
        passes = self.to_pass(pooled)
        if self.pass_act is not None and self.to_pass2 is not None:
            passes = self.to_pass2(self.pass_act(passes))
        v = self.value_act(self.value_conv(x), extent)
        hidden = self.value_dense_act(self.value_dense(pool_for_value(v, extent)))
        return Heads(points, passes, self.value_out(hidden), self.score_out(hidden), self.ownership(v)[:, 0])

    def export(self, name: str | None = None) -> layers.NetworkFile:
        """The weights as they are now, as the layers of a file; ``name`` where it is to have another one."""
        file = self.file
        trunk = replace(
            file.trunk,
            conv=self.conv.export(),
            dense=self.dense.export(),
            blocks=_exported(self.blocks),
            norm=self.tip.export(),
        )
        policy = replace(
            file.policy,
            conv=self.policy_conv.export(),
            pool_conv=self.policy_pool_conv.export(),
            pool_norm=self.policy_pool_act.export(),
            to_bias=self.policy_bias.export(),
            norm=self.policy_act.export(),
            out=self.policy_out.export(),
            to_pass=self.to_pass.export(),
            to_pass2=None if self.to_pass2 is None else self.to_pass2.export(),
        )
        value = replace(
            file.value,
            conv=self.value_conv.export(),
            norm=self.value_act.export(),
            dense=self.value_dense.export(),
            value=self.value_out.export(),
            score=self.score_out.export(),
            ownership=self.ownership.export(),
        )
        return replace(file, name=name or file.name, trunk=trunk, policy=policy, value=value, sha256="")
