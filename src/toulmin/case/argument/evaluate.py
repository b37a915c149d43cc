r"""The semantics: health, labels of defeaters, freshness, and what everything rests on.

Defeaters are labelled by grounded semantics (Dung 1995; Caminada 2006) over the attack graph. A defeater d whose
support has health s(d) (supported where it needs none) is

    OUT         if evidence of d itself shows the contrary and every attacker of that evidence is OUT,
                or a person accepts the doubt, or some attacker of d is IN
    IN          if s(d) >= conditional and every attacker of d is OUT
    UNDECIDED   otherwise: its own support is missing, inconclusive or doubted, or it attacks in a circle

and the least fixpoint in the order of information is taken, so a rebutted rebuttal reinstates, and a circle decides
nothing. Since support may itself be attacked, every health is computed twice: ``low`` with undecided attackers
standing, ``high`` with them gone. What is reported is ``low``: a claim holds only if every attack on it is OUT.

An answered attack carries a caveat where every answer to it rests on somebody's word: an acceptance, an answer without
evidence, an answer that is itself conditional. Caveats are the greatest fixpoint once the labels are known, so that on
a circle they do not depend on the order of elements.

So a doubt whose support merely fails is not answered: that takes contrary evidence, or somebody's decision.

Health of a claim: the k-th best of its children (worst for "all", best for "any"), where a refuted child that is not
evidence counts as unsupported, since the falsehood of one ground does not show the claim false; then capped: by
undeveloped where so marked; by conditional where an assumption is in its context, or where an attack on it is OUT only
because a person accepts it or because of an answer without evidence; by the health of its contexts; by undermined while
an attack stands, and by refuted where a rebuttal stands on evidence that supports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toulmin.case.argument.graph import Argument, Vertex
from toulmin.case.argument.health import Health, Label, combine, of_support

_UNDECIDED, _IN, _OUT = Label.UNDECIDED, Label.IN, Label.OUT
_OWN = {"context": Health.SUPPORTED, "justification": Health.SUPPORTED, "assumption": Health.CONDITIONAL}
Caps = tuple[Health, Health]
Snapshot = tuple[Health, Health, Label | None, Caps | None, bool | None]
NONE: Mapping[str, Health] = {}


@dataclass
class Evaluation:
    """The state of every vertex.

    ``caps`` is what a defeater leaves of the health of its targets (pessimistic, optimistic); ``caveats`` whether an
    attack's fate rests on somebody's word.
    """

    low: dict[str, Health] = field(default_factory=dict[str, Health])
    high: dict[str, Health] = field(default_factory=dict[str, Health])
    labels: dict[str, Label] = field(default_factory=dict[str, Label])
    caps: dict[str, Caps] = field(default_factory=dict[str, Caps])
    caveats: dict[str, bool] = field(default_factory=dict[str, bool])

    def of(self, identifier: str) -> Snapshot:
        """The state of one vertex, for :meth:`restore`."""
        return (
            self.low[identifier],
            self.high[identifier],
            self.labels.get(identifier),
            self.caps.get(identifier),
            self.caveats.get(identifier),
        )

    def restore(self, identifier: str, before: Snapshot) -> None:
        """Set one vertex back to what :meth:`of` gave."""
        self.low[identifier], self.high[identifier], label, caps, caveat = before
        if label is not None and caps is not None and caveat is not None:
            self.labels[identifier], self.caps[identifier], self.caveats[identifier] = label, caps, caveat


def evaluate(argument: Argument, what_if: Mapping[str, Health] = NONE) -> Evaluation:
    """Evaluate an argument.

    ``what_if`` replaces the health that leaves, contexts and undeveloped claims have of themselves; a defeater given
    less than conditional fails.
    """
    state = Evaluation()
    vertices = argument.vertices
    for component in argument.order:
        for identifier in component:
            if vertices[identifier].type == "defeater":
                state.labels[identifier], state.caveats[identifier] = _UNDECIDED, False
                state.caps[identifier] = (Health.UNDERMINED, Health.SUPPORTED)
        if len(component) == 1 and component[0] not in vertices[component[0]].attackers:
            update(vertices[component[0]], state, what_if)
            continue
        for identifier in component:
            state.low[identifier], state.high[identifier] = Health.REFUTED, Health.SUPPORTED
        # Labels only ever leave UNDECIDED, and with fixed labels health follows acyclic support: it ends.
        _settle(component, argument, state, what_if, frozen=False)
        for identifier in component:
            state.low[identifier], state.high[identifier] = Health.REFUTED, Health.SUPPORTED
            if identifier in state.caveats:
                state.caveats[identifier] = True
        _settle(component, argument, state, what_if, frozen=True)
    return state


def _settle(
    component: tuple[str, ...], argument: Argument, state: Evaluation, what_if: Mapping[str, Health], *, frozen: bool
) -> None:
    changed = True
    while changed:
        changed = False
        for identifier in component:
            changed |= update(argument.vertices[identifier], state, what_if, frozen=frozen)


def update(vertex: Vertex, state: Evaluation, what_if: Mapping[str, Health] = NONE, *, frozen: bool = False) -> bool:
    """Derive one vertex from those it depends on (keeping the label where ``frozen``); whether anything changed."""
    identifier, own = vertex.id, what_if.get(vertex.id)
    if vertex.type == "defeater":
        return _update_defeater(vertex, state, own, frozen)
    low, high = (
        local_health(vertex, state.low, state.caps, 0, own),
        local_health(vertex, state.high, state.caps, 1, own),
    )
    changed = state.low.get(identifier) != low or state.high.get(identifier) != high
    state.low[identifier], state.high[identifier] = low, high
    return changed


def _update_defeater(vertex: Vertex, state: Evaluation, own: Health | None, frozen: bool) -> bool:
    identifier, attackers = vertex.id, vertex.attackers
    before = (state.low.get(identifier), state.high.get(identifier), state.caps[identifier], state.caveats[identifier])
    low = min((state.low[child] for child in vertex.children), default=Health.SUPPORTED)
    high = min((state.high[child] for child in vertex.children), default=Health.SUPPORTED)
    against = contrary_evidence(vertex, state)
    fails = bool(against) or (own is not None and own < Health.CONDITIONAL)
    beaten = [attacker for attacker in attackers if state.labels[attacker] is _IN]
    if frozen:
        label = state.labels[identifier]
    elif fails or beaten or vertex.accepted:
        label = _OUT
    elif low >= Health.CONDITIONAL and all(state.labels[attacker] is _OUT for attacker in attackers):
        label = _IN
    else:
        label = _UNDECIDED
    if label is _OUT:
        # one answer that rests on nobody's word is enough
        sure = fails and not all(any(state.caveats[a] for a in child.attackers) for child in against)
        caveat = not (sure or (fails and not against)) and all(state.caveats[attacker] for attacker in beaten)
    else:
        bare = not vertex.children
        caveat = label is _IN and (bare or low < Health.SUPPORTED or any(state.caveats[a] for a in attackers))
    if label is _OUT:
        cap = Health.CONDITIONAL if caveat else Health.SUPPORTED
        caps = (cap, cap)
    elif label is _UNDECIDED:
        caps = (Health.UNDERMINED, Health.SUPPORTED)
    else:
        shown = vertex.kind == "rebut" and bool(vertex.children) and low is Health.SUPPORTED
        cap = Health.REFUTED if shown else Health.UNDERMINED
        caps = (cap, cap)
    state.low[identifier], state.high[identifier] = low, high
    state.labels[identifier], state.caps[identifier], state.caveats[identifier] = label, caps, caveat
    return before != (low, high, caps, caveat)


def contrary_evidence(vertex: Vertex, state: Evaluation) -> list[Vertex]:
    """The evidence of a defeater that shows the contrary of it, and that no standing attack makes doubtful."""
    return [
        child
        for child in vertex.evidence
        if state.high[child.id] is Health.REFUTED and all(state.labels[a] is _OUT for a in child.attackers)
    ]


def local_health(
    vertex: Vertex,
    health: Mapping[str, Health],
    caps: Mapping[str, Caps],
    side: int = 0,
    own: Health | None = None,
) -> Health:
    """Health of a vertex that is no defeater from the health of those it depends on; ``side`` 0 takes the low caps."""
    if vertex.base is not None:
        result = vertex.base if own is None else own
        if vertex.control is not None and health[vertex.control] < Health.CONDITIONAL:
            result = min(result, Health.UNSUPPORTED)
    elif vertex.type in _OWN:
        result = _OWN[vertex.type] if own is None else own
    else:
        result = _combined(vertex, health, caps, side, own)
        for context in vertex.contexts:
            result = min(result, of_support(health[context]))
    for attacker in vertex.attackers:
        result = min(result, caps[attacker][side])
    return result


def _combined(
    vertex: Vertex,
    health: Mapping[str, Health],
    caps: Mapping[str, Caps],
    side: int,
    own: Health | None,
) -> Health:
    mark = Health.UNDEVELOPED if own is None else own
    if not vertex.children:
        return mark
    direct = vertex.direct
    healths = [health[child] if child in direct else of_support(health[child]) for child in vertex.children]
    for child, attackers in vertex.link_attackers.items():
        place = vertex.children.index(child)
        healths[place] = min(healths[place], *(caps[attacker][side] for attacker in attackers))
    if vertex.mode == "all":
        result = min(healths)
    elif vertex.mode == "any":
        result = max(healths)
    else:
        result = combine(healths, vertex.mode)
    return min(result, mark) if vertex.undeveloped else result
