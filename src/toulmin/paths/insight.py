"""Looking into a hypothesis: what it costs, whether edges would do, how two differ, and which inputs break it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from toulmin.evidence import Table
from toulmin.patching.graph import Graph
from toulmin.patching.pathset import Link, PathSet
from toulmin.patching.plan import Plan
from toulmin.patching.plan_paths import plan_paths
from toulmin.patching.position_classes import ROOT, Port, split_name
from toulmin.paths.evaluation import EVERYTHING_PATCHED, Functions, effects, space_of
from toulmin.paths.hypothesis import MAX_COPIES, Hypothesis
from toulmin.tasks import Pair

if TYPE_CHECKING:
    from toulmin.subjects import Transformer


@dataclass(frozen=True)
class Estimate:
    """What evaluating a hypothesis takes, before running it.

    ``n_paths`` through components and classes of positions; ``n_copies`` mixed (node, state) pairs; ``n_states`` the
    most states at one node, a bound on the cost in forward passes; ``passes`` the estimated cost in forward passes,
    over the two cached runs; ``bytes_per_pair`` of activations; ``is_edge_circuit`` whether a set of edges would do.
    """

    n_paths: int
    n_copies: int
    n_states: int
    passes: float
    bytes_per_pair: int
    is_edge_circuit: bool

    def __str__(self) -> str:
        kind = "a set of edges" if self.is_edge_circuit else "no set of edges"
        return (
            f"{self.n_paths} paths, {self.n_copies} copies ({self.n_states} states at most), about {self.passes:.2f} "
            f"forward passes, {self.bytes_per_pair / 2**20:.1f} MiB a pair; it is {kind}"
        )


def describe(
    model: Transformer,
    hypothesis: Hypothesis,
    length: int,
    *,
    pairs: Sequence[Pair] = (),
    terms: Functions | None = None,
    max_copies: int = MAX_COPIES,
) -> Estimate:
    """Paths, states and cost of a hypothesis on sequences of a length, without running it.

    :raises FaultError: as :func:`toulmin.paths.evaluate`.
    """
    space = space_of(model, [hypothesis], length, pairs=pairs, terms=terms)
    made = space.compile(hypothesis, max_copies=max_copies)
    plan = plan_paths(space.graph, [made], space.cells, terms=space.terms)
    config = model.config
    memory = length * plan.bytes_per_token(
        config.d_model, config.d_head, config.d_mlp, length, model.W_E.element_size()
    )
    passes = _cost(plan, model, length) / _whole(space.graph, model, length)
    return Estimate(made.count(), made.n_copies(), made.n_states(), passes, memory, made.is_edge_circuit())


def _head_cost(model: Transformer, length: int) -> float:
    config = model.config
    return 4 * config.d_model * config.d_head + 2 * length * config.d_head


def _mlp_cost(model: Transformer) -> float:
    config = model.config
    return (3 if config.gated else 2) * config.d_model * config.d_mlp


def _cost(plan: Plan, model: Transformer, length: int) -> float:
    heads = sum(len(stage.heads) for stage in plan.stages)
    mlps = sum(len(stage.mlps) for stage in plan.stages)
    mixing = sum(len(row.entries) for stage in plan.stages for row in stage.rows) * model.config.d_model
    return heads * _head_cost(model, length) + mlps * _mlp_cost(model) + mixing


def _whole(graph: Graph, model: Transformer, length: int) -> float:
    heads = graph.n_layers * graph.n_heads * _head_cost(model, length)
    return heads + graph.n_layers * _mlp_cost(model)


def path_text(path: tuple[Link, ...]) -> str:
    """A path of the refined graph from its input on, in the path language (classes of positions by number)."""
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
class Difference:
    """Paths that only one of two hypotheses has, with examples, shortest first."""

    only_first: int
    only_second: int
    common: int
    examples_first: tuple[str, ...]
    examples_second: tuple[str, ...]

    def __str__(self) -> str:
        lines = [
            f"{self.common} paths in both, {self.only_first} only in the first, {self.only_second} only in the second"
        ]
        lines += [f"  + {text}" for text in self.examples_first]
        lines += [f"  - {text}" for text in self.examples_second]
        return "\n".join(lines)


def difference(
    model: Transformer,
    first: Hypothesis,
    second: Hypothesis,
    length: int,
    *,
    pairs: Sequence[Pair] = (),
    terms: Functions | None = None,
    examples: int = 5,
) -> Difference:
    """How two hypotheses differ as sets of paths, over the classes that either tells apart."""
    space = space_of(model, [first, second], length, pairs=pairs, terms=terms)
    a, b = space.compile(first), space.compile(second)
    return Difference(
        (a - b).count(), (b - a).count(), (a & b).count(), _examples(a - b, examples), _examples(b - a, examples)
    )


def _examples(some: PathSet, count: int) -> tuple[str, ...]:
    """A few paths, the shortest of the first thousand."""
    found = sorted(itertools.islice(some.paths(), 1000), key=len)[:count]
    return tuple(path_text(path) for path in found)


def explain_inputs(
    model: Transformer,
    hypothesis: Hypothesis,
    pair: Pair,
    *,
    delta: str = "signed_loss",
    terms: Functions | None = None,
) -> Table:
    """Which inputs break a hypothesis on one pair: path-patching attribution, the reference fixed.

    For each position where the prompts differ, only that token is taken from the counterfactual; the change of the
    output is then due to paths outside the hypothesis that start there. Beside it, the change when all paths read it.

    :param delta: signed by default, so that inputs may help or hurt.
    """
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
        model, [hypothesis], [*variants, everything], delta=delta, baseline=EVERYTHING_PATCHED, terms=terms, signed=True
    )
    unexplained = next(iter(found.unexplained.values()))
    order = [*np.argsort(-np.abs(unexplained[:-1])).tolist(), len(variants)]
    places = [*changed, -1]
    return Table(
        title=f"Inputs that break {hypothesis.label}",
        columns=("position", "reference token", "counterfactual token", "unexplained", "total"),
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
