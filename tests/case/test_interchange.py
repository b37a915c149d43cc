"""Other tools' formats: writing and reading again is the identity; foreign files are read, with their losses listed."""

from __future__ import annotations

import json
import random
import tomllib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.case import CaseFile, write_case
from toulmin.case.interchange import FORMATS, export_case, guess_format, import_case
from toulmin.case.interchange.items import Document, Item, case_of
from toulmin.case.templates import TEMPLATES, template_text
from toulmin.faults import FaultError

READABLE = [name for name, form in FORMATS.items() if form.read is not None]

WHOLE = """
[case]
title = "Everything"
deployment = "a <b> & 'c'"
root = "G1"
[subjects.model]
reference = "embedded:induction-2l"
[[goal]]
id = "G1"
text = "top: \\"quoted\\" é"
supported_by = ["S1", "E2"]
in_context_of = ["C1", "A1", "J1"]
mode = "any"
[[goal]]
id = "G2"
text = "below"
supported_by = ["E1", "M1"]
mode = { at_least = 1 }
strengthened_by = ["G3"]
[[goal]]
id = "G3"
text = "later"
undeveloped = true
[[strategy]]
id = "S1"
text = "by cases"
supported_by = ["G2", "E1"]
[[evidence]]
id = "E1"
text = "a number"
study = "tasks.behaviour"
configuration = { subject = "@model", task = "induction", n = 20 }
criterion = "accuracy.low >= 0.8"
max_age_days = 30
[[evidence]]
id = "E2"
text = "planned"
undeveloped = true
[[context]]
id = "C1"
text = "here"
[[assumption]]
id = "A1"
text = "granted"
owner = "Ada"
justification = "because"
review = 2027-01-01
probability = [0.9, 1.0]
[[justification]]
id = "J1"
text = "so"
[[module]]
id = "M1"
text = "elsewhere"
case = "other"
goal = "G9"
[[module]]
id = "M2"
text = "measured elsewhere"
case = "other"
evidence = "E9"
[[module]]
id = "M3"
text = "said elsewhere"
case = "other"
context = "C9"
[[defeater]]
id = "D1"
text = "not so"
kind = "undercut"
attacks = ["G1->S1", "E1"]
[[defeater]]
id = "D2"
text = "is so"
kind = "rebut"
attacks = ["D1"]
supported_by = ["E2"]
[[open_problem]]
id = "P1"
text = "nobody knows"
attacks = ["G1->S1", "C1", "E1"]
dormant_until_developed = true
[[acceptance]]
of = "A1"
by = "Grace"
on = 2026-01-01
"""


def parse(text: str) -> CaseFile:
    return CaseFile.model_validate(tomllib.loads(text))


def through(parsed: CaseFile, name: str, folder) -> tuple[CaseFile, list]:
    text, _ = export_case(parsed, name)
    path = folder / f"case{FORMATS[name].ending}"
    path.write_text(text, encoding="utf-8")
    assert guess_format(path) == name
    return import_case(path)


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("source", ["whole", *TEMPLATES])
def test_export_then_import_is_the_identity(tmp_path, name: str, source: str) -> None:
    parsed = parse(WHOLE if source == "whole" else template_text(source, owner="Ada"))
    again, losses = through(parsed, name, tmp_path)
    assert losses == []
    assert write_case(again) == write_case(parsed.model_copy(update={"acceptance": ()}))


@pytest.mark.parametrize("name", READABLE)
def test_what_goes_into_our_extension_is_listed(name: str) -> None:
    _, losses = export_case(parse(WHOLE), name)
    listed = {(loss.name, loss.message.split()[0]) for loss in losses}
    assert {("G1", "mode"), ("E1", "criterion"), ("A1", "review")} <= listed


TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=20)


@st.composite
def random_cases(draw) -> CaseFile:
    count = draw(st.integers(1, 9))
    names = [f"N{i}" for i in range(count)]
    goals, evidence, contexts = [], [], []
    for i, name in enumerate(names):
        below = draw(st.lists(st.sampled_from(names[i + 1 :]), unique=True, max_size=4)) if i + 1 < count else []
        kind = "goal" if i == 0 or below else draw(st.sampled_from(["goal", "evidence", "context"]))
        text = draw(TEXTS)
        if kind == "goal":
            goals.append({"id": name, "text": text, "supported_by": below, "undeveloped": draw(st.booleans())})
        elif kind == "evidence":
            evidence.append({"id": name, "text": text, "undeveloped": True})
        else:
            contexts.append({"id": name, "text": text})
    others = {e["id"] for e in contexts}
    for goal in goals:
        goal["in_context_of"] = [b for b in goal["supported_by"] if b in others]
        goal["supported_by"] = [b for b in goal["supported_by"] if b not in others]
    whole = {"case": {"title": draw(TEXTS)}, "goal": goals, "evidence": evidence, "context": contexts}
    return CaseFile.model_validate(whole)


@pytest.mark.parametrize("name", READABLE)
@settings(max_examples=15, deadline=None)
@given(parsed=random_cases())
def test_random_cases_come_back(tmp_path_factory, name: str, parsed: CaseFile) -> None:
    again, losses = through(parsed, name, tmp_path_factory.mktemp("x"))
    assert losses == []
    assert write_case(again) == write_case(parsed)


