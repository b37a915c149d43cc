"""Looks up the records of a piece of evidence: which there are, whether they are sound and current, and what they say.

``seeds = 5`` asks for the seeds 0 to 4, and for all of them: every current record of those seeds counts, also where one
seed was run more than once, and they pass only together. The newest alone, or the best five of twenty, could be the
luckiest. A record of another seed counts only where somebody accepted it.
"""

from __future__ import annotations

import datetime as dt
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from toulmin.case.argument.graph import LeafState
from toulmin.case.argument.health import Outcome
from toulmin.case.argument.verdict import Binding, Comparison, InputState
from toulmin.case.evidence.binding import Binder, Question
from toulmin.case.evidence.criterion import compare_criteria, decide
from toulmin.case.file.lock import Lock, LockedEvidence
from toulmin.evidence import Evidence, Store
from toulmin.faults import Fault, FaultError
from toulmin.studies import Input, Study, made_by_this_code, re_derive


@dataclass
class Resolution:
    """A question answered as far as the store can."""

    question: Question
    binding: Binding
    leaf: LeafState
    records: tuple[Evidence, ...]  #: the newest of each seed
    study_hash: str
    inputs_hash: str | None
    faults: list[Fault] = field(default_factory=list[Fault])
    seeds_to_run: tuple[int, ...] = ()  #: with which `case run` would collect
    reruns: tuple[Evidence, ...] = ()  #: older current records of the same seeds, which count too


