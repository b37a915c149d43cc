"""The intermediate form between a case and other tools: nodes with text, support, context, challenges, and a rest."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic import ValidationError

from toulmin.case.file.elements import ARRAYS, ATTACKS, CaseFile, Header
from toulmin.faults import ExitCode, Fault, FaultError

TYPES = ARRAYS
MAX_BYTES = 32 * 1024 * 1024
MAX_NODES = 100_000
_NATIVE = ("id", "text", "supported_by", "in_context_of", "undeveloped", "attacks")
_WHOLE = ("case", "subjects", "data")


@dataclass
class Item:
    """A node as another format has it. ``rest`` is everything of ours that it has no place for."""

    id: str
    type: str
    text: str = ""
    supported_by: list[str] = field(default_factory=list[str])
    in_context_of: list[str] = field(default_factory=list[str])
    attacks: list[str] = field(default_factory=list[str])
    undeveloped: bool = False
    rest: dict[str, Any] = field(default_factory=dict[str, Any])
    line: int | None = None

    @property
    def place(self) -> str:
        """The type as which it stands in the argument: an away context stands as a context, and so on."""
        away = next((key for key in ("context", "evidence") if self.type == "module" and self.rest.get(key)), None)
        return away or self.type


@dataclass
class Document:
    """A case between formats: nodes in order, the rest of the case, and what was lost on the way."""

    title: str = ""
    items: list[Item] = field(default_factory=list[Item])
    rest: dict[str, Any] = field(default_factory=dict[str, Any])
    losses: list[Fault] = field(default_factory=list[Fault])
    file: str = ""

    def lose(self, message: str, name: str | None = None, line: int | None = None) -> None:
        """Note something that does not come along."""
        self.losses.append(Fault("interchange.lost", message, self.file or None, line, name))


def refuse(code: str, message: str, file: str, line: int | None = None) -> FaultError:
    """A file that cannot be read at all."""
    return FaultError(Fault(f"interchange.{code}", message, file, line), ExitCode.INVALID)


def document_of(parsed: CaseFile) -> Document:
    """A case as a document; nothing is lost here."""
    whole = cast("dict[str, Any]", json.loads(parsed.model_dump_json(exclude_defaults=True)))
    rest = {key: whole[key] for key in _WHOLE if whole.get(key)}
    document = Document(parsed.case.title, rest=rest)
    for kind in TYPES:
        for values in cast("list[dict[str, Any]]", whole.get(kind, [])):
            document.items.append(
                Item(
                    id=values["id"],
                    type=kind,
                    text=values.get("text", ""),
                    supported_by=list(values.get("supported_by", [])),
                    in_context_of=list(values.get("in_context_of", [])),
                    attacks=list(values.get("attacks", [])),
                    undeveloped=bool(values.get("undeveloped", False)),
                    rest={key: value for key, value in values.items() if key not in _NATIVE},
                )
            )
    return document


def note_extensions(document: Document) -> None:
    """List what other tools will not see: the fields that travel in ``toulmin``."""
    for item in document.items:
        for key in item.rest:
            document.losses.append(Fault("interchange.extension", f"{key} is kept in our extension only", name=item.id))


def case_of(document: Document) -> CaseFile:
    """The case a document describes; ids are made valid and unique, and what cannot be held is noted."""
    names: dict[str, str] = {}
    kept: list[Item] = []
    for item in document.items:
        if item.id in names:
            document.lose("a second element of that id was left out", item.id, item.line)
            continue
        names[item.id] = _valid(item.id, set(names.values()))
        if names[item.id] != item.id:
            document.lose(f"renamed to {names[item.id]}: ids are letters, digits, '.', '_', '-'", item.id, item.line)
        kept.append(item)
    if len(kept) > MAX_NODES:
        raise refuse("too_large", f"more than {MAX_NODES} elements", document.file)

    def known(references: Iterable[str], item: Item, what: str) -> list[str]:
        found: list[str] = []
        for reference in references:
            parts = [names.get(part) for part in reference.split("->")]
            if None in parts:
                document.lose(f"{what} of {reference}, which is not there", item.id, item.line)
            else:
                found.append("->".join(cast("list[str]", parts)))
        for reference in dict.fromkeys(name for name in found if found.count(name) > 1):
            document.lose(f"{what} of {reference} is given more than once, and kept once", item.id, item.line)
        return list(dict.fromkeys(found))

    if document.rest.get("acceptance"):
        document.lose("decisions never come in by import: who accepts something decides it in this case")
    types = {names[item.id]: item.type for item in kept}
    whole: dict[str, Any] = {"case": {"title": document.title}}
    whole |= {key: document.rest[key] for key in _WHOLE if key in document.rest}
    for item in kept:
        values: dict[str, Any] = {"id": names[item.id], "text": item.text}
        own = {
            "supported_by": known(item.supported_by, item, "support"),
            "in_context_of": known(item.in_context_of, item, "context"),
            "attacks": known(item.attacks, item, "challenge"),
            "undeveloped": item.undeveloped,
        }
        fields = _fields(item.type)
        for key, value in own.items():
            if value and key in fields:
                values[key] = value
            elif value:
                document.lose(f"{key}: {item.type} has no such relation", item.id, item.line)
        if item.type in ("defeater", "open_problem") and not own["attacks"]:
            document.lose("a challenge of nothing was left out", item.id, item.line)
            continue
        whole.setdefault(item.type, []).append(_with_rest(item, values, types, document))
    return _validated(whole, document)


def _fields(kind: str) -> Mapping[str, Any]:
    annotation = CaseFile.model_fields[kind].annotation
    return annotation.__args__[0].model_fields  # type: ignore[union-attr]


def _model(kind: str) -> Any:
    return CaseFile.model_fields[kind].annotation.__args__[0]  # type: ignore[union-attr]


def _with_rest(item: Item, values: dict[str, Any], types: Mapping[str, str], document: Document) -> dict[str, Any]:
    if item.type == "defeater":
        values.setdefault("kind", item.rest.get("kind") or _kind_against(values["attacks"], types))
    if item.type == "assumption" and not item.rest:
        # another tool's file does not say; a person has to, before the case can be released
        today = dt.datetime.now(dt.UTC).date().isoformat()
        values |= {"owner": "{owner}", "justification": "{justification}", "review": today}
    whole = {**values, **{k: v for k, v in item.rest.items() if k not in _NATIVE}}
    try:
        _model(item.type).model_validate_json(json.dumps(whole))
    except (ValidationError, ValueError):
        document.lose("what our extension held of it is not valid any more", item.id, item.line)
        return values
    return whole


def _kind_against(attacks: Iterable[str], types: Mapping[str, str]) -> str:
    """The kind of challenge that may attack all of these: a rebuttal if one may; of a link, an undercut."""
    attacked = {types.get(target, "link") for target in attacks}
    return next((kind for kind, may in ATTACKS.items() if attacked <= may), "undercut")


def _validated(whole: dict[str, Any], document: Document) -> CaseFile:
    while True:
        try:
            return CaseFile.model_validate_json(json.dumps(whole))
        except ValidationError as error:
            bad = {str(detail["loc"][0]) for detail in error.errors()} & set(_WHOLE)
            if not bad:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                raise refuse("invalid", f"{where}: {first['msg']}", document.file) from None
            for key in bad:
                document.lose("what our extension held of it is not valid any more", key)
                whole[key] = Header(title=document.title).model_dump() if key == "case" else {}


def _valid(identifier: str, taken: set[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "-", identifier).strip("-")[:180]
    name = name if re.match(r"[A-Za-z0-9]", name) else f"n{name}"
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{name}-{number}", number + 1
    return candidate


def extension(text: object) -> dict[str, Any]:
    """The value of a ``toulmin`` field: a JSON text or object; nothing where it is neither."""
    if isinstance(text, str):
        try:
            text = json.loads(text)
        except (ValueError, RecursionError):
            return {}
    return cast("dict[str, Any]", text) if isinstance(text, dict) else {}


def all_challenges(rest: dict[str, Any], native: list[str]) -> list[str]:
    """What a defeater attacks: all of it as our extension says, since formats have no attacks on links."""
    listed: object = rest.pop("challenges", None)
    return [str(entry) for entry in cast("list[Any]", listed)] if isinstance(listed, list) else native
