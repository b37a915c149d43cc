"""From path sets to a program: one copy for each reachable mixed (node, state), any number of sets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toulmin.patching.graph import Graph
from toulmin.patching.pathset import ALL_PATHS, NO_PATHS, Dag, PathSet
from toulmin.patching.plan import CLEAN, COUNTERFACTUAL, Column, HeadCopy, Key, Plan, Planner
from toulmin.patching.position_classes import ROOT, Port, PositionClasses, node_name, split_name


class _Reader:
    """Where the in-edges of one node go in the rows it reads: for each (slot, offset class), links and columns."""

    def __init__(self, dag: Dag, node: str, number: Mapping[tuple[str, str, int], int]) -> None:
        links = dag.in_links[node]
        self.senders = [link.sender for link in links]
        parts: dict[tuple[str, int], tuple[list[int], list[int]]] = {}
        for at, link in enumerate(links):
            port = link.label
            assert isinstance(port, Port)
            where, columns = parts.setdefault((port.slot, port.offset), ([], []))
            component, place = split_name(link.sender)
            where.append(at)
            columns.append(number[component, port.term, place])
        self.parts = {key: (np.array(where), np.array(columns)) for key, (where, columns) in parts.items()}

    def values(self, children: Sequence[int], known: Mapping[str, Mapping[int, int]]) -> Key:
        """The value behind each in-edge."""
        return np.fromiter(
            (
                child if child <= ALL_PATHS else known[sender][child]
                for sender, child in zip(self.senders, children, strict=True)
            ),
            dtype=np.int32,
            count=len(self.senders),
        )


def _spread(width: int, columns: np.ndarray, values: Key) -> Key:
    """A key with these values at these columns; where no edge exists, what makes most rows equal."""
    if len(columns) == width:
        return values
    key = np.full(width, CLEAN if (values == CLEAN).all() else COUNTERFACTUAL, dtype=np.int32)
    key[columns] = values
    return key


def plan_paths(
    graph: Graph,
    sets: Sequence[PathSet],
    classes: PositionClasses,
    *,
    terms: Mapping[str, Sequence[str]] | None = None,
    counterfactual_is_run: bool = True,
) -> Plan:
    """The program that evaluates every set, over the graph refined by ``classes`` and ``terms``.

    :param counterfactual_is_run: whether ``NO_PATHS`` is a run of the model (resampling), so that a copy all of whose
        inputs are counterfactual is the cached one; not so where cut edges carry zeros or means.
    """
    terms = terms or {}
    dag = sets[0].dag
    reach: dict[str, set[int]] = {node: set() for node in dag.order}
    for one in sets:
        for node, states in one.reachable().items():
            reach[node] |= states
    here = sorted({split_name(link.sender)[1] for link in dag.in_links[ROOT]})
    columns = [
        Column(source, term, place)
        for source, name in enumerate(graph.sources)
        for term in terms.get(name, ("",))
        for place in here
    ]
    number = {(graph.sources[c.source], c.term, c.place): index for index, c in enumerate(columns)}
    planner = Planner(graph, columns, counterfactual_is_run=counterfactual_is_run)
    known: dict[str, dict[int, int]] = {node: {} for node in dag.order}
    kinds = range(classes.n_offsets)
    for index, stage in enumerate(graph.stages):
        width = planner.width[index]
        if stage.kind == "logits":
            break
        names = (
            [f"L{stage.layer}.mlp"]
            if stage.kind == "mlp"
            else [f"L{stage.layer}.H{head}" for head in range(graph.n_heads)]
        )
        for head, name in enumerate(names):
            for place in here:
                node = node_name(name, place, classes.n_places)
                if not reach.get(node):
                    continue
                reader = _Reader(dag, node, number)

                def row(
                    slot: str, kind: int, values: Key, reader: _Reader = reader, at: tuple[int, int] = (index, width)
                ) -> int | None:
                    if (slot, kind) not in reader.parts:
                        return None
                    where, where_to = reader.parts[slot, kind]
                    return planner.row(at[0], _spread(at[1], where_to, values[where]))

                for state in sorted(reach[node]):
                    values = reader.values(dag.children(node, state), known)
                    if stage.kind == "mlp":
                        made = row("in", 0, values)
                        assert made is not None
                        known[node][state] = planner.mlp(index, made)
                        continue
                    query = row("Q", 0, values)
                    assert query is not None
                    both: list[tuple[int, ...]] = []
                    for slot in ("K", "V"):
                        rows = [row(slot, kind, values) for kind in kinds]
                        some = next(r for r in rows if r is not None)  # an offset that never occurs here reads anything
                        both.append(tuple(some if r is None else r for r in rows))
                    known[node][state] = planner.head(index, HeadCopy(head, query, both[0], both[1]))
    outputs = [_output(planner, dag, one, number, known) for one in sets]
    return planner.finish(outputs)


def _output(
    planner: Planner,
    dag: Dag,
    one: PathSet,
    number: Mapping[tuple[str, str, int], int],
    known: Mapping[str, Mapping[int, int]],
) -> int:
    """The row that the logits read: each class of positions from its own copy of the logits."""
    key = np.full(len(planner.columns), COUNTERFACTUAL, dtype=np.int32)
    for link, state in zip(dag.in_links[ROOT], dag.children(ROOT, one.state), strict=True):
        reader = _Reader(dag, link.sender, number)
        _, columns = reader.parts["in", 0]
        if state in (NO_PATHS, ALL_PATHS):
            key[columns] = state
        else:
            key[columns] = reader.values(dag.children(link.sender, state), known)
    return planner.row(len(planner.graph.stages) - 1, key)
