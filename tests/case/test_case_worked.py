"""A worked case on real evidence changes its verdict when the world, the evidence, or the argument changes."""

from __future__ import annotations

import datetime as dt

import pytest

from toulmin.case import (
    Freshness,
    Health,
    accept_case,
    check_case,
    compare_cases,
    reproduce_leaves,
    run_case,
    with_faults,
)
from toulmin.case.file.lock import HistoryEntry, Lock, read_lock, states_of, with_moment, write_lock
from toulmin.case.running import moment_of
from toulmin.faults import ExitCode, FaultError
from toulmin.studies import ProcessPool

TODAY = dt.date(2026, 11, 22)
CASE = """\
[case]
title = "The coin does not fail"
deployment = "One throw a day"

[subjects.coin]
reference = "file:coin.txt"
[subjects.bad]
reference = "file:bad.txt"

[[goal]]
id = "G"
text = "A throw does not fail"
supported_by = ["S"]
in_context_of = ["A"]
[[strategy]]
id = "S"
text = "By tests that find a planted bad coin"
supported_by = ["E", "F"]
[[evidence]]
id = "E"
text = "It shows heads"
study = "coins.rate"
configuration = { coin = "@coin" }
subject = "coin"
criterion = "rate.low >= 0.9 and n >= 100"
absence = true
control = "P"
max_age_days = 3650
[[evidence]]
id = "F"
text = "No failure"
study = "coins.rate"
configuration = { coin = "@coin", n = 300 }
criterion = "failures == 0"
seeds = 2
prior = { theta = 0.5, p_l = 0.0, p_star = 0.01, failures = "failures", justification = "As good as any" }
[[evidence]]
id = "P"
text = "The method finds a planted bad coin"
study = "coins.rate"
configuration = { coin = "@bad", n = 100 }
criterion = "rate.high <= 0.5"
planted = "a coin that shows tails nine times in ten"
[[assumption]]
id = "A"
text = "The coin is not swapped"
owner = "Jane"
justification = "It is in a box"
review = 2099-01-01
[[acceptance]]
of = "A"
by = "Jo"
on = 2026-01-01
"""
DEFEATER = """\
[[defeater]]
id = "D"
kind = "rebut"
text = "It lands on its edge"
attacks = ["G"]
"""


@pytest.fixture
def worked(bench):
    (bench.folder / "coin.txt").write_text("1.0")
    (bench.folder / "bad.txt").write_text("0.1")
    bench.write(CASE)
    report = run_case(bench.folder)
    assert [r.faults for r in report.ran] == [()] * 4
    assert report.checked.verdict.exit_code is ExitCode.OK, report.checked.verdict.reasons
    return bench


def test_releasable_with_its_reasons(worked):
    verdict = worked.check().verdict
    assert verdict.releasable
    assert verdict.health is Health.CONDITIONAL
    assert [str(r) for r in verdict.reasons] == ["conditional on assumption A, accepted by Jo"]
    assert verdict.nodes["F"].binding.seeds == (0, 1)
    # 600 throws without a failure: theta / (theta + (1 - theta) 0.99^600)
    assert verdict.nodes["F"].probability.low == pytest.approx(1 / (1 + 0.99**600))
    assert [f.code for f in verdict.faults] == []


def test_the_subject_changes_by_one_byte(worked):
    (worked.folder / "coin.txt").write_text("1.00")
    verdict = worked.check().verdict
    assert (verdict.exit_code, verdict.freshness) == (ExitCode.STALE, Freshness.STALE)
    assert verdict.health is Health.CONDITIONAL  # what was shown stays shown, of another coin
    assert any("subject file:coin.txt changed" in str(reason) for reason in verdict.reasons)
    report = run_case(worked.folder)
    assert {r.node for r in report.ran} == {"E", "F"}  # the planted coin did not change
    assert report.checked.verdict.releasable


