"""The loop: known answers, resume, faults."""

from __future__ import annotations

import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from toulmin.faults import ExitCode, FaultError
from toulmin.training import (
    Checkpoint,
    IndexedBatches,
    Logger,
    PrintProgress,
    Rate,
    Schedule,
    State,
    fit,
    generator_at,
    gradient_step,
)


def regression(seed: int = 0, stop_at_nan: int | None = None):
    """A small noisy regression whose step draws from every kind of generator there is."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    module = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))
    state = State(
        module,
        torch.optim.AdamW(module.parameters(), lr=1e-2),
        generators={"noise": torch.Generator().manual_seed(7)},
        tensors={"seen": torch.zeros((), dtype=torch.int64)},
    )

    def make(index: int):
        rng = generator_at(3, index)
        x = rng.standard_normal((16, 3)).astype(np.float32)
        if index == stop_at_nan:
            x[0, 0] = np.nan
        return torch.from_numpy(x), torch.from_numpy(x.sum(1, keepdims=True))

    def loss(state: State, batch):
        x, y = batch
        state.tensors["seen"] += len(x)
        noise = torch.randn(y.shape, generator=state.generators["noise"]) * 0.1 + np.random.normal() * 0.01
        return ((module(x) - y + noise) ** 2).mean()

    return state, IndexedBatches(make), gradient_step(loss)


def everything(state: State) -> tuple[dict[str, bytes], str]:
    tensors, json_part = state.export()
    return {k: v.numpy().tobytes() for k, v in tensors.items()}, json.dumps(json_part, sort_keys=True)


def test_one_sgd_step_is_the_closed_form():
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 2.0)
    state = State(module, torch.optim.SGD(module.parameters(), lr=99.0))
    step = gradient_step(lambda s, x: (module(x) ** 2).mean() / 2, clip=None)
    # d/dw (w x)^2 / 2 = w x^2 = 2 * 9; the schedule's rate replaces the optimizer's
    out = fit(step, state, IndexedBatches(lambda i: torch.tensor([[3.0]])), Schedule(1, 0.1, "constant"))
    assert module.weight.item() == pytest.approx(2 - 0.1 * 18)
    assert out == {"loss": pytest.approx(18.0)}
    assert state.step == 1


def test_clipping_bounds_the_gradient_norm():
    module = nn.Linear(1, 1, bias=False)
    nn.init.constant_(module.weight, 2.0)
    state = State(module, torch.optim.SGD(module.parameters(), lr=1.0))
    step = gradient_step(lambda s, x: (module(x) ** 2).mean() / 2, clip=1.0)
    out = fit(step, state, IndexedBatches(lambda i: torch.tensor([[3.0]])), Schedule(1, 0.5, "constant"))
    assert module.weight.item() == pytest.approx(1.5, abs=1e-5)
    assert out["grad_norm"] == pytest.approx(18.0)


def test_training_learns_and_counts():
    state, batches, step = regression()
    first = fit(step, state, batches, Schedule(5, 1e-2))
    last = fit(step, state, batches, Schedule(400, 1e-2, warmup=5))
    assert last["loss"] < first["loss"] / 4
    assert state.tensors["seen"].item() == 400 * 16
    assert fit(step, state, batches, Schedule(400, 1e-2)) == {}


def test_the_module_trains_in_training_mode_and_is_put_back():
    state, batches, _ = regression()
    state.module.eval()
    seen = []
    fit(lambda s, b: seen.append(s.module.training) or {}, state, batches, Schedule(2, 1e-2))
    assert seen == [True, True]
    assert not state.module.training


def test_schedules_at_known_steps():
    cosine = Schedule(110, 2.0, "cosine", warmup=10, floor=0.1)
    assert cosine.at(0) == pytest.approx(0.2)
    assert cosine.at(9) == pytest.approx(2.0)
    assert cosine.at(60) == pytest.approx(2.0 * 0.55)
    assert cosine.at(110) == pytest.approx(0.2)
    linear = Schedule(100, 1.0, "linear")
    assert [linear.at(s) for s in (0, 25, 100, 200)] == pytest.approx([1.0, 0.75, 0.0, 0.0])
    constant = Schedule(100, 1.0, "constant", cooldown=10)
    assert [constant.at(s) for s in (0, 89, 90, 95, 100)] == pytest.approx([1.0, 1.0, 1.0, 0.5, 0.0])


def test_bad_schedules_list_every_fault():
    with pytest.raises(FaultError) as caught:
        Schedule(-1, math.nan, "cubic", floor=2)  # type: ignore[arg-type]
    assert {f.name for f in caught.value.faults} >= {"steps", "lr", "kind", "floor"}


def test_lr_scale_of_a_group():
    module = nn.Linear(1, 1)
    optimizer = torch.optim.SGD([{"params": [module.weight]}, {"params": [module.bias], "lr_scale": 0.5}], lr=1.0)
    State(module, optimizer).set_lr(0.2)
    assert [g["lr"] for g in optimizer.param_groups] == [0.2, 0.1]


@pytest.mark.parametrize("stop", [10, 25, 37])
def test_resuming_gives_the_same_bytes(tmp_path: Path, stop: int):
    schedule = Schedule(60, 1e-2, warmup=5)
    state, batches, step = regression()
    fit(step, state, batches, schedule)
    whole = everything(state)

    state, batches, step = regression()

    class Stop(Exception):
        pass

    class Stopper:
        every = 1

        def on_start(self, state, steps): ...
        def on_end(self, state): ...
        def on_step(self, state, metrics):
            if state.step == stop:
                raise Stop

    with pytest.raises(Stop):
        fit(step, state, batches, schedule, Checkpoint(tmp_path, every=5), [Stopper()])
    state, batches, step = regression(seed=99)  # another start: all must come from the checkpoint
    fit(step, state, batches, schedule, Checkpoint(tmp_path, every=5))
    assert everything(state) == whole
    assert Checkpoint(tmp_path).steps() == [60]


def test_keep_says_how_many_remain(tmp_path: Path):
    state, batches, step = regression()
    fit(step, state, batches, Schedule(22, 1e-2), Checkpoint(tmp_path, every=5, keep=3))
    assert Checkpoint(tmp_path).steps() == [15, 20, 22]
    assert not list(tmp_path.glob(".partial*"))


def test_not_finite_stops_before_a_checkpoint_holds_it(tmp_path: Path):
    state, batches, step = regression(stop_at_nan=7)
    with pytest.raises(FaultError, match=r"training.not_finite \[loss\]") as caught:
        fit(step, state, batches, Schedule(30, 1e-2), Checkpoint(tmp_path, every=5))
    assert caught.value.exit_code is ExitCode.NUMERICAL
    assert Checkpoint(tmp_path).steps() == [5]


def test_damage_and_other_runs_are_refused(tmp_path: Path):
    state, batches, step = regression()
    mine = Checkpoint(tmp_path, every=5, run={"seed": 1, "width": 8})
    fit(step, state, batches, Schedule(5, 1e-2), mine)
    with pytest.raises(FaultError, match=r"training.other_run \[seed\]: was 1, is 2"):
        Checkpoint(tmp_path, run={"seed": 2, "width": 8}).resume(state, batches)
    data = bytearray((mine.path(5) / "state.safetensors").read_bytes())
    data[-1] ^= 1
    (mine.path(5) / "state.safetensors").write_bytes(data)
    with pytest.raises(FaultError, match=r"training\.checkpoint_damaged") as caught:
        mine.resume(state, batches)
    assert caught.value.exit_code is ExitCode.SUBJECT
    (mine.path(5) / "state.json").write_text("{")
    with pytest.raises(FaultError, match=r"training\.checkpoint_damaged"):
        mine.resume(state, batches)


def test_a_module_of_another_shape_is_refused(tmp_path: Path):
    state, batches, step = regression()
    fit(step, state, batches, Schedule(2, 1e-2), Checkpoint(tmp_path))
    module = nn.Linear(3, 1)
    other = State(module, torch.optim.AdamW(module.parameters()))
    with pytest.raises(FaultError) as caught:
        Checkpoint(tmp_path).resume(other, batches)
    assert {"module.0.weight", "module.weight", "tensors.seen"} <= {f.name for f in caught.value.faults}


def test_other_parameter_groups_are_refused_and_the_module_alone_loads(tmp_path: Path):
    state, batches, step = regression()
    fit(step, state, batches, Schedule(3, 1e-2), Checkpoint(tmp_path))
    other, _, _ = regression(seed=5)
    groups = [{"params": list(other.module.parameters())[:2]}, {"params": list(other.module.parameters())[2:]}]
    split = State(other.module, torch.optim.AdamW(groups), generators=other.generators, tensors=other.tensors)
    with pytest.raises(FaultError, match=r"parameter groups of \[4\] parameters, expected \[2, 2\]"):
        Checkpoint(tmp_path).resume(split, batches)
    assert Checkpoint(tmp_path).load_module(other.module) == 3
    for mine, theirs in zip(other.module.parameters(), state.module.parameters(), strict=True):
        assert torch.equal(mine, theirs)
    with pytest.raises(FaultError, match=r"\[0\.weight\]: unexpected"):
        Checkpoint(tmp_path).load_module(nn.Linear(3, 1))
    assert Checkpoint(tmp_path / "none").load_module(other.module) is None


def test_progress_and_rate():
    now = [0.0]
    rate = Rate(0, 100, clock=lambda: now[0])
    assert rate.remaining is None
    now[0] = 2.0
    rate.update(20)
    assert rate.per_second == pytest.approx(10)
    assert rate.remaining == pytest.approx(8)
    out = io.StringIO()
    state, batches, step = regression()
    fit(step, state, batches, Schedule(10, 1e-2), None, [PrintProgress(every=5, out=out)])
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "step 10/10" in lines[1]
    assert "steps/s" in lines[1]
    assert "loss" in lines[1]


def test_logger_drops_rows_after_the_checkpoint(tmp_path: Path):
    log = tmp_path / "log.jsonl"
    state, batches, step = regression()
    fit(step, state, batches, Schedule(20, 1e-2), Checkpoint(tmp_path / "c", every=10), [Logger(log, every=2)])
    rows = log.read_text().splitlines()
    assert [json.loads(r)["step"] for r in rows] == list(range(2, 21, 2))
    log.write_text("\n".join([*rows, '{"step": 22, "loss": 0', ""]))
    state.step = 10
    Logger(log).on_start(state, 20)
    assert [json.loads(r)["step"] for r in log.read_text().splitlines()] == [2, 4, 6, 8, 10]


def test_a_kill_while_rows_are_dropped_costs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    log = tmp_path / "log.jsonl"
    rows = [json.dumps({"step": step}) for step in range(1, 6)]
    log.write_text("".join(f"{row}\n" for row in rows))
    state, _, _ = regression()
    state.step = 3

    def cut_short(path: Path, text: str, *_: object) -> int:
        with path.open("w") as file:
            file.write(text[:5])
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", cut_short)
        with pytest.raises(KeyboardInterrupt):
            Logger(log).on_start(state, 5)
    assert log.read_text().splitlines() == rows
    Logger(log).on_start(state, 5)
    assert log.read_text().splitlines() == rows[:3]
    assert list(tmp_path.iterdir()) == [log]


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
import torch
torch.set_num_threads(1)
from test_training_fit import regression
from toulmin.training import Checkpoint, Logger, Schedule, fit
state, batches, step = regression()
slow = lambda s, b: (time.sleep(0.002), step(s, b))[1]
fit(slow, state, batches, Schedule(400, 1e-2, warmup=20), Checkpoint(sys.argv[2], every=20), [Logger(sys.argv[3], 10)])
"""


@pytest.mark.slow
def test_kill_9_then_resume_gives_the_same_bytes(tmp_path: Path):
    def start(name: str) -> subprocess.Popen[bytes]:
        arguments = [str(Path(__file__).parent), str(tmp_path / name), str(tmp_path / f"{name}.jsonl")]
        return subprocess.Popen([sys.executable, "-c", KILLED, *arguments], stderr=subprocess.PIPE)

    whole = start("whole")
    assert whole.wait(120) == 0, whole.stderr and whole.stderr.read()
    kills = 0
    for wanted in (20, 140, 260):
        process = start("killed")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if (Checkpoint(tmp_path / "killed").steps() or [0])[-1] >= wanted:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        kills += process.wait(60) == -signal.SIGKILL
        assert process.stderr is not None
        process.stderr.close()
    assert kills == 3
    last = start("killed")
    assert last.wait(120) == 0
    for process in (whole, last):
        assert process.stderr is not None
        process.stderr.close()
    for file in ("state.safetensors", "state.json"):
        expected = (Checkpoint(tmp_path / "whole").path(400) / file).read_bytes()
        assert (Checkpoint(tmp_path / "killed").path(400) / file).read_bytes() == expected
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
