"""Goals of other cases: checked by their own case, and taken at its word."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from toulmin.case.argument.graph import LeafState
from toulmin.case.argument.health import Freshness, Health
from toulmin.case.argument.verdict import Dependencies, Probability, Reason
from toulmin.case.file.casefile import Case, locate_case
from toulmin.case.file.elements import Module
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
        _take(case, module, checked[file], states)
    return states


def _take(case: Case, module: Module, nested: Checked, states: ModuleStates) -> None:
    verdict = nested.verdict
    goal = module.goal or verdict.root
    node = verdict.nodes.get(goal) if goal else None
    if node is None or node.type != "goal":
        what = f"has no goal {module.goal}" if module.goal and verdict.nodes else "cannot be evaluated"
        states.faults.append(case.fault("C020", f"{module.case} {what}", module.id, "goal" if module.goal else "case"))
        return
    stale = node.freshness is Freshness.STALE
    states.leaves[module.id] = LeafState(node.health, stale)
    if node.probability is not None:
        states.probabilities[module.id] = node.probability
    states.rests_on[module.id] = frozenset(f"{module.id}/{name}" for name in node.rests_on)
    for entry in nested.resting_of(node.id):
        name = f"{module.id}/{entry.id}"
        states.resting[name] = Dependencies(
            name, entry.kind, entry.accepted_by, entry.accepted_on, entry.until, entry.expired
        )
    if node.health is not Health.SUPPORTED or stale:
        states.reasons[module.id] = tuple(
            Reason("module", module.id, f"{goal}: {reason.text}") for reason in node.reasons
        )
