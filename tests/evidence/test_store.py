"""The store loses nothing, and finds what was changed."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import numpy as np
import pytest

from toulmin.evidence import Evidence, Items, Measure, Store, Table, bootstrap_mean, inputs_hash, study_hash
from toulmin.evidence.items import read_items, write_items
from toulmin.faults import ExitCode, FaultError

VALUES = np.array([1.0, 0.0, 1.0, 0.25])


def draft(note: str = "a") -> Evidence:
    configuration = {"note": note}
    return Evidence(
        kind="test.kind",
        version=1,
        configuration=configuration,
        inputs=(),
        study_hash=study_hash("test.kind", configuration),
        inputs_hash=inputs_hash("test.kind", 1, configuration, []),
        measures={"mean": Measure(value=0.5625, unit="1", n=4, interval=bootstrap_mean(VALUES))},
        tables=(Table(title="t", columns=("a", "b"), rows=(("x", 1.5),)),),
        n=1,
        created="2026-01-01T00:00:00+00:00",
    )


def items() -> Items:
    return Items(
        [f"u{i}" for i in range(4)],
        {"value": VALUES, "name": np.array(["a", "b", "c", "d"]), "curve": np.arange(12.0).reshape(4, 3)},
        clusters=["c0", "c0", "c1", "c1"],
        arrays={"grid": np.eye(2, dtype=np.float32)},
    )


def test_items_round_trip(tmp_path) -> None:
    before = items()
    write_items(before, tmp_path)
    after = read_items(tmp_path)
    assert list(after.units) == list(before.units)
    assert list(after.clusters or ()) == list(before.clusters or ())
    for name in ("value", "name", "curve", "grid"):
        np.testing.assert_array_equal(after[name], before[name])
        assert after[name].dtype == before[name].dtype


def test_what_is_collected_has_the_order_of_what_is_stored(tmp_path) -> None:
    columns = {"b": np.array([1.0, 2.0]), "a": np.array([3.0, 4.0])}
    arrays = {"z": np.zeros(2), "y": np.ones(2)}
    items = Items(["u", "v"], columns, arrays=arrays, metadata={"q": {"d": (1, 2), "c": 3}, "p": 4})
    write_items(items, tmp_path)
    stored = read_items(tmp_path)
    for before, after in ((items.columns, stored.columns), (items.arrays, stored.arrays)):
        assert list(before) == list(after) == sorted(after)
    assert json.dumps(items.metadata) == json.dumps(stored.metadata) == '{"p": 4, "q": {"c": 3, "d": [1, 2]}}'


@pytest.mark.parametrize(("value", "code"), [(float("nan"), "items.not_finite"), ({1, 2}, "items.metadata")])
def test_metadata_that_cannot_be_kept_are_a_fault(value: object, code: str) -> None:
    with pytest.raises(FaultError) as caught:
        Items(["u"], metadata={"q": value})
    assert [(fault.code, fault.name) for fault in caught.value.faults] == [(code, "metadata")]


def test_items_refuse_what_is_not_evidence() -> None:
    with pytest.raises(FaultError, match=r"items\.not_finite.*\[value\].*\[1\]") as caught:
        Items(["a", "b"], {"value": np.array([0.0, np.nan])})
    assert caught.value.exit_code is ExitCode.NUMERICAL
    with pytest.raises(FaultError, match=r"items\.duplicate_unit.*\[a\]"):
        Items(["a", "a"], {})
    with pytest.raises(FaultError, match=r"items\.length"):
        Items(["a"], {"value": np.zeros(2)})


def test_equal_contents_count_once_together() -> None:
    none = Items(["a", "b"], {"value": np.array([1.0, 2.0])})
    assert (none.repeats, none.weights, none.n) == (0, None, 2)
    assert none.distinct() is none
    different = Items(["a", "b"], {"value": np.array([1, 2])}, contents=["x", "y"])
    assert (different.repeats, different.weights, different.n) == (0, None, 2)
    assert different.distinct() is different  # its whole numbers stay whole
    columns = {"value": np.array([1.0, 2.0, 4.0]), "name": np.array(["p", "q", "r"])}
    repeated = Items(["a", "b", "c"], columns, contents=["x", "y", "x"])
    assert (repeated.repeats, repeated.n) == (1, 2)
    assert repeated.weights is not None
    assert repeated.weights.tolist() == [0.5, 1.0, 0.5]
    once = repeated.distinct()
    assert (list(once.units), list(once.contents or ())) == (["a", "b"], ["x", "y"])
    assert once["value"].tolist() == [2.5, 2.0]
    assert once["name"].tolist() == ["p", "q"]


def test_tensors_that_cannot_be_written_are_an_error_of_the_disk(tmp_path) -> None:
    (tmp_path / "items.safetensors").mkdir()
    with pytest.raises(OSError, match="directory") as caught:
        write_items(items(), tmp_path)
    assert caught.value.errno == errno.EIO


def test_a_note_makes_the_store_that_is_not_there_yet(tmp_path) -> None:
    store = Store(tmp_path / "a" / "store")
    first, second = store.note("checked", of="x"), store.note("checked", of="x")
    assert first != second  # a line is bound to the one before it
    assert store.ledger().head == second
    assert store.audit() == []


def test_written_is_read(tmp_path) -> None:
    store = Store(tmp_path / "store")
    kept = store.write(draft(), items())
    assert store.ids() == [kept.id]
    assert store.read(kept.id[:10]) == kept
    assert kept.n == 2  # four units in two clusters
    assert store.verify(kept) == []
    assert store.find(kept.study_hash) == [kept]
    assert store.write(draft(), items()) == kept  # the same bytes have the same name
    assert store.ids() == [kept.id]
    other = store.write(draft("b"), items())
    assert len(list(store.list())) == 2
    with pytest.raises(FaultError, match=r"evidence\.not_found"):
        store.read("ffffffff")
    assert other.inputs_hash != kept.inputs_hash


def test_every_change_is_found(tmp_path) -> None:
    store = Store(tmp_path)
    kept = store.write(draft(), items())
    folder = store.folder(kept)
    record, rows = folder / "record.json", folder / "items.jsonl"

    whole = record.read_bytes()
    record.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FaultError, match=r"evidence\.malformed") as caught:
        store.read(kept.id)
    assert caught.value.exit_code is ExitCode.EVIDENCE
    record.write_bytes(whole.replace(b"0.5625", b"0.9625", 1))
    with pytest.raises(FaultError, match=r"evidence\.tampered") as caught:
        store.read(kept.id)
    assert caught.value.exit_code is ExitCode.EVIDENCE
    record.write_bytes(whole)

    lines = rows.read_text().splitlines(keepends=True)
    row = json.loads(lines[1])
    row["values"]["value"] = 1.0
    rows.write_text(lines[0] + json.dumps(row) + "\n" + "".join(lines[2:]))
    assert [fault.code for fault in store.verify(kept)] == ["evidence.tampered"]
    with pytest.raises(FaultError, match=r"evidence\.tampered.*items\.jsonl"):
        store.items(kept)
    rows.unlink()
    (folder / "extra.bin").write_bytes(b"x")
    assert {fault.code for fault in store.verify(kept)} == {"evidence.missing_file", "evidence.stray_file"}


def test_a_file_name_cannot_leave_the_folder(tmp_path) -> None:
    (tmp_path / "f").write_text("x")
    for name in ("../f", "/f", "a/../../f", ".hidden"):
        with pytest.raises(ValueError, match="pattern"):
            Store(tmp_path / "s").write(draft(), Items(["a"], files={name: tmp_path / "f"}))
    assert Store(tmp_path / "s").ids() == []


WRITER = """
import sys
sys.path.insert(0, sys.argv[3])
from test_store_writer import draft, items
from toulmin.evidence import Store
store = Store(sys.argv[1])
for i in range(25):
    store.write(draft(f"{sys.argv[2]}-{i}"), items())
    store.write(draft(f"both-{i}"), items())
"""


def test_two_writers_lose_nothing(tmp_path) -> None:
    from pathlib import Path

    (tmp_path / "test_store_writer.py").write_text(Path(__file__).read_text())
    (tmp_path / "writer.py").write_text(WRITER)
    command = [sys.executable, str(tmp_path / "writer.py"), str(tmp_path / "store")]
    running = [subprocess.Popen([*command, name, str(tmp_path)], stderr=subprocess.PIPE) for name in ("a", "b")]
    for process in running:
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors.decode()
    store = Store(tmp_path / "store")
    notes = sorted(str(e.configuration["note"]) for e in store.list() if isinstance(e, Evidence))
    assert notes == sorted([f"{w}-{i}" for w in ("a", "b", "both") for i in range(25)])
    assert all(store.verify(e) == [] for e in store.list() if isinstance(e, Evidence))
    assert not [path for path in (tmp_path / "store" / "records").iterdir() if path.name.startswith(".")]
