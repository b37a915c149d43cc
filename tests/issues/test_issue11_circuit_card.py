"""Issue 11: a metric of one's own in the card; each distinct set of edges is run once; results print and save."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from toulmin.circuits import (
    Circuit,
    CircuitRunner,
    EapIg,
    Methodology,
    TestSettings,
    faithfulness_card,
    grid,
    hypothesis_tests,
    sweep_sizes,
)
from toulmin.circuits.faithfulness.card import PromptValues, card_values, make_card
from toulmin.faults import FaultError
from toulmin.subjects import load
from toulmin.tasks import Metric, Pair, find_task


class CountingRunner(CircuitRunner):
    """Counts the circuits that it runs, a batch at a time."""

    ran = 0

    def run(self, circuits: Sequence[Circuit], method: Methodology) -> Any:
        self.ran += len(circuits)
        return super().run(circuits, method)


@pytest.fixture(scope="module")
def runner() -> CountingRunner:
    subject: Any = load("embedded:induction-2l")
    return CountingRunner(subject.model, find_task("induction", subject, length=12).generate(12, 0))


@pytest.fixture(scope="module")
def circuit(runner: CountingRunner) -> Circuit:
    return EapIg(steps=2).scores(runner).top(60)


def answer_logit(logits: Tensor, batch: Any) -> Tensor:
    return logits.gather(-1, batch.answers[:, :1].expand(*logits.shape[:-1], 1))[..., 0]


def distance(logits: Tensor, batch: Any, clean: Tensor) -> Tensor:
    return (logits - clean).square().mean(-1)


def test_a_function_and_a_metric_of_ones_own_go_into_the_card(runner: CountingRunner, circuit: Circuit) -> None:
    own = Metric("own_distance", distance, "logits^2", "lower", distance=True)
    card = faithfulness_card(runner, circuit, metrics=[answer_logit, own, "logit_diff"], resamples=50)
    combinations = {(row.metric, row.aggregation, row.baseline) for row in card.rows}
    assert {metric for metric, _, _ in combinations} == {"answer_logit", "own_distance", "logit_diff"}
    assert ("answer_logit", "mean_of_percents", "zero") in combinations
    assert ("own_distance", "mean_of_percents", "ablated") in combinations
    assert all(baseline == "ablated" for metric, _, baseline in combinations if metric == "own_distance")
    found = card.find(Methodology(), "answer_logit", "percent_of_means", "ablated")
    values = [runner.scores([edges], Methodology(), [answer_logit])["answer_logit"][0] for edges in
              (circuit, Circuit.full(runner.graph), Circuit.empty(runner.graph))]  # fmt: skip
    c, f, e = (value.mean() for value in values)
    assert found.value == pytest.approx(100 * (c - e) / (f - e), rel=1e-4)


def test_metrics_that_cannot_be_had_are_refused_by_name(runner: CountingRunner, circuit: Circuit) -> None:
    bare = [Pair(p.clean, p.counterfactual, p.answers, unit=p.unit) for p in runner.pairs]
    lacking = CircuitRunner(runner.model, bare)
    with pytest.raises(FaultError) as caught:
        faithfulness_card(lacking, circuit)
    assert {fault.name for fault in caught.value.faults} == {"logit_diff", "prob_diff", "choice_accuracy"}
    assert faithfulness_card(lacking, circuit, metrics=["kl", "loss"], resamples=50).rows
    with pytest.raises(FaultError, match="two metrics have this name"):
        runner.scores([circuit], Methodology(), [answer_logit, answer_logit])


def test_a_full_card_runs_each_distinct_set_of_edges_once(runner: CountingRunner, circuit: Circuit) -> None:
    runner.ran = 0
    values = card_values(runner, circuit, metrics=["kl", "logit_diff"])
    assert runner.ran <= 31
    assert [method for method, metric in values if metric == "kl"] == list(grid())
    for method in grid():
        plain = runner.scores([circuit, Circuit.empty(circuit.graph)], method, ["kl", "logit_diff"])
        for metric in ("kl", "logit_diff"):
            entry = values[method, metric]
            np.testing.assert_allclose(entry.circuit, plain[metric][0], atol=1e-4)
            np.testing.assert_allclose(entry.ablated, plain[metric][1], atol=1e-4)
            np.testing.assert_array_equal(entry.full, runner.full_scores([metric])[metric])
    runner.ran = 0
    card_values(runner, Circuit.full(circuit.graph), metrics=["kl"])
    assert runner.ran == 16  # everything and nothing, for each of eight ablations


def test_running_circuits_a_few_at_a_time_changes_nothing(runner: CountingRunner) -> None:
    rng = np.random.default_rng(0)
    circuits = [Circuit.random(runner.graph, size, rng) for size in (10, 50, 90, 130, 170)]
    at_once = runner.scores(circuits, Methodology(), ["kl", "logit_diff"])
    by_twos = runner.scores(circuits, Methodology(), ["kl", "logit_diff"], together=2)
    for name in at_once:
        np.testing.assert_allclose(by_twos[name], at_once[name], atol=1e-5)


def test_results_print_and_save(
    runner: CountingRunner, circuit: Circuit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    card = faithfulness_card(runner, circuit, metrics=["logit_diff", "kl"], resamples=50)
    text = str(card)
    assert "edges/resample/noising" in text
    assert "choices that flip the verdict" in text
    assert max(map(len, text.splitlines())) <= 140
    assert len(card.table_of_rows().rows) == len(card.rows)
    lines = {str(line[0]): line[1:] for line in card.table_of_methodologies().rows}
    assert len(lines) == 23
    for name, (low, high, *verdicts) in lines.items():
        rows = [row for row in card.rows if str(row.methodology) == name]
        values = [r.value for r in rows]
        assert (low, high) == (pytest.approx(min(values), abs=0.5), pytest.approx(max(values), abs=0.5))
        assert verdicts == [sum(r.verdict == v for r in rows) for v in ("faithful", "undecided", "unfaithful")]
    sweep = sweep_sizes(runner, EapIg(steps=2).scores(runner), [10, 60])
    table = sweep.tables()[0]
    row = table.rows[1]
    assert row[:2] == (60, pytest.approx(60 / runner.graph.n_edges))
    assert row[table.columns.index("logit_diff, % recovered")] == pytest.approx(
        100 * float(sweep.faithfulness("logit_diff")[1])
    )
    assert row[table.columns.index("kl")] == pytest.approx(float(sweep.scores["kl"][1].mean()))
    tests = hypothesis_tests(runner, circuit, TestSettings(randoms=29))
    assert len(tests.tables()[1].rows) == 60
    for name, result in (("card", card), ("sweep", sweep), ("tests", tests)):
        assert result._repr_html_().startswith("<table>")
        assert str(result)
        page = result.save(tmp_path / f"{name}.html").read_text("utf-8")
        assert page.count("<table>") == len(result.tables())
        data = json.loads(result.save(tmp_path / f"{name}.json").read_text("utf-8"))
        assert (len(data["tables"]), len(data["figures"])) == (len(result.tables()), len(result.figures()))


def test_extreme_percentages_are_readable() -> None:
    full = np.array([1.0, 1.0, 0.9, 1.1])
    values = {(Methodology(), "logit_diff"): PromptValues(178.124 * full + np.array([0, 0, 1, -1]), full, np.zeros(4))}
    card = make_card(values)
    assert str(card.highest).startswith("17,817% [17,")
    assert "17,817" in str(card)
    assert "e+0" not in str(card) + str(card.figures())
