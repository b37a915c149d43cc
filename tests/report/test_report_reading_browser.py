"""What a reader meets in Chromium: the first screen, a page that is not too long, a telephone, paper, a slide."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from toulmin.case import Label, Verdict, check, check_case
from toulmin.case.templates import TEMPLATES, write_template
from toulmin.evidence import Evidence, Table
from toulmin.evidence.record import seal
from toulmin.report import render_case, render_evidence, render_slide
from toulmin.report.outline import outline
from toulmin.report.sheets import draw_sheets

pytestmark = pytest.mark.browser
Grow = Callable[..., Verdict]
Open = Callable[..., Any]


def test_the_first_screen_holds_the_decision_the_claim_why_and_what_to_do(
    bound_verdict: Verdict, record: Evidence, open_page: Open
) -> None:
    page = open_page(render_case(bound_verdict, evidence={record.id: record}), width=1440)
    for words in ("Not releasable: 1 challenge stands, 1 part not argued", "The model repeats what it has seen.", "Why",
                  "What to do next", "2026-11-22", "embedded:induction-2l", "cccccccccccc", "Deployment",
                  "accepted by Ada Lovelace on 2026-11-01", "Later versions may differ."):  # fmt: skip
        box = page.locator("#verdict").get_by_text(words).first.bounding_box()
        assert box is not None, words
        assert box["y"] + box["height"] <= 900, words
    assert page.locator(".top .reasons li").count() <= 5
    # no line of "why" starts with the name of an element
    assert not any(re.match(r"(G|D|E|S)\d", line) for line in page.locator(".top .reasons li").all_inner_texts())


def test_a_large_case_is_not_long_before_it_is_unfolded(random_verdict: Grow, open_page: Open) -> None:
    page = open_page(render_case(random_verdict(60, 3)), width=1440)
    assert page.evaluate("document.documentElement.scrollHeight") <= 8_000


def test_long_tables_fold(record: Evidence, open_page: Open) -> None:
    long = Table(title="Long", columns=("a",), rows=tuple((i,) for i in range(40)))
    page = open_page(render_evidence(seal(record.model_copy(update={"tables": (long,), "id": ""}))))
    rows = page.locator("table", has_text="39").locator("tbody tr:visible")
    assert rows.count() == 12
    page.get_by_role("button", name="Show all 40 rows").click()
    assert rows.count() == 40
    page.get_by_role("button", name="Show the first 12 rows").click()
    page.emulate_media(media="print")
    assert rows.count() == 40


@pytest.mark.parametrize("size", [12, 60])
def test_the_diagram_starts_with_a_standing_challenge_in_view_and_legible(
    random_verdict: Grow, open_page: Open, size: int
) -> None:
    verdict = random_verdict(size, 3)
    doubts = [name for name, node in verdict.nodes.items() if node.type == "defeater"]
    nodes = {**verdict.nodes, **{name: replace(verdict.nodes[name], label=Label.OUT) for name in doubts}}
    tree = {edge.source for edge in verdict.edges if edge.kind == "attacks" and edge.target in nodes}
    standing = next(name for name in doubts if name in tree)
    nodes[standing] = replace(nodes[standing], label=Label.IN)
    page = open_page(render_case(replace(verdict, nodes=nodes)), width=1440)
    card = page.locator(f".acard[data-key='{standing}']")
    assert card.is_visible()
    box, frame = card.bounding_box(), page.locator(".frame").bounding_box()
    assert frame["x"] <= box["x"]
    assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
    assert frame["y"] <= box["y"]
    assert box["y"] + box["height"] <= frame["y"] + frame["height"] + 1
    small = """[...document.querySelectorAll('.acard:not([hidden]) *, .chip:not([hidden]) *')].filter((e) =>
      e.tagName !== 'svg' && e.textContent.trim() && e.getClientRects().length
      && parseFloat(getComputedStyle(e).fontSize) * new DOMMatrix(getComputedStyle(document.querySelector('.canvas'))
        .transform).a < 11.99).map((e) => e.outerHTML)"""
    assert page.evaluate(small) == []


def test_a_telephone_gets_the_outline_and_never_scrolls_sideways(
    bound_verdict: Verdict, random_verdict: Grow, record: Evidence, open_page: Open
) -> None:
    for html in (render_case(bound_verdict, evidence={record.id: record}), render_case(random_verdict(60, 3))):
        page = open_page(html, width=390, height=844)
        assert page.locator(".argument").is_hidden()
        assert page.locator(".outline li").count() > 3
        assert page.locator(".outline").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_paper_has_a_head_page_numbers_and_one_arm_a_landscape_sheet(
    bound_verdict: Verdict, record: Evidence, open_page: Open
) -> None:
    page = open_page(render_case(bound_verdict, evidence={record.id: record}))
    page.emulate_media(media="print")
    assert page.locator(".argument").is_hidden()
    assert page.locator(".sheet:visible h3").all_inner_texts() == [
        "The argument at a glance", "It is right on repeated sequences.", "The heads found carry it.",
    ]  # fmt: skip
    data = page.pdf(prefer_css_page_size=True)
    boxes = re.findall(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", data)
    assert sum(float(width) > float(height) for width, height in boxes) == 2  # the two small arms share a page
    assert 6 <= len(boxes) <= 20
    style = page.evaluate("""[...document.styleSheets].flatMap((s) => [...s.cssRules])
      .filter((r) => r instanceof CSSPageRule).map((r) => r.cssText).join()""")
    assert "Induction" in style
    assert 'counter(page) " of " counter(pages)' in style
    assert "checked 2026" in style


def test_a_title_cannot_leave_the_printed_head(bound_verdict: Verdict, open_page: Open) -> None:
    page = open_page(render_case(replace(bound_verdict, title='"; } </style><script>window.pwned = 1</script>')))
    assert page.evaluate("window.pwned") is None
    assert page.locator("h1").is_visible()


def test_a_slide_keeps_its_words_within_the_frame(
    random_verdict: Grow, bound_verdict: Verdict, open_page: Open
) -> None:
    for verdict in (bound_verdict, random_verdict(60, 3)):
        page = open_page(f"<!doctype html><body style='margin:0'>{render_slide(verdict)}", width=1600)
        outside = """[...document.querySelectorAll('svg text')].map((e) => e.getBoundingClientRect())
          .filter((b) => b.left < 0 || b.right > 1600 || b.bottom > 900).length"""
        assert page.evaluate(outside) == 0
        assert page.get_by_text("Not releasable").count() > 0


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_has_its_decision_above_the_fold_and_a_page_that_is_not_too_tall(
    name: str, tmp_path: Path, open_page: Open
) -> None:
    checked = check_case(write_template(name, tmp_path, owner="Ada Author"))
    page = open_page(render_case(checked.verdict, case=checked.case), width=1440, height=900)
    assert page.evaluate("document.documentElement.scrollHeight") <= 8000
    for selector in (".verdict .why", ".verdict .known"):
        box = page.locator(selector).bounding_box()
        assert box["y"] + box["height"] <= 900
    root, frame = page.locator(".acard[aria-level='1']").bounding_box(), page.locator(".frame").bounding_box()
    assert frame["x"] <= root["x"]
    assert root["x"] + root["width"] <= frame["x"] + frame["width"]
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_challenge_too_deep_to_show_is_named_above_the_drawing_and_the_conclusion_stays_in_view(
    tmp_path: Path, open_page: Open
) -> None:
    claims = [
        f'[[goal]]\nid = "G{k}"\ntext = "g"\nsupported_by = ["G{k + 1}", "H{k}"]\n'
        f'[[goal]]\nid = "H{k}"\ntext = "h"\nundeveloped = true\n'
        for k in range(12)
    ]
    last = '[[goal]]\nid = "G12"\ntext = "g"\nundeveloped = true\n'
    doubt = '[[defeater]]\nid = "D"\nkind = "rebut"\nattacks = ["G12"]\ntext = "It leaks"\n'
    (tmp_path / "case.toml").write_text("[case]\n" + "".join(claims) + last + doubt)
    page = open_page(render_case(check(tmp_path)), width=1440, height=900)
    root, frame = page.locator(".acard[aria-level='1']").bounding_box(), page.locator(".frame").bounding_box()
    assert frame["x"] <= root["x"]
    assert root["y"] + root["height"] <= frame["y"] + frame["height"]
    tray = page.locator(".tray")
    assert "It leaks" in tray.inner_text()
    size = "parseFloat(getComputedStyle(document.querySelector('.tray li')).fontSize)"
    assert page.evaluate(size) >= 12
    tray.get_by_text("D", exact=True).click()
    assert page.locator(".acard[data-key='D']").is_visible()
    assert tray.is_hidden()


def test_an_arm_too_large_for_one_sheet_is_printed_on_several_that_can_be_read(tmp_path: Path) -> None:
    checked = check_case(write_template("scheming", tmp_path, owner="Ada Author"))
    sheets = draw_sheets(checked.verdict, outline(checked.verdict))
    assert sheets[0].title == "The argument at a glance"
    shown: set[str] = set()
    for sheet in sheets:
        width, height = (float(n) for n in re.findall(r'(?:width|height)="([\d.]+)"', str(sheet.drawing))[:2])
        assert min(1010 / width, 600 / height) >= 0.6 or len(sheets) == 1
        shown |= set(re.findall(r"<g><title>(\S+) ", str(sheet.drawing)))
    assert shown == set(checked.verdict.nodes)  # and nothing is left out
