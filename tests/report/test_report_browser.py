"""The case page in Chromium: nothing overlaps, everything works by mouse and keyboard, nothing is fetched."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from toulmin.case import Verdict
from toulmin.evidence import Evidence
from toulmin.report import render_case

pytestmark = pytest.mark.browser
Grow = Callable[..., Verdict]
Open = Callable[..., Any]

OVERLAPS = """(selector) => {
  const boxes = [...document.querySelectorAll(selector)].filter((e) => !e.hidden)
    .map((e) => [e.dataset.key, e.getBoundingClientRect()]);
  const found = [];
  boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const tall = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 0.5 && tall > 0.5) found.push([a, b]);
  }));
  return [boxes.length, found];
}"""
CARDS = ".acard, .chip"


# marks that the drawing cuts off, or whose words are cut off
CUT = """() => {
  const plane = document.querySelector('.plane').getBoundingClientRect();
  return [...document.querySelectorAll('.acard:not([hidden]) > .fold')].filter((mark) => {
    const box = mark.getBoundingClientRect();
    const tall = mark.scrollHeight > mark.clientHeight + 1;
    return tall || box.right > plane.right + 0.5 || box.bottom > plane.bottom + 0.5;
  }).map((mark) => mark.parentElement.dataset.key);
}"""


def overlaps(page: Any) -> list[list[str]]:
    count, found = page.evaluate(OVERLAPS, CARDS)
    assert count > 0
    return found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "width"), [(12, 1280), (60, 1440), (300, 1440)])
def test_nothing_overlaps(random_verdict: Grow, open_page: Open, size: int, width: int, scheme: str) -> None:
    page = open_page(render_case(random_verdict(size, 3)), width=width, scheme=scheme)
    assert overlaps(page) == []
    page.get_by_role("button", name="Open all").click()
    assert page.locator(".acard:visible").count() == page.locator(".acard").count()
    assert overlaps(page) == []
    page.locator("[data-do='turn']").click()
    assert overlaps(page) == []
    page.get_by_role("button", name="Close all").click()
    assert overlaps(page) == []
    assert page.evaluate(CUT) == []
    page.locator("[data-do='turn']").click()
    assert page.evaluate(CUT) == []
    # the page never scrolls sideways, and no text of a card leaves it
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    spilt = """[...document.querySelectorAll('.acard:not([hidden])')].filter((card) => {
      const text = card.querySelector('.text'), box = card.getBoundingClientRect(), own = text.getBoundingClientRect();
      return own.bottom > box.bottom + 0.5 || own.right > box.right + 0.5;
    }).length"""
    assert page.evaluate(spilt) == 0


def test_the_mark_of_a_closed_card_is_whole(bound_verdict: Verdict, open_page: Open) -> None:
    page = open_page(render_case(bound_verdict), width=1440)
    page.get_by_role("button", name="Open all").click()
    for _ in range(2):
        for card in page.locator(".acard[aria-expanded='true']:visible").all()[::-1]:
            card.locator(":scope > .fold").click()
            assert page.evaluate(CUT) == []
        page.get_by_role("button", name="Open all").click()
        page.locator("[data-do='turn']").click()


def test_the_sections_do_not_overlap(bound_verdict: Verdict, record: Evidence, open_page: Open) -> None:
    for width in (390, 768, 1280):
        page = open_page(render_case(bound_verdict, evidence={record.id: record}), width=width)
        count, found = page.evaluate(OVERLAPS, "main section, main footer")
        assert count > 4
        assert found == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_large_cases_open_small(random_verdict: Grow, open_page: Open) -> None:
    page = open_page(render_case(random_verdict(300, 3)))
    assert 2 <= page.locator(".acard:visible").count() <= 30
    folded = page.locator(".acard[aria-expanded='false']:visible").first
    before = page.locator(".acard:visible").count()
    folded.locator(".fold").click()
    assert page.locator(".acard:visible").count() > before
    assert overlaps(page) == []


def test_search_opens_what_it_finds(random_verdict: Grow, open_page: Open) -> None:
    verdict = random_verdict(300, 3)
    deepest = (
        open_page(render_case(verdict))
        .locator(".acard:not(.away)")
        .evaluate_all("(cards) => cards.reduce((a, b) => (+b.dataset.level > +a.dataset.level ? b : a)).dataset.id")
    )
    marked = replace(verdict.nodes[deepest], text="Only here: the zebra clause.")
    page = open_page(render_case(replace(verdict, nodes={**verdict.nodes, deepest: marked})))
    assert page.locator(f".acard[data-key='{deepest}']").is_hidden()
    page.keyboard.press("/")
    page.keyboard.type("Zebra")
    assert page.locator(".arg-found").inner_text() == "1 found"
    assert page.locator(f".acard[data-key='{deepest}']").is_visible()
    page.keyboard.press("Enter")
    assert "zebra clause" in page.locator(".panel").inner_text()
    assert page.locator(".line.on").count() == int(
        page.locator(f".acard[data-key='{deepest}']").get_attribute("data-level")
    )
    page.keyboard.press("Escape")
    assert page.locator(".acard.found").count() == 0


def test_the_tree_works_by_keyboard(bound_verdict: Verdict, open_page: Open) -> None:
    page = open_page(render_case(bound_verdict))
    page.get_by_role("button", name="Open all").click()
    page.locator(".acard[data-key='G1']").focus()

    def at() -> str:
        return page.evaluate("document.activeElement.dataset.key")

    page.keyboard.press("ArrowRight")
    assert at() == "S1"
    page.keyboard.press("ArrowLeft")  # closes
    assert page.locator(".acard[data-key='S1']").get_attribute("aria-expanded") == "false"
    assert page.locator(".acard[data-key='G2']").is_hidden()
    page.keyboard.press("ArrowLeft")
    assert at() == "G1"
    page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")  # opens
    assert page.locator(".acard[data-key='G2']").is_visible()
    page.keyboard.press("End")
    page.keyboard.press("Home")
    assert at() == "G1"
    page.keyboard.press("ArrowDown")
    assert at() == "chip:G1:C1"
    assert "Random sequences" in page.locator(".panel").inner_text()
    assert page.locator("[role='treeitem'][tabindex='0']").count() == 1


def test_away_links_and_links_in_words_lead_to_the_card(bound_verdict: Verdict, open_page: Open) -> None:
    page = open_page(render_case(bound_verdict))
    page.get_by_role("button", name="Open all").click()
    page.locator(".acard.away[data-id='E1']").click()
    assert page.locator("[aria-selected='true']").get_attribute("data-key") == "E1"
    assert "Accuracy is above 80%." in page.locator(".panel").inner_text()
    assert page.locator(".panel .trail").inner_text() == "G1 › S1 › G2 › E1"
    page.locator(".panel .trail a", has_text="G2").click()
    assert page.locator("[aria-selected='true']").get_attribute("data-key") == "G2"
    linked = open_page(render_case(bound_verdict), anchor="#node-D2")
    assert linked.locator("[aria-selected='true']").get_attribute("data-key") == "D2"


def test_only_its_path(bound_verdict: Verdict, open_page: Open) -> None:
    page = open_page(render_case(bound_verdict))
    page.get_by_role("button", name="Open all").click()
    page.locator(".acard[data-key='G2']").click()
    page.locator("[data-do='path']").click()
    shown = page.locator(".acard:visible").evaluate_all("(cards) => cards.map((card) => card.dataset.key)")
    assert sorted(shown) == ["D2", "E1", "G1", "G2", "S1"]
    assert overlaps(page) == []
    page.locator("[data-do='path']").click()
    assert page.locator(".acard:visible").count() == 8


def test_themes_and_contrast(bound_verdict: Verdict, record: Evidence, open_page: Open) -> None:
    """Every text of the page stands out 4.5 to 1 from what is behind it, in both themes; the button turns them."""
    measure = """() => {
      const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
      const rgba = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
        return [...canvas.getImageData(0, 0, 1, 1).data]; };
      const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => {
        const v = c[i] / 255; return sum + part * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0);
      const behind = (e) => { for (; e; e = e.parentElement) { const c = rgba(getComputedStyle(e).backgroundColor);
        if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
      const bad = new Set();
      const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walk.nextNode()) {
        const e = walk.currentNode.parentElement;
        const words = walk.currentNode.data.trim();
        if (!words || e.closest('svg, script, style, [hidden], .skip') || !e.checkVisibility()) continue;
        const a = light(rgba(getComputedStyle(e).color)), b = light(behind(e));
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) bad.add(`${e.className || e.tagName} ${ratio.toFixed(2)}: ${words.slice(0, 30)}`);
      }
      return [...bad];
    }"""
    for scheme in ("light", "dark"):
        page = open_page(render_case(bound_verdict, evidence={record.id: record}), scheme=scheme)
        assert page.evaluate(measure) == []
    page.locator("#theme").click()
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(250, 249, 246)"


def test_it_prints_whole(bound_verdict: Verdict, record: Evidence, open_page: Open) -> None:
    page = open_page(render_case(bound_verdict, evidence={record.id: record}))
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator(".bar").is_hidden()
    assert page.locator(".tools").is_hidden()
    assert page.get_by_text("torch 2.13.0").is_visible()  # folded away on screen
    assert len(page.pdf()) > 10_000