@dataclass
class BindingResolver:
    """Looks up the evidence of questions; records are verified and re-derived once."""

    binder: Binder
    lock: Lock
    today: dt.date
    rederive: bool = True
    _sound: dict[str, list[Fault]] = field(default_factory=dict[str, list[Fault]])

    def resolve(self, question: Question) -> Resolution:
        """Find, check and judge the evidence of one question."""
        node, case = question.node, self.binder.case
        faults: list[Fault] = []
        stale: list[str] = []
        problems: list[str] = []
        inputs: tuple[Input, ...] | None = None
        try:
            inputs = self.binder.inputs(question.study)
        except FaultError as faulty:
            for fault in faulty.faults:
                hint = f"{fault.name}: {fault.message}" if fault.name else fault.message
                faults.append(case.fault("C043", hint, node.id, "configuration", fault.hint))
                problems.append(f"input unreadable: {hint}")
        older: list[Evidence] = []
        try:
            found = self.binder.store.find(question.study.study_hash())
        except FaultError as faulty:
            faults += [_damage(fault, node.id) for fault in faulty.faults]
            problems += [f"damaged: {fault.message}" for fault in faulty.faults]
            found = []
        wanted = question.study.inputs_hash(inputs) if inputs is not None else None
        older += [record for record in found if record.inputs_hash != wanted]
        locked = self.lock.evidence.get(node.id)
        by_seed = self._current((r for r in found if r.inputs_hash == wanted), question, locked)
        current = [several[0] for several in by_seed]
        reruns = [record for several in by_seed for record in several[1:]]
        records = current or self._older(older, locked, question)
        if inputs is not None:
            faults += self._environment(question, inputs, stale if records else [])
        if records and not current:
            stale += _what_changed(records[0], question.study, inputs, node.id)
        foreign = [record for record in current if not made_by_this_code(record, self.binder.store)]
        stale += [_other_code(record, question, self.binder.store) for record in foreign]
        for record in (*records, *reruns):
            damage = self._soundness(record)
            problems += [fault.message for fault in damage]
            faults += [_damage(fault, node.id) for fault in damage]
        if not records and not faults:
            problems.append("no evidence yet")
        expired = self._ages(question, records, stale)
        faults += self._against_lock(question, locked, [*records, *reruns], stale)
        seeds = len({seed for record in records for seed in record.seeds})
        outcome, comparisons = self._judge(
            question, [*records, *reruns], seeds if question.study.seed_changes_data() else min(seeds, 1), problems
        )
        if any(f.code in ("C040", "C041", "C043") for f in faults):
            outcome = Outcome.ERROR
        if outcome is Outcome.ERROR and not any(f.code in ("C040", "C041", "C043") for f in faults):
            faults += [
                case.fault("C044", c.note, node.id, "criterion") for c in comparisons if c.outcome is Outcome.ERROR
            ]
        control, control_passed = _own_control(question, records)
        if control_passed is False:
            faults.append(case.fault("C056", control, node.id, "control"))
            problems.append(control)
            if outcome is not Outcome.ERROR:
                outcome = Outcome.INCONCLUSIVE if outcome is Outcome.PASS else outcome
        if outcome is Outcome.MISSING:
            faults.append(case.fault("C058", "no evidence yet", node.id, hint="toulmin case run makes it"))
        faults += [case.fault("C059", why, node.id) for why in stale]
        faults += [case.fault("C083", note, node.id) for record in records for note in record.notes]
        first = records[0] if records else None
        binding = Binding(
            study=question.study.kind,
            criterion=node.criterion,
            outcome=outcome,
            comparisons=comparisons,
            evidence=first.id if first else None,
            path=str(self.binder.store.folder(first)) if first else None,
            made=first.created if first else None,
            inputs=self._input_states(first, inputs),
            seeds=tuple(sorted({seed for record in records for seed in record.seeds})),
            control=control,
            control_passed=control_passed,
            stale=tuple(dict.fromkeys(stale)),
            problems=tuple(dict.fromkeys(problems)),
            command=f"toulmin evidence reproduce {first.id[:12]} --store {shlex.quote(str(self.binder.store.root))}"
            if first
            else f"toulmin case run {shlex.quote(str(case.file))} --only {shlex.quote(node.id)}",
        )
        return Resolution(
            question,
            binding,
            LeafState(outcome.health, bool(stale)),
            tuple(records),
            question.study.study_hash(),
            question.study.inputs_hash(inputs) if inputs is not None else None,
            faults,
            _seeds_to_run(question, [] if expired else [record for record in current if record not in foreign]),
            tuple(reruns),
        )

    def _current(
        self, found: Iterable[Evidence], question: Question, locked: LockedEvidence | None
    ) -> list[list[Evidence]]:
        """The records that count, newest first, for each registered seed; of other code only where ours made none.

        A record of another seed counts where the lock names it: somebody accepted it.
        """
        registered, named = set(range(question.node.seeds)), locked.evidence if locked else ()
        by_seed: dict[tuple[int, ...], list[Evidence]] = {}
        for record in found:
            if not question.study.seed_changes_data() or set(record.seeds) <= registered or record.id in named:
                by_seed.setdefault(record.seeds, []).append(record)
        counting: list[list[Evidence]] = []
        for seed in sorted(by_seed):
            ours = [record for record in by_seed[seed] if made_by_this_code(record, self.binder.store)]
            counting.append(ours or by_seed[seed])
        return counting

    def _older(self, older: list[Evidence], locked: LockedEvidence | None, question: Question) -> list[Evidence]:
        """Without current records: the newest of the same study, else what the lock knew."""
        if older:
            # all that were made of the same things as the newest, one a seed, as if they were current
            newest = max(older, key=lambda record: (record.created, record.id))
            together: dict[tuple[str, tuple[int, ...]], Evidence] = {}
            for record in sorted(older, key=lambda record: (record.created, record.id), reverse=True):
                made_of = {i.role: i.sha256 for i in record.inputs}
                if made_of == {i.role: i.sha256 for i in newest.inputs} and record.version == newest.version:
                    together.setdefault((record.study_hash, record.seeds), record)
            return list(together.values())
        for identifier in locked.evidence if locked else ():
            try:
                record = self.binder.store.read(identifier)
            except FaultError:
                continue  # gone or damaged: a record the case no longer asks for cannot speak for it
            if record.kind == question.study.kind:
                return [record]
        return []

    def _soundness(self, record: Evidence) -> list[Fault]:
        if record.id not in self._sound:
            if self.rederive:
                try:
                    self._sound[record.id] = re_derive(record, self.binder.store)
                except FaultError as faulty:
                    self._sound[record.id] = list(faulty.faults)
            else:
                self._sound[record.id] = self.binder.store.verify(record)
        return self._sound[record.id]

    def _environment(self, question: Question, inputs: Sequence[Input], stale: list[str]) -> list[Fault]:
        """Subjects and data the node names: inputs of the study, with the hash the case declares."""
        case, node = self.binder.case, question.node
        faults: list[Fault] = []
        for name in dict.fromkeys(n for n in (node.subject, *node.data) if n is not None):
            declared = case.parsed.subjects.get(name) or case.parsed.data.get(name)
            if declared is None or (name == node.subject and question.study.recorded_elsewhere):
                continue
            found = [i for i in inputs if i.reference == declared.reference]
            if not found:
                message = f"{declared.reference} is not among the inputs of {question.study.kind}"
                faults.append(case.fault("C039", message, node.id, "subject" if name == node.subject else "data"))
        for section in (case.parsed.subjects, case.parsed.data):
            for name, declared in section.items():
                for found in inputs:
                    if found.reference == declared.reference and declared.sha256 not in (None, found.sha256):
                        stale.append(f"{name} is no longer what the case declares ({found.sha256[:12]} now)")
        return faults

    def _ages(self, question: Question, records: Iterable[Evidence], stale: list[str]) -> bool:
        limit, expired = question.node.max_age_days, False
        for record in records:
            made = _date(record.created)
            if limit is not None and made is not None and (self.today - made).days > limit:
                stale.append(f"made {(self.today - made).days} days ago, and {limit} days are allowed")
                expired = True
        return expired

    def _against_lock(
        self, question: Question, locked: LockedEvidence | None, records: Sequence[Evidence], stale: list[str]
    ) -> list[Fault]:
        node, case = question.node, self.binder.case
        if not records:
            return []
        hint = "toulmin case accept --by NAME --why WHY registers it"
        if locked is None:
            return [case.fault("C057", "the lock has no criterion for it", node.id, hint=hint)]
        faults = [
            case.fault("C070", f"the lock does not name the record {record.id[:12]}", node.id, hint=hint)
            for record in records
            if record.id not in locked.evidence
        ]
        change = compare_criteria(locked.criterion, node.criterion or "")
        if change == "same":
            return faults
        stale.append(f"the criterion was edited after the result ({change}): it was {locked.criterion}")
        code = "C052" if change in ("loosened", "changed") else "C051"
        how = {"changed": "edited, perhaps loosened", "loosened": "loosened", "tightened": "tightened"}[change]
        return [*faults, case.fault(code, f"{how} after the result: it was {locked.criterion}", node.id, "criterion")]

    def _judge(
        self, question: Question, records: Sequence[Evidence], seeds: int, problems: list[str]
    ) -> tuple[Outcome, tuple[Comparison, ...]]:
        if not records:
            return Outcome.MISSING, ()
        outcomes: list[Outcome] = []
        shown: tuple[Comparison, ...] = ()
        for record in records:
            outcome, comparisons = decide(question.criterion, record.measures, record.n, seeds)
            outcomes.append(outcome)
            # show the record that says most against the claim
            shown = comparisons if not shown or outcome is not Outcome.PASS else shown
        if Outcome.ERROR in outcomes:
            return Outcome.ERROR, shown
        if seeds < question.node.seeds:
            why = "" if question.study.seed_changes_data() else ": its data are a file, another seed changes nothing"
            problems.append(f"{seeds} of the {question.node.seeds} seeds asked for{why}")
            return Outcome.INCONCLUSIVE, shown
        if len(set(outcomes)) > 1:
            problems.append("the seeds disagree" if seeds > 1 else "runs of one seed disagree")
            return Outcome.INCONCLUSIVE, shown
        return outcomes[0], shown

    def _input_states(self, record: Evidence | None, inputs: Sequence[Input] | None) -> tuple[InputState, ...]:
        then = {(i.role, i.reference): i.sha256 for i in record.inputs} if record else {}
        now = {(i.role, i.reference): i.sha256 for i in inputs or ()}
        parsed = self.binder.case.parsed
        declared = {d.reference: d.sha256 for d in (*parsed.subjects.values(), *parsed.data.values())}
        return tuple(
            InputState(
                role, reference, then.get((role, reference)), now.get((role, reference)), declared.get(reference)
            )
            for role, reference in dict.fromkeys([*now, *then])
        )


