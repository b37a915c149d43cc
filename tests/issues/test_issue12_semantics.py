"""Issue 12, section 3: what the argument means. Each test is named after the route it stops."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from toulmin.case import Freshness, Health, Label, check_case
from toulmin.faults import ExitCode

COIN = """\
[case]
title = "The coin"
[subjects.coin]
reference = "file:coin.txt"
[[goal]]
id = "G"
text = "The coin shows heads"
supported_by = ["H"]
[[goal]]
id = "H"
text = "It does so today"
supported_by = ["E"]
[[evidence]]
id = "E"
text = "200 throws"
study = "coins.rate"
configuration = { coin = "@coin" }
criterion = "rate.low >= 0.9"
"""
DOUBT = """\
[[defeater]]
id = "D"
kind = "rebut"
attacks = ["G"]
text = "It was swapped"
supported_by = ["F"]
[[evidence]]
id = "F"
text = "Another coin shows tails"
study = "coins.rate"
configuration = { coin = "@coin", n = 300 }
criterion = "CRITERION"
"""


def write(folder: Path, text: str, name: str = "case.toml") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_a_refuted_ground_does_not_show_the_claim_false(bench) -> None:
    bench.write(COIN.replace("rate.low >= 0.9", "rate.high <= 0.5"))
    bench.throw()
    nodes = bench.check().verdict.nodes
    assert nodes["E"].health is nodes["H"].health is Health.REFUTED  # its own evidence shows the contrary
    assert nodes["G"].health is Health.UNSUPPORTED


def test_a_doubt_is_answered_by_contrary_evidence_which_is_named(bench) -> None:
    bench.write(COIN + DOUBT.replace("CRITERION", "rate.high <= 0.5"))
    bench.throw()
    bench.throw(n=300)
    node = bench.check().verdict.nodes["D"]
    assert node.label is Label.OUT
    assert [(r.text, r.names) for r in node.reasons] == [("its own evidence shows the contrary: F refuted", ("F",))]


@pytest.mark.parametrize("how", ["missing", "inconclusive", "doubted"])
def test_a_doubt_whose_support_fails_is_not_thereby_answered(bench, how: str) -> None:
    criterion = "n >= 1000 and rate.high <= 0.5" if how == "inconclusive" else "rate.low >= 0.5"
    second = '[[defeater]]\nid = "D2"\nkind = "undercut"\nattacks = ["F"]\ntext = "It was another coin"\n'
    bench.write(COIN + DOUBT.replace("CRITERION", criterion) + (second if how == "doubted" else ""))
    bench.throw()
    if how != "missing":
        bench.throw(n=300)
    verdict = bench.check().verdict
    assert verdict.nodes["D"].label is Label.UNDECIDED
    assert verdict.health is Health.UNDERMINED
    assert "C050" in {fault.code for fault in verdict.faults if fault.name == "D"}


def test_evidence_that_is_itself_in_doubt_answers_no_doubt(bench) -> None:
    second = '[[defeater]]\nid = "D2"\nkind = "undercut"\nattacks = ["F"]\ntext = "It was another coin"\n'
    bench.write(COIN + DOUBT.replace("CRITERION", "rate.high <= 0.5") + second)
    bench.throw()
    bench.throw(n=300)
    verdict = bench.check().verdict
    assert verdict.nodes["F"].health is Health.REFUTED
    assert verdict.nodes["D"].label is Label.UNDECIDED
    accepted = '[[acceptance]]\nof = "D2"\nby = "Jo"\non = 2026-01-01\nwhy = "We looked"\n'
    bench.write((bench.folder / "case.toml").read_text() + accepted)
    verdict = bench.check().verdict
    assert verdict.nodes["D"].label is Label.OUT
    assert [entry.id for entry in verdict.resting] == ["D2"]  # and the conclusion rests on the decision


ASSUMED = """\
[case]
[subjects.coin]
reference = "file:coin.txt"
[[goal]]
id = "G"
text = "The coin shows heads"
supported_by = ["E"]
in_context_of = ["A", "C"]
[[evidence]]
id = "E"
text = "200 throws"
BINDING
[[assumption]]
id = "A"
text = "It is not swapped"
owner = "Jane"
justification = "It is in a box"
review = 2099-01-01
[[context]]
id = "C"
text = "In the hall"
[[defeater]]
id = "D"
kind = "undermine"
attacks = ["TARGET"]
text = "It may not be so"
dormant_until_developed = true
"""
BOUND = 'study = "coins.rate"\nconfiguration = { coin = "@coin" }\ncriterion = "rate.low >= 0.9"'


@pytest.mark.parametrize("target", ["A", "C"])
def test_a_dormant_doubt_about_an_assumption_or_a_context_wakes_when_the_claim_is_developed(bench, target: str) -> None:
    bench.throw()
    bench.write(ASSUMED.replace("TARGET", target).replace("BINDING", "undeveloped = true"))
    node = bench.check().verdict.nodes["D"]
    assert node.dormant
    assert node.reasons[0].text.startswith("dormant")
    bench.write(ASSUMED.replace("TARGET", target).replace("BINDING", BOUND))
    verdict = bench.check().verdict
    assert not verdict.nodes["D"].dormant
    assert verdict.nodes[target].health is verdict.nodes["G"].health is Health.UNDERMINED


def test_a_declared_subject_that_no_evidence_is_of_keeps_a_case_from_release(bench) -> None:
    bench.write(COIN + '[subjects.other]\nreference = "file:other.txt"\n')
    bench.throw()
    verdict = bench.check().verdict
    assert [(f.code, f.name) for f in verdict.faults if f.code == "C090"] == [("C090", "other")]
    assert verdict.exit_code is ExitCode.NOT_SUPPORTED
    bench.write(COIN.replace('id = "E"', 'id = "E"\nsubject = "coin"'))
    assert "C090" not in bench.codes()


def test_evidence_of_another_model_is_refused(bench) -> None:
    (bench.folder / "better.txt").write_text("1.0")
    bench.write(COIN.replace('{ coin = "@coin" }', '{ coin = "file:better.txt" }'))
    verdict = bench.check().verdict
    assert verdict.exit_code is ExitCode.INVALID
    assert "C091" in {fault.code for fault in verdict.faults}


LOG = """\
[case]
[subjects.model]
reference = "hf:our/model"
sha256 = "DIGEST"
[[goal]]
id = "G"
text = "The tests pass"
supported_by = ["E"]
[[evidence]]
id = "E"
text = "A report"
study = "external.json"
configuration = { report = "file:units.json" }
criterion = "value.low >= 0.5"
"""


def test_evidence_from_outside_names_its_subject(tmp_path: Path) -> None:
    units = [{"id": str(i), "value": i % 2} for i in range(40)]
    write(tmp_path, json.dumps({"units": units}), "units.json")
    write(tmp_path, LOG.replace("DIGEST", "a" * 64))
    codes = {fault.code for fault in check_case(tmp_path).verdict.faults}
    assert "C092" in codes
    named = LOG.replace('text = "A report"', 'text = "A report"\nsubject = "model"')
    write(tmp_path, named.replace("DIGEST", "a" * 64))
    codes = {fault.code for fault in check_case(tmp_path).verdict.faults}
    assert "C092" in codes  # it does not say of which weights it is
    stated = named.replace('"file:units.json"', f'"file:units.json", model_sha256 = "{"a" * 64}"')
    write(tmp_path, stated.replace("DIGEST", "a" * 64))
    codes = {fault.code for fault in check_case(tmp_path).verdict.faults}
    assert not codes & {"C039", "C090", "C091", "C092"}


def test_an_inspect_log_of_other_weights_than_declared_is_refused(tmp_path: Path) -> None:
    configuration = f'{{ log = "file:units.json", model_sha256 = "{"b" * 64}" }}\nsubject = "model"'
    inspect = LOG.replace("external.json", "external.inspect").replace("value.low", "score.low")
    inspect = inspect.replace('{ report = "file:units.json" }', configuration)
    write(tmp_path, "{}", "units.json")
    write(tmp_path, inspect.replace("DIGEST", "a" * 64))
    assert "C091" in {fault.code for fault in check_case(tmp_path).verdict.faults}
    write(tmp_path, inspect.replace("DIGEST", "b" * 64))
    assert "C091" not in {fault.code for fault in check_case(tmp_path).verdict.faults}


INNER = """\
[case]
[[goal]]
id = "T"
text = "The whole holds"
supported_by = ["U"]
[[goal]]
id = "U"
text = "A part of it holds"
supported_by = ["E"]
[[evidence]]
id = "E"
text = "200 throws"
study = "coins.rate"
configuration = { coin = "file:coin.txt" }
criterion = "rate.low >= 0.9"
"""
OUTER = '[case]\n[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["M"]\n' \
    '[[module]]\nid = "M"\ntext = "The part holds"\ncase = "inner"\ngoal = "U"\n'  # fmt: skip
AGAINST = '[[defeater]]\nid = "D"\nkind = "rebut"\nattacks = ["T"]\ntext = "It does not"\n'
WITH = """\
[[assumption]]
id = "A"
text = "The hall is quiet"
owner = "Jo"
justification = "It was"
review = 2099-01-01
"""


def run_inner(bench, text: str) -> None:
    write(bench.folder, text, "inner/case.toml")
    write(bench.folder, "1.0", "inner/coin.txt")
    from toulmin.case import run_case

    run_case(bench.folder / "inner")


def test_a_goal_of_another_case_is_worth_what_its_case_is_worth(bench) -> None:
    bench.write(OUTER)
    run_inner(bench, INNER)
    assert bench.check().verdict.nodes["M"].health is Health.SUPPORTED
    run_inner(bench, INNER + AGAINST)
    node = bench.check().verdict.nodes["M"]
    assert node.health is Health.UNDERMINED
    assert any("its case as a whole is undermined" in reason.text for reason in node.reasons)


def test_naming_one_goal_of_a_case_does_not_leave_its_assumptions_behind(bench) -> None:
    bench.write(OUTER)
    run_inner(bench, INNER.replace('supported_by = ["U"]', 'supported_by = ["U"]\nin_context_of = ["A"]') + WITH)
    verdict = bench.check().verdict
    assert verdict.nodes["M"].health is Health.CONDITIONAL
    assert [entry.id for entry in verdict.resting] == ["M/A"]
    assert verdict.exit_code is ExitCode.NOT_SUPPORTED


def test_a_case_that_is_stale_makes_its_goals_stale(bench) -> None:
    bench.write(OUTER)
    run_inner(bench, INNER)
    (bench.folder / "inner/coin.txt").write_text("0.99")
    assert bench.check().verdict.nodes["M"].freshness is Freshness.STALE
