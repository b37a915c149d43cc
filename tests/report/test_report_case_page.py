"""The page of a case, in words: everything said, everything escaped, nothing invented."""

from __future__ import annotations

import datetime as dt
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace

import pytest

from toulmin.case import ArgumentEdge, Freshness, Health, NodeVerdict, Probability, Reason, Verdict, check_case
from toulmin.case.argument.cutsets import CutSets
from toulmin.case.argument.sensitivity import Hinge, LeafEffect, Sensitivity, TornadoBar
from toulmin.case.file.lock import HistoryEntry
from toulmin.evidence import Evidence
from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.report import render_case, render_diagram, render_evidence
from toulmin.report.cases import link_names
from toulmin.report.drawings import wrap
from toulmin.report.layout import Box
from toulmin.report.outline import outline

EVIL = "<script>window.pwned=1</script>\"'><img src=x onerror=window.pwned=1>"

CASE = """
[case]
title = "Two claims"
deployment = "A model used offline."
[[goal]]
id = "G1"
text = "Both hold."
supported_by = ["G2", "G3"]
in_context_of = ["A1"]
[[goal]]
id = "G2"
text = "The first holds."
undeveloped = true
[[goal]]
id = "G3"
text = "The second holds."
undeveloped = true
[[assumption]]
id = "A1"
text = "The weights are secured."
owner = "Ada"
justification = "The store is audited."
review = 2099-01-01
[[defeater]]
id = "D1"
text = "The store was breached."
kind = "undermine"
attacks = ["A1"]
"""


def sensitivity() -> Sensitivity:
    effect = LeafEffect("E1", Health.REFUTED, Health.UNSUPPORTED, Freshness.STALE)
    bar = TornadoBar("E1", Probability(0.0, 0.4), Probability(0.5, 0.95))
    return Sensitivity((effect,), CutSets((("E1",), ("A1", "G3")), True), (Hinge("E1", ("G2", "G3")),), (bar,))


def text_of(page: str) -> str:
    body = re.sub(r"<(script|style)\b.*?</\1>", "", page, flags=re.S)
    body = re.sub(r"</?(a|b|i|span|code|small)\b[^>]*>", "", body)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_the_page_says_everything_the_verdict_says(bound_verdict: Verdict, record: Evidence) -> None:
    history = [
        HistoryEntry(on=dt.date(2026, 10, 1), health="supported", freshness="stale", exit_code=3, low=0.25, high=0.75)
    ]
    page = render_case(bound_verdict, sensitivity=sensitivity(), evidence={record.id: record}, history=history)
    said = text_of(page)
    for node in bound_verdict.nodes.values():
        assert node.text in said
        assert f'id="node-{node.id}"' in page
    for words in (
        "undermined", "stale", "Not releasable: 1 challenge stands, 1 part not argued",
        "0.400 to 0.900", "Ada Lovelace",
        "accuracy.low &gt;= 0.8", "meets it", "inconclusive", "no interval: a fixed set of tokens",
        "subject has changed since the evidence was made", "toulmin run induction.toml --reproduce",
        "0.932", "[0.891, 0.959]", "95%", "wilson", "2026-10-01", "0.250 to 0.750", "the planted case was found",
        record.id, "torch 2.13.0", "ab" * 32,
    ):  # fmt: skip
        assert words in said, words
    assert page == render_case(bound_verdict, sensitivity=sensitivity(), evidence={record.id: record}, history=history)


def test_a_record_bound_twice_is_drawn_once(bound_verdict: Verdict, record: Evidence) -> None:
    twin = replace(bound_verdict.nodes["E1"], id="E2")
    edges = (*bound_verdict.edges, ArgumentEdge("G3", "E2", "supported_by"))
    verdict = replace(bound_verdict, nodes={**bound_verdict.nodes, "E2": twin}, edges=edges)
    page = render_case(verdict, evidence={record.id: record})
    assert page.count("Logit difference per prompt</h4>") == 1
    assert "The same record as" in page


def test_a_case_from_its_file(tmp_path) -> None:
    (tmp_path / "case.toml").write_text(CASE)
    checked = check_case(tmp_path, today=dt.date(2026, 11, 22))
    page = render_case(checked.verdict, case=checked.case, sensitivity=checked.sensitivity())
    said = text_of(page)
    for words in ("A model used offline.", "The store is audited.", "2099-01-01", "undermine", "against A1", "Ada"):
        assert words in said, words


