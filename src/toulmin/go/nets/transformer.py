"""The transformer layers of KataGo's later networks, over the points of the board; for inference and for training.

Attention of H heads in G groups, with queries and keys turned by their point (rotary positions, Su et al. 2021,
https://arxiv.org/abs/2104.09864, in two dimensions): for each pair of channels (a, b) and its angle t at the point,
(a cos t - b sin t, a sin t + b cos t). A product of a turned query and a turned key then depends on where the two
points lie to each other. Points off the board are no keys, and nothing is added to them.

Letters: B batch, C channels, Y, X rows and columns, S points, H heads, G groups of heads, P pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as fn

from toulmin.go.nets import layers
from toulmin.go.nets.extent import Extent


def _parameter(values: NDArray[np.floating]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(values, np.float32)))


def _numbers(tensor: Tensor) -> NDArray[np.float32]:
    return tensor.detach().to("cpu", torch.float32).contiguous().numpy().copy()


class _Project(nn.Module):
    """A matrix without bias."""

    def __init__(self, layer: layers.Dense) -> None:
        super().__init__()
        self.layer, self.weight = layer, _parameter(layer.weights.T)

    def forward(self, x: Tensor) -> Tensor:
        return fn.linear(x, self.weight)

    def export(self) -> layers.Dense:
        return replace(self.layer, weights=np.ascontiguousarray(_numbers(self.weight).T))


class RootMeanSquare(nn.Module):
    """act(x / sqrt(mean x^2 + epsilon) * scale + bias), 0 off the board."""

    def __init__(self, norm: layers.RmsNorm, act: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.norm, self.act = norm, act
        self.scale = _parameter(norm.scale[:, None, None])
        self.bias = None if norm.bias is None else _parameter(norm.bias[:, None, None])

    def forward(self, x: Float[Tensor, "B C Y X"], extent: Extent) -> Float[Tensor, "B C Y X"]:
        """Of the board's points."""
        square = x.to(torch.promote_types(x.dtype, torch.float32)).square()
        if self.norm.spatial:
            # between blocks the trunk is not zero off the board
            square = square if extent.mask is None else square * extent.mask
            mean = square.sum(dim=(1, 2, 3), keepdim=True) / (x.shape[1] * extent.area[:, :, None, None])
        else:
            mean = square.mean(dim=1, keepdim=True)
        y = x * (mean + self.norm.epsilon).rsqrt().to(x.dtype) * self.scale
        y = self.act(y if self.bias is None else y + self.bias)
        return y if extent.mask is None else y * extent.mask

    def export(self) -> layers.RmsNorm:
        """The weights as they are now."""
        bias = None if self.bias is None else _numbers(self.bias)[:, 0, 0]
        return replace(self.norm, scale=_numbers(self.scale)[:, 0, 0], bias=bias)


def angles(rotation: layers.Rotation, pairs: int, height: int, width: int) -> NDArray[np.float64]:
    """By how much each pair is turned at each point, ``[G, S, P]`` (G is 1 where the angles are fixed)."""
    y, x = (axis.ravel()[None, :, None] for axis in np.indices((height, width), dtype=np.float64))
    if rotation.frequencies is not None:
        learnt = rotation.frequencies.astype(np.float64)
        return x * learnt[:, None, :, 0] + y * learnt[:, None, :, 1]
    half = pairs // 2
    which = np.arange(pairs)
    falling = rotation.theta ** (-2.0 * np.where(which < half, which, which - half) / pairs)
    return np.where(which < half, y, x) * falling


