"""From an evidence node to the question it asks: study, configuration, criterion; checked before anything runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from toulmin.case.evidence.criterion import Criterion, CriterionError, measures_of, parse_criterion, vacuous_branches
from toulmin.case.file.casefile import Case
from toulmin.case.file.decisions import has_visible_character
from toulmin.case.file.elements import EvidenceNode
from toulmin.evidence import Store
from toulmin.faults import ExitCode, Fault, FaultError, LocatedToml, read_toml
from toulmin.studies import Input, MeasureSpec, Resolver, Study, find_study, parse_study


@dataclass(frozen=True, slots=True)
class Question:
    """A binding that is well formed."""

    node: EvidenceNode
    study: Study
    criterion: Criterion


@dataclass
class Binder:
    """Binds the evidence nodes of one case, each study and input once."""

    case: Case
    store: Store
    trust_mtime: bool = False
    resolver: Resolver = field(init=False)
    _studies: dict[str, Study | list[Fault]] = field(default_factory=dict[str, "Study | list[Fault]"])
    _inputs: dict[str, tuple[Input, ...]] = field(default_factory=dict[str, tuple[Input, ...]])

    def __post_init__(self) -> None:
        self.resolver = Resolver(self.case.folder.resolve(), self.store, self.trust_mtime)

    def bind(self, node: EvidenceNode) -> tuple[Question | None, list[Fault]]:
        """The question of a node, and everything wrong with the binding."""
        case = self.case
        faults = list(self._control(node))
        criterion: Criterion | None = None
        if node.criterion is None:
            faults.append(case.fault("C033", "say what its measures must show: criterion", node.id))
        else:
            try:
                criterion = parse_criterion(node.criterion)
            except CriterionError as error:
                faults.append(case.fault("C034", str(error), node.id, "criterion"))
        study, of_study = self._study(node)
        faults += of_study
        for name in (node.subject, *node.data):
            if name is not None and self._declared(name) is None:
                faults.append(case.fault("C024", f"{name} is declared under neither subjects nor data", node.id))
        if study is not None:
            declared = study.measure_specs()
            if criterion is not None:
                for name in sorted(measures_of(criterion) - set(declared)):
                    hint = f"{study.kind} gives: {', '.join(declared)}"
                    faults.append(case.fault("C035", f"no measure {name}", node.id, "criterion", hint))
                faults += self._vacuous(node, criterion, declared)
            if node.prior is not None and node.prior.failures not in declared:
                message = f"no measure {node.prior.failures}"
                faults.append(
                    case.fault("C038", message, node.id, "prior", f"{study.kind} gives: {', '.join(declared)}")
                )
            elif node.prior is not None and declared[node.prior.failures].low != 0.0:
                message = f"{node.prior.failures} may be negative, so that 0 does not mean that nothing failed"
                hint = "a prior speaks of a count or a rate of failures, a measure whose range begins at 0"
                faults.append(case.fault("C038", message, node.id, "prior", hint))
        if study is None or criterion is None or faults:
            return None, faults
        return Question(node, study, criterion), []

    def check_example(self, node: EvidenceNode) -> list[Fault]:
        """Everything wrong with the example of a node that is not bound yet."""
        if node.example is None:
            return []
        bound = EvidenceNode(id=node.id, **node.example.model_dump())
        return [replace(fault, message=f"in its example: {fault.message}") for fault in self.bind(bound)[1]]

    def _vacuous(self, node: EvidenceNode, criterion: Criterion, specs: Mapping[str, MeasureSpec]) -> list[Fault]:
        """C082 for each way to pass that no measured value can fail."""
        if measures_of(criterion) - set(specs):
            return []
        try:
            vacuous = vacuous_branches(criterion, specs)
        except CriterionError as error:
            return [self.case.fault("C034", str(error), node.id, "criterion")]
        hint = "compare a measure with a threshold inside the range of its values"
        return [
            self.case.fault("C082", f"is met whatever was measured: {branch}", node.id, "criterion", hint)
            for branch in vacuous
        ]

    def _control(self, node: EvidenceNode) -> list[Fault]:
        if node.absence and node.control is None:
            message = "show that the same method finds a planted case: control = an evidence node, or self"
            return [self.case.fault("C036", message, node.id, "absence")]
        if node.control in (None, "self"):
            return []
        other = self.case.nodes.get(node.control)
        if other is None and node.control in self.case.broken:
            return []
        if not isinstance(other, EvidenceNode) or other.study != node.study or other.id == node.id:
            message = f"{node.control} is not other evidence of the study {node.study}"
            return [self.case.fault("C037", message, node.id, "control")]
        if not has_visible_character(other.planted or ""):
            message, hint = f"it is the positive control of {node.id}", 'planted = "what, and how that is known"'
            return [self.case.fault("C086", message, other.id, hint=hint)]
        return []

    def _declared(self, name: str) -> str | None:
        parsed = self.case.parsed
        found = parsed.subjects.get(name) or parsed.data.get(name)
        return found.reference if found else None

    def _study(self, node: EvidenceNode) -> tuple[Study | None, list[Fault]]:
        if node.study is None:
            message = "bind it to a study, or mark it undeveloped = true"
            return None, [self.case.fault("C030", message, node.id)]
        key = json.dumps([node.study, node.preset, node.configuration], default=str, sort_keys=True)
        if key not in self._studies:
            try:
                self._studies[key] = self._make(node)
            except FaultError as faulty:
                self._studies[key] = list(faulty.faults)
        found = self._studies[key]
        if isinstance(found, list):
            return None, [self._relocate(fault, node) for fault in found]
        return found, []

    def _relocate(self, fault: Fault, node: EvidenceNode) -> Fault:
        if fault.code in ("C018", "C024"):
            return self.case.fault(fault.code, fault.message, node.id, "configuration")
        code = "C031" if fault.code in ("study.unknown", "study.broken") else "C032"
        if fault.file is not None:
            return Fault(code, fault.message, fault.file, fault.line, node.id, fault.hint)
        what = (fault.name or "").removeprefix("configuration.")
        message = f"{what}: {fault.message}" if what else fault.message
        key = "study" if code == "C031" else "configuration"
        return self.case.fault(code, message, node.id, key, fault.hint)

    def _make(self, node: EvidenceNode) -> Study:
        base, located = self.case.folder.resolve(), None
        table: Mapping[str, Any]
        if isinstance(node.configuration, str):
            target = self.case.inside(node.configuration)
            if target is None:
                raise FaultError(Fault("C018", f"leaves the folder of the case: {node.configuration}"))
            located = read_toml(target)
            table, base = located.data, target.parent
            if table.get("study") != node.study:
                message = f"{node.configuration} is of the study {table.get('study')}, not {node.study}"
                raise FaultError(Fault("study.configuration", message))
        else:
            find_study(node.study or "")
            table = {"study": node.study, "configuration": self._substitute(node.configuration)}
            if node.preset is not None:
                table["preset"] = node.preset
        return _parse(table, located).at(self.resolver.inside(base))

    def _substitute(self, value: Any) -> Any:
        if isinstance(value, str) and value.startswith("@"):
            reference = self._declared(value[1:])
            if reference is None:
                raise FaultError(Fault("C024", f"{value[1:]} is declared under neither subjects nor data"))
            return reference
        if isinstance(value, dict):
            return {key: self._substitute(part) for key, part in cast("dict[str, Any]", value).items()}
        if isinstance(value, list):
            return [self._substitute(part) for part in cast("list[Any]", value)]
        return value

    def inputs(self, study: Study) -> tuple[Input, ...]:
        """The inputs of a study as they are now.

        :raises FaultError: one cannot be read.
        """
        key = f"{study.kind} {study.study_hash()} {study.resolver.base}"
        if key not in self._inputs:
            try:
                self._inputs[key] = study.inputs()
            except (OSError, ValueError) as error:  # a name too long, no permission, a NUL in a path
                message = getattr(error, "strerror", None) or str(error)
                raise FaultError(Fault("reference.unreadable", message, name=study.kind), ExitCode.SUBJECT) from None
        return self._inputs[key]


def _parse(table: Mapping[str, Any], located: LocatedToml | None) -> Study:
    try:
        study = parse_study(table, located=located)
        study.study_hash()
        return study
    except (TypeError, ValueError) as error:  # a NaN has no hash
        raise FaultError(Fault("study.configuration", str(error))) from None
