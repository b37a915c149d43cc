"""Issue 12, section 1: evidence from outside. Each test stops one route past the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from toulmin.case import check_case, run_case
from toulmin.case.argument.health import Outcome
from toulmin.case.evidence.criterion import decide, parse_criterion, vacuous_branches
from toulmin.evidence import Evidence, Store, clopper_pearson
from toulmin.external import ControlEvaluation, InspectEvaluation, JsonUnits, JUnitReport
from toulmin.faults import FaultError
from toulmin.studies import Resolver, Run, Study, execute, re_derive

WEIGHTS, OTHER = "ab" * 32, "cd" * 32


def sample(number: int, grade: object = "I", **more: Any) -> dict[str, Any]:
    question = {"input": f"question {number}", "target": "t", "scores": {"s": {"value": grade}}}
    return {"id": f"q{number}", "epoch": 1, **question, **more}


def write_log(folder: Path, samples: list[dict[str, Any]], **about: Any) -> None:
    ids = about.pop("ids", [entry["id"] for entry in samples])
    header = {"model": "m", "dataset": {"sample_ids": ids}, "metadata": {"model_sha256": WEIGHTS}, **about}
    log = {"version": 2, "status": "success", "eval": header, "results": {}, "samples": samples}
    (folder / "log.json").write_text(json.dumps(log))


def run(folder: Path, study: Study) -> Evidence:
    store = Store(folder / "store")
    kept = execute(study.at(Resolver(folder)), store, Run(folder / "work"))
    assert re_derive(kept, store) == []
    return kept


def inspect(folder: Path, **options: Any) -> Evidence:
    return run(folder, InspectEvaluation.model_validate({"log": "file:log.json", **options}))


def codes(folder: Path, study: Study) -> list[str]:
    with pytest.raises(FaultError) as caught:
        run(folder, study)
    return [fault.code for fault in caught.value.faults]


def declared(names: list[str]) -> InspectEvaluation:
    return InspectEvaluation.model_validate({"log": "file:log.json", "declared_missing": names})


def judge(kept: Evidence, criterion: str) -> Outcome:
    return decide(parse_criterion(criterion), kept.measures, kept.n)[0]


@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize("how", ["dropped", "in error", "unscored"])
def test_missing_samples_count_against_a_claim_in_either_direction(tmp_path, better: str, how: str) -> None:
    """Half the samples are missing, and the others never fail: neither "low" nor "high" follows, whatever is better."""
    for grade, claim in (("I", "score.high <= 0.3"), ("C", "score.low >= 0.7"), ("I", "score <= 0.3")):
        samples = [sample(i, grade) for i in range(60)]
        ids = [entry["id"] for entry in samples]
        write_log(tmp_path, samples)
        assert judge(inspect(tmp_path, better=better), claim) is Outcome.PASS
        broken = {"dropped": [], "in error": [{**s, "error": "x"} for s in samples[30:]]}
        broken["unscored"] = [{**s, "scores": {}} for s in samples[30:]]
        write_log(tmp_path, samples[:30] + broken[how], ids=ids)
        kept = inspect(tmp_path, better=better)
        assert judge(kept, claim) is Outcome.INCONCLUSIVE
        found = kept.measures["score"].interval
        assert found is not None
        ends = (0, 30) if grade == "I" else (30, 60)
        assert (found.low, found.high) == (clopper_pearson(ends[0], 60).low, clopper_pearson(ends[1], 60).high)
        assert kept.measures["missing"].value == 30


def test_a_few_missing_samples_of_few_say_nothing(tmp_path) -> None:
    write_log(tmp_path, [sample(i, 0.25) for i in range(5)], ids=[f"q{i}" for i in range(6)])
    found = inspect(tmp_path).measures["score"].interval
    assert found is not None
    assert (found.low, found.high) == (0.0, 1.0)
    assert "whole range" in found.method


def test_samples_whose_ids_the_log_does_not_list_cannot_be_declared_away(tmp_path) -> None:
    write_log(tmp_path, [sample(i, "C") for i in range(20)])
    document = json.loads((tmp_path / "log.json").read_text())
    document["eval"]["dataset"] = {"samples": 40}
    (tmp_path / "log.json").write_text(json.dumps(document))
    assert codes(tmp_path, declared(["q39"])) == ["inspect.declared"]
    assert inspect(tmp_path).measures["missing"].value == 20


def test_a_declared_missing_sample_must_be_known_and_have_no_score(tmp_path) -> None:
    """Declaring what failed as missing would be a way to be rid of it."""
    samples = [sample(0, "I"), *(sample(i, "C") for i in range(1, 20))]
    write_log(tmp_path, samples, ids=[f"q{i}" for i in range(21)])
    with pytest.raises(FaultError) as caught:
        run(tmp_path, declared(["Q20", "q0"]))
    assert [(fault.code, fault.name) for fault in caught.value.faults] == [
        ("inspect.declared", "Q20"),
        ("inspect.declared", "q0"),
    ]
    assert "q20" in str(caught.value.faults[0].hint)
    kept = inspect(tmp_path, declared_missing=["q20"])
    assert kept.measures["missing"].value == 0
    assert kept.measures["score"].n == 20
    assert kept.notes == ("declared missing, and not counted: q20",)


def test_what_a_missing_sample_counts_as_is_not_a_free_number(tmp_path) -> None:
    for wrong in ({"worst": 1.0}, {"score_range": [0.5, 1.0]}, {"score_range": [0.0, 0.1]}):
        with pytest.raises(ValidationError):
            InspectEvaluation.model_validate({"log": "file:log.json", **wrong})
    # a range that no grade can leave is no range: a threshold in it could not fail
    write_log(tmp_path, [sample(i, "C") for i in range(12)])
    wide = InspectEvaluation.model_validate({"log": "file:log.json", "score_range": [-1e6, 1e6]})
    assert codes(tmp_path, wide) == ["inspect.range"]
    write_log(tmp_path, [sample(i, float(i)) for i in range(12)])
    assert codes(tmp_path, InspectEvaluation(log="file:log.json")) == ["inspect.range"]
    assert inspect(tmp_path, score_range=[0, 11]).measures["score"].value == 5.5
    graded = InspectEvaluation.model_validate({"log": "file:log.json", "score_range": [0, 10]})
    assert vacuous_branches(parse_criterion("score <= 10"), graded.measure_specs()) == ["score <= 10"]
    assert vacuous_branches(parse_criterion("score <= 9"), graded.measure_specs()) == []


@pytest.mark.parametrize("form", ["text", "messages"])
def test_one_sample_under_four_hundred_ids_counts_once(tmp_path, form: str) -> None:
    samples = [sample(i, "I", input="the same", metadata={"i": i}) for i in range(400)]
    if form == "messages":  # each message has an id of its own
        samples = [{**s, "input": [{"id": f"x{i}", "role": "user", "content": "?"}]} for i, s in enumerate(samples)]
    write_log(tmp_path, samples)
    kept = inspect(tmp_path)
    assert (kept.n, kept.measures["score"].n) == (1, 1)
    assert judge(kept, "score.high <= 0.01") is not Outcome.PASS
    assert kept.notes == ("399 of 400 units have the content of an earlier one: n counts them once",)
    different = [sample(i, "I", choices=[str(i)], input="the same") for i in range(400)]
    write_log(tmp_path, different)
    assert inspect(tmp_path).n == 400


def test_a_dirty_tree_and_a_part_of_the_data_set_are_said(tmp_path) -> None:
    samples = [sample(i) for i in range(20)]
    revision = {"type": "git", "origin": "o", "commit": "abc1234", "dirty": True}
    ids = [s["id"] for s in samples]
    write_log(tmp_path, samples, revision=revision, dataset={"samples": 500, "sample_ids": ids})
    notes = inspect(tmp_path).notes
    assert any("abc1234" in note and "not committed" in note for note in notes)
    assert any("20 of the 500" in note for note in notes)
    write_log(tmp_path, samples, revision={**revision, "dirty": False})
    assert inspect(tmp_path).notes == ()


def test_no_record_holds_an_absolute_path(tmp_path) -> None:
    """The sidecar's path on the machine that ran it was in the record, and so in its hash."""
    write_log(tmp_path, [sample(i) for i in range(12)])
    (tmp_path / "log.json.model.json").write_text(json.dumps({"model": "ours", "sha256": WEIGHTS}))
    kept = inspect(tmp_path, model="ours", model_sha256=WEIGHTS)
    assert [i.reference for i in kept.inputs] == ["file:log.json", "file:log.json.model.json"]
    assert str(tmp_path) not in kept.model_dump_json()