def test_a_malformed_case_lists_its_faults() -> None:
    fault = Fault("C014", "no such element", "case.toml", 7, "G9", "did you mean G1")
    verdict = Verdict(
        "Broken", "case.toml", None, None, None, ExitCode.INVALID, (Reason("form", "", str(fault)),), (fault,)
    )
    said = text_of(render_case(verdict))
    for words in ("Malformed", "C014", "line 7", "no such element", "did you mean G1"):
        assert words in said


def test_hostile_words_are_escaped(random_verdict: Callable[..., Verdict]) -> None:
    verdict = random_verdict(40, 1)
    evil = Reason("challenge", EVIL, EVIL, state=EVIL, names=(EVIL,))
    nodes: dict[str, NodeVerdict] = {
        name: replace(node, text=EVIL, reasons=(evil,), rests_on=(EVIL,), module=EVIL)
        for name, node in verdict.nodes.items()
    }
    hostile = replace(
        verdict, title=EVIL, file=EVIL, reasons=(evil,), nodes=nodes, faults=(Fault(EVIL, EVIL, name=EVIL),)
    )
    page = render_case(hostile)
    assert "<script>window" not in page
    assert "<img" not in page


def test_a_study_s_page(record: Evidence) -> None:
    page = render_evidence(record)
    said = text_of(page)
    for words in (
        "tasks.behaviour",
        f"toulmin evidence reproduce {record.id[:12]}",
        "By length",
        "planted shortcut",
        "4.20 s",
    ):
        assert words in said, words
    assert render_evidence(record, command="toulmin run x.toml").count("toulmin run x.toml") == 1


def test_every_health_and_exit_code_has_words(random_verdict: Callable[..., Verdict]) -> None:
    verdict = random_verdict(12)
    for health in Health:
        assert health.word in text_of(render_case(replace(verdict, health=health)))
    for code in (ExitCode.OK, ExitCode.NOT_SUPPORTED, ExitCode.INVALID, ExitCode.STALE, ExitCode.EVIDENCE):
        said = text_of(render_case(replace(verdict, exit_code=code)))
        assert ("Not releasable" in said) == (code is not ExitCode.OK)


def test_reasons_link_the_elements_they_name(bound_verdict: Verdict) -> None:
    nodes = {"A": bound_verdict.nodes["G1"], "G-2": bound_verdict.nodes["G2"]}
    linked = link_names(
        Reason("support", "A", "G-2, <b> and A system", state="undermined", names=("G-2",)),
        replace(bound_verdict, nodes=nodes),
    )
    assert linked == (
        '<a href="#node-A" data-node="A">A</a> is undermined: '
        '<a href="#node-G-2" data-node="G-2">G-2</a>, &lt;b&gt; and A system'
    )


def test_the_argument_as_a_standalone_drawing(random_verdict: Callable[..., Verdict]) -> None:
    verdict = random_verdict(60, 2)
    for way in ("lr", "td", None):
        drawing = render_diagram(verdict, way=way)
        root = ET.fromstring(drawing)
        rects = [rect for rect in root.iter("{http://www.w3.org/2000/svg}rect") if rect.get("rx")]
        boxes = [Box(*(float(rect.get(side, "")) for side in ("x", "y", "width", "height"))) for rect in rects]
        assert not any(a.meets(b) for i, a in enumerate(boxes) for b in boxes[:i])
        titles = " ".join("".join(title.itertext()) for title in root.iter("{http://www.w3.org/2000/svg}title"))
        assert all(node.text in titles for name, node in verdict.nodes.items() if name not in outline(verdict).loose)
    with pytest.raises(FaultError, match=r"report\.no_root"):
        render_diagram(replace(verdict, root=None))
    hostile = replace(verdict, nodes={name: replace(node, text=EVIL) for name, node in verdict.nodes.items()})
    assert "<script>" not in render_diagram(hostile)


def test_words_are_wrapped_to_the_card() -> None:
    assert wrap("one two three four", 9, 2) == ["one two", "three\u2026"]


def test_pages_are_plain_strings(bound_verdict: Verdict, record: Evidence) -> None:
    """Text that escapes what is added to it would spoil a caller's own page."""
    assert {type(render_case(bound_verdict)), type(render_evidence(record)), type(render_diagram(bound_verdict))} == {
        str
    }
