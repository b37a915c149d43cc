"""The argument as a graph: what each element depends on, and an order in which to evaluate it.

An element depends on its support, its contexts, its control, and on whatever attacks it or its links. Support is
acyclic; attacks need not be, so the order is that of strongly connected components (Tarjan 1972, iterative), each after
those it depends on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from toulmin.case.argument.health import Health
from toulmin.case.file.casefile import Case
from toulmin.case.file.elements import Assumption, Challenge, Claim, Defeater, EvidenceNode, Module, place_of
from toulmin.case.file.structure import split_link


@dataclass(slots=True)
class Vertex:
    """An element as the evaluation sees it.

    ``base`` is the health a leaf has by itself: of evidence by its criterion, of a module by its own case; None for
    what is derived from children.
    """

    id: str
    type: str
    children: tuple[str, ...] = ()
    mode: str | int = "all"
    contexts: tuple[str, ...] = ()
    base: Health | None = None
    undeveloped: bool = False
    stale: bool = False
    control: str | None = None
    kind: str = ""  #: of a defeater: rebut, undercut, undermine, open_problem
    accepted: bool = False  #: of a defeater: a person lives with the doubt, today
    dormant: bool = False  #: of a defeater: there is nothing yet to doubt, and it attacks nothing
    evidence: tuple[Vertex, ...] = ()  #: the children that are evidence; set by the argument
    direct: frozenset[str] = frozenset()  #: their ids
    attackers: list[str] = field(default_factory=list[str])
    link_attackers: dict[str, list[str]] = field(default_factory=dict[str, list[str]])

    def depends_on(self) -> Iterator[str]:
        """Every vertex whose state this one's is derived from."""
        yield from self.children
        yield from self.contexts
        if self.control is not None:
            yield self.control
        yield from self.attackers
        for several in self.link_attackers.values():
            yield from several
        if self.type == "defeater":  # whether its own evidence is to be believed against it
            for child in self.evidence:
                yield from child.attackers


