r"""Gradients of every edge at once.

Let m_{sr} be the mask of the edge from source s to receiver r, so that r reads
:math:`x_r = b + \sum_s (1 - m_{sr}) c_s + m_{sr} v_s` with c_s what s writes in this run and v_s what a cut edge
carries. Then :math:`\partial L / \partial m_{sr} = \sum_{b,t} \langle \partial L / \partial x_r, v_s - c_s \rangle`.
Where all masks are equal (0 in attribution patching; any value on the straight line of integrated gradients) every
receiver of a stage reads the same stream, so one plain forward and backward pass gives all receivers' gradients, and
one matrix product a stage gives all scores. The gradient of a head's Q, K or V input is taken after the norm and
brought before it by the norm's Jacobian, in closed form. (Edge attribution patching: Nanda 2023, Syed et al. 2023.)

Of a model in float16 or bfloat16 the loss and the products are computed in float32, from logits, values and gradients
of the model's precision.

With ``rules="relp"`` the backward pass is that of relevance patching (:mod:`toulmin.patching.relevance`). Queries and
keys then get no relevance, because the pattern is a constant; with ``rules="relp_patterns"`` it is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.computation import Computation
from toulmin.patching.graph import Graph
from toulmin.patching.kernels import GradientRules, Recorded, Terms
from toulmin.patching.models import Model, as_computation
from toulmin.subjects import Transformer

FLOAT16_SCALE = 1024.0

Loss = Callable[[Tensor], Tensor]
PerSource = Tensor | Sequence[Tensor]


@dataclass(frozen=True)
class EdgeGradients:
    """The gradient of the loss to the mask of every edge.

    :param table: [S, R], or [S, R, T] by position.
    :param loss: the loss of the run.
    :param sources: [S, B, T, D], what each source wrote in the run; one tensor a source where these differ in shape.
    """

    table: Tensor
    loss: Tensor
    sources: PerSource


def edge_gradients(
    model: Model,
    tokens: Tensor,
    loss: Loss,
    *,
    values: PerSource | None = None,
    differences: PerSource | None = None,
    mix: float = 0.0,
    scored: Int[Tensor, "B *P"] | None = None,
    graph: Graph | None = None,
    terms: Terms | None = None,
    merged_qkv: bool = False,
    per_position: bool = False,
    rules: GradientRules = "gradient",
    replace: Mapping[str, Tensor] | None = None,
) -> EdgeGradients:
    """d loss / d mask of every edge, all masks being ``mix``.

    :param tokens: [B, T]; of a :class:`~toulmin.patching.computation.Computation`, its input [B, ..].
    :param loss: from the logits at the scored positions, [B, V] (of a computation, from its output), to a scalar (a sum
        or mean over the batch).
    :param values: v_s, what cut edges carry; broadcastable to [S, B, T, D], or one tensor for each source. Needed
        unless ``differences`` are given and ``mix`` is 0.
    :param differences: use these instead of v_s - c_s (integrated gradients keep those of the end points).
    :param mix: the value of all masks, 0 the run itself, 1 everything replaced.
    :param scored: the scored position of each prompt; default the last.
    :param graph: of a Transformer; default ``Graph.of(model, merged_qkv=merged_qkv)``.
    :param terms: for each component that is split into terms, by name, functions whose values sum to its output.
    :param replace: activations [B, T, D] to put in place of what a stage writes, by name: ``embed`` (the inputs of the
        model), ``L0.attn`` (all heads of the layer together, without b_O), ``L0.mlp``.
    :returns: receivers in the graph's order (Q, K, V of head 0, of head 1, ..., the MLP; at the end the logits).
    :raises FaultError: neither values nor differences; ``patching.loss`` where the loss is not finite (exit NUMERICAL).
    """
    if graph is None and merged_qkv and isinstance(model, Transformer):
        graph = Graph.of(model, merged_qkv=True)
    computation = as_computation(model, graph, terms)
    graph = graph or computation.graph
    if values is None and (differences is None or mix != 0.0):
        raise FaultError(Fault("patching.values", "edge gradients need the values that cut edges carry"))
    known = {"embed", *(stage.name for stage in graph.stages[:-1])}
    if unknown := sorted(set(replace or {}) - known):
        raise FaultError([Fault("patching.replace", "no stage of this name writes anything", name=n) for n in unknown])
    with torch.enable_grad():
        run = _Run(computation, tokens, values if mix else None, mix, rules, replace or {})
        logits = _output(run, tokens, scored, rules)
        half = logits.dtype in (torch.float16, torch.bfloat16)
        value = loss(logits.float() if half else logits)
        # float16 has no number below 6e-8: gradients are taken of a multiple of the loss, a power of two
        scale = FLOAT16_SCALE if logits.dtype == torch.float16 else 1.0
        scaled = value * scale
    if not bool(torch.isfinite(value.detach()).all()):
        raise FaultError(Fault("patching.loss", "the loss is NaN or infinite"), ExitCode.NUMERICAL)
    with torch.no_grad():
        sources = torch.stack(run.sources) if graph.shape is not None else run.sources
        if differences is None:
            assert values is not None
            differences = _minus(values, sources)
        elif isinstance(differences, Tensor) and isinstance(sources, Tensor):
            differences = differences.expand_as(sources)
        columns = torch.from_numpy(graph.unmerged_columns) if graph.merged_qkv else None
        table = _contract(computation.graph, run.gradients(scaled), differences, columns, per_position) / scale
    return EdgeGradients(table, value.detach(), sources)


def _output(run: _Run, tokens: Tensor, scored: Tensor | None, rules: GradientRules) -> Tensor:
    kernel = run.computation.kernels[-1]
    if run.computation.graph.shape is not None:
        scored = torch.full((len(tokens),), tokens.shape[1] - 1) if scored is None else scored
    return kernel.output(kernel.pick(run.final, scored), rules)


def _minus(values: PerSource, sources: PerSource) -> PerSource:
    """v - c of each source."""
    if isinstance(values, Tensor) and isinstance(sources, Tensor):
        return values - sources
    return [value - source for value, source in zip(values, sources, strict=True)]


class _Run:
    """A forward pass in which every receiver reads (1 - m) c + m v, recording what is needed of it."""

    def __init__(
        self,
        computation: Computation,
        inputs: Tensor,
        values: PerSource | None,
        mix: float,
        rules: GradientRules,
        replace: Mapping[str, Tensor],
    ) -> None:
        self.computation, self.graph, self.mix, self.values, self.replace = (
            computation,
            computation.graph,
            mix,
            values,
            replace,
        )
        self._start = [value.detach() for value in computation.start(inputs)]
        self.sources: list[Tensor] = list(self._start)
        self.recorded: list[Recorded] = []
        self._totals: dict[int, Tensor] = {}
        streams: list[Tensor] = []
        for number, kernel in enumerate(computation.kernels):
            earlier, stages, sources = self.graph.stream_steps[number]
            stream = None if earlier is None else streams[earlier]
            for part in (*map(self._total, stages), *map(self._source, sources)):
                stream = part if stream is None else stream + part
            assert stream is not None
            streams.append(stream)
            constant = computation.constants[number]
            read = stream if constant is None else stream + constant
            if number == len(self.graph.stages) - 1:
                self.final = read.view_as(read)
                break
            made = kernel.record(read, rules)
            self.recorded.append(made)
            self.sources += list(kernel.sources_of(made.separate, 0).detach())

    def _total(self, stage: int) -> Tensor:
        """What all sources of a stage carry together to later receivers; −1 stands for the inputs of the model."""
        found = self._totals.get(stage)
        if found is None:
            if stage < 0:
                start, name = self._start, "embed"
                made = start[0] if len(start) == 1 else torch.stack(start).sum(0)
                made, sources = self.replace.get(name, made).requires_grad_(), range(len(start))
            else:
                made = self.replace.get(self.graph.stages[stage].name, self.recorded[stage].total)
                sources = self.graph.writes[stage]
            found = self._totals[stage] = self._carried(made, sources)
        return found

    def _source(self, source: int) -> Tensor:
        """What one source carries, where not all sources of its stage are read."""
        stage = self.graph.stage_of_source[source]
        if stage < 0:
            return self._carried(self._start[source].requires_grad_(), range(source, source + 1))
        name, value = self.graph.stages[stage].name, self.recorded[stage].value
        if name in self.replace or value is None:
            raise FaultError(Fault("patching.replace", "some stage reads only some of its sources", name=name))
        kernel = self.computation.kernels[stage]
        component, number = kernel.places[source - self.graph.writes[stage].start]
        return self._carried(kernel.part(component, number, value), range(source, source + 1))

    def _carried(self, written: Tensor, sources: range) -> Tensor:
        """(1 - m) c + m v."""
        if self.values is None:
            return written
        values = self.values[sources.start : sources.stop]
        total = values.sum(0) if isinstance(values, Tensor) else torch.stack(list(values)).sum(0)
        return (1 - self.mix) * written + self.mix * total

    def gradients(self, value: Tensor) -> Iterator[Tensor]:
        """By stage, the gradients of its receivers, [R', B, *], one stage after the other.

        Those of all heads' inputs are large: made together they would take as much memory as the sources.
        """
        wanted = [tensor for made in self.recorded for tensor in made.wanted]
        found = iter(torch.autograd.grad(value, [*wanted, self.final], allow_unused=True))
        for made in self.recorded:
            yield made.pull([next(found) for _ in made.wanted])
        last = next(found)
        assert last is not None
        yield last.unsqueeze(0)


def _contract(
    graph: Graph, gradients: Iterable[Tensor], differences: PerSource, columns: Tensor | None, per_position: bool
) -> Tensor:
    """[S, R] or [S, R, T] the products of differences and gradients; ``columns``: the merged receiver of each."""
    parts: list[Tensor] = []
    n_sources = len(graph.sources)
    for number, gradient in enumerate(gradients):
        read = graph.read_numbers[number]
        if isinstance(differences, Tensor):
            chosen = differences[graph.stage_reads[number]]
        else:
            chosen = torch.stack([differences[source] for source in read.tolist()])
        if gradient.dtype in (torch.float16, torch.bfloat16):  # products of half precision are summed in float32
            chosen, gradient = chosen.float(), gradient.float()
        if per_position:
            made = torch.einsum("sbtd,rbtd->srt", chosen, gradient)
        else:
            made = chosen.reshape(len(chosen), -1) @ gradient.reshape(len(gradient), -1).T
        table = made.new_zeros(n_sources, *made.shape[1:])
        table[graph.stage_reads[number]] = made
        parts.append(table)
    table = torch.cat(parts, 1)
    if columns is None:
        return table
    merged = table.new_zeros(n_sources, int(columns.max()) + 1, *table.shape[2:])
    return merged.index_add_(1, columns, table)
