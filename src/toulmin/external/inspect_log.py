"""Reading the logs of Inspect AI, without it.

A ``.json`` log is one document; a ``.eval`` log is a zip of ``header.json`` (or ``_journal/start.json`` of a run that
did not end) and ``samples/ID_epoch_N.json``, its members stored, deflated or Zstandard (method 93), which may be split
in several frames. Nothing in a log is trusted: sizes are bounded, and everything missing is listed.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TypeGuard, cast

from toulmin.evidence import content_of
from toulmin.faults import ExitCode, Fault, FaultError, require_extra

KNOWN_VERSIONS = (1, 2)
MAX_FILE = 1 << 30
MAX_MEMBER = 1 << 28
MAX_TOTAL = 1 << 31  #: bytes of all members, unpacked
MAX_CELLS = 10_000_000  #: samples times epochs, there or missing
ZSTANDARD = 93
Json = Mapping[str, Any]


@dataclass(frozen=True)
class InspectSample:
    """One sample at one epoch: its scores by scorer (a scorer with several values gives ``scorer/key``)."""

    id: str
    epoch: int
    scores: Mapping[str, float]
    error: bool
    content: str | None = None  #: identifies what was asked (:func:`sample_content`)


@dataclass(frozen=True)
class InspectLog:
    """What a log says, after checking that it says enough."""

    version: int
    status: str
    invalidated: bool
    task: str
    model: str
    created: str
    metadata: Mapping[str, Any]
    expected_ids: tuple[str, ...]  #: of the data set, where the log lists them
    expected: int  #: samples times epochs that should be there
    epochs: int
    samples: tuple[InspectSample, ...]
    reported: Mapping[str, Mapping[str, float]]  #: scorer -> metric -> the value in the header
    numeric: frozenset[str] = frozenset()  #: scorers that gave numbers, not only grades such as C and I
    dataset_size: int | None = None  #: samples of the whole data set, of which the run may have taken some
    commit: str | None = None  #: of the code that ran, where it was in git
    dirty: bool = False  #: that code had uncommitted changes


def read_inspect_log(path: Path) -> InspectLog:
    """Read a ``.json`` or ``.eval`` log.

    :raises FaultError: it cannot be read, or lacks what a log has; every fault that can be seen.
    """
    try:
        if path.stat().st_size > MAX_FILE:
            raise _faulty("too_large", f"larger than {MAX_FILE} bytes", path)
        with path.open("rb") as file:
            magic = file.read(4)
        if magic[:2] == b"PK":
            header, samples = _read_zip(path)
        else:
            header = _object(path.read_bytes(), path, path.name)
            found: object = header.get("samples")
            samples = cast("list[Any]", found) if isinstance(found, list) else []
    except OSError as error:
        raise _faulty("unreadable", error.strerror or str(error), path) from None
    return _interpret(header, samples, path)


def _faulty(code: str, message: str, path: Path, name: str | None = None) -> FaultError:
    return FaultError(Fault(f"inspect.{code}", message, str(path), name=name), ExitCode.EVIDENCE)


def _object(data: bytes, path: Path, name: str) -> dict[str, Any]:
    try:
        value: object = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _faulty("malformed", f"not JSON: {error}", path, name) from None
    if not isinstance(value, dict):
        raise _faulty("malformed", "not a JSON object", path, name)
    return cast("dict[str, Any]", value)


def _read_zip(path: Path) -> tuple[dict[str, Any], list[Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename: info for info in archive.infolist()}
            raw = path.read_bytes()
            if "header.json" not in members:
                raise _faulty("incomplete", "no header.json: the run did not end", path)
            if sum(info.file_size for info in members.values()) > MAX_TOTAL:
                raise _faulty("too_large", f"members larger than {MAX_TOTAL} bytes together", path)
            header = _object(_member(raw, members["header.json"], path), path, "header.json")
            samples: list[Any] = [
                _object(_member(raw, members[name], path), path, name)
                for name in sorted(members)
                if name.startswith("samples/") and name.endswith(".json")
            ]
    except (zipfile.BadZipFile, struct.error, NotImplementedError, ValueError) as error:
        raise _faulty("malformed", f"not a readable zip: {error}", path) from None
    return header, samples


def _member(raw: bytes, info: zipfile.ZipInfo, path: Path) -> bytes:
    """The bytes of a member, read past :mod:`zipfile`, which knows no Zstandard before Python 3.14."""
    if info.file_size > MAX_MEMBER or info.compress_size > MAX_MEMBER:
        raise _faulty("too_large", f"a member larger than {MAX_MEMBER} bytes", path, info.filename)
    start = info.header_offset
    if raw[start : start + 4] != b"PK\x03\x04":
        raise _faulty("malformed", "no local header where the directory says", path, info.filename)
    name_length, extra_length = struct.unpack("<HH", raw[start + 26 : start + 30])
    begin = start + 30 + name_length + extra_length
    data = raw[begin : begin + info.compress_size]
    try:
        plain = _decompress(data, info)
    except (zlib.error, ValueError) as error:
        raise _faulty("malformed", f"cannot be decompressed: {error}", path, info.filename) from None
    if len(plain) != info.file_size or zlib.crc32(plain) != info.CRC:
        raise _faulty("malformed", "size or checksum differ: damaged or changed", path, info.filename)
    return plain


def _decompress(data: bytes, info: zipfile.ZipInfo) -> bytes:
    if info.compress_type == zipfile.ZIP_STORED:
        return data
    if info.compress_type == zipfile.ZIP_DEFLATED:
        return zlib.decompressobj(-15).decompress(data, info.file_size + 1)
    if info.compress_type == ZSTANDARD:
        zstandard = require_extra("zstandard", "inspect")
        reader = zstandard.ZstdDecompressor().stream_reader(BytesIO(data), read_across_frames=True)
        try:
            return cast("bytes", reader.read(info.file_size + 1))
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None
    raise ValueError(f"compression method {info.compress_type} is not known")


_GRADES = {"c": 1.0, "p": 0.5, "i": 0.0, "n": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}


def _is_grade(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in _GRADES)


def _number(value: object) -> float | None:
    """A score as a number, as Inspect's own default does: C, P, I, N and yes/no words, numbers, booleans."""
    if isinstance(value, str) and value.lower() in _GRADES:
        return _GRADES[value.lower()]
    try:
        return float(value) if isinstance(value, bool | int | float | str) else None
    except (ValueError, OverflowError):  # no number, or an integer beyond all floats
        return None