OUTSIDE: dict[str, tuple[str, str, Study]] = {
    "inspect": ("log.json", "", InspectEvaluation(log="file:log.json", model_sha256=WEIGHTS)),
    "json": (
        "units.json",
        json.dumps({"units": [{"id": f"u{i}", "value": i / 20} for i in range(20)]}),
        JsonUnits(report="file:units.json", model_sha256=WEIGHTS),
    ),
    "junit": (
        "report.xml",
        '<testsuite><testcase name="a"/></testsuite>',
        JUnitReport(report="file:report.xml", model_sha256=WEIGHTS),
    ),
    "control": (
        "scores.jsonl",
        "".join(
            json.dumps({"id": f"{label}{i}", "label": label, "suspicion": i}) + "\n"
            for label in ("honest", "attack")
            for i in range(20)
        ),
        ControlEvaluation(scores="file:scores.jsonl", audit_budget=0.1, model_sha256=WEIGHTS),
    ),
}


@pytest.mark.parametrize("kind", OUTSIDE)
def test_evidence_from_outside_is_of_the_weights_that_the_study_names(tmp_path, kind: str) -> None:
    name, text, study = OUTSIDE[kind]
    (tmp_path / name).write_text(text)
    if kind == "inspect":
        write_log(tmp_path, [sample(i) for i in range(12)], metadata={})
    assert codes(tmp_path, study) == [f"{kind}.model"]  # it does not say of which weights it is
    sidecar = tmp_path / f"{name}.model.json"
    sidecar.write_text(json.dumps({"sha256": OTHER}))
    assert codes(tmp_path, study) == [f"{kind}.model"]
    sidecar.write_text(json.dumps({"model": "ours", "sha256": WEIGHTS}))
    assert study.stated_subject() == WEIGHTS
    kept = run(tmp_path, study)
    assert Store(tmp_path / "store").items(kept).metadata["subject"]["sha256"] == WEIGHTS
    theirs = type(study).model_validate({**study.configuration(), "model": "theirs"})
    assert codes(tmp_path, theirs) == [f"{kind}.model"]


