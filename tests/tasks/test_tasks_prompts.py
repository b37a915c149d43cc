"""Prompts for text tokenizers, and compiled programs as tasks."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split

from toulmin.faults import FaultError
from toulmin.tasks import (
    TokenRows,
    capitals_task,
    docstring_task,
    find_task,
    greater_than_task,
    ioi_task,
    read_texts,
    text_rows,
    token_rows,
    tracr_task,
)
from toulmin.tasks.phrases import CAPITALS, NAMES


class Words:
    """A small tokenizer like GPT-2's: a word carries the space before it, years split in the middle."""

    PATTERN = r" ?[A-Za-z]+| ?\d\d|\s|[^\sA-Za-z\d]"

    def __init__(self, whole_years: bool = False) -> None:
        self.ids: dict[str, int] = {"<s>": 0}
        self.bos: int | None = 0
        self.pattern = self.PATTERN.replace(r"\d\d", r"\d+") if whole_years else self.PATTERN

    def encode(self, text: str) -> list[int]:
        return [self.ids.setdefault(piece, len(self.ids)) for piece in re.findall(self.pattern, text)]

    def decode(self, ids) -> str:
        names = {i: piece for piece, i in self.ids.items()}
        return "".join(names[int(i)] for i in ids)

    def __len__(self) -> int:
        return 5000


@pytest.mark.parametrize("make", [ioi_task, greater_than_task, docstring_task, capitals_task])
@pytest.mark.parametrize("bos", [False, True])
def test_prompts_are_whole_and_repeatable(make, bos):
    tokenizer = Words()
    task = make(tokenizer, bos=bos)
    pairs = task.generate(40, 3)
    assert pairs == task.generate(50, 3)[:40]
    assert pairs != task.generate(40, 4)
    for pair in pairs:
        assert tokenizer.decode(pair.clean[bos:]) == pair.text
        assert (pair.clean[0] == 0) == bos
        assert pair.clean != pair.counterfactual
        assert not pair.text.endswith(" ")


def test_ioi_is_balanced_and_named():
    tokenizer = Words()
    first = Counter()
    for kind in ("swap", "abc"):
        for pair in ioi_task(tokenizer, counterfactual=kind).generate(60, 1):
            words = [tokenizer.decode([t]).strip() for t in pair.clean]
            names = [w for w in words if w in NAMES]
            answer = tokenizer.decode(pair.answers).strip()
            assert Counter(names)[answer] == 1
            assert words[pair.positions["io"]] == answer
            assert words[pair.positions["s1"]] == words[pair.positions["s2"]] != answer
            first[names[0] == answer] += 1
            other = [tokenizer.decode([t]).strip() for t in pair.counterfactual]
            others = [w for w in other if w in NAMES]
            assert len(set(others)) == (2 if kind == "swap" else 3)
            assert (set(others) == set(names)) == (kind == "swap")
    assert first == {True: 60, False: 60}
    with pytest.raises(FaultError, match="swap or abc"):
        ioi_task(tokenizer, counterfactual="none")


def test_years_are_split_and_later_ones_are_right():
    tokenizer = Words()
    for pair in greater_than_task(tokenizer).generate(40, 1):
        found = re.search(r"\d{2}(\d\d)", pair.text)
        assert found is not None
        year = int(found[1])
        assert sorted(int(tokenizer.decode([t])) for t in pair.answers) == list(range(year + 1, 100))
        assert len(pair.wrong) == year + 1
        assert tokenizer.decode([pair.clean[pair.positions["year"]]]) == f"{year:02d}"
        assert tokenizer.decode([pair.counterfactual[pair.positions["year"]]]) == "01"
    with pytest.raises(FaultError, match="neither into a century"):
        greater_than_task(Words(whole_years=True))


def test_docstring_asks_for_the_next_argument():
    tokenizer = Words()
    for pair in docstring_task(tokenizer).generate(40, 1):
        found = re.search(r"self, (.*)\)", pair.text)
        assert found is not None
        arguments = found[1].split(", ")
        assert tokenizer.decode(pair.answers) == " " + arguments[2]
        assert pair.text.count(f":param {arguments[0]}:") == pair.text.count(f":param {arguments[1]}:") == 1
        assert tokenizer.decode([pair.clean[pair.positions["definition"]]]).strip() == arguments[2]


def test_capitals_and_tokenizers_that_do_not_fit():
    tokenizer = Words()
    for pair in capitals_task(tokenizer).generate(40, 1):
        country = tokenizer.decode([pair.clean[pair.positions["country"]]]).strip()
        assert tokenizer.decode(pair.answers).strip() == CAPITALS[country]

    class Letters(Words):
        def encode(self, text: str) -> list[int]:
            return [ord(c) for c in text]

    with pytest.raises(FaultError, match="single tokens"):
        ioi_task(Letters())
    with pytest.raises(FaultError, match="needs a subject that has a tokenizer"):
        find_task("ioi", None)
    with_none = Words()
    with_none.bos = None
    with pytest.raises(FaultError, match="bos was asked for"):
        ioi_task(with_none, bos=True)


def test_gpt2_tokenizer_splits_years_and_has_the_names(shared: Path):
    from toulmin.subjects import load_gpt2_tokenizer

    folder = shared / "data" / "gpt2_tokenizer"
    tokenizer = load_gpt2_tokenizer(folder / "encoder.json", folder / "vocab.bpe")
    for make in (ioi_task, greater_than_task, docstring_task, capitals_task):
        for pair in make(tokenizer).generate(30, 0):
            assert tokenizer.decode(pair.clean) == pair.text
            assert len(pair.answers) >= 1


