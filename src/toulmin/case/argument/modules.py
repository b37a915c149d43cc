"""Away goals, contexts and evidence: elements of other cases, which are checked there and worth what is found there.

An element of another case is worth no more than that case as a whole, is stale if that case is, and rests on whatever
that case rests on. That a whole case is refuted leaves its other elements unsupported; it does not show them false.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from toulmin.case.argument.graph import LeafState
from toulmin.case.argument.health import Freshness, Health, of_support
from toulmin.case.argument.verdict import Dependencies, Probability, Problem, Reason
from toulmin.case.file.casefile import Case, locate_case
from toulmin.case.file.elements import CONTEXTS, Module
from toulmin.faults import Fault

if TYPE_CHECKING:
    from toulmin.case.checking import Checked

MAX_NESTED = 16


@dataclass
class ModuleStates:
    """What the modules of a case say: health and freshness, probability, what they rest on, and their faults."""

    leaves: dict[str, LeafState] = field(default_factory=dict[str, LeafState])
    probabilities: dict[str, Probability] = field(default_factory=dict[str, Probability])
    rests_on: dict[str, frozenset[str]] = field(default_factory=dict[str, frozenset[str]])
    resting: dict[str, Dependencies] = field(default_factory=dict[str, Dependencies])
    reasons: dict[str, tuple[Reason, ...]] = field(default_factory=dict[str, tuple[Reason, ...]])
    problems: list[Problem] = field(default_factory=list[Problem])  #: the open problems of those cases
    faults: list[Fault] = field(default_factory=list[Fault])


def check_modules(case: Case, above: tuple[Path, ...], check_nested: Callable[[Path], Checked]) -> ModuleStates:
    """Check every case a module names, each once; ``above`` are the cases being checked already."""
    states = ModuleStates()
    checked: dict[Path, Checked] = {}
    for module in case.parsed.module:
        target = case.inside(module.case)
        if target is None:
            message = f"the module leaves the folder of the case: {module.case}"
            states.faults.append(case.fault("C018", message, module.id, "case"))
            continue
        file = locate_case(target)
        if file in above:
            states.faults.append(case.fault("C020", f"the cases refer to each other: {module.case}", module.id, "case"))
            continue
        if len(above) > MAX_NESTED:
            states.faults.append(case.fault("C020", f"nested deeper than {MAX_NESTED} cases", module.id, "case"))
            continue
        if file not in checked:
            checked[file] = check_nested(file)
            states.faults += checked[file].verdict.faults
            states.problems += [replace(p, id=f"{module.id}/{p.id}") for p in checked[file].verdict.open_problems]
        _take(case, module, checked[file], states)
    return states


def _take(case: Case, module: Module, nested: Checked, states: ModuleStates) -> None:
    verdict = nested.verdict
    key = next((key for key in ("goal", "context", "evidence") if getattr(module, key)), "case")
    name = verdict.root if key == "case" else getattr(module, key)
    node = verdict.nodes.get(name) if name else None
    types = {"context": CONTEXTS, "evidence": frozenset({"evidence"})}.get(key, frozenset({"goal"}))
    if node is None or node.type not in types:
        what = f"has no {key} {name}" if key != "case" and verdict.nodes else "cannot be evaluated"
        states.faults.append(case.fault("C020", f"{module.case} {what}", module.id, key))
        return
    top = verdict.nodes.get(verdict.root or "")
    worth, of_case = node.health, verdict.health if verdict.health is not None else Health.UNSUPPORTED
    stale = node.freshness is Freshness.STALE or verdict.freshness is Freshness.STALE
    # what stands against the whole case, or what the whole case rests on, is not left behind by naming one part of it
    states.leaves[module.id] = LeafState(min(worth, of_support(of_case)) if node is not top else worth, stale)
    if node.probability is not None:
        states.probabilities[module.id] = node.probability
    names = {*node.rests_on, *(top.rests_on if top else ())}
    states.rests_on[module.id] = frozenset(f"{module.id}/{name}" for name in names)
    for entry in (*nested.resting_of(node.id), *(nested.resting_of(top.id) if top else ())):
        name = f"{module.id}/{entry.id}"
        states.resting[name] = Dependencies(
            name, entry.kind, entry.accepted_by, entry.accepted_on, entry.until, entry.expired
        )
    reasons: list[Reason] = []
    if node.health is not Health.SUPPORTED or stale:
        reasons += [Reason("module", module.id, f"{name}: {reason.text}") for reason in node.reasons]
    if of_case < worth:
        text = f"its case as a whole is {of_case.word}, and a part of it is worth no more"
        reasons += [Reason("module", module.id, text)]
        reasons += [Reason("module", module.id, str(reason)) for reason in verdict.reasons]
    states.reasons[module.id] = tuple(reasons)
