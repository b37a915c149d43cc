"""The readers of evidence from outside under mutations of good files: items that can be kept, or faults.

``make fuzz`` gives the last test its time in TOULMIN_FUZZ_SECONDS.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import time
import zlib
from importlib.util import find_spec
from pathlib import Path

import pytest

from toulmin.evidence import Store
from toulmin.external import ControlEvaluation, InspectEvaluation, JsonUnits, JUnitReport
from toulmin.faults import FaultError
from toulmin.studies import Resolver, Run, Study, execute, re_derive

SHA = "ab" * 32
LOG = {
    "version": 2,
    "status": "success",
    "eval": {
        "model": "m",
        "task": "t",
        "dataset": {"samples": 3, "sample_ids": ["a", "b", 3]},
        "config": {"epochs": 2},
        "metadata": {"model_sha256": SHA},
    },
    "results": {"total_samples": 6, "scores": [{"name": "s", "metrics": {"accuracy": {"value": 0.5}}}]},
    "samples": [
        {"id": identifier, "epoch": epoch, "error": None, "scores": {"s": {"value": "CI"[epoch - 1]}}}
        for identifier in ("a", "b", 3)
        for epoch in (1, 2)
    ],
}
JUNIT = (
    '<?xml version="1.0"?><testsuites failures="1" errors="0" skipped="1"><testsuite>'
    '<testcase classname="c" name="one"/><testcase classname="c" name="one"/>'
    '<testcase classname="c" name="two"><failure message="no">x</failure></testcase>'
    '<testcase name="three"><skipped/></testcase></testsuite></testsuites>'
)
UNITS = {"units": [{"id": f"u{i}", "value": i / 7, "cluster": f"c{i % 3}"} for i in range(8)]}
SCORES = "\n".join(
    json.dumps({"id": f"{label}{i}", "label": label, "suspicion": i / 9, **({"succeeds": i > 2} if more else {})})
    for label, more in (("honest", False), ("attack", True))
    for i in range(6)
)
SCRAPS = [
    b"1e999", b"NaN", b"-Infinity", b"9" * 400, b"9" * 5000, b"1000000000000", b"-1", b"0", b"true", b"null", b"[]",
    b"{}", b'""', b'"\\ud800"', b'"\\u0000"', b"[" * 2000, b"<", b"</", b"&", b"&#0;", b"<!DOCTYPE x>", b"]]>",
    b'"a"', b"\x00", b"\xff\xfe", b"PK\x03\x04", b"PK\x05\x06", b'"C"', b'"epoch": 2', b'"samples"', b"testcase",
]  # fmt: skip


def pack_log(members: dict[str, bytes], method: int) -> bytes:
    """A .eval by hand, as Inspect lays it out: stored, deflated, or Zstandard."""
    body, directory = b"", b""
    for name, plain in members.items():
        packed = plain
        if method == 8:
            packer = zlib.compressobj(wbits=-15)
            packed = packer.compress(plain) + packer.flush()
        elif method == 93:
            import zstandard

            packed = zstandard.compress(plain)
        fields = struct.pack(
            "<HHHHHIIIHH", 20, 0, method, 0, 0, zlib.crc32(plain), len(packed), len(plain), len(name), 0
        )
        place = struct.pack("<HHHII", 0, 0, 0, 0, len(body))
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + fields + place + name.encode()
        body += b"PK\x03\x04" + fields + name.encode() + packed
    end = struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def members_of_log() -> dict[str, bytes]:
    header = {key: value for key, value in LOG.items() if key != "samples"}
    samples = {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in LOG["samples"]}
    return {name: json.dumps(value).encode() for name, value in {"header.json": header, **samples}.items()}


def mutate(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.randint(1, 5)):
        place, action = rng.randrange(len(changed) + 1), rng.randrange(5)
        if action == 0:
            changed[place:place] = rng.choice(SCRAPS)
        elif action == 1:
            del changed[place : place + rng.randint(1, 30)]
        elif action == 2 and place < len(changed):
            changed[place] = rng.randrange(256)
        elif action == 3:
            start = rng.randrange(len(changed) + 1)
            changed[place:place] = changed[start : start + rng.randint(1, 90)]
        else:  # a whole value of JSON, or a word of XML
            begin = max(changed.rfind(b" ", 0, place), changed.rfind(b":", 0, place))
            end = min((i for i in (changed.find(b, place) for b in (b",", b"}", b" ")) if i >= 0), default=place)
            changed[begin + 1 : end] = rng.choice(SCRAPS)
    return bytes(changed)


def draw(rng: random.Random) -> tuple[str, bytes, Study]:
    """A file name, its content, and the study that reads it."""
    kind = rng.randrange(6)
    options = {"better": rng.choice(["higher", "lower"]), "scorer": rng.choice([None, "s"])}
    if kind == 0:
        return "log.json", mutate(json.dumps(LOG).encode(), rng), InspectEvaluation(log="file:log.json", **options)
    if kind in (1, 2):
        study = InspectEvaluation(log="file:log.eval", **options)
        members = members_of_log()
        method = rng.choice([0, 8, 93] if find_spec("zstandard") else [0, 8])
        if kind == 1:
            return "log.eval", mutate(pack_log(members, method), rng), study
        name = rng.choice(list(members))
        members[name] = mutate(members[name], rng)
        return "log.eval", pack_log(members, method), study
    if kind == 3:
        declared = ("::three",) if rng.random() < 0.5 else ()
        return "j.xml", mutate(JUNIT.encode(), rng), JUnitReport(report="file:j.xml", declared_skipped=declared)
    if kind == 4:
        return "u.json", mutate(json.dumps(UNITS).encode(), rng), JsonUnits(report="file:u.json")
    return "s.jsonl", mutate(SCORES.encode(), rng), ControlEvaluation(scores="file:s.jsonl", audit_budget=0.2)


def survives(folder: Path, seed: int) -> bool:
    """One mutated file: read, summarised and kept, or refused with faults; whether it was read."""
    rng = random.Random(seed)
    name, data, study = draw(rng)
    (folder / name).write_bytes(data)
    (folder / "log.eval.model.json").unlink(missing_ok=True)
    shutil.rmtree(folder / "store", ignore_errors=True)
    if rng.random() < 0.1:
        (folder / "log.eval.model.json").write_bytes(mutate(json.dumps({"sha256": SHA}).encode(), rng))
    start = time.monotonic()
    kept, refused = None, FaultError([])
    try:
        store = Store(folder / "store")
        kept = execute(study.at(Resolver(folder)), store, Run(folder / "work"))
        assert re_derive(kept, store) == []
    except FaultError as faulty:
        refused = faulty
    assert (kept is None) == bool(refused.faults)
    assert all(str(fault).encode("utf-8", "backslashreplace") for fault in refused.faults)
    assert time.monotonic() - start < 60
    return kept is not None


def _log(**changes: object) -> str:
    return json.dumps({**LOG, **changes})


def _inspect(**changes: object) -> tuple[str, str, Study]:
    return "log.json", _log(**changes), InspectEvaluation(log="file:log.json")


def _units(value: str) -> tuple[str, str, Study]:
    return "u.json", f'{{"units": [{{"id": {value}, "value": 1}}]}}', JsonUnits(report="file:u.json")


def _value(value: str) -> tuple[str, str, Study]:
    return "u.json", f'{{"units": [{{"id": "a", "value": {value}}}]}}', JsonUnits(report="file:u.json")


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (_inspect(eval={**LOG["eval"], "config": {"epochs": 10**9}}), "too_large"),
        (_inspect(results={"total_samples": 10**12}), "too_large"),
        (_inspect(results={"scores": [{"name": "s", "metrics": {"mean": {"value": 10**400}}}]}), "header"),
        (_inspect(results={"scores": [{"name": "s", "metrics": {"mean": {"value": float("nan")}}}]}), "header"),
        (_inspect(version=True), "version"),
        (_inspect(samples=[{"id": "a", "epoch": True, "scores": {}}]), "malformed"),
        (_units('"\\ud800"'), "encoding"),
        (_value("9" * 400), "json.unit"),
        (_value("1e999"), "json.not_finite"),
    ],
)
def test_each_of_these_is_refused(tmp_path, given: tuple[str, str, Study], code: str) -> None:
    name, text, study = given
    (tmp_path / name).write_text(text)
    with pytest.raises(FaultError, match=code):
        execute(study.at(Resolver(tmp_path)), Store(tmp_path / "store"), Run(tmp_path / "work"))


def test_a_score_or_epochs_of_no_sense_is_as_if_it_were_not_there(tmp_path) -> None:
    config = {**LOG["eval"], "config": {"epochs": True}}
    samples = [{"id": i, "epoch": 1, "scores": {"s": {"value": v}}} for i, v in (("a", "C"), ("b", 10**400), (3, "C"))]
    (tmp_path / "log.json").write_text(_log(eval=config, results={}, samples=samples))
    study = InspectEvaluation(log="file:log.json").at(Resolver(tmp_path))
    kept = execute(study, Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert kept.measures["score"].value == pytest.approx(2 / 3)  # what is not a number counts against the claim
    assert kept.measures["missing"].value == 1


def test_a_hundred_thousand_tests_of_one_name_are_counted_at_once(tmp_path) -> None:
    (tmp_path / "j.xml").write_text("<testsuite>" + '<testcase name="a"/>' * 100_000 + "</testsuite>")
    start = time.process_time()
    assert JUnitReport(report="file:j.xml").at(Resolver(tmp_path)).collect(Run(tmp_path)).n == 1
    assert time.process_time() - start < 30  # minutes, when each name was tried again and again


def test_mutations_of_good_files(tmp_path) -> None:
    read = [survives(tmp_path, seed) for seed in range(200)]
    assert 0 < sum(read) < len(read)


@pytest.mark.fuzz
def test_readers_of_outside_evidence_for_as_long_as_asked(tmp_path) -> None:
    """TOULMIN_FUZZ_SECONDS of CPU time says how long, TOULMIN_FUZZ_SEED where to begin."""
    first = seed = int(os.environ.get("TOULMIN_FUZZ_SEED", "0")) * 1_000_000
    end = time.process_time() + float(os.environ.get("TOULMIN_FUZZ_SECONDS", "30")) / 2
    while time.process_time() < end:
        try:
            survives(tmp_path, seed)
        except BaseException:
            print(f"seed {seed}")
            raise
        seed += 1
    print(f"{seed - first} inputs")
    assert seed - first > 20
