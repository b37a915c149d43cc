"""What every source of a model writes on given tokens: the cache that patching starts from.

A run is made layer by layer as far as it is asked for, and a head's write ``z W_O`` only when somebody wants that head:
a circuit of few edges reads few heads, while the sums of all of them are the streams of an ordinary forward pass.

Letters: S source, B batch, T position, D residual, H head, V vocabulary, P scored positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.patching.graph import Graph

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

Scored = None | int | slice | str | Sequence[int] | Tensor


class Values(Protocol):
    """What each source carries on one batch."""

    def value(self, source: int) -> Float[Tensor, "B T D"]:
        """What the source writes."""
        ...

    def heads(self, source: int) -> Float[Tensor, "B T D"]:
        """The sum over the heads of the layer whose first head is ``source``."""
        ...

    def stream(self, stage: int) -> Float[Tensor, "B T D"]:
        """The sum of the sources before the stage, without constants."""
        ...

    def of_rows(self, rows: slice) -> Values:
        """The same for some of the batch."""
        ...


class FixedValues:
    """Values given as one tensor [S, B, T, D]."""

    def __init__(self, values: Float[Tensor, "S B T D"], graph: Graph) -> None:
        self._values, self._graph = values, graph
        self._streams: dict[int, Tensor] = {}

    def value(self, source: int) -> Float[Tensor, "B T D"]:
        """What the source writes."""
        return self._values[source]

    def heads(self, source: int) -> Float[Tensor, "B T D"]:
        """The sum over the heads of the layer whose first head is ``source``."""
        return self._values[source : source + self._graph.n_heads].sum(0)

    def stream(self, stage: int) -> Float[Tensor, "B T D"]:
        """The sum of the sources before the stage."""
        reads = self._graph.stages[stage].reads
        if reads not in self._streams:
            self._streams[reads] = self._values[:reads].sum(0)
        return self._streams[reads]

    def of_rows(self, rows: slice) -> FixedValues:
        """The same for some of the batch."""
        return FixedValues(self._values[:, rows], self._graph)


class SourceValues:
    """The outputs of the sources in one run of a model, each made when first asked for.

    Gradients flow, or not, as they did where the object was made. The weights must not change while it is in use.
    """

    def __init__(self, model: Transformer, tokens: Int[Tensor, "B T"], graph: Graph, scored: Scored = None) -> None:
        self.graph, self.shape = graph, tuple(tokens.shape)
        self._model, self._scored, self._grad = model, scored, torch.is_grad_enabled()
        self._at = model.positions(tokens.shape[-1])
        self.constants = constant_biases(model, graph)
        embedded, placed = model.embed(tokens), model.pos_embed(self._at)
        if graph.split_embed and placed is not None:
            self._inputs = [embedded, placed.expand_as(embedded)]
        else:
            self._inputs = [embedded if placed is None else embedded + placed]
        first = self._inputs[0] if len(self._inputs) == 1 else torch.stack(self._inputs).sum(0)
        self._streams: list[Tensor] = [first]
        self._z: list[Tensor] = []  # per layer [B, T, H, E]
        self._heads: list[Tensor] = []  # per layer [B, T, D]
        self._mlps: list[Tensor] = []
        self._made: dict[int, Tensor] = {}

    @property
    def nbytes(self) -> int:
        """About how much memory the whole run takes, before single heads are asked for."""
        size = self._streams[0].numel() * self._streams[0].element_size()
        return size * (len(self.graph.stages) + 3 * self.graph.n_layers)

    def stream(self, stage: int) -> Float[Tensor, "B T D"]:
        """The sum of the sources before the stage, without constants; runs the model that far."""
        with torch.set_grad_enabled(self._grad):
            while len(self._streams) <= stage:
                self._advance()
        return self._streams[stage]

    def _advance(self) -> None:
        self._keep(self._step(len(self._streams) - 1, self._streams[-1], self._heads[-1] if self._heads else None))

    def _step(self, number: int, before: Tensor, heads: Tensor | None) -> tuple[Tensor, ...]:
        """The stream after a stage, and what the stage computed: z and the sum of the heads, or the MLP."""
        stage = self.graph.stages[number]
        layer = self._model.layers[stage.layer]
        read = before + self.constants[number]
        if stage.kind == "attn":
            attn, x = layer.attn, layer.norm1(read)
            z = attn.attend(attn.q(x, self._at), attn.k(x, self._at), attn.v(x, self._at), self._at)
            heads = z.flatten(-2) @ attn.W_O.flatten(0, 1)
            late = self.graph.parallel and self.graph.has_mlp  # the MLP of a parallel layer reads what the heads read
            return before if late else before + heads, z, heads
        out = layer.mlp_out(read)
        if self.graph.parallel:
            assert heads is not None
            before = before + heads
        return before + out, out

    def _keep(self, made: tuple[Tensor, ...]) -> None:
        self._streams.append(made[0])
        if len(made) == 2:
            self._mlps.append(made[1])
        else:
            self._z.append(made[1])
            self._heads.append(made[2])

    def _place(self, source: int) -> tuple[int, int]:
        """The layer of a source that is no input, and its number in the layer; runs the model that far."""
        layer, number = divmod(source - len(self._inputs), self.graph.n_heads + self.graph.has_mlp)
        self.stream(layer * (1 + self.graph.has_mlp) + 1 + (number == self.graph.n_heads))
        return layer, number

    def value(self, source: int) -> Float[Tensor, "B T D"]:
        """What the source writes: the embedding, a head without b_O, an MLP with b_out."""
        if source < len(self._inputs):
            return self._inputs[source]
        layer, head = self._place(source)
        if head == self.graph.n_heads:
            return self._mlps[layer]
        if source not in self._made:
            with torch.set_grad_enabled(self._grad):
                self._made[source] = self._z[layer][:, :, head] @ self._model.layers[layer].attn.W_O[head]
        return self._made[source]

    def heads(self, source: int) -> Float[Tensor, "B T D"]:
        """The sum over the heads of the layer whose first head is ``source``."""
        return self._heads[self._place(source)[0]]

    def is_of(self, model: Transformer) -> bool:
        """Whether this is a run of that very model."""
        return self._model is model

    def is_like(self, other: SourceValues) -> bool:
        """Whether the next stage of both can be one batch."""
        return (
            self._model is other._model
            and self.shape[1] == other.shape[1]
            and self._grad == other._grad
            and len(self._streams) == len(other._streams)
        )

    @cached_property
    def values(self) -> Float[Tensor, "S B T D"]:
        """All of them."""
        with torch.set_grad_enabled(self._grad):
            parts = [torch.stack(self._inputs)]
            self.stream(len(self.graph.stages) - 1)
            for layer, z in enumerate(self._z):
                parts.append(self._model.layers[layer].attn.result(z).movedim(-2, 0))
                parts += [self._mlps[layer][None]] if self.graph.has_mlp else []
            return torch.cat(parts)

    @cached_property
    def logits(self) -> Tensor:
        """The model's logits at the scored positions."""
        with torch.set_grad_enabled(self._grad):
            return self._model.unembed(pick_scored(self.resid(len(self.graph.stages) - 1), self._scored))

    def resid(self, stage: int) -> Float[Tensor, "B T D"]:
        """What receivers of a stage read in this run: the sum of the sources before it, and the constants."""
        return self.stream(stage) + self.constants[stage]

    def of_rows(self, rows: slice) -> Values:
        """The same for some of the batch."""
        return self if rows.indices(self.shape[0]) == (0, self.shape[0], 1) else _RowsOf(self, rows)


