"""Pairs, batches, scores and the file reader: known answers and every fault."""

from __future__ import annotations

import json
import math
import pickle
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.faults import ExitCode, FaultError
from toulmin.tasks import (
    Pair,
    Task,
    accuracy,
    at_position,
    batch_pairs,
    collate,
    cross_entropy,
    find_task,
    kl,
    logit_diff,
    prob_diff,
    read_pairs,
    task_names,
    token_cross_entropy,
    write_pairs,
)


def pair(length: int = 4, unit: str = "u") -> Pair:
    return Pair(tuple(range(length)), tuple(range(1, length + 1)), (5,), (6, 7), {"subject": 1}, unit)


def test_a_pair_says_everything_that_is_wrong_with_it():
    with pytest.raises(FaultError) as caught:
        Pair((1, 2, 3), (1, -2), (), (), {"x": 9}, "u", at=3)
    assert {f.code for f in caught.value.faults} == {
        "tasks.unequal_lengths",
        "tasks.no_answer",
        "tasks.negative_token",
        "tasks.position",
    }
    assert "clean has 3 tokens, counterfactual 2" in str(caught.value)
    with pytest.raises(FaultError, match=r"tokens \[4\] are both right and wrong"):
        Pair((1,), (2,), (4,), (4,))


def test_a_pair_is_a_value():
    assert pair() == pair()
    assert hash(pair()) == hash(pair())
    assert pickle.loads(pickle.dumps(pair())) == pair()
    assert pair().scored == 3
    with pytest.raises(TypeError):
        pair().positions["subject"] = 2  # type: ignore[index]


def test_task_refuses_unknown_splits_and_short_generators():
    task = Task("t", lambda n, seed, split: [pair()] * min(n, 2), ("a", "b"))
    assert len(task.generate(2, 0)) == 2
    with pytest.raises(FaultError, match="no split 'c'"):
        task.generate(1, 0, "c")
    with pytest.raises(FaultError, match="made 2 of 3"):
        task.generate(3, 0)
    with pytest.raises(FaultError, match="0 pairs"):
        task.generate(0, 0)


def test_collate_refuses_other_lengths_and_names_them():
    with pytest.raises(FaultError, match="pair 1 has 5 tokens, pair 0 has 4") as caught:
        collate([pair(4), pair(5, "odd"), pair(4), pair(6)])
    assert len(caught.value.faults) == 2
    assert caught.value.faults[0].name == "odd"
    with pytest.raises(FaultError, match="no prompts"):
        collate([])


def test_batches_group_lengths_and_keep_places():
    pairs = [pair(4, "a"), pair(5, "b"), pair(4, "c"), pair(4, "d")]
    batches = list(batch_pairs(pairs, 2))
    assert [b.units for b in batches] == [("a", "c"), ("d",), ("b",)]
    assert [b.index for b in batches] == [(0, 2), (3,), (1,)]
    assert [tuple(b.clean.shape) for b in batches] == [(2, 4), (1, 4), (1, 5)]
    with pytest.raises(FaultError):
        next(batch_pairs(pairs, 0))


def test_answers_of_different_numbers_are_padded_and_ignored():
    one = Pair((1, 2), (1, 3), (5,), (6,))
    two = Pair((1, 2), (1, 3), (5, 6), (7, 0))
    batch = collate([one, two])
    assert batch.answers.tolist() == [[5, -1], [5, 6]]
    logits = torch.log(torch.tensor([[0.1, 0, 0, 0, 0, 0.5, 0.3, 0.1]] * 2).clamp(min=1e-9)).double()
    assert cross_entropy(logits, batch.answers).tolist() == pytest.approx([-math.log(0.5), -math.log(0.8)], abs=1e-6)
    assert prob_diff(logits, batch.answers, batch.wrong).tolist() == pytest.approx([0.2, 0.6], abs=1e-6)
    expected = [math.log(0.5 / 0.3), (math.log(0.5) + math.log(0.3) - 2 * math.log(0.1)) / 2]
    assert logit_diff(logits, batch.answers, batch.wrong).tolist() == pytest.approx(expected, abs=1e-6)


