"""Outputs of path sets on batches of pairs, in chunks that stay under a memory bound."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Shaped
from torch import Tensor

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.patching.cache import FixedValues, SourceValues, Values, advance_together, first_difference
from toulmin.patching.execute import Execution
from toulmin.patching.graph import Graph
from toulmin.patching.kernels import Terms
from toulmin.patching.memory import bytes_per_pair, default_bytes
from toulmin.patching.models import Model, as_computation
from toulmin.patching.pathset import PathSet
from toulmin.patching.plan import Plan
from toulmin.patching.plan_paths import plan_paths
from toulmin.patching.position_classes import PositionClasses
from toulmin.patching.scored import Scored, common_positions, first_scored, scored_of_rows


def run_paths(
    model: Model,
    sets: Sequence[PathSet],
    clean: Shaped[Tensor, "B ..."],
    counterfactual: Shaped[Tensor, "..."],
    *,
    graph: Graph | None = None,
    classes: PositionClasses | None = None,
    terms: Terms | None = None,
    values: Tensor | None = None,
    scored: Scored = None,
    max_bytes: int | None = None,
) -> Tensor:
    r"""Logits :math:`G_P(x_{clean}, x_{cf})` of each path set P (Goldowsky-Dill et al. 2023, section 2).

    Every copy of an input at the end of a path in P reads the clean tokens, every other the counterfactual.

    :param sets: over the graph refined by ``classes`` and the names in ``terms``
        (:func:`toulmin.patching.position_classes.refine`).
    :param terms: for each split component, by name, functions whose values sum to its output.
    :param values: [S, B, T, D]: what an edge with no path in P carries instead of the counterfactual (zeros, means).
    :param max_bytes: pairs, and where one pair is too much sets, are run in chunks so that activations stay below this;
        default :func:`toulmin.patching.default_bytes` of the device.
    :return: [R, B, V], or [R, B, P, V] where several positions are scored.
    :raises FaultError: ``patching.tokens``, ``patching.lengths``, ``patching.memory`` (exit LIMIT).
    """
    computation = as_computation(model, graph, terms)
    computation.check(clean, counterfactual)
    max_bytes = default_bytes(clean.device) if max_bytes is None else max_bytes
    of_tokens = computation.graph.shape is not None
    length = clean.shape[-1] if of_tokens else 1
    classes = classes or PositionClasses.uniform(length)
    everywhere = of_tokens and common_positions(scored, length) is None
    waiting, outputs = [sets], list[Tensor]()
    while waiting:
        some = waiting.pop(0)
        plan = plan_paths(computation.graph, some, classes, counterfactual_is_run=values is None)
        per_pair = bytes_per_pair(computation, plan, clean, everywhere=everywhere)
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
            clean_run = SourceValues(computation, clean[rows])
            if values is None:
                other_run = SourceValues(computation, counterfactual[rows])
            else:
                wide = values if values.shape[1] == 1 else values[:, rows]
                other_run = FixedValues(wide.expand(-1, *clean_run.shape, -1), computation.graph)
            advance_together((clean_run, other_run), plan.opposite_stages)
            part_classes, part_scored = classes.of_rows(rows), scored_of_rows(scored, rows)
            parts.append(run_plan(computation, plan, clean_run, other_run, classes=part_classes, scored=part_scored))
        outputs.append(parts[0] if len(parts) == 1 else torch.cat(parts, 1))
    return outputs[0] if len(outputs) == 1 else torch.cat(outputs)


def run_plan(
    model: Model,
    plan: Plan,
    clean: Values,
    counterfactual: Values,
    *,
    classes: PositionClasses | None = None,
    terms: Terms | None = None,
    scored: Scored = None,
) -> Tensor:
    """Logits of each root of a plan on one batch.

    :param terms: for each component that the plan's graph splits, by name, functions whose values sum to its output.
    """
    computation = as_computation(model, plan.graph, terms)
    start = start_of(clean, counterfactual, scored)
    return Execution(computation, plan, clean, counterfactual, classes=classes, start=start).run(scored)


def start_of(clean: Values, counterfactual: Values, scored: Scored) -> int:
    """The first position that has to be computed: where the two runs may differ, or that is scored."""
    first = first_difference(clean, counterfactual)
    return min(first, first_scored(scored, clean.value(0).shape[-2])) if first else 0
