"""Outputs of path sets on batches of pairs, in chunks that stay under a memory bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.cache import FixedValues, Scored, Values, advance_together, check_tokens, source_values
from toulmin.patching.execute import Execution, Terms, common_positions
from toulmin.patching.graph import Graph
from toulmin.patching.pathset import PathSet
from toulmin.patching.plan import Plan
from toulmin.patching.plan_paths import plan_paths
from toulmin.patching.position_classes import PositionClasses

if TYPE_CHECKING:
    from toulmin.subjects import Transformer

DEFAULT_BYTES = 2 * 1024**3


def run_paths(
    model: Transformer,
    sets: Sequence[PathSet],
    clean: Int[Tensor, "B T"],
    counterfactual: Int[Tensor, "B T"],
    *,
    graph: Graph | None = None,
    classes: PositionClasses | None = None,
    terms: Terms | None = None,
    values: Tensor | None = None,
    scored: Scored = None,
    max_bytes: int = DEFAULT_BYTES,
) -> Tensor:
    r"""Logits :math:`G_P(x_{clean}, x_{cf})` of each path set P (Goldowsky-Dill et al. 2023, section 2).

    Every copy of an input at the end of a path in P reads the clean tokens, every other the counterfactual.

    :param sets: over the graph refined by ``classes`` and the names in ``terms``
        (:func:`toulmin.patching.position_classes.refine`).
    :param terms: for each split source, by name, functions whose values sum to its output.
    :param values: [S, B, T, D]: what an edge with no path in P carries instead of the counterfactual (zeros, means).
    :param max_bytes: pairs, and where one pair is too much sets, are run in chunks so that activations stay below this.
    :return: [R, B, V], or [R, B, P, V] where several positions are scored.
    :raises FaultError: ``patching.tokens``, ``patching.lengths``, ``patching.memory`` (exit LIMIT).
    """
    check_tokens(model, clean, counterfactual)
    graph = graph or Graph.of(model)
    classes = classes or PositionClasses.uniform(clean.shape[-1])
    names = {source: tuple(parts) for source, parts in (terms or {}).items()}

    config, length = model.config, clean.shape[-1]
    everywhere = common_positions(scored, length) is None
    waiting, outputs = [sets], list[Tensor]()
    while waiting:
        some = waiting.pop(0)
        plan = plan_paths(graph, some, classes, terms=names, counterfactual_is_run=values is None)
        per_pair = length * plan.bytes_per_token(
            config.d_model, config.d_head, config.d_mlp, length, model.W_E.element_size(), everywhere=everywhere
        )
        chunk = int(max_bytes // per_pair)
        if not chunk:
            if len(some) == 1:
                message = f"one set on one pair needs about {per_pair} bytes, more than the bound {max_bytes}"
                raise FaultError(Fault("patching.memory", message), ExitCode.LIMIT)
            half = len(some) // 2
            waiting[:0] = [some[:half], some[half:]]
            continue
        parts: list[Tensor] = []
        for start in range(0, clean.shape[0], chunk):
            rows = slice(start, start + chunk)
            clean_run = source_values(model, clean[rows], graph=graph)
            if values is None:
                other_run = source_values(model, counterfactual[rows], graph=graph)
            else:
                wide = values if values.shape[1] == 1 else values[:, rows]
                other_run = FixedValues(wide.expand(-1, *clean_run.shape, -1), graph)
            advance_together((clean_run, other_run), plan.opposite_stage)
            part_classes, part_scored = classes.of_rows(rows), rows_of(scored, rows)
            parts.append(
                run_plan(model, plan, clean_run, other_run, classes=part_classes, terms=terms, scored=part_scored)
            )
        outputs.append(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def run_plan(
    model: Transformer,
    plan: Plan,
    clean: Values,
    other: Values,
    *,
    classes: PositionClasses | None = None,
    terms: Terms | None = None,
    scored: Scored = None,
) -> Tensor:
    """Logits of each root of a plan on one batch."""
    return Execution(model, plan, clean, other, classes=classes, terms=terms).run(scored)


def rows_of(scored: Scored, rows: slice) -> Scored:
    """The scored positions of some of the pairs."""
    return scored if scored is None or isinstance(scored, int | slice | str) else torch.as_tensor(scored)[rows]
