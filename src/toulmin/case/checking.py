"""Checks a case: reads it, binds evidence to studies, looks records up, evaluates the argument, and says why."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from toulmin.case.argument.conclusion import conclude
from toulmin.case.argument.confidence import (
    Quantities,
    check_independence,
    propagate,
    quantify_evidence,
    warn_of_rare_failures,
)
from toulmin.case.argument.dependencies import resting
from toulmin.case.argument.evaluate import Evaluation, evaluate
from toulmin.case.argument.freshness import staleness
from toulmin.case.argument.graph import Argument, LeafState, build_argument
from toulmin.case.argument.health import Freshness, Health, Label, Outcome
from toulmin.case.argument.modules import ModuleStates, check_modules
from toulmin.case.argument.reasons import Explainer
from toulmin.case.argument.sensitivity import Sensitivity, analyse
from toulmin.case.argument.verdict import Binding, Dependencies, Probability, Problem, Reason, Verdict
from toulmin.case.argument.verdict_nodes import edges_of, node_verdicts
from toulmin.case.evidence.binding import Binder
from toulmin.case.evidence.controls import check_controls, without_support
from toulmin.case.evidence.doubts import attach_doubts
from toulmin.case.evidence.registration import compare_with_lock
from toulmin.case.evidence.resolve import BindingResolver, Resolution
from toulmin.case.evidence.subjects import check_subjects
from toulmin.case.file.casefile import LOCK_NAME, Case, load_case
from toulmin.case.file.contents import accepted_contents
from toulmin.case.file.decisions import check_decisions, standing_decisions
from toulmin.case.file.diagnostics import severity, worst_first
from toulmin.case.file.elements import Acceptance, Assumption, Defeater, EvidenceNode, Header, OpenProblem
from toulmin.case.file.garbage import collector_paused
from toulmin.case.file.lock import Lock, read_lock
from toulmin.case.file.readiness import check_readiness, check_risk
from toulmin.case.file.structure import check_structure, find_root
from toulmin.evidence import Store
from toulmin.faults import ExitCode, Fault, FaultError


@dataclass(frozen=True)
class Evaluated:
    """The parts of an evaluated case."""

    argument: Argument
    state: Evaluation
    stale: frozenset[str]
    quantities: Quantities
    rests_on: Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Checked:
    """A verdict and what it was derived from; ``case`` and ``evaluated`` are None where it could not be."""

    verdict: Verdict
    today: dt.date
    case: Case | None = None
    lock: Lock = field(default_factory=Lock)
    evaluated: Evaluated | None = None
    resolutions: Mapping[str, Resolution] = field(default_factory=dict[str, Resolution])
    modules: ModuleStates = field(default_factory=ModuleStates)
    attached: tuple[Defeater, ...] = ()
    decisions: Mapping[str, Acceptance] = field(default_factory=dict[str, Acceptance])  #: that still stand
    store: Store = field(default_factory=lambda: Store(Header().store))

    def resting_of(self, identifier: str) -> tuple[Dependencies, ...]:
        """What an element rests on, with who accepted it."""
        if self.case is None or self.evaluated is None:
            return ()
        entries: list[Dependencies] = []
        for name in sorted(self.evaluated.rests_on.get(identifier, ())):
            if name in self.modules.resting:
                entries.append(self.modules.resting[name])
                continue
            entries.append(self._entry(name, self.decisions.get(name)))
        return tuple(entries)

    def _entry(self, name: str, decision: Acceptance | None) -> Dependencies:
        assert self.case is not None
        assert self.evaluated is not None
        element = self.case.nodes.get(name)
        if isinstance(element, Assumption):
            kind, overdue = "assumption", element.review is not None and element.review < self.today
        else:
            doubt = "open problem" if isinstance(element, OpenProblem) else "doubt"
            kind = "answer" if self.evaluated.state.labels.get(name) is Label.IN else doubt
            overdue = False
            if decision is not None and (decision.kind == "answer") != (kind == "answer"):
                decision = None  # living with a doubt is not believing an answer
        if decision is None:
            return Dependencies(name, kind, None, None, None, overdue)
        until = decision.until.isoformat() if decision.until else None
        expired = overdue or not holds(decision, self.today)
        return Dependencies(name, kind, decision.by, decision.on.isoformat(), until, expired)

    def sensitivity(self) -> Sensitivity | None:
        """What the conclusion hinges on; None where the case could not be evaluated."""
        found = self.evaluated
        return analyse(found.argument, found.state, found.stale, found.quantities) if found else None


def holds(decision: Acceptance, today: dt.date) -> bool:
    """Whether a decision counts today."""
    return decision.on <= today and (decision.until is None or today <= decision.until)


def check(
    path: str | Path,
    *,
    today: dt.date | None = None,
    store: str | Path | None = None,
    trust_mtime: bool = False,
    rederive: bool = True,
) -> Verdict:
    """The verdict on the case at ``path`` (a file or its folder); a bad case gives faults, never an exception."""
    return check_case(path, today=today, store=store, trust_mtime=trust_mtime, rederive=rederive).verdict


@collector_paused()
def check_case(
    path: str | Path,
    *,
    today: dt.date | None = None,
    store: str | Path | None = None,
    trust_mtime: bool = False,
    rederive: bool = True,
    _above: tuple[Path, ...] = (),
) -> Checked:
    """The verdict with what it was derived from: case, argument, evidence.

    ``store`` replaces the folder the case names; ``trust_mtime`` takes hashes of earlier runs for inputs that look
    untouched; ``rederive`` summarises stored items again, not only their hashes.
    """
    today = today or dt.datetime.now(dt.UTC).date()
    case, faults = load_case(path)
    if case is None:
        return Checked(_broken(str(path), "", None, faults, today), today)
    lock, lock_faults = read_lock(case.file.parent / LOCK_NAME)
    faults += lock_faults
    attached = attach_doubts(case)
    structural = check_structure(case, frozenset(d.id for d in attached))
    structural += [*check_decisions(case, today), *check_readiness(case)]
    form = [fault for fault in faults + structural if severity(fault) == "invalid"]
    kept, store_faults = _open_store(case, store)
    faults += store_faults
    resolver = BindingResolver(Binder(case, kept, trust_mtime), lock, today, rederive)
    resolutions, bindings, binding_faults = _resolve_all(case, resolver)
    faults += structural + binding_faults

    def nested(file: Path) -> Checked:
        above = (*_above, case.file.resolve())
        return check_case(file, today=today, store=None, trust_mtime=trust_mtime, rederive=rederive, _above=above)

    modules = check_modules(case, (*_above, case.file.resolve()), nested)
    faults += modules.faults
    root = find_root(case)
    if form or root is None:
        broken = _broken(str(case.file), case.parsed.case.title, root, faults, today)
        return Checked(broken, today, case, lock, None, resolutions, attached=attached, store=kept)
    decisions, void = standing_decisions(case, lock, accepted_contents(case, attached))
    whole = len(resolutions) == sum(binding.outcome is not Outcome.UNDEVELOPED for binding in bindings.values())
    faults += void + compare_with_lock(case, lock, kept, resolutions, whole=whole)
    partial = _broken("", "", root, (), today)
    found = Checked(partial, today, case, lock, None, resolutions, modules, attached, decisions, kept)
    return _evaluate(found, root, bindings, faults)


def _open_store(case: Case, given: str | Path | None) -> tuple[Store, list[Fault]]:
    """The store, if its folder can be looked into or does not exist yet; else the default one, and why."""
    folder = Path(given) if given is not None else case.store_folder
    try:
        if "\0" in str(folder):
            raise ValueError("a NUL in its name")
        for part in (folder / "records",):
            if part.is_dir():
                next(part.iterdir(), None)
    except (OSError, ValueError) as error:  # a name too long, a NUL, no permission
        line = case.located.line_of(("case", "store"))
        message = f"the store cannot be read: {getattr(error, 'strerror', None) or error}"
        return Store(case.folder / Header().store), [Fault("C018", message, str(case.file), line, "store")]
    return Store(folder), []


def _resolve_all(
    case: Case, resolver: BindingResolver
) -> tuple[dict[str, Resolution], dict[str, Binding], list[Fault]]:
    faults: list[Fault] = []
    resolutions: dict[str, Resolution] = {}
    bindings: dict[str, Binding] = {}
    for node in case.parsed.evidence:
        if node.undeveloped and node.study is None:
            bindings[node.id] = Binding(None, node.criterion, Outcome.UNDEVELOPED, problems=("no study yet",))
            faults += resolver.binder.check_example(node)
            continue
        question, problems = resolver.binder.bind(node)
        faults += problems
        if question is None:
            said = tuple(fault.message for fault in problems)
            bindings[node.id] = Binding(node.study, node.criterion, Outcome.ERROR, problems=said)
            continue
        resolution = resolver.resolve(question)
        faults += resolution.faults
        faults += warn_of_rare_failures(case, node, resolution.binding, resolution.records)
        resolutions[node.id], bindings[node.id] = resolution, resolution.binding
    faults += without_support(bindings, check_controls(case, resolutions, resolver.binder.store))
    return resolutions, bindings, [*faults, *check_subjects(case, resolutions)]


def _evaluate(found: Checked, root: str, bindings: Mapping[str, Binding], faults: list[Fault]) -> Checked:
    case, today, modules, attached = found.case, found.today, found.modules, found.attached
    assert case is not None
    leaves = dict(modules.leaves)
    for identifier, binding in bindings.items():
        leaves[identifier] = LeafState(binding.outcome.health, bool(binding.stale))
    accepted = frozenset(a.of for a in found.decisions.values() if a.kind == "residual" and holds(a, today))
    expired = frozenset(a.id for a in case.parsed.assumption if a.review is not None and a.review < today)
    argument = build_argument(case, root, leaves, attached, accepted, expired)
    state = evaluate(argument)
    stale = staleness(argument, state)
    rests_on = resting(argument, state, modules.rests_on)
    quantities = _quantities(case, found.resolutions, modules)
    faults = [*faults, *check_independence(case, argument), *_warnings(case, argument, state, today)]
    notes: dict[str, list[Reason]] = {name: list(reasons) for name, reasons in modules.reasons.items()}
    for name in expired:
        element = case.nodes[name]
        assert isinstance(element, Assumption)
        notes.setdefault(name, []).append(Reason("review", name, f"its review was due on {element.review}"))
    texts = {d.id: d.text for d in (*case.challenges, *attached)}
    explainer = Explainer(argument, state, stale, bindings, notes, texts)
    probabilities = propagate(argument, state, stale, quantities)
    given = propagate(argument, state, stale, quantities, given=True)
    evaluated = Evaluated(argument, state, stale, quantities, rests_on)
    found = replace(found, evaluated=evaluated)
    entries = found.resting_of(root)
    faults += check_risk(case, probabilities[root])
    exit_code, reasons = conclude(root, faults, explainer, entries)
    verdict = Verdict(
        title=case.parsed.case.title,
        file=str(case.file),
        root=root,
        health=state.low[root],
        freshness=Freshness.CURRENT if exit_code is not ExitCode.STALE and root not in stale else Freshness.STALE,
        exit_code=exit_code,
        reasons=reasons,
        faults=worst_first(faults),
        nodes=node_verdicts(case, attached, explainer, rests_on, probabilities, given),
        edges=edges_of(case, attached),
        resting=entries,
        probability=probabilities[root],
        checked_on=today.isoformat(),
        open_problems=(*_problems(case, argument, state), *modules.problems),
    )
    return replace(found, verdict=verdict)


def _problems(case: Case, argument: Argument, state: Evaluation) -> Iterable[Problem]:
    for problem in case.parsed.open_problem:
        vertex = argument.vertices[problem.id]
        if vertex.dormant:
            yield Problem(problem.id, problem.text, "dormant")
        elif state.labels[problem.id] is not Label.OUT:
            yield Problem(problem.id, problem.text, "open")
        else:
            yield Problem(problem.id, problem.text, "accepted" if vertex.accepted else "answered")


def _quantities(case: Case, resolutions: Mapping[str, Resolution], modules: ModuleStates) -> Quantities:
    leaves = dict(modules.probabilities)
    for assumption in case.parsed.assumption:
        if assumption.probability is not None:
            leaves[assumption.id] = Probability(*assumption.probability)
    for identifier, resolution in resolutions.items():
        node = case.nodes[identifier]
        assert isinstance(node, EvidenceNode)
        interval = quantify_evidence(
            node, resolution.binding, resolution.records, drawn=resolution.question.study.seed_changes_data()
        )
        if interval is not None:
            leaves[identifier] = interval
    claims = (*case.parsed.goal, *case.parsed.strategy)
    return Quantities(leaves, {c.id: c.confidence for c in claims if c.confidence != "bounds"})


def _warnings(case: Case, argument: Argument, state: Evaluation, today: dt.date) -> Iterable[Fault]:
    for assumption in case.parsed.assumption:
        if assumption.review is not None and assumption.review < today:
            yield case.fault("C054", f"was due on {assumption.review}", assumption.id, "review")
    for index, decision in enumerate(case.acceptances):
        if decision.until is not None and decision.until < today:
            when = f"since {decision.until}"
            line = case.line_at("acceptance", index)
            yield Fault("C055", f"does not count: {when}", str(case.file), line, decision.of)
    attacked = {a for v in argument.vertices.values() if v.type != "defeater" for a in v.attackers}
    attacked |= {a for v in argument.vertices.values() for several in v.link_attackers.values() for a in several}
    for identifier in sorted(attacked):
        if state.labels[identifier] is not Label.OUT:
            place = identifier if identifier in case.nodes else identifier.partition("/")[0]
            hint = "answer it with a defeater that attacks it, or accept it by name"
            yield Fault("C050", "nothing defeats it", str(case.file), case.line_of(place), identifier, hint)
    for identifier, vertex in argument.vertices.items():
        if vertex.control is not None and state.low[vertex.control] < Health.UNDEVELOPED:
            word = state.low[vertex.control].word
            yield case.fault("C056", f"the positive control {vertex.control} is {word}", identifier, "control")


def _broken(file: str, title: str, root: str | None, faults: Iterable[Fault], today: dt.date) -> Verdict:
    """A verdict on a case whose form does not allow an evaluation."""
    listed = worst_first(faults)
    return Verdict(
        title=title,
        file=file,
        root=root,
        health=None,
        freshness=None,
        exit_code=ExitCode.INVALID,
        reasons=tuple(Reason("form", fault.name or "", str(fault)) for fault in listed),
        faults=listed,
        checked_on=today.isoformat(),
    )


def require_valid(checked: Checked) -> Case:
    """The case of a check whose form is sound.

    :raises FaultError: it is not.
    """
    invalid = [fault for fault in checked.verdict.faults if severity(fault) == "invalid"]
    if checked.case is None or invalid:
        raise FaultError(invalid or list(checked.verdict.faults))
    return checked.case