FOREIGN_GSN = """\
module: {name: braking, brief: text}
G1: {text: The brakes work, supportedBy: [S1], inContextOf: C1, level: top}
S1: {text: over wheels, supportedBy: [G2, G9]}
G2: {text: front, undeveloped: true}
C1: {text: a car}
Sn1: {text: a test, url: there}
X1: {text: what}
CG1: {text: they do not, nodeType: Goal, challenges: [G1]}
odd: 7
"""


def test_foreign_gsn2x(tmp_path) -> None:
    (tmp_path / "c.yaml").write_text(FOREIGN_GSN)
    parsed, losses = import_case(tmp_path / "c.yaml")
    assert [(g.id, g.supported_by) for g in parsed.goal] == [("G1", ("S1",)), ("G2", ()), ("X1", ())]
    assert parsed.goal[0].in_context_of == ("C1",)
    assert parsed.strategy[0].supported_by == ("G2",)
    assert parsed.defeater[0].attacks == ("G1",)
    assert [e.id for e in parsed.evidence] == ["Sn1"]
    assert {(loss.line, loss.name) for loss in losses} == {
        (1, "module"), (2, "G1"), (3, "S1"), (6, "Sn1"), (7, "X1"), (9, "odd")
    }  # fmt: skip


FOREIGN_SACM = """<?xml version="1.0"?>
<sacm:AssuranceCasePackage xmlns:sacm="urn:other" xmlns:xmi="http://www.omg.org/XMI"
  xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmi:version="2.0">
 <argumentPackage>
  <argumentationElement xsi:type="arg:Claim" xmi:id="a" gid="G one"><description content="top"/></argumentationElement>
  <argumentationElement xsi:type="arg:Claim" gid="G2"><content><value>below</value></content></argumentationElement>
  <argumentationElement xsi:type="arg:ArgumentReasoning" xmi:id="r" gid="S"/>
  <argumentationElement xsi:type="arg:ArtifactReference" gid="Sn"/>
  <argumentationElement xsi:type="arg:ArtifactReference" gid="Ctx"/>
  <argumentationElement xsi:type="arg:AssertedInference" source="//@argumentPackage.0/@argumentationElement.1"
    target="#a" reasoning="r"/>
  <argumentationElement xsi:type="arg:AssertedEvidence" source="Sn" target="G2"/>
  <argumentationElement xsi:type="arg:AssertedContext" source="Ctx" target="a"/>
  <argumentationElement xsi:type="arg:AssertedInference" source="nowhere" target="a"/>
 </argumentPackage>
</sacm:AssuranceCasePackage>"""


def test_foreign_sacm(tmp_path) -> None:
    (tmp_path / "c.xmi").write_text(FOREIGN_SACM)
    parsed, losses = import_case(tmp_path / "c.xmi")
    assert [(g.id, g.text, g.supported_by) for g in parsed.goal] == [
        ("G-one", "top", ("S",)), ("G2", "below", ("Sn",))
    ]  # fmt: skip
    assert parsed.strategy[0].supported_by == ("G2",)
    assert parsed.goal[0].in_context_of == ("Ctx",)
    assert [e.id for e in parsed.evidence] == ["Sn"]
    assert {loss.message.split(":")[0] for loss in losses} == {
        "renamed to G-one", "AssertedInference of nowhere, which is not there"
    }  # fmt: skip


def test_ends_of_a_sacm_relation_are_no_elements(tmp_path) -> None:
    """Some tools write the type of what is meant on the reference to it."""
    text = FOREIGN_SACM.replace(
        '<argumentationElement xsi:type="arg:AssertedEvidence" source="Sn" target="G2"/>',
        '<argumentationElement xsi:type="arg:AssertedEvidence"><source xsi:type="arg:ArtifactReference" href="#Sn"/>'
        '<target xsi:type="arg:Claim" href="#G2"/></argumentationElement>',
    )
    assert text != FOREIGN_SACM
    read = []
    for written in (FOREIGN_SACM, text):
        (tmp_path / "c.xmi").write_text(written)
        read.append(import_case(tmp_path / "c.xmi"))
    assert read[0] == read[1]


def test_foreign_tea(tmp_path) -> None:
    (tmp_path / "c.json").write_text(
        '{"name": "fair", "goals": [{"id": 1, "name": "G1", "short_description": "top", "context": [{"name": "C1"}],'
        '"property_claims": [{"name": "P1", "long_description": "claim", "evidence": [{"name": "E1", "URL": "u",'
        '"short_description": "report", "colour": "red"}]}], "strategies": [{"name": "S1", "property_claims": [7]}]}]}'
    )
    parsed, losses = import_case(tmp_path / "c.json")
    assert [(g.id, g.supported_by) for g in parsed.goal] == [("G1", ("S1", "P1")), ("P1", ("E1",))]
    assert (parsed.evidence[0].text, parsed.evidence[0].undeveloped) == ("report (u)", True)
    assert parsed.goal[0].in_context_of == ("C1",)
    assert len(losses) == 2
    (tmp_path / "t.json").write_text(
        '{"case": {"name": "t"}, "tree": {"type": "GOAL", "name": "G", "description": "d",'
        '"children": [{"type": "EVIDENCE", "name": "E"}, {"type": "DANCE", "name": "D"}]}}'
    )
    parsed, losses = import_case(tmp_path / "t.json")
    assert parsed.goal[0].supported_by == ("E", "D")
    assert [loss.name for loss in losses] == ["D"]


