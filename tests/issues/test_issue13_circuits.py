"""Issue 13, section 4 (c) and (d): worst case by brute force, stability and ensembles by hand."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import Circuit, CircuitRunner, EdgeScores, Methodology, faithfulness_card
from toulmin.circuits.discovery.combine import combine_scores, greedy_circuit
from toulmin.circuits.edges import parse_edge
from toulmin.circuits.faithfulness import WorstCaseSearch
from toulmin.circuits.faithfulness.stability import stability
from toulmin.circuits.faithfulness.worst_case import worst_ablation
from toulmin.evidence import Store
from toulmin.faults import FaultError
from toulmin.patching import Graph
from toulmin.studies import Run, execute, find_study, re_derive
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import Pair, find_metric


def tiny(seed: int = 0) -> CircuitRunner:
    """One head and one MLP: eight edges."""
    sizes: dict[str, Any] = {
        "n_layers": 1,
        "d_model": 8,
        "n_heads": 1,
        "d_head": 4,
        "d_mlp": 12,
        "n_ctx": 8,
        "d_vocab": 11,
    }
    model = Transformer(TransformerConfig(**sizes), torch.Generator().manual_seed(seed)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += torch.randn(parameter.shape, generator=torch.Generator().manual_seed(seed + 1)).double()
    rng = np.random.default_rng(seed)
    pairs = [Pair(tuple(rng.integers(0, 11, 5)), tuple(rng.integers(0, 11, 5)), (1,), (2,)) for _ in range(4)]
    return CircuitRunner(model.requires_grad_(False), pairs)


def subsets(circuit: Circuit) -> list[Circuit]:
    names = list(circuit)
    return [Circuit.of(circuit.graph, some) for k in range(len(names) + 1) for some in combinations(names, k)]


@pytest.mark.parametrize(
    ("seed", "ablation", "metric"), [(0, "resample", "logit_diff"), (1, "zero", "loss"), (2, "resample", "loss")]
)
def test_the_worst_set_is_that_of_brute_force(seed: int, ablation: str, metric: str) -> None:
    runner = tiny(seed)
    circuit = Circuit.of(runner.graph, ["embed->L0.mlp", "L0.mlp->logits"])
    assert runner.graph.n_edges == 8
    method, sign = Methodology(ablation=ablation), find_metric(metric).sign  # type: ignore[arg-type]
    every = subsets(~circuit)
    assert len(every) == 64
    means = runner.scores([~one for one in every], method, [metric])[metric].mean(1)
    found = worst_ablation(runner, circuit, metric=metric, method=method)
    assert sign * found.worst.mean() == pytest.approx((sign * means).min(), abs=1e-10)
    assert found.removed[0] <= ~circuit
    each = worst_ablation(runner, circuit, metric=metric, method=method, per_prompt=True)
    assert len(each.removed) == 4
    alone = runner.scores([~one for one in every], method, [metric])[metric]
    assert each.worst == pytest.approx((sign * alone).min(0) * sign, abs=1e-10)
    assert "worst set" in str(found)


def test_what_has_no_worst_case_is_refused() -> None:
    runner = tiny()
    full, some = Circuit.full(runner.graph), Circuit.of(runner.graph, ["embed->L0.mlp"])
    with pytest.raises(FaultError, match="no edge is outside"):
        worst_ablation(runner, full)
    with pytest.raises(FaultError, match="has no means"):
        worst_ablation(runner, some, method=Methodology(ablation="mean_clean"), per_prompt=True)
    with pytest.raises(FaultError, match="no gradient"):
        worst_ablation(runner, some, metric="accuracy")
    with pytest.raises(FaultError, match="has positions"):
        worst_ablation(runner, some.at_positions(5))


GRAPH = Graph.transformer(2, 1, has_mlp=False)
A, B, C, D = "embed->L0.H0[Q]", "embed->L0.H0[K]", "L0.H0->logits", "embed->logits"


def test_stability_by_hand() -> None:
    circuits = [Circuit.of(GRAPH, names) for names in ([A, B], [A, C], [A, B, C], [A])]
    found = stability(circuits)
    assert list(found.core) == [A]
    assert set(found.contingent) == {B, C}
    assert found.frequency.sum() == pytest.approx(1 + 0.5 + 0.5)
    assert found.jaccard[0, 1] == pytest.approx(1 / 3)
    assert found.jaccard[0, 2] == pytest.approx(2 / 3)
    assert found.mean_jaccard == pytest.approx(np.mean([1 / 3, 2 / 3, 1 / 2, 2 / 3, 1 / 2, 1 / 3]))
    assert stability([circuits[0]] * 3).mean_jaccard == 1
    assert len(stability(circuits, threshold=0.5).core) == 3
    ten = [Circuit.of(GRAPH, [A, B])] * 9 + [Circuit.of(GRAPH, [A])]
    assert set(stability(ten).core) == {A, B}  # nine of ten are 90%
    assert "mean Jaccard" in str(found)
    with pytest.raises(FaultError, match="1 circuits cannot be compared"):
        stability(circuits[:1])
    with pytest.raises(FaultError, match="different models"):
        stability([circuits[0], Circuit.empty(Graph.transformer(1, 1))])


def scores(**values: float) -> EdgeScores:
    table = np.zeros(GRAPH.allowed.shape)
    names = {"a": A, "b": B, "c": C, "d": D}
    for key, value in values.items():
        table[parse_edge(GRAPH, names[key])] = value
    return EdgeScores(GRAPH, table, "by hand")


def test_ensembles_by_hand() -> None:
    first, second = scores(a=4, b=-2, c=1), scores(a=1, b=10, c=5)
    mean = combine_scores([first, second])
    assert (mean.at(A), mean.at(B), mean.at(C)) == pytest.approx(((1 + 0.1) / 2, (-0.5 + 1) / 2, (0.25 + 0.5) / 2))
    weighted = combine_scores([first, second], weights=[3, 1])
    assert weighted.at(A) == pytest.approx(0.75 + 0.025)
    ranks, n = combine_scores([first, second], how="ranks"), GRAPH.n_edges
    assert ranks.at(B) == pytest.approx(((n - 1) / n + 1) / 2)
    assert ranks.at(A) == pytest.approx((1 + (n - 2) / n) / 2)
    with pytest.raises(FaultError, match="all scores are zero"):
        combine_scores([first, scores()])
    with pytest.raises(FaultError, match="2 methods"):
        combine_scores([first, second], weights=[1])


def test_a_greedy_circuit_has_no_edge_that_leads_nowhere() -> None:
    """The best edge, into a head from which nothing is kept, waits until the head's own edge is taken."""
    found = scores(a=10, b=9, c=1, d=2)
    assert list(found.top(1)) == [A]
    assert list(greedy_circuit(found, 1)) == [D]
    assert set(greedy_circuit(found, 3)) == {D, C, A}
    assert greedy_circuit(found, 4).pruned() == greedy_circuit(found, 4)
    assert set(greedy_circuit(found, GRAPH.n_edges)) == set(Circuit.full(GRAPH))
    negative = scores(a=-10, c=1, d=-2)
    assert list(greedy_circuit(negative, 1)) == [D]
    assert list(greedy_circuit(negative, 1, signed=True)) == [C]


