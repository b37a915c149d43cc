r"""The chain of sections of a Transformer, between chosen places of its residual stream.

Sites: ``L{l}.resid_pre``, ``L{l}.resid_mid`` (after attention), ``L{l}.mlp_post`` (the neurons, with the residual
stream beside them), ``L{l}.resid_post``, and ``logits``. The last coordinate of every site but the logits is the
constant c = 1, and every bias is multiplied by it (Bushnaq et al. 2024, appendix):

- b_Q, b_K, b_V and the shift of a LayerNorm by c at their own position;
- b_O by the mean over heads of sum_t A_t c_t: values get a constant channel, which each head carries along;
- b_in, b_gate, b_U by c; b_out by act(c r) with act(r) = 1, the constant neuron (gated: act(c r) c).
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from toulmin.basis.closed_forms import Elementwise, Function, ResidualAttention, ResidualMlp
from toulmin.basis.norm_mlp import NormMlp
from toulmin.basis.sections import ACTIVATIONS, Chain, with_constant
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.subjects import Attention, FeedForward, Layer, Normalise, Positions, Transformer, may_attend


def transformer_chain(
    model: Transformer, sites: Sequence[str], length: int, *, last_position: str | None = None
) -> Chain:
    """The chain of a Transformer on prompts of ``length`` tokens.

    :param sites: names in order of computation; the inputs of the chain are the activations of the first
        (:func:`site_inputs`).
    :param last_position: from this site on only the last position is kept.
    :raises FaultError: (exit code SUBJECT) an unknown or misplaced site; a model with norms after its components,
        parallel layers or experts, or shortformer positions where attention lies between the sites.
    """
    config = model.config
    if config.post_norms or config.parallel or config.n_experts:
        message = "norms after components, parallel layers and experts are not supported"
        raise FaultError(Fault("basis.model", message), ExitCode.SUBJECT)
    steps = _steps(model, length)
    names = [name for name, _ in steps]
    faults = [
        Fault("basis.unknown_site", f"the sites are {', '.join(names)}", name=site)
        for site in sites
        if site not in names
    ]
    if not faults and [names.index(site) for site in sites] != sorted({names.index(site) for site in sites}):
        faults.append(Fault("basis.unknown_site", "sites must be different, and in order of computation"))
    if last_position is not None and last_position not in sites:
        faults.append(Fault("basis.unknown_site", "the site of the last position is not among the sites"))
    if len(sites) < 2:
        faults.append(Fault("basis.unknown_site", "at least two sites are needed"))
    between = [] if faults else names[names.index(sites[0]) + 1 : names.index(sites[-1]) + 1]
    if config.positions == "shortformer" and any(name.endswith("resid_mid") for name in between):
        faults.append(Fault("basis.model", "attention with shortformer positions is not supported"))
    if faults:
        raise FaultError(faults, ExitCode.SUBJECT)
    sections: list[Function] = []
    for before, after in itertools.pairwise(sites):
        parts = [function for _, function in steps[names.index(before) + 1 : names.index(after) + 1]]
        sections.append(
            _closed_form(model, before, after, length, cut=after == last_position)
            or _compose(parts, cut=after == last_position)
        )
    return Chain(tuple(sites), tuple(sections), tuple(site != "logits" for site in sites))


def site_inputs(model: Transformer, tokens: Tensor, site: str) -> Float[Tensor, "N P d"]:
    """The activations of a site of the residual stream on tokens, with the constant appended."""
    _, cache = model.run_with_cache(tokens, names=[site])
    return with_constant(cache[site])


def _closed_form(model: Transformer, before: str, after: str, length: int, *, cut: bool) -> Function | None:
    """The section between two neighbouring sites as a closed form, where the model allows it."""
    config = model.config
    layer = None if before == "logits" else model.layers[int(before[1 : before.index(".")])]
    assert layer is not None
    ends = (before.split(".")[1], after.rsplit(".", maxsplit=1)[-1])
    if ends == ("resid_mid", "resid_post") and not cut and isinstance(layer.mlp, FeedForward):
        return _mlp_form(layer.mlp, layer.norm2)
    if config.norm != "none":
        return None
    if ends == ("resid_pre", "resid_mid"):
        plain = config.positions in ("learned", "none") and config.attn_softcap is None and not config.qk_norm
        return _attention_form(layer.attn, length, last=cut) if plain else None
    if ends == ("resid_post", "logits") and config.logit_softcap is None and not cut:
        bias = model.W_U.new_zeros(model.W_U.shape[1]) if model.b_U is None else model.b_U
        return Elementwise(torch.cat([model.W_U, bias[None]]).detach())
    return None


def _attention_form(attn: Attention, length: int, *, last: bool) -> ResidualAttention:
    folded = _with_bias_rows(attn)
    heads, group = folded.W_Q.shape[0], attn.config.group
    W_Q = folded.W_Q.detach()
    W_K, W_V = (weight.detach().repeat_interleave(group, 0) for weight in (folded.W_K, folded.W_V))
    carry = torch.zeros_like(W_V[..., :1])
    carry[:, -1] = 1.0
    b_O = torch.zeros_like(folded.W_O[0, 0]) if attn.b_O is None else attn.b_O.detach()
    W_O = torch.cat([folded.W_O.detach(), (b_O / heads).expand(heads, 1, -1)], 1)
    W_O = torch.cat([W_O, torch.zeros_like(W_O[..., :1])], 2)  # attention writes nothing to the constant
    index = torch.arange(length, device=W_Q.device)
    mask = may_attend(index, index, causal=attn.config.causal, window=attn.window)
    mask = torch.ones(length, length, dtype=torch.bool, device=W_Q.device) if mask is None else mask
    return ResidualAttention(W_Q, W_K, torch.cat([W_V, carry], 2), W_O, attn.config.scale, mask, last)


def _mlp_form(mlp: FeedForward, norm: Normalise) -> ResidualMlp | NormMlp:
    act, slope, root = ACTIVATIONS[mlp.activation]
    W_out = mlp.W_out.detach()

    def folded(weight: Tensor, bias: Tensor | None, constant: float) -> Tensor:
        """Weights with the norm's gain, a row for the constant, and a column for the constant neuron."""
        weight = weight.detach()
        row = torch.zeros_like(weight[0]) if bias is None else bias.detach()
        row = row if norm.b is None else row + norm.b.detach() @ weight
        weight = weight if norm.w is None else norm.w.detach()[:, None] * weight
        found = torch.cat([torch.cat([weight, row[None]]), weight.new_zeros(len(weight) + 1, 1)], 1)
        found[-1, -1] = constant
        return found

    b_out = W_out.new_zeros(W_out.shape[1]) if mlp.b_out is None else mlp.b_out.detach()
    out = torch.cat([W_out, b_out[None]])
    out = torch.cat([out, torch.zeros_like(out[:, :1])], 1)
    if mlp.W_gate is None and norm.kind == "none":
        return ResidualMlp(folded(mlp.W_in, mlp.b_in, root), out, act, slope)
    if mlp.W_gate is None:
        first, second = folded(mlp.W_in, mlp.b_in, root), None
    else:
        first, second = folded(mlp.W_gate, mlp.b_gate, root), folded(mlp.W_in, mlp.b_in, 1.0)
    if mlp.b_out is None:  # then nothing reads the constant neuron
        first, second, out = first[:, :-1], None if second is None else second[:, :-1], out[:-1]
    return NormMlp(first, second, out, act, slope, norm.kind, norm.eps)