def test_a_threshold_is_loosened(worked):
    worked.replace("rate.low >= 0.9", "rate.low >= 0.8")
    verdict = worked.check().verdict
    assert verdict.exit_code is ExitCode.STALE
    assert {f.code for f in verdict.faults} == {"C052", "C059", "C072"}
    assert run_case(worked.folder).checked.verdict.exit_code is ExitCode.STALE  # running again does not wash it
    accepted = accept_case(worked.folder, "Jo", "0.8 is enough")
    assert accepted.verdict.releasable
    assert accepted.lock.evidence["E"].by == "Jo"
    assert accepted.lock.evidence["E"].loosened_from == "rate.low >= 0.9 and n >= 100"
    with pytest.raises(FaultError, match="say who"):
        accept_case(worked.folder, "\u200b", "no reason")


def test_an_item_is_edited(worked):
    record = worked.check().verdict.nodes["E"].binding.evidence
    path = worked.store.folder(record) / "items.jsonl"
    path.write_text(path.read_text().replace('"heads":true', '"heads":false', 1))
    verdict = worked.check().verdict
    assert verdict.exit_code is ExitCode.EVIDENCE
    assert verdict.nodes["E"].health is Health.UNSUPPORTED
    assert any("C040" in str(reason) for reason in verdict.reasons)


def test_a_defeater_opens(worked):
    worked.replace("[[assumption]]", DEFEATER + "[[assumption]]")
    verdict = worked.check().verdict
    assert (verdict.exit_code, verdict.health) == (ExitCode.NOT_SUPPORTED, Health.UNDERMINED)
    assert "G is undermined: defeater D stands against it: It lands on its edge" in map(str, verdict.reasons)
    worked.replace(
        "[[assumption]]", '[[acceptance]]\nof = "D"\nby = "Jo"\non = 2026-01-01\nwhy = "Never seen"\n[[assumption]]'
    )
    assert worked.check().verdict.exit_code is ExitCode.STALE  # the defeater is not registered
    verdict = accept_case(worked.folder, "Jo", "a doubt that was found late").verdict
    assert verdict.releasable
    assert [(r.id, r.kind, r.accepted_by) for r in verdict.resting] == [("A", "assumption", "Jo"), ("D", "doubt", "Jo")]


def test_the_positive_control_fails(worked):
    (worked.folder / "bad.txt").write_text("0.9")
    checked = run_case(worked.folder).checked
    verdict = checked.verdict
    assert (verdict.exit_code, verdict.health) == (ExitCode.NOT_SUPPORTED, Health.UNSUPPORTED)
    assert verdict.nodes["E"].health is Health.UNSUPPORTED
    assert "C056" in {f.code for f in verdict.faults}
    assert any("its positive control P is refuted" in str(reason) for reason in verdict.reasons)


def test_evidence_that_fails_refutes_what_it_is_direct_evidence_of_and_leaves_the_rest_unsupported(worked):
    (worked.folder / "coin.txt").write_text("0.5")
    verdict = run_case(worked.folder).checked.verdict
    assert (verdict.exit_code, verdict.health) == (ExitCode.NOT_SUPPORTED, Health.UNSUPPORTED)
    assert verdict.nodes["S"].health is Health.REFUTED


def test_nobody_accepts_the_assumption(worked):
    worked.replace('of = "A"\nby = "Jo"\non = 2026-01-01', 'of = "A"\nby = "Jo"\non = 2026-01-01\nuntil = 2026-02-01')
    verdict = worked.check().verdict
    assert verdict.exit_code is ExitCode.NOT_SUPPORTED
    assert "rests on assumption A, whose acceptance has expired" in map(str, verdict.reasons)


def test_too_old(worked):
    later = dt.date.today() + dt.timedelta(days=3651)
    verdict = worked.check(today=later).verdict
    assert verdict.exit_code is ExitCode.STALE
    assert any("3650 days are allowed" in str(reason) for reason in verdict.reasons)


def test_every_reason_is_printed_whichever_wins(worked):
    worked.replace('owner = "Jane"\n', "")
    (worked.folder / "coin.txt").write_text("1.00")
    path = next((worked.folder / ".toulmin/records").glob("*/items.jsonl"))
    path.write_text(path.read_text() + "\n")
    verdict = worked.check().verdict
    assert verdict.exit_code is ExitCode.INVALID
    assert {"C014", "C040", "C059"} <= {f.code for f in verdict.faults}


