"""Reads KataGo's model files: ``.bin.gz``, ``.txt.gz``, or either without the gzip.

The format: words separated by white space; a block of floats is the same as words, or in binary files ``@BIN@``
followed by little-endian float32. The layers follow each other in a fixed order without any directory, so a fault is
placed by the layer being read and the byte of the unpacked file. Versions 8 to 17 are read; transformer blocks,
RMS norms and the metadata encoder of human-style networks are refused by name.
"""

from __future__ import annotations

import hashlib
import math
import re
import zlib
from pathlib import Path
from typing import NoReturn

import numpy as np

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.nets.layers import (
    Activation,
    ActivationKind,
    Block,
    Bottleneck,
    Convolution,
    Dense,
    Floats,
    NetworkFile,
    Norm,
    Ordinary,
    PolicyHead,
    Pooling,
    Scales,
    Trunk,
    ValueHead,
)

OLDEST, NEWEST = 8, 17
INPUT_PLANES, INPUT_NUMBERS = 22, 19
MOST_BYTES = 4 << 30  # of the unpacked file
MOST_BLOCKS = 1000
DEEPEST = 4  # bottlenecks within bottlenecks
MOST_SIZE = 1 << 16  # channels of one layer

_WORD = re.compile(rb"\s*([^\s@]+)")
_WHOLE = re.compile(r"[+-]?[0-9]{1,12}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_ACTIVATIONS: dict[str, ActivationKind] = {
    "ACTIVATION_IDENTITY": "identity",
    "ACTIVATION_RELU": "relu",
    "ACTIVATION_MISH": "mish",
    "ACTIVATION_SILU": "silu",
}


