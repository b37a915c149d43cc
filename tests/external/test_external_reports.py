"""Control evaluations, JUnit reports and generic units: known numbers, and refusal of what does not add up."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from toulmin.evidence import Interval, Measure, Store, clopper_pearson
from toulmin.external import ControlEvaluation, JsonUnits, JUnitReport
from toulmin.faults import FaultError
from toulmin.studies import Resolver, Run, execute, re_derive


def _run(cls, folder: Path, **configuration):
    study = cls.model_validate(configuration).at(Resolver(folder))
    store = Store(folder / "store")
    kept = execute(study, store, Run(folder / "work"))
    assert re_derive(kept, store) == []
    return kept.measures


def bounds(measure: Measure) -> Interval:
    assert measure.interval is not None
    return measure.interval


def _scores(path: Path, honest, attacks, **more) -> None:
    rows = [{"id": f"h{i}", "label": "honest", "suspicion": float(s)} for i, s in enumerate(honest)]
    rows += [{"id": f"a{i}", "label": "attack", "suspicion": float(s), **more} for i, s in enumerate(attacks)]
    path.write_text("\n".join(map(json.dumps, rows)))


def test_safety_at_an_audit_budget_is_the_share_above_the_honest_quantile(tmp_path) -> None:
    _scores(tmp_path / "s.jsonl", np.arange(100) / 100, [0.995] * 30 + [0.1] * 10)
    found = _run(ControlEvaluation, tmp_path, scores="file:s.jsonl", audit_budget=0.05, deployments=3)
    assert found["unnoticed"].value == 0.25  # ten of forty attacks look honest
    assert found["safety"].value == 0.75
    exact = clopper_pearson(10, 40)
    assert bounds(found["unnoticed"]).low <= exact.low
    assert bounds(found["unnoticed"]).high >= exact.high
    assert found["worst_case"].value == 0.75  # three attempts, nothing assumed independent
    assert bounds(found["worst_case"]).high == min(1.0, 3 * bounds(found["unnoticed"]).high)


def test_attacks_that_would_fail_are_no_harm_and_none_seen_is_not_never(tmp_path) -> None:
    _scores(tmp_path / "s.jsonl", np.linspace(0, 1, 50), [0.0] * 50, succeeds=False)
    found = _run(ControlEvaluation, tmp_path, scores="file:s.jsonl", audit_budget=0.1, deployments=1000)
    assert found["safety"].value == 1.0
    assert bounds(found["unnoticed"]).high == pytest.approx(0.0711, abs=1e-4)  # zero of fifty
    assert bounds(found["worst_case"]).high == 1.0


def test_control_rows_are_all_checked(tmp_path) -> None:
    rows = [{"id": 1, "label": "odd", "suspicion": 1}, {"id": "x", "label": "honest", "suspicion": None}, [1]]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n{")
    with pytest.raises(FaultError) as caught:
        _run(ControlEvaluation, tmp_path, scores="file:s.jsonl", audit_budget=0.1)
    assert [fault.line for fault in caught.value.faults] == [1, 2, 3, 4]


JUNIT = """<?xml version="1.0"?>
<testsuites failures="1" errors="0" skipped="1"><testsuite>
<testcase classname="c" name="a"/><testcase classname="c" name="a"/>
<testcase classname="c" name="b"><failure>no</failure></testcase>
<testcase classname="c" name="d"><skipped/></testcase>
</testsuite></testsuites>"""


def test_junit_counts_skipped_against_the_claim(tmp_path) -> None:
    (tmp_path / "r.xml").write_text(JUNIT)
    found = _run(JUnitReport, tmp_path, report="file:r.xml")
    assert (found["passed"].value, found["passed"].n) == (1 / 3, 3)  # the test that is there twice is one
    assert found["passed"].interval == clopper_pearson(1, 3)
    assert found["failures"].value == 2
    allowed = _run(JUnitReport, tmp_path, report="file:r.xml", declared_skipped=["c::d"])
    assert (allowed["failures"].value, allowed["passed"].n) == (1, 2)
    for declared in (["c::e"], ["c::a"]):  # unknown; it ran
        with pytest.raises(FaultError, match=r"junit\.declared"):
            _run(JUnitReport, tmp_path, report="file:r.xml", declared_skipped=declared)
    (tmp_path / "r.xml").write_text(JUNIT.replace("<failure>no</failure>", ""))
    with pytest.raises(FaultError, match=r"junit\.header"):
        _run(JUnitReport, tmp_path, report="file:r.xml")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('<!DOCTYPE a [<!ENTITY b "cc">]><a>&b;</a>', r"xml\.refused"),
        ("<a><b></a>", r"xml\.syntax"),
        ("", r"xml\.syntax"),
        ("<a>" * 300 + "</a>" * 300, r"xml\.refused"),
        ("<a/>", r"junit\.empty"),
    ],
)
def test_hostile_xml(tmp_path, text: str, code: str) -> None:
    (tmp_path / "r.xml").write_text(text)
    with pytest.raises(FaultError, match=code):
        _run(JUnitReport, tmp_path, report="file:r.xml")


def test_generic_units(tmp_path) -> None:
    units = [{"id": f"u{i}", "value": i % 4, "cluster": f"c{i // 4}"} for i in range(40)]
    (tmp_path / "u.json").write_text(json.dumps({"units": units}))
    found = _run(JsonUnits, tmp_path, report="file:u.json", better="higher", value_range=[0, 3])["value"]
    assert found.value == 1.5
    assert found.n == 10
    assert found.interval is None
    assert found.no_interval == "all 10 independent units are alike, so that a bootstrap has no width"
    (tmp_path / "u.json").write_text(json.dumps({"units": [{"id": "a", "value": True}, {"value": 1}]}))
    with pytest.raises(FaultError) as caught:
        _run(JsonUnits, tmp_path, report="file:u.json")
    assert [fault.name for fault in caught.value.faults] == ["units[0]", "units[1]"]
