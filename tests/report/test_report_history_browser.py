"""History in Chromium: dates and rows stay apart at every size, in both themes, and nothing leaves the page."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable
from typing import Any

import pytest

from toulmin.case import Health, Verdict
from toulmin.case.file.lock import HistoryEntry
from toulmin.evidence import Evidence
from toulmin.evidence.record import seal
from toulmin.report import render_case

pytestmark = pytest.mark.browser

OVERLAPS = """(selector) => {
  const boxes = [...document.querySelectorAll(selector)].filter((e) => e.checkVisibility())
    .map((e) => e.getBoundingClientRect());
  let found = 0;
  boxes.forEach((p, i) => boxes.slice(i + 1).forEach((q) => {
    if (Math.min(p.right, q.right) - Math.max(p.left, q.left) > 0.5
        && Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top) > 0.5) found += 1;
  }));
  return [boxes.length, found];
}"""
ROWS = "#history svg:not(.icon), #history .strips th a, #history .what, #history .status"
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const light = (colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const c = canvas.getImageData(0, 0, 1, 1).data;
    return [0.2126, 0.7152, 0.0722].reduce((sum, part, i) => { const v = c[i] / 255;
      return sum + part * (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); }, 0); };
  const ground = light(getComputedStyle(document.body).backgroundColor);
  return [...document.querySelectorAll('svg.runs rect:not(.hatch), svg.numbers circle')].map((e) => {
    const a = light(getComputedStyle(e).stroke === 'none' ? getComputedStyle(e).fill : getComputedStyle(e).stroke);
    return (Math.max(a, ground) + 0.05) / (Math.min(a, ground) + 0.05); });
}"""


def past_of(verdict: Verdict, runs: int) -> list[HistoryEntry]:
    rng, day, moments = random.Random(runs), dt.date(2026, 1, 5), list[HistoryEntry]()
    names = [name for name, node in verdict.nodes.items() if node.type in ("goal", "strategy", "evidence")]
    for index in range(runs):
        changed = {
            name: rng.choice(list(Health)).word + rng.choice(["", "", ", stale"])
            for place, name in enumerate(names)
            if index == 0 or (place % 3 and rng.random() < 0.2)
        }
        health, low = rng.choice(list(Health)).word, rng.uniform(0, 0.5)
        values = {"on": day, "health": health, "freshness": rng.choice(["current", "stale"]), "exit_code": 1}
        moments.append(HistoryEntry.model_validate({**values, "low": low, "high": low + 0.3, "changed": changed}))
        day += dt.timedelta(days=rng.choice([0, 1, 9]))
    return moments


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("size", "runs", "width"), [(12, 9, 1280), (12, 2, 390), (60, 40, 1440), (300, 140, 1440)])
def test_nothing_overlaps(
    random_verdict: Callable[..., Verdict], open_page: Any, size: int, runs: int, width: int, scheme: str
) -> None:
    verdict = random_verdict(size, 3)
    page = open_page(render_case(verdict, history=past_of(verdict, runs)), width=width, scheme=scheme)
    page.evaluate("document.querySelectorAll('#history details').forEach((e) => { e.open = true; })")
    for selector in ("svg.axis text", ROWS):
        count, found = page.evaluate(OVERLAPS, selector)
        assert count > 1
        assert found == 0, selector
    assert page.locator("#history table.strips svg.runs:not(.chance)").count() == len(past_of(verdict, 1)[0].changed)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert min(page.evaluate(CONTRAST)) >= 3


def test_numbers_and_tips(bound_verdict: Verdict, record: Evidence, open_page: Any) -> None:
    records = [seal(record.model_copy(update={"created": f"2026-0{month}-01T00:00:00Z"})) for month in range(1, 9)]
    page = open_page(render_case(bound_verdict, past={"E1": records}))
    assert page.locator("svg.numbers").count() == 2
    assert page.locator("svg.numbers").first.locator("circle").count() == 8
    assert page.evaluate(OVERLAPS, "svg.numbers text, svg.numbers circle")[1] == 0
    assert min(page.evaluate(CONTRAST)) >= 3
    assert page.locator("svg.numbers g title").first.text_content().startswith("2026-01-01: 0.932 [0.891, 0.959]")
    assert page.get_by_role("img", name="2026-08-01").count() == 2
    page.locator("#history a", has_text="E1").first.click()
    assert page.locator("[aria-selected='true']").get_attribute("data-key") == "E1"


def test_it_prints_within_the_paper(random_verdict: Callable[..., Verdict], open_page: Any) -> None:
    verdict = random_verdict(60, 3)
    page = open_page(render_case(verdict, history=past_of(verdict, 60)), width=700)
    page.emulate_media(media="print")
    wide = "[...document.querySelectorAll('#history .scroll')].every((e) => e.scrollWidth <= e.clientWidth)"
    assert page.evaluate(wide)
    assert page.locator("#history .status .icon").first.bounding_box()["height"] < 20
