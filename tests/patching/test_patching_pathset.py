"""Path sets: the hand-worked graphs, the algebra, and the evaluator against an exponential brute force."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toulmin.faults import ExitCode, FaultError
from toulmin.patching.pathset import Automaton, Dag, Link
from toulmin.patching.scalar import ScalarGraph

SQUARES = ScalarGraph(
    {"a": lambda x: x * x, "b": lambda a, x: a * x, "y": lambda a, b, x: a + b + x},
    {"a": ["x"], "b": ["a", "x"], "y": ["a", "b", "x"]},
    "y",
)
CROSSED = ScalarGraph(
    {
        "u": lambda x: x,
        "v": lambda x: x * x,
        "m": lambda u, v: u + v,
        "p": lambda m: m * m,
        "q": lambda m: 10 * m,
        "y": lambda p, q: p + q,
    },
    {"u": ["x"], "v": ["x"], "m": ["u", "v"], "p": ["m"], "q": ["m"], "y": ["p", "q"]},
    "y",
)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], 3),
        (["x > y"], 5),
        (["x > a > y"], 11),
        (["x > b > y"], 5),
        (["x > a > b > y"], 11),
        (["x > b > y", "x > a > b > y"], 29),
        (["x > y", "x > a > y", "x > b > y", "x > a > b > y"], 39),
    ],
)
def test_hand_worked_squares(paths: list[str], expected: float) -> None:
    assert SQUARES.patched(SQUARES.paths(*paths), {"x": 3}, {"x": 1}) == expected


def test_paths_are_more_than_edges() -> None:
    """Two chains that cross at m: their edge closure admits two more paths and another output."""
    chains = CROSSED.paths("x > u > m > p > y", "x > v > m > q > y")
    assert CROSSED.patched(chains, {"x": 3}, {"x": 1}) == 116
    assert CROSSED.patched(chains.edge_closure(), {"x": 3}, {"x": 1}) == 264
    assert CROSSED.patched(CROSSED.dag.no_paths(), {"x": 3}, {"x": 1}) == 24
    assert not chains.is_edge_circuit()
    assert chains.edge_closure().is_edge_circuit()
    assert chains.edge_closure().count() == 4


def brute_force(graph: ScalarGraph, chosen: set[tuple[Link, ...]], clean: dict, counterfactual: dict) -> float:
    """Evaluate the treeified graph copy by copy: exponential, written from the definition."""

    def copy(node: str, suffix: tuple[Link, ...]) -> float:
        links = graph.dag.in_links[node]
        if not links:
            return (clean if suffix in chosen else counterfactual)[node]
        return graph.functions[node](*(copy(link.sender, (*suffix, link)) for link in links))

    return copy(graph.dag.output, ())


@st.composite
def graphs(draw: st.DrawFn) -> ScalarGraph:
    n_inputs, n_nodes = draw(st.integers(1, 2)), draw(st.integers(1, 5))
    names = [f"x{i}" for i in range(n_inputs)]
    functions, senders = {}, {}
    for index in range(n_nodes):
        chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=3))
        weights = draw(st.lists(st.integers(-3, 3), min_size=len(chosen) + 1, max_size=len(chosen) + 1))
        name = f"n{index}"
        functions[name] = lambda *v, w=weights: (
            math.tanh(w[0] + sum(a * b for a, b in zip(w[1:], v, strict=True))) + v[0]
        )
        senders[name] = chosen
        names.append(name)
    return ScalarGraph(functions, senders, f"n{n_nodes - 1}")


@st.composite
def automata(draw: st.DrawFn, graph: ScalarGraph) -> Automaton:
    links = sorted({link for node in graph.dag.order for link in graph.dag.in_links[node]}, key=str)
    states = range(draw(st.integers(1, 4)))
    moves = draw(
        st.lists(
            st.tuples(st.sampled_from(states), st.sets(st.sampled_from(links)), st.sampled_from(states)), max_size=10
        )
    )
    return Automaton(
        frozenset({0}),
        tuple((a, frozenset(s).__contains__, b) for a, s, b in moves),
        frozenset(draw(st.sets(st.sampled_from(states)))),
    )


def accepts(automaton: Automaton, path: tuple[Link, ...]) -> bool:
    states = automaton.start
    for link in path:
        states = automaton.advance(states, link)
    return bool(states & automaton.accept)


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_random_regular_sets_against_brute_force(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    automaton = data.draw(automata(graph))
    everything = list(graph.dag.all_paths().paths())
    wanted = {path for path in everything if accepts(automaton, path)}
    made = graph.dag.accepted_by(automaton)
    assert set(made.paths()) == wanted
    assert made.count() == len(wanted)
    assert made == graph.dag.of_paths(wanted)  # canonical: the same set is the same state
    assert made.links() == {link for path in wanted for link in path}
    clean = {name: 0.3 + i for i, name in enumerate(graph.dag.inputs)}
    counterfactual = {name: -0.7 * (i + 1) for i, name in enumerate(graph.dag.inputs)}
    assert graph.patched(made, clean, counterfactual) == brute_force(graph, wanted, clean, counterfactual)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_algebra_is_that_of_sets(data: st.DataObject) -> None:
    graph = data.draw(graphs())
    everything = set(graph.dag.all_paths().paths())
    a, b = (data.draw(st.sets(st.sampled_from(sorted(everything, key=str)))) for _ in range(2))
    set_a, set_b = graph.dag.of_paths(a), graph.dag.of_paths(b)
    assert set((set_a | set_b).paths()) == a | b
    assert set((set_a & set_b).paths()) == a & b
    assert set((set_a - set_b).paths()) == a - b
    assert set((~set_a).paths()) == everything - a
    assert (set_a <= set_b) == (a <= b)
    assert ~~set_a == set_a
    assert set_a | ~set_a == graph.dag.all_paths()
    used = {link for path in a for link in path}
    assert set(set_a.edge_closure().paths()) == {p for p in everything if set(p) <= used}


def ladder(depth: int) -> ScalarGraph:
    """Two nodes a rung, each reading both of the last rung: 2 ** depth paths."""
    senders = {f"{s}0": ["x"] for s in "ab"} | {
        f"{s}{i}": [f"a{i - 1}", f"b{i - 1}"] for i in range(1, depth) for s in "ab"
    }
    senders["y"] = [f"a{depth - 1}", f"b{depth - 1}"]
    return ScalarGraph({node: lambda *v: sum(v) for node in senders}, senders, "y")


def test_counts_do_not_enumerate() -> None:
    graph = ladder(200)
    assert graph.dag.all_paths().count() == 2**200
    through = graph.dag.accepted_by(
        Automaton(
            frozenset({0}),
            ((0, lambda _: True, 0), (0, lambda link: link.sender == "a7", 1), (1, lambda _: True, 1)),
            frozenset({1}),
        )
    )
    assert through.count() == 2**199
    assert through.n_states() == 1
    assert through.n_copies() == 1 + 2 * 192
    assert graph.patched(through, {"x": 1}, {"x": 0}) == 2**199


def test_bound_on_states() -> None:
    graph = ladder(8)
    odd = {p for i, p in enumerate(graph.dag.all_paths().paths()) if i % 3 == 0}
    made = graph.dag.of_paths(odd)
    with pytest.raises(FaultError, match=r"pathset\.states") as caught:
        made.bound(3)
    assert caught.value.exit_code == ExitCode.LIMIT
    automaton = Automaton(
        frozenset({0}),
        tuple((i, lambda _: True, j) for i, j in itertools.product(range(1), range(1))),
        frozenset({0}),
    )
    with pytest.raises(FaultError, match=r"pathset\.states"):
        graph.dag.accepted_by(automaton, max_states=4)


def test_bad_graphs_and_paths_are_refused() -> None:
    with pytest.raises(FaultError, match=r"pathset\.cycle"):
        Dag({"a": [Link("b", "a")], "b": [Link("a", "b")]}, "a")
    with pytest.raises(FaultError, match=r"pathset\.unknown_node"):
        Dag({"a": [Link("z", "a")]}, "a")
    with pytest.raises(FaultError, match=r"scalar\.unknown_path"):
        SQUARES.paths("x > q > y")
    with pytest.raises(FaultError, match=r"pathset\.not_a_path"):
        SQUARES.dag.of_paths([(Link("a", "y", 0),)])
    known = {(link.sender, link.receiver): link for links in SQUARES.dag.in_links.values() for link in links}
    for path, node in (
        ((known["x", "b"],), "y"),  # a link of the graph, which does not end at the output
        ((known["b", "y"], known["x", "a"]), "b"),  # one that ends elsewhere than the last began
        ((Link("q", "y", 0),), "y"),  # no link of the graph, though it ends at the output
    ):
        with pytest.raises(FaultError, match=f"does not continue a path at {node}"):
            SQUARES.dag.of_paths([path])
    with pytest.raises(FaultError, match=r"pathset\.graphs"):
        _ = SQUARES.dag.all_paths() | CROSSED.dag.all_paths()
