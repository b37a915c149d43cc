"""What a case must still say before it can be released: instantiated texts, roles, and a risk threshold.

A word in braces, ``{deployment}``, stands for something of this case that nobody has filled in yet, as in a GSN pattern
(``toulmin case new --set deployment=...`` fills it), and a multiplicity or a choice for parts that nobody has decided
on. A case that names roles names all three, and three people: who wrote the argument does not approve it, and whoever
assesses it is neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from toulmin.case.file.casefile import Case
from toulmin.case.file.elements import Assumption, Claim, OpenProblem
from toulmin.faults import Fault

_OPEN = re.compile(r"\{([a-z][a-z0-9_]*)\}")
ROLES = ("author", "approver", "assessor")


def open_parameters(text: str) -> list[str]:
    """The names in braces of a text."""
    return list(dict.fromkeys(_OPEN.findall(text)))


def check_readiness(case: Case) -> Iterator[Fault]:
    """C095 to C098, and C101."""
    header, file = case.parsed.case, str(case.file)

    def line(*path: str) -> int | None:
        return case.located.line_of(path)

    for key in ("title", "deployment", *ROLES):
        for name in open_parameters(getattr(header, key) or ""):
            yield Fault("C097", f"fill in {{{name}}}", file, line("case", key), key)
    if header.risk is not None:
        for key in ("text", "set_by"):
            for name in open_parameters(getattr(header.risk, key)):
                yield Fault("C097", f"fill in {{{name}}}", file, line("case", "risk", key), f"risk.{key}")
    for section in ("subjects", "data"):
        for name, declared in getattr(case.parsed, section).items():
            for parameter in open_parameters(declared.reference):
                yield Fault("C097", f"fill in {{{parameter}}}", file, line(section, name), f"{section}.{name}")
    for identifier, element in case.nodes.items():
        words = {"text": element.text, "owner": element.owner or ""}
        if isinstance(element, Assumption):
            words["justification"] = element.justification or ""
        if isinstance(element, Claim):
            for child, mark in element.multiplicity.items():
                yield case.fault("C101", f"{child}: {mark} of it", identifier, "multiplicity")
            if element.choose is not None:
                mark = f"{element.choose.n} of {', '.join(element.choose.of)}"
                yield case.fault("C101", f"choose {mark}", identifier, "choose")
        for key, text in words.items():
            for name in open_parameters(text):
                yield case.fault("C097", f"{key}: fill in {{{name}}}", identifier, key)
    yield from _roles(case)
    for index, decision in enumerate(case.acceptances):
        element = case.nodes.get(decision.of)
        if isinstance(element, OpenProblem):
            place = case.line_at("acceptance", index)
            for said, what in ((decision.why.strip(), "why it can be lived with"), (decision.until, "until when")):
                if not said:
                    yield Fault("C095", f"{decision.by} does not say {what}", file, place, decision.of)


def _roles(case: Case) -> Iterator[Fault]:
    header, file = case.parsed.case, str(case.file)
    named = {role: (getattr(header, role) or "").strip() for role in ROLES}
    people: dict[str, str] = {}
    for role, person in named.items():
        if not person or open_parameters(person):
            continue
        first = people.setdefault(" ".join(person.casefold().split()), role)
        if first != role:
            message = f"{person} is {first} and {role}"
            yield Fault("C096", message, file, case.located.line_of(("case", role)), role)
    if any(named.values()):
        for role in (role for role, person in named.items() if not person):
            yield Fault("C098", f"name the {role}", file, case.located.line_of(("case",)), role)


def check_risk(case: Case, holds: tuple[float, float] | None) -> Iterator[Fault]:
    """C099 where the root is not shown to hold with the probability that the risk threshold asks for."""
    risk = case.parsed.case.risk
    if risk is None or risk.probability is None:
        return
    shown = 1.0 - holds[0] if holds is not None else 1.0
    if shown > risk.probability:
        message = f"at most {risk.probability:g} is allowed by {risk.set_by}, and at most {shown:.3g} is shown"
        yield Fault("C099", message, str(case.file), case.located.line_of(("case", "risk", "probability")), "risk")
