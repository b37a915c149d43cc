"""GSN patterns: what a multiplicity, an option and a choice leave open, and what instantiating them gives."""

from __future__ import annotations

import tomllib

import pytest

from toulmin.case import CaseFile, Health, check, run_case
from toulmin.case.file.pattern import instantiate, open_marks
from toulmin.case.interchange import export_case
from toulmin.case.templates import parameters_of, template_text, write_template
from toulmin.faults import ExitCode, FaultError

# G rests on the hazards (one or more), on training (where there is any), and on one or two of three measures
PATTERN = """\
[case]
title = "Braking"

[[goal]]
id = "G"
text = "{system} brakes in time."
supported_by = ["H", "T", "M"]
multiplicity = { H = "1..n", T = "0..1" }

# one for each hazard
[[goal]]
id = "H"
text = "{hazard} does not keep {system} from braking."
supported_by = ["HE", "Shared"]
in_context_of = ["HA"]

[[evidence]]
id = "HE"
text = "Drives with {hazard}."
undeveloped = true
absence = true
control = "HP"

[[evidence]]
id = "HP"
text = "Drives with a planted fault."
undeveloped = true

[[assumption]]
id = "HA"
text = "{hazard} is rare."
owner = "Jo"
justification = "Counted"
review = 2027-01-01

[[goal]]
id = "Shared"
text = "The brakes work."
undeveloped = true

[[goal]]
id = "T"
text = "Drivers are trained."
supported_by = ["Shared", "TE"]

[[evidence]]
id = "TE"
text = "Certificates."
undeveloped = true

[[strategy]]
id = "M"
text = "By redundant measures."
supported_by = ["M1", "M2", "M3"]
choose = { n = "1..2", of = ["M1", "M2", "M3"] }

[[goal]]
id = "M1"
text = "A second circuit."
undeveloped = true

[[goal]]
id = "M2"
text = "A hand brake."
undeveloped = true

[[goal]]
id = "M3"
text = "A barrier."
undeveloped = true

[[defeater]]
id = "D-inside"
kind = "undercut"
attacks = ["HE", "H->HE"]
text = "The drives were short."

[[defeater]]
id = "D-across"
kind = "undercut"
attacks = ["G->H", "TE"]
text = "Records may be forged."
"""


def made(**settings: str) -> dict[str, dict]:
    text, used = instantiate(PATTERN, settings)
    assert used == set(settings)
    data = tomllib.loads(text)
    return {e["id"]: e for array in data.values() if isinstance(array, list) for e in array}


def test_a_repeated_child_is_copied_with_everything_that_only_it_rests_on() -> None:
    found = made(H="2")
    assert found["G"]["supported_by"] == ["H-1", "H-2", "T", "M"]
    assert found["G"]["multiplicity"] == {"T": "0..1"}
    for k in ("1", "2"):
        assert found[f"H-{k}"]["supported_by"] == [f"HE-{k}", "Shared"]  # what others rest on too is not copied
        assert found[f"H-{k}"]["in_context_of"] == [f"HA-{k}"]
        assert found[f"HE-{k}"]["control"] == f"HP-{k}"
        assert found[f"D-inside-{k}"]["attacks"] == [f"HE-{k}", f"H-{k}->HE-{k}"]
    assert found["D-across"]["attacks"] == ["G->H-1", "G->H-2", "TE"]
    assert {"H", "HE", "HP", "HA", "D-inside", "Shared-1"}.isdisjoint(found)


def test_a_parameter_of_the_copied_part_becomes_one_for_each_copy() -> None:
    found = made(H="2")
    assert found["H-1"]["text"] == "{hazard_1} does not keep {system} from braking."
    assert found["HE-2"]["text"] == "Drives with {hazard_2}."
    assert found["G"]["text"] == "{system} brakes in time."


