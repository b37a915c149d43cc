"""What changed between two cases: elements, wording, links, thresholds, hashes, and the verdicts.

Whatever makes the case easier to pass is flagged as loosened, whether or not the verdict moved.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from toulmin.case.argument.health import needed
from toulmin.case.checking import Checked
from toulmin.case.evidence.criterion import compare_criteria
from toulmin.case.file.casefile import Case
from toulmin.case.file.elements import AtLeast, Challenge, Choice, Claim, Declared, Defeater, Element, EvidenceNode

Direction = Literal["neutral", "loosened", "tightened"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that differs.

    ``what``: added, removed, type, text, links, threshold, binding, hash, status, or decision.
    """

    id: str
    what: str
    before: str
    after: str
    direction: Direction = "neutral"

    def __str__(self) -> str:
        flag = "LOOSENED " if self.direction == "loosened" else ""
        return f"{flag}{self.id}: {self.what}: {self.before or '(none)'} -> {self.after or '(none)'}"


def compare_cases(first: Checked, second: Checked) -> list[Change]:
    """Every difference from ``first`` to ``second``, in a fixed order; both must have been readable."""
    if first.case is None or second.case is None:
        return []
    changes = [*_environment(first.case, second.case)]
    before, after = first.case.nodes, second.case.nodes
    for identifier in sorted(before.keys() | after.keys()):
        old, new = before.get(identifier), after.get(identifier)
        if old is None or new is None:
            changes.append(_presence(identifier, old, new))
        else:
            changes += _element(old, new)
    changes += _decisions(first.case, second.case)
    changes += _status(first, second)
    return changes


def _presence(identifier: str, old: Element | None, new: Element | None) -> Change:
    if old is None:
        assert new is not None
        way: Direction = "tightened" if new.type in ("defeater", "open_problem", "assumption") else "neutral"
        return Change(identifier, "added", "", f"{new.type}: {new.text}", way)
    # a doubt or an assumption that is no longer written down is the easiest way to lose one
    easier: Direction = "loosened" if old.type in ("defeater", "open_problem", "assumption", "evidence") else "neutral"
    return Change(identifier, "removed", f"{old.type}: {old.text}", "", easier)


def _element(old: Element, new: Element) -> Iterator[Change]:
    identifier = old.id
    if old.type != new.type:
        yield Change(identifier, "type", old.type, new.type)
        return
    if old.text != new.text:
        yield Change(identifier, "text", old.text, new.text)
    if isinstance(old, Claim) and isinstance(new, Claim):
        yield from _claim(old, new)
    elif isinstance(old, EvidenceNode) and isinstance(new, EvidenceNode):
        yield from _binding(old, new)
    elif isinstance(old, Challenge) and isinstance(new, Challenge):
        yield from _field(identifier, "links", "attacks", old.attacks, new.attacks)
        if isinstance(old, Defeater) and isinstance(new, Defeater):
            yield from _field(identifier, "links", "supported_by", old.supported_by, new.supported_by)
            yield from _field(identifier, "type", "kind", old.kind, new.kind)
    seen = {"id", "text", "supported_by", "strengthened_by", "in_context_of", "mode", "undeveloped", "attacks", "kind"}
    seen |= {"multiplicity", "choose"}
    seen |= {"study", "preset", "configuration", "criterion", "seeds", "max_age_days", "absence", "control"}
    for key in sorted(type(old).model_fields.keys() - seen):
        yield from _field(identifier, "text", key, getattr(old, key), getattr(new, key))


def _field(
    identifier: str, what: str, key: str, old: Any, new: Any, direction: Direction = "neutral"
) -> Iterator[Change]:
    if old != new:
        yield Change(identifier, what, f"{key} = {_said(old)}", f"{key} = {_said(new)}", direction)


def _said(value: Any) -> str:
    if isinstance(value, AtLeast):
        return f"at least {value.at_least}"
    if isinstance(value, Choice):
        return f"{value.n} of {', '.join(value.of)}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {part}" for key, part in cast("Mapping[str, Any]", value).items()) or "(none)"
    if isinstance(value, tuple):
        return ", ".join(str(part) for part in cast("tuple[Any, ...]", value)) or "(none)"
    return "(none)" if value is None else str(value)