def advance_together(runs: Sequence[Values], stage: int) -> None:
    """Make runs as far as a stage, in one batch where they have come equally far: weights are read once for all."""
    some = [run for run in runs if isinstance(run, SourceValues)]
    if len(some) < 2 or not all(run.is_like(some[0]) for run in some):
        return
    first, sizes = some[0], [run.shape[0] for run in some]
    while len(first._streams) <= stage:
        with torch.set_grad_enabled(first._grad):
            before = torch.cat([run._streams[-1] for run in some])
            heads = torch.cat([run._heads[-1] for run in some]) if first._heads and first.graph.parallel else None
            made = first._step(len(first._streams) - 1, before, heads)
            for run, parts in zip(some, zip(*(part.split(sizes) for part in made), strict=True), strict=True):
                run._keep(parts)


class _RowsOf:
    """Some rows of the batch of a run."""

    def __init__(self, whole: Values, rows: slice) -> None:
        self._whole, self._rows = whole, rows

    def value(self, source: int) -> Tensor:
        return self._whole.value(source)[self._rows]

    def heads(self, source: int) -> Tensor:
        return self._whole.heads(source)[self._rows]

    def stream(self, stage: int) -> Tensor:
        return self._whole.stream(stage)[self._rows]

    def of_rows(self, rows: slice) -> Values:
        return _RowsOf(self, rows)