def test_seeds_that_disagree_are_inconclusive(worked):
    worked.replace("failures == 0", "failures <= 0")
    (worked.folder / "coin.txt").write_text("0.9975")  # one throw in 400 fails: one seed sees one, the other none
    report = run_case(worked.folder, only=["F"])
    values = [r.measures["failures"].value for r in report.checked.resolutions["F"].records]
    assert sorted(v > 0 for v in values) == [False, True], values
    verdict = report.checked.verdict
    assert verdict.nodes["F"].health is Health.UNSUPPORTED
    assert any("the seeds disagree" in str(reason) for reason in verdict.reasons)


@pytest.mark.slow
def test_several_at_once_in_processes_and_nothing_twice(bench):
    (bench.folder / "coin.txt").write_text("1.0")
    (bench.folder / "bad.txt").write_text("0.1")
    bench.write(CASE)
    report = run_case(bench.folder, pool=ProcessPool(2))
    assert report.checked.verdict.releasable
    assert len(report.ran) == 4
    assert run_case(bench.folder).ran == ()
    assert len(bench.store.ids()) == 4


def test_reproduce_draws_leaves_and_compares(worked):
    checked = worked.check()
    assert reproduce_leaves(checked, 3) == ()
    # evidence that re-derives but was collected otherwise: another coin behind the same hash
    store, record = worked.store, next(r for r in checked.resolutions["P"].records)
    import shutil

    items = store.items(record)
    from toulmin.evidence import Items
    from toulmin.studies.execution import study_of

    fewer = Items(items.units, {**items.columns, "heads": items["heads"] & False}, metadata=items.metadata)
    summary = study_of(record).summarise(fewer)
    shutil.rmtree(store.folder(record))
    store.write(record.model_copy(update={"measures": dict(summary.measures)}), fewer)
    assert worked.check().verdict.exit_code is ExitCode.EVIDENCE  # another record in the place of one that is gone
    checked = accept_case(worked.folder, "Jo", "somebody who forges may also accept")
    assert checked.verdict.exit_code is ExitCode.OK
    after = with_faults(checked, reproduce_leaves(checked, 3))
    assert after.verdict.exit_code is ExitCode.EVIDENCE
    assert [f.code for f in after.verdict.faults] == ["C042", "C042"]  # rate and failures


def test_declared_hashes_pin_the_subject(worked):
    digest = worked.check().verdict.nodes["E"].binding.inputs[0].now
    worked.replace('reference = "file:coin.txt"', f'reference = "file:coin.txt"\nsha256 = "{digest}"')
    assert accept_case(worked.folder, "Jo", "pinned to the weights it was run on").verdict.releasable
    worked.replace(digest, "0" * 64)
    verdict = worked.check().verdict
    assert verdict.exit_code is ExitCode.STALE
    assert any("no longer what the case declares" in str(reason) for reason in verdict.reasons)


def test_a_module_is_taken_at_its_cases_word(worked):
    (worked.folder / "part").mkdir()
    part = '[[goal]]\nid = "T"\ntext = "A part"\nsupported_by = ["U"]\n'
    part += '[[goal]]\nid = "U"\ntext = "Smaller"\nundeveloped = true\n'
    worked.write("[case]\n" + part, "part/case.toml")
    worked.replace('supported_by = ["E", "F"]', 'supported_by = ["E", "F", "M"]')
    worked.replace("[[assumption]]", '[[module]]\nid = "M"\ntext = "Elsewhere"\ncase = "part"\n[[assumption]]')
    verdict = worked.check().verdict
    assert (verdict.exit_code, verdict.health) == (ExitCode.NOT_SUPPORTED, Health.UNDEVELOPED)
    assert [r.text for r in verdict.nodes["M"].reasons] == ["T: all of its 1 children needed: U undeveloped"]
    worked.write("[case]\n" + part.replace("undeveloped = true", "")[:-1], "part/case.toml")
    assert worked.check().verdict.exit_code is ExitCode.INVALID
    worked.write(
        '[case]\n[[goal]]\nid = "T"\ntext = "x"\nsupported_by = ["M"]\n'
        '[[module]]\nid = "M"\ntext = "y"\ncase = "../"\n',
        "part/case.toml",
    )
    assert "C018" in {f.code for f in worked.check().verdict.faults}  # no way back out


