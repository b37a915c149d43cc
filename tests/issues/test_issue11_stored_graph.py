"""A stored graph comes back whole: a circuit's file dropped split embeddings."""

from __future__ import annotations

import json

import numpy as np
import pytest

from toulmin.circuits import Circuit
from toulmin.patching import Graph

GRAPHS = [
    Graph.transformer(2, 2, split_embed=True),
    Graph.transformer(2, 2, merged_qkv=True, has_mlp=False, parallel=True),
    Graph.transformer(1, 2).split({"L0.mlp": ["feature", "error"]}),
]


@pytest.mark.parametrize("graph", GRAPHS, ids=["split", "merged", "terms"])
def test_a_circuit_keeps_its_graph(graph: Graph) -> None:
    circuit = Circuit.random(graph, 5, np.random.default_rng(0))
    again = Circuit.from_json(json.loads(json.dumps(circuit.to_json())))
    assert again == circuit
    assert again.graph == graph
    assert again.digest() == circuit.digest()
    assert len({Circuit.full(other).digest() for other in GRAPHS}) == len(GRAPHS)