def _compose(parts: Sequence[Function], *, cut: bool) -> Function:
    def section(x: Tensor) -> Tensor:
        for part in parts:
            x = part(x)
        return x[..., -1:, :] if cut else x

    return section


def _steps(model: Transformer, length: int) -> list[tuple[str, Function]]:
    """Every site with the function that leads to it from the one before."""
    at = model.positions(length)
    found: list[tuple[str, Function]] = []
    for number, layer in enumerate(model.layers):
        found.append((f"L{number}.resid_pre", lambda x: x))
        found.append((f"L{number}.resid_mid", _attention(layer, at)))
        if layer.mlp is not None:
            into, out = _mlp(layer)
            found += [(f"L{number}.mlp_post", into), (f"L{number}.resid_post", out)]
        else:
            found.append((f"L{number}.resid_post", lambda x: x))
    found.append(("logits", _unembed(model)))
    return found


def _normalise(norm: Normalise, resid: Tensor, c: Tensor) -> Tensor:
    """The norm with its shift multiplied by the constant."""
    out = norm(resid)
    return out if norm.b is None else out + norm.b.detach() * (c - 1)


def _attention(layer: Layer, at: Positions) -> Function:
    attn = _with_bias_rows(layer.attn)
    norm = layer.norm1
    b_O = layer.attn.b_O

    def step(x: Tensor) -> Tensor:
        resid, c = x[..., :-1], x[..., -1:]
        read = torch.cat([_normalise(norm, resid, c), c], -1)
        q, k, v = attn.q(read, at), attn.k(read, at), attn.v(read, at)
        pattern = attn.scores(q, k, at, at).softmax(-1)
        out = resid + attn.mix(pattern, v).flatten(-2) @ attn.W_O.flatten(0, 1)
        if b_O is not None:
            carried = (pattern @ c.unsqueeze(-3)).mean(-3)
            out = out + carried * b_O.detach()
        return torch.cat([out, c], -1)

    return step


