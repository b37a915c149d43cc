"""What every source of a model writes on given tokens: the cache that patching starts from.

Letters: S source, B batch, T position, D residual, H head, V vocabulary, P scored positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import Fault, Faulty
from toulmin.patching.graph import Graph

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

Scored = None | int | slice | str | Sequence[int] | Tensor


@dataclass(frozen=True)
class SourceValues:
    """The outputs of the sources in one run.

    ``values`` [S, B, T, D]: the embedding (with learned positions), heads without b_O, MLPs with b_out. ``constants``
    [n_stages, D]: the biases b_O that have entered the stream before each stage. ``logits`` at the scored positions.
    """

    values: Float[Tensor, "S B T D"]
    logits: Tensor
    graph: Graph
    constants: Float[Tensor, "N D"]

    def of_rows(self, rows: slice) -> SourceValues:
        """The same for some of the batch."""
        return SourceValues(self.values[:, rows], self.logits[rows], self.graph, self.constants)

    def resid(self, stage: int) -> Float[Tensor, "B T D"]:
        """What receivers of a stage read in this run: the sum of the sources before it, and the constants."""
        return self.values[: self.graph.stages[stage].reads].sum(0) + self.constants[stage]


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

    :raises Faulty: ``patching.tokens``, ``patching.lengths``.
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
        faults.append(Fault("patching.lengths", f"reference and counterfactual differ in shape: {shapes}"))
    if faults:
        raise Faulty(faults)


def pick_scored(resid: Float[Tensor, "*C B T D"], scored: Scored) -> Tensor:
    """The stream at the scored positions: [.., B, D] for one position, [.., B, P, D] for several.

    ``None`` is the last position; ``"all"`` every position; a tensor [B] or [B, P] gives each row its own.
    """
    if scored is None:
        return resid[..., -1, :]
    if isinstance(scored, str):
        if scored != "all":
            raise Faulty(Fault("patching.scored", "unknown choice of positions", name=scored, hint="'all'"))
        return resid
    if isinstance(scored, int | slice):
        return resid[..., scored, :]
    index = torch.as_tensor(scored, dtype=torch.long, device=resid.device)
    if index.shape[0] != resid.shape[-3]:
        raise Faulty(
            Fault("patching.scored", f"{index.shape[0]} rows of positions for {resid.shape[-3]} rows of tokens")
        )
    rows = torch.arange(index.shape[0], device=resid.device)
    index = index % resid.shape[-2]
    return resid[..., rows, index, :] if index.ndim == 1 else resid[..., rows[:, None], index, :]


def source_values(
    model: Transformer, tokens: Int[Tensor, "B T"], *, graph: Graph | None = None, scored: Scored = None
) -> SourceValues:
    """Run the model and keep what each source writes.

    :raises Faulty: ``patching.tokens``.
    """
    check_tokens(model, tokens)
    graph = graph or Graph.of(model)
    at = model.positions(tokens.shape[-1])
    embedded = model.embed(tokens)
    placed = model.pos_embed(at)
    parts = [embedded, placed.expand_as(embedded)] if graph.split_embed and placed is not None else None
    values = parts or [embedded if placed is None else embedded + placed]
    constants = constant_biases(model, graph)
    resid = torch.stack(values).sum(0)
    pending: list[Tensor] = []
    for index, stage in enumerate(graph.stages):
        if stage.kind == "attn":
            if pending:
                resid, pending = resid + torch.stack(pending).sum(0), []
            attn, x = model.layers[stage.layer].attn, model.layers[stage.layer].norm1(resid + constants[index])
            result = attn.result(attn.attend(attn.q(x, at), attn.k(x, at), attn.v(x, at), at)).movedim(-2, 0)
            values.extend(result)
            total = result.sum(0)
            if graph.parallel:
                pending.append(total)
            else:
                resid = resid + total
        elif stage.kind == "mlp":
            out = model.layers[stage.layer].mlp_out(resid + constants[index])
            values.append(out)
            pending.append(out)
    if pending:
        resid = resid + torch.stack(pending).sum(0)
    logits = model.unembed(pick_scored(resid + constants[-1], scored))
    return SourceValues(torch.stack(values), logits, graph, constants)
