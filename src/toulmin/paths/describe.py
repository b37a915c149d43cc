"""What a hypothesis says before it is run: paths, cost, how two differ; and which tokens contradict one on a pair."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toulmin.evidence import Table, TabularResult
from toulmin.patching import ROOT, Graph, Link, PathSet, Plan, Port, plan_paths, split_name
from toulmin.paths.evaluation import EVERYTHING_PATCHED, Functions, effects, listed, space_of
from toulmin.paths.explained import count_text
from toulmin.paths.hypothesis import Hypothesis
from toulmin.paths.metric_change import AnyMetric
from toulmin.paths.space import MAX_COPIES
from toulmin.tasks import Pair, check_model

if TYPE_CHECKING:
    from toulmin.subjects import Subject, Transformer


@dataclass(frozen=True)
class Estimate(TabularResult):
    """The size of a hypothesis and what evaluating it takes.

    ``n_paths``: the exact number of its paths through components, inputs and the classes of positions that it
    distinguishes. ``n_copies``: the mixed (node, state) copies to compute; ``n_states``: the most at one node, a bound
    on the cost in forward passes. ``passes``: the estimated cost in forward passes, beyond the clean and the
    counterfactual run. ``bytes_per_pair``: memory of activations. ``is_edge_circuit``: whether the set is all paths
    along some set of edges, so that a circuit says the same.
    """

    n_paths: int
    n_copies: int
    n_states: int
    passes: float
    bytes_per_pair: int
    is_edge_circuit: bool

    def tables(self) -> tuple[Table, ...]:
        """One row with all of it."""
        kind = "a set of edges" if self.is_edge_circuit else "no set of edges"
        row = (
            count_text(self.n_paths),
            self.n_copies,
            self.n_states,
            self.passes,
            self.bytes_per_pair / 2**20,
        )
        columns = ("paths", "copies", "most at a node", "forward passes", "MiB a pair")
        return (Table(title=f"What the hypothesis takes; it is {kind}", columns=columns, rows=(row,)),)


def describe(
    model: Transformer | Subject,
    hypothesis: str | Hypothesis,
    length: int,
    *,
    pairs: Iterable[Pair] = (),
    terms: Functions | None = None,
    max_copies: int = MAX_COPIES,
) -> Estimate:
    """Paths, states and cost of a hypothesis on prompts of ``length`` tokens, without running it.

    :param pairs: needed where the hypothesis names positions of the task.
    :raises FaultError: as :func:`toulmin.paths.evaluate`.
    """
    from toulmin.patching import bytes_per_pair  # needs torch, which reading a hypothesis does not

    model, (chosen,) = check_model(model), listed(hypothesis)
    space = space_of(model, [chosen], length, pairs=list(pairs), terms=terms)
    made = space.compile(chosen, max_copies=max_copies)
    plan = plan_paths(space.graph, [made], space.classes, terms=space.terms)
    memory = bytes_per_pair(model, plan, model.W_E.new_zeros(1, length).long())
    passes = _cost(plan, model, length) / _whole(space.graph, model, length)
    return Estimate(made.count(), made.n_copies(), made.n_states(), passes, memory, made.is_edge_circuit())


def _head_cost(model: Transformer, length: int) -> float:
    config = model.config
    return 4 * config.d_model * config.d_head + 2 * length * config.d_head


def _mlp_cost(model: Transformer) -> float:
    config = model.config
    return (3 if config.gated else 2) * config.d_model * config.d_mlp


def _cost(plan: Plan, model: Transformer, length: int) -> float:
    heads, mlps = (
        sum(len(stage.copies) for stage in plan.stages if stage.stage.kind == kind) for kind in ("attn", "mlp")
    )
    mixing = sum(len(row.entries) for stage in plan.stages for row in stage.rows) * model.config.d_model
    return heads * _head_cost(model, length) + mlps * _mlp_cost(model) + mixing


def _whole(graph: Graph, model: Transformer, length: int) -> float:
    heads = graph.n_layers * graph.n_heads * _head_cost(model, length)
    return heads + graph.n_layers * _mlp_cost(model)


def path_text(path: tuple[Link, ...]) -> str:
    """A path in the path language, from its input on; classes of positions are given by number."""
    parts: list[str] = []
    slot = ""
    for link in reversed(path):
        port = link.label
        assert isinstance(port, Port)
        component, place = split_name(link.sender)
        at = f"@{place}" if "@" in link.sender else ""
        term = f":{port.term}" if port.term else ""
        parts.append(f"{slot}{component}{term}{at}")
        slot = f"[{port.slot}] " if port.slot in ("Q", "K", "V") else ""
    return " -> ".join(part for part in parts if part != ROOT)


@dataclass(frozen=True)
class Difference(TabularResult):
    """Paths that only one of two hypotheses has, with examples, shortest first."""

    only_first: int
    only_second: int
    common: int
    examples_first: tuple[str, ...]
    examples_second: tuple[str, ...]

    def tables(self) -> tuple[Table, ...]:
        """How many paths each has alone and both have, with the examples."""
        rows = (
            ("both", count_text(self.common), ""),
            ("only the first", count_text(self.only_first), "\n".join(self.examples_first)),
            ("only the second", count_text(self.only_second), "\n".join(self.examples_second)),
        )
        return (Table(title="Paths of two hypotheses", columns=("in", "paths", "for example"), rows=rows),)


def difference(
    model: Transformer | Subject,
    first: str | Hypothesis,
    second: str | Hypothesis,
    length: int,
    *,
    pairs: Iterable[Pair] = (),
    terms: Functions | None = None,
    examples: int = 5,
) -> Difference:
    """How two hypotheses differ as sets of paths, over the classes of positions that either distinguishes.

    :raises FaultError: as :func:`toulmin.paths.evaluate`.
    """
    both = [*listed(first), *listed(second)]
    space = space_of(check_model(model), both, length, pairs=list(pairs), terms=terms)
    a, b = (space.compile(one) for one in both)
    return Difference(
        (a - b).count(), (b - a).count(), (a & b).count(), _examples(a - b, examples), _examples(b - a, examples)
    )


def _examples(some: PathSet, count: int) -> tuple[str, ...]:
    """A few paths, the shortest of the first thousand."""
    found = sorted(itertools.islice(some.paths(), 1000), key=len)[:count]
    return tuple(path_text(path) for path in found)


def explain_inputs(
    model: Transformer | Subject,
    hypothesis: str | Hypothesis,
    pair: Pair,
    *,
    metric: AnyMetric = "loss",
    terms: Functions | None = None,
) -> Table:
    """Which input tokens contradict a hypothesis on one pair: attribution by path patching, the clean prompt fixed.

    For each position where the prompts differ, only that token is taken from the counterfactual; the change of the
    output is then due to paths outside the hypothesis that start there. Beside it, the change when all paths read it.

    :param metric: as in :func:`toulmin.paths.evaluate`; the signed change of it, so that tokens may help or hurt.
    :return: one row a position, the largest first, and a row for all positions together.
    """
    (chosen,) = listed(hypothesis)
    changed = [i for i, (a, b) in enumerate(zip(pair.clean, pair.counterfactual, strict=True)) if a != b]
    variants = [
        Pair(
            pair.clean,
            tuple(pair.counterfactual[i] if i == place else token for i, token in enumerate(pair.clean)),
            pair.answers,
            pair.wrong,
            dict(pair.positions),
            unit=f"token {place}",
            at=pair.at,
        )
        for place in changed
    ]
    everything = Pair(
        pair.clean, pair.counterfactual, pair.answers, pair.wrong, dict(pair.positions), unit="all", at=pair.at
    )
    found = effects(
        model, [chosen], [*variants, everything], metric=metric, baseline=EVERYTHING_PATCHED, terms=terms, signed=True
    )
    unexplained = next(iter(found.unexplained.values()))
    order = [*np.argsort(-np.abs(unexplained[:-1])).tolist(), len(variants)]
    places = [*changed, -1]
    return Table(
        title=f"Inputs that contradict {chosen.label}",
        columns=("position", "clean token", "counterfactual token", "unexplained", "total"),
        caption=f"Change of {found.metric} ({found.unit}).",
        rows=tuple(
            (
                "all" if places[i] < 0 else places[i],
                "" if places[i] < 0 else pair.clean[places[i]],
                "" if places[i] < 0 else pair.counterfactual[places[i]],
                float(unexplained[i]),
                float(found.total[i]),
            )
            for i in order
        ),
    )
