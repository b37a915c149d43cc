"""Circuits in the file formats of others: MIB's JSON (Mueller et al. 2025) and AutoCircuit's edge names (Miller et
al. 2024).

Names: ours ``embed``, ``L3.H1[Q]``, ``L3.mlp``, ``logits``; MIB's ``input``, ``a3.h1<q>``, ``m3``, ``logits``;
AutoCircuit's ``Resid Start``, ``A3.1.Q``, ``MLP 3``, ``Resid End`` (``[2] Resid Start->MLP 0`` at token position 2).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.edge_scores import EdgeScores
from toulmin.circuits.edges import parse_edges, table_of
from toulmin.faults import Fault, FaultError
from toulmin.patching import GRAPH_FORMAT, Graph, TransformerShape

_OUR_HEAD = re.compile(r"^L(\d+)\.H(\d+)(?:\[([QKV])\])?$")
_THEIR_POSITION = re.compile(r"^\[(\d+)\]\s+(.*)$")


def _autocircuit_node(name: str) -> str:
    head = _OUR_HEAD.match(name)
    if head:
        return f"A{head[1]}.{head[2]}" + (f".{head[3]}" if head[3] else "")
    return {"embed": "Resid Start", "logits": "Resid End"}.get(name) or f"MLP {name[1 : name.index('.')]}"


def _from_autocircuit_node(name: str) -> str:
    head = re.match(r"^A(\d+)\.(\d+)(?:\.([QKV]))?$", name)
    if head:
        return f"L{head[1]}.H{head[2]}" + (f"[{head[3]}]" if head[3] else "")
    mlp = re.match(r"^MLP (\d+)$", name)
    return f"L{mlp[1]}.mlp" if mlp else {"Resid Start": "embed", "Resid End": "logits"}.get(name, name)


def to_autocircuit_name(edge: str) -> str:
    """``embed->L0.H3[Q]`` as AutoCircuit writes it: ``Resid Start->A0.3.Q``."""
    source, receiver = edge.split("->")
    return f"{_autocircuit_node(source)}->{_autocircuit_node(receiver)}"


def from_autocircuit_name(edge: str) -> str:
    """The inverse of :func:`to_autocircuit_name` (a token position is dropped)."""
    placed = _THEIR_POSITION.match(edge)
    source, _, receiver = (placed[2] if placed else edge).partition("->")
    return f"{_from_autocircuit_node(source)}->{_from_autocircuit_node(receiver)}"


def to_autocircuit(circuit: Circuit) -> list[str]:
    """The circuit as AutoCircuit's edge names, ``[t] `` in front when edges are kept per position.

    :raises FaultError: the embedding is split in two, or a component into terms, for which AutoCircuit has no names.
    """
    if circuit.graph.split_embed or circuit.graph.terms:
        text = "AutoCircuit has one embedding and one source a component, and the circuit's graph is split"
        raise FaultError(Fault("circuits.autocircuit", text))
    if circuit.positions is None:
        return [to_autocircuit_name(name) for name in circuit]
    return [f"[{position}] {to_autocircuit_name(name)}" for name, at in circuit.by_edge().items() for position in at]


def from_autocircuit(graph: Graph, names: Iterable[str], positions: int | None = None) -> Circuit:
    """A circuit from AutoCircuit's edge names.

    :param positions: the prompt's length, needed when names carry a token position.
    :raises FaultError: unknown edges; a position without, or outside of, ``positions``.
    """
    names = list(names)
    edges = parse_edges(graph, [from_autocircuit_name(name) for name in names])
    placed = [_THEIR_POSITION.match(name) for name in names]
    if positions is None:
        if any(placed):
            raise FaultError(Fault("circuits.positions", "edges at token positions: give the number of positions"))
        return Circuit(graph, table_of(graph, edges))
    table = np.zeros((*graph.allowed.shape, positions), dtype=bool)
    for (source, receiver), found in zip(edges, placed, strict=True):
        if found is None:
            table[source, receiver] = True
        elif int(found[1]) < positions:
            table[source, receiver, int(found[1])] = True
        else:
            raise FaultError(Fault("circuits.positions", f"position {found[1]} of {positions}", name=found[0]))
    return Circuit(graph, table)


def _mib_node(name: str) -> str:
    head = _OUR_HEAD.match(name)
    if head:
        return f"a{head[1]}.h{head[2]}" + (f"<{head[3].lower()}>" if head[3] else "")
    return {"embed": "input", "logits": "logits"}.get(name) or f"m{name[1 : name.index('.')]}"


def _from_mib_edge(edge: str) -> str:
    def node(name: str) -> str:
        head = re.match(r"^a(\d+)\.h(\d+)(?:<([qkv])>)?$", name)
        if head:
            return f"L{head[1]}.H{head[2]}" + (f"[{head[3].upper()}]" if head[3] else "")
        mlp = re.match(r"^m(\d+)$", name)
        return f"L{mlp[1]}.mlp" if mlp else {"input": "embed"}.get(name, name)

    source, _, receiver = edge.partition("->")
    return f"{node(source)}->{node(receiver)}"


def to_mib(circuit: Circuit, d_model: int, scores: EdgeScores | None = None) -> dict[str, Any]:
    """MIB's JSON: ``cfg``, ``nodes`` and ``edges`` with ``score`` and ``in_graph`` (edges 0 where no scores are given).

    :raises FaultError: MIB has no per-position edges, no merged inputs and no components split into terms.
    """
    graph = circuit.graph
    if circuit.positions is not None or graph.merged_qkv or not graph.has_mlp or graph.split_embed or graph.terms:
        text = "MIB's format has one embedding, one source a component, split Q, K, V, MLPs, and no token positions"
        raise FaultError(Fault("circuits.mib", text))
    values: NDArray[Any] = scores.summed().values if scores is not None else np.zeros(graph.allowed.shape)
    kept = set(circuit.nodes())
    edges = {}
    for edge in graph.edges:
        source, receiver = edge.source, edge.receiver
        name = f"{_mib_node(graph.sources[source])}->{_mib_node(graph.receivers[receiver])}"
        edges[name] = {"score": float(values[source, receiver]), "in_graph": bool(circuit.table[source, receiver])}
    nodes = {_mib_node(name): {"in_graph": name in kept} for name in (*graph.sources, "logits")}
    cfg = {
        "n_layers": graph.n_layers,
        "n_heads": graph.n_heads,
        "parallel_attn_mlp": graph.parallel,
        "d_model": d_model,
    }
    return {"cfg": cfg, "nodes": nodes, "edges": edges}


def from_mib(data: Mapping[str, Any]) -> tuple[Circuit, EdgeScores]:
    """A circuit and its scores from MIB's JSON.

    :raises FaultError: missing parts, unknown or missing edges, a score that is not a finite number.
    """
    try:
        cfg, listed = data["cfg"], dict(data["edges"])
        parallel = bool(cfg.get("parallel_attn_mlp", False))
        shape = TransformerShape(cfg["n_layers"], cfg["n_heads"], parallel=parallel)
        graph = Graph.from_json({"format": GRAPH_FORMAT, "transformer": asdict(shape)})
    except (KeyError, TypeError, ValueError) as error:
        raise FaultError(Fault("circuits.mib", f"not a circuit in MIB's format: {error}")) from None
    faults: list[Fault] = []
    values, table = np.zeros(graph.allowed.shape), np.zeros(graph.allowed.shape, dtype=bool)
    edges = parse_edges(graph, [_from_mib_edge(name) for name in listed])
    for (name, entry), edge in zip(listed.items(), edges, strict=True):
        score = entry.get("score", 0.0) if isinstance(entry, dict) else None
        if not isinstance(score, int | float) or not math.isfinite(score):
            faults.append(Fault("circuits.mib", f"score {score!r} is not a finite number", name=name))
            continue
        values[edge], table[edge] = score, bool(entry.get("in_graph", False))
    if len(set(edges)) != graph.n_edges:
        faults.append(Fault("circuits.mib", f"{len(set(edges))} edges listed, the graph has {graph.n_edges}"))
    if faults:
        raise FaultError(faults)
    return Circuit(graph, table), EdgeScores(graph, values, "MIB file")
