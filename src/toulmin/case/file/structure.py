"""Whether a case is a well-formed argument: everything that can be said before looking at evidence."""

from __future__ import annotations

from collections.abc import Iterator

from toulmin.case.file.casefile import MAX_PROSE_BYTES, Case
from toulmin.case.file.elements import (
    ATTACKS,
    CONTEXTS,
    SUPPORTS,
    Assumption,
    Challenge,
    Claim,
    Defeater,
    Element,
    EvidenceNode,
    Goal,
    bounds_of,
    place_of,
)
from toulmin.faults import Fault


def supports_of(element: Element) -> tuple[str, ...]:
    """What an element is supported by."""
    return element.supported_by if isinstance(element, (Claim, Defeater)) else ()


def split_link(target: str) -> tuple[str, str] | None:
    """``"PARENT->CHILD"`` as a pair; None for the id of an element."""
    parent, arrow, child = target.partition("->")
    return (parent.strip(), child.strip()) if arrow else None


def find_root(case: Case) -> str | None:
    """The declared root, else the first goal that supports nothing; None where there is none."""
    if case.parsed.case.root is not None:
        return case.parsed.case.root if isinstance(case.nodes.get(case.parsed.case.root), Goal) else None
    return next((goal.id for goal in case.parsed.goal if goal.id not in case.parents), None)


def check_structure(case: Case, attached: frozenset[str] = frozenset()) -> list[Fault]:
    """Every fault of structure; ``attached`` are ids of defeaters that the engine attaches itself."""
    faults = [
        Fault("C004", f"another element is called {i}", str(case.file), case.line_at(array, index), i)
        for i, array, index in case.duplicates
    ]
    faults += _references(case, attached)
    faults += [fault for identifier in case.nodes for fault in _element(case, identifier)]
    faults += _acceptances(case, attached)
    circle = find_circle(case)
    if circle:
        faults.append(case.fault("C006", "supports itself: " + " -> ".join(circle), circle[0], "supported_by"))
    faults += _roots(case, bool(circle))
    return faults


def _references(case: Case, attached: frozenset[str]) -> Iterator[Fault]:
    known = case.nodes
    for identifier, element in known.items():
        links: list[tuple[str, str, frozenset[str]]] = []
        permitted = SUPPORTS.get(element.type, frozenset())
        links += [("supported_by", target, permitted) for target in supports_of(element)]
        if isinstance(element, Claim):
            links += [("strengthened_by", target, permitted) for target in element.strengthened_by]
            links += [("in_context_of", target, CONTEXTS) for target in element.in_context_of]
        attacks = element.attacks if isinstance(element, Challenge) else ()
        yield from _twice(
            case, identifier, [*((key, target) for key, target, _ in links), *(("attacks", a) for a in attacks)]
        )
        for key, target, types in links:
            if target in known:
                place = place_of(known[target])
                if place not in types:
                    message = f"a {element.type} may not be {key.replace('_', ' ')} a {place} ({target})"
                    yield case.fault("C007", message, identifier, key)
            elif target not in case.broken:
                yield case.fault("C005", f"{key} names {target}, which does not exist", identifier, key)
        if isinstance(element, Challenge):
            yield from _attacks(case, element, attached)


def _twice(case: Case, identifier: str, links: list[tuple[str, str]]) -> Iterator[Fault]:
    if len(set(links)) < len(links):
        for key, target in dict.fromkeys(link for link in links if links.count(link) > 1):
            yield case.fault("C093", f"{key} names {target} more than once", identifier, key)


