"""A Transformer as a computation: attention, MLP and output kernels over the graph of its residual stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.patching.attention_kernel import AttentionKernel, TermFunctions
from toulmin.patching.computation import Computation, functions_of
from toulmin.patching.graph import Graph
from toulmin.patching.joint_heads_kernel import JointHeadsKernel
from toulmin.patching.kernels import GradientRules, Recorded, Run, StageKernel, Terms, Written
from toulmin.patching.plan import Copy, StagePlan
from toulmin.patching.relevance import mlp_out, normalise, unembed
from toulmin.patching.scored import Scored, check_tokens, pick_scored
from toulmin.patching.stages import Stage

if TYPE_CHECKING:
    from toulmin.subjects import Layer, Positions, Transformer


class MlpKernel(StageKernel):
    """The MLP of one layer: norm, neurons, and what they write."""

    def __init__(self, stage: Stage, layer: Layer, terms: TermFunctions, *, last: bool) -> None:
        super().__init__(stage, layer.mlp_out, terms)
        self.layer, self.last = layer, last

    def together(self, read: Tensor) -> Written:
        """What the MLP writes."""
        return (self.layer.mlp_out(read),)

    def apart(self, reads: Float[Tensor, "C 1 B T D"]) -> Float[Tensor, "C 1 B T D"]:
        """What the MLP writes in each circuit."""
        return self.layer.mlp_out(reads)

    def copies(self, run: Run, copies: Sequence[Copy]) -> Iterator[tuple[int, list[int], Tensor]]:
        """Copies of the MLP, in pieces whose hidden values stay in the processor's cache."""
        numbers = list(range(len(copies)))
        for some in run.slices(len(copies), self.layer.attn.config.d_mlp):
            yield 0, numbers[some], self.layer.mlp_out(run.streams([copy.rows[0][0] for copy in copies[some]]))

    def record(self, read: Tensor, rules: GradientRules) -> Recorded:
        """The MLP, with its input as what a gradient is wanted of."""
        own, mlp = read.view_as(read), self.layer.mlp
        assert mlp is not None
        out = mlp_out(mlp, normalise(self.layer.norm2, own, rules), rules)
        out = normalise(self.layer.post_norm2, out, rules)

        def pull(gradients: Sequence[Tensor | None]) -> Tensor:
            return (torch.zeros_like(read) if gradients[0] is None else gradients[0]).unsqueeze(0)

        return Recorded(out, out.detach().unsqueeze(0), [own], pull)

    def work(self, plan: StagePlan, length: int, share: float) -> float:
        """Numbers a pair: the hidden values of one slice."""
        config = self.layer.attn.config
        return length * min(len(plan.copies), 1) * 3 * (config.d_mlp + config.d_model)


class OutputKernel(StageKernel):
    """The logits: final norm and unembedding, at the scored positions."""

    def __init__(self, stage: Stage, model: Transformer) -> None:
        super().__init__(stage, model.unembed)
        self.model = model

    def pick(self, resid: Float[Tensor, "*C B T D"], scored: Scored) -> Tensor:
        """The stream at the scored positions."""
        return pick_scored(resid, scored)

    def output(self, picked: Tensor, rules: GradientRules = "gradient", *, leading: int = 0) -> Tensor:
        """Logits, [.., B, V] or [.., B, P, V]."""
        return unembed(self.model, picked, rules)


def transformer_computation(model: Transformer, graph: Graph | None = None, terms: Terms | None = None) -> Computation:
    """The computation of a Transformer.

    :param graph: default ``Graph.of(model)``.
    :param terms: for each component that is split, functions whose values sum to its output.
    :raises FaultError: ``patching.terms``; ``patching.graph`` where the graph is of another shape of model.
    """
    terms = terms or {}
    graph = (graph or Graph.of(model)).unmerged.split(terms)
    config, shape = model.config, graph.shape
    if shape is None or (shape.n_layers, shape.n_heads, shape.has_mlp, shape.parallel, shape.post_norms) != (
        config.n_layers,
        config.n_heads,
        config.d_mlp > 0,
        config.parallel,
        config.post_norms,
    ):
        raise FaultError(Fault("patching.graph", "the graph is not that of this model: use Graph.of(model)"))
    known: dict[int, Positions] = {}

    def positions(length: int) -> Positions:
        if length not in known:
            known[length] = model.positions(length)
        return known[length]

    def start(tokens: Int[Tensor, "B T"]) -> list[Tensor]:
        embedded, placed = model.embed(tokens), model.pos_embed(positions(tokens.shape[-1]))
        if placed is None:
            return [embedded]
        return [embedded, placed.expand_as(embedded)] if shape.split_embed else [embedded + placed]

    kernels: list[StageKernel] = []
    for stage in graph.stages:
        if stage.kind == "logits":
            kernels.append(OutputKernel(stage, model))
            continue
        layer, functions, last = (
            model.layers[stage.layer],
            functions_of(stage, terms),
            stage.layer == config.n_layers - 1,
        )
        if stage.kind == "attn" and shape.post_norms:
            kernels.append(JointHeadsKernel(stage, layer, positions))
        elif stage.kind == "attn":
            kernels.append(AttentionKernel(stage, layer, positions, functions, last=last))
        else:
            kernels.append(MlpKernel(stage, layer, functions, last=last))
    identity = (model, *(function for parts in terms.values() for function in parts.values()))
    check = partial(check_tokens, model)
    # where heads are one component, a stage computes all positions
    causal = config.causal and not shape.post_norms
    return Computation(graph, kernels, start, identity=identity, check=check, terms=terms, causal=causal)
