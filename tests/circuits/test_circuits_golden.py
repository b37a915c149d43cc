"""AutoCircuit 1.0.1's patched outputs, metrics and ACDC on the golden model, through our own calls."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits.circuit import Circuit
from toulmin.circuits.discovery.acdc import Acdc
from toulmin.circuits.faithfulness.recovered import recovered
from toulmin.circuits.formats import from_autocircuit, from_autocircuit_name, to_autocircuit_name
from toulmin.circuits.methodology import Ablation, Direction, Methodology
from toulmin.circuits.runner import CircuitRunner
from toulmin.tasks.pair import Pair

VALUES: dict[str, Ablation] = {
    "RESAMPLE": "resample",
    "ZERO": "zero",
    "TOKENWISE_MEAN_CLEAN": "mean_clean",
    "TOKENWISE_MEAN_CORRUPT": "mean_counterfactual",
    "TOKENWISE_MEAN_CLEAN_AND_CORRUPT": "mean_both",
    "BATCH_TOKENWISE_MEAN": "batch_mean",
    "BATCH_ALL_TOK_MEAN": "batch_mean_all_positions",
}
PATCHES: tuple[tuple[str, Direction], ...] = (("TREE_PATCH", "noising"), ("EDGE_PATCH", "denoising"))


def bench_of(golden: Any, rows: int = 12) -> CircuitRunner:
    case = golden.case
    columns = zip(case["clean"], case["corrupt"], case["answers"], case["wrong"], strict=True)
    pairs = [Pair(tuple(c), tuple(x), tuple(a), tuple(w), unit=str(i)) for i, (c, x, a, w) in enumerate(columns)]
    return CircuitRunner(golden.model, pairs[:rows], batch=4)


def test_names_and_graph(golden: Any) -> None:
    graph = bench_of(golden).graph
    theirs = set(golden.case["edges"])
    ours = {to_autocircuit_name(graph.edge_name(i)) for i in range(graph.n_edges)}
    assert ours == theirs
    assert {from_autocircuit_name(name) for name in theirs} == {graph.edge_name(i) for i in range(graph.n_edges)}


def test_patched_outputs_of_every_circuit(golden: Any) -> None:
    """Five circuits x seven ablations x two directions within 1e-10."""
    runner = bench_of(golden)
    circuits = [from_autocircuit(runner.graph, c["edges"]) for c in golden.case["circuits"]]
    checked = 0
    for name, value in VALUES.items():
        for patch, direction in PATCHES:
            method = Methodology(ablation=value, direction=direction)
            logits = torch.cat([out for _, out in runner.run(circuits, method)], 1)
            for row, circuit in zip(logits, golden.case["circuits"], strict=True):
                expected = torch.tensor(circuit["outputs"][f"{patch}/{name}"], dtype=torch.float64)
                torch.testing.assert_close(row, expected, rtol=0, atol=1e-10)
                checked += 1
    assert checked == 70


def test_metrics_of_every_circuit(golden: Any) -> None:
    runner = bench_of(golden)
    circuits = [from_autocircuit(runner.graph, c["edges"]) for c in golden.case["circuits"]]
    full = runner.full_scores(["logit_diff"])["logit_diff"]
    for name, value in VALUES.items():
        scores = runner.scores(circuits, Methodology(ablation=value), ["logit_diff", "kl"])
        for row, circuit in enumerate(golden.case["circuits"]):
            wanted, ours = circuit["metrics"][name], scores["logit_diff"][row]
            none = np.zeros_like(full)
            means = recovered(ours, full, none, "percent_of_means", baseline="zero")
            percents = recovered(ours, full, none, "mean_of_percents", baseline="zero")
            assert means.value == pytest.approx(wanted["pct_of_mean"], abs=1e-8)
            assert percents.value == pytest.approx(wanted["mean_of_pct"], abs=1e-8)
            assert percents.percents.std(ddof=1) == pytest.approx(wanted["std_of_pct"], abs=1e-8)
            assert scores["kl"][row].mean() == pytest.approx(wanted["kl"], abs=1e-10)


@pytest.mark.parametrize("speculate", [1, 5, 64])
def test_acdc_keeps_their_edges(golden: Any, speculate: int) -> None:
    runner = bench_of(golden, rows=4)
    order = [from_autocircuit_name(name) for name in golden.case["acdc_order"]]
    for tau, kept in golden.case["acdc_kept_edges"].items():
        found = Acdc(tau=float(tau), order=tuple(order), speculate=speculate).remove(runner)
        assert found.circuit == Circuit.of(runner.graph, [from_autocircuit_name(name) for name in kept])
        assert found.edges == runner.graph.n_edges
        if speculate == 1:
            assert found.circuits_run == found.batches_run == found.edges
