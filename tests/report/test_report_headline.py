"""The first screen: what is counted, what is told, and in whose words."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

from toulmin.case import Dependencies, Label, Reason, Verdict, check_case
from toulmin.faults import ExitCode, Fault
from toulmin.report import render_case, render_diagram
from toulmin.report.headline import MOST_REASONS, arms_of, causes, headline
from toulmin.report.outline import outline
from toulmin.report.words import node_status

CASE = """
[case]
title = "Two claims"
deployment = "A model used offline."
author = "Ada"
approver = "Grace"
assessor = "Edsger"
[[goal]]
id = "G1"
text = "Both hold."
supported_by = ["G2", "G3"]
[[goal]]
id = "G2"
text = "The first holds."
supported_by = ["E1", "E2", "E3", "E4", "E5"]
[[goal]]
id = "G3"
text = "The second holds."
undeveloped = true
[[defeater]]
id = "D1"
text = "all of its 2 children needed: this text is no reason"
kind = "rebut"
attacks = ["G2"]
[[defeater]]
id = "D2"
text = "It may be chance."
kind = "rebut"
attacks = ["G2"]
[[acceptance]]
of = "D2"
by = "Ada"
on = 2026-11-20
why = "The effect is large."
""" + "".join(f'[[evidence]]\nid = "E{i}"\ntext = "Measurement {i}."\nundeveloped = true\n' for i in range(1, 6))


def checked(tmp_path):
    (tmp_path / "case.toml").write_text(CASE)
    return check_case(tmp_path, today=dt.date(2026, 11, 22))


def test_the_decision_counts_each_kind_of_cause_and_tells_at_most_five(tmp_path) -> None:
    found = checked(tmp_path)
    top = headline(found.verdict, outline(found.verdict), found.case)
    assert top.words == "Not releasable: 1 challenge stands, 6 parts not argued"
    told = [cause for arm in top.first for cause in arm.causes]
    assert len(told) == MOST_REASONS
    assert top.left_out == 2
    # each arm has its turn, and is named by its claim
    assert [(arm.text, len(arm.causes)) for arm in top.first] == [("The first holds.", 4), ("The second holds.", 1)]
    assert dict(top.roles) == {"author": "Ada", "approver": "Grace", "assessor": "Edsger"}


def test_a_challenge_whose_text_looks_like_a_reason_is_told(tmp_path) -> None:
    found = checked(tmp_path)
    assert "children needed: this text is no reason" in {
        cause.text.partition(" 2 ")[2] for cause in causes(found.verdict)
    }


def test_an_acceptance_is_told_whole_and_is_not_called_an_answer(tmp_path) -> None:
    found = checked(tmp_path)
    top = headline(found.verdict, outline(found.verdict), found.case)
    assert str(top.decisions["D2"]) == "accepted by Ada on 2026-11-20: The effect is large."
    node = found.verdict.nodes["D2"]
    assert node.label is Label.OUT
    status = node_status(node, accepted=True)
    assert status is not None
    assert (status.style, status.word) == ("accepted", "accepted")
    page = render_case(found.verdict, case=found.case)
    assert "accepted by Ada on 2026-11-20: The effect is large." in page
    card = re.search(r'aria-label="([^"]*)" data-key="D2"', page)
    assert card is not None
    assert card[1] == "defeater D2, accepted: It may be chance."
    for drawing in (page, render_diagram(found.verdict)):  # on paper and in the exported drawing too
        assert "D2 defeater (accepted): It may be chance." in drawing
        assert "(answered)" not in drawing


def test_a_dormant_doubt_is_grey(bound_verdict: Verdict) -> None:
    status = node_status(replace(bound_verdict.nodes["D1"], dormant=True))
    assert status is not None
    assert (status.style, status.word) == ("undeveloped", "dormant")


def test_faults_count_by_how_bad_they_are(bound_verdict: Verdict) -> None:
    faults = (Fault("C014", "no such element", "case.toml", 7, "G9"), Fault("C097", "text: {model}", name="G2"))
    broken = replace(bound_verdict, faults=faults, exit_code=ExitCode.INVALID)
    words = headline(broken, outline(broken)).words
    assert words == "Not releasable: 1 fault in the case file, 1 challenge stands, 1 part not argued"


def test_an_unaccepted_assumption_is_something_to_close(bound_verdict: Verdict) -> None:
    resting = (Dependencies("A1", "assumption", None, None, None, False),)
    reasons = (Reason("unaccepted", "A1", "rests on assumption A1, which nobody has accepted", names=("A1",)),)
    open_case = replace(bound_verdict, resting=resting, reasons=reasons)
    assert headline(open_case, outline(open_case)).words == "Not releasable: 1 assumption or doubt accepted by nobody"


def test_a_releasable_case_says_what_it_rests_on(bound_verdict: Verdict) -> None:
    released = replace(bound_verdict, exit_code=ExitCode.OK)
    top = headline(released, outline(released))
    assert top.words == "Releasable: it rests on 1 accepted assumption or doubt"
    assert top.first == ()


def test_arms_fork_below_single_steps(bound_verdict: Verdict) -> None:
    place = arms_of(outline(bound_verdict), bound_verdict)
    assert place["E1"] == place["D2"] == place["G2"] == "G2"
    assert place["G3"] == "G3"
    assert place["G1"] == place["S1"] == place["D1"] == ""
