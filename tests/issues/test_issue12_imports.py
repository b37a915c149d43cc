"""Issue 12, section 4: files of other tools come whole, or with each loss on its line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from toulmin.case import CaseFile, check_case, write_case
from toulmin.case.interchange import export_case, import_case
from toulmin.faults import ExitCode, FaultError

FOREIGN = Path(__file__).parent / "foreign"


def edges(parsed: CaseFile) -> dict[str, tuple[str, ...]]:
    return {claim.id: claim.supported_by for claim in (*parsed.goal, *parsed.strategy) if claim.supported_by}


def test_a_file_of_an_emf_modeler_comes_whole() -> None:
    parsed, losses = import_case(FOREIGN / "emf.xmi")
    assert losses == []
    assert parsed.case.title == "Braking"
    assert edges(parsed) == {"top": ("axles",), "axles": ("front", "rear"), "rear": ("report",)}
    assert {g.id: (g.text, g.undeveloped) for g in parsed.goal} == {
        "top": ("The brakes stop the car", False),
        "front": ("The front brakes hold", True),
        "rear": ("The rear brakes hold", False),
    }
    assert parsed.goal[0].in_context_of == ("dry",)
    assert [(e.id, e.text, e.undeveloped) for e in parsed.evidence] == [("report", "Test report 12", True)]
    (doubt,) = parsed.defeater
    assert (doubt.kind, doubt.attacks) == ("undercut", ("axles->front", "axles->rear"))


def test_lower_case_types_and_references_in_child_elements_are_read() -> None:
    parsed, losses = import_case(FOREIGN / "lowercase.xml")
    assert edges(parsed) == {"G1": ("S1",), "S1": ("G2", "G3"), "G2": ("E1",)}
    assert parsed.goal[0].in_context_of == ("C1",)
    assert [(c.id, c.text) for c in parsed.context] == [("C1", "Plant 7")]
    assert [(loss.line, loss.name) for loss in losses] == [(28, "GR"), (24, "R4"), (6, "G3")]
    assert parsed.goal[2].undeveloped


def test_a_file_of_the_first_sacm_comes_whole() -> None:
    parsed, losses = import_case(FOREIGN / "arm.xmi")
    assert losses == []
    assert edges(parsed) == {"C1": ("C2",), "C2": ("I1",)}
    assert [(a.id, a.text) for a in parsed.assumption] == [("A1", "Staff are trained")]
    assert parsed.goal[0].text == "The press is safe"
    assert parsed.evidence[0].text == "Guard tests"
    assert [(d.id, d.kind, d.attacks) for d in parsed.defeater] == [("X1", "rebut", ("C2",))]


def test_citations_tags_terms_and_duplicates_are_each_listed_with_their_line() -> None:
    parsed, losses = import_case(FOREIGN / "wrapped.xmi")
    assert edges(parsed) == {"n_g1": ("n_g2", "n_away")}
    assert {(loss.line, loss.message.partition(":")[0]) for loss in losses if "renamed" not in loss.message} == {
        (6, "the tagged value vendor.colour has no place in a case"),
        (8, "it cites other.xmi#_g7; read as an undeveloped goal of this case"),
        (12, "Term has no place in a case"),
        (10, "support of _g1 is given more than once, and kept once"),
        (5, "nothing supports it; read as undeveloped"),
    }


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.xmi", "<a><b/></a>"),
        ("a.xml", '<project><task id="1" name="Paint"/></project>'),
        ("a.json", '{"name": "nothing"}'),
        ("a.yaml", "module: {name: empty}\n"),
    ],
)
def test_an_import_without_an_element_is_an_error(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FaultError, match="no element of a case") as refused:
        import_case(tmp_path / name)
    assert refused.value.exit_code is ExitCode.INVALID


SOUND = """\
G1: {text: The brakes work, supportedBy: [S1], inContextOf: [C1, A1]}
S1: {text: Over the axles, supportedBy: [G2, G3]}
G2: {text: Front, supportedBy: [Sn1]}
G3: {text: Rear, undeveloped: true}
C1: {text: A car}
A1: {text: The road is dry}
Sn1: {text: A test}
CG1: {text: Hot brakes fade, challenges: [G2], supportedBy: [CS1]}
CS1: {text: A hill test}
CS2: {text: The test was on ice, challenges: [Sn1]}
"""


def test_a_sound_gsn2x_file_is_not_invalid_and_its_counter_elements_come_along(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(SOUND)
    parsed, losses = import_case(tmp_path / "c.yaml")
    assert losses == []
    assert {d.id: (d.kind, d.attacks, d.supported_by) for d in parsed.defeater} == {
        "CG1": ("rebut", ("G2",), ("CS1",)),
        "CS2": ("undercut", ("Sn1",), ()),
    }
    assert {e.id for e in parsed.evidence if e.undeveloped} == {"Sn1", "CS1"}
    (tmp_path / "case.toml").write_text(write_case(parsed))
    verdict = check_case(tmp_path).verdict
    assert verdict.exit_code is ExitCode.NOT_SUPPORTED, [str(fault) for fault in verdict.faults]
    assert verdict.health is not None


def test_an_element_given_twice_in_yaml_is_said(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("G1: {text: one, undeveloped: true}\nG1: {text: two, undeveloped: true}\n")
    _, losses = import_case(tmp_path / "c.yaml")
    assert [(loss.line, loss.name) for loss in losses] == [(2, "G1")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.yaml", "G1: {text: t, supportedBy: [Sn1, Sn1]}\nSn1: {text: e}\n"),
        (
            "a.json",
            '{"goals": [{"name": "G", "evidence": [{"name": "E", "description": "e"},'
            ' {"name": "E", "description": "e"}]}]}',
        ),
        (
            "a.xmi",
            '<p><claim id="G" name="g"/><artifactReference id="E" name="e"/>'
            '<assertedEvidence source="E" target="G"/><assertedEvidence source="E" target="G"/></p>',
        ),
    ],
)
def test_an_edge_given_twice_is_kept_once_and_said(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    parsed, losses = import_case(tmp_path / name)
    assert len(parsed.goal[0].supported_by) == 1
    assert len(losses) == 1, [str(loss) for loss in losses]


def test_tea_keeps_contexts_assumptions_and_justifications(tmp_path: Path) -> None:
    case = {
        "name": "Fair",
        "goals": [
            {
                "name": "G1",
                "short_description": "It is fair",
                "context": ["Loans", {"name": "C2", "short_description": "In one town"}],
                "assumption": "The data are whole",
                "property_claims": [{"name": "P1", "short_description": "p", "justification": "By law"}],
            }
        ],
    }
    (tmp_path / "c.json").write_text(json.dumps(case))
    parsed, losses = import_case(tmp_path / "c.json")
    assert losses == []
    assert {c.id: c.text for c in parsed.context} == {"G1-context-1": "Loans", "C2": "In one town"}
    assert [(a.id, a.text) for a in parsed.assumption] == [("G1-assumption-1", "The data are whole")]
    assert [(j.id, j.text) for j in parsed.justification] == [("P1-justification-1", "By law")]
    assert set(parsed.goal[0].in_context_of) == {"G1-context-1", "C2", "G1-assumption-1"}
    tree: dict[str, Any] = {"type": "GOAL", "name": "G", "description": "g"}
    tree["children"] = [{"type": t, "name": t[0], "description": t} for t in ("ASSUMPTION", "JUSTIFICATION")]
    (tmp_path / "t.json").write_text(json.dumps({"case": {"name": "t"}, "tree": tree}))
    parsed, losses = import_case(tmp_path / "t.json")
    assert losses == []
    assert parsed.goal[0].in_context_of == ("A", "J")


@pytest.mark.parametrize("form", ["gsn2x", "sacm", "tea"])
def test_decisions_never_come_in_by_import(tmp_path: Path, form: str) -> None:
    import tomllib

    parsed = CaseFile.model_validate(
        tomllib.loads(
            '[case]\n[[goal]]\nid = "G"\ntext = "g"\nundeveloped = true\nin_context_of = ["A"]\n'
            '[[assumption]]\nid = "A"\ntext = "a"\n[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-01-01\n'
        )
    )
    text, _ = export_case(parsed, form)
    assert "Jo" not in text
    # and one written into the extension by hand does not come in either
    decision = json.dumps({"acceptance": [{"of": "A", "by": "Jo", "on": "2026-01-01"}]})
    quoted = decision.replace('"', "&quot;")
    hidden = {
        "gsn2x": text.replace("toulmin: '{}'", f"toulmin: '{decision}'"),
        "tea": text.replace('"toulmin": {}', f'"toulmin": {decision}', 1),
        "sacm": text.replace(
            "<argumentPackage",
            f'<taggedValue key="toulmin"><content lang="" value="{quoted}"/></taggedValue><argumentPackage',
            1,
        ),
    }[form]
    assert "Jo" in hidden
    ending = {"gsn2x": "yaml", "sacm": "xmi", "tea": "json"}[form]
    (tmp_path / f"c.{ending}").write_text(hidden)
    again, losses = import_case(tmp_path / f"c.{ending}")
    assert again.acceptance == ()
    assert [loss.message.partition(":")[0] for loss in losses] == ["decisions never come in by import"]
