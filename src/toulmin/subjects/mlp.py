"""The MLP of a transformer layer: plain, gated, or a mixture of experts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from toulmin.subjects.config import Activation, TransformerConfig


def activate(x: Tensor, kind: Activation) -> Tensor:
    """The activation function of that name, elementwise."""
    if kind == "gelu_tanh":
        return functional.gelu(x, approximate="tanh")
    return {"gelu": functional.gelu, "relu": functional.relu, "silu": functional.silu}[kind](x)


class FeedForward(nn.Module):
    """``act(x W_in + b_in) W_out + b_out``, or gated ``(act(x W_gate + b_gate) * (x W_in + b_in)) W_out + b_out``.

    ``W_in``, ``W_gate`` [D, F]; ``W_out`` [F, D].

    A mixture of X experts (Shazeer et al. 2017) is one MLP whose F neurons are those of the experts one after the
    other, each neuron multiplied by the weight that the router ``W_router`` [D, X] gives to its expert, which is 0 for
    all experts but the ``experts_per_token`` most probable ones. All experts are computed: exact, and each neuron has
    a name, but the time is that of a dense MLP of F neurons.
    """

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.activation: Activation = config.activation
        width, hidden, biased = config.d_model, config.d_mlp, "mlp" in config.biases
        self.W_in = nn.Parameter(torch.empty(width, hidden))
        self.b_in = nn.Parameter(torch.zeros(hidden)) if biased else None
        self.W_gate = nn.Parameter(torch.empty(width, hidden)) if config.gated else None
        self.b_gate = nn.Parameter(torch.zeros(hidden)) if config.gated and biased else None
        self.W_router = nn.Parameter(torch.empty(width, config.n_experts)) if config.n_experts else None
        self.chosen, self.normalised = config.experts_per_token, config.normalise_routing
        self.W_out = nn.Parameter(torch.empty(hidden, width))
        self.b_out = nn.Parameter(torch.zeros(width)) if biased else None

    def pre(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """What enters the activation function."""
        if self.W_gate is not None:
            return _affine(x, self.W_gate, self.b_gate)
        return _affine(x, self.W_in, self.b_in)

    def post(self, pre: Float[Tensor, "*B F"], x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B F"]:
        """The neurons: the activation of ``pre``, times ``x W_in + b_in`` where gated, times the expert's weight."""
        post = activate(pre, self.activation)
        post = post if self.W_gate is None else post * _affine(x, self.W_in, self.b_in)
        if self.W_router is None:
            return post
        routed = self.route(x)
        return (post.unflatten(-1, (routed.shape[-1], -1)) * routed.unsqueeze(-1)).flatten(-2)

    def route(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B X"]:
        """The weight of each expert (in a mixture of experts): its router probability, 0 if it is not chosen."""
        assert self.W_router is not None
        likely = (x @ self.W_router).softmax(-1, dtype=torch.promote_types(x.dtype, torch.float32))
        best, which = likely.topk(self.chosen, -1)
        best = best / best.sum(-1, keepdim=True) if self.normalised else best
        return torch.zeros_like(likely).scatter(-1, which, best).to(x.dtype)

    def write(self, post: Float[Tensor, "*B F"]) -> Float[Tensor, "*B D"]:
        """What the neurons write to the residual stream, with b_out."""
        return _affine(post, self.W_out, self.b_out)

    def forward(self, x: Float[Tensor, "*B D"]) -> Float[Tensor, "*B D"]:
        """The whole MLP on a normalised residual stream."""
        return self.write(self.post(self.pre(x), x))


def _affine(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x @ weight if bias is None else torch.nn.functional.linear(x, weight.T, bias)
