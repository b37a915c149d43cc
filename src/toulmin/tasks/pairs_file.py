"""Pairs from a file: JSON lines, or a published set in CSV; every fault with its line.

One object a line. Prompts are lists of token ids, or, where there is a tokenizer, text, or a template with named spans:

    {"clean": [0, 7, 9], "counterfactual": [0, 7, 4], "answers": [3], "wrong": [5], "positions": {"subject": 1}}
    {"clean": "when Anna ...", "counterfactual": "when Ben ...", "answers": ["she"], "wrong": ["he"], "unit": "p1"}
    {"template": "The capital of {country} is", "clean": {"country": "France"}, "counterfactual": {"country": "Peru"},
     "answers": ["Paris"], "wrong": ["Lima"]}

``answers`` is required; ``wrong``, ``positions``, ``unit``, ``at`` and ``text`` are not. A line without ``unit`` is a
unit of its own. Empty lines are skipped; an unknown key is a fault. Text begins with the tokenizer's first token where
it adds one itself, an answer as text continues its prompt (:mod:`toulmin.tasks.text`), and one of several tokens is
scored as a whole. A file ``*.csv`` is one of the sets of :mod:`toulmin.tasks.published`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from toulmin.faults import ExitCode, Fault, FaultError
from toulmin.tasks.pair import Pair
from toulmin.tasks.published import published_pairs
from toulmin.tasks.text import TextTokenizer, continuation, pair_of_ids, start_of_text, text_pair

KEYS = ("clean", "counterfactual", "answers", "wrong", "positions", "unit", "at", "text", "template", "whole")
REQUIRED = KEYS[:3]
MAX_BYTES = 256 * 1024 * 1024


def read_pairs(
    path: Path | str,
    *,
    tokenizer: TextTokenizer | None = None,
    vocabulary: int | None = None,
    outputs: int | None = None,
    same_length: bool = False,
    lost: list[str] | None = None,
) -> tuple[Pair, ...]:
    """The pairs of a file.

    ``tokenizer`` is needed for text; ``vocabulary`` bounds the ids, ``outputs`` those of answers (default
    ``vocabulary``; a compiled program has fewer outputs than tokens); with ``same_length`` all pairs must have the
    length of the first. Text that the tokenizer splits differently on the two sides is a fault, unless there is a list
    ``lost``: then the pair is left out and the reason added to it.

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
    for line, found in _csv(text, tokenizer, path) if path.suffix == ".csv" else _lines(text, tokenizer):
        if isinstance(found, FaultError):
            if lost is not None and {fault.code for fault in found.faults} == {"tasks.left_out"}:
                lost += [f"line {line}: {fault.message}" for fault in found.faults]
            else:
                faults += [Fault(f.code, f.message, str(path), line, f.name, f.hint) for f in found.faults]
            continue
        faults += [_fault(message, None, path, line) for message in _outside(found, vocabulary, outputs)]
        if same_length and found.length != (pairs[0] if pairs else found).length:
            text_of = f"has {found.length} tokens, the first pair {pairs[0].length}"
            faults.append(Fault("tasks.unequal_lengths", text_of, str(path), line))
        pairs.append(found)
    if not pairs and not faults:
        faults.append(Fault("tasks.empty", "there are no pairs", str(path)))
    if faults:
        raise FaultError(faults)
    return tuple(pairs)


def _csv(text: str, tokenizer: TextTokenizer | None, path: Path) -> Iterator[tuple[int, Pair | FaultError]]:
    if tokenizer is None:
        raise FaultError(_fault("is text, and there is no tokenizer", None, path, 1))
    return published_pairs(text, tokenizer, str(path))


def _lines(text: str, tokenizer: TextTokenizer | None) -> Iterator[tuple[int, Pair | FaultError]]:
    """The pair of each line that is not empty, or its faults."""
    # split at newlines only: JSON strings may hold the other separators that splitlines() knows
    for line, row in enumerate(text.split("\n"), 1):
        if not row.strip():
            continue
        faults: list[Fault] = []

        def fault(message: str, name: str | None = None, faults: list[Fault] = faults) -> None:
            faults.append(Fault("tasks.pairs_file", message, name=name))

        try:
            made = _pair(row, tokenizer, f"line-{line}", fault)
            pair = None if made is None or faults else made()
        except FaultError as error:
            faults += error.faults
            pair = None
        yield line, pair if pair is not None and not faults else FaultError(faults)


def write_pairs(pairs: Iterable[Pair], path: Path | str) -> None:
    """Write pairs as token ids, one a line: :func:`read_pairs` gives them back."""
    rows = []
    for pair in pairs:
        row: dict[str, Any] = {name: list(getattr(pair, name)) for name in ("clean", "counterfactual", "answers")}
        row |= {"wrong": list(pair.wrong), "positions": dict(pair.positions), "at": pair.at}
        row |= {name: getattr(pair, name) for name in ("unit", "text", "template") if getattr(pair, name)}
        row |= {"whole": list(pair.whole)} if pair.whole else {}
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


