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


def page(
    title: str,
    body: Markup,
    *,
    needs: Iterable[str] = (),
    sections: Iterable[tuple[str, str]] = (),
    script: str = "",
    evaluates: bool = False,
) -> str:
    """A whole page around ``body``.

    ``sections`` are (anchor, words) for the bar at the top; ``script`` is put before ours (a charting library);
    ``evaluates`` lets scripts compile expressions, which Vega needs and nothing else does.
    """
    parts = sorted(set(needs))
    return str(
        render(
            "page.html",
            title=title,
            body=body,
            sections=list(sections),
            styles=[asset("theme.css"), *(asset(f"{part}.css") for part in parts)],
            scripts=[asset("page.js"), *(asset(f"{part}.js") for part in parts)],
            first_script=script,
            evaluates=evaluates,
        )
    )
