"""Issue 12, section 2: runs at the same time share nothing. Two and four runs of every kind of study."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from toulmin.evidence import Evidence, Store
from toulmin.evidence.disk import locked, try_lock
from toulmin.faults import FaultError
from toulmin.studies import find_study, re_derive, study_kinds
from toulmin.studies.workspace import workspace

RUN = """
import sys
import time
from pathlib import Path
from toulmin.evidence import Store
from toulmin.studies import Resolver, Run, execute, find_study
kind, folder, seed = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
store = Store(folder / "store")
study = find_study(kind).preset("tiny").at(Resolver(folder, store))
(folder / f"ready-{seed}-{sys.argv[4]}").touch()
while len(list(folder.glob("ready-*"))) < int(sys.argv[5]):
    time.sleep(0.005)
print(execute(study, store, Run(folder / "store" / "work", seed=seed)).id)
"""
INPUTS = {  # what the tiny settings of studies of files read
    "units.json": '{"units": [' + ", ".join(f'{{"id": "u{i}", "value": {i % 2}}}' for i in range(20)) + "]}",
}


def run_together(kind: str, folder: Path, seeds: list[int]) -> list[Evidence]:
    folder.mkdir(exist_ok=True)
    for name, text in INPUTS.items():
        (folder / name).write_text(text)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, kind, str(folder), str(seed), str(number), str(len(seeds))],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number, seed in enumerate(seeds)
    ]
    answers = [process.communicate(timeout=500) for process in running]
    for process, (_, errors) in zip(running, answers, strict=True):
        assert process.returncode == 0, errors
    store = Store(folder / "store")
    records = [store.read(said.strip()) for said, _ in answers]
    assert store.audit() == []
    assert [path for path in (folder / "store" / "work").iterdir()] == []
    for record, seed in zip(records, seeds, strict=True):
        assert record.seeds == (seed,)
        assert re_derive(record, store) == []
    return records


def files_of(record: Evidence) -> dict[str, str]:
    return {a.name: a.sha256 for a in record.artefacts}


ALL = study_kinds()  # before other tests install studies of their own
KINDS = [kind for kind in ALL if "tiny" in find_study(kind).presets]


def test_every_kind_of_study_is_run_together() -> None:
    """Kinds without a tiny setting read a file that somebody else wrote."""
    assert {kind.partition(".")[0] for kind in set(ALL) - set(KINDS)} <= {"external"}


@pytest.mark.parametrize("kind", ["tasks.behaviour", "circuits.discover"])
def test_two_runs_of_one_study_at_once(tmp_path, kind: str) -> None:
    first, second = run_together(kind, tmp_path / "a", [0, 0])
    assert files_of(first) == files_of(second)
    assert {name: m.value for name, m in first.measures.items()} == {n: m.value for n, m in second.measures.items()}


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_two_and_four_runs_of_every_study_at_once(tmp_path, kind: str) -> None:
    """Two seeds, each in two processes: what each seed leaves is what it leaves when it runs alone."""
    alone = {seed: run_together(kind, tmp_path / f"alone-{seed}", [seed])[0] for seed in (0, 1)}
    for name, seeds in (("two", [0, 1]), ("four", [0, 0, 1, 1])):
        for record in run_together(kind, tmp_path / name, seeds):
            assert files_of(record) == files_of(alone[record.seeds[0]])


def test_two_seeds_at_once_keep_their_own_circuits(tmp_path) -> None:
    """One sealed the other's circuit into its record."""
    alone = [run_together("circuits.discover", tmp_path / f"alone-{s}", [s])[0] for s in (0, 1)]
    together = run_together("circuits.discover", tmp_path / "both", [0, 1])
    for one, other in zip(alone, together, strict=True):
        assert files_of(one)["circuit.json"] == files_of(other)["circuit.json"]


KILLED = """
import os, signal, sys
from pathlib import Path
from toulmin.studies.workspace import workspace
with workspace(Path(sys.argv[1]), "question") as folder:
    (folder / "half-done").write_text("1")
    print(folder.name, flush=True)
    if sys.argv[2] == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()
"""


def start(root: Path, what: str) -> tuple[subprocess.Popen[str], str]:
    command = [sys.executable, "-c", KILLED, str(root), what]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_a_killed_run_is_taken_up_again_and_others_left_by_killed_runs_go(tmp_path) -> None:
    living, first = start(tmp_path, "wait")
    killed, second = start(tmp_path, "kill")
    killed.communicate()
    assert killed.returncode != 0
    assert first != second  # never one folder for two processes
    assert (tmp_path / second / "half-done").exists()
    living.communicate("\n")
    assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [second]
    with workspace(tmp_path, "question") as folder:  # takes the free first folder, and removes what was left
        assert [p.name for p in tmp_path.iterdir() if not p.name.startswith(".")] == [folder.name]
    killed, name = start(tmp_path, "kill")
    killed.communicate()
    assert killed.returncode != 0
    with workspace(tmp_path, "question") as folder:
        assert folder.name == name
        assert (folder / "half-done").read_text() == "1"  # what was checkpointed is there
    assert list(tmp_path.iterdir()) == []


def test_a_failed_run_keeps_its_folder(tmp_path) -> None:
    with pytest.raises(FileExistsError), workspace(tmp_path, "question") as folder:
        [(folder / "checkpoint").mkdir() for _ in range(2)]
    with workspace(tmp_path, "question") as again:
        assert (again / "checkpoint").exists()


def test_locks(tmp_path) -> None:
    held = try_lock(tmp_path / "lock")
    assert held is not None
    assert try_lock(tmp_path / "lock") is None
    started = time.monotonic()
    with pytest.raises(FaultError, match=r"lock\.held"), locked(tmp_path / "lock", wait=0.05):
        raise AssertionError
    assert time.monotonic() - started < 5
    held.release(remove=True)
    assert list(tmp_path.iterdir()) == []
    with locked(tmp_path / "a" / "lock", remove=True):
        assert try_lock(tmp_path / "a" / "lock") is None
    assert json.dumps([p.name for p in (tmp_path / "a").iterdir()]) == "[]"
