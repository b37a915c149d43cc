"""The argument as one standalone SVG: for a document, a slide, or any viewer. Nothing in it moves."""

from __future__ import annotations

import re
import textwrap

from toulmin.case import Verdict
from toulmin.faults import Fault, FaultError
from toulmin.report.diagram import NodeCard, curve, draw_diagram
from toulmin.report.layout import CARD, CHIP, Way
from toulmin.report.outline import outline
from toulmin.report.pages import render
from toulmin.report.words import TYPE_WORDS

_CARD_LETTERS, _CHIP_LETTERS, _HEADING_LETTERS, _LINES = 36, 34, 30, 4

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold

COLOURS = {
    "supported": "#1a6b45",
    "conditional": "#1d5d8f",
    "undeveloped": "#596068",
    "unsupported": "#80540a",
    "undermined": "#9d430b",
    "refuted": "#a3182d",
    "accepted": "#80540a",
    "stale": "#654296",
    "": "#9a9790",
}


def wrap(text: str, letters: int = _CARD_LETTERS, lines: int = _LINES) -> list[str]:
    """At most ``lines`` lines of about ``letters`` letters, the last with an ellipsis where text is left out."""
    return textwrap.wrap(text, letters, max_lines=lines, placeholder="\u2026")


def heading(card: NodeCard) -> tuple[str, str, str]:
    """A card's name, kind and state, as much of them as fits in one line: the state whole, then the name."""
    state = (card.status.word if card.status else "") + (", stale" if card.stale else "")
    kind = TYPE_WORDS.get(card.type, card.type)
    room = _HEADING_LETTERS - len(state)
    name = card.id if len(card.id) <= room else card.id[: room - 1] + "\u2026"
    return name, kind if len(name) + 1 + len(kind) <= room else "", state


def _said(card: NodeCard) -> str:
    """The text of a card, after what a pattern leaves open of it."""
    return f"{card.pattern} {card.text}".strip()


def clean(drawing: str) -> str:
    """The drawing without characters that XML cannot hold."""
    return _FORBIDDEN.sub("\ufffd", drawing)


def render_diagram(verdict: Verdict, *, way: Way | None = None) -> str:
    """The argument diagram as SVG, every card open.

    ``way`` is ``"lr"`` (left to right) or ``"td"`` (top down), by default whichever suits the size.

    :raises FaultError: the verdict has no root to draw from.
    """
    tree = outline(verdict)
    if not tree.branches:
        raise FaultError(Fault("report.no_root", "there is no argument to draw: the case has no root", verdict.file))
    diagram = draw_diagram(verdict, tree)
    way = way or diagram.way
    boxes = {card.key: card.td if way == "td" else card.lr for card in diagram.cards}
    drawn = str(
        render(
            "diagram.svg",
            title=verdict.title,
            way=way,
            size=diagram.sizes[way],
            cards=[(card, boxes[card.key], wrap(_said(card)), *heading(card)) for card in diagram.cards],
            chips=[
                (chip, chip.td if way == "td" else chip.lr, wrap(f"{chip.id} {_said(chip)}", _CHIP_LETTERS, 1))
                for chip in diagram.chips
            ],
            lines=[(line, curve(boxes[line.parent], boxes[line.child], way)) for line in diagram.lines],
            stub=wrap,
            colours=COLOURS,
            card_size=CARD,
            chip_size=CHIP,
        )
    )
    return clean(drawn)
