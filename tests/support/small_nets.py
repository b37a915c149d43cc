"""Small random networks of every form, and a few positions to evaluate."""

from __future__ import annotations

import numpy as np

from toulmin.go import Games, Rules
from toulmin.go.nets import (
    Activation,
    Attention,
    Bottleneck,
    Convolution,
    Dense,
    FeedForward,
    NetworkFile,
    Norm,
    Ordinary,
    PolicyHead,
    Pooling,
    RmsNorm,
    Rotation,
    Trunk,
    ValueHead,
)


def make_network(version=8, seed=0, channels=6, transformer=""):
    """A small random network with one block of every kind.

    ``transformer`` adds transformer layers, outside and inside a bottleneck, with an RMS norm at the trunk's end:
    "learnt" or "fixed" rotary positions, "none", or "spatial" (none, and the norm over the whole board).
    """
    rng = np.random.default_rng(seed)
    kind = "relu" if version < 11 else ("mish" if version % 2 else "silu")

    def draw(*shape):
        return (rng.standard_normal(shape) / np.sqrt(max(np.prod(shape[1:]), 1))).astype(np.float32)

    def conv(name, outs, ins, size=3):
        return Convolution(name, draw(outs, ins, size, size))

    def norm(name, c):
        scale = rng.uniform(0.5, 1.5, c).astype(np.float32) if rng.random() < 0.7 else None
        variance = rng.uniform(0.5, 2, c).astype(np.float32)
        return Norm(name, 0.001, draw(c), variance, scale, draw(c))

    def act(name):
        return Activation(name, kind)

    def dense(name, ins, outs, bias=False):
        return Dense(name, draw(ins, outs), draw(outs) if bias else None, f"{name}/b" if bias else "")

    def ordinary(name, c):
        return Ordinary(
            name,
            norm(f"{name}/n1", c),
            act(f"{name}/a1"),
            conv(f"{name}/w1", 5, c),
            norm(f"{name}/n2", 5),
            act(f"{name}/a2"),
            conv(f"{name}/w2", c, 5),
        )

    def pooling(name, c):
        return Pooling(
            name,
            norm(f"{name}/n1", c),
            act(f"{name}/a1"),
            conv(f"{name}/w1", 5, c),
            conv(f"{name}/wp", 3, c),
            norm(f"{name}/np", 3),
            act(f"{name}/ap"),
            dense(f"{name}/wb", 9, 5),
            norm(f"{name}/n2", 5),
            act(f"{name}/a2"),
            conv(f"{name}/w2", c, 5),
        )

    blocks = [ordinary("b1", channels), pooling("b2", channels)]
    if version >= 11:
        nest = norm("b3/n1", channels), act("b3/a1"), conv("b3/w1", 4, channels, 1)
        inner = ordinary("b3/x1", 4), pooling("b3/x2", 4)
        blocks.append(Bottleneck("b3", *nest, inner, norm("b3/n2", 4), act("b3/a2"), conv("b3/w2", channels, 4, 1)))

    def rms(name, c, bias=False, spatial=False):
        return RmsNorm(name, 1e-6, draw(c), draw(c) if bias else None, spatial)

    def layers(name, c):
        rotation = {
            "learnt": Rotation(f"{name}/rope", rng.uniform(-1, 1, (2, 2, 2)).astype(np.float32)),
            "fixed": Rotation(f"{name}/rope", theta=10.0),
        }.get(transformer)
        before = rms(f"{name}/n", c)
        q, k, v = dense(f"{name}/q", c, 16), dense(f"{name}/k", c, 8), dense(f"{name}/v", c, 6)
        yield Attention(name, 4, 2, 4, 3, before, q, k, v, dense(f"{name}/o", 12, c), rotation)
        up, gate = dense(f"{name}/up", c, 5), dense(f"{name}/gate", c, 5)
        yield FeedForward(f"{name}f", rms(f"{name}f/n", c), up, gate, dense(f"{name}f/down", 5, c))

    tip = norm("tip", channels)
    if transformer:
        nest = norm("b4/n1", channels), act("b4/a1"), conv("b4/w1", 4, channels, 1)
        inner = tuple(layers("b4/x", 4))
        blocks += layers("b5", channels)
        blocks.append(Bottleneck("b4", *nest, inner, norm("b4/n2", 4), act("b4/a2"), conv("b4/w2", channels, 4, 1)))
        tip = rms("tip", channels, bias=True, spatial=transformer == "spatial")
    trunk = Trunk(
        "trunk",
        channels,
        5,
        5,
        3,
        conv("conv1", channels, 22, 5),
        dense("ginput", 19, channels),
        tuple(blocks),
        tip,
        act("tipact"),
    )
    kinds = 4 if version == 16 else 2 if version >= 12 else 1
    pooled = norm("g1norm", 4), act("g1act"), dense("g2", 12, 5)
    late = version >= 15
    policy = PolicyHead(
        "policy",
        conv("p1", 5, channels, 1),
        conv("g1", 4, channels, 1),
        *pooled,
        norm("p1norm", 5),
        act("p1act"),
        conv("p2", kinds, 5, 1),
        dense("pass", 12, 5 if late else kinds, bias=late),
        act("passact") if late else None,
        dense("pass2", 5, kinds) if late else None,
    )
    value = ValueHead(
        "value",
        conv("v1", 4, channels, 1),
        norm("v1norm", 4),
        act("v1act"),
        dense("v2", 12, 7, bias=True),
        act("v2act"),
        dense("v3", 7, 3, bias=True),
        dense("sv3", 7, 4 if version == 8 else 6, bias=True),
        conv("own", 1, 4, 1),
    )
    return NetworkFile(f"small-v{version}", version, 22, 19, trunk, policy, value)


# -- the same network in plain NumPy, from its definition


def some_games(size=5, count=4, moves=9, seed=1, rules=None):
    rng = np.random.default_rng(seed)
    games = Games(count, size, rules or Rules())
    for _ in range(moves):
        games.play([rng.choice(np.flatnonzero(row)) if row.any() else -1 for row in games.legal()])
    return games
