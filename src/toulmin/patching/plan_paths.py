"""From path sets to a plan: one copy for each reachable mixed (component, state), any number of sets at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from toulmin.patching.graph import Graph
from toulmin.patching.pathset import ALL_PATHS, NO_PATHS, Dag, PathSet
from toulmin.patching.plan import CLEAN, COUNTERFACTUAL, Copy, Key, Plan, Planner
from toulmin.patching.plan_rows import finish
from toulmin.patching.position_classes import ROOT, Port, PositionClasses, node_name, split_name

Numbers = Mapping[tuple[str, str, int], int]


class _Reader:
    """Where the in-edges of one node go in the rows it reads: for each (slot, offset class), links and columns."""

    def __init__(self, dag: Dag, node: str, number: Numbers) -> None:
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


def plan_paths(
    graph: Graph,
    sets: Sequence[PathSet],
    classes: PositionClasses,
    *,
    terms: Mapping[str, Sequence[str]] | None = None,
    counterfactual_is_run: bool = True,
) -> Plan:
    """The plan that evaluates every set, over the graph refined by ``classes`` and ``terms``.

    :param counterfactual_is_run: whether ``NO_PATHS`` is a run of the model (resampling), so that a copy all of whose
        inputs are counterfactual is the cached one; not so where cut edges carry zeros or means.
    """
    graph, dag = graph.unmerged.split(terms or {}), sets[0].dag
    reach: dict[str, set[int]] = {node: set() for node in dag.order}
    for one in sets:
        for node, states in one.reachable().items():
            reach[node] |= states
    here = sorted({split_name(link.sender)[1] for link in dag.in_links[ROOT]})
    planner = Planner(graph, counterfactual_is_run=counterfactual_is_run, places=here)
    split = graph.split_terms
    number = {(*split[graph.sources[c.source]], c.place): index for index, c in enumerate(planner.layout.columns)}
    known: dict[str, dict[int, int]] = {node: {} for node in dag.order}
    for index, stage in enumerate(graph.stages[:-1]):
        for position, component in enumerate(stage.components):
            for place in here:
                node = node_name(component.name, place, classes.n_places)
                if not reach.get(node):
                    continue
                reader = _Reader(dag, node, number)
                for state in sorted(reach[node]):
                    values = reader.values(dag.children(node, state), known)
                    rows: list[tuple[int, ...]] = []
                    for slot in component.slots:
                        kinds = classes.n_offsets if stage.kind == "attn" and slot in ("K", "V") else 1
                        made = [_row(planner, index, reader, slot, kind, values) for kind in range(kinds)]
                        some = next(
                            row for row in made if row is not None
                        )  # an offset that never occurs reads anything
                        rows.append(tuple(some if row is None else row for row in made))
                    known[node][state] = planner.copy(index, Copy(position, tuple(rows)))
    outputs = [_output(planner, dag, one, number, known) for one in sets]
    return finish(planner, outputs)


def _row(planner: Planner, stage: int, reader: _Reader, slot: str, kind: int, values: Key) -> int | None:
    """The row that an input reads at one class of offsets; None where that never occurs."""
    if (slot, kind) not in reader.parts:
        return None
    where, columns = reader.parts[slot, kind]
    values = values[where]
    if len(columns) == planner.layout.width[stage]:
        return planner.row(stage, values)
    # where no edge exists, what makes most rows equal
    everywhere = np.full(
        len(planner.layout.columns), CLEAN if (values == CLEAN).all() else COUNTERFACTUAL, dtype=np.int32
    )
    everywhere[columns] = values
    return planner.row(stage, np.ascontiguousarray(everywhere[planner.layout.reads[stage]]))


def _output(planner: Planner, dag: Dag, one: PathSet, number: Numbers, known: Mapping[str, Mapping[int, int]]) -> int:
    """The row that the output reads: each class of positions from its own copy of the last component."""
    key = np.full(len(planner.layout.columns), COUNTERFACTUAL, dtype=np.int32)
    for link, state in zip(dag.in_links[ROOT], dag.children(ROOT, one.state), strict=True):
        reader = _Reader(dag, link.sender, number)
        _, columns = reader.parts["in", 0]
        if state in (NO_PATHS, ALL_PATHS):
            key[columns] = state
        else:
            key[columns] = reader.values(dag.children(link.sender, state), known)
    last = len(planner.graph.stages) - 1
    return planner.row(last, np.ascontiguousarray(key[planner.layout.reads[last]]))