def test_an_option_that_is_not_taken_goes_with_what_only_it_rested_on() -> None:
    found = made(T="0")
    assert found["G"]["supported_by"] == ["H", "M"]
    assert {"T", "TE"}.isdisjoint(found)
    assert "Shared" in found
    assert found["D-across"]["attacks"] == ["G->H"]


def test_an_option_that_is_taken_keeps_its_name() -> None:
    found = made(T="1")
    assert found["G"]["supported_by"] == ["H", "T", "M"]
    assert found["G"]["multiplicity"] == {"H": "1..n"}


def test_a_choice_keeps_what_is_chosen() -> None:
    found = made(M="M3,M1")
    assert found["M"]["supported_by"] == ["M1", "M3"]
    assert "choose" not in found["M"]
    assert "M2" not in found


def test_a_claim_that_loses_all_its_support_is_undeveloped() -> None:
    claims = (
        '[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["T"]\nmultiplicity = { T = "0..n" }\n'
        '[[goal]]\nid = "T"\ntext = "t"\nundeveloped = true\n'
    )
    text, _ = instantiate(claims, {"T": "0"})
    (goal,) = tomllib.loads(text)["goal"]
    assert goal["undeveloped"] is True
    assert "supported_by" not in goal


def test_copies_that_hold_marks_of_their_own_are_decided_one_by_one() -> None:
    nested = PATTERN.replace('in_context_of = ["HA"]', 'in_context_of = ["HA"]\nmultiplicity = { HE = "1..n" }')
    text, used = instantiate(nested, {"HE-1": "2", "H": "2", "HE-2": "1"})
    assert used == {"H", "HE-1", "HE-2"}
    goals = {goal["id"]: goal for goal in tomllib.loads(text)["goal"]}
    assert goals["H-1"]["supported_by"] == ["HE-1-1", "HE-1-2", "Shared"]
    assert goals["H-2"]["supported_by"] == ["HE-2-1", "Shared"]


def test_what_does_not_change_keeps_its_text_and_comments() -> None:
    text, _ = instantiate(PATTERN, {"M": "M1"})
    assert text[: text.index("[[strategy]]")] == PATTERN[: PATTERN.index("[[strategy]]")]
    assert "# one for each hazard\n[[goal]]" in instantiate(PATTERN, {"H": "2"})[0]
    assert instantiate(PATTERN, {}) == (PATTERN, set())


@pytest.mark.parametrize(
    "settings",
    [{"H": "0"}, {"H": "-1"}, {"H": "two"}, {"H": "\u0662"}, {"T": "2"}, {"M": "M1,M2,M3"}, {"M": ""}, {"M": "H"}],
)
def test_numbers_and_choices_that_are_not_offered_are_refused(settings) -> None:
    with pytest.raises(FaultError, match="pattern"):
        instantiate(PATTERN, settings)


def test_open_marks_are_listed() -> None:
    assert open_marks(PATTERN) == {"H": "1..n", "T": "0..1", "M": "1..2 of M1, M2, M3"}


def test_an_open_pattern_is_undeveloped_and_keeps_its_case_from_release(bench) -> None:
    case = (
        '[case]\n[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["E"]\n{mark}[[evidence]]\nid = "E"\ntext = "e"\n'
        'study = "coins.rate"\nconfiguration = {{ coin = "file:coin.txt" }}\ncriterion = "rate.low >= 0.5"\n'
    )
    bench.write(case.format(mark=""))
    run_case(bench.folder)
    assert bench.check().verdict.health is Health.SUPPORTED
    for mark in ('multiplicity = { E = "1..n" }\n', 'choose = { n = "1", of = ["E"] }\n'):
        bench.write(case.format(mark=mark))
        verdict = bench.check().verdict
        assert (verdict.health, verdict.exit_code) == (Health.UNDEVELOPED, ExitCode.NOT_SUPPORTED)
        assert [fault.line for fault in verdict.faults if fault.code == "C101"] == [6]


