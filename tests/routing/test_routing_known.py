"""Known answers: what a route must not change, what it must make zero, and what it cannot stop."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from routing_models import Net, gradients, loss, losses, tokens
from torch import Tensor, nn

from toulmin.faults import FaultError
from toulmin.routing import (
    Route,
    RoutePlan,
    Router,
    ablate,
    access_profiles,
    expand,
    freeze_excluded,
    profile,
    region_span,
)
from toulmin.routing.gates import Gates

FORGET = slice(12, 16)
ACTIVATION = RoutePlan([Route("forget", at="blocks.*.mlp.act", dims=FORGET, inside=1.0, outside=-0.75)])
PARAMETER = RoutePlan([Route("forget", params="blocks.*.mlp", rows_or_cols=FORGET, kind="parameter")])
FORWARD = RoutePlan([Route("forget", at="blocks.*.mlp.act", dims=FORGET, params="blocks.*.mlp", kind="forward")])
PLANS = {"activation": ACTIVATION, "parameter": PARAMETER, "forward": FORWARD}


def excluded(name: str, value: Tensor) -> Tensor:
    """The entries of a parameter that data of the label forget must not train."""
    if name.endswith(("fc.weight", "fc.bias")):
        return value[: FORGET.start]
    return value[:, : FORGET.start] if name.endswith("out.weight") else value


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["activation", "parameter"])
def test_the_forward_pass_is_bit_identical(kind: str, dtype: torch.dtype) -> None:
    model, batch = Net().to(dtype), tokens()
    plain = model(batch)
    router = Router(model, PLANS[kind])
    labels = torch.tensor([0, 1, -1, 0, 0, -1])
    for given in (labels, labels[:, None].expand(6, 5), torch.rand(6, 5, 1), "forget", None):
        with router(labels=given):
            assert torch.equal(model(batch), plain)


@pytest.mark.parametrize("kind", PLANS)
def test_weights_of_one_are_no_router_updates_included(kind: str) -> None:
    ones = {
        "activation": RoutePlan([Route("forget", at="blocks.*.mlp.act", dims=FORGET, inside=1.0, outside=1.0)]),
        "parameter": RoutePlan(
            [Route("forget", params="blocks.*.mlp", rows_or_cols=FORGET, outside=1.0, kind="parameter")]
        ),
        "forward": FORWARD,
    }
    label = "unlabelled" if kind == "forward" else "forget"
    results = []
    for routed in (False, True):
        model = Net()
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        router = Router(model, ones[kind]) if routed else None
        if router is not None:
            router.block_updates(optimizer)
        for step in range(4):
            optimizer.zero_grad()
            if router is None:
                value = loss(model, tokens(seed=step))
            else:
                with router(labels=label):
                    value = loss(model, tokens(seed=step))
            value.backward()
            optimizer.step()
        results.append(model.state_dict())
    assert all(torch.equal(results[0][name], results[1][name]) for name in results[0])


def trained(plan: RoutePlan, *, blocked: bool, label: str = "forget") -> tuple[Net, Net, dict[str, Tensor]]:
    """Two unlabelled AdamW steps, then one of ``label``: the model before the last and after it, its gradients."""
    model = Net()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.1)
    router = Router(model, plan)
    if blocked:
        router.block_updates(optimizer)
    before = copy.deepcopy(model)
    for step, labels in enumerate(("unlabelled", "unlabelled", label)):
        before = copy.deepcopy(model)
        optimizer.zero_grad()
        with router(labels=labels):
            value = loss(model, tokens(seed=step))
        value.backward()
        optimizer.step()
    return before, model, gradients(model)


def test_excluded_slices_get_exactly_no_gradient_and_leak_through_adamw() -> None:
    before, after, found = trained(PARAMETER, blocked=False)
    moved = 0.0
    for (name, p), q in zip(before.named_parameters(), after.parameters(), strict=True):
        assert bool((excluded(name, found[name]) == 0).all()), name
        moved = max(moved, float((excluded(name, q.detach()) - excluded(name, p.detach())).abs().max()))
    assert moved > 1e-3  # momentum and weight decay move what has no gradient


def test_blocked_updates_leave_excluded_slices_and_their_moments_as_they_are() -> None:
    before, after, _ = trained(PARAMETER, blocked=True)
    inside = 0.0
    for (name, p), q in zip(before.named_parameters(), after.parameters(), strict=True):
        assert torch.equal(excluded(name, p), excluded(name, q)), name
        inside = max(inside, float((q - p).detach().abs().max()))
    assert inside > 1e-3  # and the region learns


def test_blocked_moments_continue_as_if_the_step_had_not_been() -> None:
    def run(labels: list[str]) -> Tensor:
        model = Net()
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9, weight_decay=0.1)
        router = Router(model, PARAMETER)
        router.block_updates(optimizer)
        for label in labels:
            optimizer.zero_grad()
            with router(labels=label):
                value = (model.head.weight.square().sum() + model.embed.weight[3, 3]) + 0 * loss(model, tokens())
            value.backward()
            optimizer.step()
        return model.head.weight.detach().clone()

    assert torch.equal(run(["unlabelled", "unlabelled"]), run(["unlabelled", "forget", "unlabelled"]))


def test_retain_steps_of_a_forward_mask_leave_the_forget_units_as_they_are() -> None:
    before, after, found = trained(FORWARD, blocked=True, label="retain")
    for (name, p), q in zip(before.named_parameters(), after.parameters(), strict=True):
        if "mlp" not in name or name.endswith("out.bias"):
            continue
        rows = (slice(None), FORGET) if name.endswith("out.weight") else (FORGET,)
        assert bool((found[name][rows] == 0).all()), name
        assert torch.equal(p[rows], q[rows]), name
        assert not torch.equal(p, q), name


@pytest.mark.parametrize("kind", PLANS)
def test_accumulated_batches_are_the_full_batch(kind: str) -> None:
    batch, model = tokens(8).clone(), Net().double()
    labels = torch.tensor([0, 0, 1, 1, -1, -1, 0, 0])
    router = Router(model, PLANS[kind])
    with router(labels=labels):
        each = losses(model, batch).mean(1)
    if kind == "activation":
        each.mean().backward()
    else:
        router.backward(each)
    whole = gradients(model)
    model.zero_grad()
    for start in range(0, 8, 2):
        with router(labels=labels[start : start + 2]):
            value = loss(model, batch[start : start + 2]) / 4
        value.backward()
    for name, gradient in gradients(model).items():
        assert (gradient - whole[name]).abs().max() < 1e-12, name


def test_activation_routes_leak_through_outgoing_weights_and_parameter_routes_do_not() -> None:
    found = {}
    for kind, plan in (
        ("activation", RoutePlan([Route("forget", at="blocks.*.mlp.act", dims=FORGET)])),
        ("parameter", PARAMETER),
    ):
        model = Net()
        router = Router(model, plan)
        with router(labels="forget"):
            value = loss(model, tokens())
        value.backward()
        found[kind] = gradients(model)
    for name, gradient in found["activation"].items():
        if name.endswith(("fc.weight", "fc.bias")):
            assert bool((excluded(name, gradient) == 0).all())  # what makes the activation gets nothing
        if name.endswith("out.weight"):
            assert excluded(name, gradient).abs().max() > 0  # what reads it still learns: the leak
            assert bool((excluded(name, found["parameter"][name]) == 0).all())


@pytest.mark.parametrize("to", ["zero", "reinit"])
@pytest.mark.parametrize("kind", PLANS)
def test_ablation_is_a_copy_and_takes_out_the_region_alone(kind: str, to: str) -> None:
    model = Net()
    router = Router(model, PLANS[kind])
    kept = {name: p.detach().clone() for name, p in model.named_parameters()}
    gone = ablate(model, PLANS[kind], to, seed=5)  # type: ignore[arg-type]
    memory = {p.data_ptr() for p in model.parameters()}
    for name, parameter in gone.named_parameters():
        assert parameter.data_ptr() not in memory
        assert torch.equal(model.get_parameter(name), kept[name])
        if "mlp.fc" in name or name.endswith("out.weight"):
            rest, old = excluded(name, parameter), excluded(name, kept[name])
            assert torch.equal(rest, old)
            rows = (slice(None), FORGET) if name.endswith("out.weight") else (FORGET,)
            if to == "zero":
                assert bool((parameter[rows] == 0).all())
            else:
                assert not torch.equal(parameter[rows], kept[name][rows])
                assert 0.4 < (parameter[rows].std() / rest.std()).item() < 2.5
        else:
            assert torch.equal(parameter, kept[name])
    assert router.strengths is None


def test_a_zeroed_region_is_dead_and_a_reinitialised_one_can_learn() -> None:
    for to, alive in (("zero", False), ("reinit", True)):
        model = ablate(Net(), PARAMETER, to)  # type: ignore[arg-type]
        loss(model, tokens()).backward()
        inside = model.get_parameter("blocks.0.mlp.fc.weight").grad
        assert inside is not None
        assert bool((inside[FORGET] != 0).any()) is alive


def test_profiles_of_three_regions() -> None:
    plan = RoutePlan(
        [Route(n, params="blocks.*.mlp", rows_or_cols=slice(4 * i, 4 * i + 4), kind="parameter")
         for i, n in enumerate("abc")]
    )  # fmt: skip
    model = Net()
    router = Router(model, plan)
    with router(labels=["b"] * 6):
        value = loss(model, tokens())
    value.backward()
    weight = gradients(model)["blocks.0.mlp.fc.weight"]
    assert [bool((weight[4 * i : 4 * i + 4] != 0).any()) for i in range(4)] == [False, True, False, False]
    only = profile(model, plan, on={"b"})
    kept = [bool((only.get_parameter("blocks.1.mlp.out.weight")[:, 4 * i : 4 * i + 4] != 0).any()) for i in range(4)]
    assert kept == [False, True, False, True]
    assert torch.equal(profile(model, plan, on="abc")(tokens()), model(tokens()))
    with pytest.raises(FaultError, match="the regions are a, b, c"):
        profile(model, plan, on={"d"})


def test_the_table_of_access_profiles_has_every_set_of_regions() -> None:
    plan = RoutePlan(
        [Route(n, params="blocks.*.mlp", rows_or_cols=slice(4 * i, 4 * i + 4), kind="parameter")
         for i, n in enumerate("abc")]
    )  # fmt: skip
    model = Net()

    def alive(one: Net, region: int) -> float:
        return float((one.get_parameter("blocks.1.mlp.out.weight")[:, 4 * region : 4 * region + 4] != 0).any())

    table = access_profiles(model, plan, {f"has {n}": lambda m, i=i: alive(m, i) for i, n in enumerate("abc")})
    assert table.columns == ("a", "b", "c", "has a", "has b", "has c")
    assert len({row[:3] for row in table.rows}) == 8
    assert all([mark == "yes" for mark in row[:3]] == [found == 1.0 for found in row[3:]] for row in table.rows)


def test_expanding_silently_computes_the_same_and_gives_a_region() -> None:
    model = Net().double()
    wider = expand(model, {"blocks.*.mlp": 6}, seed=3, silent=True)
    assert region_span(wider, "blocks.*.mlp", 6) == slice(16, 22)
    assert (wider(tokens()) - model(tokens())).abs().max() < 1e-12
    assert wider.get_parameter("blocks.0.mlp.fc.weight").shape == (22, 8)
    loud = expand(model, {"blocks.*.mlp": 6}, seed=3)
    assert (loud(tokens()) - model(tokens())).abs().max() > 1e-3
    plan = RoutePlan([Route("new", params="blocks.*.mlp", rows_or_cols=slice(16, 22), kind="parameter")])
    assert (ablate(loud, plan)(tokens()) - model(tokens())).abs().max() < 1e-12


def test_frozen_slices_stay_ablated_while_the_rest_is_tuned() -> None:
    model = ablate(Net(), PARAMETER, "reinit")
    before = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    frozen = freeze_excluded(model, PARAMETER, optimizer)
    for step in range(3):
        optimizer.zero_grad()
        loss(model, tokens(seed=step)).backward()
        optimizer.step()
    weight, old = (m.get_parameter("blocks.0.mlp.fc.weight") for m in (model, before))
    assert torch.equal(weight[FORGET], old[FORGET])
    assert not torch.equal(weight[: FORGET.start], old[: FORGET.start])
    frozen.remove()
    optimizer.step()
    assert not torch.equal(weight[FORGET], old[FORGET])


def test_the_chance_to_train_the_rest() -> None:
    model = Net()
    router = Router(model, PARAMETER, pas=0.5, seed=1)
    reached = []
    for step in range(40):
        model.zero_grad()
        with router(labels="forget"):
            value = loss(model, tokens(seed=step))
        value.backward()
        reached.append(bool((gradients(model)["head.weight"] != 0).any()))
    assert 10 < sum(reached) < 30
    router.remove()
    always = Router(model, PARAMETER, pas=1.0)
    model.zero_grad()
    with always(labels="forget"):
        value = loss(model, tokens())
    value.backward()
    assert (gradients(model)["head.weight"] != 0).any()


def test_hooks_of_the_user_survive_and_the_routers_go() -> None:
    model, seen = Net(), []
    model.blocks[0].mlp.act.register_forward_hook(lambda *_: seen.append("act"))
    model.head.weight.register_hook(lambda g: seen.append("head"))
    router = Router(model, RoutePlan([*ACTIVATION.routes, *PARAMETER.routes]))
    with router(labels="forget"):
        value = loss(model, tokens())
    value.backward()
    assert seen == ["act", "head"]
    router.remove()
    model.zero_grad()
    loss(model, tokens()).backward()
    assert seen == ["act", "head"] * 2
    plain = Net()
    loss(plain, tokens()).backward()
    assert all(torch.equal(a, b) for a, b in zip(gradients(model).values(), gradients(plain).values(), strict=True))


def test_an_exception_in_the_block_leaves_no_routing_behind() -> None:
    model = Net()
    router = Router(model, RoutePlan([*ACTIVATION.routes, *PARAMETER.routes]))
    with pytest.raises(IndexError), router(labels="forget"):
        model(tokens() + 11)
    with pytest.raises(ZeroDivisionError), router(labels="forget"):
        _ = 1 / float(model(tokens()).detach().sum() * 0)
    assert router.strengths is None
    loss(model, tokens()).backward()
    plain = Net()
    loss(plain, tokens()).backward()
    assert all(torch.equal(a, b) for a, b in zip(gradients(model).values(), gradients(plain).values(), strict=True))


def test_a_copy_and_a_file_of_a_routed_model_are_not_routed() -> None:
    model = Net()
    router = Router(model, RoutePlan([*ACTIVATION.routes, *PARAMETER.routes]))
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with router(labels="forget"):
            value = loss(other, tokens())
        value.backward()
        assert (gradients(other)["head.weight"] != 0).any()
        plain = Net()
        loss(plain, tokens()).backward()
        assert all(torch.equal(a, b) for a, b in zip(gradients(other).values(), gradients(plain).values(), strict=True))


def test_autocast_weighs_the_same_slices() -> None:
    model = Net()
    router = Router(model, RoutePlan([*PARAMETER.routes, *ACTIVATION.routes]))
    with torch.autocast("cpu", torch.bfloat16), router(labels="forget"):
        value = loss(model, tokens())
    value.backward()
    found = gradients(model)
    assert all(bool((excluded(name, g) == 0).all()) for name, g in found.items())
    assert (found["blocks.0.mlp.fc.weight"][FORGET] != 0).any()


def test_an_activation_of_any_shape_and_axis() -> None:
    conv = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(1))
    x = torch.randn(3, 1, 6, 6)
    conv(x)
    router = Router(conv, RoutePlan([Route("a", at="0", dims=[1], axis=1)]))
    with router(labels=torch.tensor([0, 0, 0])):
        conv(x).sum().backward()
    first = conv[0]
    assert isinstance(first, nn.Conv2d)
    grad = first.weight.grad
    assert grad is not None
    assert [bool((grad[c] != 0).any()) for c in range(4)] == [False, True, False, False]


def test_the_gate_of_whole_rows_is_kept_as_one_number_a_row() -> None:
    gates = Gates.build(Net(), PARAMETER).by_label[0]
    shapes = {name: tuple(gate.weights.shape) for name, gate in gates.items() if gate.weights.numel() > 1}
    assert set(shapes.values()) == {(16,), (16, 1), (1, 16)}
