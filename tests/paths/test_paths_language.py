"""The path language against explicit lists of paths, and its errors."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from toulmin.faults import ExitCode, FaultError
from toulmin.patching import Graph, Link, PathSet
from toulmin.patching.position_classes import Port, split_name
from toulmin.paths import hypothesis
from toulmin.paths.space import make_space

GRAPH = Graph.transformer(2, 2)


def steps(path: tuple[Link, ...]) -> list[tuple[str, str, int]]:
    """From the input on: (component that writes, input it is read through, class of the offset)."""
    found = []
    for link in reversed(path):
        assert isinstance(link.label, Port)
        found.append((split_name(link.sender)[0], link.label.slot, link.label.offset))
    return found


def compiled(text: str, graph: Graph = GRAPH, length: int = 4, **options: Any) -> PathSet:
    h = hypothesis(text)
    return make_space(graph, [h], length, **options).compile(h)


def chosen(test) -> set[tuple]:
    everything = compiled("all")
    return {tuple(s) for s in map(steps, everything.paths()) if test(s)}


def texts(made: PathSet) -> set[tuple]:
    return {tuple(steps(path)) for path in made.paths()}


def visits(path: list[tuple[str, str, int]], *names: str) -> bool:
    return any(name in names for name, _, _ in path)


def _prev(s: list[tuple[str, str, int]]) -> bool:
    for i, (name, slot, _) in enumerate(s):
        if name == "L0.H0" and slot == "K" and s[i + 1][0] == "L1.H0":
            return not (i > 0 and s[i - 1][1] == "V")
    return False


def in_order(path: list[tuple[str, str, int]], *names: str) -> bool:
    """Whether the path visits the components one after the other, whatever is between them."""
    visited = iter(name for name, _, _ in path)
    return all(name in visited for name in names)


@pytest.mark.parametrize("joins", list(itertools.product(["->", "~>"], repeat=3)))
def test_each_join_of_a_long_chain_is_its_own(joins: tuple[str, ...]) -> None:
    """Four components: ``->`` takes only direct edges, ``~>`` whatever is between, at each place in the chain."""
    names = ("embed", "L0.H0", "L1.H0", "logits")
    text = names[0] + "".join(f" {join} {name}" for join, name in zip(joins, names[1:], strict=True))

    def holds(path: list[tuple[str, str, int]]) -> bool:
        visited = [name for name, _, _ in path]
        if not in_order(path, *names):
            return False
        places = [visited.index(name) for name in names]
        return all(join == "~>" or b == a + 1 for join, (a, b) in zip(joins, itertools.pairwise(places), strict=True))

    assert texts(compiled(text)) == chosen(holds)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("L1.H0 & !L1.H0", "no path is in both"),
        ("L1.H0 - L1.H{0,1}", "every path of the left side is taken away"),
        ("!embed", "every path is excluded"),
    ],
)
def test_an_empty_combination_says_how_it_became_empty(text: str, said: str) -> None:
    with pytest.raises(FaultError) as caught:
        compiled(text)
    assert [fault.message for fault in caught.value.faults] == [said]


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("all", lambda s: True),
        ("none", lambda s: False),
        ("embed -> logits", lambda s: len(s) == 2),
        ("L1.H0", lambda s: visits(s, "L1.H0")),
        ("!L1.H0", lambda s: not visits(s, "L1.H0")),
        ("~(L1.H0)", lambda s: not visits(s, "L1.H0")),
        ("L1.H{0,1}", lambda s: visits(s, "L1.H0", "L1.H1")),
        ("L1.H*", lambda s: visits(s, "L1.H0", "L1.H1")),
        ("L1.*", lambda s: visits(s, "L1.H0", "L1.H1", "L1.mlp")),
        ("L<1.mlp", lambda s: visits(s, "L0.mlp")),
        ("L0-1.mlp", lambda s: visits(s, "L0.mlp", "L1.mlp")),
        ("{L0.H0, L1.mlp}", lambda s: visits(s, "L0.H0", "L1.mlp")),
        ("L0.H0 -> L1.H1", lambda s: ("L0.H0", "L1.H1") in itertools.pairwise(n for n, _, _ in s)),
        ("L0.H0 ~> L1.H1", lambda s: visits(s, "L0.H0") and visits(s, "L1.H1")),
        ("[V] L1.H0", lambda s: any(a[1] == "V" and b[0] == "L1.H0" for a, b in itertools.pairwise(s))),
        ("L1.H0[QK]", lambda s: any(a[1] in "QK" and b[0] == "L1.H0" for a, b in itertools.pairwise(s))),
        ("embed ~> [Q|K] L1.H0 -> logits", lambda s: s[-2][0] == "L1.H0" and s[-3][1] in "QK"),
        ("embed -> * -> logits", lambda s: len(s) == 3),
        ("L0.H0 -> [K] L1.H0 - L0.H0[V] -> [K] L1.H0", _prev),
        ("(L0.H0 | L0.H1) & L1.mlp", lambda s: visits(s, "L0.H0", "L0.H1") and visits(s, "L1.mlp")),
        ("L0.H0\nL0.H1  # and this\n\n", lambda s: visits(s, "L0.H0", "L0.H1")),
    ],
)
def test_patterns_mean_what_they_say(text: str, test) -> None:
    made = compiled(text)
    everything = [s for s in map(steps, compiled("all").paths())]
    assert len(everything) == compiled("all").count()
    # steps end with the link into the output root, which names the logits
    assert texts(made) == {tuple(s) for s in everything if test(s)}


def test_algebra_in_python_is_that_of_the_text() -> None:
    a, b = hypothesis("L0.H0"), hypothesis("L1.mlp")
    space = make_space(GRAPH, [a, b], 4)
    for python, text in (
        (a | b, "L0.H0 | L1.mlp"),
        (a & b, "L0.H0 & L1.mlp"),
        (a - b, "L0.H0 - L1.mlp"),
        (~a, "!L0.H0"),
    ):
        assert space.compile(python) == space.compile(hypothesis(text))
        assert space.compile(hypothesis(python.text)) == space.compile(python)


def test_relative_positions() -> None:
    made = compiled("embed -> L0.H0[V@i-1] -> logits")
    assert {s[0] for s in texts(made)} == {("embed", "V", 1)}
    window = compiled("embed -> [V@i-2..i] L0.H0 -> logits", length=6)
    assert {s[0][2] for s in texts(window)} == {0}  # one class for offsets 0, 1, 2
    assert texts(compiled("embed@i-1 -> [V] L0.H0 -> logits")) == texts(made)
    both = hypothesis("L0.H0[V@i-3..i]\nL0.H0[V@i-1]\nL0.H0[K@..i-2]")
    assert make_space(GRAPH, [both], 6).classes.offsets.tolist() == [0, 1, 2, 2, 3, 3]


def test_absolute_and_named_positions() -> None:
    h = hypothesis("L0.H0@=-1 -> logits\nembed@subject -> logits")
    named = {"subject": np.array([0, 2])}
    space = make_space(GRAPH, [h], 4, named=named)
    assert space.classes.places.tolist() == [[0, 1, 1, 2], [1, 1, 0, 2]]
    at = {(split_name(p[-1].sender), p[0].sender) for p in space.compile(hypothesis("embed@subject -> logits")).paths()}
    assert at == {(("embed", 0), "logits@0")}
    last = space.compile(hypothesis("L0.H0@=-1 -> logits"))
    assert {p[0].sender for p in last.paths()} == {"logits@2"}
    assert make_space(GRAPH, [hypothesis("embed@=1..2 -> logits")], 4).classes.places.tolist() == [0, 1, 1, 0]


def test_edge_circuits_are_recognised() -> None:
    assert compiled("!L1.H0").is_edge_circuit()
    assert compiled("embed -> [V] L1.H0 -> logits\n!L1.H0", Graph.transformer(2, 2, has_mlp=False)).is_edge_circuit()
    assert not compiled("embed -> L0.H0[V@i-1] -> [K] L1.H0 -> logits\n!L1.H0").is_edge_circuit()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "paths.empty"),
        ("L0.H0 ->", "paths.syntax"),
        ("(L0.H0", "paths.syntax"),
        ("L0.H0[X]", "paths.syntax"),
        ("L0.H0 $ L1", "paths.syntax"),
        ("embed -> L0.H0 L1.H0", "paths.syntax"),
        ("[V] L0.H0[K]", "paths.syntax"),
        ("L7.H0", "paths.no_match"),
        ("L0.H9 -> logits", "paths.no_match"),
        ("embedding", "paths.no_match"),
        ("L0.mlp[V]", "paths.no_inputs"),
        ("embed@subject", "paths.unknown_position"),
        ("embed@=9", "paths.position"),
        ("L0.H0:copy", "paths.unknown_term"),
    ],
)
def test_bad_text_is_refused_with_its_place(text: str, code: str) -> None:
    with pytest.raises(FaultError) as caught:
        compiled(text)
    assert {fault.code for fault in caught.value.faults} == {code}
    if code == "paths.no_match":
        assert "nearest: " in str(caught.value)


def test_every_fault_is_listed() -> None:
    with pytest.raises(FaultError) as caught:
        hypothesis("L0.H0 ->\nembed\nL1.H0[W]")
    assert [fault.line for fault in caught.value.faults] == [1, 3]
    with pytest.raises(FaultError) as caught:
        compiled("L5.H0 | L6.H0\nL0.H0")
    assert len(caught.value.faults) == 2


def test_bound_on_copies() -> None:
    h = hypothesis("embed -> L0.H0[V@i-1] ~> logits")
    with pytest.raises(FaultError, match=r"pathset\.states") as caught:
        make_space(Graph.transformer(6, 8), [h], 16).compile(h, max_copies=3)
    assert caught.value.exit_code == ExitCode.LIMIT