def test_a_sidecar_does_not_overrule_what_the_log_says(tmp_path) -> None:
    write_log(tmp_path, [sample(i) for i in range(12)])
    (tmp_path / "log.json.model.json").write_text(json.dumps({"sha256": OTHER}))
    assert codes(tmp_path, InspectEvaluation(log="file:log.json")) == ["inspect.model"]
    named = InspectEvaluation(log="file:log.json", model_sha256=OTHER)
    assert set(codes(tmp_path, named)) == {"inspect.model"}


CASE = """\
[case]
[[goal]]
id = "G"
text = "The tests pass"
supported_by = ["E"]
[[evidence]]
id = "E"
text = "A report"
study = "external.junit"
configuration = { report = "file:report.xml" }
criterion = "passed.low >= 0.9 and seeds >= 2"
prior = { theta = 0.5, p_l = 0.0, p_star = 0.01, failures = "failures", justification = "As good as any" }
"""


def test_several_runs_of_one_file_are_one_observation(tmp_path) -> None:
    """Reading one report three times is neither three seeds nor three times the trials."""
    cases = "".join(f'<testcase name="{i}"/>' for i in range(300))
    for name, text in (("seeds", CASE), ("confidence", CASE.replace(" and seeds >= 2", ""))):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "report.xml").write_text(f"<testsuite>{cases}</testsuite>")
        (folder / "case.toml").write_text(text)
        run_case(folder)
        store = Store(folder / ".toulmin")
        for seed in (1, 2):
            study = JUnitReport(report="file:report.xml").at(Resolver(folder, store))
            execute(study, store, Run(folder / "work", seed=seed))
        assert len(store.ids()) == 3
    binding = check_case(tmp_path / "seeds").verdict.nodes["E"].binding
    assert binding is not None
    assert binding.outcome is Outcome.INCONCLUSIVE
    assert [c.value for c in binding.comparisons if c.bound == "seeds"] == [1.0]
    evaluated = check_case(tmp_path / "confidence").evaluated
    assert evaluated is not None
    # of 300 trials: theta / (theta + (1 - theta) 0.99^300)
    assert evaluated.quantities.leaves["E"].low == pytest.approx(1 / (1 + 0.99**300))


