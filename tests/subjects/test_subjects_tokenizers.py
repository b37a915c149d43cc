"""Tokenizers against independent encoders, and round trips."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path

import pytest

from toulmin.faults import ExitCode, FaultError
from toulmin.subjects import load_gpt2_tokenizer, load_llama2c_tokenizer, load_tokenizer

TEXTS = [
    "Once upon a time, there was a little girl.",
    "Two\n\nparagraphs,  two  spaces\tand a tab.",
    "naïve café — “quotes”, 日本語, 🙂",
    "I'll see; they've 12,345 of 'em!",
    "",
    " ",
]


def read_pieces(path: Path) -> list[tuple[str, float]]:
    data, pieces, start = path.read_bytes(), [], 4
    while start < len(data):
        score, length = struct.unpack_from("<fi", data, start)
        pieces.append((data[start + 8 : start + 8 + length].decode(), score))
        start += 8 + length
    return pieces


def encode_greedily(pieces: list[tuple[str, float]], text: str) -> list[int]:
    """run.c's own algorithm: merge the adjacent pair whose whole scores best, again and again."""
    table: dict[str, int] = {}
    for index, (piece, _) in enumerate(pieces):
        table.setdefault(piece, index)
    ids = [table[" "]] if text else []
    for letter in text:
        ids += [table[letter]] if letter in table else [byte + 3 for byte in letter.encode()]
    while True:
        wholes = [table.get(pieces[a][0] + pieces[b][0]) for a, b in itertools.pairwise(ids)]
        ranked = [(-pieces[whole][1], place, whole) for place, whole in enumerate(wholes) if whole is not None]
        if not ranked:
            return ids
        _, place, whole = min(ranked)
        ids[place : place + 2] = [whole]


def test_llama2c_against_its_own_algorithm(shared: Path) -> None:
    path = shared / "data/stories260K/tok512.bin"
    tokenizer, pieces = load_llama2c_tokenizer(path), read_pieces(path)
    stories = json.loads((shared / "data/text/tinystories_1000.json").read_text())
    for text in [*TEXTS, *(story[:250] for story in stories[:25])]:
        assert tokenizer.encode(text) == encode_greedily(pieces, text)
        assert tokenizer.decode(tokenizer.encode(text, bos=True)) == text
    assert len(tokenizer) == 512
    assert (tokenizer.bos, tokenizer.eos) == (1, 2)


def test_gpt2(shared: Path) -> None:
    folder = shared / "data/gpt2_tokenizer"
    tokenizer = load_gpt2_tokenizer(folder / "encoder.json", folder / "vocab.bpe")
    assert tokenizer.encode("Hello world") == [15496, 995]
    assert tokenizer.encode("When Mary and John went to the store") == [2215, 5335, 290, 1757, 1816, 284, 262, 3650]
    assert tokenizer.encode("<|endoftext|>") == [50256]
    assert tokenizer.encode("x", bos=True) == [50256, 87]
    for text in TEXTS:
        assert tokenizer.decode(tokenizer.encode(text)) == text
    assert load_tokenizer(folder).encode(TEXTS[2]) == tokenizer.encode(TEXTS[2])


def test_json_keeps_everything(shared: Path, tmp_path: Path) -> None:
    for folder in ("gpt2_tokenizer", "stories260K"):
        tokenizer = load_tokenizer(shared / "data" / folder)
        (tmp_path / "tokenizer.json").write_text(tokenizer.to_json(), encoding="utf-8")
        again = load_tokenizer(tmp_path)
        assert (again.bos, again.eos, again.pad, len(again)) == (tokenizer.bos, tokenizer.eos, None, len(tokenizer))
        assert [again.encode(text) for text in TEXTS] == [tokenizer.encode(text) for text in TEXTS]
        assert again.to_json() == tokenizer.to_json()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b"{"),
        ("tokenizer.json", b"[]"),
        ("tokenizer.json", b'{"model": {"type": "Nothing"}}'),
        ("tok1.bin", b""),
        ("tok1.bin", struct.pack("<ifi", 3, 0.0, 99) + b"abc"),
        ("tok1.bin", struct.pack("<ifi", 3, float("nan"), 3) + b"abc"),
        ("tok1.bin", struct.pack("<ifi", 3, 0.0, 2) + b"\xff\xff"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FaultError) as caught:
        load_tokenizer(tmp_path)
    assert caught.value.exit_code == ExitCode.SUBJECT
    assert caught.value.faults[0].code == "subjects.tokenizer"


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(FaultError, match=r"no tokenizer\.json"):
        load_tokenizer(tmp_path)
