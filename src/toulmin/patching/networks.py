"""Multi-layer perceptrons and convolutional autoencoders as computations, with a source for each unit or channel.

A unit writes the vector that is its activation at its own place and zero elsewhere, so the sum of a layer's units is
what the next layer reads. The same recipe serves any network: one stage for each layer, one source for each addend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from toulmin.patching.computation import Computation, ModelStage
from toulmin.subjects import activate

if TYPE_CHECKING:
    from toulmin.subjects import ConvAutoencoder, Mlp


def mlp_computation(model: Mlp) -> Computation:
    """The computation of an MLP, from unit to unit.

    Sources are the input features ``x.0``, ``x.1``, … and the units ``L0.0``, … of each hidden layer; receivers are the
    units of each hidden layer, which each read all units before, and ``output``.
    """
    last = model.n_layers - 1
    reads, stages = _names("x", model.widths[0]), list[ModelStage]()
    for number in range(last):
        layer, name = model.layers[number], f"L{number}"
        assert isinstance(layer, nn.Linear)
        names = _names(name, model.widths[number + 1])

        def compute(*rows: Tensor, layer: nn.Linear = layer) -> list[Tensor]:
            # unit j is row j of the weights on what unit j reads
            pre = torch.einsum("ubi,ui->bu", torch.stack(rows), layer.weight)
            pre = pre if layer.bias is None else pre + layer.bias
            return apart(activate(pre, model.activation), -1)

        stages.append(ModelStage(name, reads, compute, inputs=names, sources=names))
        reads = names
    output = model.layers[last]
    stages.append(ModelStage("output", reads, output, sources=()))
    inputs = {
        name: lambda x, number=number: apart(x, -1)[number] for number, name in enumerate(_names("x", model.widths[0]))
    }
    return Computation.of_stages(inputs, stages, identity=("mlp", model))


def autoencoder_computation(model: ConvAutoencoder) -> Computation:
    """The computation of a convolutional autoencoder.

    Sources are the image ``x``, the channels ``down1.0``, … of both convolutions, the units ``code.0``, … of the code,
    and the channels of the decoder's hidden layers ``from_code`` and ``up1``; receivers are the layers.
    """
    side = model.size // 4

    def from_code(code: Tensor) -> list[Tensor]:
        return apart(torch.relu(model.from_code(code)).view(-1, 2 * model.width, side, side), 1)

    channels = {"down1": model.width, "down2": 2 * model.width, "from_code": 2 * model.width, "up1": model.width}
    names = {layer: _names(layer, count) for layer, count in channels.items()}
    code = _names("code", model.code)
    stages = [
        ModelStage("down1", ["x"], lambda x: apart(torch.relu(model.down1(x)), 1), sources=names["down1"]),
        ModelStage("down2", names["down1"], lambda x: apart(torch.relu(model.down2(x)), 1), sources=names["down2"]),
        ModelStage("code", names["down2"], lambda x: apart(model.into_code(x.flatten(1)), -1), sources=code),
        ModelStage("from_code", code, from_code, sources=names["from_code"]),
        ModelStage("up1", names["from_code"], lambda x: apart(torch.relu(model.up1(x)), 1), sources=names["up1"]),
        ModelStage("output", names["up1"], lambda x: torch.sigmoid(model.up2(x)), sources=()),
    ]
    return Computation.of_stages({"x": lambda x: x}, stages, identity=("autoencoder", model))


def apart(x: Tensor, axis: int) -> list[Tensor]:
    """Addends of ``x``: the i-th has only the i-th entry along the axis, and zeros elsewhere."""
    eye = torch.eye(x.shape[axis], dtype=x.dtype, device=x.device)
    shape = [1] * x.ndim
    shape[axis] = x.shape[axis]
    return [x * row.view(shape) for row in eye]


def _names(layer: str, count: int) -> Sequence[str]:
    return [f"{layer}.{number}" for number in range(count)]
