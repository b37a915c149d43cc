"""Templates start undeveloped, node by node, and their standard doubts wake when evidence is bound."""

from __future__ import annotations

import datetime as dt

import pytest

from toulmin.case import Health, check, severity
from toulmin.case.templates import TEMPLATES, template_text, write_template
from toulmin.faults import ExitCode, FaultError

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
    edges = {(edge.source, edge.target, edge.kind) for edge in verdict.edges}
    for parent in ("SI-S", "HI-S", "HC-superiority"):
        assert (parent, "SB", "supported_by") in edges  # no sandbagging supports the three
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


def test_unknown_templates_are_named() -> None:
    with pytest.raises(FaultError, match=r"no such template.*scheming"):
        template_text("schemin", owner="Ada")
