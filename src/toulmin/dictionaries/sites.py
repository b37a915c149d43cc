"""Where in a model a dictionary can stand, and forward passes with dictionaries in their places.

A site names what a dictionary reads and what it replaces:

    L{l}.resid_pre, L{l}.resid_mid, L{l}.resid_post, L{l}.attn_out, L{l}.mlp_out    an autoencoder of that activation
    L{l}.mlp                                                                        a transcoder: reads L{l}.norm2,
                                                                                    replaces L{l}.mlp_out

Layers are run with their fused attention; nothing is recorded that nobody asked for.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from toulmin.faults import Fault, FaultError
from toulmin.subjects import Layer, Positions, Transformer, TransformerConfig

#: activations of a layer in the order in which they are computed; a dictionary can stand at each but ``norm2``
ORDER = ("resid_pre", "attn_out", "resid_mid", "norm2", "mlp_out", "resid_post")
Visit = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True, order=True)
class Site:
    """A place in a model, in the order of computation."""

    layer: int
    rank: int  #: of what is replaced, in :data:`ORDER`
    name: str  #: as the user writes it
    reads: str  #: name of the activation that is encoded
    writes: str  #: name of the activation that is replaced

    @property
    def transcodes(self) -> bool:
        """Whether what is replaced is another activation than what is read."""
        return self.reads != self.writes


def site_names(config: TransformerConfig) -> list[str]:
    """Every site of a model, in order."""
    found: list[str] = []
    for layer in range(config.n_layers):
        for part in ("resid_pre", "attn_out", "resid_mid", "mlp_out", "mlp", "resid_post"):
            if part in ("mlp_out", "mlp") and not config.d_mlp:
                continue
            if part == "resid_mid" and (not config.d_mlp or config.parallel):
                continue
            found.append(f"L{layer}.{part}")
    return found


def find_sites(names: Iterable[str], config: TransformerConfig) -> list[Site]:
    """The sites of those names, in the order given.

    :raises FaultError: (``dictionaries.site``) one fault for every name that is no site, with the nearest ones.
    """
    known = site_names(config)
    faults: list[Fault] = []
    found: list[Site] = []
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3)
            hint = f"there are: {', '.join(near)}" if near else f"from {known[0]} to {known[-1]}"
            faults.append(Fault("dictionaries.site", "a dictionary cannot stand there", name=name, hint=hint))
            continue
        layer, _, part = name.partition(".")
        writes = "mlp_out" if part == "mlp" else part
        reads = "norm2" if part == "mlp" else part
        found.append(Site(int(layer[1:]), ORDER.index(writes), name, f"{layer}.{reads}", f"{layer}.{writes}"))
    if faults:
        raise FaultError(faults)
    return found


def default_downstream(sites: Iterable[Site], config: TransformerConfig) -> tuple[str, ...]:
    """The residual stream read by every layer after the last of ``sites``: where downstream errors are measured.

    After a site in the last layer it is what the unembedding reads.
    """
    first = max(site.layer for site in sites) + 1
    later = tuple(f"L{layer}.resid_pre" for layer in range(first, config.n_layers))
    return later or (f"L{config.n_layers - 1}.resid_post",)


def run_layer(layer: Layer, resid: Float[Tensor, "*B T D"], at: Positions, visit: Visit) -> Float[Tensor, "*B T D"]:
    """One layer; ``visit(name, value)`` is called at each of :data:`ORDER` and gives what the pass goes on with."""
    name = layer.name
    resid = visit(f"{name}.resid_pre", resid)
    middle = resid + visit(f"{name}.attn_out", layer.attention_out(resid, at))
    if layer.mlp is not None:
        if not layer.parallel:
            resid = middle = visit(f"{name}.resid_mid", middle)
        x = visit(f"{name}.norm2", layer.norm2(resid))
        middle = middle + visit(f"{name}.mlp_out", layer.post_norm2(layer.mlp(x)))
    return visit(f"{name}.resid_post", middle)


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Within it the model's parameters are out of every graph, and its attention may use the fused kernel."""
    kept = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    mode = model.training
    model.requires_grad_(False)
    model.train()
    try:
        yield
    finally:
        for parameter, wanted in kept:
            parameter.requires_grad_(wanted)
        model.train(mode)


@dataclass(frozen=True)
class CleanPass:
    """What the model without dictionaries computed, as far as anybody needs it.

    ``activations`` by name; ``starts`` the residual stream read by a layer, where an inserted pass begins;
    ``final`` [B, T, D] what the unembedding reads, None where the pass stopped before.
    """

    tokens: Int[Tensor, "B T"]
    activations: Mapping[str, Tensor]
    starts: Mapping[int, Tensor]
    final: Tensor | None


@torch.no_grad()
def clean_pass(
    model: Transformer, tokens: Int[Tensor, "B T"], names: Iterable[str], starts: Iterable[int], *, whole: bool
) -> CleanPass:
    """Run the model once without dictionaries, keeping the activations ``names`` and the streams at ``starts``.

    ``whole`` runs all layers; otherwise the pass stops when everything asked for is there.
    """
    wanted, begin = set(names), set(starts)
    kept: dict[str, Tensor] = {}
    streams: dict[int, Tensor] = {}

    def visit(name: str, value: Tensor) -> Tensor:
        if name in wanted:
            kept[name] = value
        return value

    at = model.positions(tokens.shape[-1])
    resid = model.start(tokens, at)
    last = model.config.n_layers - 1
    end = last if whole else max([*(int(n[1 : n.index(".")]) for n in wanted), *(s - 1 for s in begin)], default=-1)
    for index, layer in enumerate(model.layers[: end + 1]):
        if index in begin:
            streams[index] = resid
        resid = run_layer(layer, resid, at, visit)
    if end + 1 in begin:
        streams[end + 1] = resid
    return CleanPass(tokens, kept, streams, resid if whole else None)
