"""Pairs from a JSON-lines file, every fault with its line.

One object a line. Prompts are lists of token ids, or text where there is a tokenizer:

    {"clean": [0, 7, 9], "counterfactual": [0, 7, 4], "answers": [3], "wrong": [5], "positions": {"subject": 1}}
    {"clean": "when Anna ...", "counterfactual": "when Ben ...", "answers": ["she"], "wrong": ["he"], "unit": "p1"}

``answers`` is required; ``wrong``, ``positions``, ``unit``, ``at`` and ``text`` are not. A line without ``unit`` is a
unit of its own. Empty lines are skipped; an unknown key is a fault.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks.pair import Pair

Encode = Callable[[str], Sequence[int]]
KEYS = ("clean", "counterfactual", "answers", "wrong", "positions", "unit", "at", "text")
REQUIRED = KEYS[:3]
MAX_BYTES = 256 * 1024 * 1024


def read_pairs(
    path: Path | str,
    *,
    encode: Encode | None = None,
    vocabulary: int | None = None,
    outputs: int | None = None,
    same_length: bool = False,
) -> tuple[Pair, ...]:
    """The pairs of a file.

    ``encode`` turns text into ids (prompts as they are; each answer must be one token); ``vocabulary`` bounds the ids,
    ``outputs`` those of answers (default ``vocabulary``; a compiled program has fewer outputs than tokens); with
    ``same_length`` all pairs must have the length of the first.

    :raises FaultError: every fault of every line, with file and line; or that the file cannot be read or has no pairs.
    """
    path = Path(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FaultError(Fault("tasks.file", f"larger than {MAX_BYTES} bytes", str(path)), ExitCode.SUBJECT)
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise FaultError(Fault("tasks.file", error.strerror or str(error), str(path)), ExitCode.SUBJECT) from None
    except UnicodeDecodeError as error:
        raise FaultError(Fault("tasks.file", f"not UTF-8 at byte {error.start}", str(path)), ExitCode.SUBJECT) from None
    faults: list[Fault] = []
    pairs: list[Pair] = []
    first: int | None = None
    # split at newlines only: JSON strings may hold the other separators that splitlines() knows
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        before = len(faults)
        fields = _fields(row, encode, lambda message, name=None: faults.append(_fault(message, name, path, line)))  # noqa: B023
        if len(faults) > before or fields is None:
            continue
        fields.setdefault("unit", f"line-{line}")
        try:
            pair = Pair(**fields)
        except FaultError as error:
            faults += [Fault(f.code, f.message, str(path), line, None, f.hint) for f in error.faults]
            continue
        faults += [_fault(message, None, path, line) for message in _outside(pair, vocabulary, outputs)]
        first = pair.length if first is None else first
        if same_length and pair.length != first:
            text_of = f"has {pair.length} tokens, the first pair {first}"
            faults.append(Fault("tasks.unequal_lengths", text_of, str(path), line))
        pairs.append(pair)
    if not pairs and not faults:
        faults.append(Fault("tasks.empty", "there are no pairs", str(path)))
    if faults:
        raise FaultError(faults)
    return tuple(pairs)


def write_pairs(pairs: Iterable[Pair], path: Path | str) -> None:
    """Write pairs as token ids, one a line: :func:`read_pairs` gives them back."""
    rows = []
    for pair in pairs:
        row: dict[str, Any] = {name: list(getattr(pair, name)) for name in ("clean", "counterfactual", "answers")}
        row |= {"wrong": list(pair.wrong), "positions": dict(pair.positions), "at": pair.at}
        row |= {name: getattr(pair, name) for name in ("unit", "text") if getattr(pair, name)}
        rows.append(json.dumps(row, ensure_ascii=False))
    Path(path).write_text("\n".join(rows) + "\n", encoding="utf-8")


def _fault(message: str, name: str | None, path: Path, line: int) -> Fault:
    return Fault("tasks.pairs_file", message, str(path), line, name)


def _outside(pair: Pair, vocabulary: int | None, outputs: int | None) -> Iterable[str]:
    answers = vocabulary if outputs is None else outputs
    limits = {"clean": vocabulary, "counterfactual": vocabulary, "answers": answers, "wrong": answers}
    for name, limit in limits.items():
        high = [token for token in getattr(pair, name) if limit is not None and token >= limit]
        if high and limit is not None:
            yield f"{name} has token {high[0]}, the vocabulary ends at {limit - 1}"


def _no_constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


def _fields(row: str, encode: Encode | None, fault: Callable[..., None]) -> dict[str, Any] | None:
    try:
        data = json.loads(row, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return fault(f"not JSON: {error}")
    if not isinstance(data, dict):
        return fault("a line must be an object")
    for name in sorted(data.keys() - set(KEYS)):
        fault("unknown key", name)
    for name in REQUIRED:
        if name not in data:
            fault("missing", name)
    fields: dict[str, Any] = {}
    for name in ("clean", "counterfactual"):
        if name in data:
            fields[name] = _tokens(data[name], encode, name, fault)
    for name in ("answers", "wrong"):
        if name in data:
            fields[name] = _single_tokens(data[name], encode, name, fault)
    positions = data.get("positions", {})
    if not isinstance(positions, dict) or not all(_is_int(v) for v in positions.values()):
        fault("must map names to whole numbers", "positions")
    fields["positions"] = positions
    for name, kind in (("unit", str), ("text", str)):
        if name in data:
            if not isinstance(data[name], kind):
                fault("must be text", name)
            fields[name] = data[name]
    if "at" in data:
        if not _is_int(data["at"]):
            fault("must be a whole number", "at")
        fields["at"] = data["at"]
    if isinstance(data.get("clean"), str):
        fields.setdefault("text", data["clean"])
    return fields


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tokens(value: object, encode: Encode | None, name: str, fault: Callable[..., None]) -> tuple[int, ...]:
    if isinstance(value, str):
        if encode is None:
            fault("is text, and there is no tokenizer", name)
            return ()
        return tuple(encode(value))
    if isinstance(value, list) and all(_is_int(item) for item in value):
        return tuple(value)
    fault("must be text or a list of token ids", name)
    return ()


def _single_tokens(value: object, encode: Encode | None, name: str, fault: Callable[..., None]) -> tuple[int, ...]:
    if not isinstance(value, list):
        fault("must be a list", name)
        return ()
    found: list[int] = []
    for item in value:
        if isinstance(item, str):
            ids = _tokens(item, encode, name, fault)
            if encode is not None and len(ids) != 1:
                fault(f"{item!r} is {len(ids)} tokens, an answer must be one", name)
            found += ids[:1]
        elif _is_int(item):
            found.append(item)
        else:
            fault("must be text or a token id", name)
    return tuple(found)
