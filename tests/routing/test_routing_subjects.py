"""Routing Transformer subjects, auditing, and the slow proofs: compiled and distributed models."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
import torch
from routing_models import Net, gradients, loss, tokens
from torch import nn

from toulmin.routing import Route, RoutePlan, Router, ablate, expand, region_span
from toulmin.subjects import Transformer, TransformerConfig
from toulmin.training import next_token_loss

CONFIG = TransformerConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, d_vocab=11, n_ctx=8, d_mlp=32)
NEURONS = RoutePlan([Route("forget", at="layers.*.mlp.post", dims=slice(24, 32))])
UNITS = RoutePlan([Route("forget", params="layers.*.mlp", rows_or_cols=slice(24, 32), kind="parameter")])
MASK = RoutePlan([Route("forget", at="layers.*.mlp.post", dims=slice(24, 32), params="layers.*.mlp", kind="forward")])


def test_the_neurons_of_a_transformer_are_reached_by_the_method_that_makes_them() -> None:
    model = Transformer(CONFIG)
    router = Router(model, NEURONS)
    plain = model(tokens())
    with router(labels="forget"):
        assert torch.equal(model(tokens()), plain)
        value = next_token_loss(model, tokens())
    value.backward()
    weight = gradients(model)["layers.1.mlp.W_in"]
    assert bool((weight[:, :24] == 0).all())
    assert (weight[:, 24:] != 0).any()
    router.remove()
    assert "post" not in model.layers[0].mlp.__dict__


def test_a_copy_of_a_routed_transformer_runs_its_own_weights() -> None:
    model = Transformer(CONFIG)
    Router(model, NEURONS)
    other = copy.deepcopy(model)
    with torch.no_grad():
        mlp = other.layers[0].mlp
        assert mlp is not None
        assert mlp.b_in is not None
        mlp.W_gate = None
        mlp.b_in.fill_(3.0)
    assert not torch.equal(other(tokens()), model(tokens()))


def test_forward_masks_hide_the_units_from_retain_data_only() -> None:
    model = Transformer(CONFIG)
    router = Router(model, MASK)
    without = ablate(model, MASK)(tokens())
    with router(labels="retain"):
        assert torch.allclose(model(tokens()), without, rtol=0, atol=1e-5)
    with router(labels="forget"):
        assert torch.equal(model(tokens()), model(tokens()))
        assert not torch.allclose(model(tokens()), without)


def test_a_widened_transformer_keeps_a_true_configuration() -> None:
    model = expand(Transformer(CONFIG), {"layers.*.mlp": 8})
    assert model.config.d_mlp == 40
    assert region_span(model, "layers.*.mlp", 8) == slice(32, 40)
    fresh = Transformer(model.config)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh(tokens()), model(tokens()))


def test_the_audit_finds_the_leak_and_the_exact_zeros() -> None:
    model = Transformer(CONFIG)
    batches = {"forget": tokens(), "retain": tokens(seed=2)}

    def optimizer(parameters: list[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.1)

    found = Router(model, UNITS).audit(batches, next_token_loss, optimizer)
    assert found.share("forget", "forget") == pytest.approx(1.0)
    assert 0 < found.share("retain", "forget") < 0.5
    assert sum(r.gradient for r in found.rows if r.label == "retain") == pytest.approx(1.0)
    rest = [r for r in found.rows if r.label == "forget" and r.part == "rest"]
    assert rest
    assert all(r.zero for r in rest)
    assert not any(r.still for r in rest if not r.parameter.endswith("b_K"))  # AdamW moves what has no gradient
    blocked = Router(model, UNITS)
    blocked.block_updates(optimizer(list(model.parameters())))
    assert all(r.still for r in blocked.audit(batches, next_token_loss, optimizer).rows
               if r.label == "forget" and r.part == "rest")  # fmt: skip
    leaky = Router(model, NEURONS).audit(batches, next_token_loss)
    by = {(r.label, r.parameter, r.part): r for r in leaky.rows}
    assert by["forget", "layers.0.mlp.W_in", "rest"].zero
    assert not by["forget", "layers.0.mlp.W_out", "rest"].zero
    assert leaky.rows[0].update is None
    assert len(found.heatmap().values) == len(found.tables()[0].rows) / 2
    assert "no update" in str(found)


def test_an_audit_leaves_the_model_as_it_was() -> None:
    model = Transformer(CONFIG)
    before = copy.deepcopy(model.state_dict())
    Router(model, UNITS).audit({"forget": tokens()}, next_token_loss, lambda p: torch.optim.SGD(p, lr=1.0))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["activation", "parameter", "forward"])
def test_a_compiled_model_is_routed_as_the_plain_one(kind: str) -> None:
    dims = slice(12, 16)
    route = {
        "activation": Route("forget", at="blocks.*.mlp.act", dims=dims, outside=-0.75),
        "parameter": Route("forget", params="blocks.*.mlp", rows_or_cols=dims, kind="parameter"),
        "forward": Route("forget", at="blocks.*.mlp.act", dims=dims, params="blocks.*.mlp", kind="forward"),
    }[kind]
    torch._dynamo.reset()
    mixed = torch.tensor([0, 1, -1, 0, 0, -1])
    for labels in ["forget", "retain", None, *([mixed] if kind == "activation" else [])]:
        found = []
        for compiled in (False, True):
            model = Net()
            called = torch.compile(model, backend="aot_eager") if compiled else model
            router = Router(called, RoutePlan([route]))  # type: ignore[arg-type]
            for _ in range(2):
                model.zero_grad()
                with router(labels=labels):
                    value = loss(called, tokens())  # type: ignore[arg-type]
                value.backward()
            found.append(gradients(model))
        for name in found[0]:
            assert torch.allclose(found[0][name], found[1][name], rtol=1e-5, atol=1e-7), (labels, name)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_labels_of_one_compiled_model_change_from_step_to_step() -> None:
    torch._dynamo.reset()
    plan = RoutePlan([Route("forget", at="blocks.*.mlp.act", dims=slice(12, 16)), *_units(Net)])
    found = []
    for compiled in (False, True):
        model = Net()
        called = torch.compile(model, backend="aot_eager") if compiled else model
        router = Router(called, plan)  # type: ignore[arg-type]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for step, labels in enumerate(["forget", "retain", None, "forget", "retain"]):
            optimizer.zero_grad()
            with router(labels=labels):
                value = loss(called, tokens(seed=step))  # type: ignore[arg-type]
            value.backward()
            optimizer.step()
        found.append(model.state_dict())
    for name in found[0]:
        assert torch.allclose(found[0][name], found[1][name], rtol=1e-4, atol=1e-6), name


def _units(_: type[Net]) -> list[Route]:
    return [Route("forget", params="blocks.*.mlp", rows_or_cols=slice(12, 16), kind="parameter")]


# a program of its own, since a child started from a test module cannot import the module by name
ONE_OF_TWO = """
import sys
import torch
from routing_models import Net, gradients, loss, tokens
from toulmin.routing import Route, RoutePlan, Router

