"""The quick reader of plain TOML says what tomllib says, or nothing."""

from __future__ import annotations

import random
import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.case.file.plain_toml import read_plain

PIECES = [
    "[case]", "[[goal]]", "[goal]", "[a.b]", "[ case ]", 'id = "x"', 'id = "x" # c', "id = 'x'", 'id="x"',
    'a = ["x", "y"]', 'a = ["x","y"]', "a = []", "a = [", "]", "n = 3", "n = 03", "n = 1e3", "n = inf",
    "d = 2026-11-22", "t = { a = 1, b = [2] }", "t = { a = 1", "b = true", "b = True", "# comment", "# \x01",
    "", " ", "\t", 'id = "\\u0041"', 'id = "\\q"', 'a.b = "x"', '"k" = "v"', 'v = "a" "b"', 'v = "a", "b"',
    'k = "tab\t"', 'k = "\x7f"', "x = 1\ny = 2", '= "v"', "k =", 'a = ["x", 3]', 'a = ["x", "]"]', "é = 1",
    'u = "é\u202e"', "v = 1 = 2", "v = 1]",
]  # fmt: skip


def same(text: str) -> None:
    found = read_plain(text)
    if found is not None:
        assert found == tomllib.loads(text)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_either_right_or_silent(pieces):
    same("\n".join(pieces))
    same("[case]\n" + "\n".join(pieces) + "\n")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=6), st.integers(0, 10**9))
def test_also_when_broken_anywhere(pieces, seed):
    rng = random.Random(seed)
    text = "[case]\n" + "\n".join(pieces)
    place = rng.randrange(len(text))
    same(text[:place] + rng.choice("\"\\'[]{}=.,#\n \x00\x85\u2028") + text[place + rng.randint(0, 2) :])


def test_it_does_read_plain_cases():
    text = '# a case\n[case]\ntitle = "x"\n\n[[goal]]\nid = "G"\nsupported_by = ["a", "b"]\nmode = { at_least = 2 }\n'
    text += '[[goal]]\nid = "H"\n'
    assert read_plain(text) == tomllib.loads(text)