def sample_content(sample: Json) -> str | None:
    """What identifies the question of a sample: its input, choices, target, files and set-up; None without an input.

    Not its id, its metadata, or the ids that Inspect gives to messages: one question under many ids is one question.
    """
    if "input" not in sample:
        return None
    return content_of({key: _without_ids(sample.get(key)) for key in ("input", "choices", "target", "files", "setup")})


def _without_ids(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [
        {key: part for key, part in cast("dict[str, Any]", entry).items() if key != "id"}
        if isinstance(entry, dict)
        else entry
        for entry in cast("list[Any]", value)
    ]


def _scores(sample: Json) -> Iterator[tuple[str, float, bool]]:
    """Scorer, score, and whether it is a grade by a word."""
    scores: object = sample.get("scores")
    if not isinstance(scores, dict):
        return
    for scorer, score in cast("dict[str, Any]", scores).items():
        value: object = cast("dict[str, Any]", score).get("value") if isinstance(score, dict) else None
        entries = cast("dict[str, Any]", value).items() if isinstance(value, dict) else [("", value)]
        for key, entry in entries:
            number = _number(entry)
            if number is not None:
                yield (f"{scorer}/{key}" if key else scorer), number, _is_grade(entry)


def _interpret(header: Json, samples: list[Any], path: Path) -> InspectLog:
    spec, faults = header.get("eval"), list[Fault]()

    def need(condition: bool, code: str, message: str, name: str | None = None) -> None:
        if not condition:
            faults.append(Fault(f"inspect.{code}", message, str(path), name=name))

    version = header.get("version")
    known = f"known are {', '.join(map(str, KNOWN_VERSIONS))}"
    need(_is_count(version) and version in KNOWN_VERSIONS, "version", f"log version {version!r}; {known}")
    need(isinstance(spec, dict), "malformed", "no eval section")
    about: dict[str, Any] = cast("dict[str, Any]", spec) if isinstance(spec, dict) else {}
    need(isinstance(about.get("model"), str), "malformed", "no model name", "eval.model")
    read: list[InspectSample] = []
    seen: set[tuple[str, int]] = set()
    numeric: set[str] = set()
    for index, entry in enumerate(samples):
        sample: dict[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        identifier, epoch = sample.get("id"), sample.get("epoch", 1)
        if not (isinstance(identifier, str) or _is_count(identifier)) or not _is_count(epoch):
            need(False, "malformed", "a sample without id or epoch", f"samples[{index}]")
            continue
        need((str(identifier), epoch) not in seen, "duplicate", "the sample is there twice", f"{identifier}/{epoch}")
        seen.add((str(identifier), epoch))
        bad = sample.get("error") is not None or sample.get("invalidation") is not None
        scores = list(_scores(sample))
        numeric |= {name for name, _, grade in scores if not grade}
        numbers = {name: number for name, number, _ in scores}
        read.append(InspectSample(str(identifier), epoch, numbers, bad, sample_content(sample)))
    if faults:
        raise FaultError(faults, ExitCode.EVIDENCE)
    data, config = _table(about, "dataset"), _table(about, "config")
    ids: object = data.get("sample_ids")
    expected_ids = tuple(map(str, cast("list[Any]", ids))) if isinstance(ids, list) else ()
    epochs = config.get("epochs")
    epochs = epochs if _is_count(epochs) and epochs > 0 else 1
    total = _table(header, "results").get("total_samples")
    count = data.get("samples")
    expected = max(
        len(expected_ids) * epochs,
        total if _is_count(total) else 0,
        count * epochs if _is_count(count) and not expected_ids and not _is_count(total) else 0,
    )
    distinct = len({*expected_ids, *(sample.id for sample in read)})
    if max(expected, distinct * epochs) > MAX_CELLS:
        raise _faulty("too_large", f"more than {MAX_CELLS} samples times epochs", path)
    metadata = {**_table(about, "metadata"), **_table(header, "metadata")}
    revision = _table(about, "revision")
    commit: object = revision.get("commit")
    return InspectLog(
        version=cast("int", version),
        status=str(header.get("status")),
        invalidated=bool(header.get("invalidated", False)),
        task=str(about.get("task", "")),
        model=str(about["model"]),
        created=str(about.get("created", "")),
        metadata=metadata,
        expected_ids=expected_ids,
        expected=expected,
        epochs=epochs,
        samples=tuple(read),
        reported=dict(_reported(_table(header, "results"))),
        numeric=frozenset(numeric),
        dataset_size=count if _is_count(count) else None,
        commit=commit if isinstance(commit, str) else None,
        dirty=revision.get("dirty") is True,
    )


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _table(parent: Json, key: str) -> dict[str, Any]:
    value: object = parent.get(key)
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _reported(results: Json) -> Iterator[tuple[str, Mapping[str, float]]]:
    scores: object = results.get("scores")
    for entry in cast("list[Any]", scores) if isinstance(scores, list) else []:
        score: dict[str, Any] = cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}
        metrics = {
            name: math.nan if (number := _number(value)) is None else number
            for name, metric in _table(score, "metrics").items()
            if isinstance(metric, dict)
            and isinstance(value := cast("dict[str, Any]", metric).get("value"), int | float)
        }
        yield str(score.get("name")), metrics