def test_scores_known_answers_and_shapes():
    p = torch.tensor([0.5, 0.25, 0.25]).log()
    q = torch.tensor([0.25, 0.5, 0.25]).log()
    assert float(kl(p, q)) == pytest.approx(0.25 * math.log(2))
    assert float(kl(p, p)) == 0
    assert float(kl(p + 3, q - 2)) == pytest.approx(0.25 * math.log(2))  # logits have no origin
    logits = torch.randn(2, 3, 5, 11)
    answers, wrong = torch.randint(0, 5, (3, 5, 2)), torch.randint(5, 11, (3, 5, 1))
    for scores in (
        cross_entropy(logits, answers),
        logit_diff(logits, answers, wrong),
        prob_diff(logits, answers, wrong),
        accuracy(logits, answers),
        accuracy(logits, answers, wrong),
    ):
        assert scores.shape == (2, 3, 5)
    tokens = torch.tensor([[0, 1, 2]])
    row = torch.log(torch.tensor([[[0.1, 0.7, 0.2], [0.3, 0.3, 0.4], [1.0, 1.0, 1.0]]]))
    assert token_cross_entropy(row, tokens)[0].tolist() == pytest.approx([-math.log(0.7), -math.log(0.4)])
    assert at_position(logits[0], torch.tensor([0, 1, 2])).shape == (3, 11)


def test_accuracy_of_the_vocabulary_and_of_the_choice():
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [2.0, 2.0, 1.0]])
    right, wrong = torch.tensor([[1], [2], [0]]), torch.tensor([[2], [0], [1]])
    assert accuracy(logits, right).tolist() == [0, 1, 1]
    assert accuracy(logits, right, wrong).tolist() == [1, 1, 0]  # a tie is no win
    nan = torch.tensor([[float("nan"), 0.0]])
    assert accuracy(nan, torch.tensor([[0]])).tolist() == [0]
    assert accuracy(nan, torch.tensor([[0]]), torch.tensor([[1]])).tolist() == [0]


def test_logit_diff_needs_wrong_ids():
    with pytest.raises(FaultError, match="at least one wrong"):
        logit_diff(torch.zeros(1, 3), torch.tensor([[0]]), torch.empty(1, 0, dtype=torch.long))


def test_pairs_come_back_from_their_file(tmp_path: Path):
    pairs = (pair(4, "a"), Pair((1,), (2,), (3,), at=0, text="one\u2028line"))
    write_pairs(pairs, tmp_path / "p.jsonl")
    back = read_pairs(tmp_path / "p.jsonl", vocabulary=8)
    assert back[0] == pairs[0]
    assert back[1].text == pairs[1].text
    assert back[1].unit == "line-2"


class Letters:
    """Three words, each a token, whatever space is before them."""

    bos: int | None = None

    def encode(self, text: str) -> list[int]:
        return ["abc".index(c) for c in text.split()]

    def __len__(self) -> int:
        return 3


def test_text_is_encoded(tmp_path: Path):
    file = tmp_path / "p.jsonl"
    file.write_text('{"clean": "a b", "counterfactual": "b b", "answers": ["c"], "wrong": ["a"]}\n\n')
    (only,) = read_pairs(file, tokenizer=Letters())
    assert (only.clean, only.counterfactual, only.answers, only.wrong) == ((0, 1), (1, 1), (2,), (0,))
    assert only.text == "a b"
    with pytest.raises(FaultError, match="no tokenizer"):
        read_pairs(file)
    file.write_text('{"clean": "a", "counterfactual": "b", "answers": ["a b"]}')
    (longer,) = read_pairs(file, tokenizer=Letters())
    assert (longer.clean, longer.counterfactual, longer.whole, longer.at) == ((0, 0), (1, 0), (0, 1), 0)
    assert longer.answers == (0,)
    file.write_text('{"clean": "a", "counterfactual": "b", "answers": ["a b", "c"]}')
    with pytest.raises(FaultError, match="scored as a whole"):
        read_pairs(file, tokenizer=Letters())


