"""Issue 12, section 5, and issue 11, section 2: reasons, comparisons and doubts are data, never parsed out of text."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

import pytest

from toulmin.case import Comparison, Outcome, check_case
from toulmin.case.evidence.criterion import decide, parse_criterion
from toulmin.case.evidence.doubts import doubts_of
from toulmin.evidence import Interval, Measure
from toulmin.report.bars import comparison_bar, threshold_of

DEFEATED = """\
[case]
title = "T"
[[goal]]
id = "G"
text = "G holds"
undeveloped = true
[[defeater]]
id = "D"
kind = "rebut"
attacks = ["G"]
text = "all of its 2 children needed: none holds, and stale: nobody assumes A"
"""


def test_a_defeater_whose_text_reads_like_a_reason_stays_among_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "case.toml").write_text(DEFEATED)
    verdict = check_case(tmp_path).verdict
    (challenge,) = [reason for reason in verdict.reasons if reason.kind == "challenge"]
    assert challenge.about == "G"
    assert challenge.names == ("D",)
    assert challenge.text.endswith("children needed: none holds, and stale: nobody assumes A")
    assert {reason.kind for reason in verdict.reasons} == {"state", "undeveloped", "challenge", "defeater"}


def test_a_reason_of_another_case_is_among_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    inner = '[case]\n[[goal]]\nid = "T"\ntext = "t"\nsupported_by = ["U"]\n'
    (tmp_path / "other/case.toml").write_text(inner + '[[goal]]\nid = "U"\ntext = "u"\nundeveloped = true\n')
    outer = '[case]\n[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["M"]\n'
    (tmp_path / "case.toml").write_text(outer + '[[module]]\nid = "M"\ntext = "m"\ncase = "other"\n')
    said = [str(reason) for reason in check_case(tmp_path).verdict.reasons]
    assert "M is undeveloped: T: all of its 1 children needed: U undeveloped" in said


@pytest.mark.parametrize(
    ("text", "measure", "bound", "op", "threshold", "drawn"),
    [
        ('"CE increase: 3 > 2" <= 0.5', "CE increase: 3 > 2", "value", "<=", 0.5, 0.5),
        ("loss.v2.high < 1e-3", "loss.v2", "high", "<", 1e-3, 1e-3),
        ("loss.v2.n >= 20", "loss.v2", "n", ">=", 20.0, None),
        ("seeds >= 3", "", "seeds", ">=", 3.0, None),
    ],
)
def test_a_threshold_belongs_to_its_measure(text, measure, bound, op, threshold, drawn) -> None:
    measures = {
        name: Measure(value=0.1, unit="1", n=50, interval=Interval(low=0.05, high=0.2, level=0.95, method="known"))
        for name in ("CE increase: 3 > 2", "loss.v2")
    }
    _, (comparison,) = decide(parse_criterion(text), measures, 50)
    assert (comparison.measure, comparison.bound, comparison.op, comparison.threshold) == (
        measure,
        bound,
        op,
        threshold,
    )
    assert threshold_of(comparison) == drawn


def test_a_count_in_a_criterion_is_not_drawn_as_a_threshold_of_the_measure() -> None:
    counted = Comparison("m.n >= 200", "m", "n", ">=", 200.0, Outcome.PASS, 0.5, 0.4, 0.6)
    strip = comparison_bar(counted)
    assert strip is not None
    assert strip.threshold is None


PLUGIN = """
from typing import ClassVar
from toulmin.studies import Doubt, Study


class Dice(Study):
    kind: ClassVar = "dice.rate"
    version: ClassVar = 1
    measures: ClassVar = {}
    presets: ClassVar = {}
    doubts: ClassVar = (Doubt("loaded", "The die may be loaded.", "a die from another box"),)

    def inputs(self):
        return ()

    def collect(self, run):
        raise NotImplementedError

    def summarise(self, items):
        raise NotImplementedError
"""


def test_an_outside_package_brings_its_own_doubts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toulmin_dice.py").write_text(PLUGIN)
    info = tmp_path / "toulmin_dice-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toulmin-dice\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[toulmin.studies]\ndice.rate = toulmin_dice:Dice\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "case.toml").write_text(
        dedent(
            """\
            [case]
            [[goal]]
            id = "G"
            text = "g"
            supported_by = ["E"]
            [[evidence]]
            id = "E"
            text = "e"
            study = "dice.rate"
            criterion = "rate >= 0.5"
            """
        )
    )
    (doubt,) = check_case(tmp_path).attached
    assert (doubt.id, doubt.kind, doubt.attacks, doubt.text) == (
        "E/loaded",
        "undercut",
        ("E",),
        "The die may be loaded.",
    )
    sys.modules.pop("toulmin_dice", None)


def test_every_kind_that_had_doubts_declares_them() -> None:
    rules = {
        kind: tuple(doubt.rule for doubt in doubts_of(kind))
        for kind in ("tasks.behaviour", "paths.evaluate", "paths.matrix", "circuits.card", "circuits.tests")
    }
    assert rules == {
        "tasks.behaviour": ("distribution",),
        "paths.evaluate": ("baseline", "uniqueness"),
        "paths.matrix": ("baseline", "uniqueness"),
        "circuits.card": ("uniqueness", "methodology"),
        "circuits.tests": ("uniqueness", "methodology"),
    }
    assert [doubt.rule for doubt in doubts_of("go.match")] == ["opponents"]
    assert [doubt.rule for doubt in doubts_of("external.inspect")] == ["provenance"]
    assert [doubt.rule for doubt in doubts_of("external.control")] == ["provenance", "red-team"]
    assert doubts_of("there.is.none") == ()
