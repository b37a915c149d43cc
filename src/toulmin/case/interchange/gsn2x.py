"""The YAML of gsn2x: ``ID: {text, supportedBy, inContextOf, challenges, undeveloped, nodeType}`` and ``module``."""

from __future__ import annotations

import importlib
import json
from typing import Any, cast

from toulmin.case.interchange.items import MAX_BYTES, Document, Item, all_challenges, extension, refuse

_PREFIXES = (
    ("CG", "goal"),
    ("CS", "evidence"),
    ("Sn", "evidence"),
    ("G", "goal"),
    ("S", "strategy"),
    ("C", "context"),
    ("A", "assumption"),
    ("J", "justification"),
)
_NODE_TYPES = {
    "Goal": "goal",
    "Strategy": "strategy",
    "Solution": "evidence",
    "Context": "context",
    "Assumption": "assumption",
    "Justification": "justification",
    "CounterGoal": "goal",  # a defeater where it challenges something, else what supports one
    "CounterSolution": "evidence",
}
_OURS = {ours: theirs for theirs, ours in _NODE_TYPES.items() if not theirs.startswith("Counter")} | {
    "module": "Goal",
    "defeater": "CounterGoal",
    "open_problem": "CounterGoal",
}
_HELD = {"text", "supportedBy", "inContextOf", "challenges", "undeveloped", "nodeType", "toulmin"}


def write_gsn2x(document: Document) -> str:
    """The document as gsn2x YAML."""
    yaml = cast("Any", importlib.import_module("yaml"))
    whole: dict[str, Any] = {"module": {"name": document.title, "toulmin": json.dumps(document.rest)}}
    for item in document.items:
        node: dict[str, Any] = {"nodeType": _OURS[item.place], "text": item.text}
        for key, values in (
            ("supportedBy", item.supported_by),
            ("inContextOf", item.in_context_of),
            ("challenges", [attack for attack in item.attacks if "->" not in attack]),
        ):
            if values:
                node[key] = values
        if item.undeveloped:
            node["undeveloped"] = True
        rest = dict(item.rest)
        if item.type in ("module", "defeater", "open_problem"):
            rest["type"] = item.type
        if any("->" in attack for attack in item.attacks):
            rest["challenges"] = item.attacks
            document.lose("a challenge of a link is kept in our extension only", item.id)
        if rest:
            node["toulmin"] = json.dumps(rest)
        whole[item.id] = node
    return cast("str", yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=120))


def read_gsn2x(data: bytes, file: str) -> Document:
    """Read gsn2x YAML; aliases are refused, since they can grow without bound."""
    yaml = cast("Any", importlib.import_module("yaml"))
    if len(data) > MAX_BYTES:
        raise refuse("too_large", f"larger than {MAX_BYTES} bytes", file)
    try:
        text = data.decode("utf-8")
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise refuse("alias", "YAML aliases are refused", file, event.start_mark.line + 1)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        lines: dict[str, int] = {}
        again: list[tuple[str, int]] = []
        for key, _ in root.value if root is not None else ():
            if key.value in lines:
                again.append((key.value, key.start_mark.line + 1))
            lines[key.value] = key.start_mark.line + 1
        whole: object = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise refuse("syntax", f"not UTF-8 at byte {error.start}", file) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else None
        raise refuse("syntax", getattr(error, "problem", None) or "not YAML", file, line) from None
    except (RecursionError, AttributeError, TypeError, ValueError):
        raise refuse("syntax", "not a YAML mapping of nodes", file) from None
    if not isinstance(whole, dict):
        raise refuse("syntax", "not a YAML mapping of nodes", file)
    document = Document(file=file)
    for name, line in again:
        document.lose("a second element of that id: only this one was read", name, line)
    for key, value in cast("dict[Any, Any]", whole).items():
        name, line = str(key), lines.get(str(key))
        node: dict[str, Any] = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if name == "module":
            document.title, document.rest = str(node.get("name", "")), extension(node.get("toulmin"))
            for extra in set(node) - {"name", "toulmin"}:
                document.lose(f"module has {extra}", "module", line)
            continue
        if not isinstance(value, dict):
            document.lose("not a node", name, line)
            continue
        rest = extension(node.get("toulmin"))
        kind = str(rest.pop("type", "")) or _NODE_TYPES.get(str(node.get("nodeType"))) or _by_prefix(name)
        attacks = _names(node.get("challenges"), document, name, line)
        attacks = all_challenges(rest, attacks)
        if attacks and kind != "open_problem":
            kind = "defeater"
        if kind is None or kind not in _OURS:
            document.lose("neither its id nor nodeType says what it is; read as a goal", name, line)
            kind = "goal"
        undeveloped = node.get("undeveloped") is True or (kind == "evidence" and not rest.get("study"))
        for extra in sorted(map(str, set(node) - _HELD)):
            document.lose(f"{extra} has no place in a case", name, line)
        document.items.append(
            Item(
                name,
                kind,
                str(node.get("text") or ""),
                _names(node.get("supportedBy"), document, name, line),
                _names(node.get("inContextOf"), document, name, line),
                attacks,
                undeveloped,
                rest,
                line,
            )
        )
    return document


def _by_prefix(name: str) -> str | None:
    return next((kind for prefix, kind in _PREFIXES if name.startswith(prefix)), None)


def _names(value: object, document: Document, name: str, line: int | None) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, list) and all(isinstance(entry, str | int) for entry in cast("list[Any]", value)):
        return [str(entry) for entry in cast("list[Any]", value)]
    document.lose("a relation that is not a list of names", name, line)
    return []