def _pair(
    row: str, tokenizer: TextTokenizer | None, unit: str, fault: Callable[..., None]
) -> Callable[[], Pair] | None:
    """What makes the pair of a line, once it is known to have no faults."""
    try:
        data = json.loads(row, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return fault(f"not JSON: {error}")
    if not isinstance(data, dict):
        return fault("a line must be an object")
    if isinstance(data.get("template"), str) and isinstance(data.get("clean"), dict):
        return _from_template(data, tokenizer, unit, fault)
    for name in sorted(data.keys() - set(KEYS)):
        fault("unknown key", name)
    for name in REQUIRED:
        if name not in data:
            fault("missing", name)
    fields: dict[str, Any] = {"unit": unit}
    clean, other = (_tokens(data[name], tokenizer, name, fault) if name in data else () for name in REQUIRED[:2])
    answers = {
        name: _answers(data.get(name, []), data.get("clean"), tokenizer, name, fault) for name in ("answers", "wrong")
    }
    positions = data.get("positions", {})
    if not isinstance(positions, dict) or not all(_is_int(v) for v in positions.values()):
        fault("must map names to whole numbers", "positions")
    fields["positions"] = positions
    for name in ("unit", "text", "template"):
        if name in data:
            if not isinstance(data[name], str):
                fault("must be text", name)
            fields[name] = data[name]
    if "at" in data:
        if not _is_int(data["at"]):
            fault("must be a whole number", "at")
        fields["at"] = data["at"]
    if "whole" in data:
        if not isinstance(data["whole"], list) or not all(_is_int(item) for item in data["whole"]):
            fault("must be a list of token ids", "whole")
        fields["whole"] = tuple(data["whole"])
    if isinstance(data.get("clean"), str):
        fields.setdefault("text", data["clean"])
    if "at" in fields and any(len(a) > 1 for a in (*answers["answers"], *answers["wrong"])):
        fault("an answer of several tokens is scored after the prompt's end", "at")
    return lambda: pair_of_ids(clean, other, *answers.values(), **fields)


def _from_template(
    data: dict[str, Any], tokenizer: TextTokenizer | None, unit: str, fault: Callable[..., None]
) -> Callable[[], Pair] | None:
    for name in sorted(data.keys() - {"template", "clean", "counterfactual", "answers", "wrong", "unit"}):
        fault("unknown key beside a template", name)
    for name in REQUIRED:
        if name not in data:
            fault("missing", name)
    if tokenizer is None:
        return fault("is text, and there is no tokenizer", "template")
    for name in ("clean", "counterfactual"):
        spans = data.get(name, {})
        if not isinstance(spans, dict) or not all(isinstance(text, str) for text in spans.values()):
            return fault("must map the template's spans to text", name)
    for name in ("answers", "wrong"):
        if not isinstance(data.get(name, []), list) or not all(isinstance(a, str) for a in data.get(name, [])):
            return fault("must be a list of texts", name)
    if not isinstance(data.get("unit", ""), str) or not set(REQUIRED) <= data.keys():
        return fault("must be text", "unit") if "unit" in data else None
    return lambda: text_pair(tokenizer, **{"unit": unit, **data})


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _tokens(value: object, tokenizer: TextTokenizer | None, name: str, fault: Callable[..., None]) -> tuple[int, ...]:
    if isinstance(value, str):
        if tokenizer is None:
            fault("is text, and there is no tokenizer", name)
            return ()
        return (*start_of_text(tokenizer), *tokenizer.encode(value))
    if isinstance(value, list) and all(_is_int(item) for item in value):
        return tuple(value)
    fault("must be text or a list of token ids", name)
    return ()


def _answers(
    value: object, prompt: object, tokenizer: TextTokenizer | None, name: str, fault: Callable[..., None]
) -> list[tuple[int, ...]]:
    """The ids of each answer; text continues the prompt where that is text too."""
    if not isinstance(value, list):
        fault("must be a list", name)
        return []
    found: list[tuple[int, ...]] = []
    for item in value:
        if isinstance(item, str) and tokenizer is None:
            fault("is text, and there is no tokenizer", name)
        elif isinstance(item, str) and tokenizer is not None:
            found.append(
                continuation(tokenizer, prompt, item) if isinstance(prompt, str) else (*tokenizer.encode(item),)
            )
        elif isinstance(item, int) and not isinstance(item, bool):
            found.append((item,))
        else:
            fault("must be text or a token id", name)
    return found
