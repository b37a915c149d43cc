"""How a stage of a graph is computed: one function, and the ways of calling it that the evaluators need.

Every evaluator needs a stage in one of five ways, and each of them follows from one function ``compute(*reads)``:

* ``together``: all inputs read one stream, as in an ordinary forward pass (plain runs, caches);
* ``apart``: every input reads a stream of its own (circuits with masks that are real numbers);
* ``copies``: some components, each at rows of streams that a plan names (circuits and path sets);
* ``record``: as ``together``, and what is needed to get the gradient of each input (edge gradients);
* ``output``: the last stage, which writes no source.

:class:`StageKernel` derives them all from ``compute``; the kernels of a Transformer override what can be made faster.

Letters: N rows, copies or circuits, B batch, K components, R receivers; ``*`` the axes of a stream ([T, D] in a
Transformer).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Literal, Protocol, Self

import torch
from torch import Tensor

from toulmin.faults import Fault, FaultError
from toulmin.patching.plan import Copy, StagePlan
from toulmin.patching.scored import Scored
from toulmin.patching.stages import Stage

GradientRules = Literal["gradient", "relp", "relp_patterns"]
Written = tuple[Tensor, ...]
Terms = Mapping[str, Mapping[str, Callable[[Tensor], Tensor]]]
Compute = Callable[..., Tensor | Sequence[Tensor]]


@dataclass
class Recorded:
    """A stage computed for gradients.

    :param total: what the stage writes in all, through which gradients flow to ``wanted``.
    :param separate: what each component writes, [K, B, *], without gradient.
    :param wanted: tensors whose gradients must be known.
    :param pull: from their gradients (None where there is none) to those of the receivers, [R, B, *].
    :param value: the value of the component, with gradient, where a stage may read only some of its sources.
    """

    total: Tensor
    separate: Tensor
    wanted: list[Tensor]
    pull: Callable[[Sequence[Tensor | None]], Tensor]
    value: Tensor | None = None


class Run(Protocol):
    """What a kernel needs to know of the execution of a plan that calls it."""

    offset_masks: list[Tensor]  # [T, T] by class of offsets: whether a query and a key are of that class
    keep: list[int] | None  # the positions at which the output is read, where they are the same in all rows
    start: int  # the first position that is computed; the runs are equal before it

    def streams(self, rows: Sequence[int]) -> Tensor:
        """[N, B, *] what receivers of the stage read, of the plan's rows."""
        ...

    def stream_before(self) -> Tensor | None:
        """[B, start, D] what the stage reads at the positions that are not computed; None where all are."""
        ...

    def at_scored(self, x: Tensor) -> Tensor:
        """The positions at which the output is read."""
        ...

    def slices(self, count: int, width: int) -> list[slice]:
        """Pieces of ``count`` copies, each with ``width`` hidden numbers a token, that are computed together."""
        ...


