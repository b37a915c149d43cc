"""The argument as a tree to draw: who is shown under whom.

A case is a graph: a claim may support several others, an assumption may stand in several contexts. Each element is
shown whole once, under the parent nearest to the root (the first in the order written among equals), and as an
away-link everywhere else. Support and attacks are branches; contexts, assumptions and justifications stand beside. An
attack on a link, or on something that stands beside, is shown under the claim concerned. Circles of attacks end in
away-links.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from toulmin.case import Verdict


@dataclass
class Branch:
    """One place of an element in the tree.

    ``key`` is unique in the drawing; ``link`` is the kind of edge to the parent; ``note`` what that edge concerns where
    it is not the parent itself; ``pattern`` what a GSN pattern leaves open of that edge; ``beside`` the ids that stand
    beside, each with whether it is an away-link.
    """

    key: str
    id: str
    parent: str | None
    link: str
    level: int
    away: bool = False
    note: str = ""
    pattern: str = ""
    children: list[str] = field(default_factory=list[str])
    beside: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])


@dataclass(frozen=True)
class Outline:
    """Branches by key, in the order of reading (a parent before its children), and the ids that are shown nowhere."""

    branches: dict[str, Branch]
    loose: tuple[str, ...]

    def path(self, key: str) -> list[str]:
        """Keys from the root to ``key``."""
        found: list[str] = []
        at: str | None = key
        while at is not None:
            found.append(at)
            at = self.branches[at].parent
        return found[::-1]


_BRANCHES = ("supported_by", "strengthened_by", "control")


def outline(verdict: Verdict) -> Outline:
    """The tree of a verdict; empty where there is no root."""
    below: dict[str, list[tuple[str, str, str]]] = defaultdict(list)
    beside: dict[str, list[str]] = defaultdict(list)
    for edge in verdict.edges:
        if edge.kind == "in_context_of":
            beside[edge.source].append(edge.target)
        elif edge.kind in _BRANCHES:
            below[edge.source].append((edge.target, edge.kind, ""))
    hosts = {context: host for host, contexts in reversed(beside.items()) for context in contexts}
    for edge in verdict.edges:
        if edge.kind == "attacks":
            parent, arrow, child = edge.target.partition("->")
            note = f"the step to {child}" if arrow else ""
            if parent in hosts and parent not in below:
                parent, note = hosts[parent], parent
            below[parent].append((edge.source, "attacks", note))
    return _grow(verdict, below, beside)


def _grow(
    verdict: Verdict, below: Mapping[str, list[tuple[str, str, str]]], beside: Mapping[str, list[str]]
) -> Outline:
    root = verdict.root
    if root is None or root not in verdict.nodes:
        return Outline({}, tuple(verdict.nodes))
    open_marks = {(edge.source, edge.target): edge.pattern for edge in verdict.edges if edge.pattern}
    branches = {root: Branch(root, root, None, "", 0)}
    waiting = deque([root])
    shown: set[str] = set()
    while waiting:  # breadth first: the parent nearest to the root shows the element
        parent = branches[waiting.popleft()]
        for context in beside.get(parent.id, ()):
            parent.beside.append((context, context in shown))
            shown.add(context)
        for child, link, note in below.get(parent.id, ()):
            away = child in branches
            key = f"{child}@{parent.id}" if away else child
            if key in branches or child not in verdict.nodes:
                continue
            pattern = open_marks.get((parent.id, child), "")
            branches[key] = Branch(key, child, parent.key, link, parent.level + 1, away, note, pattern)
            parent.children.append(key)
            if not away:
                waiting.append(key)
    ordered: dict[str, Branch] = {}
    stack = [root]
    while stack:
        key = stack.pop()
        ordered[key] = branches[key]
        stack += reversed(branches[key].children)
    seen = shown | {branch.id for branch in ordered.values()}
    return Outline(ordered, tuple(identifier for identifier in verdict.nodes if identifier not in seen))
