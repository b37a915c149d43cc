"""The parts a computational graph is made of: components, the stages in which they are computed, and a Transformer's.

A component reads its inputs (the *receivers* of edges) and writes an addend of a stream (a *source*), or several. All
components of one stage read from the same earlier sources. Nothing here needs tensors.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import Fault

SLOTS = ("Q", "K", "V")


@dataclass(frozen=True)
class Component:
    """A part of a model: what it reads and what it writes.

    :param inputs: its receivers; none where the component is an input of the model.
    :param sources: its addends: its own name, or ``name:term`` for each term that its output is split into.
    """

    name: str
    inputs: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    @property
    def slots(self) -> tuple[str, ...]:
        """Short names of the inputs: ``Q``, ``K``, ``V``, or ``in`` where there is one."""
        if len(self.inputs) == 1:
            return ("in",)
        return tuple(name.removeprefix(f"{self.name}[").removesuffix("]") for name in self.inputs)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of the terms its output is split into; one empty name where it is not split."""
        return tuple(source.removeprefix(self.name).removeprefix(":") for source in self.sources)


@dataclass(frozen=True)
class Stage:
    """Components that are computed together, each reading the sources ``reads`` (names of earlier sources).

    :param kind: ``attn`` where K and V inputs are read at other positions too, ``mlp``, ``logits``, or ``stage``.
    :param layer: where it stands in drawings; sources that enter the model have layer −1.
    """

    name: str
    components: tuple[Component, ...]
    reads: tuple[str, ...]
    kind: str = "stage"
    layer: int = 0

    @property
    def inputs(self) -> tuple[str, ...]:
        """The receivers of all components."""
        return tuple(name for component in self.components for name in component.inputs)

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources of all components."""
        return tuple(name for component in self.components for name in component.sources)


class StreamStep(NamedTuple):
    """A stream as a sum: that of an earlier stage, plus all sources of some stages, plus single sources.

    Stage −1 stands for the inputs of the model.
    """

    earlier: int | None
    stages: tuple[int, ...]
    sources: tuple[int, ...]


@dataclass(frozen=True)
class TransformerShape:
    """What decides the graph of a Transformer.

    :param merged_qkv: one receiver a head instead of three.
    :param split_embed: the token and the position part of the embedding are two sources, ``embed.tok``, ``embed.pos``.
    :param post_norms: what the heads write together is normalised. Each head is then a source still, but its value
        takes the scale of the sum over all heads: the heads of a layer are one component, which reads the inputs of
        all.
    """

    n_layers: int
    n_heads: int
    has_mlp: bool = True
    parallel: bool = False
    merged_qkv: bool = False
    split_embed: bool = False
    post_norms: bool = False


def transformer_stages(shape: TransformerShape) -> tuple[tuple[Component, ...], tuple[Stage, ...]]:
    """The inputs and stages of a Transformer: the embedding; the heads and the MLP of each layer; the logits."""
    names = ("embed.tok", "embed.pos") if shape.split_embed else ("embed",)
    inputs = tuple(Component(name, sources=(name,)) for name in names)
    before = tuple(source for component in inputs for source in component.sources)
    stages: list[Stage] = []
    for layer in range(shape.n_layers):
        heads: list[Component] = []
        for head in range(shape.n_heads):
            name = f"L{layer}.H{head}"
            receivers = (name,) if shape.merged_qkv else tuple(f"{name}[{slot}]" for slot in SLOTS)
            heads.append(Component(name, receivers, (name,)))
        if shape.post_norms:
            receivers = tuple(receiver for head in heads for receiver in head.inputs)
            heads = [Component(f"L{layer}.attn", receivers, tuple(head.name for head in heads))]
        attention = Stage(f"L{layer}.attn", tuple(heads), before, "attn", layer)
        stages.append(attention)
        after = before + attention.sources
        if shape.has_mlp:
            name = f"L{layer}.mlp"
            mlp = Component(name, (name,), (name,))
            stages.append(Stage(name, (mlp,), before if shape.parallel else after, "mlp", layer))
            after += mlp.sources
        before = after
    return inputs, (*stages, Stage("logits", (Component("logits", ("logits",)),), before, "logits", shape.n_layers))


def stage_faults(inputs: Sequence[Component], stages: Sequence[Stage]) -> list[Fault]:
    """What is wrong with a list of stages: names used twice or read too early, no inputs, no output, a bad end."""
    faults: list[Fault] = []
    if not inputs or not any(component.sources for component in inputs):
        faults.append(Fault("patching.graph", "a graph needs an input of the model with a source"))
    if not stages or stages[-1].sources or len(stages[-1].inputs) != 1:
        faults.append(Fault("patching.graph", "the last stage computes the output: one input and no sources"))
    for stage in stages[:-1]:
        if not stage.components or not all(component.sources for component in stage.components):
            faults.append(Fault("patching.graph", "only the last stage writes no source", name=stage.name))
    written: set[str] = set()
    receivers: set[str] = set()
    components: set[str] = set()

    def add(names: Sequence[str], known: set[str], what: str) -> None:
        for name in names:
            if name in known:
                faults.append(Fault("patching.graph", f"two {what} have the same name", name=name))
            if not name or "->" in name or set(name) & set("@()") or any(letter.isspace() for letter in name):
                message = "a name must not be empty, nor hold '->', '@', parentheses or spaces"
                faults.append(Fault("patching.graph", message, name=name))
            known.add(name)

    for component in inputs:
        add([component.name], components, "components")
        add(component.sources, written, "sources")
    for stage in stages:
        if not stage.reads or not stage.inputs:
            faults.append(Fault("patching.graph", "a stage needs inputs and sources to read", name=stage.name))
        for name in stage.reads:
            if name not in written:
                near = ", ".join(difflib.get_close_matches(name, written, n=3, cutoff=0.5)) or None
                message = f"stage {stage.name} reads what no earlier stage writes"
                faults.append(Fault("patching.graph", message, name=name, hint=near and f"nearest: {near}"))
        for component in stage.components:
            add([component.name], components, "components")
            add(component.inputs, receivers, "receivers")
        for component in stage.components:
            add(component.sources, written, "sources")
    return faults


def consecutive(start: int, counts: Iterable[int]) -> tuple[range, ...]:
    """Ranges of the given lengths, one after the other."""
    found: list[range] = []
    for count in counts:
        found.append(range(start, start + count))
        start += count
    return tuple(found)


def stream_steps(reads: Sequence[NDArray[np.int64]], writes: Sequence[range], n_inputs: int) -> tuple[StreamStep, ...]:
    """By stage, the fewest additions that give the sum of the sources it reads.

    :param reads: by stage, the numbers of the sources that it reads.
    :param writes: by stage, the numbers of the sources that it computes.
    """
    whole = {-1: set(range(n_inputs))} | {stage: set(numbers) for stage, numbers in enumerate(writes)}
    writer = {source: stage for stage, numbers in whole.items() for source in numbers}
    wanted = [set(numbers.tolist()) for numbers in reads]
    found: list[StreamStep] = []
    for stage, sources in enumerate(wanted):
        earlier = next((m for m in reversed(range(stage)) if wanted[m] <= sources), None)
        rest = sources - (wanted[earlier] if earlier is not None else set())
        stages = tuple(m for m in sorted({writer[source] for source in rest}) if whole[m] <= rest)
        single = tuple(sorted(source for source in rest if writer[source] not in stages))
        found.append(StreamStep(earlier, stages, single))
    return tuple(found)