def constant_biases(model: Transformer, graph: Graph) -> Float[Tensor, "N D"]:
    """[n_stages, D] the sum of b_O over the layers whose attention has been added before each stage."""
    at = torch.zeros(model.config.d_model, dtype=model.W_E.dtype, device=model.W_E.device)
    before: list[Tensor] = []
    late = None
    for stage in graph.stages:
        if stage.kind == "attn":
            if late is not None:
                at = at + late
            before.append(at)
            late = model.layers[stage.layer].attn.b_O
            if late is not None and not graph.parallel:
                at, late = at + late, None
        else:
            if stage.kind == "logits" and late is not None:
                at = at + late
            before.append(at)
    return torch.stack(before)


def check_tokens(model: Transformer, *runs: Int[Tensor, "B T"]) -> None:
    """Refuse tokens that no run can read, and runs of unequal shape.

    :raises FaultError: ``patching.tokens``, ``patching.lengths``.
    """
    faults: list[Fault] = []
    for tokens in runs:
        if tokens.ndim != 2 or tokens.dtype not in (torch.int64, torch.int32):
            faults.append(Fault("patching.tokens", f"tokens must be integers [B, T], not {list(tokens.shape)}"))
        elif tokens.numel() == 0:
            faults.append(Fault("patching.tokens", "no tokens"))
        elif int(tokens.min()) < 0 or int(tokens.max()) >= model.config.d_vocab:
            faults.append(Fault("patching.tokens", f"a token is outside the vocabulary of {model.config.d_vocab}"))
        elif tokens.shape[-1] > model.config.n_ctx:
            faults.append(
                Fault("patching.tokens", f"{tokens.shape[-1]} tokens, but the context is {model.config.n_ctx}")
            )
    if len({tuple(tokens.shape) for tokens in runs}) > 1:
        shapes = " and ".join(str(list(tokens.shape)) for tokens in runs)
        faults.append(Fault("patching.lengths", f"clean and counterfactual differ in shape: {shapes}"))
    if faults:
        raise FaultError(faults)


def pick_scored(resid: Float[Tensor, "*C B T D"], scored: Scored) -> Tensor:
    """The stream at the scored positions: [.., B, D] for one position, [.., B, P, D] for several.

    ``None`` is the last position; ``"all"`` every position; a tensor [B] or [B, P] gives each row its own.
    """
    if scored is None:
        return resid[..., -1, :]
    if isinstance(scored, str):
        if scored != "all":
            raise FaultError(Fault("patching.scored", "unknown choice of positions", name=scored, hint="'all'"))
        return resid
    if isinstance(scored, int | slice):
        return resid[..., scored, :]
    index = torch.as_tensor(scored, dtype=torch.long, device=resid.device)
    if index.shape[0] != resid.shape[-3]:
        raise FaultError(
            Fault("patching.scored", f"{index.shape[0]} rows of positions for {resid.shape[-3]} rows of tokens")
        )
    rows = torch.arange(index.shape[0], device=resid.device)
    index = index % resid.shape[-2]
    return resid[..., rows, index, :] if index.ndim == 1 else resid[..., rows[:, None], index, :]


def source_values(
    model: Transformer, tokens: Int[Tensor, "B T"], *, graph: Graph | None = None, scored: Scored = None
) -> SourceValues:
    """Run the model and keep what each source writes.

    :raises FaultError: ``patching.tokens``.
    """
    check_tokens(model, tokens)
    return SourceValues(model, tokens, graph or Graph.of(model), scored)
