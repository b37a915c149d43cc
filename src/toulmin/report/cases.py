"""The page of a case: verdict, argument, what the conclusion hinges on, every evidence, and its history."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from markupsafe import Markup, escape

from toulmin.case import (
    Assumption,
    Case,
    Defeater,
    Dependencies,
    Freshness,
    Health,
    HistoryEntry,
    Label,
    NodeVerdict,
    Outcome,
    Reason,
    Sensitivity,
    Verdict,
)
from toulmin.evidence import Chart, Evidence
from toulmin.report import words
from toulmin.report.bars import comparison_bar
from toulmin.report.diagram import draw_diagram
from toulmin.report.figures import draw
from toulmin.report.headline import Decision, digest, headline
from toulmin.report.history import History, bar_height, trace_history
from toulmin.report.outline import Outline, outline
from toulmin.report.pages import Fragment, page, render
from toulmin.report.records import draw_record
from toulmin.report.sheets import draw_sheets
from toulmin.report.words import Status, health_status, node_status, outcome_status

_FEW = 10  # lines shown before the rest is folded away
_TORNADO = 15


@dataclass(frozen=True)
class Entry:
    """An element in words: its verdict, how it was written (where the case is at hand), and its place."""

    node: NodeVerdict
    status: Status | None
    written: Any
    resting: Dependencies | None
    decision: Decision | None
    level: int
    comparisons: tuple[tuple[Any, Status, Any], ...]
    problems: tuple[str, ...]  #: of the binding, but for what the comparisons say


def _entry(
    verdict: Verdict,
    case: Case | None,
    identifier: str,
    level: int,
    resting: Dependencies | None,
    decision: Decision | None,
) -> Entry:
    node = verdict.nodes[identifier]
    accepted = decision is not None and not decision.expired
    binding = node.binding
    compared = (
        tuple((one, outcome_status(one.outcome), comparison_bar(one)) for one in binding.comparisons) if binding else ()
    )
    written = case.nodes.get(identifier) if case else None
    problems = binding.problems if binding else ()
    return Entry(node, node_status(node, accepted), written, resting, decision, level, compared, problems)


def _reading_order(verdict: Verdict, tree: Outline) -> list[tuple[str, int]]:
    """Every element once, in the order of the diagram; what is connected to nothing comes last."""
    order: dict[str, int] = {}
    for branch in tree.branches.values():
        if not branch.away:
            order.setdefault(branch.id, branch.level)
            for context, _ in branch.beside:
                if context in verdict.nodes:
                    order.setdefault(context, branch.level + 1)
    for identifier in verdict.nodes:
        order.setdefault(identifier, 0)
    return list(order.items())


def _attacks(verdict: Verdict) -> Mapping[str, Sequence[str]]:
    """What each challenge attacks."""
    found: dict[str, list[str]] = defaultdict(list)
    for edge in verdict.edges:
        if edge.kind == "attacks":
            found[edge.source].append(edge.target)
    return found


def _counts(verdict: Verdict, decided: Mapping[str, Decision]) -> list[tuple[str, str]]:
    """The case in a few figures; evidence for and against is counted apart."""
    nodes = verdict.nodes.values()
    outcomes = Counter(node.binding.outcome if node.binding else None for node in nodes if node.type == "evidence")
    passed, failed = outcomes[Outcome.PASS], outcomes[Outcome.FAIL]
    claims = [node for node in nodes if node.type in ("goal", "strategy")]
    doubts = [node for node in nodes if node.label is not None and not node.dormant]
    standing = sum(node.label is not Label.OUT for node in doubts)
    assumed = [one for one in verdict.resting if one.kind == "assumption"]
    accepted = sum(one.accepted_by is not None and not one.expired for one in assumed)
    holding = sum(node.health >= Health.CONDITIONAL for node in claims)
    found = [
        (f"{holding} of {len(claims)}", "claims and steps hold"),
        (str(passed), "pieces of evidence for" if passed != 1 else "piece of evidence for"),
        (str(failed), "pieces of evidence against" if failed != 1 else "piece of evidence against"),
        (str(sum(outcomes.values()) - passed - failed), "that decide nothing, or are missing"),
    ]
    if assumed:
        found.append((f"{accepted} of {len(assumed)}", "assumptions in use are accepted by name"))
    if doubts:
        living = sum(node.label is Label.OUT and node.id in decided for node in doubts)
        found.append((str(standing), "challenges stand" if standing != 1 else "challenge stands"))
        found.append((str(len(doubts) - standing - living), "answered"))
        if living:
            found.append((str(living), "accepted unanswered"))
    return found


def _problem_counts(verdict: Verdict) -> str:
    """``2 stand, 1 accepted``."""
    counts = Counter(one.state for one in verdict.open_problems)
    said = {"open": "stand" if counts["open"] > 1 else "stands"}
    return ", ".join(f"{counts[s]} {said.get(s, s)}" for s in ("open", "accepted", "answered", "dormant") if counts[s])


def _tornado(sensitivity: Sensitivity) -> Fragment | None:
    bars = sorted(sensitivity.tornado, key=lambda one: -one.swing)[:_TORNADO]
    if not bars:
        return None
    rows: list[Any] = []
    for one in bars:
        rows.append({"leaf": one.id, "taken": "surely false", "low": one.if_false.low, "high": one.if_false.high})
        rows.append({"leaf": one.id, "taken": "surely true", "low": one.if_true.low, "high": one.if_true.high})
    spec: dict[str, Any] = {
        "data": {"values": rows},
        "mark": {"type": "bar", "height": 9, "cornerRadius": 2},
        "encoding": {
            "y": {"field": "leaf", "type": "nominal", "sort": None, "title": None},
            "yOffset": {"field": "taken", "type": "nominal"},
            "x": {
                "field": "low",
                "type": "quantitative",
                "scale": {"domain": [0, 1]},
                "title": "probability of the conclusion",
            },
            "x2": {"field": "high"},
            "color": {
                "field": "taken",
                "type": "nominal",
                "title": None,
                "scale": {"domain": ["surely true", "surely false"]},
            },
        },
    }
    caption = (
        "The interval of the conclusion if one element were surely false, or surely true; the widest swings first."
    )
    return draw(Chart(title="How far each element moves the conclusion", caption=caption, spec=spec))


def link_names(reason: Reason, verdict: Verdict) -> Markup:
    """A reason with links to the element it is about and to those it names."""

    def link(name: str) -> Markup:
        return (
            Markup('<a href="#node-{0}" data-node="{0}">{0}</a>').format(name)
            if name in verdict.nodes
            else escape(name)
        )

    if reason.state:
        said = link(reason.about) + f" is {reason.state}"
        return said + ": " + link_names(replace(reason, state=""), verdict) if reason.text else said
    # longest first, so that E1/uniqueness is not linked as E1
    names = sorted((name for name in reason.names if name in verdict.nodes), key=len, reverse=True)
    if not names:
        return escape(reason.text)
    parts = re.split(rf"(?<![\w./-])({'|'.join(map(re.escape, names))})(?![\w/-])", reason.text)
    return Markup("").join(link(part) if place % 2 else part for place, part in enumerate(parts))


def _leaf_rows(verdict: Verdict, sensitivity: Sensitivity) -> list[tuple[Any, Status, Status, bool, bool]]:
    """Leaves that change the root, those that change it most first, then those that do not."""
    order = {identifier: index for index, identifier in enumerate(verdict.nodes)}
    leaves = sorted(
        sensitivity.leaves,
        key=lambda leaf: (leaf.if_refuted, leaf.if_unsupported, order.get(leaf.id, 0)),
    )
    rows: list[tuple[Any, Status, Status, bool, bool]] = []
    for leaf in leaves:
        moves = leaf.if_refuted != verdict.health or leaf.if_unsupported != verdict.health
        ages = leaf.if_stale is Freshness.STALE and verdict.freshness is Freshness.CURRENT
        rows.append((leaf, health_status(leaf.if_refuted), health_status(leaf.if_unsupported), moves, ages))
    return rows


def _records(
    verdict: Verdict, evidence: Mapping[str, Evidence]
) -> tuple[list[tuple[str, Evidence, Fragment, str]], dict[str, str]]:
    """Each record bound in the case drawn once, under the first element bound to it."""
    drawn: list[tuple[str, Evidence, Fragment, str]] = []
    place: dict[str, str] = {}
    for identifier, node in verdict.nodes.items():
        key = node.binding.evidence if node.binding else None
        if key and key in evidence and key not in place and node.binding:
            place[key] = identifier
            drawn.append((identifier, evidence[key], draw_record(evidence[key], node.binding.command), key))
    return drawn, place


def render_case(
    verdict: Verdict,
    *,
    case: Case | None = None,
    sensitivity: Sensitivity | None = None,
    evidence: Mapping[str, Evidence] | None = None,
    history: Iterable[HistoryEntry] = (),
    past: Mapping[str, Sequence[Evidence]] | None = None,
) -> str:
    """The whole report as one self-contained page.

    ``case`` adds owners, justifications and review dates; ``sensitivity`` what the conclusion hinges on; ``evidence``
    maps content hashes (``Binding.evidence``) to records, drawn with their numbers and figures; ``history`` earlier
    verdicts, oldest first; ``past`` all records of an evidence node, by its id, whatever their inputs.

    :raises FaultError: Vega-Lite refuses the specification of a chart in the evidence.
    """
    tree = outline(verdict)
    order = _reading_order(verdict, tree)
    resting = {one.id: one for one in verdict.resting}
    top = headline(verdict, tree, case)
    decided = top.decisions
    entries = {name: _entry(verdict, case, name, level, resting.get(name), decided.get(name)) for name, level in order}
    records, record_place = _records(verdict, evidence or {})
    tornado = _tornado(sensitivity) if sensitivity else None
    diagram = (
        _diagram(verdict, tree, {name for name, one in decided.items() if not one.expired}) if tree.branches else None
    )
    moments = list(history)
    of = {kind: [entry for entry in entries.values() if entry.node.type == kind] for kind in ("assumption", "evidence")}
    of["challenge"] = [entry for entry in entries.values() if entry.node.label is not None]
    traced = trace_history(verdict, [name for name, _ in order], moments, past or {})
    recorded = bool(traced.strips or traced.plots)
    hinges = "" if not verdict.releasable and top.arms else "What it hinges on" if sensitivity else None
    sections = _sections(diagram is not None, hinges, of, recorded)
    fragments: Sequence[Fragment] = [fragment for _, _, fragment, _ in records] + ([tornado] if tornado else [])
    body = render(
        "case.html",
        verdict=verdict,
        root=verdict.nodes.get(verdict.root) if verdict.root else None,
        case=case,
        top=top,
        to_close=not verdict.releasable and bool(top.arms),
        decisions=list(decided.values()),
        digest=digest(verdict),
        health=health_status(verdict.health),
        means=words.HEALTH_MEANS.get(verdict.health) if verdict.health is not None else words.MALFORMED_MEANS,
        fresh=words.FRESHNESS_MEANS.get(verdict.freshness) if verdict.freshness else "",
        stale=verdict.freshness is Freshness.STALE,
        counts=_counts(verdict, decided) if verdict.nodes else [],
        few=_FEW,
        unbound=[entry for entry in of["evidence"] if entry.node.binding and entry.node.binding.study is None],
        diagram=diagram.html if diagram else "",
        type_words=words.TYPE_WORDS,
        problems=[
            (one.state, words.problem_status(one.state), one, decided.get(one.id)) for one in verdict.open_problems
        ],
        problem_counts=_problem_counts(verdict),
        sheets=draw_sheets(verdict, tree),
        entries=list(entries.values()),
        loose=tree.loose,
        of=of,
        sensitivity=sensitivity,
        leaves=_leaf_rows(verdict, sensitivity) if sensitivity else [],
        tornado=tornado.html if tornado else "",
        records={identifier: (record, fragment.html, key) for identifier, record, fragment, key in records},
        record_place=record_place,
        history=_history(verdict, traced, moments) if recorded else "",
        attacks=_attacks(verdict),
        is_assumption=lambda written: isinstance(written, Assumption),  # type: ignore[misc]
        is_defeater=lambda written: isinstance(written, Defeater),  # type: ignore[misc]
        said=words.said,
        linked=lambda reason: link_names(reason, verdict),  # type: ignore[misc]
    )
    needs = {"argument", "case", "history", "record"}.union(*(fragment.needs for fragment in fragments))
    return page(
        verdict.title or "Safety case",
        body,
        needs=needs,
        sections=sections,
        about=(verdict.title or "Safety case", f"checked {verdict.checked_on}, verdict {digest(verdict)}"),
    )


def _diagram(verdict: Verdict, tree: Outline, accepted: Collection[str]) -> Fragment:
    drawn = draw_diagram(verdict, tree, accepted)
    html = render(
        "diagram.html",
        diagram=drawn,
        types={card.type for card in (*drawn.cards, *drawn.chips)},
        kinds={line.kind for line in drawn.lines},
        type_words=words.TYPE_WORDS,
        open_marks=any(card.pattern for card in (*drawn.cards, *drawn.chips)),
        has_away=any(card.away for card in (*drawn.cards, *drawn.chips)),
    )
    return Fragment(html)


def _history(verdict: Verdict, traced: History, moments: Sequence[HistoryEntry]) -> Markup:
    healths = [
        {"style": health.word, "word": health.word, "height": bar_height(int(health))} for health in reversed(Health)
    ]
    return render("history.html", verdict=verdict, history=traced, moments=moments, healths=healths)


def _sections(
    argued: bool, hinges: str | None, of: Mapping[str, Sequence[Entry]], recorded: bool
) -> list[tuple[str, str]]:
    wanted = [
        ("verdict", "Verdict", True),
        ("argument", "Argument", argued),
        ("hinges", hinges or "To close", hinges is not None),
        ("assumptions", "Assumptions", bool(of["assumption"])),
        ("challenges", "Challenges", bool(of["challenge"])),
        ("evidence", "Evidence", bool(of["evidence"])),
        ("history", "History", recorded),
        ("words", "In words", argued),
    ]
    return [(anchor, name) for anchor, name, there in wanted if there]
