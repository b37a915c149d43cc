"""The JSON of the Trustworthy and Ethical Assurance platform: a tree of goals, strategies, property claims, evidence.

Read: the nested export (``goals`` / ``strategies`` / ``property_claims`` / ``evidence`` / ``context`` lists) and the
tree export (``{"type", "name", "description", "children"}``). Written: the nested form, each node once; where a node
has a second parent, a stub of its name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, cast

from toulmin.case.interchange.items import MAX_BYTES, Document, Item, extension, refuse

_LISTS = {
    "goals": "goal",
    "strategies": "strategy",
    "property_claims": "goal",
    "evidence": "evidence",
    "context": "context",
    "assumptions": "assumption",
    "justifications": "justification",
    "modules": "module",
    "defeaters": "defeater",
    "open_problems": "open_problem",
}
_LIST_OF = {"goal": "property_claims", "strategy": "strategies"} | {
    kind: name for name, kind in _LISTS.items() if kind not in ("goal", "strategy")
}
_TREE_TYPES = {
    "GOAL": "goal",
    "STRATEGY": "strategy",
    "PROPERTY_CLAIM": "goal",
    "EVIDENCE": "evidence",
    "CONTEXT": "context",
    "ASSUMPTION": "assumption",
    "JUSTIFICATION": "justification",
    "MODULE": "module",
}
_SINGULAR = {"contexts": "context", "assumption": "assumption", "justification": "justification"}
_HELD = {
    "id",
    "contexts",
    "assumption",
    "justification",
    "name",
    "type",
    "short_description",
    "long_description",
    "description",
    "children",
    "toulmin",
    *_LISTS,
}
_SILENT = {"goal_id", "strategy_id", "property_claim_id", "assurance_case_id", "in_sandbox", "inSandbox", "hidden",
           "created_date", "lock_uuid", "comments", "owner", "published", "view_groups", "edit_groups", "level",
           "claim_type", "keywords", "URL", "url"}  # fmt: skip
_CONTEXTS = ("context", "assumption", "justification")


def write_tea(document: Document) -> str:
    """The document as nested JSON."""
    by_id = {item.id: item for item in document.items}
    written: set[str] = set()

    def node(item: Item) -> dict[str, Any]:
        values: dict[str, Any] = {"name": item.id, "type": item.type, "short_description": item.text}
        if item.id in written:
            document.lose("has several parents: written whole under the first", item.id)
            return values
        written.add(item.id)
        rest = dict(item.rest)
        if item.undeveloped:
            rest["undeveloped"] = True
        if item.attacks:
            rest["attacks"] = item.attacks
        rest["supported_by"], rest["in_context_of"] = item.supported_by, item.in_context_of
        values["long_description"], values["toulmin"] = item.text, rest
        for child in (*item.supported_by, *item.in_context_of):
            if child in by_id:
                values.setdefault(_LIST_OF[by_id[child].type], []).append(node(by_id[child]))
        return values

    below = {child for item in document.items for child in (*item.supported_by, *item.in_context_of)}
    tops = [item for item in document.items if item.id not in below]
    whole: dict[str, Any] = {"name": document.title, "description": document.title, "toulmin": document.rest}
    for item in tops:
        whole.setdefault("goals" if item.type == "goal" else _LIST_OF[item.type], []).append(node(item))
    for item in document.items:  # on a circle, so below itself
        if item.id not in written:
            whole.setdefault("goals" if item.type == "goal" else _LIST_OF[item.type], []).append(node(item))
    whole["toulmin_order"] = [item.id for item in document.items]
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def read_tea(data: bytes, file: str) -> Document:
    """Read either export."""
    if len(data) > MAX_BYTES:
        raise refuse("too_large", f"larger than {MAX_BYTES} bytes", file)
    try:
        whole: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise refuse("syntax", f"not JSON: {error}", file, getattr(error, "lineno", None)) from None
    if not isinstance(whole, dict):
        raise refuse("syntax", "not a JSON object", file)
    top = cast("dict[str, Any]", whole)
    about = cast("dict[str, Any]", top["case"]) if isinstance(top.get("case"), dict) else top
    document = Document(str(about.get("name", "")), rest=extension(top.get("toulmin")), file=file)
    tree: object = top.get("tree") or about.get("tree")
    stack: list[tuple[dict[str, Any], str | None, Item | None]] = []
    if isinstance(tree, dict):
        stack.append((cast("dict[str, Any]", tree), None, None))
    else:
        stack += [(entry, kind, None) for entry, kind in _children(top, document)]
    items: dict[str, Item] = {}
    stack.reverse()
    while stack:
        values, kind, parent = stack.pop()
        item = _item(values, kind, document, items)
        if parent is not None:
            relation = parent.in_context_of if item.type in _CONTEXTS else parent.supported_by
            if item.id not in relation:
                relation.append(item.id)
            elif "toulmin" not in values:
                document.lose(f"it stands twice below {parent.id}, and was kept once", item.id)
        stack += reversed([(entry, below, item) for entry, below in _children(values, document)])
    order: object = top.get("toulmin_order")
    wanted = [str(name) for name in cast("list[Any]", order)] if isinstance(order, list) else []
    place = {name: i for i, name in enumerate(wanted)}
    document.items = sorted(items.values(), key=lambda item: place.get(item.id, len(place)))
    for item in document.items:
        rest = item.rest
        for name in ("supported_by", "in_context_of", "attacks"):
            listed: object = rest.pop(name, None)
            if isinstance(listed, list):
                setattr(item, name, [str(entry) for entry in cast("list[Any]", listed)])
        item.undeveloped = bool(rest.pop("undeveloped", item.undeveloped))
    return document


def _children(values: dict[str, Any], document: Document) -> Iterator[tuple[dict[str, Any], str | None]]:
    # other platforms' versions hold contexts, assumptions and justifications as words of the element they stand beside
    for key, kind in (*_LISTS.items(), *_SINGULAR.items(), ("children", None)):
        found: object = values.get(key)
        if found is None or found == "":
            continue
        for number, entry in enumerate(cast("list[Any]", found) if isinstance(found, list) else [found], 1):
            if isinstance(entry, dict):
                yield cast("dict[str, Any]", entry), kind
            elif isinstance(entry, str) and kind in _CONTEXTS:
                name = f"{values.get('name') or values.get('id') or 'case'}-{kind}-{number}"
                yield {"name": name, "description": entry}, kind
            else:
                document.lose(f"an entry of {key} that is not an object", str(values.get("name", "")) or None)


def _item(values: dict[str, Any], kind: str | None, document: Document, items: dict[str, Item]) -> Item:
    said = str(values.get("type", ""))
    kind = said if said in (*_LIST_OF, "goal") else _TREE_TYPES.get(said.upper(), kind)
    name = str(values.get("name") or values.get("id") or f"node-{len(items) + 1}")
    if kind is None:
        document.lose(f"type {said or 'unknown'} was read as a goal", name)
        kind = "goal"
    text = str(values.get("long_description") or values.get("description") or values.get("short_description") or "")
    if name in items and text in ("", items[name].text):
        return items[name]
    if name in items and not items[name].text:
        items[name].text = text  # a stub came first
        return items[name]
    if name in items and "toulmin" not in values:
        other = f"{name}-{values.get('id') or len(items) + 1}"
        document.lose(f"another element of that name has another text; read as {other}", name)
        name = other
    for extra in sorted(set(values) - _HELD - _SILENT):
        document.lose(f"{extra} has no place in a case", name)
    for extra in ("URL", "url"):
        if values.get(extra):
            text += f" ({values[extra]})"
    item = Item(name, kind, text, rest=extension(values.get("toulmin")))
    item.undeveloped = kind == "evidence" and "toulmin" not in values  # no study stands behind it yet
    items[name] = item
    return item