def turn(x: Float[Tensor, "B N S D"], cos: Float[Tensor, "N S P"], sin: Float[Tensor, "N S P"]) -> Tensor:
    """Turn neighbouring channels (2p, 2p + 1) by their angles."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-1).flatten(-2)


class AttentionLayer(nn.Module):
    """x + attention(norm(x))."""

    def __init__(self, block: layers.Attention) -> None:
        super().__init__()
        self.block, self.norm = block, RootMeanSquare(block.norm)
        self.query, self.key = _Project(block.query), _Project(block.key)
        self.value, self.out = _Project(block.value), _Project(block.out)
        rotation = block.rotation
        learnt = None if rotation is None else rotation.frequencies
        self.frequencies = None if learnt is None else _parameter(learnt)

    def _angles(self, height: int, width: int, like: Tensor) -> Tensor:
        """Angles ``[G, S, P]``, with gradients of learnt frequencies."""
        block = self.block
        if self.frequencies is None:
            assert block.rotation is not None
            return torch.from_numpy(angles(block.rotation, block.q_dim // 2, height, width)).to(like)
        exact = torch.promote_types(like.dtype, torch.float32)
        y, x = torch.meshgrid(
            *(torch.arange(n, device=like.device, dtype=exact) for n in (height, width)), indexing="ij"
        )
        points = torch.stack([x.reshape(-1), y.reshape(-1)], dim=1)
        return torch.einsum("sd,gpd->gsp", points, self.frequencies.to(exact))

    def forward(self, x: Float[Tensor, "B C Y X"], extent: Extent) -> Float[Tensor, "B C Y X"]:
        """Over all points of each board at once."""
        block, (batch, channels, height, width) = self.block, x.shape
        points = self.norm(x, extent).permute(0, 2, 3, 1).reshape(batch, height * width, channels)

        def split(project: _Project, count: int) -> Tensor:
            return project(points).view(batch, height * width, count, -1).transpose(1, 2)

        query, key = split(self.query, block.heads), split(self.key, block.groups)
        value, shared = split(self.value, block.groups), block.heads // block.groups
        if block.rotation is not None:
            angle = self._angles(height, width, x)
            cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
            key = turn(key, cos, sin)
            if len(angle) > 1:
                cos, sin = cos.repeat_interleave(shared, dim=0), sin.repeat_interleave(shared, dim=0)
            query = turn(query, cos, sin)
        key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
        # a board has at least one point, so no row of scores is empty
        seen = None if extent.mask is None else (extent.mask != 0).flatten(1)[:, None, None, :]
        found = fn.scaled_dot_product_attention(query, key, value, attn_mask=seen)
        added = self.out(found.transpose(1, 2).reshape(batch, height * width, -1))
        added = added.view(batch, height, width, channels).permute(0, 3, 1, 2)
        return x + (added if extent.mask is None else added * extent.mask)

    def export(self) -> layers.Attention:
        """The weights as they are now."""
        rotation = self.block.rotation
        if rotation is not None and self.frequencies is not None:
            rotation = replace(rotation, frequencies=_numbers(self.frequencies))
        return replace(
            self.block,
            norm=self.norm.export(),
            query=self.query.export(),
            key=self.key.export(),
            value=self.value.export(),
            out=self.out.export(),
            rotation=rotation,
        )


class FeedForwardLayer(nn.Module):
    """x + down(silu(up(norm(x))) * gate(norm(x)))."""

    def __init__(self, block: layers.FeedForward) -> None:
        super().__init__()
        self.block, self.norm = block, RootMeanSquare(block.norm)
        self.up, self.gate, self.down = _Project(block.up), _Project(block.gate), _Project(block.down)

    def forward(self, x: Float[Tensor, "B C Y X"], extent: Extent) -> Float[Tensor, "B C Y X"]:
        """At every point."""
        y = self.norm(x, extent).permute(0, 2, 3, 1)
        return x + self.down(fn.silu(self.up(y)) * self.gate(y)).permute(0, 3, 1, 2)  # 0 off the board stays 0

    def export(self) -> layers.FeedForward:
        """The weights as they are now."""
        matrices = {"up": self.up.export(), "gate": self.gate.export(), "down": self.down.export()}
        return replace(self.block, norm=self.norm.export(), **matrices)