class _Words:
    """The unpacked file and how far it has been read."""

    def __init__(self, data: bytes, file: str, cut: str | None) -> None:
        self.data, self.file, self.at, self.cut = data, file, 0, cut
        self.layer = "header"
        self.version = NEWEST
        self.binary = b"@BIN@" in data

    def fail(self, message: str, code: str = "go.net") -> NoReturn:
        if self.cut and self.at >= len(self.data):
            message += f"; {self.cut}"
        where = f" (layer {self.layer}, byte {self.at} of the unpacked file)"
        raise FaultError(Fault(code, message + where, file=self.file, name=self.layer), ExitCode.SUBJECT)

    def word(self, what: str) -> str:
        match = _WORD.match(self.data, self.at, min(len(self.data), self.at + 4096))
        if match is None:
            if not self.data[self.at :].strip():
                self.at = len(self.data)
                self.fail(f"the file ends where {what} should be")
            self.fail(f"{what} is not a word")
        self.at = match.end()
        try:
            return match[1].decode("ascii")
        except UnicodeDecodeError:
            self.fail(f"{what} is not a word in ASCII")

    def whole(self, what: str, least: int, most: int) -> int:
        word = self.word(what)
        if not _WHOLE.fullmatch(word):
            self.fail(f"{what} is {word[:30]!r}, not a whole number")
        if not least <= int(word) <= most:
            self.fail(f"{what} is {word}, not between {least} and {most}")
        return int(word)

    def number(self, what: str) -> float:
        word = self.word(what)
        if not _NUMBER.fullmatch(word):
            self.fail(f"{what} is {word[:30]!r}, not a finite number")
        if not math.isfinite(float(word)):
            self.fail(f"{what} is {word[:30]}, beyond any float")
        return float(word)

    def name(self, what: str) -> str:
        """The name of the next layer, to which later faults are put."""
        self.layer = f"{what} after {self.layer}"
        self.layer = self.word(f"the name of a {what}")[:96]
        return self.layer

    def floats(self, what: str, count: int) -> Floats:
        if not self.binary:
            return self._text_floats(what, count)
        match = re.compile(rb"\s{0,100}@BIN@").match(self.data, self.at)
        if match is None:
            if not self.data[self.at :].strip():
                self.at = len(self.data)
                self.fail(f"the file ends before {what}")
            self.fail(f"{what} should start with @BIN@")
        end = match.end() + 4 * count
        if end > len(self.data):
            held = (len(self.data) - match.end()) // 4
            self.at = len(self.data)
            self.fail(f"the file ends within {what}: {held} of {count} floats")
        values = np.frombuffer(self.data, "<f4", count, match.end()).astype(np.float32)
        self.at = end
        if not np.isfinite(values).all():
            self.fail(f"{what} holds NaN or infinity")
        return values

    def _text_floats(self, what: str, count: int) -> Floats:
        if 2 * count > len(self.data) - self.at + 1:
            held = len(self.data[self.at :].split())
            self.at = len(self.data)
            self.fail(f"the file ends within {what}: {held} of {count} floats")
        values = np.array([self.number(what) for _ in range(count)], np.float64).astype(np.float32)
        if not np.isfinite(values).all():
            self.fail(f"{what} holds a number beyond float32")
        return values

    # -- layers -----------------------------------------------------------------------------------------------------

    def convolution(self, channels: int | None = None) -> Convolution:
        name = self.name("convolution")
        ky, kx = self.whole("the kernel's height", 1, 31), self.whole("the kernel's width", 1, 31)
        ins = self.whole("the number of input channels", 1, MOST_SIZE)
        outs = self.whole("the number of output channels", 1, MOST_SIZE)
        dilation = self.whole("the vertical dilation", 1, 8), self.whole("the horizontal dilation", 1, 8)
        if ky % 2 == 0 or kx % 2 == 0:
            self.fail(f"a kernel of {ky}x{kx} is not odd")
        self.agree("input channels", ins, channels)
        weights = self.floats("the weights", ky * kx * ins * outs).reshape(ky, kx, ins, outs)
        return Convolution(name, np.ascontiguousarray(weights.transpose(3, 2, 0, 1)), dilation)

    def norm(self, channels: int) -> Norm:
        name = self.name("norm")
        self.agree("channels", self.whole("the number of channels", 1, MOST_SIZE), channels)
        epsilon = self.number("epsilon")
        if epsilon <= 0:
            self.fail(f"epsilon is {epsilon}, not positive")
        has_scale, has_bias = self.whole("hasScale", 0, 1), self.whole("hasBias", 0, 1)
        mean, variance = self.floats("the means", channels), self.floats("the variances", channels)
        if (variance < 0).any():
            self.fail("a variance is negative")
        scale = self.floats("the scales", channels) if has_scale else None
        bias = self.floats("the biases", channels) if has_bias else None
        return Norm(name, epsilon, mean, variance, scale, bias)

    def activation(self) -> Activation:
        name = self.name("activation")
        if self.version < 11:
            return Activation(name)
        kind = self.word("the kind of activation")
        if kind not in _ACTIVATIONS:
            self.fail(f"unknown activation {kind[:40]!r}", "go.net-unsupported")
        return Activation(name, _ACTIVATIONS[kind])

    def dense(self, ins: int, outs: int | None, *, bias: bool = False) -> Dense:
        name = self.name("matrix")
        self.agree("inputs", self.whole("the number of inputs", 1, MOST_SIZE), ins)
        width = self.whole("the number of outputs", 1, MOST_SIZE)
        self.agree("outputs", width, outs)
        weights = self.floats("the weights", ins * width).reshape(ins, width)
        if not bias:
            return Dense(name, weights)
        bias_name = self.name("bias")
        self.agree("biases", self.whole("the number of biases", 1, MOST_SIZE), width)
        return Dense(name, weights, self.floats("the biases", width), bias_name)

    def agree(self, what: str, found: int, expected: int | None) -> None:
        if expected is not None and found != expected:
            self.fail(f"{found} {what} where the layers before have {expected}")