def _seeds_to_run(question: Question, current: Sequence[Evidence]) -> tuple[int, ...]:
    taken = {seed for record in current for seed in record.seeds}
    if not question.study.seed_changes_data():
        return () if taken else (0,)
    return tuple(seed for seed in range(question.node.seeds) if seed not in taken)


def _other_code(record: Evidence, question: Question, store: Store) -> str:
    command = f"toulmin evidence reproduce {record.id[:12]} --store {shlex.quote(str(store.root))}"
    base = question.study.resolver.base
    return f"made by other code than today's: {command} --base {shlex.quote(str(base))} settles it"


def _damage(fault: Fault, identifier: str) -> Fault:
    code = "C041" if fault.code in ("evidence.not_derived", "evidence.other_version", "study.summary") else "C040"
    where = f" ({fault.name})" if fault.name else ""
    return Fault(code, f"{fault.message}{where}", fault.file, fault.line, identifier, fault.hint)


def _what_changed(record: Evidence, study: Study, inputs: Sequence[Input] | None, identifier: str) -> list[str]:
    if inputs is None:
        return ["what it was made from cannot be read"]
    changes: list[str] = []
    now = {i.role: i for i in inputs}
    for old in record.inputs:
        new = now.get(old.role)
        if new is None or new.sha256 != old.sha256:
            changes.append(
                f"{old.role} {old.reference} changed: {old.sha256[:12]} then, {new.sha256[:12] if new else 'gone'} now"
            )
    if record.version != study.version:
        changes.append(f"made by version {record.version} of {study.kind}, this is version {study.version}")
    if record.study_hash != study.study_hash():
        changes.append("the configuration of the study changed")
    return changes or ["the inputs of the study changed"]


def _own_control(question: Question, records: Sequence[Evidence]) -> tuple[str, bool | None]:
    if question.node.control != "self" or not records:
        return "", None
    for record in records:
        if record.positive_control is None:
            return "the record carries no positive control", False
        if not record.positive_control.detected:
            return f"the positive control failed: {record.positive_control.description} was not found", False
    control = records[0].positive_control
    return (f"found: {control.description}" if control else ""), True


def _date(created: str) -> dt.date | None:
    try:
        return dt.datetime.fromisoformat(created).date()
    except ValueError:
        return None
