"""Issue 12, section 2: a full or read-only disk and exhausted memory end with a message and a documented status."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from toulmin.case import run_case
from toulmin.faults import ExitCode

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
configuration = { coin = "file:coin.txt", n = 2000 }
criterion = "rate.low >= 0.9"
"""


def limited(which: int, limit: int) -> Callable[[], None]:
    def set_limit() -> None:
        resource.setrlimit(which, (limit, limit))

    return set_limit


def toulmin(coins: Path, *arguments: object, before: Callable[[], None] | None = None) -> tuple[int, str]:
    program = f"import sys; sys.path.insert(0, {str(coins)!r}); from toulmin.cli import main; main()"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
        env=environment,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def leftovers(folder: Path) -> list[str]:
    names = (".writing-", ".lock-", ".case.lock")
    return [str(p) for p in folder.rglob(".*") if p.name.startswith(names)]


@pytest.fixture
def case(bench):
    bench.write(CASE)
    (bench.folder / "study.toml").write_text(
        'study = "coins.rate"\n[configuration]\ncoin = "file:coin.txt"\nn = 2000\n'
    )
    return bench


@pytest.mark.parametrize("limit", [100, 2_000, 60_000])
def test_the_disk_is_full(case, coins, limit: int) -> None:
    """No file may grow beyond ``limit`` bytes: the ledger, the lock, the record or its items fail."""
    store = case.folder / ".toulmin"
    full = limited(resource.RLIMIT_FSIZE, limit)
    status, errors = toulmin(coins, "run", case.folder / "study.toml", "--store", store, before=full)
    assert status == int(ExitCode.EVIDENCE), errors
    assert "store.unwritable" in errors
    status, errors = toulmin(coins, "case", "run", case.folder, before=full)
    assert status == int(ExitCode.EVIDENCE) or (status == 1 and "store.unwritable" in errors), errors
    assert case.store.ids() == []
    assert case.store.audit() == []
    assert leftovers(case.folder) == []
    # with space again, what failed is run and nothing stands in its way
    assert run_case(case.folder).checked.verdict.releasable


def test_the_disk_is_full_while_a_lock_is_written(case, coins) -> None:
    assert run_case(case.folder).checked.verdict.releasable
    lock = (case.folder / "case.lock").read_bytes()
    size = (case.folder / ".toulmin/ledger.jsonl").stat().st_size
    full = limited(resource.RLIMIT_FSIZE, size + 100)
    status, errors = toulmin(coins, "case", "accept", case.folder, "--by", "Ann", "--why", "x" * 5000, before=full)
    assert status == int(ExitCode.EVIDENCE), errors
    assert "store.unwritable" in errors
    assert (case.folder / "case.lock").read_bytes() == lock
    assert leftovers(case.folder) == []
    assert case.check().verdict.releasable


def small_disk(folder: Path) -> bool:
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48k", "tmpfs", str(folder)], capture_output=True, check=False
    )
    return done.returncode == 0


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_a_disk_that_is_really_full_and_then_read_only(case, coins) -> None:
    store = case.folder / "disk"
    store.mkdir()
    if not small_disk(store):
        pytest.skip("this machine does not let us mount a small disk")
    try:
        status, errors = toulmin(coins, "run", case.folder / "study.toml", "--store", store)
        assert status == int(ExitCode.EVIDENCE), errors
        assert "No space left on device" in errors
        assert case.folder.joinpath("disk/records").is_dir()
        assert leftovers(store) == []
        subprocess.run(["mount", "-o", "remount,ro", str(store)], check=True)
        status, errors = toulmin(coins, "run", case.folder / "study.toml", "--store", store)
        assert status == int(ExitCode.EVIDENCE), errors
        assert "Read-only file system" in errors
    finally:
        subprocess.run(["umount", str(store)], check=True)


def test_memory_is_exhausted(case, coins) -> None:
    """A study that wants more memory than there is: exit 8 and a message."""
    path = case.folder / "large.toml"
    path.write_text('study = "coins.rate"\n[configuration]\ncoin = "file:coin.txt"\nn = 100_000_000_000\n')
    enough_to_start = limited(resource.RLIMIT_AS, 6 * 1024**3)
    status, errors = toulmin(coins, "run", path, "--store", case.folder / ".toulmin", before=enough_to_start)
    assert status == int(ExitCode.LIMIT), errors
    assert "memory" in errors
    assert case.store.ids() == []
    assert leftovers(case.folder) == []


def test_a_worker_is_killed(tmp_path) -> None:
    """The kernel kills a worker for its memory: a fault with exit 8, not a broken pool."""
    from toulmin.faults import FaultError
    from toulmin.studies import ProcessPool

    with pytest.raises(FaultError, match=r"run\.worker_died") as caught:
        list(ProcessPool(1).map(os._exit, [9]))
    assert caught.value.exit_code is ExitCode.LIMIT
