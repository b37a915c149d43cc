"""Labels in every form, and every fault by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from routing_models import Net, gradients, loss, losses, tokens
from torch import Tensor, nn

from toulmin.faults import FaultError
from toulmin.routing import Route, RoutePlan, Router, ablate, expand, region_span, token_weights

PLAN = RoutePlan([Route("forget", at="blocks.*.mlp.act", dims=slice(12, 16))])
PARAMETER = RoutePlan([Route("forget", params="blocks.*.mlp", rows_or_cols=slice(12, 16), kind="parameter")])


def routed(labels: Any, plan: RoutePlan = PLAN) -> dict[str, Tensor]:
    model = Net().double()
    router = Router(model, plan)
    with router(labels=labels):
        value = loss(model, tokens())
    value.backward()
    router.remove()
    return gradients(model)


ROWS = torch.tensor([0, -1, 0, 1, 0, -1])
SAME = {
    "(B,)": ROWS,
    "names": ["forget", None, "forget", "retain", "forget", "unlabelled"],
    "bool": ROWS == 0,
    "(B, T)": ROWS[:, None].expand(6, 4),
    "float (B, K)": (ROWS == 0).double()[:, None],
    "float (B, T, K)": (ROWS == 0).double()[:, None, None].expand(6, 4, 1),
    "float (B, K + 1)": torch.stack([ROWS == 0, ROWS == 1], -1).float(),
    "int8": ROWS.to(torch.int8),
}


@pytest.mark.parametrize("form", SAME)
def test_one_batch_in_every_form_of_labels(form: str) -> None:
    expected = routed(ROWS)
    unrouted = routed(None)
    found = routed(SAME[form])
    assert all(torch.allclose(found[n], expected[n], rtol=0, atol=1e-14) for n in expected)
    assert any(not torch.allclose(found[n], unrouted[n]) for n in expected)


def test_a_name_is_the_label_of_the_whole_batch() -> None:
    assert all(torch.equal(a, b) for a, b in zip(routed("forget").values(), routed(ROWS * 0).values(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(routed("retain").values(), routed(None).values(), strict=True))


def two(**change: Any) -> RoutePlan:
    first = {"label": "a", "at": "blocks.*.mlp.act", "dims": slice(0, 4)}
    return RoutePlan([Route(**first), Route(**{**first, "label": "b", "dims": slice(3, 6), **change})])


FAULTY: dict[str, tuple[Callable[[], Any], str]] = {
    "no module": (lambda: Router(Net(), RoutePlan([Route("a", at="block.*.mlp.act", dims=[0])])), "nearest are blocks"),
    "no parameter": (
        lambda: Router(Net(), RoutePlan([Route("a", params="blocks.*.mpl", rows_or_cols=[0], kind="parameter")])),
        "params matches no module or parameter",
    ),
    "dims too large": (
        lambda: Router(Net(), RoutePlan([Route("a", at="blocks.*.mlp.act", dims=slice(12, 17))])),
        r"blocks\.1\.mlp\.act\]: 12:17 does not lie in an axis of 16",
    ),
    "dims empty": (lambda: Router(Net(), RoutePlan([Route("a", at="head", dims=[])])), "is empty"),
    "dims twice": (lambda: Router(Net(), RoutePlan([Route("a", at="head", dims=[1, 1])])), "named twice"),
    "dims of a slice of parameters": (
        lambda: Router(
            Net(), RoutePlan([Route("a", params="**.fc.weight", rows_or_cols=[16], axis=0, kind="parameter")])
        ),
        r"blocks\.0\.mlp\.fc\.weight\]: \[16\] does not lie",
    ),
    "no axis": (
        lambda: Router(Net(), RoutePlan([Route("a", params="head.weight", rows_or_cols=[0], kind="parameter")])),
        "axis says which",
    ),
    "axis": (
        lambda: Router(
            Net(), RoutePlan([Route("a", params="head.weight", rows_or_cols=[0], axis=2, kind="parameter")])
        ),
        "has 2 axes",
    ),
    "no layout": (
        lambda: Router(Net(), RoutePlan([Route("a", params="blocks.*", rows_or_cols=[0], kind="parameter")])),
        "name its parameters one by one",
    ),
    "overlap": (lambda: Router(Net(), two()), "shares dimensions with a"),
    "overlap of parameters": (
        lambda: Router(
            Net(),
            RoutePlan(
                [
                    Route(n, params="blocks.*.mlp", rows_or_cols=d, kind="parameter")
                    for n, d in (("a", [0, 1]), ("b", [1]))
                ]
            ),
        ),
        "shares units with a",
    ),
    "one label twice": (lambda: Router(Net(), two(label="a", dims=[9])), "join their dims"),
    "kind": (lambda: RoutePlan([Route("a", at="head", dims=[0], kind="act")]), "not one of activation"),  # type: ignore[arg-type]
    "needs": (lambda: RoutePlan([Route("a", kind="forward")]), "needs at"),
    "empty plan": (lambda: RoutePlan([]), "at least one route"),
    "retain alone": (lambda: RoutePlan([Route("retain", at="head", dims=[0])]), "needs a region"),
    "nan": (lambda: RoutePlan([Route("a", at="head", dims=[0], inside=float("nan"))]), "finite"),
    "pas": (lambda: Router(Net(), PLAN, pas=1.5), "between 0 and 1"),
    "ablate to": (lambda: ablate(Net(), PLAN, "mean"), "zero, reinit"),  # type: ignore[arg-type]
    "ablate what": (lambda: ablate(Net(), RoutePlan([Route("a", at="embed", dims=[0])])), "in no MLP"),
    "expand what": (lambda: expand(Net(), {"blocks.*.mpl": 2}), "matches no module"),
    "expand layout": (lambda: expand(Net(), {"head": 2}), "no MLP whose layout"),
    "expand by": (lambda: expand(Net(), {"blocks.*.mlp": 0}), "at least 1"),
    "span": (lambda: region_span(Net(), "blocks.*.mlp", 17), "17 units"),
    "counts": (lambda: token_weights(torch.tensor([0, 0]), torch.tensor([1, 1])), "not all zero"),
    "label name": (lambda: routed("forgot"), "is not a label of the plan"),
    "label number": (lambda: routed(torch.tensor([0, 2, 0, 0, 0, 0])), "integer labels are -1 to 1, not 0 to 2"),
    "label axes": (lambda: routed(torch.zeros(6, 4, 1, dtype=torch.long)), r"\(B,\) or \(B, T\)"),
    "label columns": (lambda: routed(torch.zeros(6, 4)), "K = 1 or 2"),
    "label strength": (lambda: routed(torch.full((6, 4, 1), 1.5)), "from 0 to 1"),
    "label rows": (lambda: routed(torch.tensor([0, -1, 0])), r"labels of shape \(3,\) for an activation of"),
    "bool of two": (lambda: routed(torch.zeros(6, dtype=torch.bool), two(dims=[9])), "one region"),
    "mixed": (lambda: routed(torch.tensor([0, -1, 0, 0, 0, 0]), PARAMETER), "the labels of the batch differ"),
}


@pytest.mark.parametrize("case", FAULTY)
def test_every_fault_says_what_and_where(case: str) -> None:
    act, text = FAULTY[case]
    with pytest.raises(FaultError, match=text):
        act()


def test_all_faults_are_listed() -> None:
    routes = [Route("a", at="nowhere", dims=[0]), Route("b", at="head", dims=[99])]
    routes.append(Route("c", params="nothing", rows_or_cols=[0], kind="parameter"))
    with pytest.raises(FaultError) as caught:
        Router(Net(), RoutePlan(routes))
    assert {fault.code for fault in caught.value.faults} == {"routing.no_match", "routing.dims"}
    assert len(caught.value.faults) == 3


def test_two_waiting_batches_of_different_labels_are_refused() -> None:
    model = Net()
    router = Router(model, PARAMETER)
    with router(labels="forget"):
        first = loss(model, tokens())
    with router(labels="retain"):
        second = loss(model, tokens(seed=2))
    with pytest.raises(FaultError, match="different labels wait"):
        (first + second).backward()


def test_a_plain_step_between_routed_ones_is_plain() -> None:
    model = Net()
    router = Router(model, PARAMETER)
    with router(labels="forget"):
        value = loss(model, tokens())
    value.backward()
    model.zero_grad()
    loss(model, tokens()).backward()
    assert (gradients(model)["head.weight"] != 0).any()
    with torch.no_grad(), router(labels="retain"):
        model(tokens())  # an evaluation waits for no backward pass
    with router(labels="forget"):
        value = loss(model, tokens())
    model.zero_grad()
    value.backward()
    assert bool((gradients(model)["head.weight"] == 0).all())


def test_losses_by_item_must_have_the_shape_of_the_labels() -> None:
    model = Net()
    router = Router(model, PARAMETER)
    with router(labels=ROWS):
        each = losses(model, tokens())
    with pytest.raises(FaultError, match=r"losses of shape \(6, 4\) for labels of shape \(6,\)"):
        router.backward(each)


def test_dims_of_a_place_of_unknown_size_are_checked_when_it_runs() -> None:
    model = Net()
    router = Router(model, RoutePlan([Route("a", at="blocks.0", dims=[8])]))
    with pytest.raises(FaultError, match=r"a: activation blocks\.0 at blocks\.0\]: \[8\] does not lie"), router("a"):
        model(tokens())


def test_a_model_without_the_parts_is_told_so() -> None:
    with pytest.raises(FaultError, match="at matches no module"):
        Router(nn.Linear(2, 2), PLAN)
