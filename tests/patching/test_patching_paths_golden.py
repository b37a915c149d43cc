"""Path sets on Transformers: the golden outputs, and known answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from toulmin.patching import ROOT, Graph, Link, PathSet, Port, PositionClasses, refine, run_paths
from toulmin.subjects import Transformer

Load = Callable[[str], tuple[Transformer, dict]]


def links_of(path: str) -> tuple[Link, ...]:
    """``embed@0>L0.H1.V@3>logits@3`` as links from the output backwards, every position a class of its own."""
    steps = path.split(">")
    links: list[Link] = []
    receiver, place, slot = "logits", int(steps[-1].split("@")[1]), "in"
    links.append(Link(f"logits@{place}", ROOT, Port("out")))
    for step in reversed(steps[:-1]):
        name, at = step.split("@")
        component, sender_slot = name, "in"
        if ".H" in name:
            component, sender_slot = name.rsplit(".", 1)
        links.append(Link(f"{component}@{at}", f"{receiver}@{place}", Port(slot)))
        receiver, place, slot = component, int(at), sender_slot
    return tuple(links)


@pytest.mark.parametrize("name", ["A_attn2_noln", "C_mlp2_ln", "E_short2_ln"])
def test_golden_path_sets(golden_model: Load, name: str) -> None:
    """All sets of a model in one call: outputs to 1e-10, numbers of paths, and which are edge circuits."""
    model, case = golden_model(name)
    graph, classes = Graph.of(model), PositionClasses.everywhere(case["cfg"]["T"])
    dag = refine(graph, classes)
    clean = torch.tensor([pair["x_r"] for pair in case["pairs"]])
    counterfactual = torch.tensor([pair["x_c"] for pair in case["pairs"]])
    sets: list[PathSet] = []
    for one in case["cases"]:
        paths = case["all_paths"] if one["paths"] == "ALL" else one["paths"]
        sets.append(dag.of_paths(links_of(path) for path in paths))
        assert sets[-1].count() == one["n_paths"], one["name"]
        assert sets[-1].is_edge_circuit() == one["edge_expressible"], one["name"]
    assert dag.all_paths().count() == len(case["all_paths"])
    wanted = torch.tensor([one["patched_logits"] for one in case["cases"]], dtype=torch.float64)
    with torch.no_grad():
        got = run_paths(model, sets, clean, counterfactual, graph=graph, classes=classes, scored="all")
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-10)
        for max_bytes in (2_000_000, 500_000):  # pairs and then sets in chunks
            again = run_paths(
                model, sets, clean, counterfactual, graph=graph, classes=classes, scored="all", max_bytes=max_bytes
            )
            torch.testing.assert_close(again, wanted, rtol=0, atol=1e-10)
    graded = run_paths(model, sets, clean, counterfactual, graph=graph, classes=classes, scored="all")
    torch.testing.assert_close(graded, wanted, rtol=0, atol=1e-10)
    flipped = run_paths(model, sets, clean.flip(0), counterfactual.flip(0), graph=graph, classes=classes, scored="all")
    torch.testing.assert_close(flipped.flip(1), wanted, rtol=0, atol=1e-10)
