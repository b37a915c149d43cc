"""History drawn: every run is there, bars say what the states were, and points where the numbers were."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from toulmin.case import Binding, Comparison, Health, InputState, Outcome, Verdict
from toulmin.case.file.lock import HistoryEntry
from toulmin.evidence import Evidence, Interval
from toulmin.evidence.record import seal
from toulmin.report import render_case
from toulmin.report.history import ROW, bar_height, trace_history

DAY = dt.date(2026, 1, 5)


def moment(day: int, health: str = "supported", freshness: str = "current", **more: object) -> HistoryEntry:
    values = {"on": DAY + dt.timedelta(days=day), "health": health, "freshness": freshness, "exit_code": 1, **more}
    return HistoryEntry.model_validate(values)


def test_a_strip_is_one_bar_for_runs_of_one_state(bound_verdict: Verdict) -> None:
    moments = [
        moment(0, "undeveloped", changed={"G2": "undeveloped", "G3": "undeveloped", "Old": "refuted"}),
        moment(1, "undeveloped", changed={"G2": "supported"}),
        moment(2, "conditional", "stale", changed={"G2": "supported, stale", "Old": "gone"}),
        moment(2, "invalid"),
    ]
    history = trace_history(bound_verdict, list(bound_verdict.nodes), moments, {})
    assert [strip.id for strip in history.strips] == ["G1", "G2", "Old"]
    assert [strip.id for strip in history.steady] == ["G3"]
    root, second, old = history.strips
    assert [part.width / history.width for part in root.segments] == [0.5, 0.25, 0.25]
    assert [part.style for part in root.segments] == ["undeveloped", "conditional", "refuted"]  # invalid is as bad
    assert [part.height for part in second.segments] == [bar_height(Health.UNDEVELOPED)] + [bar_height(5)] * 2
    assert [part.stale for part in second.segments] == [False, False, True]
    assert second.says == "undeveloped 2026-01-05; supported 2026-01-06; supported, stale 2026-01-07, 2 runs"
    assert all(part.y + part.height == ROW for strip in history.strips for part in strip.segments)
    assert old.node is None
    assert [part.x + part.width for part in old.segments] == [history.width / 2]  # then gone


def test_the_taller_the_better() -> None:
    heights = [bar_height(health) for health in sorted(Health)]
    assert heights == sorted(set(heights))
    assert heights[-1] <= ROW


def test_the_probability_runs_from_the_bottom_of_the_row(bound_verdict: Verdict) -> None:
    moments = [moment(0, low=0.25, high=0.75), moment(1), moment(2, low=1.0, high=1.0), moment(3, low=0.0, high=0.0)]
    half, sure, never = trace_history(bound_verdict, [], moments, {}).probability
    assert (half.y, half.height) == (ROW / 4, ROW / 2)
    assert sure.y == 0
    assert never.y + never.height == ROW
    assert sure.height > 1  # seen, though it is a point


@pytest.mark.parametrize("gap", [0, 1, 3])
@pytest.mark.parametrize("count", [1, 2, 3, 8, 30, 99, 140])
def test_dates_never_meet(bound_verdict: Verdict, count: int, gap: int) -> None:
    history = trace_history(bound_verdict, [], [moment(i * gap) for i in range(count)], {})
    assert len(history.ticks) == min(count, 100)
    assert history.left_out == count - len(history.ticks)
    wide = 70.0  # of a date at 12 pixels
    ends = {"start": (0.0, wide), "end": (history.width - wide, history.width)}
    dated = [ends.get(t.anchor, (t.x - wide / 2, t.x + wide / 2)) for t in history.ticks if t.date]
    assert dated[0][0] == 0
    assert all(left[1] < right[0] for left, right in pairwise(dated))
    assert all(end <= max(history.width, 90) for _, end in dated)
    assert len({t.date for t in history.ticks if t.date}) == len(dated)


def over_time(record: Evidence, values: Sequence[tuple[float, str]]) -> list[Evidence]:
    """Records of ``accuracy``, a month apart, each with the hash of its subject; last first."""
    made: list[Evidence] = []
    for month, (value, sha) in enumerate(values, 1):
        interval = Interval(low=value - 0.05, high=value + 0.05, method="wilson")
        measure = record.measures["accuracy"].model_copy(update={"value": value, "interval": interval})
        changes = {
            "measures": {**record.measures, "accuracy": measure},
            "inputs": (record.inputs[0].model_copy(update={"sha256": sha * 32}),),
            "created": f"2026-{month:02d}-01T00:00:00Z",
        }
        made.append(seal(record.model_copy(update=changes)))
    return made[::-1]


def test_numbers_are_drawn_over_the_records(bound_verdict: Verdict, record: Evidence) -> None:
    records = over_time(record, [(0.7, "ab"), (0.9, "ab"), (0.8, "cc")])
    plots = trace_history(bound_verdict, ["E1"], [], {"E1": records}).plots
    assert [(plot.id, plot.measure) for plot in plots] == [("E1", "accuracy"), ("E1", "loss")]
    first, second, third = plots[0].points
    assert first.x < second.x < third.x
    assert second.y < third.y < first.y  # down the page is less
    assert third.y - second.y == pytest.approx(first.y - third.y, abs=0.11)
    (threshold,) = plots[0].thresholds
    assert threshold == pytest.approx(third.y, abs=0.11)  # accuracy.low >= 0.8
    assert first.low is not None
    assert first.high is not None
    assert first.low > first.y > first.high
    assert [point.current for point in plots[0].points] == [False, False, True]  # the subject is cc now
    assert third.says == "2026-03-01: 0.800 [0.750, 0.850], n = 200"
    assert first.says.endswith("of other inputs than now")
    assert [point.low for point in plots[1].points] == [None] * 3  # the loss has no interval
    assert trace_history(bound_verdict, ["E1"], [], {"E1": records[:1]}).plots == ()


def test_the_page_draws_it_and_says_it(bound_verdict: Verdict, record: Evidence) -> None:
    records = over_time(record, [(0.7, "ab"), (0.9, "cc")])
    page = render_case(bound_verdict, history=[moment(0), moment(1, "refuted")], past={"E1": records})
    for words in (
        'aria-label="supported 2026-01-05; refuted 2026-01-06"',
        "<title>G1: refuted 2026-01-06</title>",
        'aria-label="2 runs from 2026-01-05 to 2026-01-06"',
        "<title>2026-01-01: 0.700 [0.650, 0.750], n = 200, of other inputs than now</title>",
        "All 2 verdicts as a table",
    ):
        assert words in page, words
    assert page == render_case(bound_verdict, history=[moment(0), moment(1, "refuted")], past={"E1": records})
    assert 'id="history"' not in render_case(bound_verdict)


def test_hostile_history_is_escaped(random_verdict: Callable[..., Verdict]) -> None:
    evil = "\"><script>window.pwned=1</script>'"
    verdict = random_verdict(12)
    comparison = Comparison(evil, evil, "value", ">=", 0.6, Outcome.FAIL, 0.5, 0.4, 0.6)
    binding = Binding("x", evil, Outcome.FAIL, (comparison,), inputs=(InputState(evil, evil, None, None),))
    nodes = {name: replace(node, binding=binding) for name, node in verdict.nodes.items()}
    moments = [moment(0, evil, evil, changed={evil: evil}), moment(1, changed={evil: "supported", "G0": evil})]
    page = render_case(replace(verdict, nodes=nodes), history=moments)
    assert "<script>window" not in page
