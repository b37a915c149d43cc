"""The runner: what replaced edges carry, what is kept in memory, and prompts of several lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from toulmin.circuits import Circuit, CircuitRunner, Methodology
from toulmin.circuits.discovery import exact_effects
from toulmin.circuits.discovery.acdc import _Search
from toulmin.circuits.edges import edge_name
from toulmin.circuits.faithfulness import worst_knockout
from toulmin.faults import FaultError
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.tasks import Pair

VOCABULARY = 11


def small() -> Transformer:
    sizes: dict[str, Any] = {"n_layers": 2, "d_model": 8, "n_heads": 2, "d_head": 4, "n_ctx": 6, "d_mlp": 8}
    model = Transformer(TransformerConfig(d_vocab=VOCABULARY, **sizes), torch.Generator().manual_seed(0)).double()
    return model.requires_grad_(False)


def pairs_of(lengths: list[int]) -> list[Pair]:
    rng = np.random.default_rng(0)
    found = []
    for index, length in enumerate(lengths):
        clean, other = (tuple(int(t) for t in rng.integers(0, VOCABULARY, length)) for _ in range(2))
        answer, wrong = rng.choice(VOCABULARY, 2, replace=False)
        found.append(Pair(clean, other, (int(answer),), (int(wrong),), unit=f"u{index // 2}"))
    return found


@pytest.fixture(scope="module")
def runner() -> CircuitRunner:
    return CircuitRunner(small(), pairs_of([4, 6, 4, 4, 6, 4, 4]), batch=2)


def test_batches_have_one_length_and_scores_keep_the_order_of_prompts(runner: CircuitRunner) -> None:
    assert runner.lengths == (4, 6)
    assert [len(batch) for batch in runner.batches] == [2, 2, 1, 2]
    assert runner.units == ("u0", "u0", "u1", "u1", "u2", "u2", "u3")
    together = runner.full_scores(["logit_diff", "loss"])
    for index, pair in enumerate(runner.pairs):
        logits = runner.model(torch.tensor([pair.clean]))[0, -1]
        assert together["logit_diff"][index] == pytest.approx(float(logits[pair.answers[0]] - logits[pair.wrong[0]]))
        loss = -float(logits.log_softmax(-1)[pair.answers[0]])
        assert together["loss"][index] == pytest.approx(loss)


def test_what_replaced_edges_carry_under_each_ablation(runner: CircuitRunner) -> None:
    for direction, side in (("noising", "counterfactual"), ("denoising", "clean")):
        for index, batch in enumerate(runner.batches):
            length = batch.clean.shape[1]
            members = [i for i, b in enumerate(runner.batches) if b.clean.shape[1] == length]
            whole = {
                s: torch.cat([runner.sources(i, s).values for i in members], 1) for s in ("clean", "counterfactual")
            }
            own = runner.sources(index, side).values
            expected = {
                "resample": own,
                "zero": torch.zeros_like(own),
                "mean_clean": whole["clean"].mean(1, keepdim=True),
                "mean_counterfactual": whole["counterfactual"].mean(1, keepdim=True),
                "mean_both": torch.cat([whole["clean"], whole["counterfactual"]], 1).mean(1, keepdim=True),
                "batch_mean": own.mean(1, keepdim=True),
                "batch_mean_all_positions": own.mean((1, 2), keepdim=True),
            }
            for ablation, values in expected.items():
                method = Methodology(ablation=ablation, direction=direction)  # type: ignore[arg-type]
                found = runner.values(index, method).expand_as(own)
                torch.testing.assert_close(found, values.expand_as(own), rtol=0, atol=1e-12)


def test_the_cache_is_bounded_and_changes_no_result(runner: CircuitRunner) -> None:
    circuit = Circuit.random(runner.graph, 20, np.random.default_rng(1))
    expected = runner.scores([circuit], Methodology(), ["kl", "logit_diff"])
    one = runner.sources(0, "clean").nbytes
    for bound in (0, one, 10 * one):
        bounded = CircuitRunner(runner.model, runner.pairs, batch=2, cache_bytes=bound)
        first = bounded.sources(0, "clean")
        assert (bounded.sources(0, "clean") is first) == (bound >= one)
        if bound == one:
            assert bounded.sources(0, "counterfactual") is not bounded.sources(0, "counterfactual")
        found = bounded.scores([circuit], Methodology(), ["kl", "logit_diff"])
        for name in expected:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-12)


def test_what_cannot_be_run_is_refused(runner: CircuitRunner) -> None:
    empty = Circuit.empty(runner.graph)
    with pytest.raises(FaultError, match="no constants were learned for prompts of 4"):
        runner.scores([empty], Methodology(ablation="learned"), ["kl"])
    with pytest.raises(FaultError, match="positions"):
        runner.scores([Circuit.empty(runner.graph, 4)], Methodology(), ["kl"])  # some prompts have 6 tokens

    def broken(logits: torch.Tensor, batch: Any) -> torch.Tensor:
        return torch.where(torch.arange(len(batch)) == 0, torch.nan, logits[..., 0])

    def other(logits: torch.Tensor, batch: Any) -> torch.Tensor:
        return logits[..., 0] / 0

    with pytest.raises(FaultError, match="NaN") as caught:
        runner.scores([empty], Methodology(), [broken, "kl", other])
    assert {fault.name for fault in caught.value.faults} == {"broken", "other"}


def test_two_metrics_of_one_name_are_refused(runner: CircuitRunner) -> None:
    with pytest.raises(FaultError) as caught:
        runner.full_scores(["kl", "loss", "kl"])
    assert [(fault.code, fault.name) for fault in caught.value.faults] == [("circuits.metric", "kl")]


def test_no_edges_have_no_effects(runner: CircuitRunner) -> None:
    assert exact_effects(runner, edges=[]).values.shape == runner.graph.allowed.shape
    assert not exact_effects(runner, edges=[]).values.any()


def test_the_worst_knockout_of_one_edge_is_the_worst_of_all() -> None:
    runner = CircuitRunner(small(), pairs_of([4, 4, 4]))
    circuit = Circuit.of(runner.graph, ["embed->L0.H0[V]", "L0.H0->logits", "L0.mlp->logits"])
    singles = [Circuit.of(runner.graph, [name]) for name in circuit]
    found = worst_knockout(runner, circuit, size=1, steps=2, randoms=40)  # which draw each of the three
    distances = []
    for edge in singles:
        [(_, logits)] = list(runner.run([circuit - edge, Circuit.full(runner.graph) - edge], Methodology()))
        kept, model = logits.log_softmax(-1)
        distances.append(float((model.exp() * (model - kept)).sum(-1).mean()))
    assert found == singles[int(np.argmax(distances))]
    with pytest.raises(FaultError, match="a knockout of 0 of 3 edges"):
        worst_knockout(runner, circuit, size=0)


def test_acdc_names_the_edge_whose_removal_gives_nan(runner: CircuitRunner) -> None:
    search = _Search(runner, [(edge.source, edge.receiver) for edge in runner.graph.edges], per_position=False)
    ahead = search.edges[:3]
    with pytest.raises(FaultError, match="NaN or infinite") as caught:
        search.decide(ahead, [False] * 3, np.array([0.0, np.inf, np.nan]), 0.1)
    assert caught.value.faults[0].name == edge_name(runner.graph, *ahead[1])


def test_no_circuits_give_no_rows(runner: CircuitRunner) -> None:
    assert runner.scores([], Methodology(), ["kl"])["kl"].shape == (0, 7)
    assert runner.scores([Circuit.empty(runner.graph)], Methodology(), []) == {}
