"""Writes a network in KataGo's model format, so that KataGo plays what was made here and tests make networks."""

from __future__ import annotations

import gzip

import numpy as np

from toulmin.go.nets.layers import (
    Activation,
    Attention,
    Block,
    Bottleneck,
    Convolution,
    Dense,
    FeedForward,
    Floats,
    NetworkFile,
    Norm,
    PolicyHead,
    Pooling,
    RmsNorm,
    Trunk,
    ValueHead,
)


class _Lines:
    def __init__(self, version: int, binary: bool) -> None:
        self.version, self.binary = version, binary
        self.parts: list[bytes] = []

    def words(self, *words: object) -> None:
        self.parts.append("".join(f"{word}\n" for word in words).encode("ascii"))

    def floats(self, values: Floats) -> None:
        flat = np.ascontiguousarray(values, "<f4").ravel()
        if self.binary:
            self.parts.append(b"@BIN@" + flat.tobytes() + b"\n")
        else:
            self.parts.append((" ".join(np.format_float_positional(v, unique=True) for v in flat) + "\n").encode())

    def convolution(self, layer: Convolution) -> None:
        outs, ins, ky, kx = layer.weights.shape
        self.words(layer.name, ky, kx, ins, outs, *layer.dilation)
        self.floats(layer.weights.transpose(2, 3, 1, 0))

    def norm(self, layer: Norm) -> None:
        has_scale, has_bias = layer.scale is not None, layer.bias is not None
        self.words(layer.name, len(layer.mean), repr(layer.epsilon), int(has_scale), int(has_bias))
        for values in (layer.mean, layer.variance, layer.scale, layer.bias):
            if values is not None:
                self.floats(values)

    def rms_norm(self, layer: RmsNorm) -> None:
        self.words(layer.name, len(layer.scale), repr(layer.epsilon))
        if layer.bias is not None:  # at the trunk's end
            self.words(int(layer.spatial), 0)
        self.floats(layer.scale)
        if layer.bias is not None:
            self.floats(layer.bias)

    def attention(self, block: Attention) -> None:
        rotation = block.rotation
        learnt = rotation is not None and rotation.frequencies is not None
        self.words("transformer_attention_block", block.name, block.heads, block.groups, block.q_dim, block.v_dim)
        self.words(int(rotation is not None), int(learnt))
        self.layers(block.norm, block.query, block.key, block.value, block.out)
        if rotation is not None and rotation.frequencies is not None:
            self.words(rotation.name, *rotation.frequencies.shape)
            self.floats(rotation.frequencies)
        elif rotation is not None:
            self.words(rotation.name, repr(rotation.theta))

    def feed_forward(self, block: FeedForward) -> None:
        self.words("transformer_ffn_block", block.name, *block.up.weights.shape, 1)
        self.layers(block.norm, block.up, block.gate, block.down)

    def activation(self, layer: Activation) -> None:
        self.words(layer.name)
        if self.version >= 11:
            self.words(f"ACTIVATION_{layer.kind.upper()}")

    def dense(self, layer: Dense) -> None:
        self.words(layer.name, *layer.weights.shape)
        self.floats(layer.weights)
        if layer.bias is not None:
            self.words(layer.bias_name or f"{layer.name}/bias", len(layer.bias))
            self.floats(layer.bias)

    def layers(self, *layers: Convolution | Norm | RmsNorm | Activation | Dense) -> None:
        for layer in layers:
            if isinstance(layer, Convolution):
                self.convolution(layer)
            elif isinstance(layer, Norm):
                self.norm(layer)
            elif isinstance(layer, RmsNorm):
                self.rms_norm(layer)
            elif isinstance(layer, Activation):
                self.activation(layer)
            else:
                self.dense(layer)

    def block(self, block: Block) -> None:
        if isinstance(block, Attention):
            return self.attention(block)
        if isinstance(block, FeedForward):
            return self.feed_forward(block)
        if isinstance(block, Bottleneck):
            self.words("nested_bottleneck_block", block.name, len(block.blocks))
            self.layers(block.norm1, block.act1, block.conv1)
            for inner in block.blocks:
                self.block(inner)
        elif isinstance(block, Pooling):
            self.words("gpool_block", block.name)
            self.layers(block.norm1, block.act1, block.conv1)
            self.layers(block.pool_conv, block.pool_norm, block.pool_act, block.to_bias)
        else:
            self.words("ordinary_block", block.name)
            self.layers(block.norm1, block.act1, block.conv1)
        self.layers(block.norm2, block.act2, block.conv2)

    def trunk(self, trunk: Trunk) -> None:
        # 0 stands for the dilated channels, which no version still read has
        self.words(trunk.name, len(trunk.blocks), trunk.channels, trunk.mid_channels, trunk.regular_channels, 0)
        options = [int(isinstance(trunk.norm, RmsNorm)), *[0] * 5]
        self.words(trunk.pool_channels, *(options if self.version >= 15 else []))
        self.layers(trunk.conv, trunk.dense)
        for block in trunk.blocks:
            self.block(block)
        self.layers(trunk.norm, trunk.act)

    def policy(self, head: PolicyHead) -> None:
        self.words(head.name, *([len(head.out.weights), 0, 0, 0] if self.version >= 17 else []))
        self.layers(head.conv, head.pool_conv, head.pool_norm, head.pool_act, head.to_bias, head.norm, head.act)
        self.layers(head.out, head.to_pass)
        if head.pass_act is not None and head.to_pass2 is not None:
            self.layers(head.pass_act, head.to_pass2)

    def value(self, head: ValueHead) -> None:
        self.words(head.name, *([0, 0, 0] if self.version >= 17 else []))
        self.layers(head.conv, head.norm, head.act, head.dense, head.dense_act, head.value, head.score, head.ownership)


def write_network(network: NetworkFile, *, binary: bool = True, compress: bool = True) -> bytes:
    """The bytes of a model file (``.bin.gz``; ``.txt.gz`` where not ``binary``): one network, one file."""
    lines = _Lines(network.version, binary)
    lines.words(network.name, network.version, network.planes, network.numbers)
    if network.version >= 13:
        lines.words(*vars(network.scales).values())
    if network.version >= 15:
        lines.words(0, int(network.pass_alive_with_suicide), *[0] * 6)
    lines.trunk(network.trunk)
    lines.policy(network.policy)
    lines.value(network.value)
    data = b"".join(lines.parts)
    return gzip.compress(data, mtime=0) if compress else data