def _attacks(case: Case, defeater: Challenge, attached: frozenset[str]) -> Iterator[Fault]:
    way = defeater.kind if isinstance(defeater, Defeater) else defeater.type
    if not defeater.attacks:
        yield case.fault("C005", "attacks nothing", defeater.id, "attacks")
    for target in defeater.attacks:
        link = split_link(target)
        if link:
            parent = case.nodes.get(link[0])
            if parent is None or link[1] not in supports_of(parent):
                if not case.broken & set(link):
                    yield case.fault("C005", f"attacks the link {target}, which does not exist", defeater.id, "attacks")
            elif way not in ("undercut", "open_problem"):
                yield case.fault("C007", f"only an undercut attacks a link ({target})", defeater.id, "attacks")
        elif target in case.nodes:
            kind = place_of(case.nodes[target])
            if kind not in ATTACKS[way]:
                message = f"{_named(way)} may not attack {_named(kind)} ({target})"
                yield case.fault("C007", message, defeater.id, "attacks")
            elif kind == "open_problem" and not supports_of(defeater):
                message = f"the open problem {target} is answered only by a defeater with support of its own"
                yield case.fault("C007", message, defeater.id, "attacks")
        elif target not in attached and target not in case.broken:
            yield case.fault("C005", f"attacks {target}, which does not exist", defeater.id, "attacks")


def _named(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind.replace('_', ' ')}"


def _element(case: Case, identifier: str) -> Iterator[Fault]:
    element = case.nodes[identifier]
    if not element.text.strip():
        yield case.fault("C011", f"the {element.type} says nothing", identifier, "text")
    if element.prose is not None:
        yield from _prose(case, element)
    if isinstance(element, Claim):
        yield from _claim(case, element)
    elif isinstance(element, EvidenceNode) and element.undeveloped and element.study is not None:
        yield case.fault("C094", "it is bound to a study: the mark says nothing", identifier, "undeveloped")
    elif isinstance(element, Assumption):
        for code, key, value in (
            ("C014", "owner", (element.owner or "").strip()),
            ("C015", "justification", (element.justification or "").strip()),
            ("C016", "review", element.review),
        ):
            if not value:
                yield case.fault(code, f"say its {key}", identifier)
        if element.probability and element.probability[0] > element.probability[1]:
            low, high = element.probability
            yield case.fault("C023", f"{low} is above {high}", identifier, "probability")


def _claim(case: Case, claim: Claim) -> Iterator[Fault]:
    if claim.supported_by and claim.undeveloped:
        yield case.fault("C094", "it has support: it counts as undeveloped all the same", claim.id, "undeveloped")
    if not claim.supported_by and not claim.undeveloped:
        yield case.fault("C012", "support it, or mark it undeveloped = true", claim.id)
    yield from _pattern(case, claim)
    too_many = isinstance(claim.mode_key, int) and claim.mode_key > len(claim.supported_by)
    if too_many and claim.supported_by and not claim.multiplicity:
        message = f"at least {claim.mode_key} of {len(claim.supported_by)} children can never hold"
        yield case.fault("C013", message, claim.id, "mode")
    if claim.confidence == "independent" and not (claim.independence or "").strip():
        yield case.fault("C021", 'say why the branches are independent: independence = "..."', claim.id, "confidence")


def _pattern(case: Case, claim: Claim) -> Iterator[Fault]:
    """C100: what a pattern leaves open must be possible."""
    below = {*claim.supported_by, *claim.strengthened_by, *claim.in_context_of}
    for child, mark in claim.multiplicity.items():
        low, high = bounds_of(mark)
        if child not in below:
            yield case.fault("C100", f"multiplicity of {child}, which is not below it", claim.id, "multiplicity")
        elif high is not None and (high < low or high == 0):
            yield case.fault("C100", f"{child} {mark}: no number of copies is allowed", claim.id, "multiplicity")
    if claim.choose is None:
        return
    of, (low, high) = claim.choose.of, bounds_of(claim.choose.n)
    unknown = [child for child in of if child not in claim.supported_by]
    if unknown:
        yield case.fault("C100", f"a choice of {', '.join(unknown)}, which do not support it", claim.id, "choose")
    elif len(set(of)) < len(of) or low > len(of) or (high is not None and (high < low or high == 0)):
        yield case.fault("C100", f"{claim.choose.n} of {len(of)} can never be chosen", claim.id, "choose")


