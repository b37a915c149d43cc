"""What every source of a model writes in one run: the cache that patching starts from.

A run is computed stage by stage as far as it is asked for, and what a single head writes (``z W_O``) only when somebody
reads that head: a circuit of few edges reads few heads, while the sum over a layer's heads is what an ordinary forward
pass computes.

Letters: S source, B batch, T position, D residual.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from toulmin.patching.computation import Computation, check_terms_sum
from toulmin.patching.kernels import StageKernel, Terms, Written
from toulmin.patching.models import Model, as_computation
from toulmin.patching.scored import Scored

if TYPE_CHECKING:
    from toulmin.patching.graph import Graph


class Values(Protocol):
    """What each source carries on one batch."""

    def value(self, source: int) -> Float[Tensor, "B T D"]:
        """What the source writes."""
        ...

    def total(self, stage: int) -> Float[Tensor, "B T D"]:
        """The sum of all sources of a stage."""
        ...

    def stream(self, stage: int) -> Float[Tensor, "B T D"]:
        """The sum of the sources that a stage reads, without constants."""
        ...

    def of_rows(self, rows: slice) -> Values:
        """The same for some rows of the batch."""
        ...


class FixedValues:
    """Values given as one tensor [S, B, T, D], or a list of one for each source."""

    def __init__(self, values: Tensor | Sequence[Tensor], graph: Graph) -> None:
        self._values, self._graph = values, graph
        self._streams: dict[bytes, Tensor] = {}

    def value(self, source: int) -> Tensor:
        """What the source writes."""
        return self._values[source]

    def total(self, stage: int) -> Tensor:
        """The sum of all sources of a stage."""
        numbers = self._graph.writes[stage]
        return self._sum(slice(numbers.start, numbers.stop), list(numbers))

    def stream(self, stage: int) -> Tensor:
        """The sum of the sources that a stage reads."""
        numbers = self._graph.read_numbers[stage]
        key = numbers.tobytes()
        if key not in self._streams:
            self._streams[key] = self._sum(self._graph.stage_reads[stage], numbers.tolist())
        return self._streams[key]

    def _sum(self, at: slice | object, numbers: list[int]) -> Tensor:
        if isinstance(self._values, Tensor):
            return self._values[at if isinstance(at, slice) else numbers].sum(0)
        return torch.stack([self._values[number] for number in numbers]).sum(0)

    def of_rows(self, rows: slice) -> FixedValues:
        """The same for some rows of the batch."""
        if isinstance(self._values, Tensor):
            return FixedValues(self._values[:, rows], self._graph)
        return FixedValues([value[rows] for value in self._values], self._graph)


class SourceValues:
    """The outputs of the sources in one run of a model, each computed when first asked for.

    Gradients flow, or not, as they did where the object was made. The weights must not change while it is in use.
    """

    def __init__(self, computation: Computation, inputs: Tensor, scored: Scored = None) -> None:
        self.computation, self.graph = computation, computation.graph
        self.shape = tuple(inputs.shape)
        self._scored, self._grad = scored, torch.is_grad_enabled()
        self._inputs = computation.start(inputs)
        self._written: list[Written] = []
        self._streams: dict[int, Tensor] = {}
        self._made: dict[int, Tensor] = {}

    @property
    def computed(self) -> int:
        """How many stages have been computed so far."""
        return len(self._written)

    @property
    def nbytes(self) -> int:
        """About how much memory the whole run takes, before single heads are asked for."""
        size = self._inputs[0].numel() * self._inputs[0].element_size()
        return size * sum(2 if len(stage.components) == 1 else 3 for stage in self.graph.stages)

    def advance(self, stages: int) -> None:
        """Compute the run as far as the first ``stages`` stages."""
        with torch.set_grad_enabled(self._grad):
            while len(self._written) < min(stages, len(self.graph.stages) - 1):
                self._written.append(self.computation.kernels[len(self._written)].together(self._next_read()))

    def _next_read(self) -> Tensor:
        return self.resid(len(self._written))

    def stream(self, stage: int) -> Tensor:
        """The sum of the sources that a stage reads, without constants; runs the model that far."""
        found = self._streams.get(stage)
        if found is not None:
            return found
        self.advance(stage)
        with torch.set_grad_enabled(self._grad):
            earlier, stages, sources = self.graph.stream_steps[stage]
            total = None if earlier is None else self.stream(earlier)
            for part in (*map(self.total, stages), *map(self.value, sources)):
                total = part if total is None else total + part
        assert total is not None
        self._streams[stage] = total
        return total

    def value(self, source: int) -> Tensor:
        """What a source writes: the embedding, a head without b_O, an MLP with b_out, or a term of one of them."""
        found = self._made.get(source)
        if found is not None:
            return found
        stage = self.graph.stage_of_source[source]
        if stage < 0:
            return self._inputs[source]
        self.advance(stage + 1)
        kernel, written = self.computation.kernels[stage], self._written[stage]
        component, number = kernel.places[source - self.graph.writes[stage].start]
        with torch.set_grad_enabled(self._grad):
            whole = kernel.value(written, component)
            value = kernel.part(component, number, whole)
        self._check_terms(kernel, component, whole)
        if len(kernel.places) > 1:
            self._made[source] = value
        return value

    def _check_terms(self, kernel: StageKernel, component: int, whole: Tensor) -> None:
        """Once for each component: whether its terms sum to what it writes."""
        one = kernel.stage.components[component]
        if len(one.sources) > 1 and one.name not in self.computation.checked:
            self.computation.checked.add(one.name)
            with torch.no_grad():
                parts = [kernel.part(component, number, whole) for number in range(len(one.sources))]
                check_terms_sum(kernel.whole(whole), parts, one.name)

    def total(self, stage: int) -> Tensor:
        """The sum of all sources of a stage; −1 stands for the inputs of the model."""
        if stage < 0:
            return self._inputs[0] if len(self._inputs) == 1 else torch.stack(self._inputs).sum(0)
        self.advance(stage + 1)
        return self._written[stage][0]

    def resid(self, stage: int) -> Tensor:
        """What receivers of a stage read in this run: the sum of the sources it reads, and the constants."""
        constant = self.computation.constants[stage]
        return self.stream(stage) if constant is None else self.stream(stage) + constant

    def is_of(self, computation: Computation) -> bool:
        """Whether this is a run of that very model, its components split by the same functions."""
        return self.computation.is_same(computation)

    def is_like(self, other: SourceValues) -> bool:
        """Whether the next stage of both can be computed as one batch."""
        return (
            self.is_of(other.computation)
            and self.shape[1:] == other.shape[1:]
            and self._grad == other._grad
            and self.computed == other.computed
        )

    @cached_property
    def all_values(self) -> list[Tensor]:
        """What each source writes, one tensor a source."""
        self.advance(len(self.graph.stages))
        with torch.set_grad_enabled(self._grad):
            found = list(self._inputs)
            for kernel, written in zip(self.computation.kernels, self._written, strict=False):
                found += kernel.sources_of(kernel.values(written), 0).unbind()
        return found

    @cached_property
    def values(self) -> Float[Tensor, "S B T D"]:
        """What all sources write, as one tensor (of a graph whose sources have one shape, as a Transformer's)."""
        self.advance(len(self.graph.stages))
        with torch.set_grad_enabled(self._grad):
            parts = [torch.stack(self._inputs)]
            for kernel, written in zip(self.computation.kernels, self._written, strict=False):
                parts.append(kernel.sources_of(kernel.values(written), 0))
            return torch.cat(parts)

    @cached_property
    def logits(self) -> Tensor:
        """The model's output (a Transformer's logits at the scored positions)."""
        with torch.set_grad_enabled(self._grad):
            last = len(self.graph.stages) - 1
            kernel = self.computation.kernels[last]
            return kernel.output(kernel.pick(self.resid(last), self._scored))

    def of_rows(self, rows: slice) -> Values:
        """The same for some rows of the batch."""
        return self if rows.indices(self.shape[0]) == (0, self.shape[0], 1) else _RowsOf(self, rows)


def advance_together(runs: Sequence[Values], stages: int) -> None:
    """Compute two runs of one model as far as the first ``stages`` stages in one batch, so that weights are read once.

    Does nothing where the runs are of different models, or one has been computed further than the other.
    """
    some = [run for run in runs if isinstance(run, SourceValues)]
    if len(some) < 2 or not all(run.is_like(some[0]) for run in some):
        return
    first, sizes = some[0], [run.shape[0] for run in some]
    while first.computed < min(stages, len(first.graph.stages) - 1):
        with torch.set_grad_enabled(first._grad):
            reads = torch.cat([run._next_read() for run in some])
            made = first.computation.kernels[first.computed].together(reads)
            for run, parts in zip(some, zip(*(part.split(sizes) for part in made), strict=True), strict=True):
                run._written.append(parts)


class _RowsOf:
    """Some rows of the batch of a run."""

    def __init__(self, whole: Values, rows: slice) -> None:
        self._whole, self._rows = whole, rows

    def value(self, source: int) -> Tensor:
        return self._whole.value(source)[self._rows]

    def total(self, stage: int) -> Tensor:
        return self._whole.total(stage)[self._rows]

    def stream(self, stage: int) -> Tensor:
        return self._whole.stream(stage)[self._rows]

    def of_rows(self, rows: slice) -> Values:
        return _RowsOf(self, rows)


class FromPosition:
    """The values of a Transformer's run from one position on."""

    def __init__(self, whole: Values, first: int) -> None:
        self.whole, self.first = whole, first

    def value(self, source: int) -> Tensor:
        """What the source writes at these positions."""
        return self.whole.value(source)[..., self.first :, :]

    def total(self, stage: int) -> Tensor:
        """The sum of all sources of a stage."""
        return self.whole.total(stage)[..., self.first :, :]

    def stream(self, stage: int) -> Tensor:
        """The sum of the sources that a stage reads."""
        return self.whole.stream(stage)[..., self.first :, :]

    def of_rows(self, rows: slice) -> Values:
        """The same for some rows of the batch."""
        return FromPosition(self.whole.of_rows(rows), self.first)


def first_difference(clean: Values, counterfactual: Values) -> int:
    """The first position at which two runs of a causal Transformer can differ; 0 where these are no such runs.

    Before it every activation of the two runs is equal, and so is that of any run between them.
    """
    whole = [run._whole if isinstance(run, _RowsOf) else run for run in (clean, counterfactual)]
    first, second = whole
    if not isinstance(first, SourceValues) or not isinstance(second, SourceValues):
        return 0
    computation = first.computation
    if not computation.causal or computation.terms or not second.is_of(computation):
        return 0
    with torch.no_grad():
        inputs = [source for source, stage in enumerate(first.graph.stage_of_source) if stage < 0]
        differ = torch.stack([clean.value(i) != counterfactual.value(i) for i in inputs])
        places = differ.any(-1).flatten(0, -2).any(0).nonzero()
    return int(places[0]) if len(places) else differ.shape[-2] - 1


def source_values(
    model: Model,
    tokens: Tensor,
    *,
    graph: Graph | None = None,
    scored: Scored = None,
    terms: Terms | None = None,
) -> SourceValues:
    """Run a model and keep what each source writes.

    :param tokens: [B, T] tokens of a Transformer; of a :class:`Computation`, its input [B, ..].
    :param terms: for each component that is split, functions whose values sum to its output, by name.
    :raises FaultError: ``patching.tokens``, ``patching.terms``.
    """
    computation = as_computation(model, graph, terms)
    computation.check(tokens)
    return SourceValues(computation, tokens, scored)