def test_markdown_names_every_node_and_escapes(tmp_path) -> None:
    text, _ = export_case(parse(WHOLE), "markdown")
    for name in ("G1", "S1", "E1", "A1", "D1", "M1"):
        assert f"**{name}**" in text
    with pytest.raises(FaultError, match="only written"):
        import_case(tmp_path / "x.md")


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("a.yaml", "a: &x [1]\nb: *x\n", "alias"),
        ("a.yaml", "a: [", "syntax"),
        ("a.yaml", "- a\n", "syntax"),
        ("a.yaml", "[" * 4000, "syntax"),
        ("a.json", "[1]", "syntax"),
        ("a.json", "{", "syntax"),
        ("a.json", '{"goals":' * 3000, "syntax"),
        ("a.xmi", '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "refused"),
        ("a.xmi", "<x>", "syntax"),
        ("a.xmi", '<?xml version="1.0" encoding="utfU8"?><x/>', "syntax"),  # found by fuzzing
        ("a.txt", "", "format"),
    ],
)
def test_hostile_files_are_refused(tmp_path, name: str, text: str, code: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FaultError, match=code):
        import_case(tmp_path / name)


def test_ids_stay_unique() -> None:
    items = [Item("a b", "goal"), Item("a-b", "goal", supported_by=["a b", "gone"]), Item("é", "context")]
    document = Document(items=items)
    parsed = case_of(document)
    assert [g.id for g in parsed.goal] == ["a-b", "a-b-2"]
    assert parsed.goal[1].supported_by == ("a-b",)
    assert len(document.losses) == 4


@pytest.mark.fuzz
def test_no_mutation_of_a_foreign_file_crashes(tmp_path) -> None:
    """Random edits of good files: either read, or refused with faults. TOULMIN_FUZZ_SECONDS sets how long."""
    import os
    import time

    rng = random.Random(int(os.environ.get("TOULMIN_FUZZ_SEED", "0")))
    whole = parse(WHOLE)
    seeds = [(FORMATS[n].ending, export_case(whole, n)[0].encode()) for n in READABLE]
    seeds += [(".yaml", FOREIGN_GSN.encode()), (".xmi", FOREIGN_SACM.encode())]
    pieces = [b"<", b">", b"&", b'"', b"{", b"[", b"null", b"- ", b": ", b"\x00", b"\xff", b"1e999", b"toulmin", b"G1"]
    end = time.process_time() + float(os.environ.get("TOULMIN_FUZZ_SECONDS", "30")) / 2
    runs = 0
    while time.process_time() < end:
        ending, data = rng.choice(seeds)
        changed = bytearray(data)
        for _ in range(rng.randint(1, 8)):
            place = rng.randrange(len(changed) + 1)
            what = rng.randrange(4)
            if what == 0:
                changed[place:place] = rng.choice(pieces)
            elif what == 1:
                del changed[place : place + rng.randint(1, 30)]
            elif what == 2 and place < len(changed):
                changed[place] = rng.randrange(256)
            else:
                start = rng.randrange(len(changed) + 1)
                changed[place:place] = changed[start : start + rng.randint(1, 60)]
        path = tmp_path / f"c{ending}"
        path.write_bytes(changed)
        try:
            parsed, _ = import_case(path)
            write_case(parsed)
        except FaultError:
            pass
        runs += 1
    print(f"{runs} inputs")
    assert runs > 20


def test_what_is_on_a_circle_is_written_too() -> None:
    items = [Item("A", "goal", "a", ["B"]), Item("B", "strategy", "b", ["A"]), Item("C", "goal", "c")]
    text = FORMATS["tea"].write(Document("t", items))
    whole = json.loads(text)
    assert [goal["name"] for goal in whole["goals"]] == ["C", "A"]  # tops first, then what no top reaches
    assert whole["toulmin_order"] == ["A", "B", "C"]
    below = whole["goals"][1]["strategies"]
    assert [one["name"] for one in below] == ["B"]
    read = FORMATS["tea"].read
    assert read is not None
    back = read(text.encode(), "t.json")
    assert [(item.id, item.supported_by) for item in back.items] == [("A", ["B"]), ("B", ["A"]), ("C", [])]


def test_what_is_lost_names_the_file_where_there_is_one() -> None:
    read, written = Document(file="c.json"), Document()
    for document in (read, written):
        document.lose("a colour", "G", 3)
    assert [(loss.file, loss.line, loss.name) for loss in read.losses] == [("c.json", 3, "G")]
    assert [(loss.file, loss.line, loss.name) for loss in written.losses] == [(None, 3, "G")]
