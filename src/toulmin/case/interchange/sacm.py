"""SACM in XMI, written in the form of version 2.3.

One AssuranceCasePackage with one ArgumentPackage. Goals are Claims (``needsSupport`` where undeveloped), assumptions
Claims ``assumed``, justifications Claims ``axiomatic``, strategies ArgumentReasoning, evidence and contexts
ArtifactReferences; claims of a pattern are ``isAbstract``, with what is still open of them as implementationConstraint;
defeaters Claims with relations that have ``isCounter``. Support is one AssertedInference (of
evidence: AssertedEvidence) for each child, from ``source`` to ``target`` by ``reasoning``; context is AssertedContext.
References are by ``xmi:id``. :mod:`toulmin.case.interchange.sacm_reader` reads it, and other tools' forms.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from toulmin.case.interchange.items import Document, Item

XMI, XSI = "http://www.omg.org/XMI", "http://www.w3.org/2001/XMLSchema-instance"
SACM = "http://www.omg.org/spec/SACM/2.3"
_SACM_TYPE = {
    "goal": ("Claim", "asserted"),
    "assumption": ("Claim", "assumed"),
    "justification": ("Claim", "axiomatic"),
    "module": ("Claim", "asCited"),
    "defeater": ("Claim", "asserted"),
    "open_problem": ("Claim", "needsSupport"),
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
        kind, declaration = _SACM_TYPE[item.place]
        element = SubElement(
            package, "argumentationElement", {f"{{{XSI}}}type": f"sacm:{kind}", f"{{{XMI}}}id": item.id, "gid": item.id}
        )
        if declaration:
            element.set(
                "assertionDeclaration", "needsSupport" if item.undeveloped and item.type == "goal" else declaration
            )
        _text(element, "name", item.id)
        _text(element, "description", item.text)
        if item.rest.get("multiplicity") or item.rest.get("choose"):  # SACM 2.3: a pattern is abstract
            element.set("isAbstract", "true")
            for constraint in _constraints(item):
                _text(element, "implementationConstraint", constraint)
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
                    kind = "AssertedEvidence" if by_id[premise].place == "evidence" else "AssertedInference"
                    relate(kind, premise, item.id, reasoning=child)
                if not below.supported_by:
                    relate("AssertedInference", "", item.id, reasoning=child)
            elif below is not None:
                relate("AssertedEvidence" if below.place == "evidence" else "AssertedInference", child, item.id)
        for context in item.in_context_of:
            relate("AssertedContext", context, item.id)
        for attacked in item.attacks:
            if "->" not in attacked:
                relate("AssertedInference", item.id, attacked, isCounter="true")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _constraints(item: Item) -> Iterator[str]:
    """What the pattern leaves open of a claim, in words."""
    for child, mark in item.rest.get("multiplicity", {}).items():
        yield f"{child}: {mark}"
    choice = item.rest.get("choose")
    if choice:
        yield f"choose {choice['n']} of {', '.join(choice['of'])}"


def _text(parent: Element, tag: str, content: str) -> None:
    SubElement(SubElement(parent, tag), "content", {"lang": "en", "value": content})


def _tag(parent: Element, rest: Mapping[str, object]) -> None:
    if rest:
        tagged = SubElement(parent, "taggedValue", {"key": "toulmin"})
        SubElement(tagged, "content", {"lang": "", "value": json.dumps(rest)})
