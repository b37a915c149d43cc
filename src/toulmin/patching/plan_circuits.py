"""From circuits (sets of edges) to a program: copies that differ from the plain run and reach the logits, each once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from toulmin.patching.graph import SLOTS, Graph, Stage
from toulmin.patching.plan import CLEAN, CLEAN_ROW, COUNTERFACTUAL, Column, HeadCopy, Plan, Planner

BLOCK = 4_000_000  # entries of the table of keys that is held at once


def plan_circuits(graph: Graph, masks: NDArray[np.bool_], *, counterfactual_is_run: bool = False) -> Plan:
    """The program of C circuits at once.

    Only nodes from which a live path leads to the logits are computed (what nobody reads has no effect); no node is
    taken for its cut value because all of its inputs are cut, unless ``counterfactual_is_run``.

    :param masks: [C, S, R] over the unmerged receivers, or [C, S, R, T] by the position that is read; true cuts.
    """
    positions = masks.shape[3] if masks.ndim == 4 else 1
    graph = graph if not graph.merged_qkv else replace(graph, merged_qkv=False)
    circuits, allowed = masks.shape[0], graph.allowed
    columns = [Column(source, place=place) for source in range(len(graph.sources)) for place in range(positions)]
    live: NDArray[np.bool_] = np.logical_not(masks).reshape(*masks.shape[:3], positions)
    few_live = 2 * int(np.count_nonzero(live & allowed[..., None])) < circuits * positions * graph.n_edges
    base_run = COUNTERFACTUAL if few_live else CLEAN
    planner = Planner(graph, columns, counterfactual_is_run=counterfactual_is_run, base_run=base_run)
    first = np.cumsum([0] + [_receivers(graph, stage) for stage in graph.stages])
    wanted = _wanted(graph, np.any(live, axis=3, keepdims=False), first)
    values = np.full((circuits, len(graph.sources)), CLEAN, dtype=np.int32)
    outputs: list[int] = []
    for number, stage in enumerate(graph.stages):
        count = int(first[number + 1] - first[number])
        step = max(1, BLOCK // max(1, stage.reads * count * positions))
        for start in range(0, circuits, step):
            some = slice(start, start + step)
            open_edges = live[some, : stage.reads, first[number] : first[number + 1]]
            # [C, receivers] whether any edge is cut; the other receivers of a circuit all read the same row
            cut = np.asarray(np.any(np.logical_not(open_edges), axis=(1, 3)))
            current = values[some, : stage.reads]
            changed = (current != CLEAN).any(1)
            any_cut = cut.any(1)
            active = np.flatnonzero(changed | any_cut)
            own = np.ones_like(cut)
            if stage.kind != "logits":
                own = wanted[some, stage.writes : stage.writes + (graph.n_heads if stage.kind == "attn" else 1)]
            read = np.repeat(own, cut.shape[1] // own.shape[1], 1)
            reads = np.full(cut.shape, CLEAN_ROW)
            for c in np.flatnonzero(changed & (read & ~cut).any(1)).tolist():
                reads[c] = planner.row(number, np.repeat(current[c], positions))
            which, receiver = np.nonzero(cut & read)
            keys = np.where(open_edges[which, :, receiver], current[which][:, :, None], np.int32(COUNTERFACTUAL))
            reads[which, receiver] = [
                planner.row(number, key) for key in keys.reshape(len(which), stage.reads * positions)
            ]
            if stage.kind == "logits":
                outputs += reads[:, 0].tolist()
            elif stage.kind == "mlp":
                for c in active[own[active, 0]].tolist():
                    values[start + c, stage.writes] = planner.mlp(number, int(reads[c, 0]))
            else:
                groups = ~any_cut & (positions == 1) & (2 * own.sum(1) >= graph.n_heads)
                heads = own & (changed[:, None] | cut.reshape(*own.shape, len(SLOTS)).any(2))
                active = active[heads[active].any(1)]
                for c in active.tolist():
                    if groups[c]:
                        made = planner.group(number, int(reads[c, 0]))
                        values[start + c, stage.writes : stage.writes + graph.n_heads] = made
                        continue
                    rows = reads[c].tolist()
                    for head in np.flatnonzero(heads[c]).tolist():
                        q, k, v = rows[head * len(SLOTS) : (head + 1) * len(SLOTS)]
                        values[start + c, stage.writes + head] = planner.head(number, HeadCopy(head, q, (k,), (v,)))
    return planner.finish(outputs)


def _receivers(graph: Graph, stage: Stage) -> int:
    return graph.n_heads * len(SLOTS) if stage.kind == "attn" else 1


def _wanted(graph: Graph, live: NDArray[np.bool_], first: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[C, S] whether a live path leads from the source to the logits."""
    circuits = live.shape[0]
    wanted = np.zeros((circuits, len(graph.sources)), dtype=np.bool_)
    for number in reversed(range(len(graph.stages))):
        stage = graph.stages[number]
        into = live[:, : stage.reads, first[number] : first[number + 1]]
        if stage.kind == "logits":
            wanted[:, : stage.reads] |= into[:, :, 0]
        elif stage.kind == "mlp":
            wanted[:, : stage.reads] |= into[:, :, 0] & wanted[:, stage.writes, None]
        else:
            heads = wanted[:, stage.writes : stage.writes + graph.n_heads]
            by_head = into.reshape(circuits, stage.reads, graph.n_heads, len(SLOTS)).any(3)
            wanted[:, : stage.reads] |= (by_head & heads[:, None]).any(2)
    return wanted