def test_what_a_record_notes_of_its_data_is_said_by_the_check(tmp_path) -> None:
    cases = '<testcase name="a"/><testcase name="a"/><testcase name="b"/>'
    (tmp_path / "report.xml").write_text(f"<testsuite>{cases}</testsuite>")
    (tmp_path / "case.toml").write_text(CASE)
    said = {fault.code: fault.message for fault in run_case(tmp_path).checked.verdict.faults}
    assert said["C083"] == "1 of 3 units have the content of an earlier one: n counts them once"


def test_attacks_of_one_input_are_one(tmp_path) -> None:
    rows = [{"id": f"h{i}", "label": "honest", "suspicion": i / 100} for i in range(100)]
    rows += [{"id": f"a{i}", "label": "attack", "suspicion": 5, "input": "the same"} for i in range(300)]
    (tmp_path / "s.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kept = run(tmp_path, ControlEvaluation(scores="file:s.jsonl", audit_budget=0.1))
    assert kept.measures["unnoticed"].n == 1
    assert judge(kept, "unnoticed.high <= 0.5") is not Outcome.PASS
    assert "299 of 400 units" in kept.notes[0]


def test_a_level_below_nine_tenths_is_refused() -> None:
    with pytest.raises(ValidationError, match="level"):
        ControlEvaluation(scores="file:s.jsonl", audit_budget=0.1, level=0.5)


def test_values_of_units_have_a_range_that_they_can_leave(tmp_path) -> None:
    """``value >= -3`` cannot fail on shares: the range is declared, and zeros and ones have no other."""
    units = [{"id": f"u{i}", "value": i % 2} for i in range(40)]
    (tmp_path / "u.json").write_text(json.dumps({"units": units}))
    study = JsonUnits(report="file:u.json")
    assert vacuous_branches(parse_criterion("value >= -3"), study.measure_specs()) == ["value >= -3"]
    assert run(tmp_path, study).measures["value"].interval == clopper_pearson(20, 40)
    assert codes(tmp_path, JsonUnits(report="file:u.json", value_range=(-5.0, 1.0))) == ["json.range"]
    (tmp_path / "u.json").write_text(json.dumps({"units": [{"id": "a", "value": 2}, {"id": "b", "value": -1}]}))
    assert codes(tmp_path, study) == ["json.range", "json.range"]


@pytest.mark.parametrize("size", ["tiny", "demo", "full"])
@pytest.mark.parametrize("study", [InspectEvaluation, ControlEvaluation, JUnitReport, JsonUnits])
def test_every_kind_from_outside_has_its_settings(tmp_path, study: type[Study], size: Any) -> None:
    kept = run(tmp_path, study.preset(size))
    assert kept.n >= {"tiny": 20, "demo": 100, "full": 400}[size]
    assert all(reference.reference.startswith("example:") for reference in kept.inputs)


def test_the_examples_are_what_the_script_writes() -> None:
    import importlib.util

    path = Path(__file__).parents[2] / "scripts/make_examples.py"
    spec = importlib.util.spec_from_file_location("make_examples", path)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name, make in script.KINDS.items():
        for size, n in script.SIZES.items():
            file = script.TARGET / name.format(size)
            assert file.read_text(encoding="utf-8") == make(n, script.random.Random(f"{name} {n}"))
