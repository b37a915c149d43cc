"""A case as Markdown, for people: an outline from the root, each node once, with what it rests on."""

from __future__ import annotations

from toulmin.case.interchange.items import Document, Item

_WORDS = {
    "goal": "Goal",
    "strategy": "Strategy",
    "evidence": "Evidence",
    "context": "Context",
    "assumption": "Assumption",
    "justification": "Justification",
    "module": "Module",
    "defeater": "Defeater",
    "open_problem": "Open problem",
}
_SHOWN = (
    "mode",
    "multiplicity",
    "choose",
    "study",
    "criterion",
    "owner",
    "justification",
    "review",
    "kind",
    "case",
    "goal",
    "context",
    "evidence",
    "max_age_days",
    "absence",
)


def _escaped(text: str) -> str:
    for character in "\\`*_[]<>|#":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def write_markdown(document: Document) -> str:
    """The document as nested lists."""
    by_id = {item.id: item for item in document.items}
    below = {child for item in document.items for child in (*item.supported_by, *item.in_context_of)}
    lines = [f"# {_escaped(document.title) or 'Safety case'}", ""]
    seen: set[str] = set()
    stack = [(item, 0) for item in document.items if item.id not in below]
    stack += [
        (item, 0) for item in document.items if item.id in below
    ]  # those only on circles; others are seen by then
    stack.reverse()
    while stack:
        item, depth = stack.pop()
        if item.id in seen:
            if depth:
                lines.append(f"{'  ' * depth}- {_WORDS[item.type]} **{_escaped(item.id)}**: see above")
            continue
        seen.add(item.id)
        lines.append(f"{'  ' * depth}- {_line(item)}")
        children = [by_id[child] for child in (*item.in_context_of, *item.supported_by) if child in by_id]
        stack += [(child, depth + 1) for child in reversed(children)]
    return "\n".join(lines) + "\n"


def _line(item: Item) -> str:
    marks = [f"{key} {_escaped(str(item.rest[key]))}" for key in _SHOWN if key in item.rest]
    if item.undeveloped:
        marks.insert(0, "undeveloped")
    if item.attacks:
        marks.insert(0, "against " + ", ".join(map(_escaped, item.attacks)))
    shown = f" *({'; '.join(marks)})*" if marks else ""
    return f"{_WORDS[item.type]} **{_escaped(item.id)}**: {_escaped(item.text)}{shown}"