@pytest.mark.parametrize("program", ["reverse", "hist", "frac_prevs_x"])
def test_tracr_pairs_are_the_recorded_ones(shared: Path, program: str):
    data = np.load(shared / "data" / "tracr" / f"{program}.npz")
    task = find_task("tracr", None, folder=str(shared / "data" / "tracr"), program=program)
    pairs = task.generate(len(data["tokens"]), 0)
    for i, pair in enumerate(pairs):
        assert pair.clean == tuple(data["tokens"][i])
        assert pair.counterfactual == tuple(data["tokens"][i - 1])
        assert pair.answers == (int(data["logits"][i, 1].argmax()),)
        assert pair.at == 1
    assert len({p.unit for p in pairs}) == len(pairs)
    everything = task.generate(5 * len(pairs), 0)
    assert {p.at for p in everything} == {1, 2, 3, 4, 5}
    with pytest.raises(FaultError, match=r"tasks\.count"):
        task.generate(5 * len(pairs) + 1, 0)


def test_reverse_answers_are_the_reversed_input(shared: Path):
    # known answer: reverse writes at position i the token at 6 - i
    for pair in tracr_task(shared / "data" / "tracr", "reverse").generate(200, 0):
        assert pair.answers == (pair.clean[6 - pair.at],)


def test_bad_tracr_folders(tmp_path: Path):
    with pytest.raises(FaultError, match=r"tasks\.tracr"):
        tracr_task(tmp_path, "reverse")
    (tmp_path / "reverse.npz").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(FaultError, match=r"tasks\.tracr"):
        tracr_task(tmp_path, "reverse")
    np.savez(tmp_path / "reverse.npz", tokens=np.zeros((2, 3), int), logits=np.zeros((3, 3, 1)))
    with pytest.raises(FaultError, match="do not fit"):
        tracr_task(tmp_path, "reverse")
    with pytest.raises(FaultError, match=r"\[program\]"):
        find_task("tracr", None, folder=str(tmp_path))


def test_text_files_become_rows(tmp_path: Path):
    (tmp_path / "a.json").write_text('["a b c", "d e"]')
    (tmp_path / "b.jsonl").write_text('{"text": "f"}\n\n{"text": "g h"}\n')
    (tmp_path / "c.txt").write_text("i j")
    tokenizer = Tokenizer(WordLevel({c: i for i, c in enumerate("_abcdefghij")}, unk_token="_"))
    tokenizer.pre_tokenizer = Split(Regex(r"\s"), "removed")
    paths = [tmp_path / n for n in ("a.json", "b.jsonl", "c.txt")]
    plain = text_rows(paths, lambda t: tokenizer.encode(t).ids, 5, 11, shuffle=False)
    assert plain.rows(0, 2).tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]]
    ended = text_rows(paths, lambda t: tokenizer.encode(t).ids, 4, 11, separator=0, bos=0, shuffle=False)
    assert ended.rows(0, 2).tolist() == [[0, 1, 2, 3], [0, 0, 4, 5]]
    with pytest.raises(FaultError, match="do not fill one row"):
        text_rows(paths, lambda t: tokenizer.encode(t).ids, 50, 11)
    with pytest.raises(FaultError, match="the vocabulary has 0 to 4"):
        text_rows(paths, lambda t: tokenizer.encode(t).ids, 2, 5)


def test_shuffled_epochs_give_every_row_once():
    rows = TokenRows(np.arange(103), 10, 103, seed=3)
    assert rows.n_rows == 10
    first, second = rows.rows(0, 10), rows.rows(10, 10)
    assert sorted(first[:, 0].tolist()) == sorted(second[:, 0].tolist()) == list(range(0, 100, 10))
    assert not torch.equal(first, second)
    assert torch.equal(rows.rows(7, 6), torch.cat([first[7:], second[:3]]))


def test_token_files(tmp_path: Path):
    tokens = np.arange(40, dtype=np.uint16)
    tokens.tofile(tmp_path / "a.bin")
    np.save(tmp_path / "a.npy", tokens.reshape(4, 10))
    for name in ("a.bin", "a.npy"):
        source = token_rows(tmp_path / name, 8, 40, shuffle=False)
        assert source.rows(1, 2).tolist() == [list(range(8, 16)), list(range(16, 24))]
    (tmp_path / "odd.bin").write_bytes(b"123")
    np.save(tmp_path / "floats.npy", np.zeros(9))
    (tmp_path / "bad.npy").write_bytes(b"no array")
    for name in ("odd.bin", "floats.npy", "bad.npy", "none.bin"):
        with pytest.raises(FaultError, match=r"tasks\.text_file"):
            token_rows(tmp_path / name, 2, 40)


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [("a.json", "{", None), ("a.json", "[1]", None), ("a.jsonl", '{"text": "x"}\n{"t": 1}', 2), ("a.jsonl", "x", 1)],
)
def test_bad_text_files_are_located(tmp_path: Path, name: str, text: str, line: int | None):
    (tmp_path / name).write_text(text)
    with pytest.raises(FaultError, match=r"tasks\.text_file") as caught:
        read_texts(tmp_path / name)
    assert caught.value.faults[0].line == line
    (tmp_path / "latin.txt").write_bytes(b"\xe9")
    with pytest.raises(FaultError, match="not UTF-8"):
        read_texts(tmp_path / "latin.txt")
