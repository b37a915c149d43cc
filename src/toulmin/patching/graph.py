"""The computational graph of a Transformer: which component writes, which input reads.

Sources are the embedding, the heads (without b_O) and the MLPs (with b_out), in the order of computation. Receivers are
each head's Q, K and V inputs (or the head, merged), each MLP's input, and the logits, all before the receiver's norm.
The residual stream is only a sum, so every source that comes earlier has a direct edge to every later receiver: the
sources a receiver may read are a prefix of the list. Nothing here needs tensors.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from toulmin.faults import ExitCode, Fault, FaultError

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

SLOTS = ("Q", "K", "V")


@dataclass(frozen=True)
class Edge:
    """An edge by the numbers of its source and its receiver."""

    source: int
    receiver: int


@dataclass(frozen=True)
class Stage:
    """A moment at which receivers read: all heads of a layer, its MLP, or the logits (``layer == n_layers``).

    ``reads`` sources come earlier; the stage's own sources are numbered from ``writes`` on.
    """

    kind: str
    layer: int
    reads: int
    writes: int


@dataclass(frozen=True)
class Graph:
    """Sources, receivers and edges of a Transformer.

    :param merged_qkv: one receiver a head instead of three.
    :param split_embed: the token and the position part of the embedding are two sources, ``embed.tok``, ``embed.pos``.
    """

    n_layers: int
    n_heads: int
    has_mlp: bool = True
    parallel: bool = False
    merged_qkv: bool = False
    split_embed: bool = False

    @classmethod
    def of(cls, model: Transformer, *, merged_qkv: bool = False, split_embed: bool = False) -> Graph:
        """The graph of a model.

        :raises FaultError: ``patching.post_norms`` where a head's output is not itself an addend of the stream;
            ``patching.positions`` where the embedding has no position part to split off.
        """
        config = model.config
        if not config.additive:
            raise FaultError(
                Fault("patching.post_norms", "a norm after the attention makes heads inseparable in the stream"),
                ExitCode.SUBJECT,
            )
        if split_embed and config.positions != "learned":
            raise FaultError(Fault("patching.positions", f"{config.positions} positions do not enter the stream"))
        return cls(config.n_layers, config.n_heads, config.d_mlp > 0, config.parallel, merged_qkv, split_embed)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The sources through which the tokens enter."""
        return ("embed.tok", "embed.pos") if self.split_embed else ("embed",)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in order of computation."""
        names = list(self.inputs)
        for layer in range(self.n_layers):
            names += [f"L{layer}.H{head}" for head in range(self.n_heads)]
            names += [f"L{layer}.mlp"] if self.has_mlp else []
        return tuple(names)

    @cached_property
    def receivers(self) -> tuple[str, ...]:
        """Names of the receivers, in order of computation."""
        names: list[str] = []
        for layer in range(self.n_layers):
            for head in range(self.n_heads):
                name = f"L{layer}.H{head}"
                names += [name] if self.merged_qkv else [f"{name}[{slot}]" for slot in SLOTS]
            names += [f"L{layer}.mlp"] if self.has_mlp else []
        return (*names, "logits")

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """The moments at which receivers read, in order."""
        found: list[Stage] = []
        at = len(self.inputs)
        for layer in range(self.n_layers):
            found.append(Stage("attn", layer, at, at))
            if self.has_mlp:
                found.append(Stage("mlp", layer, at if self.parallel else at + self.n_heads, at + self.n_heads))
            at += self.n_heads + self.has_mlp
        return (*found, Stage("logits", self.n_layers, at, at))

    @cached_property
    def source_layer(self) -> NDArray[np.int64]:
        """[S] the layer of each source; −1 for the embedding."""
        return np.array([-1 if name.startswith("embed") else int(name[1 : name.index(".")]) for name in self.sources])

    @cached_property
    def receiver_layer(self) -> NDArray[np.int64]:
        """[R] the layer of each receiver; ``n_layers`` for the logits."""
        return np.array(
            [self.n_layers if name == "logits" else int(name[1 : name.index(".")]) for name in self.receivers]
        )

    @cached_property
    def reads(self) -> NDArray[np.int64]:
        """[R] how many sources each receiver may read: the first so many."""
        slots = 1 if self.merged_qkv else len(SLOTS)
        counts: list[int] = []
        for stage in self.stages:
            counts += [stage.reads] * (self.n_heads * slots if stage.kind == "attn" else 1)
        return np.array(counts)

    def n_sources_before(self, receiver: int) -> int:
        """How many sources the receiver may read: the first so many."""
        return int(self.reads[receiver])

    @cached_property
    def allowed(self) -> NDArray[np.bool_]:
        """[S, R] whether the edge exists."""
        return np.arange(len(self.sources))[:, None] < self.reads[None, :]

    @cached_property
    def edges(self) -> tuple[Edge, ...]:
        """All edges, by receiver and then by source."""
        return tuple(
            Edge(source, receiver) for receiver, count in enumerate(self.reads.tolist()) for source in range(count)
        )

    @property
    def n_edges(self) -> int:
        """How many edges there are."""
        return int(self.reads.sum())

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

    @cached_property
    def unmerged_columns(self) -> NDArray[np.int64]:
        """[R'] for each receiver of the unmerged graph, the receiver of this graph it belongs to."""
        if not self.merged_qkv:
            return np.arange(len(self.receivers))
        columns: list[int] = []
        for index, name in enumerate(self.receivers):
            columns += [index] * (len(SLOTS) if ".H" in name else 1)
        return np.array(columns)
