"""Metrics by hand, found by name, wrapped from functions; what they refuse."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
import torch

from toulmin.faults import FaultError
from toulmin.tasks import Metric, Pair, PairBatch, collate, find_metric, metric_names

CLEAN = [[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, 1.0, 1.0]]
RUN = [[1.0, 1.0, 0.5, -1.0], [2.0, 1.0, 1.0, 1.0]]


def batch() -> PairBatch:
    return collate([Pair((1, 2), (1, 3), (0, 1), (2,), unit="a"), Pair((1, 2), (1, 3), (1,), (0, 3), unit="b")])


def by_hand() -> dict[str, list[float]]:
    def p(row: list[float], ids: list[int]) -> float:
        return sum(math.exp(row[i]) for i in ids) / sum(map(math.exp, row))

    right, wrong = ([0, 1], [1]), ([2], [0, 3])
    loss = [-math.log(p(row, ids)) for row, ids in zip(RUN, right, strict=True)]
    before = [-math.log(p(row, ids)) for row, ids in zip(CLEAN, right, strict=True)]
    diff, diff_before = [1 - 0.5, 1 - 1.5], [1.5 - 0, 3 - 0.5]
    change = [a - b for a, b in zip(loss, before, strict=True)]
    moved = [a - b for a, b in zip(diff, diff_before, strict=True)]
    return {
        "logit_diff": diff,
        "prob_diff": [p(r, a) - p(r, w) for r, a, w in zip(RUN, right, wrong, strict=True)],
        "loss": loss,
        "accuracy": [1, 0],
        "choice_accuracy": [1, 0],
        "kl": [
            sum(p(c, [i]) * math.log(p(c, [i]) / p(r, [i])) for i in range(4)) for c, r in zip(CLEAN, RUN, strict=True)
        ],
        "max_change": [1.0, 2.0],
        "absolute_loss": [abs(c) for c in change],
        "squared_loss": [c**2 for c in change],
        "squared_logit_diff": [m**2 for m in moved],
        "signed_loss": change,
        "signed_logit_diff": moved,
    }


def test_every_metric_by_hand() -> None:
    run, clean = torch.tensor([[RUN, CLEAN], [CLEAN, RUN]]).double(), torch.tensor(CLEAN).double()
    wanted = by_hand()
    assert set(metric_names()) == set(wanted)
    for name, values in wanted.items():
        metric = find_metric(name)
        found = metric(run, batch(), clean)
        assert found.shape == (2, 2, 2)
        assert found[0, 0].tolist() == pytest.approx(values, abs=1e-12), name
        if metric.distance:
            assert found[0, 1].abs().max() < 1e-12, name
            assert metric.better == "lower"
        if not metric.needs_clean:
            assert metric(run, batch(), torch.tensor(math.nan)).equal(found)
        if metric.smooth:
            leaf = run.clone().requires_grad_()
            metric(leaf, batch(), clean).sum().backward()
            assert leaf.grad is not None
            assert leaf.grad.abs().max() > 0


def test_a_pair_without_wrong_answers_is_named() -> None:
    pairs = [Pair((1,), (2,), (0,), (1,), unit="fine"), Pair((1,), (2,), (0,), unit="lacking")]
    logits = torch.zeros(2, 4)
    for name in metric_names():
        metric = find_metric(name)
        if metric.needs_wrong:
            with pytest.raises(FaultError, match="lacking") as caught:
                metric(logits, collate(pairs), logits)
            assert "fine" not in str(caught.value)
            assert [fault.code for fault in caught.value.faults] == ["tasks.no_wrong"]
        else:
            assert metric(logits, collate(pairs), logits).shape == (2,)
    many = collate([Pair((1,), (2,), (0,)) for _ in range(9)])
    with pytest.raises(FaultError, match=r"pair 0, .*and 4 more"):
        find_metric("choice_accuracy")(torch.zeros(9, 4), many, torch.zeros(9, 4))


def test_functions_are_metrics() -> None:
    def margin(logits: torch.Tensor, pairs: PairBatch) -> torch.Tensor:
        return logits[..., 0] - logits[..., 1]

    def away(logits: torch.Tensor, pairs: PairBatch, clean: torch.Tensor) -> torch.Tensor:
        return (logits - clean).norm(dim=-1)

    logits, clean = torch.tensor(RUN), torch.tensor(CLEAN)
    two, three = find_metric(margin), find_metric(away)
    assert (two.name, two.needs_clean, three.name, three.needs_clean) == ("margin", False, "away", True)
    assert two(logits, batch(), clean).tolist() == [0.0, 1.0]
    assert float(three(logits, batch(), clean)[0]) == pytest.approx(math.sqrt(1 + 0.25))
    assert find_metric(two) is two
    named = find_metric(lambda logits, batch, clean=None: logits[..., 0])
    assert named.needs_clean


def test_what_is_no_metric() -> None:
    with pytest.raises(FaultError, match=r"there are: .*logit_diff"):
        find_metric("logitdiff")
    with pytest.raises(FaultError, match="1 arguments"):
        find_metric(lambda logits: logits)
    with pytest.raises(FaultError, match="is a int"):
        find_metric(7)  # type: ignore[arg-type]
    with pytest.raises(FaultError, match="no gradient"):
        find_metric("accuracy", smooth=True)
    whole = Metric("whole", lambda logits, batch, clean: logits)
    with pytest.raises(FaultError, match=r"\[2, 4\] for logits \[2, 4\]"):
        whole(torch.zeros(2, 4), batch(), torch.zeros(2, 4))


def test_a_unit_is_known_without_torch() -> None:
    code = "import sys, toulmin.tasks as t; print(t.find_metric('squared_loss').unit, 'torch' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["nats^2", "False"]