folder, rank = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
model = Net()
wrapped = torch.nn.parallel.DistributedDataParallel(model)
units = Route("forget", params="blocks.*.mlp", rows_or_cols=slice(12, 16), kind="parameter")
router = Router(wrapped, RoutePlan([units, Route("forget", at="blocks.*.mlp.act", dims=slice(12, 16))]))
with router(labels=("forget", "retain")[rank]):
    value = loss(wrapped, tokens(seed=rank))
value.backward()
torch.save(gradients(model), f"{folder}/gradients{rank}.pt")
torch.distributed.barrier()
torch.distributed.destroy_process_group()
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_two_processes_route_their_own_labels_and_add_what_each_may_train(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    running = [
        subprocess.Popen([sys.executable, "-c", ONE_OF_TWO, str(tmp_path), str(rank)], env=environment, stderr=PIPE)
        for rank in range(2)
    ]
    try:
        for process in running:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors.decode()
    finally:
        for process in running:
            process.kill()
    found = [torch.load(tmp_path / f"gradients{rank}.pt") for rank in range(2)]
    expected = None
    for rank, label in enumerate(("forget", "retain")):
        model = Net()
        plan = RoutePlan([*_units(Net), Route("forget", at="blocks.*.mlp.act", dims=slice(12, 16))])
        router = Router(model, plan)
        with router(labels=label):
            value = loss(model, tokens(seed=rank))
        value.backward()
        own = gradients(model)
        expected = own if expected is None else {n: (expected[n] + own[n]) / 2 for n in own}
    assert expected is not None
    for name, gradient in expected.items():
        for of_process in found:
            assert torch.allclose(of_process[name], gradient, rtol=1e-5, atol=1e-7), name