class StageKernel:
    """One stage, computed by ``compute``: from what its inputs read, in their order, to what its sources write.

    :param compute: takes one tensor [B, *] for each input. Returns one tensor if the stage has one source, a sequence
        of tensors of equal shape if it has several, and anything if it is the last stage.
    :param terms: for each component that is split, functions whose values sum to its output, in the order of sources.
    :param bias: a constant that the stage adds to the stream and that belongs to no source.
    """

    def __init__(
        self,
        stage: Stage,
        compute: Compute | None = None,
        terms: Mapping[str, Sequence[Callable[[Tensor], Tensor]]] | None = None,
        bias: Tensor | None = None,
    ) -> None:
        self.function, self.bias = compute, bias
        self._split_into(stage, terms or {})

    def _split_into(self, stage: Stage, terms: Mapping[str, Sequence[Callable[[Tensor], Tensor]]]) -> None:
        self.stage = stage
        self._terms = [terms.get(component.name) for component in stage.components]
        self._several = self.function is not None and len(stage.components[0].sources) > 1 and not self._terms[0]
        self.places = [
            (component, number) for component, one in enumerate(stage.components) for number in range(len(one.sources))
        ]  #: by source of the stage, its component and its number in it
        self.split = any(len(component.sources) != 1 for component in stage.components)

    def with_terms(self, stage: Stage, terms: Mapping[str, Sequence[Callable[[Tensor], Tensor]]]) -> Self:
        """The same computation with its components split into terms; ``stage`` names them."""
        made = copy(self)
        made._split_into(stage, terms)
        return made

    # ------------------------------------------------------------------ components and their sources

    def whole(self, value: Tensor) -> Tensor:
        """What the sources of a component sum to, from the component's value."""
        return value.sum(-1) if self._several else value

    def part(self, component: int, number: int, value: Tensor) -> Tensor:
        """What one source of a component writes, from the component's value."""
        functions = self._terms[component]
        if functions:
            return functions[number](value)
        return value[..., number] if self._several else value

    def sources_of(self, values: Tensor, axis: int) -> Tensor:
        """What each source writes, from what each component writes; ``axis`` is that of components, then of sources."""
        if not self.split:
            return values
        return torch.stack([self.part(c, number, values.select(axis, c)) for c, number in self.places], axis)

    # ------------------------------------------------------------------ the ways of computing it

    def compute(self, reads: Sequence[Tensor]) -> Tensor:
        """[B, *] the value of the stage's component; [B, *, S'] where it writes several sources."""
        assert self.function is not None
        made = self.function(*reads)
        if not self._several:
            if not isinstance(made, Tensor):
                message = f"compute gave {type(made).__name__} where one tensor is wanted, for one source"
                raise FaultError(Fault("patching.compute", message, name=self.stage.name))
            return made
        parts, wanted = list(made), len(self.stage.sources)
        if isinstance(made, Tensor) or len(parts) != wanted or len({part.shape for part in parts}) > 1:
            message = f"compute must give {wanted} tensors of one shape, one for each source"
            raise FaultError(Fault("patching.compute", message, name=self.stage.name))
        return torch.stack(parts, -1)

    def together(self, read: Tensor) -> Written:
        """What the stage writes when all inputs read one stream [B, *]: the total, and what ``value`` needs."""
        value = self.compute([read] * len(self.stage.inputs))
        return (self.whole(value), value) if self._several else (value,)

    def value(self, written: Written, component: int) -> Tensor:
        """What a component writes, of what :meth:`together` returned."""
        return written[-1]

    def values(self, written: Written) -> Tensor:
        """[K, B, *] what every component writes."""
        return torch.stack([self.value(written, number) for number in range(len(self.stage.components))])

    def apart(self, reads: Tensor) -> Tensor:
        """[C, K, B, *] what every component writes when each input reads a stream of its own, [C, R, B, *]."""
        made = self.compute(list(reads.transpose(0, 1).flatten(1, 2)))
        return made.unflatten(0, (len(reads), 1, reads.shape[2]))

    def copies(self, run: Run, copies: Sequence[Copy]) -> Iterator[tuple[int, list[int], Tensor]]:
        """Values of copies: the component, the numbers of copies, and [n, B, *] what those write."""
        wanted = sorted({row for one in copies for rows in one.rows for row in rows})
        where, streams = {row: index for index, row in enumerate(wanted)}, run.streams(wanted)
        reads = [
            streams[[where[one.rows[number][0]] for one in copies]].flatten(0, 1)
            for number in range(len(self.stage.inputs))
        ]
        yield 0, list(range(len(copies))), self.compute(reads).unflatten(0, (len(copies), streams.shape[1]))

    def record(self, read: Tensor, rules: GradientRules) -> Recorded:
        """The stage with what is needed for the gradient of each input, and of the stream [B, *] itself."""
        if rules != "gradient":
            raise FaultError(Fault("patching.rules", f"the rules {rules!r} are those of Transformers' components"))
        own = [read.view_as(read) for _ in self.stage.inputs]
        value = self.compute(own)

        def pull(gradients: Sequence[Tensor | None]) -> Tensor:
            return torch.stack([torch.zeros_like(read) if g is None else g for g in gradients])

        return Recorded(self.whole(value), value.detach().unsqueeze(0), own, pull, value)

    def pick(self, resid: Tensor, scored: Scored) -> Tensor:
        """The part of what the last stage reads, [.., B, *], that the output is computed from."""
        if scored is not None:
            raise FaultError(Fault("patching.scored", "only a Transformer's output is scored at positions"))
        return resid

    def output(self, picked: Tensor, rules: GradientRules = "gradient", *, leading: int = 0) -> Tensor:
        """The model's output from what :meth:`pick` gave, [B, *] with ``leading`` axes before the batch."""
        assert self.function is not None
        if rules != "gradient":
            raise FaultError(Fault("patching.rules", f"the rules {rules!r} are those of Transformers' components"))
        made = self.function(picked.flatten(0, leading))
        if not isinstance(made, Tensor):
            raise FaultError(Fault("patching.compute", "the last stage must give one tensor", name=self.stage.name))
        return made.unflatten(0, picked.shape[: leading + 1])

    def work(self, plan: StagePlan, length: int, share: float) -> float:
        """About how many numbers a pair needs while the stage is computed, beside what it reads and writes.

        :param share: the share of positions at which what the stage writes is held.
        """
        return 0.0
