"""Issue 12, section 3: what a case must still say before it can be released."""

from __future__ import annotations

import pytest

from toulmin.case import Health
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
    ("old", "new", "name", "said"),
    [
        ('"The coin shows heads"', '"The coin of {place} shows heads"', "G", "text: fill in {place}"),
        ('title = "The coin"', 'deployment = "{deployment}"', "deployment", "fill in {deployment}"),
        ('assessor = "Cy"', 'assessor = "{assessor}"', "assessor", "fill in {assessor}"),
        ('title = "The coin"', 'risk = { text = "none", set_by = "{who}" }', "risk.set_by", "fill in {who}"),
    ],
)
def test_something_still_to_be_instantiated_keeps_a_case_from_release(
    case, old: str, new: str, name: str, said: str
) -> None:
    case.replace(old, new)
    assert [(f.name, f.message) for f in case.check().verdict.faults if f.code == "C097"] == [(name, said)]
    assert case.check().verdict.exit_code is ExitCode.NOT_SUPPORTED


def test_a_subject_that_is_still_to_be_named_is_one_too(case) -> None:
    case.replace('"file:coin.txt"', '"file:{coin}"')
    assert found(case, "C097") == ["fill in {coin}"]
    assert case.check().verdict.exit_code is ExitCode.EVIDENCE  # and there is nothing that could be hashed


def test_one_person_does_not_approve_or_assess_their_own_argument(case) -> None:
    case.replace('assessor = "Cy"', 'assessor = " ann "')
    assert found(case, "C096") == ["ann is author and assessor"]
    assert case.check().verdict.exit_code is ExitCode.INVALID


def test_a_case_with_roles_names_all_of_them(case) -> None:
    case.replace('approver = "Bo"\n', "")
    assert found(case, "C098") == ["name the approver"]
    assert case.check().verdict.exit_code is ExitCode.NOT_SUPPORTED


PROBLEM = '[[open_problem]]\nid = "P"\nattacks = ["G"]\ntext = "Nobody knows how to tell that it tires"\n'
ACCEPTED = '[[acceptance]]\nof = "P"\nby = "Jo"\non = 2026-01-01\n'


def problems(case) -> list[tuple[str, str]]:
    return [(problem.id, problem.state) for problem in case.check().verdict.open_problems]


def test_an_open_problem_stands_and_is_listed_until_somebody_lives_with_it(case) -> None:
    case.write(CASE + PROBLEM)
    verdict = case.check().verdict
    assert problems(case) == [("P", "open")]
    assert (verdict.health, verdict.exit_code) == (Health.UNDERMINED, ExitCode.NOT_SUPPORTED)
    assert any("open problem P stands against it" in str(reason) for reason in verdict.reasons)


def test_an_open_problem_is_accepted_only_with_a_reason_and_an_end(case) -> None:
    case.write(CASE + PROBLEM + ACCEPTED)
    assert found(case, "C095") == ["Jo does not say until when", "Jo does not say why it can be lived with"]
    assert case.check().verdict.exit_code is ExitCode.NOT_SUPPORTED
    case.write(CASE + PROBLEM + ACCEPTED + 'why = "One day only"\nuntil = 2099-01-01\n')
    assert found(case, "C095") == []
    verdict = case.check().verdict
    assert verdict.health is Health.CONDITIONAL
    assert [(entry.id, entry.kind) for entry in verdict.resting] == [("P", "open problem")]
    assert problems(case) == [("P", "accepted")]  # listed also once it is accepted


def test_an_acceptance_of_an_open_problem_that_has_ended_counts_for_nothing(case) -> None:
    case.write(CASE + PROBLEM + ACCEPTED + 'why = "One day only"\nuntil = 2026-01-02\n')
    assert problems(case) == [("P", "open")]


def test_an_open_problem_is_answered_only_with_evidence(case) -> None:
    answer = '[[defeater]]\nid = "R"\nkind = "undercut"\nattacks = ["P"]\ntext = "It was weighed"\n'
    case.write(CASE + PROBLEM + answer)
    assert found(case, "C007") == ["the open problem P is answered only by a defeater with support of its own"]
    case.write(CASE + PROBLEM + answer + 'supported_by = ["E"]\n')
    assert problems(case) == [("P", "answered")]
    assert case.check().verdict.health is Health.SUPPORTED


@pytest.mark.parametrize("aim", ["E", "G->E", "C"])
def test_an_open_problem_stands_against_evidence_steps_and_contexts(case, aim: str) -> None:
    context = CASE.replace('supported_by = ["E"]', 'supported_by = ["E"]\nin_context_of = ["C"]')
    case.write(context + '[[context]]\nid = "C"\ntext = "The hall"\n' + PROBLEM.replace('"G"', f'"{aim}"'))
    assert case.check().verdict.health is Health.UNDERMINED


def test_an_open_problem_does_not_attack_a_challenge_which_would_help_the_case(case) -> None:
    doubt = '[[defeater]]\nid = "D"\nkind = "rebut"\nattacks = ["G"]\ntext = "It may tire"\n'
    case.write(CASE + doubt + PROBLEM.replace('"G"', '"D"'))
    assert found(case, "C007") == ["an open problem may not attack a defeater (D)"]


def test_the_open_problems_of_another_case_are_listed_too(case) -> None:
    case.write(CASE + PROBLEM, "inner/case.toml")
    case.write("1.0", "inner/coin.txt")
    case.write('[case]\n[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["M"]\n[[module]]\nid = "M"\n'
               'text = "m"\ncase = "inner"\n')  # fmt: skip
    assert problems(case) == [("M/P", "open")]


def test_a_risk_threshold_that_is_not_shown_to_be_met_keeps_a_case_from_release(case) -> None:
    risk = 'risk = { text = "one in ten", set_by = "Di", probability = 0.1 }'
    case.replace('title = "The coin"', f'title = "The coin"\n{risk}')
    assert found(case, "C099") == ["at most 0.1 is allowed by Di, and at most 1 is shown"]
    assert case.check().verdict.exit_code is ExitCode.NOT_SUPPORTED


@pytest.mark.parametrize(
    ("holds", "said"),
    [((0.8, 0.99), ["at most 0.1 is allowed by Di, and at most 0.2 is shown"]), ((0.95, 0.96), []), ((0.9, 1.0), [])],
)
def test_a_risk_is_judged_by_the_lower_end_of_what_is_shown(case, holds, said) -> None:
    from toulmin.case.file.readiness import check_risk

    risk = 'risk = { text = "one in ten", set_by = "Di", probability = 0.10000000001 }'
    case.replace('title = "The coin"', f'title = "The coin"\n{risk}')
    loaded = case.check().case
    assert loaded is not None
    assert [fault.message for fault in check_risk(loaded, holds)] == said


def test_parameters_of_a_template_are_set_and_what_is_left_open_stays_open(tmp_path) -> None:
    from toulmin.case import check
    from toulmin.case.templates import parameters_of, template_text, write_template
    from toulmin.faults import FaultError

    assert {"system", "deployment", "approver", "assessor", "risk_threshold", "risk_owner"} <= set(
        parameters_of("scheming")
    )
    write_template("scheming", tmp_path, owner="Ann", values={"system": 'The "big" one', "approver": "Bo"})
    faults = check(tmp_path).faults
    still = {fault.name for fault in faults if fault.code == "C097"}
    assert "approver" not in still
    assert "assessor" in still
    assert 'of The \\"big\\" one in' in (tmp_path / "case.toml").read_text()
    with pytest.raises(FaultError, match="no such parameter"):
        template_text("scheming", owner="Ann", values={"colour": "red"})
