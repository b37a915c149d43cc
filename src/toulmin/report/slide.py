"""A case on one slide: the decision, the claim, the arms with what keeps each from release."""

from __future__ import annotations

import textwrap
from collections import Counter
from dataclasses import dataclass

from toulmin.case import Case, Verdict
from toulmin.faults import Fault, FaultError
from toulmin.report.drawings import COLOURS, clean
from toulmin.report.headline import arms_of, counted, digest, headline
from toulmin.report.outline import outline
from toulmin.report.pages import render
from toulmin.report.words import Status, health_status

_MOST_ARMS = 8
_WIDTH, _MARGIN, _GAP = 1600, 60, 24


@dataclass(frozen=True)
class Column:
    """An arm as it is drawn: its place, its claim in lines, its state, and what is open in it."""

    x: float
    y: float
    width: float
    words: list[str]
    status: Status
    open: list[str]


def render_slide(verdict: Verdict, *, case: Case | None = None) -> str:
    """The case on one slide, 1600 by 900, as a standalone SVG.

    :raises FaultError: the verdict has no root to draw from.
    """
    tree = outline(verdict)
    if not tree.branches or verdict.root is None:
        raise FaultError(Fault("report.no_root", "there is no argument to draw: the case has no root", verdict.file))
    top = headline(verdict, tree, case)
    arms = [name for name in dict.fromkeys(arms_of(tree, verdict).values()) if name]
    kinds = {arm.id: Counter(cause.kind for cause in arm.causes) for arm in top.arms}
    shown = arms[:_MOST_ARMS]
    across = max(1, min(4, len(shown)))
    width = (_WIDTH - 2 * _MARGIN - (across - 1) * _GAP) / across
    columns = [
        Column(
            _MARGIN + index % across * (width + _GAP),
            378 + index // across * 232,
            width,
            textwrap.wrap(verdict.nodes[name].text, int((width - 40) / 9.6), max_lines=4, placeholder="\u2026"),
            health_status(verdict.nodes[name].health),
            [counted(kind, count) for kind, count in kinds.get(name, Counter[str]()).items()][:2],
        )
        for index, name in enumerate(shown)
    ]
    models = ", ".join(one.reference + (f" ({one.sha256[:12]})" if one.sha256 else "") for one in top.subjects[:2])
    foot = [f"checked {verdict.checked_on}, verdict {digest(verdict)}", *([models] if models else [])]
    whole = [counted(kind, count) for kind, count in kinds.get("", Counter[str]()).items()]
    drawing = render(
        "slide.svg",
        title=verdict.title or "Safety case",
        words=textwrap.wrap(top.words, 62, max_lines=2, placeholder="\u2026"),
        decided=COLOURS[top.status.style],
        claim=textwrap.wrap(verdict.nodes[verdict.root].text, 108, max_lines=3, placeholder="\u2026"),
        state=health_status(verdict.health),
        columns=columns,
        whole=whole[:3],
        more=len(arms) - len(shown),
        foot="; ".join(foot),
        colours=COLOURS,
    )
    return clean(str(drawing))
