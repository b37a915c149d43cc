"""The study contract, on a package outside Toulmin: run, keep, re-derive, reproduce, go stale, be refused."""

from __future__ import annotations

import json
import math
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from toulmin.evidence import Store
from toulmin.faults import ExitCode, FaultError
from toulmin.studies import (
    Cost,
    Items,
    MeasureSpec,
    Pool,
    ProcessPool,
    Progress,
    Resolver,
    Run,
    execute,
    find_current,
    find_study,
    mean_over_seeds,
    parse_reference,
    re_derive,
    read_study,
    reproduce,
    study_kinds,
)

PACKAGE = Path(__file__).parent / "example_package"
CONFIG = 'study = "coins.bias"\n[configuration]\ntosses = "file:tosses.txt"\n'


@pytest.fixture
def outside(tmp_path, monkeypatch) -> Iterator[Path]:
    """The example package as an installer would leave it, and a folder with a study and its data."""
    site = tmp_path / "site"
    info = site / "toulmin_coins-0.1.dist-info"
    info.mkdir(parents=True)
    points = tomllib.loads((PACKAGE / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in kinds.items()) for group, kinds in points.items()]
    (info / "entry_points.txt").write_text("".join(lines))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toulmin-coins\nVersion: 0.1\n")
    (site / "toulmin_coins.py").write_text((PACKAGE / "toulmin_coins.py").read_text())
    sys.modules.pop("toulmin_coins", None)  # another test's package of that name
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("TOULMIN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "tosses.txt").write_text("H T H H T H T H H H\n" * 5)
    (tmp_path / "study.toml").write_text(CONFIG)
    yield tmp_path
    sys.modules.pop("toulmin_coins", None)


def test_a_kind_of_another_package_runs(outside) -> None:
    assert "coins.bias" in study_kinds()
    store = Store(outside / "store")
    study = read_study(outside / "study.toml", store)
    steps: list[int] = []

    class Counting(Progress):
        import contextlib

        @contextlib.contextmanager
        def task(self, description, total=None):
            yield steps.append

    assert find_current(study, store) is None
    kept = execute(study, store, Run(outside / "work", Counting()))
    assert len(steps) == 50
    assert kept.measures["heads"].value == 0.7
    assert kept.n == kept.measures["heads"].n == 50
    assert kept.inputs[0].reference == "file:tosses.txt"
    assert {a.name for a in kept.artefacts} == {"items.jsonl", "seen.txt"}
    assert find_current(study, store) == kept
    assert re_derive(kept, store) == []
    assert reproduce(kept, store, Run(outside / "work"), Resolver(outside, store)) == []
    assert not list((outside / "work").iterdir())  # work folders go once the evidence is kept
    # its artefact is an input of the next study
    reference = f"evidence:{kept.id[:8]}/seen.txt"
    assert Resolver(outside, store).fingerprint(reference)[0] == kept.artefacts[1].sha256


def test_changed_inputs_are_seen(outside) -> None:
    store = Store(outside / "store")
    study = read_study(outside / "study.toml", store)
    kept = execute(study, store, Run(outside / "work"))
    text = (outside / "tosses.txt").read_text()
    (outside / "tosses.txt").write_text(text.replace("H", "T", 1))
    assert find_current(study, store) is None
    faults = reproduce(kept, store, Run(outside / "work"), Resolver(outside, store))
    assert [(f.code, f.name) for f in faults] == [("evidence.stale", "file:tosses.txt")]


@pytest.mark.parametrize(
    ("cost", "said"),
    [
        (Cost(0.4), "about 1 s"),
        (Cost(89), "about 89 s"),
        (Cost(200), "about 3 min"),
        (Cost(9000, 512 << 20), "about 2 h, 0.5 GiB"),
    ],
)
def test_an_estimate_reads_in_its_unit(cost: Cost, said: str) -> None:
    assert str(cost) == said


def test_an_edited_item_does_not_re_derive_even_with_a_forged_hash(outside) -> None:
    """Whoever edits an item and also recomputes every hash is still found: the measures no longer follow."""
    from toulmin.evidence import Evidence, sha256_of_file
    from toulmin.evidence.record import seal

    store = Store(outside / "store")
    kept = execute(read_study(outside / "study.toml", store), store, Run(outside / "work"))
    folder = store.folder(kept)
    rows = (folder / "items.jsonl").read_text().splitlines(keepends=True)
    rows[1] = rows[1].replace("false", "true")
    (folder / "items.jsonl").write_text("".join(rows))
    assert {f.code for f in re_derive(kept, store)} == {"evidence.tampered"}
    size = (folder / "items.jsonl").stat().st_size
    artefacts = [a.model_dump() for a in kept.artefacts]
    artefacts[0] |= {"sha256": sha256_of_file(folder / "items.jsonl"), "size": size}
    forged = seal(Evidence.model_validate({**kept.model_dump(mode="json"), "artefacts": artefacts}))
    folder.rename(folder.parent / forged.id)
    (folder.parent / forged.id / "record.json").write_text(json.dumps(forged.model_dump(mode="json")))
    read = store.read(forged.id)
    assert store.verify(read) == []
    assert {f.name for f in re_derive(read, store)} == {"measure heads", "tables"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('study = "coin.bias"\n', [("study.unknown", 1)]),
        ("x = 1\n", [("study.no_kind", 0), ("study.unknown_key", 1)]),
        (CONFIG + "limt = 3\nlimit = 0\n", [("study.configuration", 4), ("study.configuration", 5)]),
        (CONFIG.replace("[conf", 'preset = "big"\n[conf'), [("study.unknown_preset", 2)]),
        ('study = "coins.bias"\n[configuration]\n', [("study.configuration", 2)]),
    ],
)
def test_every_fault_of_a_configuration_has_its_line(outside, text: str, expected) -> None:
    (outside / "bad.toml").write_text(text)
    with pytest.raises(FaultError) as caught:
        read_study(outside / "bad.toml")
    assert sorted((f.code, f.line or 0) for f in caught.value.faults) == expected
    assert caught.value.exit_code is ExitCode.INVALID