@pytest.mark.parametrize(
    "mark",
    [
        'multiplicity = { X = "1..n" }',
        'multiplicity = { A = "3..2" }',
        'multiplicity = { A = "0" }',
        'choose = { n = "1", of = ["X"] }',
        'choose = { n = "3", of = ["A", "B"] }',
        'choose = { n = "1", of = ["A", "A"] }',
    ],
)
def test_marks_that_cannot_be_are_diagnostics(bench, mark: str) -> None:
    goals = "".join(f'[[goal]]\nid = "{name}"\ntext = "x"\nundeveloped = true\n' for name in "AB")
    bench.write(f'[case]\n[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["A", "B"]\n{mark}\n{goals}')
    assert "C100" in bench.codes()
    assert bench.check().verdict.exit_code is ExitCode.INVALID


@pytest.mark.parametrize("mark", ['{ A = "many" }', '{ A = "1...n" }', '{ A = "١" }', "1"])
def test_multiplicities_are_written_in_one_way(bench, mark: str) -> None:
    bench.write(
        f'[case]\n[[goal]]\nid = "G"\ntext = "g"\nsupported_by = ["A"]\nmultiplicity = {mark}\n'
        '[[goal]]\nid = "A"\ntext = "a"\nundeveloped = true\n'
    )
    assert "C003" in bench.codes()


def test_a_template_is_instantiated_with_two_risk_models(tmp_path) -> None:
    assert "risk_model" in parameters_of("capability-inability")
    values = {"CI-model": "2", "CI-settings-1": "CI-settings-automated-1", "CI-settings-2": "CI-settings-assisted-2"}
    values |= {"risk_model_1": "ransomware", "risk_model_2": "grid"}
    verdict = check(write_template("capability-inability", tmp_path, owner="Ada", values=values))
    assert "Risk model grid:" in verdict.nodes["CI-model-2"].text
    assert {"CI-results-1", "CI-results-2", "CI-A-proxy-2", "EL", "SB"} <= set(verdict.nodes)
    assert "EL-1" not in verdict.nodes  # elicitation is shared by all of them
    assert {fault.code for fault in verdict.faults} == {"C097"}
    with pytest.raises(FaultError, match=r"CI-model \(1\.\.n\)"):
        template_text("capability-inability", owner="Ada", values={"colour": "red"})


def test_a_pattern_of_ones_own_is_instantiated_by_its_path(tmp_path) -> None:
    (tmp_path / "braking.toml").write_text(PATTERN)
    values = {"H": "1", "T": "0", "M": "M1", "hazard_1": "Ice", "system": "The tram"}
    path = write_template(str(tmp_path / "braking.toml"), tmp_path / "case", owner="Ada", values=values)
    verdict = check(path)
    assert verdict.nodes["H-1"].text == "Ice does not keep The tram from braking."
    assert {fault.code for fault in verdict.faults} <= {"C050"}
    (tmp_path / "decided.toml").write_text(PATTERN + '[[acceptance]]\nof = "HA"\nby = "Jo"\non = 2026-01-01\n')
    with pytest.raises(FaultError, match="decisions"):
        template_text(str(tmp_path / "decided.toml"), owner="Ada")


def test_sacm_says_that_a_pattern_is_abstract_and_what_is_open() -> None:
    text, _ = export_case(CaseFile.model_validate(tomllib.loads(PATTERN)), "sacm")
    assert text.count('isAbstract="true"') == 2
    for constraint in ("H: 1..n", "T: 0..1", "choose 1..2 of M1, M2, M3"):
        assert f'value="{constraint}"' in text


@pytest.mark.parametrize("form", ["gsn2x", "tea"])
def test_what_another_format_cannot_say_of_a_pattern_is_listed(form: str) -> None:
    _, losses = export_case(CaseFile.model_validate(tomllib.loads(PATTERN)), form)
    assert {("G", "multiplicity"), ("M", "choose")} <= {(loss.name, loss.message.split()[0]) for loss in losses}
