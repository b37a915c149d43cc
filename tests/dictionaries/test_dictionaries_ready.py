"""Ready settings, trackers, and what is said where something is not installed."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from toulmin.dictionaries import Objective, reference_run
from toulmin.dictionaries.insertion import Insertion
from toulmin.dictionaries.reference_runs import REFERENCE_RUNS
from toulmin.dictionaries.trackers import TensorBoardTracker, WandbTracker
from toulmin.dictionaries.trainer import train_on_activations
from toulmin.faults import FaultError
from toulmin.training import IndexedBatches, Schedule


def test_the_references_settings() -> None:
    run = reference_run("gpt2-small e2e+downstream", layer=10)
    assert (run.site, run.batch, run.clip) == ("L10.resid_pre", 16, 10.0)
    assert run.objective == Objective(sparsity=1.5, kl=0.5, downstream=2.5)
    assert (run.schedule.steps, run.schedule.warmup, run.schedule.at(0)) == (25_000, 1250, 0.0)
    assert run.schedule.at(1250) == 5e-4
    (dictionary,) = run.insertion(4).dictionaries.values()
    assert dictionary.config.n_features == 240
    swept = reference_run("gpt2-small e2e+downstream", layer=10, sparsity=2.5, downstream=0.05)
    assert swept.objective == Objective(sparsity=2.5, kl=0.5, downstream=0.05)
    assert reference_run("gpt2-small e2e", layer=2, sparsity=0.2).objective == Objective(sparsity=0.2, kl=1.0)
    assert len({reference_run(name).name for name in REFERENCE_RUNS}) == 5
    with pytest.raises(FaultError, match="gpt2-small local"):
        reference_run("gpt3")


class Recorded:
    """A run of wandb, as far as the tracker uses one."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.finished = False

    def log(self, metrics: dict[str, float], step: int) -> None:
        self.rows.append((step, metrics))

    def finish(self) -> None:
        self.finished = True


def trained(tracker: Any) -> None:
    dictionary = reference_run("gpt2-small local").insertion(4).dictionaries["L6.resid_pre"]
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
    made = Insertion("x", {"activations": dictionary}, Objective(local=1.0))
    train_on_activations([made], IndexedBatches(lambda _: x), Schedule(5, 1e-3), callbacks=[tracker])


def test_wandb_gets_the_metrics_of_every_step_asked_for() -> None:
    run = Recorded()
    trained(WandbTracker(every=2, run=run))
    assert [step for step, _ in run.rows] == [2, 4, 5]
    assert {"loss", "x/local/activations", "x/l0/activations"} <= set(run.rows[0][1])
    assert run.finished


@pytest.mark.parametrize(("name", "make"), [("wandb", WandbTracker), ("tensorboard", lambda: TensorBoardTracker("x"))])
def test_a_tracker_that_is_not_installed_is_named(name: str, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(FaultError, match=f"{name} is not installed"):
        make()
