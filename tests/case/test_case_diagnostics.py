"""Every diagnostic has a case that triggers exactly it, and a clean twin that differs in one place."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest

from toulmin.case import DIAGNOSTICS, run_case

TODAY = dt.date(2026, 11, 22)
CLEAN = """\
[case]
title = "A coin"

[subjects.coin]
reference = "file:coin.txt"

[[goal]]
id = "G"
text = "The coin shows heads"
supported_by = ["S"]
in_context_of = ["A"]

[[strategy]]
id = "S"
text = "By throwing it"
supported_by = ["G2", "E"]

[[goal]]
id = "G2"
text = "It is the coin we think of"
undeveloped = true

[[evidence]]
id = "E"
text = "200 throws"
study = "coins.rate"
configuration = { coin = "@coin" }
criterion = "rate.low >= 0.9"
subject = "coin"

[[assumption]]
id = "A"
text = "The coin is not swapped"
owner = "Jane"
justification = "It is in a box"
review = 2027-01-01
"""
# code -> (what to change in the clean case, its replacement); the twin is the clean case
EDITS: dict[str, tuple[str, str]] = {
    "C001": ('title = "A coin"', 'title = "A coin'),
    "C003": ('title = "A coin"', 'titel = "A coin"'),
    "C004": ('[[goal]]\nid = "G2"', '[[goal]]\nid = "G2"\ntext = "Twice"\nundeveloped = true\n[[goal]]\nid = "G2"'),
    "C005": ('["G2", "E"]', '["G2", "E", "G3"]'),
    "C006": ("undeveloped = true", 'supported_by = ["G2b"]\n[[goal]]\nid = "G2b"\ntext = "x"\nsupported_by = ["G2"]'),
    "C007": ('in_context_of = ["A"]', 'in_context_of = ["A", "E"]'),
    "C008": ('title = "A coin"', 'title = "A coin"\nroot = "S"'),
    "C009": ("[[strategy]]", '[[goal]]\nid = "R"\ntext = "Another"\nundeveloped = true\n[[strategy]]'),
    "C010": ("[[strategy]]", '[[strategy]]\nid = "T"\ntext = "Idle"\nundeveloped = true\n[[strategy]]'),
    "C011": ('text = "By throwing it"', 'text = " "'),
    "C012": ("undeveloped = true", ""),
    "C013": ('supported_by = ["G2", "E"]', 'supported_by = ["G2", "E"]\nmode = { at_least = 3 }'),
    "C014": ('owner = "Jane"\n', ""),
    "C015": ('justification = "It is in a box"\n', ""),
    "C016": ("review = 2027-01-01\n", ""),
    "C017": ("[[strategy]]", '[[acceptance]]\nof = "G2"\nby = "Jo"\non = 2026-01-01\n[[strategy]]'),
    "C018": ('text = "By throwing it"', 'text = "By throwing it"\nprose = "../S.md"'),
    "C019": ('text = "By throwing it"', 'text = "By throwing it"\nprose = "S.md"'),
    "C020": ('["G2", "E"]', '["G2", "E", "M"]\n[[module]]\nid = "M"\ntext = "Elsewhere"\ncase = "case.toml"'),
    "C021": ('supported_by = ["G2", "E"]', 'supported_by = ["G2", "E"]\nconfidence = "independent"'),
    "C022": (
        "undeveloped = true",
        'supported_by = ["X", "Y"]\nconfidence = "independent"\nindependence = "They are"\n'
        + "\n".join(f'[[goal]]\nid = "{i}"\ntext = "{i}"\nundeveloped = true\nin_context_of = ["A"]' for i in "XY"),
    ),
    "C023": ("review = 2027-01-01", "review = 2027-01-01\nprobability = [0.9, 0.8]"),
    "C024": ('subject = "coin"', 'subject = "coins"'),
    "C030": ('study = "coins.rate"\n', ""),
    "C031": ('study = "coins.rate"', 'study = "coins.rates"'),
    "C032": ('{ coin = "@coin" }', '{ coin = "@coin", m = 3 }'),
    "C033": ('criterion = "rate.low >= 0.9"\n', ""),
    "C034": ("rate.low >= 0.9", "rate.low > = 0.9"),
    "C035": ("rate.low >= 0.9", "speed.low >= 0.9"),
    "C082": ("rate.low >= 0.9", "rate.low >= 0.9 or n >= 1"),
    "C036": ('subject = "coin"', 'subject = "coin"\nabsence = true'),
    "C037": ('subject = "coin"', 'subject = "coin"\nabsence = true\ncontrol = "G2"'),
    "C038": (
        'subject = "coin"',
        'prior = { theta = 0.5, p_star = 0.2, failures = "losses", justification = "A guess" }',
    ),
    "C039": ('reference = "file:coin.txt"', 'reference = "file:coin.txt"\n[subjects.other]\nreference = "file:o.txt"'),
    "C050": (
        "[[strategy]]",
        '[[defeater]]\nid = "D"\nkind = "rebut"\ntext = "It may not"\nattacks = ["G"]\n[[strategy]]',
    ),
    "C051": ("rate.low >= 0.9", "rate.low >= 0.91"),
    "C052": ("rate.low >= 0.9", "rate.low >= 0.89"),
    "C054": ("review = 2027-01-01", "review = 2026-11-21"),
    "C055": (
        "[[strategy]]",
        '[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-01-01\nuntil = 2026-11-21\n[[strategy]]',
    ),
    "C078": (
        "[[strategy]]",
        '[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-01-01\n[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-02-01\n'
        "[[strategy]]",
    ),
    "C079": ("[[strategy]]", '[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-11-23\n[[strategy]]'),
    "C080": ("[[strategy]]", '[[acceptance]]\nof = "A"\nby = "\\u200B"\non = 2026-01-01\n[[strategy]]'),
    "C081": (
        "[[strategy]]",
        f'[[acceptance]]\nof = "A"\nby = "Jo"\non = 2026-01-01\nsha256 = "{32 * "0"}"\n[[strategy]]',
    ),
    "C093": ('["G2", "E"]', '["G2", "E", "E"]'),
    "C094": ("undeveloped = true", 'undeveloped = true\nsupported_by = ["E"]'),
    "C060": (
        'subject = "coin"',
        'prior = { theta = 0.5, p_star = 0.01, failures = "failures", justification = "A guess" }',
    ),
}
DONE_ELSEWHERE = {"C002", "C025", "C040", "C041", "C042", "C043", "C044", "C053", "C056", "C057", "C058", "C059"}
DONE_ELSEWHERE |= {"C090", "C091", "C092"}  # tests/issues/test_issue12_semantics.py
DONE_ELSEWHERE |= {"C084", "C085", "C086"}  # tests/issues/test_issue12_controls.py
DONE_ELSEWHERE |= {"C100", "C101"}  # tests/case/test_case_pattern.py
DONE_ELSEWHERE |= {"C083"}  # tests/issues/test_issue12_outside.py
DONE_ELSEWHERE |= {f"C{number:03}" for number in range(95, 100)}  # tests/issues/test_issue12_readiness.py
DONE_ELSEWHERE |= {f"C{number:03}" for number in range(70, 82)} - set(EDITS)  # tests/issues/test_issue12_registered.py
# with a subject that cannot be read there can be no current evidence, and what there is is stale
IMPLIED = {"C051": {"C051", "C059"}, "C052": {"C052", "C059"}}


@pytest.fixture
def clean(bench):
    (bench.folder / "coin.txt").write_text("1.0")
    bench.write(CLEAN)
    run_case(bench.folder, today=TODAY)
    return bench


def codes(bench, **options) -> list[str]:
    """The diagnostics of a case, but for those that say only that an element is not as it was registered."""
    return [code for code in bench.codes(**options) if code not in ("C072", "C073", "C074")]


def test_every_diagnostic_is_tested():
    assert set(EDITS) | DONE_ELSEWHERE == set(DIAGNOSTICS)


def test_the_twin_is_clean(clean):
    assert codes(clean, today=TODAY) == []


@pytest.mark.parametrize("code", sorted(EDITS))
def test_each_edit_triggers_exactly_its_diagnostic(clean, code):
    old, new = EDITS[code]
    clean.replace(old, new)
    if code == "C039":
        clean.replace('subject = "coin"', 'subject = "other"')
        clean.write("1", "o.txt")
    faults = [f for f in clean.check(today=TODAY).verdict.faults if f.code not in ("C072", "C073", "C074")]
    assert {fault.code for fault in faults} == IMPLIED.get(code, {code}), [str(f) for f in faults]
    for fault in faults:
        assert fault.file is not None
        if code not in ("C001", "C003", "C008"):
            assert fault.name is not None
        assert fault.line is not None or code == "C008"


def test_too_large(clean, monkeypatch):
    monkeypatch.setattr("toulmin.case.file.casefile.MAX_CASE_BYTES", 100)
    assert codes(clean) == ["C002"]


@pytest.mark.parametrize("store", ["x" * 3000, "a\\u0000b"])
def test_a_store_that_cannot_be(clean, store):
    clean.replace('title = "A coin"', f'title = "A coin"\nstore = "{store}"')
    faults = clean.check(today=TODAY).verdict.faults
    assert [(f.code, f.line) for f in faults if f.code == "C018"] == [("C018", 3)]


def test_names_too_long(clean):
    for edit in ('prose = "{0}"', 'prose = "{0}/x"'):
        clean.write(CLEAN.replace('text = "By throwing it"', 'text = "x"\n' + edit.format("y" * 3000)))
        assert codes(clean, today=TODAY) == ["C018"]
    clean.write(CLEAN.replace('["G2", "E"]', '["G2", "E", "M"]'))
    with (clean.folder / "case.toml").open("a") as file:
        file.write(f'[[module]]\nid = "M"\ntext = "x"\ncase = "{"z" * 3000}"\n')
    assert codes(clean, today=TODAY) == ["C018"]


def test_a_broken_lock(clean):
    clean.write("version = \n", "case.lock")
    assert codes(clean, today=TODAY) == ["C025", "C057"]  # a lock that cannot be read registers nothing
    clean.write("version = 2\n[evidence.E]\ncriterion = 3\n", "case.lock")
    assert "C025" in codes(clean, today=TODAY)


def test_an_input_that_is_gone(clean):
    (clean.folder / "coin.txt").unlink()
    assert codes(clean, today=TODAY) == ["C043", "C059"]


def test_an_input_whose_name_cannot_be(clean):
    clean.replace('reference = "file:coin.txt"', f'reference = "file:{"c" * 3000}"')
    faults = [f for f in clean.check(today=TODAY).verdict.faults if f.code == "C043"]
    assert len(faults) == 1
    assert faults[0].message.endswith("File name too long")  # without an error number and the path again


def test_evidence_with_a_study_cannot_be_undeveloped(clean):
    clean.replace('subject = "coin"', 'subject = "coin"\nundeveloped = true')
    faults = [f for f in clean.check(today=TODAY).verdict.faults if f.code not in ("C072", "C073", "C074")]
    assert [(f.code, f.name) for f in faults] == [("C094", "E")]


def test_a_defeater_says_whether_anything_supports_it(clean):
    doubt = '[[defeater]]\nid = "D"\nkind = "rebut"\ntext = "It may not"\nattacks = ["G"]\n'
    clean.replace("[[strategy]]", doubt + "[[strategy]]")
    node = clean.check(today=TODAY).verdict.nodes["D"]
    assert [reason.text for reason in node.reasons] == ["open: nothing answers it"]
    clean.replace('attacks = ["G"]', 'attacks = ["G"]\nsupported_by = ["E"]')
    node = clean.check(today=TODAY).verdict.nodes["D"]
    assert [reason.text for reason in node.reasons] == ["stands on its support"]


def test_unregistered(clean):
    (clean.folder / "case.lock").unlink()
    assert codes(clean, today=TODAY) == ["C057"]


def _edit_items(bench) -> None:
    path = next((bench.folder / ".toulmin/records").glob("*/items.jsonl"))
    path.write_text(path.read_text().replace('"heads":true', '"heads":false', 1))


def test_edited_items(clean):
    _edit_items(clean)
    assert codes(clean, today=TODAY) == ["C040"]


def test_edited_record(clean):
    path = next((clean.folder / ".toulmin/records").glob("*/record.json"))
    path.write_text(path.read_text().replace('"value":1.0', '"value":0.99', 1))
    assert codes(clean, today=TODAY) == ["C040"]


def test_a_record_that_does_not_follow_from_its_items(clean):
    from toulmin.evidence import Measure, wilson

    store = clean.store
    record = store.read(store.ids()[0])
    items = store.items(record)
    rate = Measure(value=0.99, unit="1", n=200, interval=wilson(198, 200))
    changes = {"measures": {**record.measures, "rate": rate}, "created": "2026-11-22T00:00:00Z"}
    forged = record.model_copy(update=changes)
    import shutil

    shutil.rmtree(store.folder(record))
    store.write(forged, items)
    assert codes(clean, today=TODAY) == ["C041", "C070", "C071"]  # and one was put in the place of another


def test_a_record_without_the_measure(clean):
    import shutil

    store = clean.store
    record = store.read(store.ids()[0])
    items = store.items(record)
    shutil.rmtree(store.folder(record))
    measures = {"failures": record.measures["failures"]}
    store.write(record.model_copy(update={"measures": measures}), items)
    # it does not re-derive either; without re-deriving, the missing measure is what is left to say
    assert codes(clean, today=TODAY, rederive=False) == ["C044", "C070", "C071"]


def test_orphan(clean):
    clean.throw(n=30)
    assert codes(clean, today=TODAY) == ["C077"]


def test_missing(clean):
    clean.replace("[[strategy]]", '[[goal]]\nid = "G3"\ntext = "More"\nsupported_by = ["E3"]\n[[strategy]]')
    clean.replace('["S"]', '["S", "G3"]')
    clean.replace(
        "[[assumption]]",
        '[[evidence]]\nid = "E3"\ntext = "Few"\nstudy = "coins.rate"\ncriterion = "rate >= 0.5"\n'
        'configuration = { coin = "@coin", n = 9 }\n[[assumption]]',
    )
    assert codes(clean, today=TODAY) == ["C058"]


def test_stale(clean):
    (clean.folder / "coin.txt").write_text("1.00")
    assert codes(clean, today=TODAY) == ["C059"]


@pytest.mark.parametrize(("planted", "expected"), [(0.1, ["C056", "C085"]), (0.9, [])])
def test_the_records_own_control(clean, planted, expected):
    clean.replace('{ coin = "@coin" }', f'{{ coin = "@coin", planted = {planted} }}')
    clean.replace('subject = "coin"', 'absence = true\ncontrol = "self"')
    import shutil

    shutil.rmtree(clean.folder / ".toulmin")
    (clean.folder / "case.lock").unlink()
    run_case(clean.folder, today=TODAY)
    assert codes(clean, today=TODAY) == expected


def test_all_faults_at_once(clean):
    for code in ("C003", "C011", "C014", "C034", "C023"):
        clean.replace(*EDITS[code])
    assert set(codes(clean, today=TODAY)) == {"C003", "C011", "C014", "C023", "C034"}


def test_diagnostics_have_titles_and_severities():
    check: Callable[[str], bool] = str.strip  # type: ignore[assignment]
    severities = ("invalid", "evidence", "unfinished", "stale", "warning")
    assert all(check(d.title) and d.severity in severities for d in DIAGNOSTICS.values())
