"""A graph as data: its edges, its JSON, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from toulmin.faults import FaultError
from toulmin.patching import Component, Graph, Stage

SKIP = Graph(
    (Component("x", sources=("x",)), Component("bias", sources=("bias",))),
    (
        Stage("a", (Component("a", ("a",), ("a.0", "a.1")),), ("x",)),
        Stage("b", (Component("b", ("b.left", "b.right"), ("b",)),), ("x", "a.1"), layer=1),
        Stage("out", (Component("out", ("out",)),), ("a.0", "b"), layer=2),
    ),
)
GRAPHS = {
    "plain": Graph.transformer(2, 3),
    "attention only": Graph.transformer(2, 3, has_mlp=False),
    "parallel": Graph.transformer(2, 3, parallel=True),
    "merged": Graph.transformer(2, 3, merged_qkv=True),
    "split embedding": Graph.transformer(2, 3, split_embed=True),
    "split into terms": Graph.transformer(2, 3).split({"L0.mlp": ["f1", "error"], "L1.H2": ["in", "out"]}),
    "of a user": SKIP,
}


@pytest.mark.parametrize("kind", GRAPHS)
def test_a_graph_comes_back_whole(kind: str) -> None:
    graph = GRAPHS[kind]
    again = Graph.from_json(json.loads(json.dumps(graph.to_json())))
    assert again == graph
    assert hash(again) == hash(graph)
    assert (again.sources, again.receivers) == (graph.sources, graph.receivers)
    assert np.array_equal(again.allowed, graph.allowed)
    assert sum(other == graph for other in GRAPHS.values()) == 1


def test_edges_of_a_small_graph_by_hand() -> None:
    assert SKIP.sources == ("x", "bias", "a.0", "a.1", "b")
    assert SKIP.receivers == ("a", "b.left", "b.right", "out")
    assert [SKIP.edge_name(index) for index in range(SKIP.n_edges)] == [
        "x->a", "x->b.left", "a.1->b.left", "x->b.right", "a.1->b.right", "a.0->out", "b->out",
    ]  # fmt: skip
    assert SKIP.source_layer.tolist() == [-1, -1, 0, 0, 1]
    assert SKIP.receiver_layer.tolist() == [0, 1, 1, 2]
    with pytest.raises(FaultError, match="only the graph of a Transformer"):
        _ = SKIP.n_heads


def test_every_term_has_the_edges_of_its_component() -> None:
    whole, split = GRAPHS["plain"], GRAPHS["split into terms"]
    assert split.terms == {"L0.mlp": ("f1", "error"), "L1.H2": ("in", "out")}
    for index in range(split.n_edges):
        source, receiver = split.edge_name(index).split("->")
        assert split.allowed[split.source_number[source], split.receivers.index(receiver)]
        assert whole.edge_index(f"{source.split(':')[0]}->{receiver}") >= 0
    assert split.n_edges == whole.n_edges + int(
        whole.allowed[[whole.sources.index(name) for name in ("L0.mlp", "L1.H2")]].sum()
    )
    assert split.split(split.terms) == split
    merged = GRAPHS["merged"].split({"L0.mlp": ["f1", "error"], "L1.H2": ["in", "out"]})
    assert merged.unmerged == split


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"format": "toulmin.graph/9"}, "not a graph in the format toulmin.graph/1: 'toulmin.graph/9'"),
        ({"colour": 1}, r"\[colour\]: unknown key"),
        ({"transformer": {"n_layers": 2, "n_heads": 3}}, r"\[transformer.has_mlp\]: this key is missing"),
        ({"transformer": {**GRAPHS["plain"].to_json()["transformer"], "n_layers": 0}}, "0 is not a positive number"),
        ({"transformer": {**GRAPHS["plain"].to_json()["transformer"], "parallel": 1}}, "1 is neither true nor false"),
        ({"transformer": 3}, r"\[transformer\]: expected a table"),
        ({"terms": {"L0.mlp": "f1"}}, r"\[terms.L0.mlp\]: expected a list of names"),
        ({"terms": {"L9.mlp": ["f1"]}}, r"\[L9.mlp\]: no such component"),
    ],
)
def test_bad_json_of_a_transformer_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(FaultError, match=expected):
        Graph.from_json({**GRAPHS["plain"].to_json(), **change}, "graph.json")


def test_bad_json_of_stages_names_every_fault() -> None:
    data = json.loads(json.dumps(SKIP.to_json()))
    data["stages"][1] |= {"layer": "two", "reads": "x", "extra": 1}
    data["components"][0]["name"] = 7
    with pytest.raises(FaultError) as caught:
        Graph.from_json(data)
    assert [fault.name for fault in caught.value.faults] == [
        "components[0].name", "stages[1].extra", "stages[1].layer", "stages[1].reads",
    ]  # fmt: skip
    for stages in (7, "two", [1, 2], {"name": "x"}):
        with pytest.raises(FaultError) as caught:
            Graph.from_json({**SKIP.to_json(), "stages": stages})
        assert "stages" in {fault.name for fault in caught.value.faults}
    for bad in (None, [], {}, "x"):
        with pytest.raises(FaultError, match="not a graph in the format"):
            Graph.from_json(bad)


def test_stages_that_fit_no_graph_are_refused() -> None:
    x = (Component("x", sources=("x",)),)

    def stage(name: str, reads: tuple[str, ...], sources: tuple[str, ...]) -> Stage:
        return Stage(name, (Component(name, (name,), sources),), reads)

    out = stage("out", ("a",), ())
    cases = {
        "reads what no earlier stage writes": [stage("a", ("y",), ("a",)), out],
        "two sources have the same name": [stage("a", ("x",), ("x", "a")), out],
        "two components have the same name": [stage("a", ("x",), ("a",)), stage("a", ("x",), ("b",)), out],
        "the last stage computes the output": [stage("a", ("x",), ("a",))],
        "only the last stage writes no source": [stage("a", ("x",), ("a",)), stage("b", ("x",), ()), out],
        "a name must not be empty": [stage("a", ("x",), ("a", "b c")), out],
        "a stage needs inputs": [stage("a", ("x",), ("a",)), stage("b", (), ("b",)), out],
    }
    for message, stages in cases.items():
        with pytest.raises(FaultError, match=message):
            Graph(x, tuple(stages))
    for inputs in ((), (Component("x"),)):  # none, and one that writes nothing
        with pytest.raises(FaultError, match="needs an input of the model with a source"):
            Graph(inputs, (stage("a", ("x",), ("a",)), out))
