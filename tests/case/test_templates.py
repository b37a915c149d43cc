"""Templates start undeveloped, node by node, and their standard doubts wake when evidence is bound."""

from __future__ import annotations

import datetime as dt

import pytest

from toulmin.case import Health, check, check_case, explain, parse_criterion, read_case, severity
from toulmin.case.evidence.criterion import measures_of
from toulmin.case.templates import TEMPLATES, parameters_of, template_text, write_template
from toulmin.faults import ExitCode, FaultError
from toulmin.studies import find_study

TODAY = dt.date(2026, 11, 22)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_is_undeveloped_and_otherwise_sound(tmp_path, name: str) -> None:
    path = write_template(name, tmp_path / "case", owner='Ada "the" Owner', today=TODAY)
    verdict = check(path, today=TODAY)
    assert (verdict.health, verdict.exit_code) == (Health.UNDEVELOPED, ExitCode.NOT_SUPPORTED)
    assert [fault for fault in verdict.faults if severity(fault) in ("invalid", "evidence")] == []
    assert {fault.code for fault in verdict.faults} <= {
        "C050",
        "C097",
        "C101",
    }  # the standard doubts are open, the parameters, and the marks of a pattern
    with pytest.raises(FaultError, match=r"case\.exists"):
        write_template(name, tmp_path / "case", owner="Ada", today=TODAY)


def test_the_scheming_case_joins_its_arguments_through_shared_nodes(tmp_path) -> None:
    verdict = check(write_template("scheming", tmp_path, owner="Ada", today=TODAY), today=TODAY)
    edges = {edge[:3] for edge in verdict.edges}
    for parent in ("SI-S", "HI-S", "HC-superiority"):
        assert (parent, "ES", "supported_by") in edges  # elicitation, and no sandbagging, supports the three
    assert ("G", "AS", "strengthened_by") in edges  # alignment never stands alone
    assert {"SI-visible", "SI-obfuscated", "SI-hidden", "HI-complete", "HC-final"} <= set(verdict.nodes)


def test_a_standard_doubt_wakes_when_evidence_is_bound(tmp_path) -> None:
    path = write_template("control-case", tmp_path, owner="Ada", today=TODAY)
    text = path.read_text()
    bound = 'study = "tasks.behaviour"\npreset = "tiny"\ncriterion = "accuracy.low >= 0.5"\n'
    node = text.index('id = "CC-elicited-evidence"')
    path.write_text(text[:node] + text[node:].replace("undeveloped = true\n", bound, 1))
    verdict = check(path, today=TODAY)
    assert verdict.nodes["CC-elicited"].health is Health.UNDERMINED
    assert verdict.nodes["CC-representative"].health is Health.UNDEVELOPED


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_gives_bindings_to_studies_that_exist(tmp_path, name: str) -> None:
    path = write_template(name, tmp_path, owner="Ada", today=TODAY)
    case = read_case(path)
    examples = [node.example for node in case.parsed.evidence if node.example is not None]
    assert examples, "a template without an example"
    for example in examples:
        study = find_study(example.study)
        assert example.preset in study.presets
        assert measures_of(parse_criterion(example.criterion)) <= set(study.measures)
    assert [fault for fault in check(path, today=TODAY).faults if "in its example" in fault.message] == []


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('study = "external.inspect"', 'study = "external.inspected"', "C031"),
        ('preset = "demo"', 'preset = "demonstration"', "C032"),
        ("score.high <= 0.1", "scores.high <= 0.1", "C035"),
        ("score.high <= 0.1 and n >= 200", "score.high <= 0.1 or n >= 200", "C082"),
    ],
)
def test_an_example_that_is_no_binding_is_a_diagnostic(tmp_path, old: str, new: str, code: str) -> None:
    path = write_template("elicitation", tmp_path, owner="Ada", today=TODAY)
    path.write_text(path.read_text().replace(old, new))
    assert [(f.code, f.name) for f in check(path, today=TODAY).faults if "in its example" in f.message] == [
        (code, "EL-gap")
    ]


def test_an_example_counts_for_nothing_and_is_explained(tmp_path) -> None:
    path = write_template("elicitation", tmp_path, owner="Ada", today=TODAY)
    assert check(path, today=TODAY).nodes["EL-gap"].health is Health.UNDEVELOPED
    lines = explain(check_case(path, today=TODAY), "EL-gap")
    assert "for example: external.inspect (demo) with score.high <= 0.1 and n >= 200" in lines


def test_unknown_templates_are_named() -> None:
    with pytest.raises(FaultError, match=r"no such template.*scheming"):
        template_text("schemin", owner="Ada")


def test_parameters_are_filled_in_and_others_are_refused() -> None:
    name = next(p for p in parameters_of("scheming") if "{" + p + "}" in template_text("scheming", owner="Ada"))
    text = template_text("scheming", owner="Ada", values={name: 'the "new" one'})
    assert "{" + name + "}" not in text
    assert 'the \\"new\\" one' in text
    with pytest.raises(FaultError, match="no such parameter") as caught:
        template_text("scheming", owner="Ada", values={name: "x", "colour": "red"})
    assert [fault.name for fault in caught.value.faults] == ["colour"]
