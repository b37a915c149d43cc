"""The computational graph of a model as data: which component writes, which input reads.

A graph is a list of stages in the order of computation. Sources are the addends that components write: in a Transformer
the embedding, the heads (without b_O) and the MLPs (with b_out). Receivers are the inputs that read sums of them: each
head's Q, K and V input (or the head, merged), each MLP's input, and the logits, all before the receiver's norm. An edge
joins a source to a receiver of a later stage that may read it. In a Transformer that is every later receiver, since the
residual stream is only a sum (Elhage et al. 2021). Nothing here needs tensors; :mod:`toulmin.patching.computation` adds
the functions that compute the stages.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import Fault, FaultError
from toulmin.patching.stages import (
    SLOTS,
    Component,
    Stage,
    StreamStep,
    TransformerShape,
    consecutive,
    stage_faults,
    stream_steps,
    transformer_stages,
)
from toulmin.patching.stages_json import GRAPH_FORMAT, plain, read_graph

if TYPE_CHECKING:
    from toulmin.subjects import Transformer


@dataclass(frozen=True)
class Edge:
    """An edge by the numbers of its source and its receiver."""

    source: int
    receiver: int


@dataclass(frozen=True, eq=False)
class Graph:
    """Components, stages and edges of a model. Two graphs are equal if their components and stages are.

    :param components: the inputs of the model: components without inputs of their own.
    :param stages: in the order of computation; the last one computes the output and has no sources.
    :param shape: what the graph was made from, where it is that of a Transformer.
    :raises FaultError: ``patching.graph`` for every name that is used twice or read before it is written.
    """

    components: tuple[Component, ...]
    stages: tuple[Stage, ...]
    shape: TransformerShape | None = None

    def __post_init__(self) -> None:
        if self.shape is None and (faults := stage_faults(self.components, self.stages)):
            raise FaultError(faults)

    @classmethod
    def of(
        cls,
        model: Transformer,
        *,
        merged_qkv: bool = False,
        split_embed: bool = False,
        terms: Mapping[str, Iterable[str]] | None = None,
    ) -> Graph:
        """The graph of a Transformer.

        :param terms: components whose output is split into named terms, each then a source ``name:term`` of its own.
        :raises FaultError: ``patching.positions`` where the embedding has no position part to split off;
            ``patching.terms``.
        """
        config = model.config
        if split_embed and config.positions != "learned":
            raise FaultError(Fault("patching.positions", f"{config.positions} positions do not enter the stream"))
        made = cls.transformer(
            config.n_layers,
            config.n_heads,
            has_mlp=config.d_mlp > 0,
            parallel=config.parallel,
            merged_qkv=merged_qkv,
            split_embed=split_embed,
            post_norms=config.post_norms,
        )
        return made.split(terms or {})

    @classmethod
    def transformer(
        cls,
        n_layers: int,
        n_heads: int,
        *,
        has_mlp: bool = True,
        parallel: bool = False,
        merged_qkv: bool = False,
        split_embed: bool = False,
        post_norms: bool = False,
    ) -> Graph:
        """The graph of a Transformer with so many layers and heads; see :class:`TransformerShape`."""
        shape = TransformerShape(n_layers, n_heads, has_mlp, parallel, merged_qkv, split_embed, post_norms)
        return _graph_of_shape(shape)

    def split(self, terms: Mapping[str, Iterable[str]]) -> Graph:
        """The graph in which the output of each named component is split into terms, each a source of its own.

        :raises FaultError: ``patching.terms`` for unknown components, terms without or with equal names, and components
            that are split already.
        """
        wanted = {name: tuple(parts) for name, parts in terms.items()}
        if not wanted:
            return self
        known = {c.name: c for c in self.all_components}
        faults: list[Fault] = []
        for name, parts in wanted.items():
            if name not in known or not known[name].sources:
                near = ", ".join(difflib.get_close_matches(name, known, n=3, cutoff=0.5))
                faults.append(Fault("patching.terms", "no such component", name=name, hint=f"nearest: {near}"))
            elif known[name].sources != (name,) and known[name].terms != parts:
                faults.append(Fault("patching.terms", "the component is split already", name=name))
            if not parts or not all(parts) or len(set(parts)) < len(parts):
                faults.append(Fault("patching.terms", "terms need distinct names that are not empty", name=name))
        if faults:
            raise FaultError(faults)
        sources = {name: tuple(f"{name}:{part}" for part in parts) for name, parts in wanted.items()}

        def of(component: Component) -> Component:
            return replace(component, sources=sources.get(component.name, component.sources))

        def spread(names: Sequence[str]) -> tuple[str, ...]:
            return tuple(term for name in names for term in sources.get(name, (name,)))

        stages = tuple(
            replace(stage, components=tuple(map(of, stage.components)), reads=spread(stage.reads))
            for stage in self.stages
        )
        return Graph(tuple(map(of, self.components)), stages, self.shape)

    # ------------------------------------------------------------------ names and numbers

    @cached_property
    def all_components(self) -> tuple[Component, ...]:
        """The inputs of the model and the components of all stages."""
        return (*self.components, *(component for stage in self.stages for component in stage.components))

    @cached_property
    def terms(self) -> dict[str, tuple[str, ...]]:
        """For each component that is split, the names of its terms."""
        return {c.name: c.terms for c in self.all_components if c.sources not in ((), (c.name,)) and not self._joins(c)}

    def _joins(self, component: Component) -> bool:
        """Whether the sources of a component are the heads of a layer with a post-norm, not terms of its output."""
        return self.shape is not None and self.shape.post_norms and component.name.endswith(".attn")

    @cached_property
    def split_terms(self) -> dict[str, tuple[str, str]]:
        """By source, its component and the name of its term (empty where the component is not split)."""
        return {
            source: (component.name, term if len(component.sources) > 1 or source != component.name else "")
            for component in self.all_components
            for source, term in zip(component.sources, component.terms, strict=True)
        }

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The sources through which the model's input enters."""
        return tuple(name for component in self.components for name in component.sources)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in order of computation."""
        return (*self.inputs, *(name for stage in self.stages for name in stage.sources))

    @cached_property
    def receivers(self) -> tuple[str, ...]:
        """Names of the receivers, in order of computation."""
        return tuple(name for stage in self.stages for name in stage.inputs)

    @cached_property
    def source_number(self) -> dict[str, int]:
        """The number of each source."""
        return {name: number for number, name in enumerate(self.sources)}

    @cached_property
    def writes(self) -> tuple[range, ...]:
        """By stage, the numbers of its sources."""
        return consecutive(len(self.inputs), (len(stage.sources) for stage in self.stages))

    @cached_property
    def stage_receivers(self) -> tuple[range, ...]:
        """By stage, the numbers of its receivers."""
        return consecutive(0, (len(stage.inputs) for stage in self.stages))

    @cached_property
    def stage_reads(self) -> tuple[slice | NDArray[np.int64], ...]:
        """By stage, the numbers of the sources that it may read: a slice where they are the first ones."""
        found: list[slice | NDArray[np.int64]] = []
        for stage in self.stages:
            numbers = sorted(self.source_number[name] for name in stage.reads)
            prefix = numbers == list(range(len(numbers)))
            found.append(slice(0, len(numbers)) if prefix else np.array(numbers, dtype=np.int64))
        return tuple(found)

    @cached_property
    def read_numbers(self) -> tuple[NDArray[np.int64], ...]:
        """By stage, the numbers of the sources that it may read."""
        return tuple(np.arange(len(self.sources))[reads] for reads in self.stage_reads)

    @cached_property
    def stream_steps(self) -> tuple[StreamStep, ...]:
        """By stage, how the stream that it reads is summed."""
        return stream_steps(self.read_numbers, self.writes, len(self.inputs))

    @cached_property
    def stage_of_source(self) -> tuple[int, ...]:
        """By source, the number of the stage that computes it; −1 for the inputs of the model."""
        return (*(-1 for _ in self.inputs), *(n for n, numbers in enumerate(self.writes) for _ in numbers))

    @cached_property
    def source_layer(self) -> NDArray[np.int64]:
        """[S] the layer of each source; −1 for the inputs of the model."""
        return np.array([-1 if stage < 0 else self.stages[stage].layer for stage in self.stage_of_source])

    @cached_property
    def receiver_layer(self) -> NDArray[np.int64]:
        """[R] the layer of each receiver; ``n_layers`` for the output."""
        return np.array([stage.layer for stage in self.stages for _ in stage.inputs])

    # ------------------------------------------------------------------ edges

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """[S, R] whether the edge exists."""
        table = np.zeros((len(self.sources), len(self.receivers)), dtype=np.bool_)
        for reads, receivers in zip(self.stage_reads, self.stage_receivers, strict=True):
            table[reads, receivers.start : receivers.stop] = True
        return table

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, by receiver and then by source."""
        receivers, sources = np.nonzero(self.allowed.T)
        return tuple(map(Edge, sources.tolist(), receivers.tolist()))

    @cached_property
    def n_edges(self) -> int:
        """How many edges there are."""
        return int(self.allowed.sum())

    @cached_property
    def edge_source(self) -> NDArray[np.int64]:
        """[n_edges] the source of each edge."""
        return np.array([edge.source for edge in self.edges])

    @cached_property
    def edge_receiver(self) -> NDArray[np.int64]:
        """[n_edges] the receiver of each edge."""
        return np.array([edge.receiver for edge in self.edges])

    def edge_name(self, index: int) -> str:
        """``L0.H1->L1.H0[K]``."""
        edge = self.edges[index]
        return f"{self.sources[edge.source]}->{self.receivers[edge.receiver]}"

    @cached_property
    def _edge_numbers(self) -> dict[str, int]:
        return {self.edge_name(index): index for index in range(self.n_edges)}

    def edge_index(self, name: str) -> int:
        """The number of the edge of that name.

        :raises FaultError: ``patching.unknown_edge`` with the nearest names.
        """
        found = self._edge_numbers.get(name.replace(" ", ""))
        if found is None:
            near = difflib.get_close_matches(name, self._edge_numbers, n=3, cutoff=0.5)
            raise FaultError(
                Fault(
                    "patching.unknown_edge",
                    "the graph has no such edge",
                    name=name,
                    hint=f"nearest: {', '.join(near)}" if near else None,
                )
            )
        return found

    def mask_from_edges(self, edges: Iterable[int]) -> NDArray[np.bool_]:
        """[S, R] true at the given edges."""
        index = np.fromiter(edges, dtype=np.int64)
        mask = np.zeros(self.allowed.shape, dtype=np.bool_)
        mask[self.edge_source[index], self.edge_receiver[index]] = True
        return mask

    # ------------------------------------------------------------------ of Transformers

    def _of_transformer(self) -> TransformerShape:
        if self.shape is None:
            raise FaultError(Fault("patching.graph", "only the graph of a Transformer has layers of heads and MLPs"))
        return self.shape

    @property
    def n_layers(self) -> int:
        """How many layers there are (of any graph: the layer of its output)."""
        return self.stages[-1].layer

    @property
    def n_heads(self) -> int:
        """How many heads a layer has."""
        return self._of_transformer().n_heads

    @property
    def has_mlp(self) -> bool:
        """Whether layers have an MLP."""
        return self._of_transformer().has_mlp

    @property
    def parallel(self) -> bool:
        """Whether a layer's heads and its MLP read the same stream."""
        return self._of_transformer().parallel

    @property
    def merged_qkv(self) -> bool:
        """Whether a head has one receiver instead of three."""
        return self.shape is not None and self.shape.merged_qkv

    @property
    def split_embed(self) -> bool:
        """Whether the token and the position part of the embedding are two sources."""
        return self.shape is not None and self.shape.split_embed

    @cached_property
    def unmerged(self) -> Graph:
        """The graph with three receivers a head: what is executed."""
        if self.shape is None or not self.shape.merged_qkv:
            return self
        return _graph_of_shape(replace(self.shape, merged_qkv=False)).split(self.terms)

    @cached_property
    def unmerged_columns(self) -> NDArray[np.int64]:
        """[R'] for each receiver of the unmerged graph, the receiver of this graph it belongs to."""
        if not self.merged_qkv:
            return np.arange(len(self.receivers))
        columns: list[int] = []
        for index, name in enumerate(self.receivers):
            columns += [index] * (len(SLOTS) if ".H" in name else 1)
        return np.array(columns)

    # ------------------------------------------------------------------ equality and JSON

    @property
    def _parts(self) -> tuple[object, ...]:
        return self.shape, self.components, self.stages

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Graph) and self._parts == other._parts)

    @cached_property
    def _hash(self) -> int:
        return hash(self._parts)

    def __hash__(self) -> int:
        return self._hash

    def to_json(self) -> dict[str, Any]:
        """The whole graph as JSON values: a Transformer's by its shape, any other by its stages."""
        if self.shape is not None:
            terms = {name: list(parts) for name, parts in self.terms.items()}
            shape = asdict(self.shape)
            if not self.shape.post_norms:
                del shape["post_norms"]  # as files and digests had it before there was this key
            return {"format": GRAPH_FORMAT, "transformer": shape} | ({"terms": terms} if terms else {})
        return {
            "format": GRAPH_FORMAT,
            "components": [plain(component) for component in self.components],
            "stages": [plain(stage) for stage in self.stages],
        }

    @classmethod
    def from_json(cls, data: object, file: str | None = None) -> Graph:
        """The inverse of :meth:`to_json`.

        :raises FaultError: ``patching.graph`` for another format, and for every unknown, missing or wrong key.
        """
        shape, terms, components, stages = read_graph(data, file)
        return cls(components, stages) if shape is None else _graph_of_shape(shape).split(terms)


@lru_cache(maxsize=64)
def _graph_of_shape(shape: TransformerShape) -> Graph:
    """The graph of a Transformer; one object for one shape, so that what is derived from it is derived once."""
    return Graph(*transformer_stages(shape), shape)