def _claim(old: Claim, new: Claim) -> Iterator[Change]:
    k, n = needed(old.mode_key, len(old.supported_by)), needed(new.mode_key, len(new.supported_by))
    direction: Direction = "loosened" if n < k else "tightened" if n > k else "neutral"
    yield from _field(old.id, "threshold", "mode", old.mode, new.mode, direction)
    for key in ("supported_by", "strengthened_by", "in_context_of"):
        first, second = getattr(old, key), getattr(new, key)
        if set(first) != set(second):
            gone = bool(set(first) - set(second)) and key != "strengthened_by"
            way: Direction = "loosened" if gone and (key == "in_context_of" or n < k) else "neutral"
            yield from _field(old.id, "links", key, first, second, way)
    for key in ("multiplicity", "choose"):
        yield from _field(old.id, "links", key, getattr(old, key), getattr(new, key))
    if old.undeveloped != new.undeveloped:
        yield from _field(old.id, "links", "undeveloped", old.undeveloped, new.undeveloped)


def _binding(old: EvidenceNode, new: EvidenceNode) -> Iterator[Change]:
    if old.criterion != new.criterion:
        change = compare_criteria(old.criterion or "", new.criterion or "")
        if change != "same":
            direction: Direction = "tightened" if change == "tightened" else "loosened"
            yield from _field(old.id, "threshold", "criterion", old.criterion, new.criterion, direction)
    fewer: Direction = "loosened" if new.seeds < old.seeds else "tightened"
    yield from _field(old.id, "threshold", "seeds", old.seeds, new.seeds, fewer)
    ages = (old.max_age_days, new.max_age_days)
    longer = ages[0] is not None and (ages[1] is None or ages[1] > ages[0])
    yield from _field(old.id, "threshold", "max_age_days", *ages, "loosened" if longer else "tightened")
    yield from _field(
        old.id, "threshold", "absence", old.absence, new.absence, "loosened" if old.absence else "tightened"
    )
    yield from _field(
        old.id, "threshold", "control", old.control, new.control, "neutral" if new.control else "loosened"
    )
    for key in ("study", "preset", "configuration"):
        yield from _field(old.id, "binding", key, getattr(old, key), getattr(new, key))


def _environment(first: Case, second: Case) -> Iterator[Change]:
    for section in ("subjects", "data"):
        before: Mapping[str, Declared] = getattr(first.parsed, section)
        after: Mapping[str, Declared] = getattr(second.parsed, section)
        for name in sorted(before.keys() | after.keys()):
            old, new = before.get(name), after.get(name)
            if old is None or new is None:
                was, now = (declared.reference if declared else "" for declared in (old, new))
                yield Change(name, "added" if old is None else "removed", was, now)
                continue
            yield from _field(name, "binding", "reference", old.reference, new.reference)
            unpinned: Direction = "loosened" if old.sha256 and not new.sha256 else "neutral"
            yield from _field(name, "hash", "sha256", old.sha256, new.sha256, unpinned)


def _decisions(first: Case, second: Case) -> Iterator[Change]:
    before = {
        a.of: f"{a.kind}, by {a.by} on {a.on}" + (f" until {a.until}" if a.until else "") for a in first.acceptances
    }
    after = {
        a.of: f"{a.kind}, by {a.by} on {a.on}" + (f" until {a.until}" if a.until else "") for a in second.acceptances
    }
    for of in sorted(before.keys() | after.keys()):
        if before.get(of) != after.get(of):
            direction: Direction = "loosened" if of not in before else "neutral"
            yield Change(of, "decision", before.get(of, ""), after.get(of, ""), direction)


def _status(first: Checked, second: Checked) -> Iterator[Change]:
    before, after = first.verdict, second.verdict
    for identifier in sorted(before.nodes.keys() & after.nodes.keys()):
        old, new = before.nodes[identifier], after.nodes[identifier]
        if (old.health, old.freshness, old.label) != (new.health, new.freshness, new.label):
            yield Change(identifier, "status", _state(old), _state(new))
        if old.binding and new.binding:
            then = {i.reference: i.now for i in old.binding.inputs}
            for state in new.binding.inputs:
                if state.reference in then and then[state.reference] != state.now:
                    short = [(digest or "unreadable")[:12] for digest in (then[state.reference], state.now)]
                    yield Change(identifier, "hash", f"{state.reference} {short[0]}", f"{state.reference} {short[1]}")
            if old.binding.evidence != new.binding.evidence:
                ids = [(b.evidence or "")[:12] for b in (old.binding, new.binding)]
                yield Change(identifier, "hash", f"evidence {ids[0]}", f"evidence {ids[1]}")
    if before.exit_code != after.exit_code:
        yield Change("case", "status", f"exit {int(before.exit_code)}", f"exit {int(after.exit_code)}")


def _state(node: Any) -> str:
    word = node.label.value if node.label is not None else node.health.word
    return f"{word}, {node.freshness.value}"