BAD = [
    ('{"clean": [1], "counterfactual": [1, 2], "answers": [1]}', "tasks.unequal_lengths", 1),
    ('\n{"clean": [1], "answers": [1]}', r"tasks.pairs_file \[counterfactual\]: missing", 2),
    ('{"clean": [1], "counterfactual": [1], "answers": [1], "anser": [2]}', r"\[anser\]: unknown key", 1),
    ("{", "not JSON", 1),
    ("[1]", "must be an object", 1),
    ('{"clean": [1.5], "counterfactual": [1], "answers": [1]}', r"\[clean\]: must be text or a list", 1),
    ('{"clean": [1], "counterfactual": [1], "answers": 1}', r"\[answers\]: must be a list", 1),
    ('{"clean": [1], "counterfactual": [1], "answers": [true]}', r"\[answers\]: must be text or a token id", 1),
    ('{"clean": [1], "counterfactual": [1], "answers": [99]}', "vocabulary ends at 8", 1),
    ('{"clean": [1], "counterfactual": [1], "answers": [1], "at": 0.5}', r"\[at\]", 1),
    ('{"clean": [1], "counterfactual": [1], "answers": [1], "positions": {"a": 7}}', "position a = 7", 1),
    ('{"clean": [1], "counterfactual": [1], "answers": [1], "positions": [7]}', r"\[positions\]", 1),
    ('{"clean": [1], "counterfactual": [NaN], "answers": [1]}', "NaN is not JSON", 1),
    ('{"clean": [1], "counterfactual": [1], "answers": [1], "unit": 3}', r"\[unit\]: must be text", 1),
    ("", "tasks.empty", None),
]


@pytest.mark.parametrize(("text", "message", "line"), BAD)
def test_a_bad_line_is_located(tmp_path: Path, text: str, message: str, line: int | None):
    file = tmp_path / "p.jsonl"
    file.write_text(text)
    with pytest.raises(FaultError, match=message) as caught:
        read_pairs(file, vocabulary=9)
    assert caught.value.faults[0].line == line
    assert caught.value.faults[0].file == str(file)


def test_every_bad_line_is_reported_and_bad_files_too(tmp_path: Path):
    file = tmp_path / "p.jsonl"
    good = json.dumps({"clean": [1], "counterfactual": [2], "answers": [3]})
    longer = json.dumps({"clean": [1, 1], "counterfactual": [2, 2], "answers": [3]})
    file.write_text("\n".join([good, "x", good, "[]", longer]))
    with pytest.raises(FaultError) as caught:
        read_pairs(file, same_length=True)
    assert [f.line for f in caught.value.faults] == [2, 4, 5]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(FaultError, match="not UTF-8") as caught:
        read_pairs(file)
    assert caught.value.exit_code is ExitCode.SUBJECT
    with pytest.raises(FaultError, match=r"tasks\.file"):
        read_pairs(tmp_path / "none.jsonl")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 12) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "unit"]), inner, max_size=2),
    max_leaves=6,
)
KEYS = st.sampled_from(["clean", "counterfactual", "answers", "wrong", "positions", "unit", "at", "text", "other"])


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.dictionaries(KEYS, JSON | st.lists(st.integers(0, 8), max_size=3)), max_size=4), st.binary(max_size=6)
)
def test_any_file_gives_pairs_or_located_faults(rows, tail):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "p.jsonl"
        file.write_bytes("\n".join(json.dumps(row) for row in rows).encode() + tail)
        pairs, faults = [], []
        try:
            pairs = read_pairs(file, vocabulary=9)
        except FaultError as error:
            faults = error.faults
    assert bool(pairs) != bool(faults)
    assert all(fault.file == str(file) for fault in faults)
    assert all(max(p.clean + p.answers) < 9 for p in pairs)


def test_the_catalogue_names_what_it_has():
    assert {"induction", "repeats", "story.two_name", "story.pronoun"} <= set(task_names())
    assert find_task("induction", None, vocabulary=64, length=16).generate(3, 0)[0].length == 16
    with pytest.raises(FaultError, match=r"inducton.*no task of that name.*induction"):
        find_task("inducton")
    with pytest.raises(FaultError, match=r"\[lenght\].*options: length"):
        find_task("induction", None, vocabulary=64, lenght=16)
    with pytest.raises(FaultError, match="needs a subject"):
        find_task("induction")
