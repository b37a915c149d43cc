"""The argument diagram as one SVG file, for slides and papers: what the page shows, without its script.

Text is wrapped by counting characters, since an SVG has no layout of its own; what does not fit its card ends in an
ellipsis and is whole in the card's title.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from html import escape

from toulmin.case import Verdict
from toulmin.report.diagram import Card, curve, draw_diagram
from toulmin.report.layout import Box
from toulmin.report.outline import outline

_CHARACTER = 6.1  # mean width of one, in pixels, at 11 px
_LINE = 14
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold
_EDGE = {
    "supported": "#2f7d4f",
    "conditional": "#8a6d1a",
    "undeveloped": "#6b7280",
    "unsupported": "#9a5b13",
    "undermined": "#b3261e",
    "refuted": "#8c1d18",
}
_LINES = {"attacks": "#b3261e", "strengthened_by": "#9ca3af", "control": "#6b7280"}


def draw_argument_svg(verdict: Verdict) -> str:
    """The diagram, top down, as a self-contained SVG document; an empty one where the case has no root."""
    tree = outline(verdict)
    if not tree.branches:
        return '<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\n'
    diagram = draw_diagram(verdict, tree)
    width, height = diagram.sizes["td"]
    boxes = {card.key: card.td for card in diagram.cards}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="system-ui, sans-serif" font-size="11">',
        f"<title>{_said(verdict.title or 'Argument')}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
    ]
    for line in diagram.lines:
        path = curve(boxes[line.parent], boxes[line.child], "td")
        dash = ' stroke-dasharray="4 3"' if line.kind == "strengthened_by" else ""
        colour = _LINES.get(line.kind, "#4b5563")
        parts.append(f'<path d="{escape(path)}" fill="none" stroke="{colour}" stroke-width="1.3"{dash}/>')
    for card in (*diagram.cards, *diagram.chips):
        parts += _card(card, verdict)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _card(card: Card, verdict: Verdict) -> Iterator[str]:
    box, node = card.td, verdict.nodes[card.id]
    attacks = card.type == "defeater"
    colour = _LINES["attacks"] if attacks else _EDGE[node.health.word]
    state = node.label.value if node.label is not None else node.health.word
    words = f"{card.id} ({card.type}, {state}{', stale' if card.stale else ''})"
    dash = ' stroke-dasharray="5 3"' if card.away or card.stale else ""
    yield f"<g><title>{_said(f'{words}: {card.text}')}</title>"
    yield (
        f'<rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" height="{box.height:.1f}" rx="5" '
        f'fill="{"#fdf0ef" if attacks else "#f9fafb"}" stroke="{colour}" stroke-width="1.5"{dash}/>'
    )
    for place, line in enumerate(_wrapped(words, card, box)):
        look = f'fill="{colour}" font-weight="600"' if place == 0 else 'fill="#111827"'
        yield f'<text x="{box.x + 8:.1f}" y="{box.y + _LINE * (place + 1):.1f}" {look}>{_said(line)}</text>'
    yield "</g>"


def _wrapped(words: str, card: Card, box: Box) -> list[str]:
    room, rows = max(6, int((box.width - 16) / _CHARACTER)), max(1, int((box.height - 6) / _LINE))
    if rows == 1:
        return [textwrap.shorten(f"{card.id} {card.text}", room, placeholder="…")]
    text = textwrap.wrap(card.text, room, max_lines=rows - 1, placeholder="…")
    return [textwrap.shorten(words, room, placeholder="…"), *text]


def _said(text: str) -> str:
    return escape(_FORBIDDEN.sub("\ufffd", text))
