"""Inspect logs written by Inspect itself: accepted when sound, refused with the right reason when not."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import pytest

from toulmin.evidence import Store, clopper_pearson
from toulmin.external import InspectEvaluation, read_inspect_log
from toulmin.faults import ExitCode, FaultError
from toulmin.studies import Resolver, Run, execute, re_derive

WEIGHTS = "ab" * 32
RIGHT = [True, True, False, True, True, True, False, True, True, True, True, True]


def _write_log(
    folder: Path,
    *,
    fail: bool = False,
    epochs: int = 1,
    identified: bool = True,
    form: Literal["eval", "json"] = "eval",
) -> Path:
    """Run a real evaluation (a solver that answers from the sample's metadata: no model is called)."""
    from inspect_ai import Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import match
    from inspect_ai.solver import solver

    @solver
    def answer():
        async def solve(state, generate):
            if fail and state.sample_id == "s3":
                raise ValueError("planted")
            state.output = ModelOutput.from_content("mockllm/model", "yes" if state.metadata["right"] else "no")
            return state

        return solve

    samples = [Sample(id=f"s{i}", input=f"{i}?", target="yes", metadata={"right": r}) for i, r in enumerate(RIGHT)]
    metadata = {"model_sha256": WEIGHTS} if identified else {}
    task = Task(dataset=samples, solver=answer(), scorer=match(), epochs=epochs, metadata=metadata)
    (log,) = eval(task, model="mockllm/model", log_dir=str(folder), display="none", log_format=form)
    return Path(log.location)


@pytest.fixture(scope="module")
def logs(tmp_path_factory) -> dict[str, Path]:
    pytest.importorskip("inspect_ai")
    import warnings

    made: dict[str, Path] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the other library
        for name, options in {
            "eval": {"epochs": 2},
            "json": {"epochs": 2, "form": "json"},
            "failed": {"fail": True},
            "anonymous": {"identified": False},
        }.items():
            # in a thread of its own: the session's browser runs an event loop in this one
            with ThreadPoolExecutor(1) as thread:
                made[name] = thread.submit(_write_log, tmp_path_factory.mktemp(name), **options).result()
    return made


def _study(path: Path, **options) -> InspectEvaluation:
    configuration = {"log": f"file:{path.name}", **options}
    return InspectEvaluation.model_validate(configuration).at(Resolver(path.parent))


def _run(path: Path, tmp_path: Path, **options):
    store = Store(tmp_path / "store")
    kept = execute(_study(path, **options), store, Run(tmp_path / "work"))
    assert re_derive(kept, store) == []
    return kept


def _refused(path: Path, tmp_path: Path, **options) -> list[str]:
    with pytest.raises(FaultError) as caught:
        execute(_study(path, **options), Store(tmp_path / "store"), Run(tmp_path / "work"))
    assert caught.value.exit_code is ExitCode.EVIDENCE
    return [fault.code for fault in caught.value.faults]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["eval", "json"])
def test_a_sound_log_is_recomputed(logs, tmp_path, form: str) -> None:
    with zipfile.ZipFile(logs["eval"]) as archive:
        assert {info.compress_type for info in archive.infolist()} == {93}  # Zstandard: what Inspect writes today
    kept = _run(logs[form], tmp_path, model="mockllm/model", model_sha256=WEIGHTS)
    score = kept.measures["score"]
    assert score.value == pytest.approx(10 / 12)
    assert score.n == 12  # ids, not the 24 samples of two epochs
    assert score.interval == clopper_pearson(10, 12)
    assert kept.measures["missing"].value == 0


def _changed(path: Path, folder: Path, change) -> Path:
    document = json.loads(path.read_bytes())
    change(document)
    copy = folder / "changed.json"
    copy.write_text(json.dumps(document))
    return copy


@pytest.mark.slow
def test_each_failing_way_has_its_reason(logs, tmp_path) -> None:
    good = logs["json"]

    def refused(change, **options) -> list[str]:
        return _refused(_changed(good, tmp_path, change), tmp_path, **options)

    assert _refused(logs["failed"], tmp_path) == ["inspect.status"]
    assert _refused(logs["anonymous"], tmp_path) == ["inspect.model"]
    assert _refused(good, tmp_path, model_sha256="cd" * 32) == ["inspect.model"]
    assert _refused(good, tmp_path, model="another/model") == ["inspect.model"]
    assert _refused(good, tmp_path, scorer="nothing") == ["inspect.scorer"]
    assert refused(lambda d: d.update(invalidated=True)) == ["inspect.invalidated"]
    assert refused(lambda d: d.update(status="started")) == ["inspect.status"]
    assert refused(lambda d: d.update(version=99)) == ["inspect.version"]
    assert refused(lambda d: d["samples"].append(d["samples"][0])) == ["inspect.duplicate"]
    # a sample edited by hand: the header no longer follows
    wrong = next(i for i, s in enumerate(json.loads(good.read_bytes())["samples"]) if s["id"] == "s2")
    assert refused(lambda d: d["samples"][wrong]["scores"]["match"].update(value="C")) == ["inspect.header"]
    assert refused(lambda d: d["results"]["scores"][0]["metrics"]["accuracy"].update(value=1.0)) == ["inspect.header"]


