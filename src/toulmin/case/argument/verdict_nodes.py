"""The verdict of every element, and the lines of the diagram."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from toulmin.case.argument.graph import Argument
from toulmin.case.argument.health import Freshness
from toulmin.case.argument.reasons import Explainer
from toulmin.case.argument.verdict import ArgumentEdge, NodeVerdict, Probability
from toulmin.case.file.casefile import Case
from toulmin.case.file.elements import Claim, Defeater, Element, EvidenceNode, Module
from toulmin.case.file.structure import supports_of


def depths(argument: Argument, case: Case) -> dict[str, int]:
    """Layers from the root, breadth first; whatever an element has beside it shares its layer."""
    found = {argument.root: 0}
    queue = [argument.root]
    for identifier in queue:
        vertex, layer = argument.vertices[identifier], found[identifier]
        # what the vertex depends on and is no support of it stands beside it
        for layers, several in ((1, case.support.get(identifier, vertex.children)), (0, vertex.depends_on())):
            for other in several:
                if other not in found:
                    found[other] = layer + layers
                    queue.append(other)
    return found


def node_verdicts(
    case: Case,
    attached: Sequence[Defeater],
    explainer: Explainer,
    rests_on: Mapping[str, frozenset[str]],
    probabilities: Mapping[str, Probability | None],
    given: Mapping[str, Probability | None],
) -> dict[str, NodeVerdict]:
    """One verdict an element, in the order of the file, attached defeaters last."""
    argument, state = explainer.argument, explainer.state
    layer = depths(argument, case)
    in_order = {names: tuple(sorted(names)) for names in set(rests_on.values())}  # the same few sets everywhere
    nodes: dict[str, NodeVerdict] = {}
    for element in (*case.nodes.values(), *attached):
        identifier = element.id
        nodes[identifier] = NodeVerdict(
            id=identifier,
            type=element.type,
            text=element.text,
            health=state.low[identifier],
            freshness=Freshness.STALE if identifier in explainer.stale else Freshness.CURRENT,
            reasons=explainer.of(identifier),
            rests_on=in_order[rests_on[identifier]],
            label=state.labels.get(identifier),
            probability=probabilities[identifier],
            given_assumptions=given[identifier],
            binding=explainer.bindings.get(identifier),
            module=element.case if isinstance(element, Module) else None,
            depth=layer.get(identifier, 0),
            dormant=argument.vertices[identifier].dormant,
        )
    return nodes


def edges_of(case: Case, attached: Sequence[Defeater]) -> tuple[ArgumentEdge, ...]:
    """Every line of the diagram, each once."""
    edges: dict[ArgumentEdge, None] = {}
    for identifier, element in case.nodes.items():
        marks = _open_marks(element)
        for child in supports_of(element):
            edges[ArgumentEdge(identifier, child, "supported_by", marks.get(child, ""))] = None
        if isinstance(element, Claim):
            for child in element.strengthened_by:
                edges[ArgumentEdge(identifier, child, "strengthened_by", marks.get(child, ""))] = None
            for context in element.in_context_of:
                edges[ArgumentEdge(identifier, context, "in_context_of", marks.get(context, ""))] = None
        elif isinstance(element, EvidenceNode) and element.control not in (None, "self"):
            edges[ArgumentEdge(identifier, element.control or "", "control")] = None
    for defeater in (*case.challenges, *attached):
        for target in defeater.attacks:
            edges[ArgumentEdge(defeater.id, target, "attacks")] = None
    return tuple(edges)


def _open_marks(element: Element) -> dict[str, str]:
    """What a pattern leaves open of each child."""
    if not isinstance(element, Claim):
        return {}
    choice = element.choose
    offered = {child: f"{choice.n} of {len(choice.of)}" for child in choice.of} if choice else {}
    return {
        child: ", ".join(mark for mark in (offered.get(child), element.multiplicity.get(child)) if mark)
        for child in (*offered, *element.multiplicity)
    }
