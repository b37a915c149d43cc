"""From circuits (sets of edges) to a plan: copies that differ from the base run and reach the output, each once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toulmin.patching.graph import Graph
from toulmin.patching.plan import CLEAN, CLEAN_ROW, COUNTERFACTUAL, Copy, Layout, Plan, Planner
from toulmin.patching.plan_rows import finish
from toulmin.patching.stages import consecutive

TABLE_ENTRIES = 4_000_000  # of the table of keys that is held at once


def plan_circuits(graph: Graph, masks: NDArray[np.bool_], *, counterfactual_is_run: bool = False) -> Plan:
    """The plan of C circuits at once.

    Only components from which a live path leads to the output are computed (what nobody reads has no effect). A
    component all of whose inputs are cut is computed from the values that cut edges carry; it has its cached
    counterfactual value only if those values are a run of the model.

    :param masks: [C, S, R] over the unmerged receivers, or [C, S, R, T] by the position that is read; true cuts.
    :param counterfactual_is_run: whether cut edges carry the values of a run of this model.
    """
    positions = masks.shape[3] if masks.ndim == 4 else 1
    graph, circuits = graph.unmerged, masks.shape[0]
    live: NDArray[np.bool_] = np.logical_not(masks).reshape(*masks.shape[:3], positions)
    few_live = 2 * int(np.count_nonzero(live & graph.allowed[..., None])) < circuits * positions * graph.n_edges
    base_run = COUNTERFACTUAL if few_live else CLEAN
    planner = Planner(
        graph, counterfactual_is_run=counterfactual_is_run, base_run=base_run, places=tuple(range(positions))
    )
    wanted = _wanted(planner.layout, np.any(live, axis=3, keepdims=False))
    values = np.full((circuits, len(graph.sources)), CLEAN, dtype=np.int32)
    outputs: list[int] = []
    for number, stage in enumerate(graph.stages):
        reads, receivers, writes = graph.stage_reads[number], graph.stage_receivers[number], graph.writes[number]
        of_source, of_receiver = planner.layout.component_of[number], planner.layout.component_reading[number]
        sources = planner.layout.component_sources[number]
        first_source = [numbers.start - writes.start for numbers in sources]
        inputs = consecutive(0, (len(component.inputs) for component in stage.components))
        width, last = planner.layout.width[number] // positions, number == len(graph.stages) - 1
        step = max(1, TABLE_ENTRIES // max(1, width * len(receivers) * positions))
        for start in range(0, circuits, step):
            some = slice(start, start + step)
            open_edges = live[some, reads, receivers.start : receivers.stop]
            # [C, receivers] whether any edge is cut; the other receivers of a circuit all read the same row
            cut = np.asarray(np.any(np.logical_not(open_edges), axis=(1, 3)))
            current = values[some, reads]
            changed = (current != CLEAN).any(1)
            any_cut = cut.any(1)
            active = np.flatnonzero(changed | any_cut)
            own = np.ones((len(cut), len(stage.components)), dtype=np.bool_)  # [C, components] whether it is wanted
            if not last:
                own = np.logical_or.reduceat(wanted[some, writes.start : writes.stop], first_source, axis=1)
            read = own[:, of_receiver]
            rows = np.full(cut.shape, CLEAN_ROW)
            for c in np.flatnonzero(changed & (read & ~cut).any(1)).tolist():
                rows[c] = planner.row(number, np.repeat(current[c], positions))
            which, receiver = np.nonzero(cut & read)
            keys = np.where(open_edges[which, :, receiver], current[which][:, :, None], np.int32(COUNTERFACTUAL))
            rows[which, receiver] = [planner.row(number, key) for key in keys.reshape(len(which), width * positions)]
            if last:
                outputs += rows[:, 0].tolist()
                continue
            # all components that are wanted read one row: nothing is cut here, or the same is cut for all of them
            one_row = rows[np.arange(len(rows)), read.argmax(1)]
            grouped = ((rows == one_row[:, None]) | ~read).all(1) & (positions == 1)
            grouped &= (2 * own.sum(1) >= len(stage.components)) & (len(stage.components) > 1)
            touched = own & (changed[:, None] | np.logical_or.reduceat(cut, [span.start for span in inputs], axis=1))
            active = active[touched[active].any(1)]
            for c in active.tolist():
                if grouped[c]:
                    made = planner.group(number, int(one_row[c]))
                    values[start + c, writes.start : writes.stop] = made if isinstance(made, int) else made[of_source]
                    continue
                read_rows = rows[c].tolist()
                for component in np.flatnonzero(touched[c]).tolist():
                    own_rows = read_rows[inputs[component].start : inputs[component].stop]
                    value = planner.copy(number, Copy(component, tuple((row,) for row in own_rows)))
                    values[start + c, sources[component].start : sources[component].stop] = value
    return finish(planner, outputs)


def _wanted(layout: Layout, live: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """[C, S] whether a live path leads from the source to the output."""
    graph = layout.graph
    wanted = np.zeros(live.shape[:2], dtype=np.bool_)
    for number in reversed(range(len(graph.stages))):
        writes, receivers = graph.writes[number], graph.stage_receivers[number]
        into = live[:, graph.stage_reads[number], receivers.start : receivers.stop]
        if number == len(graph.stages) - 1:
            reached = into.any(2)
        else:
            starts = [numbers.start - writes.start for numbers in layout.component_sources[number]]
            own = np.logical_or.reduceat(wanted[:, writes.start : writes.stop], starts, axis=1)
            reached = (into & own[:, None, layout.component_reading[number]]).any(2)
        wanted[:, graph.stage_reads[number]] |= reached
    return wanted