def test_nan_is_refused_and_nothing_is_kept(outside) -> None:
    (outside / "study.toml").write_text(CONFIG + "poison = true\n")
    store = Store(outside / "store")
    with pytest.raises(FaultError, match=r"finite") as caught:
        execute(read_study(outside / "study.toml", store), store, Run(outside / "work"))
    assert caught.value.exit_code is ExitCode.NUMERICAL
    assert store.ids() == []


def test_undeclared_measures_are_refused(outside, monkeypatch) -> None:
    cls = find_study("coins.bias")
    monkeypatch.setattr(cls, "measures", {})
    with pytest.raises(FaultError, match=r"undeclared_measure.*heads"):
        execute(read_study(outside / "study.toml"), Store(outside / "s"), Run(outside / "w"))


@pytest.mark.parametrize(
    "text",
    ["nothing", "ftp:x", "embedded:", "embedded:../x", "evidence:xyz/a", "evidence:abcdef", "evidence:abcdef/../x"],
)
def test_malformed_references(text: str) -> None:
    with pytest.raises(FaultError, match=r"reference\.malformed"):
        parse_reference(text)


@pytest.mark.parametrize("text", ["embedded:no-such", "file:absent", "dir:absent", "evidence:abcdef012/a"])
def test_references_to_nothing(tmp_path, text: str) -> None:
    with pytest.raises(FaultError, match="not_found") as caught:
        Resolver(tmp_path, Store(tmp_path)).fingerprint(text)
    assert caught.value.exit_code in (ExitCode.SUBJECT, ExitCode.INVALID)


def test_references_round_trip() -> None:
    for text in ("embedded:a", "hf:gpt2@main", "hf:a/b", "dir:/x y", "file:a.toml", "evidence:abcdef01/d/e.bin"):
        assert str(parse_reference(text)) == text


def test_fingerprints_are_cached_by_identity_of_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TOULMIN_CACHE", str(tmp_path / "cache"))
    big = tmp_path / "big.bin"
    big.write_bytes(b"a" * 200_000)
    first = Resolver(tmp_path, trust_mtime=True).fingerprint("file:big.bin")[0]
    cache = tmp_path / "cache" / "toulmin" / "fingerprints.json"
    assert first in cache.read_text()
    cache.write_text(cache.read_text().replace(first, "0" * 64))
    assert Resolver(tmp_path, trust_mtime=True).fingerprint("file:big.bin")[0] == "0" * 64  # told to trust the cache
    assert Resolver(tmp_path).fingerprint("file:big.bin")[0] == first  # by default it reads the bytes
    big.write_bytes(b"b" * 200_001)
    assert Resolver(tmp_path, trust_mtime=True).fingerprint("file:big.bin")[0] not in (first, "0" * 64)


def test_pools_keep_order() -> None:
    # a function of the standard library: another process must be able to import it
    assert list(Pool().map(math.factorial, range(5))) == [1, 1, 2, 6, 24]
    pool = ProcessPool(2)
    assert list(pool.map(math.factorial, range(5))) == [1, 1, 2, 6, 24]
    with pool.kept():  # the same processes from one call to the next
        started = []
        for _ in range(2):
            assert list(pool.map(math.factorial, [4, 0])) == [24, 1]
            assert pool._executor is not None
            started.append(set(pool._executor._processes))
        assert started[0] <= started[1]
        assert len(started[1]) <= 2
    assert pool._executor is None


def test_rows_of_seeds_have_students_interval_or_nothing():
    mean, low, high = mean_over_seeds([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert (low, high) == pytest.approx((2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5), abs=1e-6)
    assert mean_over_seeds([1.5]) == (1.5, None, None)


@pytest.mark.parametrize(("low", "high", "exact"), [(0.0, 1.0, True), (-1.0, 1.0, True), (None, None, False)])
def test_only_a_declared_share_or_difference_has_an_exact_interval(outside, low, high, exact, monkeypatch):
    study = find_study("coins.bias").model_validate({"tosses": "file:tosses.txt"})
    spec = MeasureSpec("1", "higher", "a mean", low, high)
    monkeypatch.setattr(type(study), "measures", {"mean": spec})
    made = study.measure("mean", np.zeros(20), Items([str(i) for i in range(20)], {"mean": np.zeros(20)}))
    assert (made.interval is not None) == exact
    if made.interval:
        assert (made.interval.low < 0) == (low == -1.0)
