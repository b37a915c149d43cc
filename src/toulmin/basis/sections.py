r"""A model as a chain of sections: the functions between the places at which its activations are described.

A *site* is a place in the model whose activations x [N, P, d] are described in a new basis; a *section* is the function
from one site to the next. Biases are folded in (Bushnaq et al. 2024, "Using Degeneracy in the Loss Landscape",
appendix): the last coordinate of every hidden site is the constant 1, and a section multiplies its biases by it, so
that x -> a x scales everything the section reads. What a section writes ends in a constant again:

- a residual stream passes the constant of its input on;
- the hidden layer of an MLP gets one more neuron with pre-activation c r, r the root of act(r) = 1.

Letters: N sample, P position, d width of a site.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from toulmin.basis.closed_forms import Elementwise, Function
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects import Mlp


@dataclass(frozen=True)
class Chain:
    """Sites and the sections between them.

    :param sites: names, one more than there are sections.
    :param sections: functions from [N, P, d_l] to [N, P', d_{l+1}]; samples must not influence one another.
    :param constant: for each site whether its last coordinate is the constant 1.
    """

    sites: tuple[str, ...]
    sections: tuple[Function, ...]
    constant: tuple[bool, ...]

    def __post_init__(self) -> None:
        if len(self.sites) != len(self.sections) + 1 or len(self.constant) != len(self.sites):
            message = f"{len(self.sites)} sites and {len(self.constant)} flags for {len(self.sections)} sections"
            raise FaultError(Fault("basis.chain", message + "; one more of each than sections are needed"))
        if len(set(self.sites)) != len(self.sites):
            raise FaultError(Fault("basis.chain", "two sites have the same name"))

    def activations(self, x: Float[Tensor, "N P d"]) -> list[Tensor]:
        """The activations of every site, from those of the first."""
        found = [x]
        for section in self.sections:
            found.append(section(found[-1]))
        return found

    def index(self, site: str) -> int:
        """The number of a site.

        :raises FaultError: there is none of that name.
        """
        if site not in self.sites:
            raise FaultError(Fault("basis.unknown_site", f"the sites are {', '.join(self.sites)}", name=site))
        return self.sites.index(site)


def with_constant(x: Float[Tensor, "*N d"]) -> Float[Tensor, "*N d+1"]:
    """Activations with the constant 1 appended."""
    return torch.cat([x, x.new_ones(*x.shape[:-1], 1)], -1)


def _gelu_tanh(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


def _gelu_tanh_slope(x: Tensor) -> Tensor:
    scale = math.sqrt(2 / math.pi)
    tanh = torch.tanh(scale * (x + 0.044715 * x**3))
    return 0.5 * (1 + tanh) + 0.5 * x * (1 - tanh**2) * scale * (1 + 0.134145 * x**2)


#: activation name to (function, derivative, root of act(r) = 1)
ACTIVATIONS: dict[str, tuple[Function, Function, float]] = {
    "relu": (functional.relu, lambda x: (x > 0).to(x.dtype), 1.0),
    "identity": (lambda x: x, torch.ones_like, 1.0),
    "gelu": (
        functional.gelu,
        lambda x: 0.5 * (1 + torch.erf(x / math.sqrt(2))) + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi),
        1.1444507183528787,
    ),
    "gelu_tanh": (_gelu_tanh, _gelu_tanh_slope, 1.1446303090227823),
    "silu": (
        functional.silu,
        lambda x: torch.sigmoid(x) * (1 + x * (1 - torch.sigmoid(x))),
        1.2784645427610737,
    ),
}


def mlp_chain(model: Mlp) -> Chain:
    """The chain of a multi-layer perceptron: its input and the output of each layer, biases folded in.

    Sites are ``layers.0`` (the input with the constant) to ``layers.{L-1}``, and ``output`` (without a constant).

    :raises FaultError: (exit code SUBJECT) an activation function without a known root of act(r) = 1.
    """
    if model.activation not in ACTIVATIONS:
        message = f"the activation {model.activation!r} is not supported; supported are {', '.join(ACTIVATIONS)}"
        raise FaultError(Fault("basis.activation", message), ExitCode.SUBJECT)
    act, slope, root = ACTIVATIONS[model.activation]
    sections: list[Function] = []
    linear = [layer for layer in model.layers if isinstance(layer, nn.Linear)]
    for number, layer in enumerate(linear):
        weight = layer.weight.detach().T
        bias = torch.zeros_like(weight[0]) if layer.bias is None else layer.bias.detach()
        folded = torch.cat([weight, bias[None]], 0)
        if number == len(linear) - 1:
            sections.append(Elementwise(folded))
        else:
            keep = torch.cat([torch.zeros_like(folded[:-1, :1]), folded.new_full((1, 1), root)], 0)
            sections.append(Elementwise(torch.cat([folded, keep], 1), act, slope))
    sites = (*(f"layers.{number}" for number in range(len(linear))), "output")
    return Chain(sites, tuple(sections), (*(True for _ in linear), False))


def folded_chain(weights: Sequence[Float[Tensor, "I O"]], activation: str = "relu") -> Chain:
    """The chain of an MLP given by weights into which biases are folded already."""
    act, slope, _ = ACTIVATIONS[activation]
    last = len(weights) - 1
    sections = [Elementwise(w) if n == last else Elementwise(w, act, slope) for n, w in enumerate(weights)]
    sites = (*(f"layers.{number}" for number in range(len(weights))), "output")
    return Chain(sites, tuple(sections), (*(True for _ in weights), False))