def _read_blocks(words: _Words, count: int, channels: int, depth: int = 0) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for _ in range(count):
        kind = words.word("the kind of a block")
        if kind not in {"ordinary_block", "gpool_block", "nested_bottleneck_block"}:
            words.fail(f"blocks of kind {kind[:40]!r} are not supported", "go.net-unsupported")
        name = words.name("block")
        inner = words.whole("the number of inner blocks", 1, MOST_BLOCKS) if kind.startswith("nested") else 0
        if inner and depth >= DEEPEST:
            words.fail(f"bottlenecks lie more than {DEEPEST} deep")
        norm1, act1 = words.norm(channels), words.activation()
        conv1 = words.convolution(channels)
        mid = len(conv1.weights)
        if inner:
            stack = _read_blocks(words, inner, mid, depth + 1)
            rest = words.norm(mid), words.activation(), words.convolution(mid)
            blocks.append(Bottleneck(name, norm1, act1, conv1, stack, *rest))
        elif kind == "ordinary_block":
            rest = words.norm(mid), words.activation(), words.convolution(mid)
            blocks.append(Ordinary(name, norm1, act1, conv1, *rest))
        else:
            pool_conv = words.convolution(channels)
            pooled = len(pool_conv.weights)
            pool = words.norm(pooled), words.activation(), words.dense(3 * pooled, mid)
            rest = words.norm(mid), words.activation(), words.convolution(mid)
            blocks.append(Pooling(name, norm1, act1, conv1, pool_conv, *pool, *rest))
        words.agree("output channels", len(blocks[-1].conv2.weights), channels)
    return tuple(blocks)


def _read_trunk(words: _Words, planes: int, numbers: int) -> Trunk:
    name = words.name("trunk")
    count = words.whole("the number of blocks", 1, MOST_BLOCKS)
    channels, mid, regular = (
        words.whole(f"the number of {w} channels", 1, MOST_SIZE) for w in ("trunk", "mid", "regular")
    )
    words.whole("the number of dilated channels", -MOST_SIZE, MOST_SIZE)
    pooled = words.whole("the number of pooling channels", 1, MOST_SIZE)
    if words.version >= 15:
        if words.whole("the kind of norm at the trunk's end", 0, 99) != 0:
            words.fail("RMS norms are not supported", "go.net-unsupported")
        _no_options(words, 5)
    conv = words.convolution(planes)
    words.agree("output channels", len(conv.weights), channels)
    dense = words.dense(numbers, channels)
    blocks = _read_blocks(words, count, channels)
    return Trunk(name, channels, mid, regular, pooled, conv, dense, blocks, words.norm(channels), words.activation())


def _no_options(words: _Words, count: int) -> None:
    for i in range(count):
        if words.whole(f"option {'ABCDEFGH'[i]}", -(1 << 30), 1 << 30) != 0:
            words.fail("it sets an option that this reader does not know", "go.net-unsupported")


def _read_policy(words: _Words, channels: int) -> PolicyHead:
    name = words.name("policy head")
    version = words.version
    kinds = 4 if version == 16 else 2 if version >= 12 else 1
    if version >= 17:
        kinds = words.whole("the number of policies", 2, 4)
        _no_options(words, 3)
    conv, pool_conv = words.convolution(channels), words.convolution(channels)
    width, pooled = len(conv.weights), len(pool_conv.weights)
    pool = words.norm(pooled), words.activation(), words.dense(3 * pooled, width)
    norm, act, out = words.norm(width), words.activation(), words.convolution(width)
    words.agree("policies", len(out.weights), kinds)
    if version < 15:
        return PolicyHead(name, conv, pool_conv, *pool, norm, act, out, words.dense(3 * pooled, kinds))
    to_pass = words.dense(3 * pooled, width, bias=True)
    last = words.activation(), words.dense(width, kinds)
    return PolicyHead(name, conv, pool_conv, *pool, norm, act, out, to_pass, *last)