def small(seed: int) -> CircuitRunner:
    """Two layers of one head and one MLP: 23 edges."""
    sizes: dict[str, Any] = {
        "n_layers": 2,
        "d_model": 8,
        "n_heads": 1,
        "d_head": 4,
        "d_mlp": 16,
        "n_ctx": 4,
        "d_vocab": 11,
    }
    model = Transformer(TransformerConfig(**sizes, norm="layer"), torch.Generator().manual_seed(seed)).double()
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator).double() * 0.6)
    rng = np.random.default_rng(seed)
    pairs = [Pair(tuple(rng.integers(0, 11, 4)), tuple(rng.integers(0, 11, 4)), (1,), (2,)) for _ in range(4)]
    return CircuitRunner(model.requires_grad_(False), pairs)


@pytest.mark.slow
def test_the_search_finds_the_worst_of_16384_sets() -> None:
    """14 edges outside, every set of which is run; the search runs about 300 sets for all prompts together."""
    seed = 1
    runner = small(seed)
    names = [runner.graph.edge_name(i) for i in range(runner.graph.n_edges)]
    circuit = Circuit.of(runner.graph, [names[i] for i in np.random.default_rng(seed).permutation(23)[:9]])
    places, bits = np.argwhere((~circuit).table), np.arange(14)
    every: list[Circuit] = []
    for code in range(2**14):
        kept = np.array(runner.graph.allowed)
        kept[tuple(places.T)] = (code >> bits) & 1 == 0
        every.append(Circuit(runner.graph, kept))
    values = runner.scores(every, Methodology(), ["logit_diff"], together=1024)["logit_diff"]
    found = worst_ablation(runner, circuit)
    assert found.worst.mean() == pytest.approx(values.mean(1).min(), abs=1e-10)
    each = worst_ablation(runner, circuit, per_prompt=True)
    worse = (values < each.worst - 1e-10).sum(0)  # of each prompt, sets worse than the one found
    assert worse.max() <= 2**14 // 1000


def test_the_worst_case_is_a_row_of_the_card() -> None:
    """Beside the average: percent recovered of the worst of all 64 sets of outside edges, and the budget in words."""
    runner = tiny(0)
    circuit = Circuit.of(runner.graph, ["embed->L0.mlp", "L0.mlp->logits"])
    card = faithfulness_card(runner, circuit, metrics=["logit_diff"], worst_case=WorstCaseSearch(), resamples=50)
    sets = [~one for one in subsets(~circuit)]
    scores = runner.scores([*sets, Circuit.empty(runner.graph)], Methodology(), ["logit_diff"])["logit_diff"].mean(1)
    full = runner.full_scores(["logit_diff"])["logit_diff"].mean()
    assert card.worst is not None
    expected = 100 * (scores[:-1].min() - scores[-1]) / (full - scores[-1])
    assert card.worst.value == pytest.approx(expected, abs=1e-8)
    (table,) = [table for table in card.tables() if table.title == "worst case"]
    assert table.rows[0][1] == card.find(Methodology(), "logit_diff", "percent_of_means", "ablated").value
    assert table.rows[1][1] == card.worst.value
    assert "36 gradient steps" in (table.caption or "")
    assert faithfulness_card(runner, circuit, metrics=["logit_diff"], resamples=50).worst is None


def test_the_worst_case_is_a_measure_of_the_study(tmp_path: Path) -> None:
    settings = {"steps": 1, "toggled": 1, "rounds": 1}
    kind: Any = find_study("circuits.card")
    study = kind(**kind.presets["tiny"], worst_case=settings)
    store = Store(tmp_path / "store")
    evidence = execute(study, store, Run(tmp_path / "work"))
    assert re_derive(evidence, store) == []
    assert evidence.measures["worst_case"].value <= evidence.measures["recovered"].value + 1e-9
    assert "worst_case" not in find_study("circuits.card").preset("tiny").measure_specs()