def test_differences_flag_what_became_easier(worked, make_bench):
    import shutil

    worked.replace('supported_by = ["E", "F"]', 'supported_by = ["E", "F"]\nin_context_of = ["A"]')
    other = worked.folder.parent / "other"
    shutil.copytree(worked.folder, other)
    edits = [
        ("rate.low >= 0.9 and", "rate.low >= 0.8 and"),
        ("seeds = 2", "seeds = 1"),
        ("max_age_days = 3650", "max_age_days = 9999"),
        ('text = "It shows heads"', 'text = "It always shows heads"'),
        ('supported_by = ["E", "F"]', 'supported_by = ["E", "F"]\nmode = "any"'),
        ('supported_by = ["S"]\nin_context_of = ["A"]', 'supported_by = ["S"]'),
    ]
    path = other / "case.toml"
    text = path.read_text()
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    changes = compare_cases(worked.check(), check_case(other))
    found = {(c.id, c.what, c.direction) for c in changes}
    assert {
        ("E", "threshold", "loosened"),
        ("F", "threshold", "loosened"),
        ("E", "text", "neutral"),
        ("S", "threshold", "loosened"),
        ("G", "links", "loosened"),
    } <= found
    assert sum(c.direction == "loosened" for c in changes) == 5
    assert any(c.what == "status" and c.id == "E" for c in changes)
    assert compare_cases(worked.check(), worked.check()) == []


def test_what_is_added_and_what_is_no_longer_there_is_a_difference(bench):
    goal = '[case]\n[[goal]]\nid = "G"\ntext = "g"\nundeveloped = true\n'
    doubt = '[[defeater]]\nid = "D"\nkind = "rebut"\ntext = "It may not"\nattacks = ["G"]\n'
    bench.write(goal)
    without = bench.check()
    bench.write(goal + doubt)
    doubted = bench.check()
    added = [c for c in compare_cases(without, doubted) if c.id == "D" and c.what in ("added", "removed")]
    assert [(c.what, c.before, c.after, c.direction) for c in added] == [
        ("added", "", "defeater: It may not", "tightened")
    ]
    removed = [c for c in compare_cases(doubted, without) if c.id == "D" and c.what in ("added", "removed")]
    assert [(c.what, c.before, c.after, c.direction) for c in removed] == [
        ("removed", "defeater: It may not", "", "loosened")
    ]


def test_history_is_kept(worked):
    (worked.folder / "coin.txt").write_text("0.5")
    run_case(worked.folder)
    history = worked.check().lock.history
    assert [(m.health, m.exit_code) for m in history] == [("conditional", 0), ("unsupported", 1)]
    first, second = states_of(history)
    assert first["E"] == "supported"
    assert second["E"] == "refuted"
    assert "E" in history[1].changed
    assert {name for name in first if first[name] == second[name]}.isdisjoint(history[1].changed)  # kept once
    worked.replace('id = "F"', 'id = "F2"')
    worked.replace('supported_by = ["E", "F"]', 'supported_by = ["E", "F2"]')
    lock = with_moment(worked.check().lock, moment_of(worked.check()))
    assert lock.history[-1].changed["F"] == "gone"
    assert "F2" in lock.history[-1].changed
    assert "F" not in states_of(lock.history)[-1]
    assert with_moment(lock, moment_of(worked.check())) == lock  # the same verdict on the same day


def test_long_histories_lose_only_their_beginning(tmp_path):
    moments = [
        HistoryEntry(on=dt.date(2026, 1, 1), health="supported", freshness="current", exit_code=0, changed=changed)
        for changed in ({"G": "refuted", "E": "supported"}, *({"G": f"state {i}"} for i in range(600)))
    ]
    write_lock(tmp_path / "case.lock", Lock(history=tuple(moments)))
    kept, faults = read_lock(tmp_path / "case.lock")
    assert (len(kept.history), faults) == (500, [])
    assert states_of(kept.history) == states_of(moments)[-500:]