def _read_value(words: _Words, channels: int) -> ValueHead:
    name = words.name("value head")
    if words.version >= 17:
        _no_options(words, 3)
    conv = words.convolution(channels)
    width = len(conv.weights)
    norm, act = words.norm(width), words.activation()
    dense, dense_act = words.dense(3 * width, None, bias=True), words.activation()
    hidden = dense.weights.shape[1]
    value = words.dense(hidden, 3, bias=True)
    score = words.dense(hidden, 4 if words.version == 8 else 6, bias=True)
    ownership = words.convolution(width)
    words.agree("ownership planes", len(ownership.weights), 1)
    return ValueHead(name, conv, norm, act, dense, dense_act, value, score, ownership)


def _unpack(data: bytes, file: str) -> tuple[bytes, str | None]:
    """The file without its gzip, and what is wrong with the gzip where it was cut or damaged."""
    if data[:2] != b"\x1f\x8b":
        return data, None
    stream = zlib.decompressobj(wbits=31)
    try:
        unpacked = stream.decompress(data, MOST_BYTES)
    except zlib.error:
        whole = zlib.decompressobj(wbits=31)
        pieces = []
        try:
            for start in range(0, len(data), 4096):
                pieces.append(whole.decompress(data[start : start + 4096], MOST_BYTES))
        except zlib.error as error:
            return b"".join(pieces), f"the gzip data are damaged ({error})"
        return b"".join(pieces), None
    if stream.unconsumed_tail:
        fault = Fault("go.net-size", f"it unpacks to more than {MOST_BYTES} bytes", file=file)
        raise FaultError(fault, ExitCode.LIMIT)
    return unpacked, None if stream.eof else "the gzip data are cut short"


def read_network(source: str | Path | bytes) -> NetworkFile:
    """Read a network from a file, from the bytes of one, or from a folder's ``network.bin.gz`` (an embedded net).

    Raises :class:`FaultError`: ``go.net`` with the layer and byte where the file is cut or malformed,
    ``go.net-unsupported`` with its name for a version, block or option that is not implemented, ``file.unreadable``
    where it cannot be opened; all with exit code SUBJECT.
    """
    if isinstance(source, bytes):
        file, raw = "<bytes>", source
    else:
        path = Path(source)
        path = path / "network.bin.gz" if path.is_dir() else path
        file = str(path)
        try:
            raw = path.read_bytes()
        except OSError as error:
            fault = Fault("file.unreadable", error.strerror or str(error), file=file)
            raise FaultError(fault, ExitCode.SUBJECT) from error
    data, cut = _unpack(raw, file)
    words = _Words(data, file, cut)
    name = words.word("the network's name")[:96]
    version = words.whole("the version", -1, 1 << 30)
    if not OLDEST <= version <= NEWEST:
        words.fail(f"version {version} is not supported ({OLDEST} to {NEWEST} are)", "go.net-unsupported")
    words.version = version
    planes = words.whole("the number of input planes", 1, MOST_SIZE)
    numbers = words.whole("the number of input numbers", 1, MOST_SIZE)
    words.agree("input planes", planes, INPUT_PLANES)
    words.agree("input numbers", numbers, INPUT_NUMBERS)
    scales = Scales()
    if version >= 13:
        factors = [words.number("an output multiplier") for _ in range(7)]
        if min(factors) <= 0:
            words.fail("an output multiplier is not positive")
        scales = Scales(*factors)
    with_suicide = False
    if version >= 15:
        if words.whole("the metadata encoder's version", -1, 1 << 30) != 0:
            words.fail("networks that take a player's metadata are not supported", "go.net-unsupported")
        with_suicide = words.whole("preferPassAliveUnderSuicideRules", 0, 1) == 1
        _no_options(words, 6)
    trunk = _read_trunk(words, planes, numbers)
    policy = _read_policy(words, trunk.channels)
    value = _read_value(words, trunk.channels)
    if words.data[words.at :].strip():
        words.layer = "end"
        words.fail("there is more after the last layer")
    digest = hashlib.sha256(raw).hexdigest()
    return NetworkFile(name, version, planes, numbers, trunk, policy, value, scales, with_suicide, digest)
