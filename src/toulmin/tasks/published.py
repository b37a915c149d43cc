"""The prompt sets of EAP-IG (Hanna et al. 2024, github.com/hannamw/EAP-IG), which MIB builds on: CSV files of text.

Greater-than has the columns ``clean``, ``corrupted`` and ``label`` (the last two digits of the first year).
Indirect-object identification has ``clean``, ``corrupted`` (a third name), ``corrupted_hard`` (the other name) and the
ids of the two names in one tokenizer. Those ids are not read: the names are where ``clean`` and ``corrupted_hard``
differ, so that the set can be used with any tokenizer.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from toulmin.faults import Fault, FaultError
from toulmin.tasks.english import year_tokens
from toulmin.tasks.pair import Pair
from toulmin.tasks.text import TextTokenizer, continuation, pair_of_ids, split_alike_faults, start_of_text

_SETS = ({"clean", "corrupted", "label"}, {"clean", "corrupted", "corrupted_hard"})


def published_pairs(text: str, tokenizer: TextTokenizer, path: str) -> Iterator[tuple[int, Pair | FaultError]]:
    """For each row of the CSV file its line and its pair, or why there is none.

    :raises FaultError: ``tasks.pairs_file``: neither of the two sets; ``tasks.tokenizer_does_not_fit``: the tokenizer
        splits years in another way than into digits or pairs of digits.
    """
    reader = csv.DictReader(io.StringIO(text))
    columns = set(reader.fieldnames or ())
    if not any(needed <= columns for needed in _SETS):
        found = ", ".join(sorted(columns)[:6]) or "none"
        hint = "one of " + "; ".join(", ".join(sorted(needed)) for needed in _SETS)
        raise FaultError(Fault("tasks.pairs_file", f"its columns are no published set: {found}", path, 1, hint=hint))
    digits = year_tokens(tokenizer)[1] if "label" in columns else {}
    for row in reader:
        try:
            yield reader.line_num, _pair(row, tokenizer, digits)
        except FaultError as error:
            yield reader.line_num, error


def _pair(row: Mapping[str, Any], tokenizer: TextTokenizer, digits: Mapping[str, int]) -> Pair:
    clean, other = row["clean"], row["corrupted"]
    start = start_of_text(tokenizer)
    ids, other_ids = ((*start, *tokenizer.encode(text)) for text in (clean, other))
    split_alike_faults(clean, ids, other_ids)
    fields: dict[str, Any] = {"unit": clean, "text": clean}
    if digits:
        label = (row["label"] or "").zfill(2)
        if not re.fullmatch(r"\d\d", label):
            raise FaultError(Fault("tasks.pairs_file", f"the label {label!r} is not two digits", name="label"))
        width = len(next(iter(digits)))
        later = [token for d, token in digits.items() if d > label[:width]]
        if not later:
            text = "where each digit is a token, no tens digit is later than 9"
            raise FaultError(Fault("tasks.left_out", text, name=clean))
        earlier = [token for d, token in digits.items() if d < label[:width] or d == label]
        return Pair(ids, other_ids, tuple(later), tuple(earlier), **fields)
    names = [(a, b) for a, b in zip(clean.split(" "), row["corrupted_hard"].split(" "), strict=False) if a != b]
    if len(names) != 1:
        raise FaultError(Fault("tasks.pairs_file", f"clean and corrupted_hard differ in {len(names)} words, not one"))
    ((subject, recipient),) = names
    answers = [continuation(tokenizer, clean, recipient)], [continuation(tokenizer, clean, subject)]
    if any(len(answer) > 1 for answer in (*answers[0], *answers[1])):
        text = f"the tokenizer splits the names {recipient!r} and {subject!r} into several tokens"
        raise FaultError(Fault("tasks.left_out", text, name=clean))
    return pair_of_ids(ids, other_ids, *answers, **fields)
