"""Probability intervals of a whole argument.

Undeveloped, stale and unquantified parts are [0, 1]; so is an assumption without a probability, which is why every
claim also gets the interval *given* such assumptions and accepted doubts. An attack that stands takes the lower end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, cast

from toulmin.case.argument.evaluate import Evaluation
from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health, Label, Outcome
from toulmin.case.argument.probability import (
    bound_all,
    combine_bounds,
    combine_chain,
    combine_independent,
    conservative_bayes,
    passes_unseen,
)
from toulmin.case.argument.verdict import UNKNOWN, Binding, Probability
from toulmin.case.file.casefile import Case
from toulmin.case.file.elements import Assumption, Claim, EvidenceNode, Module
from toulmin.evidence import Evidence
from toulmin.faults import Fault

CERTAIN = Probability(1.0, 1.0)


@dataclass(frozen=True)
class Quantities:
    """What is known in numbers: intervals of leaves, and how each claim combines its children."""

    leaves: Mapping[str, Probability]
    rules: Mapping[str, str] = field(default_factory=dict[str, str])  #: claim -> independent | chain


def quantify_evidence(
    node: EvidenceNode, binding: Binding, records: Sequence[Evidence], *, drawn: bool = True
) -> Probability | None:
    """The interval a declared prior and a zero failure count give; None without both.

    :param drawn: each run drew data of its own; if not, several runs are one observation.
    """
    if node.prior is None or binding.outcome is not Outcome.PASS or binding.stale or not records:
        return None
    trials: list[int] = []
    for record in records:
        measure = record.measures.get(node.prior.failures)
        if measure is None or measure.value != 0:
            return None
        trials.append(measure.n)
    prior = node.prior
    return Probability(
        conservative_bayes(prior.theta, prior.p_l, prior.p_star, sum(trials) if drawn else max(trials)), 1.0
    )


def warn_of_rare_failures(
    case: Case, node: EvidenceNode, binding: Binding, records: Sequence[Evidence]
) -> Iterator[Fault]:
    """C060 where a model failing at the claimed rate would still pass all trials more than once in twenty."""
    if node.prior is None or not records:
        return
    n = sum(r.measures[node.prior.failures].n for r in records if node.prior.failures in r.measures)
    unseen = passes_unseen(node.prior.p_star, n)
    if n and unseen > 0.05:
        message = (
            f"a model failing at rate {node.prior.p_star:g} passes {n} independent tests "
            f"with probability {unseen:.0%}; "
            f"one failing at rate 1/{n}, with {passes_unseen(1 / n, n):.0%}"
        )
        yield case.fault("C060", message, node.id, "prior")


def propagate(
    argument: Argument, state: Evaluation, stale: frozenset[str], quantities: Quantities, *, given: bool = False
) -> dict[str, Probability | None]:
    """The interval of every vertex; None where nothing below is quantified.

    ``given`` takes unquantified assumptions and accepted doubts as true.
    """
    found: dict[str, Probability | None] = dict.fromkeys(argument.vertices)
    for identifier in argument.support_order if quantities.leaves else ():
        vertex = argument.vertices[identifier]
        if vertex.children:
            interval = _of_claim(argument, vertex, found, state, quantities, given=given)
        else:
            interval = quantities.leaves.get(identifier)
        if interval is not None:
            if not vertex.children and (identifier in stale or state.low[identifier] <= Health.UNSUPPORTED):
                interval = UNKNOWN
            if not _answered(vertex.attackers, state, given=given):
                interval = Probability(0.0, interval.high)
        found[identifier] = interval
    return found


def _answered(attackers: Sequence[str], state: Evaluation, *, given: bool) -> bool:
    return all(state.labels[a] is Label.OUT and (given or not state.caveats[a]) for a in attackers)


def _of_claim(
    argument: Argument,
    vertex: Vertex,
    found: Mapping[str, Probability | None],
    state: Evaluation,
    quantities: Quantities,
    *,
    given: bool,
) -> Probability | None:
    assumptions = [c for c in vertex.contexts if argument.vertices[c].type == "assumption"]
    if all(found[below] is None for below in (*vertex.children, *assumptions)):
        return None
    intervals = [found[child] or UNKNOWN for child in vertex.children]
    for child, attackers in vertex.link_attackers.items():
        if not _answered(attackers, state, given=given):
            place = vertex.children.index(child)
            intervals[place] = Probability(0.0, intervals[place].high)
    rule = quantities.rules.get(vertex.id)
    if rule == "independent":
        interval = combine_independent(vertex.mode, intervals)
    elif rule == "chain":
        interval = combine_chain(intervals)
    else:
        interval = combine_bounds(vertex.mode, intervals)
    premises = [found[assumption] or (CERTAIN if given else UNKNOWN) for assumption in assumptions]
    if vertex.undeveloped:
        premises.append(UNKNOWN)
    return bound_all([interval, *premises]) if premises else interval


def check_independence(case: Case, argument: Argument) -> Iterator[Fault]:
    """C022 for every declared independence whose branches share an assumption, data, a model or a method."""
    declared = [claim for claim in (*case.parsed.goal, *case.parsed.strategy) if claim.confidence == "independent"]
    if not declared:
        return
    roots = _roots(case, argument)
    for claim in declared:
        for first, second in combinations(argument.vertices[claim.id].children, 2):
            shared = sorted(roots[first] & roots[second])
            if shared:
                message = f"{first} and {second} share {', '.join(shared)}"
                yield case.fault("C022", message, claim.id, "confidence")


def _roots(case: Case, argument: Argument) -> dict[str, frozenset[str]]:
    declared = {**case.parsed.subjects, **case.parsed.data}
    found: dict[str, frozenset[str]] = {}
    for identifier in argument.support_order:
        element, vertex = case.nodes.get(identifier), argument.vertices[identifier]
        own: set[str] = set()
        if isinstance(element, Assumption):
            own.add(f"assumption {identifier}")
        elif isinstance(element, Module):
            own.add(f"module {element.case}")
        elif isinstance(element, EvidenceNode):
            own |= {f"evidence {identifier}", *([f"method {element.study}"] if element.study else [])}
            names = [element.subject, *element.data, *_mentioned(element.configuration)]
            own |= {f"{declared[n].reference}" for n in names if n in declared}
        elif isinstance(element, Claim) and not vertex.children:
            own.add(f"claim {identifier}")
        for below in (*vertex.children, *vertex.contexts):
            own |= found[below]
        found[identifier] = frozenset(own)
    return found


def _mentioned(value: Any) -> Iterator[str]:
    if isinstance(value, str) and value.startswith("@"):
        yield value[1:]
    elif isinstance(value, dict):
        for part in cast("dict[str, Any]", value).values():
            yield from _mentioned(part)
    elif isinstance(value, list):
        for part in cast("list[Any]", value):
            yield from _mentioned(part)
