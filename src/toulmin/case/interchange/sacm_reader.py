"""Reading SACM of any tool: each element comes along, or is listed with its line.

Tools write the same model in many shapes. Read here: SACM 1 and 2 in any namespace; the type of an element as
``xsi:type`` or as its tag, in any case (``Claim``, ``claim``); ids as ``xmi:id``, ``id``, ``gid``, ``identifier``; any
nesting of packages; text in attributes or in nested elements. A relation names its ends in attributes or in child
elements (``ref``, ``href``, ``idref``, text), by id, by ``file#id``, or by the position that EMF writes
(``//@argumentPackage.0/@argumentationElement.3``), several at once.

Away claims and claims that rest on nothing come as undeveloped goals, evidence as undeveloped until it is bound to a
study, a challenge of a relation as an undercut of that link.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.etree.ElementTree import Element

from toulmin.case.interchange.items import MAX_BYTES, Document, Item, all_challenges, extension, refuse
from toulmin.faults.xml import local_name, parse_xml

_OURS = {"goal", "strategy", "evidence", "context", "assumption", "justification", "module", "defeater", "open_problem"}
_NODES = {
    "claim": "goal",
    "argumentreasoning": "strategy",
    "artifactreference": "evidence",
    "artefactreference": "evidence",
    "informationelement": "evidence",
    "informationelementcitation": "evidence",
    "artifactelementcitation": "evidence",
    "claimcitation": "goal",
}
_DECLARED = {"assumed": "assumption", "axiomatic": "justification"}
_SUPPORT = {"assertedinference", "assertedevidence", "assertedartifactsupport"}
_COUNTER = {"assertedchallenge", "assertedcounterevidence"}
_CONTEXT = {"assertedcontext", "assertedartifactcontext"}
_ENDS = {
    "source": ("source", "sources", "from"),
    "target": ("target", "targets", "to"),
    "reasoning": ("reasoning", "reasonings"),
    "cited": ("citedElement", "citedelement", "cites"),
    "artifact": ("referencedArtifactElement", "referencedArtifact", "referencedartifactelement"),
}
_REFERENCES = {name.lower() for names in _ENDS.values() for name in names}
_TEXTS = {"name", "description", "content", "value", "note", "statement", "text", "langstring", "multilangstring"}
_CONTAINERS = {"xmi", "argumentationmodel", "argument", "assurancecase", "documentation", "packagedelement"}
_ARTIFACTS = {"artifact", "artefact", "artifactproperty", "artifactevent", "activity", "event", "participant",
              "technique", "resource", "property", "artifactassetrelationship", "artifactgroup"}  # fmt: skip


@dataclass
class _Relation:
    kind: str
    element: Element
    line: int | None
    ids: list[str]


@dataclass
class _Reader:
    document: Document
    lines: dict[Element, int]
    names: dict[str, str] = field(default_factory=dict[str, str])  #: every alias of an element -> its id
    by_id: dict[str, Item] = field(default_factory=dict[str, Item])
    foreign: set[str] = field(default_factory=set[str])  #: ids of elements that we did not write
    relations: list[_Relation] = field(default_factory=list[_Relation])
    artifacts: dict[str, Element] = field(default_factory=dict[str, Element])
    served: dict[str, str] = field(default_factory=dict[str, str])  #: strategies -> the first claim they serve
    cited: set[Element] = field(default_factory=set[Element])

    def add(self, element: Element, kind: str, position: str) -> None:
        """Take one element of the argument."""
        line, aliases = self.lines.get(element), _aliases(element, position)
        if kind in _SUPPORT | _COUNTER | _CONTEXT:
            self.relations.append(_Relation(kind, element, line, aliases))
            return
        identifier = _first(element, "gid", "identifier", "id") or f"element-{len(self.by_id) + 1}"
        if identifier in self.by_id:
            self.document.lose("a second element of that id was left out", identifier, line)
            return
        rest = _extension(element)
        if not rest:
            self.foreign.add(identifier)
        declaration = (_attribute(element, "assertionDeclaration") or "").lower()
        ours = str(rest.pop("type", ""))
        if ours not in _OURS:
            ours = _DECLARED.get(declaration, _NODES[kind]) if kind == "claim" else _NODES[kind]
            if kind == "claim" and (_attribute(element, "assumed") or "").lower() == "true":
                ours = "assumption"
        # SACM 1 has the statement in an attribute and a title in description
        said = (
            _attribute(element, "content"),
            *(_content(element, n) for n in ("description", "content", "statement")),
        )
        text = next((words for words in said if words), "")
        if not text and not any(local_name(child.tag) == "description" for child in element):
            text = _content(element, "name")
        undeveloped = bool(rest.pop("undeveloped", False)) or declaration == "needssupport"
        undeveloped |= (_attribute(element, "toBeSupported") or "").lower() == "true"
        supported: object = rest.pop("supported_by", None)
        item = Item(identifier, ours, text, rest=rest, line=line)
        item.undeveloped = undeveloped and ours in ("goal", "evidence", "strategy")
        item.supported_by = [str(s) for s in supported] if isinstance(supported, list) else []  # type: ignore[misc]
        item.attacks = all_challenges(item.rest, [])
        self.by_id[identifier] = item
        self.document.items.append(item)
        for alias in aliases:
            self.names.setdefault(alias, identifier)
        if identifier in self.foreign:
            self._foreign(element, item, declaration, kind)

    def _foreign(self, element: Element, item: Item, declaration: str, kind: str) -> None:
        away = declaration == "ascited" or kind == "claimcitation"
        if away or (_attribute(element, "isCitation") or "").lower() == "true":
            cited = ", ".join(_references(element, "cited")) or "an element elsewhere"
            self.document.lose(f"it cites {cited}; read as an undeveloped goal of this case", item.id, item.line)
            item.undeveloped = item.type == "goal"
        if declaration == "defeated":
            self.document.lose("it is marked as defeated; the mark does not come along", item.id, item.line)
        if (_attribute(element, "isAbstract") or "").lower() == "true":
            self.document.lose("it is abstract: a pattern to be instantiated", item.id, item.line)
        for reference in _references(element, "artifact"):
            artifact = self._artifact(reference)
            if artifact is None:
                self.document.lose(f"it refers to {reference}, which is not there", item.id, item.line)
            elif not item.text or item.text == _content(element, "name"):
                described = _content(artifact, "description") or _content(artifact, "name")
                item.text = described if not item.text else f"{item.text}: {described}" if described else item.text
        for child in element:
            tag = local_name(child.tag).lower()
            if tag not in _TEXTS | _REFERENCES:
                what = local_name(child.tag)
                if tag == "taggedvalue":
                    what = f"the tagged value {_attribute(child, 'key') or _content(child, 'key')}"
                self.document.lose(f"{what} has no place in a case", item.id, self.lines.get(child))

    def _artifact(self, reference: str) -> Element | None:
        found = next((self.artifacts[name] for name in _spellings(reference) if name in self.artifacts), None)
        if found is not None:
            self.cited.add(found)
        return found

    def find(self, reference: str) -> str | None:
        """The id of the element that a reference names."""
        return next((self.names[name] for name in _spellings(reference) if name in self.names), None)

    def ends(self, relation: _Relation, name: str) -> list[str]:
        """The ids of the elements at one end of a relation."""
        found: list[str] = []
        for reference in _references(relation.element, name):
            identifier = self.find(reference)
            if identifier in self.by_id:
                found.append(identifier)
            elif not (name == "target" and self._relation(reference)):
                message = f"{_type(relation.element)} of {reference}, which is not there"
                self.document.lose(message, relation.ids[0] if relation.ids else None, relation.line)
        return found

    def _relation(self, reference: str) -> _Relation | None:
        spellings = set(_spellings(reference))
        return next((one for one in self.relations if not spellings.isdisjoint(one.ids)), None)

    def relate(self, relation: _Relation) -> None:
        """Take one relation, with all its sources and targets."""
        sources, targets, reasoning = (self.ends(relation, name) for name in ("source", "target", "reasoning"))
        name = relation.ids[0] if relation.ids else None
        counter = (_attribute(relation.element, "isCounter") or "").lower() == "true" or relation.kind in _COUNTER
        if counter:
            self._challenge(relation, sources, targets)
        elif not targets:
            self.document.lose(f"{_type(relation.element)} without a target", name, relation.line)
        elif not sources and not reasoning and not _references(relation.element, "source"):
            self.document.lose(f"{_type(relation.element)} without a source", name, relation.line)
        for target in targets if not counter else ():
            if relation.kind in _CONTEXT:
                for source in sources:
                    self._context(source, target, relation)
            elif reasoning and self.by_id[reasoning[0]].type == "strategy":
                for strategy in reasoning:
                    served = self.served.setdefault(strategy, target)
                    if strategy in self.foreign and served != target:
                        message = f"it serves {served} and {target}: what supports either is joined under it"
                        self.document.lose(message, strategy, relation.line)
                    self._append(self.by_id[target].supported_by, strategy)
                    for source in sources:
                        self._append(self.by_id[strategy].supported_by, source)
            else:
                for source in sources:
                    if self.by_id[source].type in ("assumption", "justification", "context"):
                        message = f"support of {target} by {self.by_id[source].type} {source} was read as its context"
                        self.document.lose(message, source, relation.line)
                        self._context(source, target, relation)
                    else:
                        self._append(self.by_id[target].supported_by, source, relation, f"support of {target}")

    def _challenge(self, relation: _Relation, sources: list[str], targets: list[str]) -> None:
        links: list[str] = []
        for reference in _references(relation.element, "target"):
            attacked = self._relation(reference) if self.find(reference) is None else None
            if attacked is not None:
                for parent in self.ends(attacked, "reasoning") or self.ends(attacked, "target"):
                    links += [f"{parent}->{child}" for child in self.ends(attacked, "source")]
        for source in sources:
            item = self.by_id[source]
            if item.type == "evidence":  # counter-evidence: a challenge in its own right
                item.undeveloped = False
            if item.type != "open_problem":
                item.type = "defeater"
            for target in (*targets, *links):
                self._append(item.attacks, target, relation, f"challenge of {target}")
        if not sources or not (targets or links):
            name = relation.ids[0] if relation.ids else None
            self.document.lose(f"{_type(relation.element)} without both ends", name, relation.line)

    def _context(self, source: str, target: str, relation: _Relation) -> None:
        item = self.by_id[source]
        if item.type == "evidence" and "study" not in item.rest:
            item.type, item.undeveloped = "context", False
        if item.type == "goal" and not item.rest:
            self.document.lose("a claim in whose context another stands was read as an assumption", source, item.line)
            item.type, item.undeveloped = "assumption", False
        self._append(self.by_id[target].in_context_of, source, relation, f"context of {target}")

    def _append(self, values: list[str], value: str, relation: _Relation | None = None, what: str = "") -> None:
        if value not in values:
            values.append(value)
        elif relation is not None and not self.by_id.keys().isdisjoint(self.foreign):
            self.document.lose(f"{what} is given more than once, and kept once", value, relation.line)


def read_sacm(data: bytes, file: str) -> Document:
    """Read XMI of any SACM tool, as far as it can be understood."""
    if len(data) > MAX_BYTES:
        raise refuse("too_large", f"larger than {MAX_BYTES} bytes", file)
    lines: dict[Element, int] = {}
    root = parse_xml(data, file, lines)
    document = Document(_content(root, "name"), rest=_extension(root), file=file)
    reader = _Reader(document, lines)
    nodes: list[tuple[Element, str, str]] = []
    for element, kind, position in _elements(root):
        if kind in _ARTIFACTS:
            reader.artifacts |= dict.fromkeys(_aliases(element, position), element)
        else:
            nodes.append((element, kind, position))
    for element, kind, position in nodes:
        if kind in _NODES or kind in _SUPPORT | _COUNTER | _CONTEXT:
            reader.add(element, kind, position)
        else:
            document.lose(f"{_type(element)} has no place in a case", _name(element), lines.get(element))
    for relation in reader.relations:
        reader.relate(relation)
    for element in dict.fromkeys(reader.artifacts.values()):
        if element not in reader.cited:
            document.lose(f"{_type(element)} that nothing refers to", _name(element), lines.get(element))
    for item in document.items:
        if item.type == "evidence" and not item.rest.get("study"):
            item.undeveloped = True
        if item.id in reader.foreign and item.type in ("goal", "strategy"):
            if not item.supported_by and not item.undeveloped:
                document.lose("nothing supports it; read as undeveloped", item.id, item.line)
            item.undeveloped |= not item.supported_by
    return document


def _elements(root: Element) -> Iterator[tuple[Element, str, str]]:
    """Every element of a model, with its type in lower case and its EMF position, in the order of the file."""
    many = local_name(root.tag).lower() == "xmi"
    stack: list[tuple[Element, str]] = [(root, "/")]
    while stack:
        parent, place = stack.pop()
        kind = _type(parent).lower()
        known = kind in _NODES or kind in _SUPPORT | _COUNTER | _CONTEXT | _ARTIFACTS
        if parent is not root and not known and not _contains(parent, kind):
            if kind not in _TEXTS | _REFERENCES and (kind != "taggedvalue" or _attribute(parent, "key") != "toulmin"):
                yield parent, kind, place
            continue
        if known:
            yield parent, kind, place
        counts: dict[str, int] = {}
        below: list[tuple[Element, str]] = []
        for index, child in enumerate(parent):
            tag = local_name(child.tag)
            position = f"/{index}" if many and parent is root else f"{place}/@{tag}.{counts.get(tag, 0)}"
            counts[tag] = counts.get(tag, 0) + 1
            if not known or tag.lower() not in _TEXTS | _REFERENCES | {"taggedvalue", "implementationconstraint"}:
                below.append((child, position))
        stack += reversed(below)


def _contains(element: Element, kind: str) -> bool:
    """Whether an element only holds others: a package of any kind, or a wrapper."""
    return any(word in kind for word in ("package", "model", "interface", "binding")) or kind in _CONTAINERS


def _type(element: Element) -> str:
    """The type by ``xsi:type``, else by the tag; without its prefix."""
    written = next((value for key, value in element.attrib.items() if local_name(key) == "type" and ":" in value), None)
    written = written or _attribute(element, "type") or element.tag
    return written.rpartition(":")[2].rpartition("}")[2]


def _attribute(element: Element, name: str) -> str | None:
    return next((value for key, value in element.attrib.items() if local_name(key) == name), None)


def _first(element: Element, *names: str) -> str | None:
    return next((value for name in names if (value := _attribute(element, name))), None)


def _name(element: Element) -> str | None:
    return _first(element, "gid", "identifier", "id") or _content(element, "name") or None


def _aliases(element: Element, position: str) -> list[str]:
    found = [_attribute(element, name) for name in ("id", "gid", "identifier", "uuid")]
    return [alias for alias in dict.fromkeys([*found, position]) if alias]


def _references(element: Element, name: str) -> list[str]:
    """What a relation names at one end, in attributes and in child elements."""
    found: list[str] = []
    for spelling in _ENDS[name]:
        found += (_attribute(element, spelling) or "").split()
        for child in element:
            if local_name(child.tag) == spelling:
                written = _first(child, "href", "idref", "ref", "reference", "id") or (child.text or "").strip()
                found += written.split()
    return found


def _spellings(reference: str) -> Iterator[str]:
    """The ways in which an element may be called that ``reference`` names."""
    yield reference
    fragment = reference.rpartition("#")[2]
    yield fragment
    # EMF leaves the index out where a feature holds one element
    yield re.sub(r"@(\w+)(?=/|$)", r"@\1.0", fragment)


def _content(element: Element, tag: str) -> str:
    """The text under ``tag``, however deep and in whichever attribute a tool puts it."""
    direct = _attribute(element, tag)
    if direct and tag == "name":
        return direct
    for child in element:
        if local_name(child.tag) == tag:
            for part in child.iter():
                found = _first(part, "value", "content") or (part.text or "").strip()
                if found:
                    return found
    return direct or ""


def _extension(element: Element) -> dict[str, object]:
    for child in element:
        if local_name(child.tag) == "taggedValue" and _attribute(child, "key") == "toulmin":
            return extension(_content(child, "content"))
    return {}
