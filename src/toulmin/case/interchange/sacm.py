"""SACM 2.3 in XMI: read tolerantly, written in one form.

Written: one AssuranceCasePackage with one ArgumentPackage. Goals are Claims (``needsSupport`` where undeveloped),
assumptions Claims ``assumed``, justifications Claims ``axiomatic``, strategies ArgumentReasoning, evidence and contexts
ArtifactReferences; defeaters Claims with relations that have ``isCounter``. Support is one AssertedInference (of
evidence: AssertedEvidence) for each child, from ``source`` to ``target`` by ``reasoning``; context is AssertedContext.
References are by ``xmi:id``. Read: any namespace and version, ids by ``xmi:id``, ``id``, ``gid`` or position
(``//@argumentPackage.0/@argumentationElement.3``), several sources and targets in one relation.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from toulmin.case.interchange.items import MAX_BYTES, Document, Item, all_challenges, extension, refuse
from toulmin.faults.xml import local_name, parse_xml

XMI, XSI = "http://www.omg.org/XMI", "http://www.w3.org/2001/XMLSchema-instance"
SACM = "http://www.omg.org/spec/SACM/2.3"
_CLAIM = {"assumed": "assumption", "axiomatic": "justification"}
_SUPPORT = {"AssertedInference", "AssertedEvidence", "AssertedArtifactSupport"}
_CONTEXT = {"AssertedContext", "AssertedArtifactContext"}
_SACM_TYPE = {
    "goal": ("Claim", "asserted"),
    "assumption": ("Claim", "assumed"),
    "justification": ("Claim", "axiomatic"),
    "module": ("Claim", "asCited"),
    "defeater": ("Claim", "asserted"),
    "strategy": ("ArgumentReasoning", None),
    "evidence": ("ArtifactReference", None),
    "context": ("ArtifactReference", None),
}


def write_sacm(document: Document) -> str:
    """The document as XMI."""
    for prefix, uri in (("xmi", XMI), ("xsi", XSI), ("sacm", SACM)):
        ElementTree.register_namespace(prefix, uri)
    root = Element(f"{{{SACM}}}AssuranceCasePackage", {f"{{{XMI}}}version": "2.0"})
    _text(root, "name", document.title)
    _tag(root, document.rest)
    package = SubElement(root, "argumentPackage", {f"{{{XMI}}}id": "_argument"})
    by_id = {item.id: item for item in document.items}
    for item in document.items:
        kind, declaration = _SACM_TYPE[item.type]
        element = SubElement(
            package, "argumentationElement", {f"{{{XSI}}}type": f"sacm:{kind}", f"{{{XMI}}}id": item.id, "gid": item.id}
        )
        if declaration:
            element.set(
                "assertionDeclaration", "needsSupport" if item.undeveloped and item.type == "goal" else declaration
            )
        _text(element, "name", item.id)
        _text(element, "description", item.text)
        rest = item.rest | {"type": item.type} | ({"undeveloped": True} if item.undeveloped else {})
        if any("->" in attack for attack in item.attacks):
            document.lose("a challenge of a link is kept in our extension only", item.id)
            rest["challenges"] = item.attacks
        # a strategy stands in the relations of its parents, so its own order of children is kept here
        if item.supported_by:
            rest["supported_by"] = item.supported_by
        _tag(element, rest)
    count = 0

    def relate(kind: str, source: str, target: str, **more: str) -> None:
        nonlocal count
        count += 1
        attributes = {f"{{{XSI}}}type": f"sacm:{kind}", f"{{{XMI}}}id": f"_relation{count}", "source": source}
        SubElement(package, "argumentationElement", attributes | {"target": target} | more)

    for item in document.items:
        for child in item.supported_by if item.type != "strategy" else ():
            below = by_id.get(child)
            if below is not None and below.type == "strategy":
                for premise in below.supported_by:
                    kind = "AssertedEvidence" if by_id[premise].type == "evidence" else "AssertedInference"
                    relate(kind, premise, item.id, reasoning=child)
                if not below.supported_by:
                    relate("AssertedInference", "", item.id, reasoning=child)
            elif below is not None:
                relate("AssertedEvidence" if below.type == "evidence" else "AssertedInference", child, item.id)
        for context in item.in_context_of:
            relate("AssertedContext", context, item.id)
        for attacked in item.attacks:
            if "->" not in attacked:
                relate("AssertedInference", item.id, attacked, isCounter="true")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _text(parent: Element, tag: str, content: str) -> None:
    SubElement(SubElement(parent, tag), "content", {"lang": "en", "value": content})


def _tag(parent: Element, rest: Mapping[str, object]) -> None:
    if rest:
        tagged = SubElement(parent, "taggedValue", {"key": "toulmin"})
        SubElement(tagged, "content", {"lang": "", "value": json.dumps(rest)})


def read_sacm(data: bytes, file: str) -> Document:
    """Read XMI of any SACM 2 tool, as far as it can be understood."""
    if len(data) > MAX_BYTES:
        raise refuse("too_large", f"larger than {MAX_BYTES} bytes", file)
    root = parse_xml(data, file)
    document = Document(file=file)
    document.title, document.rest = _content(root, "name"), _extension(root)
    elements = list(_elements(root))
    names: dict[str, str] = {}
    relations: list[tuple[str, Element]] = []
    by_id: dict[str, Item] = {}
    for element, kind, position in elements:
        if kind in _SUPPORT | _CONTEXT:
            relations.append((kind, element))
            continue
        identifier = _attribute(element, "gid") or _attribute(element, "id") or f"element-{len(by_id) + 1}"
        for alias in (_attribute(element, "id"), _attribute(element, "gid"), position):
            if alias:
                names.setdefault(alias, identifier)
        rest = _extension(element)
        kind_of_ours = str(rest.pop("type", "")) or _kind(element, kind)
        if kind_of_ours not in _SACM_TYPE:
            document.lose(f"{kind} has no place in a case", identifier)
            continue
        text = _content(element, "description") or _content(element, "content")
        if not text and not any(local_name(child.tag) == "description" for child in element):
            text = _content(element, "name")
        undeveloped = (
            bool(rest.pop("undeveloped", False)) or _attribute(element, "assertionDeclaration") == "needsSupport"
        )
        supported = rest.pop("supported_by", None)
        item = Item(
            identifier, kind_of_ours, text, undeveloped=undeveloped and kind_of_ours in ("goal", "evidence", "strategy")
        )
        item.rest = rest
        item.supported_by = [str(s) for s in supported] if isinstance(supported, list) else []  # type: ignore[misc]
        item.attacks = all_challenges(item.rest, [])
        if identifier in by_id:
            document.lose("a second element of that id was left out", identifier)
            continue
        by_id[identifier] = item
        document.items.append(item)
    for kind, element in relations:
        _relate(kind, element, names, by_id, document)
    for item in document.items:
        if item.type == "evidence" and not item.rest.get("study"):
            item.undeveloped = True
    return document


def _relate(kind: str, element: Element, names: dict[str, str], by_id: dict[str, Item], document: Document) -> None:
    def ends(name: str) -> list[str]:
        written = (_attribute(element, name) or "").split()
        written += [
            _attribute(child, "href") or _attribute(child, "idref") or ""
            for child in element
            if local_name(child.tag) == name
        ]
        found = [names.get(reference.rpartition("#")[2]) or names.get(reference) for reference in written if reference]
        for reference, identifier in zip([w for w in written if w], found, strict=True):
            if identifier not in by_id:
                document.lose(f"{kind} of {reference}, which is not there", _attribute(element, "id"))
        return [identifier for identifier in found if identifier in by_id]  # type: ignore[misc]

    sources, targets, reasoning = ends("source"), ends("target"), ends("reasoning")
    counter = (_attribute(element, "isCounter") or "").lower() == "true"
    for target in targets:
        if counter:
            for source in sources:
                by_id[source].type = "defeater"
                _append(by_id[source].attacks, target)
        elif kind in _CONTEXT:
            for source in sources:
                if by_id[source].type == "evidence" and "study" not in by_id[source].rest:
                    by_id[source].type, by_id[source].undeveloped = "context", False
                _append(by_id[target].in_context_of, source)
        elif reasoning and by_id[reasoning[0]].type == "strategy":
            _append(by_id[target].supported_by, reasoning[0])
            for source in sources:
                _append(by_id[reasoning[0]].supported_by, source)
        else:
            for source in sources:
                _append(by_id[target].supported_by, source)
    if not targets:
        document.lose(f"{kind} without a target", _attribute(element, "id"))


def _append(values: list[str], value: str) -> None:
    if value not in values:
        values.append(value)


def _elements(root: Element) -> Iterator[tuple[Element, str, str]]:
    """Every element with an argumentation type, and its EMF position."""
    stack: list[tuple[Element, str]] = [(root, "/")]
    while stack:
        parent, place = stack.pop()
        counts: dict[str, int] = {}
        below: list[tuple[Element, str]] = []
        for child in parent:
            tag = local_name(child.tag)
            position = f"{place}/@{tag}.{counts.get(tag, 0)}"
            counts[tag] = counts.get(tag, 0) + 1
            kind = (_attribute(child, "type") or child.tag).rpartition(":")[2].rpartition("}")[2]
            if kind in {"Claim", "ArgumentReasoning", "ArtifactReference"} | _SUPPORT | _CONTEXT:
                yield child, kind, position
            else:
                below.append((child, position))
        stack += reversed(below)


def _kind(element: Element, kind: str) -> str:
    if kind == "Claim":
        return _CLAIM.get(_attribute(element, "assertionDeclaration") or "", "goal")
    return {"ArgumentReasoning": "strategy", "ArtifactReference": "evidence"}.get(kind, kind)


def _attribute(element: Element, name: str) -> str | None:
    return next((value for key, value in element.attrib.items() if local_name(key) == name), None)


def _content(element: Element, tag: str) -> str:
    """The text under ``tag``, however deep and in whichever attribute a tool puts it."""
    direct = _attribute(element, tag)
    if direct and tag == "name":
        return direct
    for child in element:
        if local_name(child.tag) == tag:
            for part in child.iter():
                found = _attribute(part, "value") or _attribute(part, "content") or (part.text or "").strip()
                if found:
                    return found
    return direct or ""


def _extension(element: Element) -> dict[str, object]:
    for child in element:
        if local_name(child.tag) == "taggedValue" and _attribute(child, "key") == "toulmin":
            return extension(_content(child, "content"))
    return {}
