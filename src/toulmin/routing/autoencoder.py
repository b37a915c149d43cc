"""The split autoencoder: partitioned representations by routing (Cloud et al. 2024, section 4.1).

An encoder gives E numbers, a decoder reconstructs the image from all of them. Images of low digits are routed to one
half of the encoding, those of high digits to the other. Two certificates, decoders of one detached half each, measure
what a half knows: if routing works, the low half's certificate reconstructs low digits well and high digits badly.

    loss = |decoder - x| + |certificate low - x| + |certificate high - x|
           + l1 (sum of mean |encoding|) + correlation (mean |correlation| between the halves)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from toulmin.routing.plan import Route, RoutePlan
from toulmin.routing.router import Router
from toulmin.training import IndexedBatches, Schedule, State, fit, generator_at, gradient_step

Condition = Literal["routed", "unrouted", "random_labels", "random_direction"]
DIGITS = 10


def make_mlp(sizes: Sequence[int], *, last_bias: bool) -> nn.Sequential:
    """Linear maps with ReLU between them."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        last = i == len(sizes) - 2
        layers.append(nn.Linear(a, b, bias=last_bias or not last))
        if not last:
            layers.append(nn.ReLU())
    return nn.Sequential(*layers)


class SplitAutoencoder(nn.Module):
    """Encoder, decoder, and a certificate for each half of the encoding.

    ``route`` is where gradients are routed: an identity between encoder and decoder. With ``direction`` [E, E], an
    orthogonal matrix, the halves that are routed are those of the rotated encoding.
    """

    def __init__(self, sizes: Sequence[int], direction: Float[Tensor, "E E"] | None = None) -> None:
        super().__init__()
        self.encoder = make_mlp(sizes, last_bias=False)
        self.decoder = make_mlp(sizes[::-1], last_bias=True)
        half = [sizes[-1] // 2, *sizes[-2::-1]]
        self.low = make_mlp(half, last_bias=True)
        self.high = make_mlp(half, last_bias=True)
        self.route = nn.Identity()
        self.direction: Tensor | None
        self.register_buffer("direction", direction)

    def encode(self, x: Float[Tensor, "B P"]) -> Float[Tensor, "B E"]:
        """The encoding."""
        return self.encoder(x)

    def decode(self, encoding: Float[Tensor, "B E"]) -> Float[Tensor, "B P"]:
        """The reconstruction from all of the encoding, through the place where gradients are routed."""
        if self.direction is None:
            return self.decoder(self.route(encoding))
        return self.decoder(self.route(encoding @ self.direction) @ self.direction.T)

    def certify(self, encoding: Float[Tensor, "B E"]) -> tuple[Float[Tensor, "B P"], Float[Tensor, "B P"]]:
        """The reconstructions of the certificates, which read one detached half each."""
        low, high = encoding.detach().chunk(2, -1)
        return self.low(low), self.high(high)


def correlation_penalty(encoding: Float[Tensor, "B E"]) -> Float[Tensor, ""]:
    """The mean absolute correlation between the units of one half and those of the other, over the batch."""
    scaled = (encoding - encoding.mean(0)) / encoding.std(0).clamp_min(1e-6)
    low, high = scaled.chunk(2, -1)
    return (low.T @ high / len(scaled)).abs().mean()


def halves(width: int) -> RoutePlan:
    """Low digits train the first half of the encoding, high digits the second."""
    middle = width // 2
    return RoutePlan(
        [
            Route("low", at="route", dims=slice(0, middle)),
            Route("high", at="route", dims=slice(middle, width)),
        ]
    )


def train_autoencoder(
    images: Float[np.ndarray, "N P"],
    digits: Int[np.ndarray, " N"],
    sizes: Sequence[int],
    condition: Condition,
    *,
    steps: int,
    batch: int,
    seed: int,
    l1: float = 3e-3,
    correlation: float = 0.1,
    lr: float = 1e-3,
    boundary: int = 5,
) -> SplitAutoencoder:
    """Train for ``steps`` updates of Adam (weight decay 5e-5).

    ``random_labels`` routes each image by a fixed coin with the share of the low digits; ``random_direction`` routes to
    the halves of a random rotation of the encoding: two placebos, in which the same share of gradients is routed.
    """
    torch.manual_seed(seed)
    width = sizes[-1]
    direction = None
    if condition == "random_direction":
        direction = torch.linalg.qr(torch.randn(width, width, dtype=torch.float64))[0].float()
    model = SplitAutoencoder([images.shape[1], *sizes], direction)
    x = torch.from_numpy(images).float()
    labels = torch.from_numpy((digits >= boundary).astype(np.int64))
    if condition == "random_labels":
        labels = labels[torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))]
    router = Router(model, halves(width))

    def loss(state: State, rows: Tensor) -> Tensor:
        given = None if condition == "unrouted" else labels[rows]
        encoding = model.encode(x[rows])
        with router(labels=given):
            out = model.decode(encoding)
        low, high = model.certify(encoding)
        error = sum(((made - x[rows]).abs().mean() for made in (out, low, high)), torch.zeros(()))
        return error + l1 * encoding.abs().mean(0).sum() + correlation * correlation_penalty(encoding)

    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=5e-5)
    batches = IndexedBatches(lambda i: torch.from_numpy(generator_at(seed, i).integers(0, len(x), batch)))
    fit(gradient_step(loss, clip=None), State(model, optimizer), batches, Schedule(steps, lr, kind="constant"))
    router.remove()
    return model


@torch.no_grad()
def certificate_errors(
    model: SplitAutoencoder, images: Float[np.ndarray, "N P"], digits: Int[np.ndarray, " N"]
) -> dict[str, Float[np.ndarray, " 10"]]:
    """For each decoder the mean absolute error of each digit's images, on the scale from -1 to 1.

    ``NAME_square`` are the mean squared errors: what the public code plots under the name MAE.
    """
    x = torch.from_numpy(images).float()
    encoding = model.encode(x)
    low, high = model.certify(encoding)
    errors: dict[str, Float[np.ndarray, " 10"]] = {}
    for name, made in (("decoder", model.decode(encoding)), ("low", low), ("high", high)):
        for suffix, each in (("", (made - x).abs().mean(1)), ("_square", (made - x).square().mean(1))):
            errors[name + suffix] = np.array([float(each[torch.from_numpy(digits == d)].mean()) for d in range(DIGITS)])
    return errors


@torch.no_grad()
def reconstructions(model: SplitAutoencoder, images: Float[np.ndarray, "N P"]) -> Float[np.ndarray, "R N P"]:
    """Rows: the images, then what the decoder and the certificates of the low and the high half make of them."""
    x = torch.from_numpy(images).float()
    encoding = model.encode(x)
    return torch.stack([x, model.decode(encoding), *model.certify(encoding)]).numpy()
