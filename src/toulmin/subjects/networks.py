"""Networks that are not transformers: a plain multi-layer perceptron and a small convolutional autoencoder."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects.config import Activation
from toulmin.subjects.mlp import activate


class Mlp(nn.Module):
    """``x_{l+1} = act(x_l W_l^T + b_l)``, the last layer without activation.

    :param widths: of the input, every hidden layer, and the output.
    :param generator: where the initial weights come from (uniform, bounded by 1 / sqrt(fan-in)); default seed 0.
    :raises FaultError: (``subjects.config``) for fewer than two widths or one below 1.
    """

    def __init__(
        self,
        widths: Sequence[int],
        activation: Activation = "relu",
        bias: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            message = f"needs at least two widths of at least 1, got {list(widths)}"
            raise FaultError(Fault("subjects.config", message, name="widths"), ExitCode.SUBJECT)
        self.widths, self.bias = tuple(widths), bias
        self.activation: Activation = activation
        self.layers = nn.ModuleList(
            nn.utils.skip_init(nn.Linear, fan_in, fan_out, bias=bias) for fan_in, fan_out in itertools.pairwise(widths)
        )
        _initialise(self, generator)

    @property
    def n_layers(self) -> int:
        """Number of linear layers."""
        return len(self.layers)

    def forward(self, x: Float[Tensor, "*B I"]) -> Float[Tensor, "*B O"]:
        """The output."""
        return self.run_from(x, 0)

    def run_to(self, x: Float[Tensor, "*B I"], layer: int) -> Float[Tensor, "*B F"]:
        """What linear layer ``layer`` reads; ``n_layers`` gives the output."""
        return self._run(x, 0, layer)

    def run_from(self, x: Float[Tensor, "*B F"], layer: int) -> Float[Tensor, "*B O"]:
        """The output from what linear layer ``layer`` reads."""
        return self._run(x, layer, self.n_layers)

    def run_with_cache(self, x: Float[Tensor, "*B I"]) -> tuple[Tensor, dict[str, Tensor]]:
        """The output, and ``L{l}.pre`` (what leaves a linear layer) and ``L{l}.post`` (after the activation)."""
        cache: dict[str, Tensor] = {}
        for index, layer in enumerate(self.layers):
            x = cache[f"L{index}.pre"] = layer(x)
            if index < self.n_layers - 1:
                x = cache[f"L{index}.post"] = activate(x, self.activation)
        return x, cache

    def _run(self, x: Tensor, start: int, end: int) -> Tensor:
        for index in range(start, end):
            x = self.layers[index](x)
            if index < self.n_layers - 1:
                x = activate(x, self.activation)
        return x

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON values."""
        return {"widths": list(self.widths), "activation": self.activation, "bias": self.bias}


class ConvAutoencoder(nn.Module):
    """An autoencoder of small square images: two strided convolutions, a linear code, and the same mirrored.

    ``encode``: [..., C, S, S] to [..., Z]; ``decode``: back, through a sigmoid, so that pixels lie in (0, 1).

    :param size: S, the side of the image, a multiple of 4.
    :param channels: C; :param width: channels of the first convolution; :param code: Z.
    """

    def __init__(
        self,
        size: int = 28,
        channels: int = 1,
        width: int = 16,
        code: int = 32,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if size % 4 or min(size, channels, width, code) < 1:
            message = f"size must be a multiple of 4 and all at least 1, got {(size, channels, width, code)}"
            raise FaultError(Fault("subjects.config", message, name="size"), ExitCode.SUBJECT)
        self.size, self.channels, self.width, self.code = size, channels, width, code
        flat = 2 * width * (size // 4) ** 2
        self.down1 = nn.Conv2d(channels, width, 4, stride=2, padding=1)
        self.down2 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.into_code = nn.Linear(flat, code)
        self.from_code = nn.Linear(code, flat)
        self.up1 = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.up2 = nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1)
        _initialise(self, generator)

    def encode(self, x: Float[Tensor, "*B C S S"]) -> Float[Tensor, "*B Z"]:
        """The code of images."""
        flat = x.reshape(-1, *x.shape[-3:])
        hidden = functional.relu(self.down2(functional.relu(self.down1(flat))))
        return self.into_code(hidden.flatten(1)).reshape(*x.shape[:-3], self.code)

    def decode(self, z: Float[Tensor, "*B Z"]) -> Float[Tensor, "*B C S S"]:
        """The images of codes."""
        hidden = functional.relu(self.from_code(z.reshape(-1, self.code)))
        hidden = hidden.view(-1, 2 * self.width, self.size // 4, self.size // 4)
        image = torch.sigmoid(self.up2(functional.relu(self.up1(hidden))))
        return image.reshape(*z.shape[:-1], self.channels, self.size, self.size)

    def forward(self, x: Float[Tensor, "*B C S S"]) -> Float[Tensor, "*B C S S"]:
        """Reconstructed images: :meth:`decode` of :meth:`encode`."""
        return self.decode(self.encode(x))

    def to_dict(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON values."""
        return {"size": self.size, "channels": self.channels, "width": self.width, "code": self.code}


@torch.no_grad()
def _initialise(module: nn.Module, generator: torch.Generator | None) -> None:
    generator = generator or torch.Generator().manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            bound = (layer.weight[0].numel() or 1) ** -0.5
            for parameter in (layer.weight, layer.bias):
                if parameter is not None and not parameter.is_meta:
                    parameter.uniform_(-bound, bound, generator=generator)


def network_from_dict(kind: str, values: Mapping[str, Any], file: str | None = None) -> nn.Module:
    """An untrained network of that kind (``mlp``, ``conv_autoencoder``).

    :raises FaultError: (``subjects.config``, exit code SUBJECT) for an unknown kind or wrong arguments.
    """
    kinds: dict[str, tuple[type[nn.Module], dict[str, Any]]] = {
        "mlp": (Mlp, {"widths": list, "activation": str, "bias": bool}),
        "conv_autoencoder": (ConvAutoencoder, dict.fromkeys(("size", "channels", "width", "code"), int)),
    }
    if kind not in kinds:
        raise FaultError(Fault("subjects.config", f"unknown kind of network {kind!r:.40}", file), ExitCode.SUBJECT)
    build, types = kinds[kind]
    faults = [Fault("subjects.config", "unknown key", file, name=name) for name in values if name not in types]
    for name, wanted in types.items():
        value = values.get(name)
        whole = isinstance(value, list) and all(type(width) is int and width < 2**24 for width in value)
        if type(value) is not wanted or (wanted is list and not whole) or (wanted is int and value >= 2**16):  # type: ignore[operator]
            faults.append(Fault("subjects.config", f"expected {wanted.__name__}, got {value!r:.40}", file, name=name))
    if values.get("activation", "relu") not in ("gelu", "gelu_tanh", "relu", "silu"):
        faults.append(Fault("subjects.config", f"unknown activation {values['activation']!r:.40}", file))
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    return build(**values)
