"""A model as a graph whose stages can be computed: what every evaluator of this package runs.

A :class:`Computation` is a :class:`~toulmin.patching.graph.Graph` with one kernel for each stage
(:mod:`toulmin.patching.kernels`). A Transformer gives one by itself; any other model gives one by naming its addends::

    computation = Computation.of_stages(
        {"x": lambda x: x},
        [
            ModelStage("hidden", reads=["x"], compute=lambda x: layer1(x).relu()),
            ModelStage("skip", reads=["x"], compute=layer2),
            ModelStage("output", reads=["hidden", "skip"], compute=layer3, sources=()),
        ],
    )
    logits = run_circuits(computation, x, source_values(computation, other_x), masks)

Each stage reads the sum of the sources it names, through one or several inputs, and writes one or several sources, each
an addend of what later stages read. All sources that a stage reads have one shape; different stages may read different
shapes. The first axis of everything is the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.graph import Graph
from toulmin.patching.kernels import Compute, StageKernel, Terms
from toulmin.patching.stages import Component, Stage

Start = Callable[[Tensor], Sequence[Tensor]]


@dataclass(frozen=True)
class ModelStage:
    """A stage of a user's model.

    :param reads: names of earlier sources; each input reads the sum of them.
    :param compute: takes one tensor [B, ..] for each input; returns one tensor, or one for each of several sources.
    :param inputs: names of the inputs (the receivers of edges); default the stage's own name.
    :param sources: names of the addends it writes; default the stage's own name; ``()`` for the last stage, which
        computes the model's output.
    """

    name: str
    reads: Sequence[str]
    compute: Compute
    inputs: Sequence[str] | None = None
    sources: Sequence[str] | None = None


class Computation:
    """A graph and what computes it.

    :param start: from the model's input to the values of the input components.
    :param kernels: one for each stage.
    :param check: refuses inputs that the model cannot read.
    :param identity: what two computations of one model with equal graphs and functions share.
    :param causal: what is written at a position [.., T, D] depends on no later position.
    """

    def __init__(
        self,
        graph: Graph,
        kernels: Sequence[StageKernel],
        start: Start,
        *,
        identity: tuple[object, ...],
        check: Callable[..., None] | None = None,
        terms: Terms | None = None,
        causal: bool = False,
    ) -> None:
        self.causal = causal
        self.graph, self.kernels = graph, tuple(kernels)
        self._start, self._check, self._identity = start, check, identity
        functions = self.terms = terms or {}
        missing = [name for name in graph.terms if name not in functions and graph.shape is not None]
        if missing:
            raise FaultError([Fault("patching.terms", "give the terms' functions: terms=", name=n) for n in missing])
        self.checked: set[str] = set()  #: components whose terms were found to sum to their output
        self._input_terms = [functions.get(component.name) for component in graph.components]

    @classmethod
    def of_stages(
        cls,
        inputs: Mapping[str, Callable[[Tensor], Tensor]],
        stages: Sequence[ModelStage],
        *,
        identity: tuple[object, ...] | None = None,
    ) -> Computation:
        """The computation of a user's model.

        :param inputs: by name, functions from the model's input to the sources that later stages read.
        :param identity: what two computations of one model share; default the functions.
        :raises FaultError: ``patching.graph`` for every name that is used twice or read before it is written.
        """
        components = tuple(Component(name, sources=(name,)) for name in inputs)
        made: list[Stage] = []
        for number, stage in enumerate(stages):
            names = (stage.name,) if stage.inputs is None else tuple(stage.inputs)
            sources = (stage.name,) if stage.sources is None else tuple(stage.sources)
            made.append(Stage(stage.name, (Component(stage.name, names, sources),), tuple(stage.reads), layer=number))
        graph = Graph(components, tuple(made))
        kernels = [StageKernel(stage, given.compute) for stage, given in zip(made, stages, strict=True)]
        functions = (*inputs.values(), *(stage.compute for stage in stages))

        def start(x: Tensor) -> list[Tensor]:
            return [function(x) for function in inputs.values()]

        return cls(graph, kernels, start, identity=identity or functions)

    def split(self, terms: Terms) -> Computation:
        """The computation in which components are split into terms.

        :param terms: for each component, by name, functions whose values sum to its output.
        :raises FaultError: ``patching.terms``.
        """
        graph, terms = self.graph.split(terms), {**self.terms, **terms}
        kernels = [
            kernel.with_terms(stage, functions_of(stage, terms))
            for stage, kernel in zip(graph.stages, self.kernels, strict=True)
        ]
        identity = (*self._identity, *(f for parts in terms.values() for f in parts.values()))
        return Computation(
            graph, kernels, self._start, identity=identity, check=self._check, terms=terms, causal=self.causal
        )

    def start(self, x: Tensor) -> list[Tensor]:
        """The values of the input sources."""
        found: list[Tensor] = []
        for component, terms, value in zip(self.graph.components, self._input_terms, self._start(x), strict=True):
            found += [value] if terms is None else [terms[name](value) for name in component.terms]
        return found

    def check(self, *inputs: Tensor) -> None:
        """Refuse inputs that the model cannot read, and runs of unequal shape.

        :raises FaultError: ``patching.tokens``, ``patching.lengths``.
        """
        if self._check is not None:
            self._check(*inputs)
        elif len({tuple(x.shape) for x in inputs}) > 1:
            shapes = " and ".join(str(list(x.shape)) for x in inputs)
            raise FaultError(Fault("patching.lengths", f"clean and counterfactual inputs differ in shape: {shapes}"))

    def is_same(self, other: Computation) -> bool:
        """Whether both are computations of one model, with components split by the same functions."""
        return self is other or (
            len(self._identity) == len(other._identity)
            and all(a is b or a == b for a, b in zip(self._identity, other._identity, strict=True))
        )

    @cached_property
    def constants(self) -> list[Tensor | None]:
        """By stage, the constant it reads beside its sources: the sum of the biases of the stages that it reads."""
        found: list[Tensor | None] = []
        read: list[set[int]] = []
        for step, numbers in zip(self.graph.stream_steps, self.graph.read_numbers, strict=True):
            stages = {self.graph.stage_of_source[source] for source in numbers.tolist()} - {-1}
            known = set[int]() if step.earlier is None else read[step.earlier]
            total = None if step.earlier is None else found[step.earlier]
            for stage in sorted(stages - known):
                bias = self.kernels[stage].bias
                if bias is not None:
                    total = bias if total is None else total + bias
            found.append(total)
            read.append(stages)
        return found


def functions_of(stage: Stage, terms: Terms) -> dict[str, list[Callable[[Tensor], Tensor]]]:
    """For each component of a stage that is split, the functions of its terms in the order of its sources."""
    return {c.name: [terms[c.name][term] for term in c.terms] for c in stage.components if c.name in terms}


def check_terms_sum(value: Tensor, parts: Sequence[Tensor], name: str) -> None:
    """Refuse terms that do not sum to the component's output.

    :raises FaultError: ``patching.terms`` (exit NUMERICAL).
    """
    total = torch.stack(list(parts)).sum(0)
    scale = float(value.abs().max())
    gap = float((total - value).abs().max())
    if gap > 1e-4 * scale + 1e-9:
        message = (
            f"the terms do not sum to the component's output: they are {gap:.3g} apart, the output up to {scale:.3g}"
        )
        raise FaultError(Fault("patching.terms", message, name=name), ExitCode.NUMERICAL)
