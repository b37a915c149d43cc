"""Issue 12, section 2, the store: each test is named after the route it stops."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toulmin.case import accept_case, run_case
from toulmin.evidence import Evidence, Store, inputs_hash, sha256_of_file
from toulmin.evidence.ledger import read_ledger
from toulmin.evidence.record import check_record, seal
from toulmin.faults import ExitCode, FaultError
from toulmin.studies import Resolver, Run, execute, find_current, find_study, made_by_this_code, re_derive, reproduce
from toulmin.studies.comparison import same_values

CASE = """\
[case]
[[goal]]
id = "G"
text = "Heads"
supported_by = ["E"]
[[evidence]]
id = "E"
text = "Throws"
study = "coins.rate"
configuration = { coin = "file:coin.txt" }
criterion = "rate.low >= 0.9"
"""


def audit(store: Store) -> set[str]:
    return {fault.code for fault in Store(store.root).audit()}


def test_a_record_of_an_older_schema_is_named_so_and_not_called_tampered(bench) -> None:
    found = bench.throw(seed=0)
    path = bench.store.folder(found) / Store.RECORD
    path.write_text(path.read_text().replace('"record":3', '"record":2').replace('"record": 3', '"record": 2'))
    with pytest.raises(FaultError) as raised:
        bench.store.read(found.id)
    assert [fault.code for fault in raised.value.faults] == ["evidence.schema"]
    assert raised.value.exit_code is ExitCode.EVIDENCE


def test_a_record_is_deleted_renamed_or_put_in_by_hand(bench) -> None:
    first, second = bench.throw(seed=0), bench.throw(seed=1)
    store = bench.store
    assert audit(store) == set()
    folder = store.folder(first)
    folder.rename(folder.with_name("f" * 64))
    assert audit(store) == {"ledger.gone", "ledger.unknown"}
    shutil.rmtree(folder.with_name("f" * 64))
    assert audit(store) == {"ledger.gone"}
    shutil.copytree(store.folder(second), folder.with_name("e" * 64))
    assert audit(store) == {"ledger.gone", "ledger.unknown"}


@pytest.mark.parametrize("line", range(4))
def test_a_line_of_the_ledger_is_removed_edited_or_moved(bench, line: int) -> None:
    for seed in range(2):
        bench.throw(seed=seed)
    path = bench.store.root / "ledger.jsonl"
    whole = path.read_text().splitlines(keepends=True)
    assert len(whole) == 4  # a record is announced, then confirmed
    path.write_text("".join(whole[:line] + whole[line + 1 :]))
    assert audit(bench.store) - {"ledger.unknown"} == ({"ledger.broken"} if line < 3 else set())
    path.write_text("".join([*whole[:line], whole[line].replace('"record":"', '"record":"0'), *whole[line + 1 :]]))
    assert "ledger.broken" in audit(bench.store)
    path.write_text("".join(reversed(whole)))
    assert "ledger.broken" in audit(bench.store)


def test_the_ledger_is_cut_with_its_record(bench) -> None:
    """A chain does not see its own end missing; the lock of a case does."""
    bench.write(CASE)
    assert run_case(bench.folder).checked.verdict.releasable
    path = bench.store.root / "ledger.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))
    assert "C075" in bench.codes()
    path.unlink()
    assert {"C075", "C076"} <= set(bench.codes())


def test_a_broken_ledger_cannot_be_accepted_away(bench) -> None:
    """A name settles a record that is gone, not a chain of hashes that does not hold: nothing says what it hid."""
    bench.write(CASE)
    assert run_case(bench.folder).checked.verdict.releasable
    path = bench.store.root / "ledger.jsonl"
    path.write_text(path.read_text().replace('"record":"', '"record":"0', 1))
    assert "C076" in bench.codes()
    for _ in range(2):
        verdict = accept_case(bench.folder, "Jo Smith", "It was the disk").verdict
        assert "C076" in {fault.code for fault in verdict.faults}
        assert verdict.exit_code is ExitCode.EVIDENCE
    assert bench.check().verdict.exit_code is ExitCode.EVIDENCE


def test_a_writer_killed_between_announcing_and_confirming_is_no_deletion(bench) -> None:
    record = bench.throw()
    path = bench.store.root / "ledger.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:40])  # half a line of the confirmation
    assert audit(bench.store) == set()
    assert [r.id for r in Store(bench.store.root).find(record.study_hash)] == [record.id]
    bench.throw(seed=1)
    assert audit(bench.store) == set()
    assert read_ledger(bench.store.root).faults == ()


def test_folders_of_killed_writers_are_removed(bench) -> None:
    bench.throw()
    records = bench.store.root / "records"
    for name in (".writing-dead", ".writing-young"):
        (records / name).mkdir()
        (records / name / "items.jsonl").write_text("{}")
    hour_ago = time.time() - 3600
    os.utime(records / ".writing-dead", (hour_ago, hour_ago))
    bench.throw(seed=1)
    assert [p.name for p in records.iterdir() if p.name.startswith(".")] == [".writing-young"]


def resealed(store: Store, record: Evidence, **changes: object) -> Evidence:
    """The record forged: changed, all hashes made anew, in the place of the old one."""
    forged = seal(Evidence.model_validate({**record.model_dump(mode="json"), **changes}))
    store.folder(record).rename(store.folder(forged))
    (store.folder(forged) / "record.json").write_text(forged.model_dump_json())
    return store.read(forged.id)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"study_hash": "0" * 64}, "study_hash"),
        ({"inputs_hash": "0" * 64}, "inputs_hash"),
        ({"configuration": {"coin": "file:other.txt", "n": 200, "planted": None}}, "inputs_hash"),
        ({"created": (dt.datetime.now(dt.UTC) + dt.timedelta(days=1)).isoformat()}, "created"),
        ({"created": "2026-01-01"}, "created"),
        ({"seeds": [1]}, "seeds"),
        ({"seeds": [0, 1]}, "seeds"),
        ({"seeds": [0, 0]}, "seeds"),
    ],
)
def test_a_record_that_contradicts_itself(bench, changes: dict[str, object], name: str) -> None:
    forged = resealed(bench.store, bench.throw(), **changes)
    faults = re_derive(forged, bench.store)
    assert ("evidence.contradiction", name) in {(fault.code, fault.name) for fault in faults}


def test_a_record_of_another_seed_with_these_items(bench) -> None:
    """Items of seed 0 copied into a record of seed 1, with every hash made anew."""
    first = bench.throw(seed=0)
    assert check_record(first) == []
    forged = resealed(bench.store, first, seeds=[1], created="2026-11-01T00:00:00Z")
    assert check_record(forged) == []
    assert {fault.name for fault in re_derive(forged, bench.store)} == {"seeds"}


def test_a_foreign_artefact(bench, tmp_path) -> None:
    """Another run's file in this record, with the record's own hashes made anew."""
    (tmp_path / "own.txt").write_text("own")
    study = find_study("coins.rate").model_validate({"coin": "file:coin.txt"})
    cls = type(study)

    class Keeping(cls):  # type: ignore[misc, valid-type]
        def collect(self, run):
            items = super().collect(run)
            (run.workdir / "kept.txt").write_text(f"seed {run.seed}")
            return type(items)(items.units, items.columns, files={"kept.txt": run.workdir / "kept.txt"})

    store = bench.store
    keeping = Keeping.model_validate(study.configuration()).at(Resolver(bench.folder, store))
    record = execute(keeping, store, Run(tmp_path / "work"))
    assert re_derive(record, store) == []
    path = store.folder(record) / "kept.txt"
    path.write_text("seed 7")
    artefacts = [a.model_dump() for a in record.artefacts]
    (place,) = [i for i, a in enumerate(artefacts) if a["name"] == "kept.txt"]
    artefacts[place] |= {"sha256": sha256_of_file(path), "size": path.stat().st_size}
    forged = resealed(store, record, artefacts=artefacts)
    assert store.verify(forged) == []
    assert {(f.code, f.name) for f in re_derive(forged, store)} == {("evidence.foreign", "kept.txt")}


def test_other_code_is_stale_until_it_is_reproduced(bench, coins) -> None:
    bench.write(CASE)
    assert run_case(bench.folder).checked.verdict.releasable
    (record,) = bench.store.list()
    assert made_by_this_code(record, bench.store)
    source = coins / "toulmin_rate.py"
    before = source.read_text()
    try:
        source.write_text(before + "# another rule\n")
        checked = bench.check()
        assert checked.verdict.exit_code is ExitCode.STALE
        assert any("made by other code than today's" in str(reason) for reason in checked.verdict.reasons)
        study = find_study("coins.rate").model_validate(record.configuration).at(Resolver(bench.folder, bench.store))
        assert find_current(study, bench.store) is None
        assert reproduce(record, bench.store, Run(bench.folder / "work"), Resolver(bench.folder, bench.store)) == []
        assert bench.check().verdict.releasable
        source.write_text(before + "# a third\n")
        assert run_case(bench.folder).ran[0].faults == ()  # running again settles it too
        assert bench.check().verdict.releasable
    finally:
        source.write_text(before)


def test_the_hash_of_code_covers_the_packages_it_imports_and_needs_no_tensors() -> None:
    program = (
        "import sys\nfrom pathlib import Path\nimport toulmin\nfrom toulmin.studies import code_hash, find_study\n"
        "from toulmin.studies.code import _files_of\n"
        "cls = find_study('paths.evaluate')\nassert len(code_hash(cls)) == 64\n"
        "print(sorted({f.relative_to(Path(toulmin.__file__).parent).parts[0] for f in _files_of(cls)}))\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "'patching'" in done.stdout
    assert "'subjects'" in done.stdout
    assert "'circuits'" not in done.stdout
    assert "'cli'" not in done.stdout


def test_weights_edited_in_place_with_the_time_put_back(bench, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("TOULMIN_CACHE", str(tmp_path / "cache"))
    big = bench.folder / "coin.txt"
    big.write_text("1.0" + " " * 100_000)
    bench.write(CASE)
    assert run_case(bench.folder).checked.verdict.releasable
    assert bench.check(trust_mtime=True).verdict.releasable
    status = big.stat()
    with big.open("r+") as file:
        file.write("0.9")
    os.utime(big, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert big.stat().st_mtime_ns == status.st_mtime_ns
    assert bench.check().verdict.exit_code is ExitCode.STALE
    assert bench.check(trust_mtime=True).verdict.exit_code is ExitCode.STALE  # the change time gives it away


def test_force_never_seals_new_numbers_under_an_old_input_hash(bench) -> None:
    """The input changes while the study reads it."""
    cls = find_study("coins.rate")

    class Slow(cls):  # type: ignore[misc, valid-type]
        def collect(self, run):
            (bench.folder / "coin.txt").write_text("0.5")
            return super().collect(run)

    study = Slow.model_validate({"coin": "file:coin.txt"}).at(Resolver(bench.folder, bench.store))
    with pytest.raises(FaultError, match=r"run\.input_changed.*file:coin\.txt") as caught:
        execute(study, bench.store, Run(bench.folder / "work"))
    assert caught.value.exit_code is ExitCode.EVIDENCE
    assert bench.store.ids() == []


def test_another_numpy_is_no_alarm_and_an_edit_is() -> None:
    record = {"value": 0.1 + 0.2, "n": 3, "text": "a", "rows": [[1.0, None, "x"]], "none": None, "yes": True}
    other = {**record, "value": 0.3, "rows": [[1.0 + 2e-16, None, "x"]]}
    assert same_values(record, other)
    for change in (
        {"value": 0.3 * (1 + 1e-8)},
        {"n": 4},
        {"text": "b"},
        {"rows": [[1.0, None, "y"]]},
        {"none": 0},
        {"yes": 1},
    ):
        assert not same_values(record, {**record, **change})
    assert not same_values({"n": 3}, {"n": 3.0})
    assert same_values(json.loads("1e-17"), 0.0)


def test_inputs_hash_is_of_roles_and_hashes() -> None:
    first = inputs_hash("k", 1, {}, [("a", "1"), ("b", "2")])
    assert first == inputs_hash("k", 1, {}, [("b", "2"), ("a", "1")])
    assert first != inputs_hash("k", 1, {}, [("a", "2"), ("b", "1")])


def test_a_text_with_a_line_separator_is_one_item(tmp_path) -> None:
    from toulmin.evidence import Items
    from toulmin.evidence.items import read_items, write_items

    write_items(Items(["a\u2028b", "c\x85d"], metadata={"note": "e\u2029f"}), tmp_path)
    again = read_items(Path(tmp_path))
    assert (list(again.units), again.metadata) == (["a\u2028b", "c\x85d"], {"note": "e\u2029f"})
