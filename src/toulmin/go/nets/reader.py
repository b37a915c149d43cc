"""Reads KataGo's model files: ``.bin.gz``, ``.txt.gz``, or either without the gzip.

The layers follow each other in a fixed order without any directory, so a fault is placed by the layer being read and
the byte of the unpacked file (:mod:`toulmin.go.nets.words`). Versions 8 to 17 are read, transformer layers among them;
the metadata encoder of human-style networks, norms over groups of channels and feed-forward layers without a gate are
refused by name.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.go.nets.layers import (
    Attention,
    Block,
    Bottleneck,
    FeedForward,
    NetworkFile,
    Ordinary,
    PolicyHead,
    Pooling,
    Rotation,
    Scales,
    Trunk,
    ValueHead,
)
from toulmin.go.nets.words import MOST_SIZE, NEWEST, Words

OLDEST = 8
INPUT_PLANES, INPUT_NUMBERS = 22, 19
MOST_BYTES = 4 << 30  # of the unpacked file
MOST_BLOCKS = 1000
DEEPEST = 4  # bottlenecks within bottlenecks


def _read_blocks(words: Words, count: int, channels: int, depth: int = 0) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for _ in range(count):
        kind = words.word("the kind of a block")
        if kind in _TRANSFORMER:
            blocks.append(_TRANSFORMER[kind](words, channels))
            continue
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
        words.agree("output channels", len(rest[-1].weights), channels)
    return tuple(blocks)


def _read_attention(words: Words, channels: int) -> Attention:
    name = words.name("block")
    heads, groups = (words.whole(f"the number of {what}", 1, MOST_SIZE) for what in ("heads", "groups of heads"))
    q_dim, v_dim = (words.whole(f"the channels of a {what}", 1, MOST_SIZE) for what in ("query", "value"))
    if heads % groups:
        words.fail(f"{heads} heads cannot share the keys of {groups} groups")
    rotates = words.whole("whether there are rotary positions", 0, 1) == 1
    learnt = words.whole("whether these were learnt", 0, 1) == 1
    if rotates and q_dim % 2:
        words.fail(f"rotary positions turn pairs of channels, and a query has {q_dim}")
    norm = words.rms_norm(channels)
    query, key = words.dense(channels, heads * q_dim), words.dense(channels, groups * q_dim)
    value, out = words.dense(channels, groups * v_dim), words.dense(heads * v_dim, channels)
    rotation = _read_rotation(words, groups, q_dim // 2, learnt) if rotates else None
    return Attention(name, heads, groups, q_dim, v_dim, norm, query, key, value, out, rotation)


def _read_rotation(words: Words, groups: int, pairs: int, learnt: bool) -> Rotation:
    name = words.name("rotation")
    if not learnt:
        theta = words.number("theta")
        if theta <= 0:
            words.fail(f"theta is {theta}, not positive")
        return Rotation(name, theta=theta)
    words.agree("groups of heads", words.whole("the number of groups", 1, MOST_SIZE), groups)
    words.agree("pairs", words.whole("the number of pairs", 1, MOST_SIZE), pairs)
    words.agree("directions", words.whole("the number of directions", 1, 9), 2)
    return Rotation(name, words.floats("the frequencies", groups * pairs * 2).reshape(groups, pairs, 2))


def _read_feed_forward(words: Words, channels: int) -> FeedForward:
    name = words.name("block")
    words.agree("channels", words.whole("the number of channels", 1, MOST_SIZE), channels)
    inner = words.whole("the number of inner channels", 1, MOST_SIZE)
    if words.whole("whether there is a gate", 0, 1) != 1:
        words.fail("feed-forward layers without a gate are not supported", "go.net-unsupported")
    norm = words.rms_norm(channels)
    up, gate = words.dense(channels, inner), words.dense(channels, inner)
    return FeedForward(name, norm, up, gate, words.dense(inner, channels))


_TRANSFORMER: dict[str, Callable[[Words, int], Block]] = {
    "transformer_attention_block": _read_attention,
    "transformer_ffn_block": _read_feed_forward,
}


def _read_trunk(words: Words, planes: int, numbers: int) -> Trunk:
    name = words.name("trunk")
    count = words.whole("the number of blocks", 1, MOST_BLOCKS)
    channels, mid, regular = (
        words.whole(f"the number of {w} channels", 1, MOST_SIZE) for w in ("trunk", "mid", "regular")
    )
    words.whole("the number of dilated channels", -MOST_SIZE, MOST_SIZE)
    pooled = words.whole("the number of pooling channels", 1, MOST_SIZE)
    rms = False
    if words.version >= 15:
        rms = words.whole("the kind of norm at the trunk's end", 0, 1) == 1
        _no_options(words, 5)
    conv = words.convolution(planes)
    words.agree("output channels", len(conv.weights), channels)
    dense = words.dense(numbers, channels)
    blocks = _read_blocks(words, count, channels)
    norm = words.rms_norm(channels, tip=True) if rms else words.norm(channels)
    return Trunk(name, channels, mid, regular, pooled, conv, dense, blocks, norm, words.activation())


def _no_options(words: Words, count: int) -> None:
    for i in range(count):
        if words.whole(f"option {'ABCDEFGH'[i]}", -(1 << 30), 1 << 30) != 0:
            words.fail("it sets an option that this reader does not know", "go.net-unsupported")


def _read_policy(words: Words, channels: int) -> PolicyHead:
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


def _read_value(words: Words, channels: int) -> ValueHead:
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
    words = Words(data, file, cut)
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
