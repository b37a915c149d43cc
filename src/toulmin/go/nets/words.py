"""The words and floats of a KataGo model file, and the layers that every part of one is made of.

The format: words separated by white space; a block of floats is the same as words, or in binary files ``@BIN@``
followed by little-endian float32. A fault is placed by the layer being read and the byte of the unpacked file.
"""

from __future__ import annotations

import math
import re
from typing import NoReturn

import numpy as np

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.nets.layers import Activation, ActivationKind, Convolution, Dense, Floats, Norm, RmsNorm

NEWEST = 17
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


class Words:
    """The unpacked file and how far it has been read."""

    def __init__(self, data: bytes, file: str, cut: str | None) -> None:
        self.data, self.file, self.at, self.cut = data, file, 0, cut
        self.layer = "header"
        self.version = NEWEST
        self.binary = b"@BIN@" in data

    def fail(self, message: str, code: str = "go.net") -> NoReturn:
        """Refuse the file here."""
        if self.cut and self.at >= len(self.data):
            message += f"; {self.cut}"
        where = f" (layer {self.layer}, byte {self.at} of the unpacked file)"
        raise FaultError(Fault(code, message + where, file=self.file, name=self.layer), ExitCode.SUBJECT)

    def word(self, what: str) -> str:
        """The next word."""
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
        """The next word as a whole number within bounds."""
        word = self.word(what)
        if not _WHOLE.fullmatch(word):
            self.fail(f"{what} is {word[:30]!r}, not a whole number")
        if not least <= int(word) <= most:
            self.fail(f"{what} is {word}, not between {least} and {most}")
        return int(word)

    def number(self, what: str) -> float:
        """The next word as a finite number."""
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
        """The next block of finite floats."""
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
        """A convolution of ``channels`` (of any number where it is not given)."""
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
        """A batch norm with its statistics."""
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

    def rms_norm(self, channels: int, *, tip: bool = False) -> RmsNorm:
        """A norm of a transformer layer, or that at the trunk's end, which has more to say."""
        name = self.name("norm")
        self.agree("channels", self.whole("the number of channels", 1, MOST_SIZE), channels)
        epsilon = self.number("epsilon")
        if not 0 < epsilon <= 1:
            self.fail(f"epsilon is {epsilon}, not between 0 and 1")
        spatial = tip and self.whole("whether the norm is spatial", 0, 1) == 1
        if tip and self.whole("the size of groups", 0, MOST_SIZE) != 0:
            self.fail("norms over groups of channels are not supported", "go.net-unsupported")
        scale = self.floats("the scales", channels)
        return RmsNorm(name, epsilon, scale, self.floats("the biases", channels) if tip else None, spatial)

    def activation(self) -> Activation:
        """An activation; before version 11 all are ReLU and not named."""
        name = self.name("activation")
        if self.version < 11:
            return Activation(name)
        kind = self.word("the kind of activation")
        if kind not in _ACTIVATIONS:
            self.fail(f"unknown activation {kind[:40]!r}", "go.net-unsupported")
        return Activation(name, _ACTIVATIONS[kind])

    def dense(self, ins: int, outs: int | None, *, bias: bool = False) -> Dense:
        """A matrix, and the bias after it."""
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
        """Refuse the file where two layers do not fit."""
        if expected is not None and found != expected:
            self.fail(f"{found} {what} where the layers before have {expected}")