@dataclass
class Argument:
    """The vertices by id, and the root."""

    vertices: Mapping[str, Vertex]
    root: str

    def __post_init__(self) -> None:
        for vertex in self.vertices.values():
            if vertex.children:
                below = (self.vertices[child] for child in vertex.children)
                vertex.evidence = tuple(child for child in below if child.type == "evidence")
                vertex.direct = frozenset(child.id for child in vertex.evidence)

    @cached_property
    def order(self) -> Sequence[tuple[str, ...]]:
        """Strongly connected components, dependencies first; one vertex each but where attacks run in circles."""
        return tuple(_components(self.vertices))

    @cached_property
    def dependents(self) -> Mapping[str, tuple[str, ...]]:
        """Who is derived from each vertex."""
        found: dict[str, dict[str, None]] = {identifier: {} for identifier in self.vertices}
        for identifier, vertex in self.vertices.items():
            for below in vertex.depends_on():
                found[below][identifier] = None
        return {identifier: tuple(above) for identifier, above in found.items()}

    @cached_property
    def support_order(self) -> Sequence[str]:
        """Every vertex after its children and contexts; attacks play no part. Iterative: cases are deep."""
        done: dict[str, None] = {}
        for start in self.vertices:
            stack = [(start, False)]
            while stack:
                identifier, ready = stack.pop()
                if identifier in done:
                    continue
                if ready:
                    done[identifier] = None
                    continue
                stack.append((identifier, True))
                vertex = self.vertices[identifier]
                stack += [(below, False) for below in (*vertex.children, *vertex.contexts) if below not in done]
        return tuple(done)

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Where in the order each vertex comes."""
        return {identifier: place for place, component in enumerate(self.order) for identifier in component}

    @cached_property
    def circular(self) -> frozenset[str]:
        """The vertices on some circle of attacks."""
        loops = {v for component in self.order if len(component) > 1 for v in component}
        return frozenset(loops | {i for i, vertex in self.vertices.items() if i in vertex.attackers})


def _components(vertices: Mapping[str, Vertex]) -> Iterator[tuple[str, ...]]:
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    active: dict[str, None] = {}
    for start in vertices:
        if start in index:
            continue
        index[start] = low[start] = len(index)
        active[start] = None
        work = [(start, vertices[start].depends_on())]
        while work:
            node, below = work[-1]
            child = next(below, None)
            if child is None:
                work.pop()
                if work:
                    above = work[-1][0]
                    low[above] = min(low[above], low[node])
                if low[node] == index[node]:
                    members: list[str] = []
                    while True:
                        member, _ = active.popitem()
                        members.append(member)
                        if member == node:
                            break
                    yield tuple(members)
            elif child not in index:
                index[child] = low[child] = len(index)
                active[child] = None
                work.append((child, vertices[child].depends_on()))
            elif child in active:
                low[node] = min(low[node], index[child])


@dataclass(frozen=True, slots=True)
class LeafState:
    """What is known of a leaf before the argument is evaluated."""

    health: Health
    stale: bool = False


_UNKNOWN = LeafState(Health.UNSUPPORTED)


def build_argument(
    case: Case,
    root: str,
    leaves: Mapping[str, LeafState],
    attached: Sequence[Challenge] = (),
    accepted: frozenset[str] = frozenset(),
    expired: frozenset[str] = frozenset(),
) -> Argument:
    """The argument of a structurally sound case.

    ``leaves`` gives the state of evidence and modules, ``attached`` the defeaters that evidence rules attach,
    ``accepted`` the defeaters a person lives with today, ``expired`` the assumptions past their review.
    """
    vertices: dict[str, Vertex] = {}
    for identifier, element in case.nodes.items():
        vertex = Vertex(identifier, place_of(element))
        if isinstance(element, Claim):
            vertex.children, vertex.mode = tuple(dict.fromkeys(element.supported_by)), element.mode_key
            vertex.contexts, vertex.undeveloped = tuple(dict.fromkeys(element.in_context_of)), element.undeveloped
            vertex.undeveloped |= element.is_pattern
        elif isinstance(element, (EvidenceNode, Module)):
            state = leaves.get(identifier, _UNKNOWN)
            vertex.base, vertex.stale = state.health, state.stale
            if isinstance(element, EvidenceNode) and isinstance(case.nodes.get(element.control or ""), EvidenceNode):
                vertex.control = element.control  # else it is "self", or C037
        elif isinstance(element, Assumption):
            vertex.stale = identifier in expired
        vertices[identifier] = vertex
    challenges = (*case.challenges, *attached)
    for challenge in challenges:
        vertex = Vertex(challenge.id, "defeater", kind=challenge.type, accepted=challenge.id in accepted)
        if isinstance(challenge, Defeater):
            vertex.children, vertex.kind = tuple(dict.fromkeys(challenge.supported_by)), challenge.kind
        vertices[challenge.id] = vertex
    hosts: dict[str, list[str]] = {}
    if any(challenge.dormant_until_developed for challenge in challenges):
        for identifier, vertex in vertices.items():
            for context in vertex.contexts:
                hosts.setdefault(context, []).append(identifier)
    for challenge in challenges:
        targets = dict.fromkeys(challenge.attacks)
        if challenge.dormant_until_developed and not _is_developed(vertices, hosts, targets):
            vertices[challenge.id].dormant = True
            continue
        for target in targets:
            link = split_link(target)
            if link:
                vertices[link[0]].link_attackers.setdefault(link[1], []).append(challenge.id)
            else:
                vertices[target].attackers.append(challenge.id)
    return Argument(vertices, root)


def _is_developed(vertices: Mapping[str, Vertex], hosts: Mapping[str, Sequence[str]], targets: Iterable[str]) -> bool:
    """Whether anything below the targets of a defeater is bound to a study, or is another case.

    Below a context or an assumption is what is below the claims that it is a context of (``hosts``).
    """
    pending = [(split_link(target) or (target, target))[1] for target in targets]
    pending += [host for target in pending for host in hosts.get(target, ())]
    seen = set(pending)
    while pending:
        vertex = vertices[pending.pop()]
        if vertex.type == "defeater" or vertex.base not in (None, Health.UNDEVELOPED):
            return True
        below = [child for child in vertex.children if child not in seen]
        pending += below
        seen.update(below)
    return False
