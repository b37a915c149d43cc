"""Hypotheses that mean no path, and names that mean no component, are errors with the nearest names."""

from __future__ import annotations

import pytest

from toulmin.faults import FaultError
from toulmin.patching import Graph
from toulmin.paths import hypothesis
from toulmin.paths.space import make_space

GRAPH = Graph.transformer(2, 8)


def faults_of(text: str, graph: Graph = GRAPH, length: int = 16) -> list[tuple[str, str, str]]:
    """Code, name and hint of every fault of a hypothesis; fails where it has none."""
    h = hypothesis(text)
    with pytest.raises(FaultError) as caught:
        make_space(graph, [h], length).compile(h)
    return [(fault.code, fault.name or "", fault.hint or "") for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "name", "near"),
    [
        ("L1.H0 -> L0.H0", "L1.H0 -> L0.H0", "did you mean L0.H0 -> L1.H0?"),
        ("L1.H0 ~> L0.H0", "L1.H0 ~> L0.H0", "did you mean L0.H0 ~> L1.H0?"),
        ("L1.H0 -> L1.H3", "L1.H0 -> L1.H3", "L1.H3 reads from L0.H0"),
        ("embed -> L0.H1 -> L0.H2 -> logits", "embed -> L0.H1 -> L0.H2 -> logits", "L0.H1 is read by"),
        ("logits -> L0.H0", "logits -> L0.H0", "did you mean L0.H0 -> logits?"),
        ("L0.H0 -> embed", "L0.H0 -> embed", "did you mean embed -> L0.H0?"),
        ("embed@i-1 -> [Q] L0.H0", "embed@i-1 -> L0.H0[Q]", "Q reads the position"),
        ("embed@=3 -> [V] L0.H0@=1 -> logits", "embed@=3 -> L0.H0[V]@=1 -> logits", ""),
        ("L1.H0 & !L1.H0", "L1.H0 & !L1.H0", "write 'none'"),
        ("L1.H0 - L1.H{0,1}", "L1.H0 - L1.H{0,1}", "write 'none'"),
        ("!embed", "!embed", "write 'none'"),
    ],
)
def test_a_hypothesis_without_a_path_is_an_error(text: str, name: str, near: str) -> None:
    ((code, said, hint),) = faults_of(text)
    assert (code, said) == ("paths.no_path", name)
    assert near in hint


def test_an_empty_line_among_others_is_found_and_named_once() -> None:
    assert [name for _, name, _ in faults_of("L0.H0\nL1.H0 -> L0.H0\n(L1.H1 -> L0.H1) & L1.mlp")] == [
        "L1.H0 -> L0.H0",
        "L1.H1 -> L0.H1",
    ]


@pytest.mark.parametrize(
    ("text", "names", "near"),
    [
        ("L1.H{0,9,11}", ["L1.H9", "L1.H11"], "L1.H"),
        ("L1.H2-9", ["L1.H8-9"], "L1.H"),
        ("L0-4.mlp", ["L2-4.mlp"], "L1.mlp"),
        ("L{0,5}.H1", ["L5.H1"], "L1.H1"),
        ("{L0.H0, L7.H0, embd}", ["L7.H0", "embd"], "embed"),
        ("L1.H{0,<0}", ["L1.H<0"], "L1.H"),
        ("L>1.H0", ["L>1.H0"], "L1.H0"),
    ],
)
def test_every_part_of_a_name_must_match(text: str, names: list[str], near: str) -> None:
    found = faults_of(text)
    assert [(code, name) for code, name, _ in found] == [("paths.no_match", name) for name in names]
    assert near in found[-1][2]


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[V@i-50] L1.H0", "@i-50"),
        ("[V@i-16] L1.H0", "@i-16"),
        ("[V@i-20..i] L1.H0", "@i-20..i"),
        ("[V@..i-16] L1.H0", "@..i-16"),
        ("[V@i-1..i-3] L1.H0", "@i-1..i-3"),
        ("embed@=5..2", "@=5..2"),
        ("embed@=16", "@=16"),
    ],
)
def test_positions_outside_the_prompt_and_empty_ranges(text: str, where: str) -> None:
    ((code, name, hint),) = faults_of(text)
    assert (code, name) == ("paths.position", where)
    assert hint


def test_what_is_meant_to_be_empty_or_reaches_the_end_is_none() -> None:
    for text in ("none", "none | L0.H0", "[V@i-15] L1.H0", "[V@..i-15] L1.H0", "embed@=-16", "L<9.mlp", "L1.*"):
        h = hypothesis(text)
        assert bool(make_space(GRAPH, [h], 16).compile(h)) == (text != "none")


def test_the_members_of_a_model_without_mlps() -> None:
    ((code, name, _),) = faults_of("{L0.H0, L0.mlp}", Graph.transformer(2, 8, has_mlp=False))
    assert (code, name) == ("paths.no_match", "L0.mlp")