@pytest.mark.slow
def test_missing_samples_count_against_the_claim(logs, tmp_path) -> None:
    def drop(document) -> None:
        document["samples"] = [s for s in document["samples"] if s["id"] != "s0"]
        document["results"]["scores"][0]["metrics"]["accuracy"]["value"] = 9 / 11

    path = _changed(logs["json"], tmp_path, drop)
    assert _run(path, tmp_path).measures["score"].value == pytest.approx(9 / 12)
    assert _run(path, tmp_path, better="lower").measures["score"].value == pytest.approx(10 / 12)
    assert _run(path, tmp_path).measures["missing"].value == 2
    declared = _run(path, tmp_path, declared_missing=["s0"])
    assert declared.measures["score"].value == pytest.approx(9 / 11)
    assert declared.measures["score"].n == 11


@pytest.mark.slow
def test_a_sidecar_identifies_the_model(logs, tmp_path) -> None:
    copy = tmp_path / "log.eval"
    copy.write_bytes(logs["anonymous"].read_bytes())
    (tmp_path / "log.eval.model.json").write_text(json.dumps({"model": "ours", "sha256": WEIGHTS}))
    kept = _run(copy, tmp_path, model="ours", model_sha256=WEIGHTS)
    assert {i.role for i in kept.inputs} == {"log", "model identity"}


def _document(samples: int = 3) -> dict[str, object]:
    return {
        "version": 2,
        "status": "success",
        "eval": {"model": "m", "dataset": {"samples": samples}, "metadata": {"model_sha256": WEIGHTS}},
        "results": {"total_samples": samples, "scores": []},
        "samples": [{"id": i, "epoch": 1, "scores": {"s": {"value": "C"}}} for i in range(samples)],
    }


def test_json_logs_load_without_the_extra(tmp_path) -> None:
    path = tmp_path / "log.json"
    path.write_text(json.dumps(_document()))
    assert _run(path, tmp_path).measures["score"].value == 1.0


def _zip_log(path: Path, method: int, pack) -> None:
    """A .eval by hand: a local header, the packed bytes and a directory entry for each member."""
    document = _document()
    samples = document.pop("samples")
    members = {"header.json": document} | {f"samples/{s['id']}_epoch_1.json": s for s in samples}  # type: ignore[index]
    body, directory = b"", b""
    for name, content in members.items():
        plain = json.dumps(content).encode()
        packed = pack(plain)
        fields = struct.pack(
            "<HHHHHIIIHH", 20, 0, method, 0, 0, zlib.crc32(plain), len(packed), len(plain), len(name), 0
        )
        directory += (
            b"PK\x01\x02"
            + struct.pack("<H", 20)
            + fields
            + struct.pack("<HHHII", 0, 0, 0, 0, len(body))
            + name.encode()
        )
        body += b"PK\x03\x04" + fields + name.encode() + packed
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, len(members), len(members), len(directory), len(body), 0)
    path.write_bytes(body + directory + end)


def _deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


def _frames(data: bytes) -> bytes:
    import zstandard

    half = len(data) // 2
    return zstandard.compress(data[:half]) + zstandard.compress(data[half:])


@pytest.mark.parametrize(("method", "pack"), [(0, bytes), (8, _deflate), (93, _frames)])
def test_members_of_every_compression(tmp_path, method: int, pack) -> None:
    if method == 93:
        pytest.importorskip("zstandard")
    _zip_log(tmp_path / "log.eval", method, pack)
    log = read_inspect_log(tmp_path / "log.eval")
    assert [sample.scores for sample in log.samples] == [{"s": 1.0}] * 3


def test_damaged_zips_are_refused(tmp_path) -> None:
    path = tmp_path / "log.eval"
    _zip_log(path, 8, _deflate)
    whole = path.read_bytes()
    middle = whole.index(b"header.json") + 20
    for bytes_ in (whole[:-30], whole[:middle] + b"\xff\xff" + whole[middle + 2 :], b"PK\x03\x04", b"", b"[1, 2]"):
        path.write_bytes(bytes_)
        with pytest.raises(FaultError, match=r"inspect\.malformed"):
            read_inspect_log(path)
    _zip_log(path, 14, bytes)  # LZMA
    with pytest.raises(FaultError, match="method 14 is not known"):
        read_inspect_log(path)
