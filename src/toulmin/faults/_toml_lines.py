"""Lines of TOML keys, from the syntax tree."""

from __future__ import annotations

from collections import defaultdict

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

KeyPath = tuple[str | int, ...]


def _key_parts(node: Node) -> list[str]:
    if node.type == "dotted_key":
        return [part for child in node.named_children for part in _key_parts(child)]
    text = (node.text or b"").decode()
    if node.type == "quoted_key":
        import tomllib

        return [next(iter(tomllib.loads(f"{text} = 0")))]
    return [text]


def lines_of_keys(text: str) -> dict[KeyPath, int]:
    """Map each key path to its line; elements of arrays of tables are numbered from 0, as in the parsed data."""
    root = Parser(Language(tree_sitter_toml.language())).parse(text.encode()).root_node
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = defaultdict(int)

    def resolve(parts: list[str]) -> KeyPath:
        # [[a]] then [a.b] speaks of the last element of a
        path: KeyPath = ()
        for part in parts:
            path = (*path, part)
            if counts.get(path):
                path = (*path, counts[path] - 1)
        return path

    def pairs(node: Node, prefix: KeyPath) -> None:
        for child in node.named_children:
            if child.type != "pair" or not child.named_children:
                continue
            path = (*prefix, *_key_parts(child.named_children[0]))
            lines.setdefault(path, child.start_point[0] + 1)
            if len(child.named_children) > 1:
                value(child.named_children[1], path)

    def value(node: Node, path: KeyPath) -> None:
        if node.type == "inline_table":
            pairs(node, path)
        elif node.type == "array":
            for index, child in enumerate(c for c in node.named_children if c.type != "comment"):
                lines.setdefault((*path, index), child.start_point[0] + 1)
                value(child, (*path, index))

    pairs(root, ())
    for table in root.named_children:
        if table.type not in ("table", "table_array_element") or not table.named_children:
            continue
        parts = _key_parts(table.named_children[0])
        if table.type == "table_array_element":
            base = (*resolve(parts[:-1]), parts[-1]) if len(parts) > 1 else (parts[0],)
            path = (*base, counts[base])
            counts[base] += 1
            lines.setdefault(base, table.start_point[0] + 1)
        else:
            path = resolve(parts)
        lines.setdefault(path, table.start_point[0] + 1)
        pairs(table, path)
    return lines
