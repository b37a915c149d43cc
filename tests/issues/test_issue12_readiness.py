"""Issue 12, section 3: what a case must still say before it can be released."""

from __future__ import annotations

import pytest

from toulmin.faults import ExitCode

CASE = """\
[case]
title = "The coin"
author = "Ann"
approver = "Bo"
assessor = "Cy"
[subjects.coin]
reference = "file:coin.txt"
[[goal]]
id = "G"
text = "The coin shows heads"
supported_by = ["E"]
[[evidence]]
id = "E"
text = "200 throws"
study = "coins.rate"
configuration = { coin = "@coin" }
criterion = "rate.low >= 0.9"
"""


@pytest.fixture
def case(bench):
    from toulmin.case import run_case

    bench.write(CASE)
    assert run_case(bench.folder).checked.verdict.exit_code is ExitCode.OK
    return bench


def found(case, code: str) -> list[str]:
    return [fault.message for fault in case.check().verdict.faults if fault.code == code]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('text = "The coin shows heads"', 'text = "The coin of {place} shows heads"', "text: {place}"),
        ('title = "The coin"', 'title = "The coin"\ndeployment = "{deployment}"', "deployment: {deployment}"),
        ('assessor = "Cy"', 'assessor = "{assessor}"', "assessor: {assessor}"),
        ('title = "The coin"', 'title = "The coin"\nrisk = { text = "none", set_by = "{who}" }', "risk.set_by: {who}"),
    ],
)
def test_something_still_to_be_instantiated_keeps_a_case_from_release(case, old: str, new: str, said: str) -> None:
    case.replace(old, new)
    assert found(case, "C097") == [said]
    assert case.check().verdict.exit_code is ExitCode.NOT_SUPPORTED


def test_one_person_does_not_approve_or_assess_their_own_argument(case) -> None:
    case.replace('assessor = "Cy"', 'assessor = " ann "')
    assert found(case, "C096") == ["ann is author and assessor"]
    assert case.check().verdict.exit_code is ExitCode.INVALID


def test_a_case_with_roles_names_all_of_them(case) -> None:
    case.replace('approver = "Bo"\n', "")
    assert found(case, "C098") == ["name the approver"]
    assert case.check().verdict.exit_code is ExitCode.NOT_SUPPORTED