def _with_bias_rows(attn: Attention) -> Attention:
    """The attention that reads the constant as one more dimension of the stream, in place of b_Q, b_K and b_V."""
    folded = copy.deepcopy(attn).requires_grad_(False)
    for letter in "QKV":
        weight, bias = getattr(attn, f"W_{letter}").detach(), getattr(attn, f"b_{letter}")
        row = torch.zeros_like(weight[:, :1]) if bias is None else bias.detach()[:, None]
        setattr(folded, f"W_{letter}", nn.Parameter(torch.cat([weight, row], 1), requires_grad=False))
        setattr(folded, f"b_{letter}", None)
    folded.b_O = None
    return folded


def _mlp(layer: Layer) -> tuple[Function, Function]:
    mlp, norm = layer.mlp, layer.norm2
    assert isinstance(mlp, FeedForward)
    act, _, root = ACTIVATIONS[mlp.activation]
    width = mlp.W_in.shape[1]
    W_in, W_out = mlp.W_in.detach(), mlp.W_out.detach()
    W_gate = None if mlp.W_gate is None else mlp.W_gate.detach()

    def scaled(bias: Tensor | None, c: Tensor) -> Tensor | float:
        return 0.0 if bias is None else bias.detach() * c

    def into(x: Tensor) -> Tensor:
        """[resid, c] to [neurons, constant neuron, resid, c], without the constant neuron where it equals c."""
        resid, c = x[..., :-1], x[..., -1:]
        read = _normalise(norm, resid, c)
        up = read @ W_in + scaled(mlp.b_in, c)
        constant = act(root * c)
        if W_gate is None:
            neurons = act(up)
        else:
            neurons = act(read @ W_gate + scaled(mlp.b_gate, c)) * up
            constant = constant * c
        return torch.cat([neurons, constant, resid, c], -1)

    def out(x: Tensor) -> Tensor:
        neurons, constant, rest = x[..., :width], x[..., width : width + 1], x[..., width + 1 :]
        return torch.cat([rest[..., :-1] + neurons @ W_out + scaled(mlp.b_out, constant), rest[..., -1:]], -1)

    return into, out


def _unembed(model: Transformer) -> Function:
    W_U = model.W_U.detach()
    cap = model.config.logit_softcap

    def step(x: Tensor) -> Tensor:
        resid, c = x[..., :-1], x[..., -1:]
        logits = _normalise(model.final_norm, resid, c) @ W_U
        if model.b_U is not None:
            logits = logits + model.b_U.detach() * c
        return logits if cap is None else cap * torch.tanh(logits / cap)

    return step