def _prose(case: Case, element: Element) -> Iterator[Fault]:
    target = case.inside(element.prose or "")
    if target is None:
        yield case.fault("C018", f"prose leaves the folder of the case: {element.prose}", element.id, "prose")
        return
    try:
        if target.stat().st_size > MAX_PROSE_BYTES:
            yield case.fault("C019", f"larger than {MAX_PROSE_BYTES} bytes: {element.prose}", element.id, "prose")
        else:
            target.read_bytes().decode("utf-8")
    except (OSError, ValueError) as error:
        yield case.fault("C019", f"{element.prose}: {error}", element.id, "prose")


def _acceptances(case: Case, attached: frozenset[str]) -> Iterator[Fault]:
    for index, acceptance in enumerate(case.acceptances):
        element = case.nodes.get(acceptance.of)
        if isinstance(element, (Assumption, Challenge)) or acceptance.of in attached or acceptance.of in case.broken:
            continue
        message = f"{acceptance.of} is {'no assumption, defeater or open problem' if element else 'not there'}"
        yield Fault("C017", message, str(case.file), case.line_at("acceptance", index, "of"), acceptance.of)


def find_circle(case: Case) -> list[str]:
    """A circle of support, first element repeated at the end; empty where there is none. Iterative: cases are deep."""
    done: dict[str, bool] = {}  # False while on the path
    for start in case.nodes:
        if start in done:
            continue
        done[start] = False
        path, pending = [start], [iter(_below(case, start))]
        while path:
            for child in pending[-1]:
                state = done.get(child)
                if state is False:
                    return [*path[path.index(child) :], child]
                if state is None and child in case.nodes:
                    done[child] = False
                    path.append(child)
                    pending.append(iter(_below(case, child)))
                    break
            else:
                pending.pop()
                done[path.pop()] = True
    return []


def _below(case: Case, identifier: str) -> tuple[str, ...]:
    """Its support, and of evidence its control."""
    element = case.nodes[identifier]
    if isinstance(element, EvidenceNode) and element.control and element.control != "self":
        return (element.control,)
    return case.support[identifier]


def _roots(case: Case, circular: bool) -> Iterator[Fault]:
    declared = case.parsed.case.root
    tops = [goal.id for goal in case.parsed.goal if goal.id not in case.parents]
    root = find_root(case)
    if root is None:
        if declared is not None or not (circular or case.broken):
            message = f"the root {declared} is not a goal of the case" if declared else "every goal supports another"
            yield Fault("C008", message if case.parsed.goal else "the case has no goal", str(case.file), name=declared)
        return
    for other in tops:
        if other != root:
            yield case.fault("C009", f"nothing rests on it, and {root} is the root", other)
    if circular or case.broken:
        return  # what is reached cannot be told before those are mended
    reached = reachable(case, root, *tops)
    for identifier, element in case.nodes.items():
        if identifier not in reached:
            if not isinstance(element, Challenge):
                yield case.fault("C010", f"nothing leads to it from {root}", identifier)
            elif element.attacks:
                yield case.fault("C010", f"attacks nothing below {root}", identifier)


def reachable(case: Case, *roots: str) -> set[str]:
    """Everything the roots depend on: support, contexts, controls, and defeaters of what was reached."""
    attackers: dict[str, list[str]] = {}
    for defeater in case.challenges:
        for target in defeater.attacks:
            link = split_link(target)
            # "E1/RULE" names a defeater the engine attached to E1
            aim = link[0] if link else target if target in case.nodes else target.partition("/")[0]
            attackers.setdefault(aim, []).append(defeater.id)
    seen = set(roots)
    queue = list(roots)
    while queue:
        identifier = queue.pop()
        element = case.nodes.get(identifier)
        if element is None:
            continue
        near = [*_below(case, identifier), *attackers.get(identifier, ())]
        if isinstance(element, Claim):
            near += element.in_context_of
        for found in near:
            if found not in seen:
                seen.add(found)
                queue.append(found)
    return seen
