"""Pages: one self-contained HTML file each, built from the packaged templates, styles and scripts.

Nothing is fetched: styles and scripts are written into the page, and its content security policy forbids every
connection. All text is escaped: the templates autoescape, and data for scripts are JSON with ``<``, ``>`` and ``&``
escaped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from toulmin.report import numbers


@dataclass(frozen=True)
class Fragment:
    """A piece of a page, and the packaged parts (``board``: board.css and board.js) without which it is not whole."""

    html: Markup
    needs: frozenset[str] = frozenset()


@cache
def environment() -> Environment:
    """The template environment: autoescape always on, undefined names are errors."""
    env = Environment(
        loader=PackageLoader("toulmin.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = env.filters  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    for name in (
        "format_number",
        "format_plain",
        "format_unit",
        "format_interval",
        "format_level",
        "format_bytes",
        "format_seconds",
    ):
        filters[name.removeprefix("format_")] = getattr(numbers, name)
    return env


def render(template: str, /, **values: Any) -> Markup:
    """A template of this package, filled in."""
    return Markup(environment().get_template(template).render(**values))


@cache
def asset(name: str) -> Markup:
    """A packaged style or script, or nothing where a part has none of that kind."""
    source = files("toulmin.report").joinpath("static", name)
    return Markup(source.read_text(encoding="utf-8") if source.is_file() else "")


def _sheet(about: tuple[str, str]) -> Markup:
    """The style of printed pages: a head with what the page is about, and page numbers."""
    left, right = (f'"{css_text(words)}"' for words in about)
    small = "font: 8pt sans-serif; color: #555;"
    return Markup(
        f"@page {{ size: A4; margin: 19mm 15mm 17mm; "
        f"@top-left {{ content: {left}; {small} width: 55%; text-align: left; }} "
        f"@top-right {{ content: {right}; {small} width: 45%; text-align: right; }} "
        f'@bottom-right {{ content: "page " counter(page) " of " counter(pages); {small} }} }}'
    )


def css_text(words: str) -> str:
    """Words as the inside of a quoted CSS string: whatever is no letter, digit or space as its code point."""
    return "".join(one if one.isascii() and (one.isalnum() or one == " ") else f"\\{ord(one):06x}" for one in words)


def page(
    title: str,
    body: Markup,
    *,
    needs: Iterable[str] = (),
    sections: Iterable[tuple[str, str]] = (),
    script: str = "",
    evaluates: bool = False,
    about: tuple[str, str] = ("", ""),
) -> str:
    """A whole page around ``body``.

    ``sections`` are (anchor, words) for the bar at the top; ``script`` is put before ours (a charting library);
    ``evaluates`` lets scripts compile expressions, which Vega needs and nothing else does; ``about`` is printed at the
    head of every sheet, left and right.
    """
    parts = sorted(set(needs))
    return str(
        render(
            "page.html",
            title=title,
            body=body,
            sections=list(sections),
            styles=[asset("theme.css"), *(asset(f"{part}.css") for part in parts)],
            sheet=_sheet(about),
            scripts=[asset("page.js"), *(asset(f"{part}.js") for part in parts)],
            first_script=script,
            evaluates=evaluates,
        )
    )
