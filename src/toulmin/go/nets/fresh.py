"""Networks with random weights, to be trained from scratch."""

from __future__ import annotations

import numpy as np

from toulmin.go.nets.features import GLOBALS, PLANES
from toulmin.go.nets.layers import (
    Activation,
    Block,
    Convolution,
    Dense,
    NetworkFile,
    Norm,
    Ordinary,
    PolicyHead,
    Pooling,
    Trunk,
    ValueHead,
)

_VERSION = 8  # the oldest that is read: one policy, four score outputs


class _Maker:
    """Draws layers; weights are normal with variance 2 / inputs (He et al. 2015), times ``scale`` squared."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)

    def convolution(self, name: str, ins: int, outs: int, side: int = 3, scale: float = 1.0) -> Convolution:
        spread = scale * np.sqrt(2 / (ins * side * side))
        return Convolution(name, (self.random.standard_normal((outs, ins, side, side)) * spread).astype(np.float32))

    def norm(self, name: str, channels: int) -> Norm:
        ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
        return Norm(name, 1e-5, zeros, ones, ones, zeros)

    def dense(self, name: str, ins: int, outs: int, *, bias: bool = False, scale: float = 1.0) -> Dense:
        weights = (self.random.standard_normal((ins, outs)) * scale * np.sqrt(2 / ins)).astype(np.float32)
        return Dense(name, weights, np.zeros(outs, np.float32) if bias else None, f"{name}/bias" if bias else "")

    def block(self, name: str, channels: int, pooled: int, residual: float) -> Block:
        """A residual block; its last convolution is small, so that a deep tower starts near the identity."""
        mid = channels - pooled
        enter = self.norm(f"{name}/norm1", channels), Activation(f"{name}/act1")
        conv1 = self.convolution(f"{name}/conv1", channels, mid)
        leave = self.norm(f"{name}/norm2", mid), Activation(f"{name}/act2")
        conv2 = self.convolution(f"{name}/conv2", mid, channels, scale=residual)
        if not pooled:
            return Ordinary(name, *enter, conv1, *leave, conv2)
        pool = (
            self.convolution(f"{name}/conv1g", channels, pooled),
            self.norm(f"{name}/normg", pooled),
            Activation(f"{name}/actg"),
            self.dense(f"{name}/matg", 3 * pooled, mid, scale=0.3),
        )
        return Pooling(name, *enter, conv1, *pool, *leave, conv2)


def fresh_network(blocks: int = 6, channels: int = 96, seed: int = 0, name: str = "fresh") -> NetworkFile:
    """A network of random weights: ``blocks`` residual blocks of ``channels``, every third with global pools.

    6 blocks of 96 channels have the size of KataGo's b6c96. The outputs of an untrained one are near zero: an almost
    uniform policy, an even game.
    """
    make = _Maker(seed)
    pooled, head, hidden = max(2, channels // 3), max(8, channels // 3), channels
    residual = 1 / np.sqrt(max(1, blocks))
    tower = tuple(
        make.block(f"block{i}", channels, pooled if i % 3 == 2 else 0, float(residual)) for i in range(blocks)
    )
    trunk = Trunk(
        name="trunk",
        channels=channels,
        mid_channels=channels,
        regular_channels=channels - pooled,
        pool_channels=pooled,
        conv=make.convolution("conv1", PLANES, channels, side=5),
        dense=make.dense("ginputw", GLOBALS, channels, scale=0.5),
        blocks=tower,
        norm=make.norm("trunk/norm", channels),
        act=Activation("trunk/act"),
    )
    policy = PolicyHead(
        name="policyhead",
        conv=make.convolution("p1", channels, head, side=1),
        pool_conv=make.convolution("g1", channels, head, side=1),
        pool_norm=make.norm("g1/norm", head),
        pool_act=Activation("g1/act"),
        to_bias=make.dense("g1w", 3 * head, head, scale=0.3),
        norm=make.norm("p1/norm", head),
        act=Activation("p1/act"),
        out=make.convolution("p2", head, 1, side=1, scale=0.1),
        to_pass=make.dense("passw", 3 * head, 1, scale=0.1),
    )
    value = ValueHead(
        name="valuehead",
        conv=make.convolution("v1", channels, head, side=1),
        norm=make.norm("v1/norm", head),
        act=Activation("v1/act"),
        dense=make.dense("v2", 3 * head, hidden, bias=True),
        dense_act=Activation("v2/act"),
        value=make.dense("v3", hidden, 3, bias=True, scale=0.1),
        score=make.dense("sv3", hidden, 4, bias=True, scale=0.1),
        ownership=make.convolution("vownership", head, 1, side=1, scale=0.1),
    )
    return NetworkFile(name, _VERSION, PLANES, GLOBALS, trunk, policy, value)
